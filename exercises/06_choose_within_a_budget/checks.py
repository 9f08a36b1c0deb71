"""What exercise 06 asks, and the cases that you can see. `check("key")` in the notebook runs them.

The grader asks the same about inputs that are not in this file. All records in here are made up
for the exercise; nobody measured them.
"""

import torch

from mobilelab import datasets, measure, models
from mobilelab.grading import (
    Call,
    Case,
    Checker,
    Delivered,
    Draw,
    Exercise,
    Facts,
    Limits,
    Run,
    Task,
    accuracy,
)

FIRST_FAST = (
    "The warm-up is over at the first call that takes at most factor times the usual time. That "
    "call and all after it stay."
)
USUAL = (
    "The usual time is the median of the second half, times[len(times) // 2:]. A mean is moved by "
    "one pause; the first half holds the cold calls."
)
PAUSES = (
    "A slow call after the warm-up is no warm-up. The user waits for it too: it stays in the list."
)
MIDDLE = (
    "Sort before you look for the middle. Of an even number of times, the median is the mean of "
    "the two in the middle; torch.median takes the lower one. statistics.median does it."
)
SPREAD = (
    "The spread is a median as well: of the distances, without sign, from the median. A standard "
    "deviation is ruled by the one call that was interrupted."
)
PAIRS = (
    "Divide inside a round first, then take the median of the ratios. The ratio of two medians "
    "compares calls of different rounds, and a host that slows down sits between them."
)


def times(p):
    cold = [9.0, 5.0, 1.1, 1.0, 1.05, 4.0, 1.0, 1.02, 0.98, 1.01]
    pause = [30.0, 1.0, 1.1, 0.9, 1.0, 90.0, 1.0, 1.1]
    warm = [1.0, 1.1, 1.0, 0.9, 1.0, 1.1]
    ask = Call("middle", ([4.0, 1.0, 2.0, 30.0],))
    rounds = [{"a": 2.0, "b": 1.0}, {"a": 6.0, "b": 4.0}, {"a": 9.0, "b": 4.5}]
    return [
        Case("two cold calls go", Call("steady", (cold, p.factor)), cold[2:], FIRST_FAST, 1e-9),
        Case("a pause stays", Call("steady", (pause, p.factor)), pause[1:], PAUSES, 1e-9),
        Case("no cold call", Call("steady", (warm, p.factor)), warm, FIRST_FAST, 1e-9),
        Case("median of four times", ask, 3.0, MIDDLE, 1e-9, pick=lambda r: r[0]),
        Case("spread of four times", ask, 1.5, SPREAD, 1e-9, pick=lambda r: r[1]),
        Case(
            "three rounds on a host that slows down",
            Call("slowdowns", (rounds, "b")),
            {"a": 2.0, "b": 1.0},
            PAIRS,
            1e-9,
        ),
    ]


LIMITS = (
    "Accuracy has to reach its limit, everything else has to stay under it. A figure exactly at "
    "its limit keeps it."
)
UNMEASURED = (
    "What was not measured is not within the budget. None or a missing key is a reason, with the "
    "amount None; taking it for 0 lets a file pass that nobody timed."
)
UNASKED = "Only what the budget names can be missed. A quantity that it does not name is free."
ANSWERS = (
    "A row whose answers are DIFFERENT fits no budget: the reason 'answers', with the amount None. "
    "Its other reasons are listed as well."
)


