"""Every exercise: one source, zero for nothing, full marks for the solution, fair to variants."""

import json
import os
import re
from datetime import datetime, timezone
from html import escape
from types import SimpleNamespace

import nbformat
import pytest
from grading import ANSWER, DOUBLE, MODEL, ROOT, SECRET, TINY, needs_sandbox, notebook, points
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mobilelab.core.errors import MobileLabError
from mobilelab.grading import class_report, feedback, lms, release
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.checker import Checker
from mobilelab.grading.gradebook import Standing
from mobilelab.grading.sandbox import Limits, Sandbox
from mobilelab.grading.scorer import score
from mobilelab.grading.static_imports import modules

FOLDERS = [*sorted(p.parent for p in (ROOT / "exercises").glob("*/checks.py")), TINY]
NAMES = [folder.name for folder in FOLDERS]
#: Its solution lowers networks: each grading takes as long as five of another exercise.
SLOW = ("08_executorch",)
EVERY = bool(os.environ.get("MOBILELAB_EVERY_VARIATION"))


def runs(folder):
    """Skip an exercise whose runtime is not installed."""
    assignment = Assignment.load(folder)
    try:
        assignment.require()
    except MobileLabError as error:
        pytest.skip(str(error))
    return assignment


@pytest.fixture(scope="module")
def sandbox():
    with Sandbox(("torchvision", "mobilelab.models", "mobilelab.datasets")) as place:
        yield place


@pytest.fixture(scope="module")
def prepared():
    """The usual sandbox, or one with what an exercise imports that needs a runtime."""
    own = {}

    def of(assignment, usual):
        if not assignment.exercise.runtimes:
            return usual
        if assignment.name not in own:
            own[assignment.name] = Sandbox(modules(assignment.files))
        return own[assignment.name]

    yield of
    for place in own.values():
        place.close()


def grade(assignment, content, sandbox, student="ada", **options):
    return score(assignment, content, student, sandbox, secret=SECRET, draws=SECRET, **options)


def assert_it_can_be_handed_back(assignment, result):
    """Every page and table that is made of a result."""
    now = datetime.now(timezone.utc)
    parts = (result["end"], result["message"], result["tasks"], result["cells"])
    standing = Standing("ada", "ada.ipynb", now, *parts, result["parameters"])
    page = feedback.to_html(assignment.exercise.title, standing)
    for task in assignment.exercise.tasks:
        assert escape(task.title) in page
    assert escape(assignment.exercise.title) in class_report.to_html(
        assignment.exercise.title, [standing], class_report.alike([standing], [])
    )
    assert lms.summary(standing) and json.dumps(lms.gradescope(standing))


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_student_notebook_is_made_from_the_solution(folder):
    assignment = Assignment.load(folder)
    made = release.text(release.student_notebook(assignment))
    assert (folder / f"{folder.name}.ipynb").read_text() == made, "run mobilelab release"
    assert "SOLUTION" not in made


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_checks_do_not_hold_the_solution(folder):
    assert "import hidden" not in (folder / "checks.py").read_text()
    assert "from .hidden" not in (folder / "checks.py").read_text()
    assert set(Assignment.load(folder).handed_out) & {"hidden.py", "solution.ipynb"} == set()


@needs_sandbox
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_solution_has_full_marks_with_every_parameter(folder, sandbox, prepared, monkeypatch):
    assignment = runs(folder)
    sandbox = prepared(assignment, sandbox)
    choices = assignment.exercise.parameters
    rows = max((len(o) for o in choices.values() if isinstance(o, tuple)), default=1)
    hurried = folder.name in SLOW and not EVERY  # the first row is asked with variations below
    for row in [rows - 1] if hurried else range(rows):
        values = {name: o[row * (7 if len(o) > 10 else 1) % len(o)] for name, o in choices.items()}
        monkeypatch.setattr(Assignment, "parameters", lambda *_, v=values: v)
        result = grade(assignment, assignment.files["solution.ipynb"], sandbox)
        wrong = [c for t in result["tasks"].values() for c in t["cases"] if not c["ok"]]
        assert not wrong, values
        assert points(result) == assignment.exercise.points
        assert result["end"] == "graded", result["message"]
        assert_it_can_be_handed_back(assignment, result)


