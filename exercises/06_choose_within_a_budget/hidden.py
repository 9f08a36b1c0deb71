"""The cases of exercise 06 that give points. Kept back: no student's code ever sees this file."""

from itertools import pairwise
from statistics import median

import torch

from mobilelab import datasets
from mobilelab.grading import Call, Case

from .checks import (
    ANSWERS,
    BEATEN,
    CACHE,
    COLD,
    DECIDES,
    FACTS,
    FIRST_FAST,
    IN_NUMBERS,
    LIMITS,
    LUCKY,
    MEAN,
    MIDDLE,
    NO_CHOICE,
    NOBODY,
    OPERATIONS,
    PAIRS,
    PAUSES,
    REJECTED,
    SPREAD,
    STANDBY,
    THIRD,
    TRIPS,
    TURNS,
    TWICE,
    TWINS,
    UNASKED,
    UNITS,
    UNMEASURED,
    USUAL,
    VOLTS,
    WAYS,
    delivered_cases,
    in_order,
    made_up_table,
)


def near(draw, usual, count):
    """Times within a tenth of the usual one."""
    return [usual * draw.uniform(0.92, 1.08) for _ in range(count)]


def times(p, draw):
    cases = []
    for name, factor, hint in (
        ("some cold calls", p.factor, FIRST_FAST),
        ("pauses after the warm-up", p.factor, PAUSES),
        ("a long pause in the second half", p.factor, USUAL),
        ("nearly half of the calls cold, and pauses", p.factor, USUAL),
        ("another factor", draw.choice((2.6, 3.0, 3.5)), FIRST_FAST),
    ):
        usual = draw.uniform(0.4, 6.0)
        limit = usual * factor
        # the last cold call is just too slow, the first steady one is slow but not too slow
        cold = [limit * draw.uniform(1.3, 5.0) for _ in range(draw.integer(2, 6))] + [limit * 1.15]
        rest = [limit * 0.9, *near(draw, usual, draw.integer(19, 30))]
        if name.startswith("nearly half"):
            cold = [limit * draw.uniform(3.0, 5.0) for _ in range(8)] + [limit * 1.15]
            rest = [limit * 0.9, *near(draw, usual, 10)]
            for place in (2, 5, 8, 9):
                rest[place] = limit * draw.uniform(2.0, 5.0)
        elif name != "some cold calls":
            rest[4] = rest[-6] = limit * 2.5
        if name == "a long pause in the second half":
            rest[-3] = usual * 900
        cases.append(Case(name, Call("steady", (cold + rest, factor)), rest, hint, 1e-6))
    for name, count in (("an even number of times", 10), ("an odd number of times", 15)):
        values = [draw.uniform(1.0, 4.0) for _ in range(count)] + [70.0, 200.0]
        middle = median(values)
        spread = median(abs(v - middle) for v in values)
        ask = Call("middle", (draw.sample(values, len(values)),))
        cases.append(Case(f"median, {name}", ask, middle, MIDDLE, 1e-5, pick=lambda r: r[0]))
        cases.append(Case(f"spread, {name}", ask, spread, SPREAD, 1e-5, pick=lambda r: r[1]))
    for name, count in (("an even number of rounds", 12), ("an odd number of rounds", 17)):
        rounds = []
        for i in range(count):
            host = (1 + 3 * i / count) * draw.uniform(0.9, 1.1)
            rounds.append(
                {
                    "plain": host * 4.0 * draw.uniform(0.95, 1.05) * (8 if i % 3 == 0 else 1),
                    "lite": host * 1.5 * draw.uniform(0.95, 1.05),
                    "int8": host * 2.5 * draw.uniform(0.95, 1.05) * (9 if i % 5 == 1 else 1),
                }
            )
        base = draw.choice(("lite", "int8"))
        right = {name: median(r[name] / r[base] for r in rounds) for name in rounds[0]}
        ask = Call("slowdowns", (rounds, base))
        cases.append(Case(f"ratios, {name}", ask, right, PAIRS, 1e-5, weight=2))
    return cases