def reasons(p):
    table = [
        {"variant": "a", "answers": "same", "size_kb": 1500.0, "p95_ms": 2.0, "accuracy": 99.0},
        {"variant": "b", "answers": "close", "size_kb": 420.0, "p95_ms": 7.5, "accuracy": 97.0},
        {"variant": "c", "answers": "close", "size_kb": 500.0, "p95_ms": 4.0, "accuracy": 98.0},
    ]
    unknown = [
        {"variant": "d", "answers": "same", "size_kb": 300.0, "p95_ms": None, "accuracy": 99.0},
        {"variant": "e", "answers": "same", "size_kb": 300.0, "p95_ms": 3.0},
    ]
    wrong = [
        {"variant": "f", "answers": "DIFFERENT", "size_kb": 9.0, "p95_ms": 5.0, "accuracy": 99.0}
    ]
    budget = {"size_kb": 500.0, "p95_ms": 4.0, "accuracy": 98.0}
    found = {"a": {"size_kb": 1000.0}, "b": {"p95_ms": 3.5, "accuracy": 1.0}, "c": {}}
    return [
        Case("three rows", Call("verdicts", (table, budget)), found, LIMITS, 1e-6),
        Case(
            "figures that nobody took",
            Call("verdicts", (unknown, budget)),
            {"d": {"p95_ms": None}, "e": {"accuracy": None}},
            UNMEASURED,
            1e-6,
        ),
        Case(
            "a budget for the size alone",
            Call("verdicts", (table, {"size_kb": 450.0})),
            {"a": {"size_kb": 1050.0}, "b": {}, "c": {"size_kb": 50.0}},
            UNASKED,
            1e-6,
        ),
        Case(
            "other answers",
            Call("verdicts", (wrong, budget)),
            {"f": {"answers": None, "p95_ms": 1.0}},
            ANSWERS,
            1e-6,
        ),
    ]


BEATEN = (
    "A row is off the front if one other row is at least as good in every quantity and better in "
    "one. A row that is best in nothing can still be on the front."
)
TWINS = "Twins do not beat each other: neither is better in anything. Both stay, or both go."
WAYS = "Mind the direction: of accuracy more is better, so more must not count as worse."
THIRD = "All quantities count at once. What loses in two of them may win in the third."


def front(p):
    ways = {"size_kb": "less", "p95_ms": "less", "accuracy": "more"}

    def rows(**figures):
        return [
            {"variant": name, **dict(zip(ways, row, strict=True))} for name, row in figures.items()
        ]

    beaten = rows(a=(900, 3, 97), b=(900, 2, 98), c=(400, 5, 96))
    third = rows(a=(400, 2, 96), b=(900, 3, 97), c=(950, 4, 97))
    twins = rows(a=(400, 2, 96), b=(400, 2, 96), c=(500, 3, 95), d=(500, 3, 95))
    return [
        Case("one row is beaten", Call("front", (beaten, ways)), {"b", "c"}, BEATEN, pick=set),
        Case("saved by its accuracy", Call("front", (third, ways)), {"a", "b"}, THIRD, pick=set),
        Case("twins", Call("front", (twins, ways)), {"a", "b"}, TWINS, pick=set),
        Case(
            "two quantities, more is better in both",
            Call("front", (beaten, {"size_kb": "more", "accuracy": "more"})),
            {"b"},
            WAYS,
            pick=set,
        ),
    ]


OPERATIONS = (
    "A multiply-accumulate is a multiply and an add: 3.7 + 0.9 pJ in float32, 0.2 + 0.1 pJ in "
    "int8, whose products are summed in 32 bits. A microjoule is a million picojoules."
)
TRIPS = (
    "A trip moves 64 bits: two float32 numbers, or eight int8 numbers. Its price is for the trip, "
    "not for one number."
)
TWICE = "An output is written by its layer and read by the next one: two journeys for each number."
CACHE = (
    "Layer by layer: outputs that fit the cache pay its price, others that of main memory. What "
    "counts is their bytes, so int8 outputs fit where float32 outputs do not. Weights always come "
    "from main memory."
)
VOLTS = (
    "Milliampere-hours are no energy yet. Ampere-hours times volts are watt-hours, and a watt-hour "
    "is 3600 joules."
)
STANDBY = (
    "The battery feeds the standby at all times, and the answers on top of it. Add the two powers, "
    "then divide."
)


def energy(p):
    work = [{"macs": 10_000_000, "weights": 0, "outputs": 0}]
    weights = [{"macs": 0, "weights": 100_000, "outputs": 0}]
    small = [{"macs": 0, "weights": 0, "outputs": 1000}]
    large = [{"macs": 0, "weights": 0, "outputs": 2_000_000}]
    price = {8: 10, 32: 20, 1024: 100}[p.cache_kib]

    def cost(layers, bits):
        return Call("answer_uj", (layers, bits, p.cache_kib))

    def life(*what):
        return Call("battery_hours", what)

    return [
        Case("arithmetic in float32", cost(work, 32), 46.0, OPERATIONS, 1e-6),
        Case("arithmetic in int8", cost(work, 8), 3.0, OPERATIONS, 1e-6),
        Case("100,000 float32 weights", cost(weights, 32), 65.0, TRIPS, 1e-6),
        Case("outputs in the cache", cost(small, 32), price / 1000, TWICE, 1e-6),
        Case("int8 outputs, too large for it", cost(large, 8), 650.0, CACHE, 1e-6),
        Case("standby alone", life(1000.0, 3.0, 0, 0.0, 10.0), 300.0, VOLTS, 1e-3),
        Case("answers alone", life(1000.0, 3.0, 3600, 5000.0, 0.0), 600.0, VOLTS, 1e-3),
        Case("both", life(1000.0, 3.0, 3600, 5000.0, 10.0), 200.0, STANDBY, 1e-3),
    ]


