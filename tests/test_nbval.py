"""nbval compares stored outputs: shown on a small notebook, under the course's own settings."""

import os
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import nbformat
import nbval_compare
import pytest
import torch
from nbval.plugin import IPyNbCell, IPyNbFile
from records import record

from mobilelab.course import widgets
from mobilelab.course.widgets import page, quiz
from mobilelab.course.widgets.resolution import Cost
from mobilelab.recipes import successors, variants

ROOT = Path(__file__).resolve().parent.parent
CONFIG = ROOT / "tests" / "nbval_sanitize.cfg"
# For each section of the file, and each tolerance of nbval_compare.py, what is equal and what is
# not: fresh to the left, stored to the right, \n for a new line.
PAIRS = r"""
[what holds on this host only, see measure.on_this_host]
on this host: 34% of a frame\n3 layers == on this host: 107% of a frame\n3 layers
on this host: 34% of a frame\n3 layers != on this host: 34% of a frame\n4 layers
4.0 ms on this host: met != 4.0 ms on this host: missed
on this host: met != on that host: met

[whether a busy host misses the budget's time]
2.10x the float model's time, too slow on this host == met
0.31 ms too slow on this host == met
<td>2.10x the float model&#x27;s time, too slow on this host</td> == <td>met</td>
530 kB too large; 2.10x the float model's time, too slow on this host == 530 kB too large
2.10x the float model's time, too slow on this host; accuracy 1.0 points too low \
== accuracy 1.0 points too low
530 kB too large; 2.10x the float model's time, too slow on this host != met
2.10x the float model's time, too slow on this host; accuracy 1.0 points too low != met
its time was not taken in turn with the float model's != met
answers differ from the float model != met

[whether a variant that is trained here misses the budget's accuracy, which has its own column]
int8-qat  97.6%  accuracy 0.4 points too low == int8-qat  98.6%  met
<td>pruned</td><td>8 kB too large; accuracy 0.4 points too low</td> \
== <td>pruned</td><td>8 kB too large</td>
int8-qat  97.6%  8 kB too large; accuracy 0.4 points too low != int8-qat  98.6%  met
small-int8  97.6%  accuracy 0.4 points too low == small-int8  98.2%  met
int8  97.6%  accuracy 0.4 points too low != int8  97.6%  met
<td>pruned</td></tr><td>int8</td><td>accuracy 0.4 points too low</td> \
!= <td>pruned</td></tr><td>int8</td><td>met</td>
<td>pruned</td></tr><td>int8</td><td>8 kB too large; accuracy 0.4 points too low</td> \
!= <td>pruned</td></tr><td>int8</td><td>8 kB too large</td>

[measured times and memory]
1.62 ms, 45 µs, +5.9 MiB == 9.99 ms, 4 µs, +16.0 MiB
0 ms, 2.6e-02 == 3 ms, 2.7e-02
1.62 ms != 1.62 µs
5.9 MiB != 6.9 MB
5 msec != 6 msec
1.62 != 1.63

[seconds]
7.1 s. == 16.2 s.
7.1 s != 7.1 ms
7.1 stages != 7.2 stages

[how many samples fitted into the time]
(200 calls, 1 thread) == (15 calls, 1 thread)
(200 calls, 1 thread) != (200 calls, 2 threads)
200 calls != 15 calls

[ratios of times]
1.50x (1.40 to 1.60), 1.41x == 0.94x (0.94 to 0.94), 0.64x
258x (237 to 263) == 12.3x (11.1 to 13.8)
28x32 != 32x32
258x == 258x
258x != 257x
1.5 times != 1.6 times
1.50x (guessed) != 1.50x (measured)

[the layout of a text table follows its widest cell]
eager     same\n--------  ---- == eager  same\n-----  ----
eager same != eagersame
eager\nsame != eager same
-1 != 1
eager--same != eagersame

[tolerance: a number in scientific notation]
relative error 2.6e-02 == relative error 2.6e-01
relative error 9.9e-04 == relative error 1.0e-03
relative error 9.5e-07 == relative error 0.0e+00
eager  0  9e-07 == eager  1e-12  0
<td>0</td><td>4e-06</td> == <td>3e-07</td><td>9e-06</td>
relative error 1.1e-03 != relative error 9.9e-01
relative error 1.0e-04 != relative error 9.0e-09
relative error 2.6e-02 != relative error 2.7e-01
relative error 2.6e-02 != relative error 2.5e-03
relative error 1.1e-06 != relative error 0.0e+00
relative error inf != relative error 1.0e+00
eager  0  0 != eager  0  4e-06
eager  0  0 != eager  0  1
-2.1e-02 != 2.1e-02
1.234e-02 != 1.235e-02
x=0 != x=3e-07
1e-07 kB != 0 kB

[tolerance: a size]
408 kB == 400 kB
392 kB == 400 kB
1 kB == 0 kB
11 kB == 10 kB
419 kB != 400 kB
409 kB != 400 kB
391 kB != 400 kB
95 kB != 10 kB
12 kB != 10 kB
419 MB != 418 MB
4.1 kB != 4.0 kB

[tolerance: a row of a variant that is trained here]
int8-qat  close  7e-02  96.6%  427 kB  97.4% == int8-qat  close  3e-02  99.6%  419 kB  99.4%
<td>pruned</td><td>97.0%</td><td>96.2%</td> == <td>pruned</td><td>100.0%</td><td>98.2%</td>
et-qat  99.9%  64.4%\nint8  98.6% == et-qat  97.0%  62.4%\nint8  98.6%
mobile-pruned  99.9%  99.9% == mobile-pruned  97.0%  98.1%
mobile-qat  99.6%  99.4% == mobile-qat  98.6%  98.4%
small-int8  98.6%  98.2% == small-int8  98.4%  97.8%
mobile-small  98.6%  98.2% == mobile-small  98.4%  97.8%
mobile-int8  98.6%  98.2% != mobile-int8  98.4%  98.2%
int8-qat  DIFFERENT  99.6%  99.4% != int8-qat  close  99.6%  99.4%
int8-qat  96.5%  99.4% != int8-qat  99.6%  99.4%
int8-qat  99.6%  97.3% != int8-qat  99.6%  99.4%
int8-qat  99.6%  430 kB  99.4% != int8-qat  99.6%  419 kB  99.4%
int8-qat  99.6% != int8-qat  99.6%  99.4%
int8  99.6%  99.4% != int8-qat  99.6%  99.4%
int8  99.6% != int8  99.4%
int8-qat  99.6%\nint8  98.6% != int8-qat  99.6%\nint8  98.4%
pruned.pt  99.6% != pruned.pt  99.4%
<td>pruned</td><td>98.8%</td><td>96.1%</td> != <td>pruned</td><td>98.8%</td><td>98.2%</td>
<td>pruned</td></tr><td>int8</td><td>98.4%</td> != <td>pruned</td></tr><td>int8</td><td>98.6%</td>
"""