def reference_reasons(row, budget):
    found = {"answers": None} if row["answers"] == "DIFFERENT" else {}
    for quantity, limit in budget.items():
        value = row.get(quantity)
        if value is None:
            found[quantity] = None
        elif (value < limit) if quantity == "accuracy" else (value > limit):
            found[quantity] = abs(value - limit)
    return found


def reasons(p, draw):
    cases = []
    for name, hint in (
        ("measured rows", LIMITS),
        ("rows that miss a figure", UNMEASURED),
        ("a budget for two quantities", UNASKED),
        ("rows with other answers", ANSWERS),
        ("figures at the limit", LIMITS),
    ):
        budget = {
            "size_kb": float(draw.integer(300, 900)),
            "p95_ms": draw.integer(4, 24) / 4,
            "energy_uj": float(draw.integer(100, 900)),
            "accuracy": draw.integer(190, 197) / 2,
        }
        table = []
        for i, variant in enumerate(draw.sample("klmnopqrs", 7)):
            # a share of the limit that is never on the edge; the first row keeps every limit
            good = [i == 0 or draw.integer(0, 2) > 0 for _ in budget]
            good[draw.integer(0, 3)] &= i == 0
            row = {"variant": variant, "answers": draw.choice(("same", "close"))}
            for (quantity, limit), well in zip(budget.items(), good, strict=True):
                under = draw.uniform(0.5, 0.95) if well else draw.uniform(1.05, 2.0)
                if quantity == "accuracy":
                    under = draw.uniform(1.001, 1.01) if well else draw.uniform(0.6, 0.99)
                row[quantity] = limit * under
            table.append(row)
        if "miss a figure" in name:
            table[1]["p95_ms"], table[0]["energy_uj"] = None, None
            del table[2]["accuracy"], table[3]["size_kb"]
        if "two quantities" in name:
            budget = {k: budget[k] for k in draw.sample(list(budget), 2)}
        if "other answers" in name:
            table[0]["answers"] = table[4]["answers"] = "DIFFERENT"
        if "at the limit" in name:
            table[0].update(budget)
        right = {row["variant"]: reference_reasons(row, budget) for row in table}
        ask = Call("verdicts", (draw.sample(table, len(table)), budget))
        cases.append(Case(name, ask, right, hint, 1e-4))
    return cases


def reference_front(table, ways):
    costs = [[row[q] * (-1 if way == "more" else 1) for q, way in ways.items()] for row in table]
    return {
        row["variant"]
        for row, mine in zip(table, costs, strict=True)
        if not any(
            all(a <= b for a, b in zip(other, mine, strict=True)) and other != mine
            for other in costs
        )
    }


def front(p, draw):
    cases = []
    for name, count, top, directions, hint in (
        ("a few rows with equal figures", 9, 4, ("less", "less", "more"), BEATEN),
        ("many rows", 40, 30, ("less", "less", "more"), THIRD),
        ("twins on the front and off it", 8, 4, ("less", "less", "more"), TWINS),
        ("more is better twice", 14, 6, ("more", "less", "more"), WAYS),
    ):
        quantities = ["size_kb", "p95_ms", "accuracy"]
        if "twice" in name:
            quantities[0] = "frames_per_second"
        ways = dict(zip(quantities, directions, strict=True))
        table = []
        for i in range(count):
            row = {"variant": f"v{i}", "chapter": draw.integer(1, 6)}
            table.append({**row, **{q: float(draw.integer(1, top)) for q in quantities}})
        if "twins" in name:
            on = reference_front(table, ways)
            for twin in (draw.choice(sorted(on)), None):
                off = [row for row in table if row["variant"] not in on]
                model = next((r for r in table if r["variant"] == twin), (off or table)[0])
                table.append({**model, "variant": f"w{len(table)}"})
        worst = {q: float(top + 1 if way == "less" else 0) for q, way in ways.items()}
        table.append({"variant": "last", "chapter": 1, **worst})
        table = draw.sample(table, len(table))
        ask = Call("front", (table, ways))
        cases.append(Case(name, ask, reference_front(table, ways), hint, pick=set))
    return cases