UNITS = (
    "One accuracy is in percent, the other is a share. 98 is at least 0.98, and so is 12: the "
    "comparison raises nothing and lets everything through."
)
COLD = (
    "Each row says how many of its calls were warm-up. They are in the list, first, and one of "
    "them can be longer than all others together."
)
MEAN = "One interrupted call moves a mean as far as it likes. The median of the steady calls stays."
LUCKY = (
    "The fastest of all calls is a lucky one, or a clock that was read badly. It says nothing of "
    "the next call; the median of the steady calls does."
)
NOBODY = "If no file keeps the budget the answer is None. A file that misses it is no answer."


def silent(p):
    calm = [
        {"variant": "a", "size_kb": 900.0, "accuracy": 99.0, "warmup": 1, "times_ms": [2.0] * 6},
        {"variant": "b", "size_kb": 400.0, "accuracy": 98.5, "warmup": 1, "times_ms": [3.0] * 6},
    ]
    cold = [
        {**calm[0], "warmup": 2, "times_ms": [60.0, 9.0, 2.0, 2.1, 2.0, 1.9]},
        {**calm[1], "warmup": 2, "times_ms": [3.5, 3.1, 3.0, 3.0, 3.0, 3.1]},
    ]
    pause = [{**calm[0], "times_ms": [2.0, 2.0, 2.1, 80.0, 2.0, 1.9]}, calm[1]]
    lucky = [calm[0], {**calm[1], "size_kb": 800.0, "times_ms": [3.0, 3.0, 3.1, 0.2, 3.0, 2.9]}]
    poor = [*calm, {**calm[0], "variant": "c", "accuracy": 12.0, "times_ms": [1.0] * 6}]
    wide, small = {"size_kb": 5000.0, "accuracy": 0.98}, {"size_kb": 500.0, "accuracy": 0.98}
    both, fitting = {"game": wide, "translator": small}, {"game": "a", "translator": "b"}
    tiny = {**both, "badge": {"size_kb": 100.0, "accuracy": 0.5}}
    return [
        Case("calm times, good files", Call("choices", (calm, both)), fitting, COLD),
        Case("a fast file that is often wrong", Call("choices", (poor, both)), fitting, UNITS),
        Case("a cold call", Call("choices", (cold, both)), fitting, COLD),
        Case("a pause", Call("choices", (pause, both)), fitting, MEAN),
        Case("a lucky call", Call("choices", (lucky, {"game": wide})), {"game": "a"}, LUCKY),
        Case(
            "a budget that nobody keeps",
            Call("choices", (calm, tiny)),
            {**fitting, "badge": None},
            NOBODY,
        ),
    ]


#: What the three products need. The grader asks about other numbers under the same names.
FACTS = {
    "game": {"frames_per_second": 90, "share": 0.08, "accuracy": 98.0},
    "translator": {"pack_mb": 5.0, "scripts": 11, "wait_ms": 100.0, "accuracy": 98.0},
    "sensor": {
        "mah": 2400.0,
        "volts": 3.0,
        "years": 5.0,
        "answers_per_hour": 60,
        "standby_mw": 0.156,
        "accuracy": 97.0,
    },
}