def pairs_of(text, sign):
    """Each pair with its section."""
    for section, lines in re.findall(r"(?ms)^\[(.*?)\]\n(.*?)(?=^\[|\Z)", text):
        for line in lines.replace("\\\n", "").split("\n"):
            if f" {sign} " in line:
                yield section, *line.replace(r"\n", "\n").split(f" {sign} ")


EQUAL, NOT_EQUAL = list(pairs_of(PAIRS, "==")), list(pairs_of(PAIRS, "!="))
RULES = CONFIG.read_text(encoding="utf-8")
TOLERANCES = [name for name in vars(nbval_compare) if re.fullmatch("[A-Z][A-Z_]+", name)]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))


@pytest.fixture
def a_cell(request):
    """A cell as nbval holds it in this session, with the session's rules."""
    file = IPyNbFile.from_parent(request.session, path=ROOT / "none.ipynb")
    file.setup_sanitize_files()
    return IPyNbCell.from_parent(file, name="none", cell_num=0, cell=None, options={})


@pytest.fixture
def compared(a_cell):
    """Does nbval call two texts of an output equal?"""
    return lambda *texts: a_cell.compare_outputs(
        *([nbformat.v4.new_output("display_data", data={"text/plain": text})] for text in texts)
    )


@pytest.mark.parametrize(("section", "fresh", "stored"), EQUAL)
def test_equal(compared, section, fresh, stored):
    assert compared(fresh, stored)


@pytest.mark.parametrize(("section", "fresh", "stored"), NOT_EQUAL)
def test_not_equal(compared, section, fresh, stored):
    assert not compared(fresh, stored)