@needs_sandbox
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_unmodified_notebook_runs_and_scores_zero(folder, sandbox, prepared):
    assignment = runs(folder)
    sandbox = prepared(assignment, sandbox)
    result = grade(assignment, assignment.files[f"{folder.name}.ipynb"], sandbox)
    assert points(result) == 0
    assert_it_can_be_handed_back(assignment, result)
    tags = [
        cell["metadata"].get("tags", [])
        for cell in json.loads(assignment.files[f"{folder.name}.ipynb"])["cells"]
    ]
    for cell in result["cells"]:
        assert cell["outcome"] in ("ok", "todo"), cell["error"]
        # "run all" in Jupyter goes on behind a cell only if it is marked
        assert cell["outcome"] == "ok" or "raises-exception" in tags[cell["place"]]
    assert {task["end"] for task in result["tasks"].values()} == {"not done"}


@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_parameters_follow_from_secret_and_student(folder):
    assignment = Assignment.load(folder)
    given = [assignment.parameters(SECRET, f"student {i}") for i in range(40)]
    assert given[0] == assignment.parameters(SECRET, "student 0")
    assert given != [assignment.parameters(b"another secret", f"student {i}") for i in range(40)]
    assert len({json.dumps(p) for p in given}) > 10
    for name, options in assignment.exercise.parameters.items():
        assert all(p[name] in options for p in given)
    defaults = {name: options[0] for name, options in assignment.exercise.parameters.items()}
    assert assignment.parameters(None, "anybody") == defaults


VARIANTS = {
    "another dtype": "def double(x):\n    return (x.double() + x.double())",
    "a view": "def double(x):\n    return torch.stack([x + x, x])[0]\nimport torch",
    "not contiguous": "def double(x):\n    return (x + x).T.T if x.ndim == 2 else x * 2",
    "a parameter": "import torch\ndef double(x):\n"
                   "    return torch.nn.Parameter(x.double() * 2)",
    "a subclass": "import torch\nclass Mine(torch.Tensor): pass\n"
                  "def double(x):\n    return (2 * x).as_subclass(Mine)",
    "numpy": "def double(x):\n    return x.numpy() * 2",
    "with gradient": "def double(x):\n    y = x.double().requires_grad_()\n    return y * 2",
    "a callable object": "class Doubler:\n    def __call__(self, x):\n        return x + x\n"
                         "double = Doubler()",
    "warnings and prints": "import sys, warnings\ndef double(x):\n    warnings.warn('hm')\n"
                           "    print('here', x.shape)\n    print('oh', file=sys.stderr)\n"
                           "    return x + x",
    "writes into its own copy": "def double(x):\n    x = x.clone()\n    x += x\n    return x",
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("variant", VARIANTS)
def test_honest_variants_keep_full_marks(variant, sandbox):
    result = grade(Assignment.load(TINY), notebook(VARIANTS[variant], ANSWER, MODEL), sandbox)
    assert points(result) == 10


@needs_sandbox
@pytest.mark.parametrize(
    "cells",
    [
        [MODEL, ANSWER, DOUBLE],
        ["1 / 0", DOUBLE, "undefined", ANSWER, MODEL],
        [
            "%matplotlib inline\nimport matplotlib.pyplot as plt\nplt.plot([1])",
            DOUBLE,
            ANSWER,
            MODEL,
        ],
        ["!echo hello", "%%time\n" + DOUBLE, ANSWER, MODEL],
        [DOUBLE, "import numpy as np\nanswer = np.int64(7 * seed + 1)", MODEL],
        [DOUBLE, "import torch\nanswer = torch.tensor(7 * seed + 1)", MODEL],
        [DOUBLE, DOUBLE, "for i in range(3): answer = 7 * seed + 1", MODEL],
    ],
    ids=["reordered", "errors between", "plots", "magics", "numpy int", "tensor", "twice"],
)
def test_honest_notebooks_keep_full_marks(cells, sandbox):
    assert points(grade(Assignment.load(TINY), notebook(*cells), sandbox)) == 10


ASIDES = [
    "print('so far, so good', seed)",
    "import warnings\nwarnings.warn('old')",
    "import sys\nprint('hm', file=sys.stderr)",
    "1 / 0",
    "this is no Python",
    "raise NotImplementedError",
    "%timeit -n 1 -r 1 sum(range(10))",
    "from IPython.display import Markdown, display\ndisplay(Markdown('**note**'))",
    "import torch\ntorch.set_default_dtype(torch.float64)",
    "import torch\ntorch.manual_seed(0)\ntorch.rand(3)",
    "!echo from a shell",
    "for seed in range(9):\n    print(seed)",
    "seed = 10**6",
    "del seed",
    "seed = torch.tensor(3.0)",
    "helper = lambda x: x + x",
]


@needs_sandbox
@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    doubled=st.sampled_from([DOUBLE, "def double(x):\n    return helper(x)", *VARIANTS.values()]),
    number=st.sampled_from([ANSWER, "answer = int(7.0 * seed + 1)", "answer = sum([7] * seed, 1)"]),
    asides=st.lists(st.sampled_from(ASIDES), max_size=6),
    order=st.randoms(use_true_random=False),
)
def test_honest_work_in_any_order_keeps_full_marks(sandbox, doubled, number, asides, order):
    cells = [doubled, number, MODEL, ASIDES[-1], *asides]
    order.shuffle(cells)
    result = grade(Assignment.load(TINY), notebook(*cells), sandbox)
    wrong = [c for task in result["tasks"].values() for c in task["cases"] if not c["ok"]]
    assert not wrong and points(result) == 10


