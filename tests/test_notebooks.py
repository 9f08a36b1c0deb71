"""House rules for notebooks. Each rule is also shown to turn red."""

import json
import re
import subprocess
import symtable
from pathlib import Path
from statistics import median

import nbformat
import pytest

ROOT = Path(__file__).resolve().parent.parent
PREDICT = "### Predict, then run"
FOLD = "<details><summary>The picture in words</summary>\n\n"
SKIPPED = "skip-when-quick"  # as in mobilelab.jupyter.papermill_engine
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
EXERCISES = sorted((ROOT / "exercises").glob("*/*.ipynb"))
PARAMETERS = {"dataset", "data_dir", "seed", "quick"}
WANTED = ("## The budget", PREDICT, "## Exercises", "## Explain it", "## Sources")
#: What a stored explorer may take, 1 kB = 1000 bytes.
EXPLORER_KB = 80
MEASURED = re.compile(r"\d (ms|µs|MiB|s|M instructions)\b")


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def lines_of_code(source):
    return sum(
        bool(line.strip()) and not line.strip().startswith("#") for line in source.split("\n")
    )


def long_cells(notebook):
    lengths = [lines_of_code(cell.source) for cell in code_cells(notebook)]
    found = [f"a cell has {n} lines, more than 25" for n in lengths if n > 25]
    if lengths and median(lengths) > 6:
        found.append(f"the median cell has {median(lengths)} lines, more than 6")
    return found


def problems(notebook):
    """Every broken house rule, in words."""
    found = long_cells(notebook)
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    cells = code_cells(notebook)

    found += ["an image has no alt text" for _ in re.findall(r"!\[\s*\]\(", text)]
    found += [
        "an <img> has no alt text" for tag in re.findall(r"<img[^>]*>", text) if "alt=" not in tag
    ]
    for this, following in zip(notebook.cells, [*notebook.cells[1:], None], strict=True):
        if this.cell_type == "code" and any("image/png" in o.get("data", {}) for o in this.outputs):
            words = following.source.lstrip() if following is not None else ""
            if not words.removeprefix(FOLD).startswith("*Picture:"):
                found.append(f"a picture is not described in words after: {this.source[-60:]!r}")
            elif words.startswith(FOLD) != this.metadata.get("jupyter", {}).get(
                "outputs_hidden", False
            ):
                found.append(f"words and picture are not folded alike: {this.source[-60:]!r}")

    for page in (o.get("data", {}).get("text/html", "") for cell in cells for o in cell.outputs):
        for tag in re.findall(r"<img[^>]*>", page):
            if not re.search(r"alt='[^']{20,}'", tag):
                found.append("an explorer's stored picture has no alt text")
        if "mobilelab-stored" in page and len(page.encode()) > EXPLORER_KB * 1000:
            found.append(f"a stored explorer takes {len(page.encode()) / 1000:.1f} kB")

    stored = json.dumps([cell.outputs for cell in cells])
    if "application/vnd.jupyter.widget-view+json" in stored:
        found.append("a live widget is stored; only its picture and table can be read later")
    if re.search(r"/(root|home|Users|tmp)/|site-packages|\.venv", stored) or str(ROOT) in stored:
        found.append("stored output holds a path of somebody's machine")
    if re.search(r"0x[0-9a-f]{8,}", stored):
        found.append("stored output holds an object's address")

    for cell in cells:
        raised = any(output.output_type == "error" for output in cell.outputs)
        if raised and "raises-exception" not in tags(cell):
            found.append(f"a cell failed without the tag raises-exception: {cell.source[:60]!r}")
        if "raises-exception" in tags(cell) and not raised:
            found.append(f"a cell should have failed and did not: {cell.source[:60]!r}")
        if "nbval-ignore-output" in tags(cell):
            shown = json.dumps(cell.outputs)
            if not tags(cell) & {"timing", "picture"}:
                found.append("an ignored output is not tagged timing or picture")
            elif "image/png" not in shown and not MEASURED.search(shown):
                found.append(f"an ignored output holds neither: {cell.source[:60]!r}")
        if re.search(r"NBVAL_\w+", cell.source):
            found.append("nbval is steered by a comment; use a tag")
    return found