def made_up_table(seed):
    """Eleven records for the exercise, made up from a seed. Nobody measured them."""
    draw = Draw(seed)
    rows = []
    for name, suffix, size, time, energy in (
        ("eager", ".state_dict", 1530, 1.8, 1000),
        ("frozen", ".pt", 1450, 1.2, 1000),
        ("mobile", ".ptl", 1460, 1.0, 1000),
        ("mobile-nhwc", ".ptl", 1465, 0.6, 1000),
        ("half", ".ptl", 890, 0.7, 600),
        ("quarter", ".ptl", 600, 0.5, 400),
        ("int8", ".ptl", 420, 1.3, 230),
        ("int8-channels", ".ptl", 470, 1.4, 235),
        ("half-int8", ".ptl", 280, 0.9, 140),
        ("retrained", ".ptl", 260, 0.4, 130),
        ("recipe", ".ptl", 1440, 0.5, 1000),
    ):
        rows.append(
            {
                "variant": name,
                "file": name + suffix,
                "answers": "close",
                "size_kb": round(size * draw.uniform(0.8, 1.25), 1),
                "p95_ms": round(time * draw.uniform(0.6, 1.6), 3),
                "energy_uj": round(energy * draw.uniform(0.8, 1.25), 1),
                "accuracy": round(draw.uniform(96.0, 99.4), 1),
            }
        )
    for row in rows[:4]:
        row["answers"] = "same"
    for row in rows[-2:]:
        row["answers"] = "DIFFERENT"
    rows[-1]["accuracy"] = 10.2
    return draw.sample(rows, len(rows))


IN_NUMBERS = {
    "game": "A second has 1000 ms; the frame gets one part in frames_per_second, and we a share.",
    "translator": "1 MB is 1000 kB, and every script carries a file of its own.",
    "sensor": (
        "What the battery may give at every moment, less the standby, is there for the answers. A "
        "year has 365 * 24 hours."
    ),
}
DECIDES = (
    "Only a .ptl that keeps the whole budget is a candidate; of these, the smallest deciding "
    "figure wins. The best row of the table may be no candidate."
)
REJECTED = (
    "Every row that is no candidate is listed with all its reasons. 'file' means that it is no "
    ".ptl, 'answers' that they are DIFFERENT. Candidates are not in it, nor is the runner-up."
)
TURNS = (
    "The choice turns where the next candidate would win, at that one's deciding figure. If there "
    "is no other candidate, it turns where the chosen file would break the budget."
)
NO_CHOICE = "Without a candidate there is no choice and nothing to turn: both are None."


def defend(p):
    table = [
        _row("a", "a.pt", "same", 300, 0.5, 90, 99.0),
        _row("b", "b.ptl", "same", 430, 0.8, 450, 98.6),
        _row("c", "c.ptl", "close", 450, 0.7, 350, 98.2),
        _row("d", "d.ptl", "close", 280, 0.6, 150, 96.0),
        _row("e", "e.ptl", "DIFFERENT", 200, 0.4, 80, 98.5),
        _row("f", "f.ptl", "same", 1460, 1.6, 9000, 99.0),
    ]
    facts = FACTS[p.product]
    rejected = {"a": ["file"], "d": ["accuracy"], "e": ["answers"]}
    over, choice, turns, budget = {
        "game": ("p95_ms", "c", 0.8, {"p95_ms": 8 / 9, "accuracy": 98.0}),
        "translator": (
            "size_kb",
            "b",
            450.0,
            {"size_kb": 5000 / 11, "p95_ms": 100.0, "accuracy": 98.0},
        ),
        "sensor": ("energy_uj", "c", 450.0, {"energy_uj": 503.01, "accuracy": 97.0}),
    }[p.product]
    ask, alone = Call("defend", (table, facts)), Call("defend", ([table[4], table[1]], facts))
    none = Call("defend", ([table[3], table[5]], facts))
    return [
        Case(
            f"the budget of the {p.product} in numbers",
            ask,
            budget,
            IN_NUMBERS[p.product],
            0.01,
            pick=lambda r: r["budget"],
        ),
        Case(
            "the choice, and the quantity that decided",
            ask,
            [choice, over],
            DECIDES,
            pick=lambda r: [r["choice"], r["decided_by"]],
        ),
        Case(
            "who was rejected, and why",
            ask,
            {**rejected, "f": [over]},
            REJECTED,
            pick=in_order,
        ),
        Case("where the choice turns", ask, turns, TURNS, 0.01, pick=lambda r: r["turns_at"]),
        Case(
            "one candidate: it turns at the limit",
            alone,
            budget[over],
            TURNS,
            0.01,
            pick=lambda r: r["turns_at"],
        ),
        Case(
            "no candidate",
            none,
            [None, None, {"d": ["accuracy"], "f": [over]}],
            NO_CHOICE,
            pick=lambda r: [r["choice"], r["turns_at"], in_order(r)],
        ),
    ]