@needs_sandbox
def test_lost_parameters_tag_is_found_again(sandbox):
    book = json.loads(notebook(DOUBLE, ANSWER, MODEL))
    for cell in book["cells"]:
        cell["metadata"] = {}
    result = grade(Assignment.load(TINY), json.dumps(book).encode(), sandbox)
    assert (points(result), result["end"]) == (10, "graded")


def tries(assignment):
    """What students write to try something: every parameter gets every value it can have."""
    for name, options in assignment.exercise.parameters.items():
        some = list(options)[:20]
        yield f"for {name} in {some!r}:\n    print({name})"
        yield f"{name} = {some[-1]!r}\nprint({name})"


def own_cells(book):
    """Places of the cells with code that are neither the parameters nor a check."""
    return [
        i for i, cell in enumerate(book["cells"])
        if cell["cell_type"] == "code" and "parameters" not in cell["metadata"].get("tags", [])
        and not "".join(cell["source"]).strip().startswith("check(")
    ]  # fmt: skip


def code(source):
    return {"cell_type": "code", "id": f"x{abs(hash(source))}", "metadata": {}, "source": source,
            "outputs": [], "execution_count": None}  # fmt: skip


def tried_at_the_beginning(book, assignment):
    book["cells"][after_parameters(book) : 0] = map(code, tries(assignment))


def tried_at_the_end(book, assignment):
    book["cells"] += map(code, tries(assignment))


def errors_and_magics(book, assignment):
    sources = ["1 / 0", "%%time\nnot Python at all", "input('your name? ')", "!echo hello",
               "from google.colab import drive", "raise KeyboardInterrupt"]  # fmt: skip
    book["cells"] += map(code, sources)
    book["cells"][after_parameters(book) : 0] = map(code, sources)


def loud(book, assignment):
    source = ("import sys, warnings\nimport matplotlib.pyplot as plt\nfor i in range(3000):\n"
              "    print(i)\nprint('oh', file=sys.stderr)\nwarnings.warn('hm')\n"
              "for _ in range(6):\n    plt.plot([1, 2])\n    plt.show()")  # fmt: skip
    book["cells"][after_parameters(book) : 0] = [code(source)]


def tags_lost(book, assignment):
    for cell in book["cells"]:
        cell["metadata"] = {}


def saved_by_colab(book, assignment):
    book["metadata"] = {"colab": {"provenance": []}, "kernelspec": {"name": "ir", "language": "R"}}
    for i, cell in enumerate(book["cells"]):
        cell["metadata"]["id"] = f"AbC{i}"
        cell.pop("id", None)
    book["nbformat_minor"] = 0


def checks_deleted(book, assignment):
    kept = set(own_cells(book))
    book["cells"] = [
        cell for i, cell in enumerate(book["cells"])
        if cell["cell_type"] != "code" or i in kept or i == after_parameters(book) - 1
    ]  # fmt: skip


def all_in_one_cell(book, assignment):
    own = own_cells(book)
    whole = code("\n\n".join("".join(book["cells"][i]["source"]) for i in own))
    book["cells"] = [c for i, c in enumerate(book["cells"]) if i not in own] + [whole]


def own_parameters(book, assignment):
    values = assignment.parameters(SECRET, "ada")
    cell = code(
        "# Yours alone; leave them be\n" + "\n".join(f"{k} = {v!r}" for k, v in values.items())
    )
    cell["metadata"]["tags"] = ["injected-parameters"]
    book["cells"].insert(after_parameters(book), cell)