PJ = {32: (3.7, 0.9), 8: (0.2, 0.1)}
CACHES = {8: 10, 32: 20, 1024: 100}


def reference_uj(layers, bits, cache_kib):
    total = 0.0
    for layer in layers:
        total += layer["macs"] * sum(PJ[bits])
        total += layer["weights"] * bits / 64 * 1300
        inside = layer["outputs"] * bits / 8 <= cache_kib * 1024
        total += 2 * layer["outputs"] * bits / 64 * (CACHES[cache_kib] if inside else 1300)
    return total / 1e6


def energy(p, draw):
    cases = []
    every = ("macs", "weights", "outputs")
    for name, counted, hint in (
        ("arithmetic alone", ("macs",), OPERATIONS),
        ("weights alone", ("weights",), TRIPS),
        ("outputs alone, all in the cache", ("outputs",), TWICE),
        ("a network of which some layers fit the cache", every, CACHE),
    ):
        for bits in (32, 8):
            layers = []
            for i in range(draw.integer(4, 7)):
                # bytes well below the cache or well above it, whichever number of bits
                small = i % 2 or "all in" in name
                share = draw.uniform(0.3, 0.8) if small else draw.uniform(1.6, 3.0)
                layer = {
                    "macs": draw.integer(100_000, 9_000_000),
                    "weights": draw.integer(500, 90_000),
                    "outputs": int(share * p.cache_kib * 1024 * 8 / bits),
                }
                layers.append({what: layer[what] if what in counted else 0 for what in every})
            right = reference_uj(layers, bits, p.cache_kib)
            ask = Call("answer_uj", (layers, bits, p.cache_kib))
            cases.append(Case(f"{name}, {bits} bits", ask, right, hint, 1e-4 * right))
    layers = [
        {"macs": 0, "weights": 0, "outputs": int(draw.uniform(0.4, 0.8) * p.cache_kib * 1024)}
    ]
    for bits in (32, 8):  # these outputs fit as int8 and not as float32
        right = reference_uj(layers, bits, p.cache_kib)
        ask = Call("answer_uj", (layers, bits, p.cache_kib))
        name = f"outputs that fit only as int8, {bits} bits"
        cases.append(Case(name, ask, right, CACHE, 1e-4 * right))
    for name, standby, uj, hint in (
        ("answers take most of it", 0.001, draw.uniform(3e4, 9e4), VOLTS),
        ("standby takes most of it", draw.uniform(2.0, 9.0), draw.uniform(50, 500), STANDBY),
        ("both count", draw.uniform(0.5, 2.0), draw.uniform(5e3, 2e4), STANDBY),
    ):
        mah, volts = draw.uniform(200, 3000), draw.choice((1.5, 3.6, 3.7))
        each_hour = draw.integer(200, 900)
        right = mah / 1000 * volts / (standby / 1000 + each_hour * uj / 1e6 / 3600)
        ask = Call("battery_hours", (mah, volts, each_hour, uj, standby))
        cases.append(Case(f"hours, {name}", ask, right, hint, 1e-4 * right, weight=2))
    return cases


def reference_choices(rows, budgets):
    chosen = {}
    for product, budget in budgets.items():
        able = [
            row
            for row in rows
            if row["size_kb"] <= budget["size_kb"] and row["accuracy"] >= 100 * budget["accuracy"]
        ]
        best = min(able, key=lambda r: median(r["times_ms"][r["warmup"] :]), default=None)
        chosen[product] = best and best["variant"]
    return chosen