def _row(variant, file, answers, size_kb, p95_ms, energy_uj, right):
    return {
        "variant": variant,
        "file": file,
        "answers": answers,
        "size_kb": float(size_kb),
        "p95_ms": p95_ms,
        "energy_uj": float(energy_uj),
        "accuracy": right,
    }


def in_order(reply):
    """The rejected rows, their reasons in alphabetical order."""
    return {name: sorted(why) for name, why in reply["rejected"].items()}


TOO_LARGE = (
    "What fills the file? int8 weights take a quarter of float32 weights, half the hidden channels "
    "leave about half of it, and BatchNorms that are not folded weigh too: optimize_for_mobile "
    "and torch.jit.freeze fold them."
)
WRONG_KIND = {
    "car": (
        "The car's interpreter was built without quantized operators: int8 does not run there, "
        "however small it is. A network with fewer channels does."
    ),
    "laboratory": (
        "A quantized network gives close answers, not the float network's own. This budget leaves "
        "room for all weights in float32."
    ),
}
FORGOTTEN = (
    "Compare the answers of your file with the float network's before you look at its size. A "
    "network that lost channels has to be trained on. One that answers at random after "
    "optimize_for_mobile was traced instead of scripted (chapter 04). A file that breaks the "
    "budget gets no points for its answers."
)
CERTIFIED = (
    "The answers have to be the float network's own. Pruning and int8 change them; freezing and "
    "optimize_for_mobile on a scripted network do not."
)
#: How many points of accuracy a file may lose against the float network.
POINTS = 5.0


def team(budget_kb):
    """Whose budget it is."""
    return "watch" if budget_kb <= 500 else "car" if budget_kb <= 1200 else "laboratory"


def deliver(p):
    held = datasets.load("digits").calibration
    moves = ((0, 0), (0, 1), (1, 0), (-1, -1))
    images = torch.cat([torch.roll(held.images, move, (2, 3)) for move in moves])
    return delivered_cases(p, images, held.labels.repeat(len(moves)))


def relative_error(scores, reference):
    """Norm of the difference over the norm of the reference; infinite if it is no such matrix."""
    scores = torch.cat([s.double() for s in scores])
    if scores.shape != reference.shape:
        return float("inf")
    return float((scores - reference).norm() / reference.norm())


def delivered_cases(p, images, labels, strict=False):
    """What is looked at in the file; with ``strict``, answers count only within the budget."""
    reference = measure.scores(models.load_trained(), images, batch=32).double()
    least, who = accuracy(reference, labels) - POINTS, team(p.budget_kb)
    file = Delivered("choice.ptl")
    seen, answers = Facts(file), Run(file, tuple(images.split(32)))
    kept = {"size": not strict, "operators": not strict or who == "watch"}

    # strict: these two cases come first, and the ones about the answers look at what they found.
    # Without it nothing is remembered, so the public cases can be shared between submissions.
    def keep(what, ok):
        if strict:
            kept[what] = ok
        return ok

    def is_a_network(found):
        return found["loads"] == "lite" and any("conv" in name for name in found["operators"])

    def fits(found):
        ok = is_a_network(found) and found["size"] <= p.budget_kb * 1000
        return keep("size", ok)

    def usable(found):
        foreign = [name for name in found["operators"] if name.startswith("quantized")]
        return keep("operators", is_a_network(found) and not foreign)

    def good(scores):
        return all(kept.values()) and accuracy(scores, labels) >= least

    def the_same(scores):
        return all(kept.values()) and relative_error(scores, reference) <= 1e-3

    cases = [
        Case(
            "a network for the lite interpreter, within the size", seen,
            f"a .ptl of at most {p.budget_kb} kB", TOO_LARGE, judge=fits,
            show=lambda found: f"{found['size'] / 1000:.0f} kB, loads: {found['loads']}",
        )
    ]  # fmt: skip
    if who != "watch":
        cases.append(
            Case(
                f"operators that the {who} wants", seen, "no quantized operator",
                WRONG_KIND[who], judge=usable,
                show=lambda found: ", ".join(sorted(found["operators"]))[:200],
            )
        )  # fmt: skip
    cases.append(
        Case(
            f"right on shifted digits{', in a file that keeps the budget' * strict}", answers,
            f"at least {least:.1f} % ({POINTS:.0f} points below float)", FORGOTTEN, judge=good,
            show=lambda scores: f"{accuracy(scores, labels):.1f} %", weight=3,
        )
    )  # fmt: skip
    if who == "laboratory":
        cases.append(
            Case(
                "the float network's own answers", answers, "a relative error of at most 1e-3",
                CERTIFIED, judge=the_same, weight=3,
                show=lambda scores: f"{relative_error(scores, reference):.1e}",
            )
        )  # fmt: skip
    return cases