def after_parameters(book):
    return 1 + next(
        (i for i, cell in enumerate(book["cells"])
         if "parameters" in cell["metadata"].get("tags", [])), -1
    )  # fmt: skip


VARIATIONS = (tried_at_the_beginning, tried_at_the_end, errors_and_magics, loud, tags_lost,
              saved_by_colab, checks_deleted, all_in_one_cell, own_parameters)  # fmt: skip
#: One after the other would take a quarter of an hour; together they are two notebooks.
TOGETHER = [(own_parameters, tried_at_the_beginning, errors_and_magics, loud, saved_by_colab),
            (checks_deleted, all_in_one_cell, tried_at_the_end, tags_lost)]  # fmt: skip
EACH = [(one,) for one in VARIATIONS] if EVERY else TOGETHER


@needs_sandbox
@pytest.mark.parametrize("variations", EACH, ids=lambda them: ", ".join(f.__name__ for f in them))
@pytest.mark.parametrize("folder", FOLDERS, ids=NAMES)
def test_honest_variations_lose_nothing(folder, sandbox, prepared, variations):
    if folder.name in SLOW and not EVERY and variations is not TOGETHER[0]:
        pytest.skip("one notebook of variations; MOBILELAB_EVERY_VARIATION=1 tries all")
    assignment = runs(folder)
    sandbox = prepared(assignment, sandbox)
    book = json.loads((folder / "solution.ipynb").read_text())
    for vary in variations:
        vary(book, assignment)
    for cell in book["cells"]:  # as Windows writes lines
        cell["source"] = "".join(cell["source"]).replace("\n", "\r\n")
    content = json.dumps(book, ensure_ascii=False).encode("utf-16")
    result = grade(assignment, content, sandbox)
    wrong = [c for task in result["tasks"].values() for c in task["cases"] if not c["ok"]]
    assert not wrong and points(result) == assignment.exercise.points


ENDINGS = {
    "exits": ("import os\n    os._exit(1)", "kernel died"),
    "crashes": ("import ctypes\n    ctypes.string_at(0)", "kernel died"),
    "deaf": ("import signal, time\n    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})"
             "\n    while True:\n        time.sleep(0.1)", "timeout"),
    "endless": ("while True:\n        pass", "timeout"),
    "hungry": ("import numpy as np\n    return [np.ones(2**27) for _ in range(99)]",
               "out of memory"),
}  # fmt: skip


@needs_sandbox
@pytest.mark.parametrize("how", ENDINGS)
def test_a_task_that_ends_its_process_costs_no_other(how, sandbox):
    body, end = ENDINGS[how]
    bad = f"def double(*args):\n    {body}"
    # it is called in the notebook too, as the check below a task does
    content = notebook(bad, "double(1)", ANSWER, MODEL, "print(double(2))")
    limits = Limits(cell=1, notebook=12, memory=700 * 2**20, disk=64 * 2**20, processes=12)
    result = grade(Assignment.load(TINY), content, sandbox, limits=limits)
    ends = {key: task["end"] for key, task in result["tasks"].items()}
    assert ends == {"double": end, "number": "right", "model": "right"}
    assert points(result) == 6


@needs_sandbox
@pytest.mark.parametrize("folder", FOLDERS[:-1], ids=NAMES[:-1])
def test_in_every_exercise_a_crash_costs_its_own_task_only(folder, sandbox, prepared):
    if folder.name in SLOW and not EVERY:
        pytest.skip("the notebook would run three times; MOBILELAB_EVERY_VARIATION=1 does it")
    assignment = runs(folder)
    sandbox = prepared(assignment, sandbox)
    tasks = assignment.exercise.tasks
    task = next(t for t in tasks if t.names[0].isidentifier())
    bad = f"def {task.names[0]}(*args, **kwargs):\n    import os\n    os._exit(1)"
    book = json.loads((folder / "solution.ipynb").read_text())
    book["cells"].append(code(bad))
    result = grade(assignment, json.dumps(book).encode(), sandbox)
    lost = {key for key, found in result["tasks"].items() if found["points"] < found["max"]}
    assert lost == {task.key}
    assert result["tasks"][task.key]["end"] == "kernel died"


