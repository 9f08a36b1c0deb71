"""Assignment 08: hostile and plausible `.pte` files get nothing, and honest kinds lose nothing."""

import ast
import base64
import importlib.util
import json
import math
import sys
from functools import cache

import numpy as np
import pytest
import torch
from grading import ROOT, SECRET, needs_sandbox, notebook
from torch import nn

from mobilelab.core.errors import MissingRuntimeError
from mobilelab.grading import batch, run_model, trivial
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.checker import ask_here
from mobilelab.grading.gradebook import Gradebook
from mobilelab.grading.sandbox import Sandbox
from mobilelab.grading.scorer import score
from mobilelab.grading.serialize import File
from mobilelab.grading.static_imports import modules
from mobilelab.grading.tasks import look
from mobilelab.recipes import successors
from mobilelab.runtimes import libraries, quiet

FOLDER = ROOT / "exercises" / "08_executorch"
MINE = {"momentum": 0.25, "limit": 0.5, "most": 20, "dial": 2}
needs_executorch = pytest.mark.skipif(
    importlib.util.find_spec("executorch") is None, reason="executorch is not installed"
)


@pytest.fixture(scope="module")
def assignment():
    return Assignment.load(FOLDER)


@pytest.fixture(scope="module")
def solved(assignment):
    """Names of the solution's cells that need no ExecuTorch, and of those that make networks."""
    checks = assignment.checks
    names = {"math": math, "torch": torch, "nn": nn, "Tensor": torch.Tensor,
             "F": nn.functional, "Any": object, **MINE, "network_of": checks.network_of,
             "calibration_of": checks.calibration_of}  # fmt: skip
    for cell in json.loads(assignment.files["solution.ipynb"])["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "code" and source.startswith(("def ", "### BEGIN")):
            exec(source, names)
    return names


def gained(assignment, key, names):
    """The points of one task for what a notebook defines, and the names of the wrong cases."""
    task = assignment.exercise.task(key)
    _, hidden = assignment.cases(task, MINE, b"a secret", "eve")
    outcomes = look(hidden, lambda question: ask_here(names, question), words=False)
    share = trivial.reached(outcomes, lambda: assignment.guessing(task, MINE))
    return task.points * share, [outcome.name for outcome in outcomes if not outcome.ok]


# --- without ExecuTorch -----------------------------------------------------------------------


def test_without_executorch_one_sentence_comes_before_anything_runs(
    assignment, monkeypatch, tmp_path
):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    monkeypatch.setattr(batch, "connected", lambda *_: pytest.fail("something was started"))
    book = Gradebook(tmp_path / "book.db")
    with pytest.raises(MissingRuntimeError, match="08: ExecuTorch needs executorch.*make runtimes"):
        batch.grade(assignment, [], book)
    book.close()
    Assignment.load(ROOT / "exercises" / "07_on_a_device").require()


def test_a_worker_looks_for_itself(assignment, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    job = {"mark": "x", "name": assignment.name, "files": assignment.files, "hidden": True,
           "sealed": True}  # fmt: skip
    with pytest.raises(MissingRuntimeError, match="not installed here"):
        batch._here(job)
    assert "x" not in batch._assignments


def test_the_graders_own_side_needs_no_executorch(assignment):
    for name in ("checks.py", "hidden.py"):
        tree = ast.parse(assignment.files[name])
        found = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
        found |= {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
        assert not {one for one in found if one and one.startswith(("executorch", "torchao"))}
    assert {"executorch.exir", "executorch.devtools.backend_debug"} <= set(
        modules(assignment.files)
    )


# --- the two tasks without a file -------------------------------------------------------------


def as_numpy(value):
    if isinstance(value, tuple):
        return [as_numpy(one) for one in value]
    if isinstance(value, torch.Tensor):
        return value.double().numpy()
    return {int: np.int64, float: np.float64, bool: np.bool_}[type(value)](value)


def test_honest_kinds_of_answers_lose_nothing(assignment, solved):
    names = dict(solved)
    for name in ("grid", "lost", "seen", "harmless"):
        names[name] = lambda *args, kept=solved[name]: as_numpy(kept(*args))
    for key in ("clip", "memory"):
        for given in (solved, names):
            assert gained(assignment, key, given) == (assignment.exercise.task(key).points, [])


def test_the_average_is_torchs_own(assignment):
    """The moving average of the exercise, beside the observer that torch has."""
    from torch.ao.quantization import MovingAverageMinMaxObserver

    seen = assignment.checks.Draw(3)
    batches = [(1 + i) * seen.normal_tensor(50) for i in range(5)]
    observer = MovingAverageMinMaxObserver(0.25, torch.qint8, quant_min=-128, quant_max=127)
    for one in batches:
        observer(one)
    scale, zero = observer.calculate_qparams()
    ours = assignment.checks.grid_of(batches, 0.25)
    assert ours[0] == pytest.approx(scale.item(), rel=1e-5) and abs(ours[1] - zero.item()) <= 1


def test_plausible_wrong_work_loses(assignment, solved):
    def no_zero(batches, momentum):
        low, high = min(b.min() for b in batches), max(b.max() for b in batches)
        scale = (high - low).item() / 255
        return scale, -128 - round(low.item() / scale)

    def never_averaged(batches, momentum):
        return solved["grid"](batches, None)

    def unsigned(batches, momentum):
        scale, zero = solved["grid"](batches, momentum)
        return scale, zero + 128

    def inside(x, scale, zero):
        return 0.0, scale / 2

    def one_memory(memory, shape, strides):
        return (torch.as_strided(memory, shape, strides),) * 2

    def falling(shape, strides):
        return list(strides) == sorted(strides, reverse=True)

    wrong = {
        "a range without 0": ("clip", {"grid": no_zero}, 2.2),
        "the extremes, whatever the momentum": ("clip", {"grid": never_averaged}, 2.2),
        "0 to 255": ("clip", {"grid": unsigned}, 2.2),
        "nothing is ever clipped": ("clip", {"lost": inside}, 2.6),
        "one memory for both": ("memory", {"seen": one_memory}, 1.6),
        "strides that fall": ("memory", {"harmless": falling}, 1.8),
        "never harmless": ("memory", {"harmless": lambda *_: False}, 1.7),
    }  # fmt: skip
    for name, (task, functions, most) in wrong.items():
        points, cases = gained(assignment, task, {**solved, **functions})
        assert cases and points <= most + 1e-9, (name, points, cases)


FORGED = (None, True, "a text", 3, [], {}, object(), float("nan"), (1, 2, 3), {"parts": 1},
          {"parts": "one", "left": ["aten_cumsum_default"]}, b"", b"\x00\x00\x00\x00ET12",
          b"\x00\x00\x00\x00ET12" + bytes(3000))  # fmt: skip


@needs_executorch
@pytest.mark.parametrize("forged", FORGED, ids=lambda it: repr(it)[:20])
def test_answers_of_another_kind_are_wrong_and_stop_nothing(
    assignment, forged, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "gauge.pte").write_bytes(forged if isinstance(forged, bytes) else b"")
    (tmp_path / "checks.py").write_bytes(assignment.files["checks.py"])
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "checks", raising=False)
    for task in assignment.exercise.tasks:
        points, wrong = gained(assignment, task.key, dict.fromkeys(task.names, lambda *_: forged))
        assert points == 0 and wrong, task.key
    monkeypatch.delitem(sys.modules, "checks", raising=False)


# --- files ------------------------------------------------------------------------------------


def lowered(network, example, delegate=True):
    return successors.to_executorch(network, example, delegate=delegate)


@cache
def quantized(dial, pictures=20, per_channel=True):
    """The file that the solution makes, with fewer pictures or another scheme."""
    with quiet():
        from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
            XNNPACKQuantizer,
            get_symmetric_quantization_config,
        )
        from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    checks = Assignment.load(FOLDER).checks
    example = torch.zeros(1, 1, 16, 16)
    quantizer = XNNPACKQuantizer()
    quantizer.set_global(get_symmetric_quantization_config(is_per_channel=per_channel))
    with quiet(), torch.no_grad():
        network = torch.export.export(flat(checks.network_of(dial)), (example,)).module()
        prepared = prepare_pt2e(network, quantizer)
        for one in checks.calibration_of(dial)[:pictures].split(1):
            prepared(one)
        return lowered(convert_pt2e(prepared), example)


class Flat(nn.Module):
    """A Gauge, all of which XNNPACK takes."""

    def __init__(self, net):
        super().__init__()
        self.a, self.b, self.linear = net.a, net.b, net.linear

    def forward(self, x):
        x = torch.relu(self.b(torch.relu(self.a(x))))
        return self.linear(x.mean((2, 3), keepdim=True).flatten(1))


def flat(net):
    return Flat(net).eval()


class Huge(nn.Module):
    """Little in the file, and much of it when it runs."""

    def forward(self, x):
        y = x.reshape(1, 1, 256).repeat(1, 2**24, 1) + 1  # 17 GB
        return y.sum((0, 1, 2)).reshape(1, 1).repeat(1, 3)


class Same(nn.Module):
    def forward(self, x):
        return x + 0.0


def unrun(network, example):
    """Lowered without being run, for a network that no computer should run."""
    with quiet():
        from executorch.exir import to_edge_transform_and_lower

        exported = torch.export.export(network, (example,))
        return bytes(to_edge_transform_and_lower(exported).to_executorch().buffer)


def bundled(network, example):
    with quiet():
        from executorch.devtools import BundledProgram
        from executorch.devtools.bundled_program.config import MethodTestCase, MethodTestSuite
        from executorch.devtools.bundled_program.serialize import (
            serialize_from_bundled_program_to_flatbuffer,
        )
        from executorch.exir import to_edge_transform_and_lower

        program = to_edge_transform_and_lower(torch.export.export(network, (example,)))
        case = MethodTestCase((example,), (network(example),))
        suite = MethodTestSuite("forward", [case])
        return serialize_from_bundled_program_to_flatbuffer(
            BundledProgram(program.to_executorch(), [suite])
        )


def changed(content, places):
    """The same file with other bytes at some places, given as shares of its length."""
    found = bytearray(content)
    for share in places:
        found[int(share * len(found))] ^= 0x5A
    return bytes(found)


@pytest.fixture(scope="module")
def files(assignment):
    """Files that are not the right one, by what they are."""
    libraries.keep_operators()
    example = torch.zeros(1, 1, 16, 16)
    network, right = assignment.checks.network_of(MINE["dial"]), quantized(MINE["dial"])
    middle = range(60, 95)
    whole = flat(network)
    return {
        "float": lowered(whole, example),
        "portable": lowered(whole, example, delegate=False),
        "float64": lowered(flat(assignment.checks.network_of(2)).double(), example.double(),
                           delegate=False),
        "as it came, with a mean left over": lowered(network, example),
        "somebody else's": quantized(1),
        "cut off": right[: len(right) // 2],
        "cut off in the last byte": right[:-1],
        "two bytes in the head": changed(right, (0.001, 0.004)),
        "bytes all over the program": changed(right, [i / 97 for i in range(1, 60, 3)]),
        "bytes all over the weights": changed(right, [i / 97 for i in middle]),
        "a program that gives back its input": lowered(Same(), example, delegate=False),
        "a program with inputs in it": bundled(whole, example),
        "a program that wants 17 GB": unrun(Huge(), example),
        "a head that promises more": right[:16] + b"\xff" * 6 + right[22:],
        "a .ptl": torch.jit.trace(whole, example)._save_to_buffer_for_lite_interpreter(),
    }  # fmt: skip


@pytest.fixture(scope="module")
def sandbox(assignment):
    with Sandbox(modules(assignment.files)) as place:
        yield place


def delivered(assignment, sandbox, content):
    """The result of a notebook that does nothing but write this file."""
    cell = f"import base64\nopen('gauge.pte', 'wb').write(base64.b64decode({as_text(content)!r}))"
    values = "\n".join(f"{name} = {value!r}" for name, value in MINE.items())
    result = score(
        assignment, notebook(cell, parameters=values), "eve", sandbox, secret=SECRET, draws=SECRET,
        only=("deliver",), parameters=MINE,
    )  # fmt: skip
    return result["tasks"]["deliver"]


def as_text(content):
    return base64.b64encode(content).decode()


@needs_executorch
@needs_sandbox
def test_files_that_are_not_the_right_one_get_nothing(assignment, sandbox, files):
    found = {}
    for name, content in files.items():
        task = delivered(assignment, sandbox, content)
        found[name] = task["points"]
        seen = [case["got"] for case in task["cases"] if case["public"]]
        # whatever it is: one sentence, and no traceback
        assert all(len(text) < 600 and "Traceback" not in text for text in seen), (name, seen)
    assert found == dict.fromkeys(files, 0.0)


@needs_executorch
@needs_sandbox
def test_a_calibration_with_faint_pictures_only_costs_the_bright_ones(assignment, sandbox):
    right = delivered(assignment, sandbox, quantized(MINE["dial"]))
    assert (right["points"], right["end"]) == (4, "right"), right["cases"]
    faint = delivered(assignment, sandbox, quantized(MINE["dial"], pictures=4))
    wrong = [case["name"] for case in faint["cases"] if not case["ok"]]
    assert "answers for bright pictures" in wrong and faint["points"] <= 1
    tensorwise = delivered(assignment, sandbox, quantized(MINE["dial"], per_channel=False))
    assert tensorwise["points"] == 0


@needs_executorch
def test_what_a_pte_tells_of_itself(files):
    found = run_model.facts(File(quantized(MINE["dial"])))
    assert (found["loads"], found["parts"], found["operators"]) == (
        "executorch", {"XnnpackBackend": 1}, {},
    )  # fmt: skip
    assert found["inputs"] == [("float32", (1, 1, 16, 16))]
    assert found["outputs"] == [("float32", (1, 3))]
    assert (
        set(found["dtypes"]) == {"qcint8", "qcint32"} and "XNNFullyConnected" in found["delegated"]
    )
    portable = run_model.facts(File(files["portable"]))
    assert portable["parts"] == {} and "aten::convolution.out" in portable["operators"]
    left = run_model.facts(File(files["as it came, with a mean left over"]))
    assert left["parts"] == {"XnnpackBackend": 2} and set(left["operators"]) == {"aten::mean.out"}


@needs_executorch
def test_a_file_that_is_refused_says_why_in_one_sentence(files):
    reasons = {
        "cut off": "is cut off",
        "a program with inputs in it": "not an ExecuTorch program",
        "a head that promises more": "is cut off",
    }
    for name, reason in reasons.items():
        found = run_model.facts(File(files[name]))
        assert found["loads"].startswith("refused: ") and reason in found["loads"], found
        assert "\n" not in found["loads"]


@needs_executorch
def test_run_gives_what_the_network_gives(assignment, files):
    network, x = assignment.checks.network_of(MINE["dial"]), torch.rand(1, 1, 16, 16)
    [got] = run_model.run(File(files["float"]), [x])
    assert torch.allclose(got, network(x), atol=1e-4)
    with pytest.raises(Exception, match="refuses"):
        run_model.run(File(files["float"]), [x.double()])