def minutes(notebook):
    """Minutes to read a chapter and its code, and those that its exercises say they take.

    A page of a technical text in another language than one's own is read at about 130 words a
    minute, and a line of code in about four seconds; both are estimates of our own.
    """
    words = lines = exercises = 0
    among_exercises = False
    for cell in notebook.cells:
        among_exercises |= cell.source.startswith("## Exercises")
        among_exercises &= not cell.source.startswith(("## Explain it", "## You can now"))
        if among_exercises:
            exercises += sum(map(int, re.findall(r"\*Difficulty:.* (\d+) minutes", cell.source)))
        elif cell.cell_type == "markdown":
            words += len(re.findall(r"[\w'-]+", cell.source))
        else:
            lines += lines_of_code(cell.source)
    return words / 130 + lines * 4 / 60, exercises


def chapter_problems(notebook, wanted=WANTED, parameters_wanted=PARAMETERS, title=r"# \d\d \S"):
    """What only the chapters of the walk must have; labs have a title and parts of their own."""
    found = []
    first = notebook.cells[0].source
    if not re.match(title, first):
        found.append("the first cell is not '# NN Title'")
    stated = re.search(
        r"\*About (\d+) minutes to read and run, and (\d+) for the exercises\. You need:", first
    )
    if stated is None:
        found.append("the first cell does not say how long it takes and what is needed")
    else:
        reading, exercises = minutes(notebook)
        if abs(int(stated[1]) - reading) > 5:
            found.append(f"it says {stated[1]} minutes to read and run; counted are {reading:.0f}")
        if int(stated[2]) != exercises:
            found.append(f"it says {stated[2]} minutes of exercises; its cards say {exercises}")
    parameters = [cell for cell in code_cells(notebook) if "parameters" in tags(cell)]
    if (
        len(parameters) != 1
        or set(re.findall(r"^(\w+) =", parameters[0].source, re.M)) != parameters_wanted
    ):
        found.append(f"there is no parameters cell with {sorted(parameters_wanted)}")
    opening, closing = (
        promises(notebook, "## You will be able to"),
        promises(notebook, "## You can now"),
    )
    if not 3 <= len(opening) <= 5:
        found.append(f"it opens with {len(opening)} promises instead of 3 to 5")
    kept = [line.split(" → ")[0] for line in closing]
    if [line.rstrip(".") for line in opening] != kept:
        found.append("the closing bullets are not the opening ones")
    headings = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for line in closing:
        for number in re.findall(r"\d+", line.split(" → ")[-1] if " → " in line else ""):
            if not re.search(rf"^## {number}\. ", headings, re.M):
                found.append(f"a closing bullet points to section {number}, which is not there")
        if " → " not in line:
            found.append(f"a closing bullet points nowhere: {line!r}")
    found += [f"there is no {heading!r}" for heading in wanted if heading not in headings]
    if headings.count(PREDICT) != headings.count("What you chose, and why"):
        found.append("a prediction is not resolved")
    predicting = False
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            resolved = "What you chose, and why" in cell.source
            predicting = PREDICT in cell.source or (predicting and not resolved)
        elif (
            cell.outputs
            and cell.metadata.get("jupyter", {}).get("outputs_hidden", False) != predicting
        ):
            what = "stands open under the question" if predicting else "is folded for no reason"
            found.append(f"an output {what}: {cell.source[:60]!r}")
    for card in re.findall(r"### Exercise [^#]+", headings):
        if "*Difficulty:" not in card or card.count("<details>") < 3:
            found.append(f"an exercise card is not complete: {card[:40]!r}")
    return found