def test_rows_that_are_trained_here_are_those_whose_recipe_trains():
    rules = Path(__file__).with_name("nbval_sanitize.cfg").read_text()
    for variant in (*variants.WALK, *successors.SUCCESSORS):
        assert bool(nbval_compare._TRAINED.match(f"{variant.name} ")) is variant.trains
    (inner,) = set(re.findall(r"\(\?:\^\|>\)(\(\?:.+?\))\(\?: \|</td>\)", rules))
    assert inner in nbval_compare._TRAINED.pattern  # the two lists are one


def test_every_section_has_its_pairs():
    sections = set(re.findall(r"(?m)^\[(.*)\]$", RULES))
    for pairs in (EQUAL, NOT_EQUAL):
        assert {name for name, *_ in pairs if not name.startswith("tolerance: ")} == sections


@pytest.mark.parametrize("rule", re.findall(r"(?m)^regex: (.*)$", RULES))
def test_every_rule_is_needed_by_a_pair_of_equals(a_cell, compared, rule):
    del a_cell.parent.sanitize_patterns[rule]
    assert not all(compared(fresh, stored) for _, fresh, stored in EQUAL)


@pytest.mark.parametrize("name", TOLERANCES)
def test_no_tolerance_can_be_taken_away_or_doubled_unseen(compared, monkeypatch, name):
    value = getattr(nbval_compare, name)
    monkeypatch.setattr(nbval_compare, name, 0)
    assert not all(compared(fresh, stored) for _, fresh, stored in EQUAL)
    monkeypatch.setattr(nbval_compare, name, 2 * value)
    assert any(compared(fresh, stored) for _, fresh, stored in NOT_EQUAL)


def test_streams_are_told_apart_by_their_name(a_cell):
    def streams(out, err):
        texts = {"stdout": out, "stderr": err}
        return [nbformat.v4.new_output("stream", name=n, text=t) for n, t in texts.items()]

    assert a_cell.compare_outputs(streams("408 kB", "1e-02")[::-1], streams("400 kB", "2e-02"))
    assert not a_cell.compare_outputs(streams("408 kB", "1e-02"), streams("408 kB", "2e-01"))


def changed(text):
    """The text with one of its figures or verdicts changed by more than is allowed."""
    for found in re.finditer(r"\d(\.\d)?e[+-]\d\d|\d+(?= kB)|\d+(\.\d)?(?=%)|\bclose\b", text):
        if found[0] == "close":
            other = "DIFFERENT"
        elif "e" in found[0]:
            other = f"{20 * max(float(found[0]), 1e-6):.1e}"
        elif text[found.end()] == "%":
            other = f"{abs(float(found[0]) - 4):.1f}"
        else:
            other = f"{1.05 * int(found[0]) + 2:.0f}"
        yield text[: found.start()] + other + text[found.end() :]


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_no_figure_of_a_stored_output_can_change_unseen(compared, path):
    for cell in nbformat.read(path, 4).cells:
        if "nbval-ignore-output" not in cell.metadata.get("tags", []):
            for output in cell.get("outputs", []):
                data = output.get("data", {})
                if "mobilelab-stored" in data.get("text/html", ""):  # compared by its data
                    data = {"text/html": nbval_compare.explorer_data(data["text/html"])}
                for text in (output.get("text"), *data.values()):
                    if isinstance(text, str):
                        text = re.sub("(?m)^on this host: .*", "", text)
                        assert compared(text, text)
                        assert not [other for other in changed(text) if compared(other, text)]


def test_of_an_explorer_the_data_is_compared_and_not_the_picture(a_cell):
    def kept(**changes):
        values = {"median_ms": 1.0, "accuracy": 0.99, "file_kb": 400.0, **changes}
        explorer = widgets.TradeoffExplorer([record("pruned", **values)])
        data = {"text/html": explorer.static(), "text/plain": explorer.view().alt}
        return [nbformat.v4.new_output("display_data", data=data)]

    for same in ({}, {"median_ms": 9.0}, {"float_ms": None}, {"accuracy": 0.975}):
        assert a_cell.compare_outputs(kept(**same), kept())
    for other in ({"accuracy": 0.9}, {"file_kb": 450.0}, {"verdict": "close"}, {"file": "a.pt"}):
        assert not a_cell.compare_outputs(kept(**other), kept())


