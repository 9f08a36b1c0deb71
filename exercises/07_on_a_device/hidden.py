"""The cases of exercise 07 that give points. Kept back: no student's code ever sees this file."""

from statistics import median

from mobilelab.grading import Call, Case

from .checks import (
    COUNTED,
    EACH,
    EMPTY,
    FIRST,
    GROUPS,
    LIBRARY,
    MODES,
    NOISE,
    ONE,
    OVERLAP,
    PIXELS,
    PRICES,
    PRODUCTS,
    REST,
    SUMS,
    TWICE,
    UNCOUNTED,
    WARM,
    WITHIN,
    Draw,
    choice_cases,
    cost_of,
    delivered_cases,
    enlarge_of,
    inference_cases,
    lite_file,
    log_of,
    macs_case,
    mended_cases,
    refusal_cases,
    row,
)


def drawn_log(draw, order):
    """A log around the counts of a real file, made up; ``order`` has an E for each empty one."""
    real = [cost_of("cortex-a53", draw.choice(list(COUNTED["cortex-a53"])))[k] for k in SUMS]
    requests, runs = [], 0
    for kind in order:
        own = [draw.integer(200_000, 300_000), draw.integer(0, 40), draw.integer(0, 90)]
        inferences = 0 if kind == "E" else draw.integer(2, 16)
        around = draw.uniform(0.98, 1.02)
        if kind == "R":
            around *= {0: 2.5, 3: 1.3}.get(runs, 1.0)  # cold; and something came in between
            runs += 1
        requests.append(
            (inferences, [own[i] + round(inferences * around * x) for i, x in enumerate(real)])
        )
    return log_of(*requests)


def counted(log):
    """What ``one_inference`` should say."""
    added = [[b - a for a, b in zip(r["before"], r["after"], strict=True)] for r in log]
    many = [r["inferences"] for r in log]
    empty = [median(x) for x in zip(*(a for a, n in zip(added, many, strict=True) if not n),
                                    strict=True)]  # fmt: skip
    each = [[(x - e) / n for x, e in zip(a, empty, strict=True)]
            for a, n in zip(added, many, strict=True) if n][1:]  # fmt: skip
    found = [median(x) for x in zip(*each, strict=True)]
    far = max(abs(one[0] - found[0]) for one in each) / found[0]
    return {**dict(zip(SUMS, found, strict=True)), "spread": far}


def inference(p, draw):
    cases = []
    for number, (order, hint) in enumerate((("RRERERER", EMPTY), ("ERERRRER", WARM),
                                            ("ERRRERRRE", EACH)), 1):  # fmt: skip
        log = drawn_log(draw, order)
        first, second = inference_cases(f"log {number}", log, counted(log))
        cases += [_hinted(first, hint), second]
    return cases


def _hinted(case, hint):
    return Case(case.name, case.ask, case.expected, hint, case.tolerance, case.judge, case.show,
                case.pick, case.weight)  # fmt: skip


def macs(p, draw):
    width = 4 * draw.integer(2, 4)
    side = draw.sample(range(7, 16), 2)
    shape = (1, draw.integer(1, 3), *side)
    batch = (draw.integer(2, 5), *shape[1:])
    return [
        macs_case("one group", shape, PIXELS, width=width, dilation=draw.integer(1, 3)),
        macs_case("groups", shape, GROUPS, width=width, groups=draw.choice((2, 4)),
                  stride=draw.integer(1, 3)),
        macs_case("depthwise", shape, GROUPS, width=width, groups=width),
        macs_case("a layer that is called twice", shape, TWICE, width=width, again=True, stride=1),
        macs_case("a batch", batch, ONE, width=width, again=draw.choice((True, False))),
    ]  # fmt: skip


