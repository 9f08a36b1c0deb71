"""Every exercise check passes its right solutions and fails its typical wrong ones, with a hint."""

import importlib.util
import math
import re
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch
from records import record
from torch.ao import quantization as tq

from mobilelab import models
from mobilelab.course.checks import (
    NOTHING_RETURNED,
    Case,
    ch00,
    ch01,
    ch02,
    ch03,
    ch04,
    ch05,
    ch06,
    ch07,
    ch08,
    ch09,
    ch10,
    ch11,
    ch12,
    lab01,
    lab03,
    lab04,
    lab07,
    verify,
)
from mobilelab.grading.tasks import compare
from mobilelab.measure.report import Budget
from mobilelab.phone.counter import Cost
from mobilelab.runtimes import vela
from mobilelab.runtimes.base import Inside

ROOT = Path(__file__).resolve().parent.parent

#: A finished table as chapter 06 measures one, in small.
TABLE = [
    record("quick", file_kb=900.0, median_ms=0.5, p95_ms=0.6),
    record("jumpy", file_kb=900.0, median_ms=0.4, p95_ms=2.0),
    record("small", file_kb=300.0, median_ms=3.0, p95_ms=3.5),
    record("tiny-pt", file="tiny.pt", file_kb=200.0, median_ms=3.0, p95_ms=3.5),
    record("small-too", file_kb=300.0, median_ms=3.0, p95_ms=3.6, accuracy=0.985),
    record("different", file_kb=100.0, median_ms=0.1, p95_ms=0.2, verdict="DIFFERENT"),
]
BUDGETS = {
    "game": Budget(50_000, 1.0, 0.98),
    "translator": Budget(450, 100.0, 0.98),
    "sensor": Budget(1000, 4.0, 0.98),
}
ENERGY = {
    "quick": 9.0,
    "jumpy": 9.0,
    "small": 1.0,
    "tiny-pt": 0.5,
    "small-too": 1.0,
    "different": 0.1,
}

#: How each check takes a solution of ``tests/solutions``.
CHECKS = {
    "ch00": {
        "weights": lambda s: ch00.check_weights(*s(), models.TinyMobileNet()),
        "misses": ch00.check_misses,
    },
    "ch01": {
        "conv_weights": ch01.check_conv_weights,
        "conv_macs": ch01.check_conv_macs,
        "p95": ch01.check_p95,
    },
    "ch02": {
        "frozen_by_trace": lambda s: ch02.check_frozen_by_trace(s()),
        "reject": ch02.check_reject,
        "export": ch02.check_export,
    },
    "ch03": {
        "scale_zero_point": ch03.check_scale_zero_point,
        "fake_quantize": ch03.check_fake_quantize,
        "repaired_recipe": ch03.check_repaired_recipe,
        "block_weights": ch03.check_block_weights,
    },
    "ch04": {
        "fold": ch04.check_fold,
        "mobile": ch04.check_mobile,
        "guard": ch04.check_guard,
    },
    "ch05": {
        "operators": lambda s: ch05.check_operators(s()),
        "prepare": ch05.check_prepare,
        "verdict": ch05.check_verdict,
    },
    "ch06": {
        "choices": lambda s: ch06.check_choices(
            s(), TABLE, BUDGETS, lambda row: ENERGY[row.variant]
        ),
        "front": ch06.check_front,
        "energy_range": ch06.check_energy_range,
    },
    "ch07": {
        "density": lambda s: ch07.check_density(s(COSTS), COSTS),
        "first_screen": ch07.check_first_screen,
        "sustained": ch07.check_sustained,
    },
    "ch08": {
        "shares": lambda s: ch08.check_shares(s(RUNS), RUNS),
        "to_input": ch08.check_to_input,
    },
    "ch09": {
        "beyond": ch09.check_beyond,
        "port": ch09.check_port,
    },
    "ch10": {
        "lost": ch10.check_lost,
        "layer": ch10.check_layer,
        "signed": ch10.check_signed,
    },
    "ch11": {
        "witness": ch11.check_witness,
        "careful": ch11.check_careful,
        "may_ship": ch11.check_may_ship,
    },
    "ch12": {
        "busy": lambda s: ch12.check_busy(s(ESTIMATE), ESTIMATE),
        "over": ch12.check_over,
    },
    "lab01": {"place": lab01.check_place, "upright": lab01.check_upright},
    "lab03": {"back": lab03.check_back, "hits": lab03.check_hits},
    "lab04": {"resized": lab04.check_resized, "products": lab04.check_products},
    "lab07": {"pieces": lab07.check_pieces, "answers": lab07.check_answers},
}
#: Counts as chapter 07 makes them: instructions, those that multiply, products.
COSTS = {
    ("cortex-a53", "mobile"): Cost(25_000_000, 7_340_000, 27_960_000, 0.0, "cortex-a53", 16),
    ("cortex-a53", "mobile-int8"): Cost(11_900_000, 6_820_000, 27_300_000, 0.0, "cortex-a53", 16),
    ("cortex-a76", "mobile"): Cost(18_300_000, 6_990_000, 27_960_000, 0.0, "cortex-a76", 16),
    ("cortex-a76", "mobile-int8"): Cost(11_800_000, 6_820_000, 27_200_000, 0.0, "cortex-a76", 16),
}