@needs_sandbox
def test_partial_credit_per_case(sandbox):
    rows_only = "def double(x):\n    return x + x if x.ndim == 1 else x"
    result = grade(Assignment.load(TINY), notebook(rows_only, "answer = 1.0"), sandbox)
    assert 0 < result["tasks"]["double"]["points"] < 4
    assert result["tasks"]["number"]["points"] == 0


def test_markers_must_come_in_pairs():
    with pytest.raises(MobileLabError, match="pairs"):
        release.without_solutions("### END SOLUTION")
    with pytest.raises(MobileLabError, match="no END"):
        release.without_solutions("### BEGIN SOLUTION\nx = 1")
    assert release.without_solutions("a\n  ### BEGIN SOLUTION\n  b\n  ### END SOLUTION\nc")[0] == (
        'a\n  # your code here\n  raise NotImplementedError("replace this line")\nc'
    )


def test_a_changed_check_touches_its_task_only():
    before = Assignment.load(TINY)
    digests = {task.key: before.digest(task) for task in before.exercise.tasks}

    def changed(file, old, new):
        content = before.files[file].replace(old, new)
        assert content != before.files[file]
        after = Assignment("tiny", {**before.files, file: content})
        return {t.key for t in after.exercise.tasks if after.digest(t) != digests[t.key]}

    assert changed("hidden.py", b"7 * p.seed + 1", b"7 * p.seed + 2") == {"number"}
    assert changed("hidden.py", b"def model", b"# a comment\ndef model") == set()
    assert changed("checks.py", b'two", ask', b'2", ask') == {"double"}
    assert changed("checks.py", b"cell=4", b"cell=5") == {"double", "number", "model"}


@pytest.fixture
def own_progress(tmp_path, monkeypatch):
    monkeypatch.setenv("MOBILELAB_PROGRESS", str(tmp_path / "progress.json"))


def check_with(names):
    return Checker(Assignment.load(TINY).exercise)("double", names)


def test_instant_check_shows_expected_and_got_and_a_hint(own_progress):
    answer = check_with({"double": lambda x: x * x, "seed": 3})
    text = repr(answer)
    assert not answer.passed
    assert "expected 2 at position [0]" in text and "got      1 at position [0]" in text
    assert "not squared" in text and "x + x" not in text


def test_explanation_after_three_different_tries(own_progress):
    wrong = [lambda x, n=n: x * n for n in (3, 4, 5)]
    assert "x + x" not in repr(check_with({"double": wrong[0]}))
    assert "x + x" not in repr(check_with({"double": wrong[0]}))  # the same again is no new try
    assert "x + x" not in repr(check_with({"double": wrong[1]}))
    assert "x + x" in repr(check_with({"double": wrong[2]}))


def test_not_begun_is_no_try(own_progress):
    def double(x):
        raise NotImplementedError

    for names in ({"double": double}, {}):
        answer = check_with(names)
        assert answer.todo and answer.tries == 0 and not answer.passed
    assert check_with({"double": lambda x: x + x}).passed


def test_unknown_task_names_those_there_are():
    with pytest.raises(KeyError, match="double, number, model"):
        Checker(Assignment.load(TINY).exercise)("dubble", {})


def test_cases_of_one_student_are_the_same_every_time():
    assignment = Assignment.load(TINY)
    task = assignment.exercise.tasks[0]

    def hidden(student):
        return assignment.cases(task, {"seed": 3}, SECRET, student)[1][0].ask.args[0]

    assert (hidden("ada") == hidden("ada")).all()
    assert (hidden("ada") != hidden("ben")).any()
    assert isinstance(task.public(SimpleNamespace(seed=3)), list)


def test_the_instructors_table_says_points_and_minutes():
    page = (ROOT / "docs" / "instructor.md").read_text()
    for folder in FOLDERS[:-1]:
        notebook = nbformat.read(folder / "solution.ipynb", as_version=4)
        heads = [
            re.match(r"## \d+\. .*\((\d+) points?, (\d+) minutes\)", cell.source)
            for cell in notebook.cells
        ]
        tasks = [(int(h[1]), int(h[2])) for h in heads if h]
        points, minutes = (sum(part) for part in zip(*tasks, strict=True))
        row = f"| `{folder.name}` | {folder.name[:2]} | {len(tasks)} | {points} | {minutes} |"
        assert row in page
        times = [minutes for _, minutes in tasks]
        said = f"{min(times)} to {max(times)} minutes each ({minutes} in all), {points} points"
        assert said in notebook.cells[0].source