def promises(notebook, heading):
    for cell in notebook.cells:
        if cell.cell_type == "markdown" and cell.source.startswith(heading):
            return [line[2:].strip() for line in cell.source.split("\n") if line.startswith("- ")]
    return []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_house_rules(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert problems(notebook) + chapter_problems(notebook) == []


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_notebook_is_small_and_was_run(path):
    assert path.stat().st_size < 1_000_000
    notebook = nbformat.read(path, as_version=4)
    assert any(cell.outputs for cell in code_cells(notebook))


@pytest.mark.parametrize("path", EXERCISES, ids=lambda path: f"{path.parent.name}-{path.stem}")
def test_exercises_keep_cells_short(path):
    assert long_cells(nbformat.read(path, as_version=4)) == []


def rows(text):
    """Cells of each line of a table in Markdown or in text, by the name in the first column."""
    lines = [[c.strip(" *`") for c in re.split(r"\||  +", line.strip(" |"))] for line in text]
    return {line[0]: line for line in lines}


def test_the_table_that_chapter_00_promises_is_the_one_of_chapter_05():
    first, last = (nbformat.read(CHAPTERS[i], as_version=4) for i in (0, 5))
    [promised] = [c.source for c in first.cells if "| `mobile-int8` |" in c.source]
    stored = [o.get("data", {}).get("text/plain", "") for c in code_cells(last) for o in c.outputs]
    [table] = [text for text in stored if "mobile-pruned" in text and "rel. error" in text][:1]
    found = rows(table.splitlines())
    promised = rows(line for line in promised.splitlines() if line.startswith("| `"))
    assert set(promised) == {"eager", "recipe", "mobile", "mobile-int8"}
    for name, (_, _, verdict, size, right) in promised.items():
        assert (verdict, size, right) == (found[name][1], found[name][5], found[name][9])


def test_the_walk_is_complete():
    assert [path.stem[:2] for path in CHAPTERS][:10] == [f"{i:02}" for i in range(10)]


def test_links_between_chapters_and_into_the_project_lead_somewhere():
    for path in CHAPTERS:
        for cell in nbformat.read(path, as_version=4).cells:
            if cell.cell_type == "markdown":
                for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", cell.source):
                    assert (path.parent / target).exists(), f"{path.name}: {target}"


def test_checkout_is_small():
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    size = sum((ROOT / name).stat().st_size for name in listed.split("\0") if name)
    assert 100_000 < size < 25_000_000


def made(*cells):
    notebook = nbformat.v4.new_notebook()
    notebook.cells = list(cells)
    return notebook


def code(source, outputs=(), tagged=()):
    return nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tagged)})


def said(text):
    return nbformat.v4.new_output("stream", name="stdout", text=text)


def raised(message):
    return nbformat.v4.new_output("error", ename="ValueError", evalue=message, traceback=[message])


def shown():
    return nbformat.v4.new_output("display_data", data={"image/png": "aGVsbG8="})


def page(html):
    return nbformat.v4.new_output("display_data", data={"text/html": html})


def live():
    view = {"application/vnd.jupyter.widget-view+json": {"model_id": "1"}}
    return nbformat.v4.new_output("display_data", data=view)


@pytest.mark.parametrize(
    ("cell", "words"),
    [
        (code("\n".join(["x = 1"] * 26)), "more than 25"),
        (code("\n".join(["x = 1"] * 7)), "more than 6"),
        (code("x", [said("/home/ann/model.pt")]), "path of somebody's machine"),
        (code("x", [said("<object at 0x7f54a576e7f0>")]), "object's address"),
        (code("x", [raised("no")]), "without the tag raises-exception"),
        (code("x", tagged=["raises-exception"]), "should have failed and did not"),
        (code("x", [said("1 ms")], ["nbval-ignore-output"]), "not tagged timing or picture"),
        (code("x", [said("98 %")], ["nbval-ignore-output", "timing"]), "holds neither"),
        (code("# NBVAL_IGNORE_OUTPUT\nx"), "use a tag"),
        (code("x", [shown()]), "not described in words"),
        (code("x", [page("<img alt='' src='data:image/png;base64,aGk='>")]), "has no alt text"),
        (code("x", [page("<img src='data:image/png;base64,aGk='>")]), "has no alt text"),
        (code("x", [page(f"<div class='mobilelab-stored'>{'x' * 80_000}")]), "takes 80.0 kB"),
        (code("x", [live()]), "a live widget is stored"),
        (nbformat.v4.new_markdown_cell("![](a.png)"), "no alt text"),
        (nbformat.v4.new_markdown_cell("<img src='a.png'>"), "no alt text"),
    ],
)
def test_each_rule_turns_red(cell, words):
    assert any(words in problem for problem in problems(made(cell)))