@dataclass
class Looked:
    """A model file of which only the inside is asked for."""

    suffix: str
    own: dict
    taken: dict

    def inspect(self):
        return Inside("made up", "1", self.own, {"XNNPACK": self.taken} if self.taken else {})


#: A report as Vela writes one, in small: cycles and products by layer.
ESTIMATE = vela.Report(
    "Ethos_U55_128", "system", "memory", 500e6, 700, 41_000, 0, 0, 0, 0, 0, {},
    (
        vela.Layer("a", "Conv2D", "Conv2D", 200, 20_000, 0.78, 0),
        vela.Layer("b", "Conv2D", "Conv2D", 400, 20_000, 0.39, 0),
        vela.Layer("c", "Add", "Add", 50, 0, 0.0, 0),
        vela.Layer("d", "AvgPool", "AvgPool", 50, 1_000, 0.16, 0),
    ),
)  # fmt: skip
#: All, none and a part of the operators delegated.
RUNS = {
    "all": Looked(".pte", {}, {"conv": 17, "add": 5}),
    "none": Looked(".pte", {"conv": 17, "add": 5}, {}),
    "some": Looked(".pte", {"softmax": 1}, {"conv": 17}),
}


def solutions():
    for path in sorted((ROOT / "tests" / "solutions").glob("[cl]*.py")):
        spec = importlib.util.spec_from_file_location(f"solutions_{path.stem}", path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        for name in vars(module):
            if match := re.fullmatch(r"(right|wrong)_(.+?)(_\d+)?", name):
                yield pytest.param(
                    path.stem, match[2], match[1], getattr(module, name), id=f"{path.stem}-{name}"
                )


@pytest.fixture(autouse=True)
def one_engine():
    before = torch.backends.quantized.engine
    torch.backends.quantized.engine = "qnnpack"
    yield
    torch.backends.quantized.engine = before


@pytest.mark.parametrize(("chapter", "task", "kind", "solution"), list(solutions()))
def test_solution(chapter, task, kind, solution):
    check = CHECKS[chapter][task](solution)
    if kind == "right":
        assert check.passed, repr(check)
        assert "Well done" in repr(check)
    else:
        assert not check.passed, repr(check)
        wrong = [outcome for outcome in check.outcomes if not outcome.ok]
        assert wrong, f"a wrong answer must not count as not begun: {check!r}"
        assert all(outcome.hint and outcome.expected != outcome.got for outcome in wrong)


def test_every_check_has_a_right_and_two_wrong_solutions():
    found = {}
    for parameter in solutions():
        chapter, task, kind, _ = parameter.values
        found.setdefault((chapter, task), []).append(kind)
    assert set(found) == {(c, task) for c, tasks in CHECKS.items() for task in tasks}
    assert all(kinds.count("right") >= 1 and kinds.count("wrong") >= 2 for kinds in found.values())


def test_every_check_is_used_in_its_chapter():
    for chapter, tasks in CHECKS.items():
        room = ROOT / "notebooks" / ("labs" if chapter.startswith("lab") else "")
        (path,) = room.glob(f"{chapter[-2:]}_*.ipynb")
        source = "\n".join(c.source for c in nbformat.read(path, as_version=4).cells)
        assert set(re.findall(rf"{chapter}\.check_(\w+)\(", source)) == set(tasks)


def test_not_begun_is_not_wrong():
    def task():
        raise NotImplementedError

    assert "not done yet" in repr(verify("t", [Case("a", task, 1, "h")]))
    assert "not done yet" in repr(verify("t", [Case("a", lambda: None, 1, "h")], given=True))
    assert not verify("t", [Case("a", lambda: None, 1, "h")], given=True).passed
    assert not verify("t", []).passed


@pytest.mark.parametrize(
    ("chapter", "task"),
    [
        (chapter, task)
        for chapter, tasks in CHECKS.items()
        for task in tasks
        if not task.startswith(  # values; and of a search None is an answer
            (
                "weights",
                "frozen_by",
                "operators",
                "choices",
                "density",
                "shares",
                "witness",
                "busy",
            )
        )
    ],
)
def test_a_forgotten_return_is_told_as_one(chapter, task):
    check = CHECKS[chapter][task](lambda *args, **kwargs: None)
    assert not check.passed and check.outcomes
    assert "not done yet" not in repr(check)
    first = next(outcome for outcome in check.outcomes if not outcome.ok)
    if task == "export":  # which is to save a file, and to return nothing
        assert "saved no file" in repr(check)
    elif task == "witness":  # for which None means that there is none
        assert "got      'None'" in repr(check)
    else:
        assert first.hint == NOTHING_RETURNED, repr(check)


def test_a_forgotten_return_is_hinted_at():
    assert "Does it end with return?" in repr(verify("t", [Case("a", lambda: None, 1, "h")]))


def test_the_first_wrong_answer_to_02_1_is_counted_and_the_second_explained(monkeypatch):
    monkeypatch.setattr(ch02, "_tried", set())
    first = repr(ch02.check_frozen_by_trace(set()))
    assert "3 of 6 right" in first and "branch" not in first
    assert repr(ch02.check_frozen_by_trace(set())) == first
    assert "keeps the branch that the example took" in repr(ch02.check_frozen_by_trace({"c", "d"}))
    assert ch02.check_frozen_by_trace({"b", "c", "d"}).passed


def test_an_exception_is_an_answer():
    check = verify("t", [Case("a", lambda: 1 / 0, 1, "h"), Case("b", lambda: 2, 2, "h")])
    assert [outcome.ok for outcome in check.outcomes] == [False, True]
    assert "got      ZeroDivisionError: division by zero" in repr(check)


@pytest.mark.parametrize(
    ("expected", "got", "tolerance", "equal"),
    [
        (1, 1.0, 0, True),
        (36864, np.int64(36864), 0, True),
        (0.5, np.float32(0.5), 0, True),
        (True, np.bool_(True), 0, True),
        (True, np.int64(1), 0, False),
        (1, 1.4, 0.5, True),
        (1, 1.6, 0.5, False),
        (1, True, 0, False),
        (True, 1, 0, False),
        (1, torch.tensor(1.0), 0, True),
        (1, torch.tensor([1.0, 1.0]), 0, False),
        (1, "1", 0, False),
        (1, float("nan"), 0, False),
        ([1], (1,), 0, True),
        ({"a"}, {"a"}, 0, True),
        (torch.ones(2), torch.ones(2, dtype=torch.float64), 0, True),
        (torch.ones(2), torch.ones(2, 1), 0, False),
        (torch.ones(2), [1.0, 1.0], 0, False),
        (torch.ones(2), torch.full((2,), float("nan")), 0, False),
    ],
)
def test_equality_is_strict(expected, got, tolerance, equal):
    assert compare(expected, got, tolerance)[0] is equal


def test_of_two_equally_good_choices_either_is_right():
    table = [record("one", file_kb=300.0), record("other", file_kb=310.0)]
    for name in ("one", "other"):
        choices = dict.fromkeys(("game", "translator", "sensor"), name)
        assert ch06.check_choices(choices, table, BUDGETS, lambda row: 1.0).passed


# --- chapter 03, as strict readers tried it ----------------------------------------------------


def test_03_1_takes_float32_and_refuses_another_rounding():
    def plainly(low, high, bits=8):
        low, high = min(low, 0.0), max(high, 0.0)
        if low == high:
            return 1.0, 0
        scale = torch.tensor((high - low) / (2**bits - 1), dtype=torch.float32).item()
        return scale, round(-low / scale)

    def upwards(low, high, bits=8):
        scale, _ = plainly(low, high, bits)
        return scale, math.ceil(-low / scale)

    assert ch03.check_scale_zero_point(plainly).passed
    assert not ch03.check_scale_zero_point(upwards).passed


@pytest.mark.parametrize(
    ("images", "right"),
    [
        (lambda images: images, True),
        (lambda images: 0.7 * images, False),
        (lambda images: 20 * images, False),
        (lambda images: 10 * torch.randn_like(images), False),
    ],
    ids=["the images", "darker", "brighter", "loud noise"],
)
def test_03_2_wants_the_answers_of_the_float_network(images, right):
    def recipe(network, data):
        torch.manual_seed(0)
        network = network.eval().fuse()
        network.qconfig = tq.get_default_qconfig("qnnpack")
        prepared = tq.prepare(network)
        prepared(images(data.calibration.images))
        return tq.convert(prepared)

    assert ch03.check_repaired_recipe(recipe).passed is right


# --- wrong answers that a strict reader found to pass --------------------------------------------


def refused(check):
    return [outcome.name for outcome in check.outcomes if not outcome.ok]


def test_antialiasing_is_not_what_training_did():
    def prepare(raw, max_value, size, mean, std):
        x = torch.nn.functional.interpolate(
            raw.float() / max_value, size=(size, size), mode="bilinear", antialias=True
        )
        return (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)

    assert refused(ch05.check_prepare(prepare)) == [
        "the first two of eight pixels, made half as large",
        "a picture of 4 by 8 becomes 4 by 4",
    ]


def test_a_gate_looks_at_every_record_and_at_the_version_asked_for():
    def gate(path, newest):
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
                for name in [max(names, key=lambda n: archive.getinfo(n).file_size)]:
                    archive.read(name)
        except zipfile.BadZipFile:
            return "damaged"
        if not any(name.endswith("bytecode.pkl") for name in names):
            return "no bytecode"
        version = torch.jit.mobile._get_model_bytecode_version(str(path))
        return "ok" if version <= newest else "too new"

    assert refused(ch05.check_verdict(gate)) == [
        "a file with one altered bit in its smallest record",
        "a file with altered bits in a compressed record",
    ]


def test_integers_that_were_resized_are_rounded():
    def prepare(raw, max_value, size, mean, std):
        x = torch.nn.functional.interpolate(raw, size=(size, size), mode="bilinear")
        x = x.float() / max_value
        return (x - torch.tensor(mean).view(1, -1, 1, 1)) / torch.tensor(std).view(1, -1, 1, 1)

    assert refused(ch05.check_prepare(prepare)) == ["the corners 0 1 / 2 3, enlarged to 4x4"]


def test_a_gate_does_not_ask_a_renamed_file_for_its_name():
    def gate(path, newest):
        try:
            with zipfile.ZipFile(path) as archive:
                if archive.testzip():
                    return "damaged"
                names = archive.namelist()
        except (zipfile.BadZipFile, zlib.error):
            return "damaged"
        if f"{path.stem}/bytecode.pkl" not in names:
            return "no bytecode"
        version = torch.jit.mobile._get_model_bytecode_version(str(path))
        return "ok" if version <= newest else "too new"

    assert refused(ch05.check_verdict(gate)) == [
        "an intact file of version 8 and a copy of another name, for a runtime up to 9"
    ]


@pytest.mark.parametrize("bound", [0.005, 0.015])
def test_the_first_screen_has_the_bound_that_was_asked_for(bound):
    def screen(inputs, scores, seen_inputs, seen_scores):
        if inputs.shape != seen_inputs.shape or not (inputs - seen_inputs).abs().max() <= 1e-5:
            return "preprocessing"
        if scores.shape != seen_scores.shape:
            return "model"
        error = (scores - seen_scores).norm() / scores.norm()
        return "ok" if error <= bound else "model"

    assert refused(ch07.check_first_screen(screen))
    assert not refused(ch07.check_first_screen(screen_right))


def screen_right(inputs, scores, seen_inputs, seen_scores):
    if inputs.shape != seen_inputs.shape or not (inputs - seen_inputs).abs().max() <= 1e-5:
        return "preprocessing"
    if scores.shape != seen_scores.shape:
        return "model"
    return "ok" if (scores - seen_scores).norm() <= 1e-2 * scores.norm() else "model"


def test_below_the_threshold_is_below_it():
    def reject(scores, threshold: float):
        confidence, label = scores.softmax(1).max(1)
        return torch.where(confidence <= threshold, -1, label)

    assert refused(ch02.check_reject(reject))[0].startswith("a row with just the threshold")
