"""Exercise 10: what looks like a rescue and is none gets nothing for it."""

import io
import json
import zipfile
from pathlib import Path

import pytest
import torch
import torch.jit.mobile
from grading import ROOT, SECRET, needs_sandbox

from mobilelab import datasets
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.sandbox import Sandbox
from mobilelab.grading.scorer import score

FOLDER = ROOT / "exercises" / "10_rescue"

#: Task to ways of answering it that come to nothing: a last cell behind the solution.
ATTACKS = {
    "contents": {
        "the versions of a runtime, and no look into the file": """
def what_is_in(content):
    return {"bytecode": 8, "packed": 0, "int8": 0}""",
    },
    "wrong": {
        "always healthy": "def what_is_wrong(content):\n    return 'nothing'",
        "always the fold bug": "def what_is_wrong(content):\n    return 'fold bug'",
    },
    "unpack": {
        "as the official converter does it": """
kept = unpacked
def unpacked(content):
    return [(kind, weight, None, None, None) for kind, weight, *_ in kept(content)]""",
    },
    "shift": {
        "a cast in place of the shift": """
def shifted(q, zero):
    return q.to(torch.int8), zero
def int8_conv(q, *rest):
    return q.to(torch.int8)[:, :1].repeat(1, 3, 1, 1)""",
    },
    "rewrite": {
        "the file itself": "def rewritten(content):\n    return content",
        "the file, called by a new one": """
def rewritten(content):
    old = torch.jit.load(io.BytesIO(content))
    new = torch.jit.trace(nn.Sequential(old), torch.zeros(1, 1, 16, 16))
    return new._save_to_buffer_for_lite_interpreter()""",
        "as the official converter does it": """
def layer(x, context):
    weight, bias, *settings, low, high = context.__getstate__()[0]
    return torch.conv2d(x, weight, bias, *settings) if settings else F.linear(x, weight, bias)""",
        "a file for another loader": """
def rewritten(content):
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.load(io.BytesIO(content)), buffer)
    return buffer.getvalue()""",
        "a network that learned the public pictures": """
def rewritten(content):
    class Table(nn.Module):
        def forward(self, x):
            return x.mean([2, 3]).repeat(1, 3)
    traced = torch.jit.trace(Table(), torch.zeros(1, 1, 16, 16))
    return traced._save_to_buffer_for_lite_interpreter()""",
    },
    "deliver": {
        "the old file under a new name": """
import shutil
shutil.copy(datasets.verified(found), "rescued.ptl")""",
        "the old file behind its preprocessing": """
class Before(nn.Module):
    def __init__(self):
        super().__init__()
        self.old = torch.jit.load(str(datasets.verified(found))).eval()
    def forward(self, x):
        return self.old((x / 255 - mean) / std)
new = torch.jit.trace(Before(), torch.zeros(1, 1, 16, 16))
new._save_for_lite_interpreter("rescued.ptl")""",
        "int8 weights as floats": """
for name, held in [*network.weights.items()]:
    network.weights[name] = (held[0].float(), *held[1:])
new = torch.jit.trace(network, torch.zeros(1, 1, 16, 16))
new._save_for_lite_interpreter("rescued.ptl")""",
    },
}
#: What the attack on weights needs: a file with int8, and its network under a name.
INT8 = {"found": "found_gauge_b.ptl", "mean": 0.45, "std": 0.3}
NAMED = "network = PlainInt8(torch.jit.load(str(datasets.verified(found))).eval())"


@pytest.fixture(scope="module")
def assignment():
    return Assignment.load(FOLDER)


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(("torchvision", "mobilelab.models", "mobilelab.datasets")) as place:
        yield place


def graded(assignment, sandbox, monkeypatch, *cells, parameters=INT8):
    """The solution with more cells behind it, graded."""
    monkeypatch.setattr(Assignment, "parameters", lambda *_: parameters)
    book = json.loads(assignment.files["solution.ipynb"])
    for place, source in enumerate(cells):
        book["cells"].append({
            "cell_type": "code", "id": f"more-{place}", "metadata": {}, "source": source,
            "outputs": [], "execution_count": None,
        })  # fmt: skip
    content = json.dumps(book).encode()
    return score(assignment, content, "eve", sandbox, secret=SECRET, draws=SECRET)


@needs_sandbox
@pytest.mark.parametrize("turn", range(max(map(len, ATTACKS.values()))))
def test_what_is_no_rescue_gets_nothing(assignment, sandbox, monkeypatch, turn):
    """One attack on every task at once; those on one task take turns."""
    chosen = {task: [*ways.items()][turn] for task, ways in ATTACKS.items() if turn < len(ways)}
    cells = [NAMED, *(source.strip() for _, source in chosen.values())]
    result = graded(assignment, sandbox, monkeypatch, *cells)
    points = {task: result["tasks"][task]["points"] for task in chosen}
    assert points == dict.fromkeys(chosen, 0), {t: chosen[t][0] for t in chosen if points[t]}


@needs_sandbox
def test_somebody_elses_file_gets_nothing(assignment, sandbox, monkeypatch):
    other = """
theirs = torch.jit.load(str(datasets.verified("found_gauge_a.ptl")))
new = torch.jit.trace(PlainInt8(theirs), torch.zeros(1, 1, 16, 16))
new._save_for_lite_interpreter("rescued.ptl")
"""
    mine = {**INT8, "found": "found_gauge_f.ptl"}
    result = graded(assignment, sandbox, monkeypatch, other.strip(), parameters=mine)
    delivered = {case["name"]: case["ok"] for case in result["tasks"]["deliver"]["cases"]}
    assert not delivered["raw pictures, the old file's answers"]
    assert result["tasks"]["deliver"]["points"] < 3


def test_the_found_files_are_what_the_exercise_says(assignment):
    """Each kind once, by looking into the files with the course's own tool."""
    from mobilelab.rescue import archive
    from mobilelab.rescue.findings import judge
    from mobilelab.rescue.inspect import contents

    torch.backends.quantized.engine = "qnnpack"
    names = {"the silent fold bug": "fold bug", "training mode left on": "training"}
    for file, (word, layers) in assignment.hidden.TRUTH.items():
        found = archive.examine(datasets.verified(file))
        module = archive.load(found)
        inside = contents(found, module)
        said = {names[one.name] for one in judge(found, module, inside) if one.name in names}
        assert said == ({word} - {"nothing"}), file
        int8 = [n for n in inside.operators if n.startswith(("quantized::conv", "quantized::lin"))]
        assert sum(inside.operators[name] for name in int8) == layers, file
        assert bool(layers) == bool(assignment.checks.FOUND[file])


#: How paths begin that lead to somebody; the one in the found files is invented.
PLACES = (str(ROOT), str(Path(torch.__file__).parent), "/root/", "/tmp/", "/Users/", "/home/")


def places(file):
    """Records of an archive that name a place, without the invented one."""
    with zipfile.ZipFile(file) as archive:
        records = {n: archive.read(n).replace(b"/home/maria/", b"") for n in archive.namelist()}
    return [n for n, content in records.items() if any(p.encode() in content for p in PLACES)]


def test_found_files_name_nobody_who_is_real():
    """Nothing is left of the computer that made them."""
    files = sorted(datasets.data_root().glob("found_*.ptl"))
    assert len(files) == 9
    assert {path.name: places(path) for path in files if places(path)} == {}


def test_a_path_of_this_computer_would_be_found():
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), buffer)
    assert places(buffer)