def silent(p, draw):
    cases = []
    for name, hint in (
        ("fast files that are often wrong", UNITS),
        ("cold calls", COLD),
        ("few calls, most of them cold", COLD),
        ("a pause in a fast file", MEAN),
        ("a lucky call in a slow file", LUCKY),
        ("a budget that nobody keeps", NOBODY),
    ):
        names = draw.sample("abcdefghijkl", 6)
        speeds = [draw.uniform(0.95, 1.05) * 0.7 * 1.5**i for i in range(6)]
        rows = []
        for i, (variant, speed) in enumerate(zip(names, speeds, strict=True)):
            warmup, count = draw.integer(3, 5), draw.integer(11, 16)
            if name.startswith("few"):
                count = 3
            cold = [speed * 1.3] * warmup
            if "cold" in name:  # the fastest are the coldest
                cold = [speed * draw.uniform(40, 60) / 2**i for _ in range(warmup)]
            steady = near(draw, speed, count)
            if "pause" in name and i < 3:
                steady[4] = 900.0 / 4**i
            if "lucky" in name:
                steady[5] = 0.3 / 2**i
            rows.append(
                {
                    "variant": variant,
                    # the smaller, the slower: every budget for the size has another answer
                    "size_kb": draw.uniform(1300, 1500) * 0.7**i,
                    "accuracy": round(draw.uniform(97.5, 99.5), 1),
                    "warmup": warmup,
                    "times_ms": cold + steady,
                }
            )
        if "often wrong" in name:
            rows[0]["accuracy"], rows[2]["accuracy"] = draw.uniform(10, 60), draw.uniform(70, 90)
        limits = [rows[i]["size_kb"] * 1.1 for i in (0, 2, 3)]
        budgets = {
            product: {"size_kb": size, "accuracy": 0.97}
            for product, size in zip(("game", "translator", "sensor"), limits, strict=True)
        }
        if "nobody" in name:
            budgets["sensor"]["size_kb"] = rows[-1]["size_kb"] * 0.5
            budgets["game"]["accuracy"] = 0.999
        rows = draw.sample(rows, 6)
        ask = Call("choices", (rows, budgets))
        cases.append(Case(name, ask, reference_choices(rows, budgets), hint))
    return cases


DECIDING = {"game": "p95_ms", "translator": "size_kb", "sensor": "energy_uj"}


def reference_budget(product, facts):
    if product == "game":
        limits = {"p95_ms": 1000 / facts["frames_per_second"] * facts["share"]}
    elif product == "translator":
        limits = {"size_kb": 1000 * facts["pack_mb"] / facts["scripts"]}
        limits["p95_ms"] = float(facts["wait_ms"])
    else:
        watts = facts["mah"] / 1000 * facts["volts"] / (facts["years"] * 365 * 24)
        answers = (watts - facts["standby_mw"] / 1000) * 3600 / facts["answers_per_hour"]
        limits = {"energy_uj": answers * 1e6}
    return {**limits, "accuracy": facts["accuracy"]}


def reference_defence(product, table, facts):
    budget, over = reference_budget(product, facts), DECIDING[product]
    rejected, able = {}, []
    for row in table:
        why = list(reference_reasons(row, budget))
        if not row["file"].endswith(".ptl"):
            why.append("file")
        if why:
            rejected[row["variant"]] = sorted(why)
        else:
            able.append(row)
    able.sort(key=lambda row: row[over])
    turns = able[1][over] if len(able) > 1 else budget[over] if able else None
    choice = able[0]["variant"] if able else None
    return {"budget": budget, "choice": choice, "rejected": rejected, "turns_at": turns}


def between(draw, values, place):
    """A limit in the gap above the sorted value at ``place``; -1 is below all of them."""
    values = sorted(values)
    low = values[place] if place >= 0 else values[0] * 0.8
    high = values[place + 1] if place + 1 < len(values) else values[-1] * 1.2
    return low + (high - low) * draw.uniform(0.3, 0.7)


def facts_for(product, draw, limit, least, slow):
    """Facts from which this limit of the deciding quantity follows."""
    if product == "game":
        rate = draw.choice((24, 30, 50, 90, 120))
        facts = {"frames_per_second": rate, "share": limit * rate / 1000}
    elif product == "translator":
        scripts = draw.integer(3, 17)
        facts = {"pack_mb": limit * scripts / 1000, "scripts": scripts, "wait_ms": slow}
    else:
        mah, volts = draw.uniform(500, 3000), draw.choice((1.5, 3.6, 3.7))
        each_hour, standby = draw.integer(30, 400), draw.uniform(0.02, 0.3)
        watts = standby / 1000 + each_hour * limit / 1e6 / 3600
        years = mah / 1000 * volts / watts / (365 * 24)
        facts = {"mah": mah, "volts": volts, "years": years, "answers_per_hour": each_hour}
        facts["standby_mw"] = standby
    return {**facts, "accuracy": least}