EXERCISE = Exercise(
    "Exercise 06: choose within a budget",
    parameters={
        "product": ("translator", "game", "sensor"),
        "factor": (1.5, 1.4, 1.8, 2.0),
        "cache_kib": (32, 8, 1024),
        "budget_kb": (440, 960, 1490, 430, 920, 1510),
        "seed": range(1000),
    },
    tasks=(
        Task(
            "times", "1. What a list of times says", 3, 15, ("steady", "middle", "slowdowns"),
            times,
            "steady: take the median of times[len(times) // 2:], walk from the front to the first "
            "call of at most factor times that, and return the list from there. middle: the "
            "median, then the median of the absolute distances from it. slowdowns: in every round "
            "divide each time by the reference's time of that round; per name, the median of "
            "these ratios.",
            uses=("factor",),
        ),
        Task(
            "reasons", "2. What keeps a file from a budget", 2, 10, ("verdicts",), reasons,
            "For each row start with an empty dict. DIFFERENT answers add 'answers': None. Then "
            "for every quantity of the budget: row.get(quantity) is None adds None; otherwise the "
            "excess is figure - limit, for the accuracy limit - figure, and it is a reason if it "
            "is above 0.",
        ),
        Task(
            "front", "3. A Pareto front in three dimensions", 2, 20, ("front",), front,
            "Turn every row into a tuple of costs: the figure where less is better, minus the "
            "figure where more is better. Row b beats row a if all costs of b are at most those of "
            "a and the tuples are not equal. The front are the rows that no row beats.",
        ),
        Task(
            "energy", "4. How long the battery lasts", 3, 25, ("answer_uj", "battery_hours"),
            energy,
            "Bytes are numbers * bits / 8, trips are bytes / 8. A layer costs macs * (multiply + "
            "add), plus trips of its weights at 1300 pJ, plus 2 * trips of its outputs at the "
            "price of the cache if their bytes fit into cache_kib * 1024, else at 1300 pJ. The "
            "battery holds mah / 1000 * volts watt-hours; the power is standby plus answers per "
            "hour times energy, spread over 3600 s.",
            uses=("cache_kib",),
        ),
        Task(
            "silent", "5. Find the silent bugs", 3, 20, ("choices",), silent,
            "Three bugs. The table's accuracy is in percent and the budget's is a share, so the "
            "comparison always holds. 'able or rows' brings back all that was thrown out. And the "
            "mean counts the cold calls and every interruption: take the median of "
            "row['times_ms'][row['warmup']:].",
        ),
        Task(
            "defend", "6. Defend a choice", 3, 30, ("defend",), defend,
            "First the budget: 1000 / frames_per_second * share; 1000 * pack_mb / scripts; or "
            "(joules / seconds of life - standby) / answers per second. Then the reasons of every "
            "row; those without reasons are the candidates. Sort them by the deciding quantity: "
            "the first is the choice, the second says where it turns, or the limit if there is no "
            "second.",
            uses=("product", "seed"),
        ),
        Task(
            "deliver", "7. A file within your budget", 4, 45, ("choice.ptl",), deliver,
            "Up to 500 kB: static int8 as in chapter 03, for qnnpack. Up to 1200 kB: "
            "variants.prune_channels(model, keep=0.5), then training.fit for some epochs. Above: "
            "the trained network itself. In each case torch.jit.script, optimize_for_mobile (or "
            "freeze), _save_for_lite_interpreter.",
            uses=("budget_kb",),
        ),
    ),
    limits=Limits(cell=60, notebook=180),
)  # fmt: skip

check = Checker(EXERCISE)