def costs(p, draw):
    multiplying = draw.integer(1_000_000, 8_000_000)
    cost = {
        "instructions": multiplying + draw.integer(1_000_000, 18_000_000),
        "mac_instructions": multiplying,
        "products": round(multiplying * draw.uniform(3.0, 16.0)),
    }
    numbers, work = draw.integer(100_000, 900_000), draw.integer(10_000_000, 30_000_000)
    cases = [
        Case("products per multiplying instruction", Call("density", (cost,)),
             cost["products"] / multiplying, PRODUCTS, 1e-6, pick=lambda r: r[0]),
        Case("the share that does not multiply", Call("density", (cost,)),
             1 - multiplying / cost["instructions"], REST, 1e-6, pick=lambda r: r[1]),
    ]  # fmt: skip
    for bits, price in ((32, 4.6), (8, 0.3)):
        low = (work * price + cost["instructions"] * 70) / 1e6
        high = low + numbers * bits / 64 * 2600 / 1e6
        cases.append(Case(f"energy, {bits} bits", Call("energy_uj", (cost, work, numbers, bits)),
                          [low, high], PRICES, 1e-4, pick=list))  # fmt: skip
    low, high, gap = draw.uniform(10, 90), draw.uniform(100, 200), draw.uniform(1, 50)
    one, above, across = (low, high), (high + gap, high + 2 * gap), (high - gap / 2, high + gap)
    for name, pair, answer, hint in (
        ("the first takes less", (one, above), "first", OVERLAP),
        ("the second takes less", (above, one), "second", FIRST),
        ("they overlap", (one, across), "cannot say", OVERLAP),
        ("they touch", ((high, high + gap), one), "cannot say", OVERLAP),
    ):
        cases.append(Case(name, Call("less", pair), answer, hint, weight=0.5))
    return cases


def takes(p, draw):
    mode, other, third = draw.sample(MODES, 3)
    net = enlarge_of(draw, mode, float(draw.integer(2, 3)))[0]
    plain = lite_file(net, frozen=False)
    left_out = LIBRARY.replace(f"- aten::upsample_{mode}2d", f"# - aten::upsample_{mode}2d")
    left_out = left_out.replace("- aten::eq.int", "- aten::eq.Tensor")
    cases = [
        *refusal_cases("as it was scripted", plain, LIBRARY, draw.integer(8, 9)),
        *refusal_cases("frozen", lite_file(net), LIBRARY, draw.integer(8, 9)),
        *refusal_cases("frozen, an older phone", lite_file(net), LIBRARY, draw.integer(5, 7)),
        *refusal_cases("too new, and operators taken out", lite_file(net, 7), left_out, 5),
    ]
    for name, kind, newest in (("one network", mode, p.reads), ("another", other, 9),
                               ("the third", third, draw.integer(5, 7))):  # fmt: skip
        cases += mended_cases(name, draw, kind, float(draw.integer(2, 3)), newest)
    return cases


def drawn_table(draw, core):
    """Seven files, made up, some nearly equal on one core and some not counted on it."""
    fewest = draw.integer(5_000_000, 9_000_000)
    factors = (1.0, draw.uniform(1.012, 1.018), draw.uniform(1.003, 1.009), draw.uniform(1.03, 1.2),
               draw.uniform(1.2, 2.0), None, draw.uniform(0.7, 0.9))  # fmt: skip
    names = draw.sample("abcdefghijk", 7)
    small = draw.integer(200, 400)
    sizes = (small + 80, small, small, small - 60, small - 90, small - 100, 5000)
    other = "cortex-a76" if core == "cortex-a53" else "cortex-a53"
    rows = []
    for name, size, factor in zip(names, sizes, factors, strict=True):
        counts = {other: draw.integer(4_000_000, 20_000_000)}
        if factor is not None:
            counts[core] = round(fewest * factor)
        elif draw.choice((True, False)):
            counts[core] = None
        made = row(name, size, round(draw.uniform(4, 9), 1), None, None)
        rows.append({**made, "instructions": counts})
    return rows


def choose(p, draw):
    cases = []
    for number, hint in enumerate((NOISE, UNCOUNTED, WITHIN), 1):
        table = drawn_table(draw, p.core)
        wide = {"size_kb": 1000, "memory_mb": 9.5}
        if number == 2:  # of one of them nobody knows the memory
            table[2] = {k: v for k, v in table[2].items() if k != "memory_mb"}
        if number == 3:  # exactly at the limit
            count = table[1]["instructions"][p.core]
            wide = {"size_kb": table[0]["size_kb"], "instructions": count}
        order = draw.sample(table, len(table))
        cases += choice_cases(f"seven files, {number}", order, p.core, wide, hint)
    table = drawn_table(draw, p.core)
    return [*cases, *choice_cases("without any limit", table, p.core, {}, UNCOUNTED)]


def deliver(p, draw: Draw):
    return delivered_cases(p, 2 * draw.normal_tensor(20, 48))