def apart(values):
    """Whether a limit finds room between each two of the values."""
    values = sorted(values)
    return all(b - a > 0.004 * b for a, b in pairwise(values))


def contest(p, draw, wanted):
    """A table, facts and the right defence with ``wanted`` candidates (2 stands for more)."""
    over = DECIDING[p.product]
    while True:
        table = made_up_table(draw.integer(1000, 10**6))
        figures, speeds = [row[over] for row in table], [row["p95_ms"] for row in table]
        if not apart(figures) or not apart(speeds):
            continue
        limit = between(draw, figures, draw.integer(-1 if wanted == 0 else 0, len(table) - 3))
        # accuracies have one decimal and limits two, so that none is on the edge
        least = draw.integer(962, 988) / 10 + 0.05
        slow = between(draw, speeds, draw.integer(7, 10))
        facts = facts_for(p.product, draw, limit, least, slow)
        right = reference_defence(p.product, table, facts)
        able = [row for row in table if row["variant"] not in right["rejected"]]
        reasons_seen = {reason for why in right["rejected"].values() for reason in why}
        telling = {over, "accuracy", "file"} <= reasons_seen
        # the best in another quantity, or the first in the table, is not the right answer
        tempting = {table[0]["variant"]}
        for other in {"size_kb", "p95_ms", "energy_uj"} - {over} if wanted == 2 else ():
            tempting.add(min(able, key=lambda row: row[other], default=table[0])["variant"])
        if min(len(able), 2) == wanted and telling and right["choice"] not in tempting:
            return table, facts, right


def defend(p, draw):
    over, cases = DECIDING[p.product], []
    for name, wanted, seed in (
        ("the table that you saw", 2, p.seed),
        ("another table", 2, None),
        ("one candidate", 1, None),
    ):
        if seed is None:
            table, facts, right = contest(p, draw, wanted)
        else:
            table, facts = made_up_table(seed), FACTS[p.product]
            facts = {**facts, "accuracy": draw.integer(962, 975) / 10 + 0.05}
            right = reference_defence(p.product, table, facts)
        ask = Call("defend", (table, facts))
        budget = right["budget"]
        cases += [
            Case(
                f"{name}: the budget in numbers", ask, budget, IN_NUMBERS[p.product],
                1e-4 * budget[over], pick=lambda r: r["budget"],
            ),
            Case(
                f"{name}: the choice, and what decided", ask, [right["choice"], over], DECIDES,
                pick=lambda r: [r["choice"], r["decided_by"]],
            ),
            Case(f"{name}: who was rejected, and why", ask, right["rejected"], REJECTED,
                 pick=in_order),
        ]  # fmt: skip
        if right["turns_at"] is not None:
            cases.append(
                Case(
                    f"{name}: where it turns", ask, right["turns_at"], TURNS,
                    1e-4 * right["turns_at"], pick=lambda r: r["turns_at"],
                )
            )  # fmt: skip
    table, facts, right = contest(p, draw, 0)
    cases.append(
        Case(
            "no candidate",
            Call("defend", (table, facts)),
            [None, None, right["rejected"]],
            NO_CHOICE,
            pick=lambda r: [r["choice"], r["turns_at"], in_order(r)],
        )
    )
    return cases


def deliver(p, draw):
    """Test images that were shifted and got a little noise: nobody has seen these."""
    test = datasets.load("digits").test
    chosen = draw.integer_tensor(400, low=0, high=len(test.labels) - 1)
    images = []
    for part in test.images[chosen].split(100):
        images.append(torch.roll(part, (draw.integer(-2, 2), draw.integer(-2, 2)), (2, 3)))
    moved = torch.cat(images)
    moved = moved + 0.05 * draw.normal_tensor(*moved.shape)
    return delivered_cases(p, moved, test.labels[chosen], strict=True)