def test_rules_turn_green():
    described = nbformat.v4.new_markdown_cell("*Picture: a line.* And ![a line](a.png).")
    fine = [
        code("x", [said("1.5 ms")], ["nbval-ignore-output", "timing"]),
        code("x", [raised("expected")], ["raises-exception"]),
        code("x", [shown()], ["nbval-ignore-output", "picture"]),
        described,
    ]
    assert problems(made(*fine)) == []


@pytest.mark.parametrize("hidden", [True, False])
@pytest.mark.parametrize("folded", [True, False])
def test_a_caption_does_not_give_away_a_predicted_picture(hidden, folded):
    drawn = code("x", [shown()], ["nbval-ignore-output", "picture"])
    drawn.metadata["jupyter"] = {"outputs_hidden": hidden}
    words = nbformat.v4.new_markdown_cell(("", FOLD)[folded] + "*Picture: a line.*\n</details>")
    alike = [p for p in problems(made(drawn, words)) if "not folded alike" in p]
    assert len(alike) == (hidden != folded)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("→ section 2", "", "points nowhere"),
        ("→ section 2", "→ section 77", "section 77, which is not there"),
        ("- Check that this machine is ready →", "- Check this machine →", "not the opening ones"),
        ("*About 20 minutes", "*A while", "how long it takes"),
        ("*About 20 minutes", "*About 40 minutes", "says 40 minutes to read and run; counted"),
        ("and 15 for", "and 30 for", "says 30 minutes of exercises; its cards say 15"),
        ("seed = 0", "", "no parameters cell"),
        ("What you chose, and why", "Answer", "prediction is not resolved"),
        ("### Predict, then run", "### Look", "is folded for no reason"),
        ("## 5. The map", "### Predict, then run", "stands open under the question"),
        ("## Explain it", "## Anything else", "no '## Explain it'"),
        ("*Difficulty: easy · 5 minutes*", "", "exercise card is not complete"),
    ],
)
def test_each_chapter_rule_turns_red(old, new, words):
    notebook = nbformat.read(CHAPTERS[0], as_version=4)
    for cell in notebook.cells:
        cell.source = cell.source.replace(old, new)
    assert any(words in problem for problem in chapter_problems(notebook))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_cells_that_are_named_are_counted_right(path):
    for number, cell in enumerate(code_cells(nbformat.read(path, as_version=4)), start=1):
        for here in re.findall(r"name_cells\(here=(\d+)\)", cell.source):
            assert int(here) == number


def names(source):
    """Names that a cell makes, and names that it uses; those inside a function are its own."""
    text = "\n".join(line for line in source.splitlines() if line[:1] not in "%!")
    top = symtable.symtable(text, "cell", "exec")
    made = {s.get_name() for s in top.get_symbols() if s.is_assigned() or s.is_imported()}
    used = {s.get_name() for s in top.get_symbols() if s.is_referenced()}
    inner = list(top.get_children())
    while inner:
        table = inner.pop()
        used |= {s.get_name() for s in table.get_symbols() if s.is_global()}
        inner += table.get_children()
    return made, used


def missing_when_quick(cells):
    """Names that a cell of a quick run uses, and that only a left-out cell makes."""
    kept, left_out, missing = set(), set(), set()
    for source, tags in cells:
        made, used = names(source)
        if SKIPPED in tags:
            left_out |= made
        else:
            kept |= made
            missing |= (used & left_out) - kept
    return missing


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_a_quick_run_misses_nothing(path):
    cells = nbformat.read(path, as_version=4).cells
    code = [(c.source, c.metadata.get("tags", [])) for c in cells if c.cell_type == "code"]
    assert missing_when_quick(code) == set()


def test_what_a_quick_run_misses_is_found():
    quick = [SKIPPED]
    assert missing_when_quick([("x = 1", quick), ("print(x)", [])]) == {"x"}
    assert missing_when_quick([("def f(): pass", quick), ("import a as b", quick), ("b(f)", [])])
    assert not missing_when_quick([("x = 0", []), ("x = 1", quick), ("print(x)", [])])
    assert not missing_when_quick([("x = 1", quick), ("print(x)", quick)])