def test_of_resolution_and_graph_work_and_operators_are_compared_and_no_time(a_cell):
    def kept(explorer):
        data = {"text/html": explorer.static(), "text/plain": explorer.view().alt}
        return [nbformat.v4.new_output("display_data", data=data)]

    def resolution(factor=1.0, macs=10**6):
        costs = [Cost(s, factor * s, 2 * factor * s, macs * s) for s in (64, 128)]
        return kept(widgets.ResolutionExplorer(costs))

    assert a_cell.compare_outputs(resolution(3.0), resolution())
    assert not a_cell.compare_outputs(resolution(macs=2 * 10**6), resolution())
    whole = torch.jit.script(torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.ReLU()).eval())
    frozen, bare = torch.jit.freeze(whole), torch.jit.script(torch.nn.Linear(2, 2))
    graph = kept(widgets.GraphExplorer({"a": whole, "b": frozen}))
    assert a_cell.compare_outputs(kept(widgets.GraphExplorer({"a": whole, "b": frozen})), graph)
    assert not a_cell.compare_outputs(kept(widgets.GraphExplorer({"a": whole, "b": bare})), graph)


def test_of_a_quiz_the_questions_are_compared_and_not_the_script(a_cell, monkeypatch):
    def kept():
        bundle = widgets.Quiz("00")._repr_mimebundle_()
        return [nbformat.v4.new_output("display_data", data={"text/html": bundle["text/html"]})]

    stored = kept()
    monkeypatch.setattr(page, "script", lambda kind: "another()")
    assert kept() != stored and a_cell.compare_outputs(kept(), kept())
    assert a_cell.compare_outputs(kept(), stored)
    monkeypatch.setattr(quiz, "marked_up", lambda text: "another text")
    assert not a_cell.compare_outputs(kept(), stored)


CHANGED = (
    ("accuracy 98.6%", "accuracy 99.0%"),
    ("verdict DIFFERENT", "verdict same"),
    ("size 418 kB", "size 1465 kB"),
    ("relative error 1e+00", "relative error 2e-07"),
    ("eager  10.2%  1.5 ms", "eager  99.0%  1.5 ms"),
)
MEASURED_ANEW = (
    "1.62 ms, p95 2.00 ms (200 calls), 1.50x (1.40 to 1.60), +5.9 MiB, 3e-07, 418 kB, 7.1 s",
    "9.99 ms,  p95 9.00 ms (15 calls), 3.20x (3.00 to 4.00), +6.0 MiB, 9e-07, 417 kB, 6.2 s",
)


def cell(source, stored, *tags):
    output = nbformat.v4.new_output("stream", name="stdout", text=stored + "\n")
    return nbformat.v4.new_code_cell(
        source, outputs=[output], execution_count=1, metadata={"tags": list(tags)}
    )


CELLS = {
    **{stored + fresh: cell(f"print({fresh!r})", stored) for fresh, stored in CHANGED},
    "measured": cell(f"print({MEASURED_ANEW[0]!r})", MEASURED_ANEW[1]),
    "ignored": cell("print('a')", "b", "nbval-ignore-output", "timing"),
    "timing": cell("print('a')", "b", "timing"),
    "error": cell("print('x'); 1 / 0", "x"),  # last: nbval skips what comes after it
}


@pytest.fixture(scope="module")
def said(tmp_path_factory):
    """What nbval says of each cell; an empty text is a green one."""
    folder = tmp_path_factory.mktemp("nbval")
    notebook = nbformat.v4.new_notebook(cells=list(CELLS.values()))
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "Python 3"}
    nbformat.write(notebook, folder / "fixture.ipynb")
    command = [
        sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "nbval_compare",
        "-c", "/dev/null", "--junitxml=said.xml", "--nbval", f"--nbval-sanitize-with={CONFIG}",
        "fixture.ipynb",
    ]  # fmt: skip
    env = {**os.environ, "PYTHONPATH": str(ROOT / "tests")}
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, env=env)
    assert done.returncode == 1, done.stdout
    cases = ElementTree.parse(folder / "said.xml").iter("testcase")
    texts = ["".join(part.text or part.get("message") for part in case) for case in cases]
    assert len(texts) == len(CELLS), done.stdout
    return dict(zip(CELLS, texts, strict=True))


@pytest.mark.parametrize(("fresh", "stored"), CHANGED)
def test_a_changed_result_is_red(said, fresh, stored):
    assert "mismatch 'stdout'" in said[stored + fresh]


def test_what_is_measured_anew_each_time_is_green(said):
    assert said["measured"] == ""


def test_an_error_that_nobody_expected_is_red(said):
    assert "ZeroDivisionError" in said["error"]


def test_only_the_tag_ignores(said):
    assert said["ignored"] == ""
    assert "mismatch 'stdout'" in said["timing"]
