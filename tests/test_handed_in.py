"""What is found, whose it is, and what is said of all that is not graded. Nothing is run here."""

import json
import os
import time
import tracemalloc
import zipfile
from datetime import datetime, timezone
from types import SimpleNamespace

import pytest
from grading import GOOD, HALF, SECRET, TINY, notebook, put

from mobilelab.core.errors import MobileLabError
from mobilelab.grading import handed_in, release, submissions
from mobilelab.grading import notebook as notebooks
from mobilelab.grading.assignment import Assignment
from mobilelab.grading.policy import Policy, attempts, grades
from mobilelab.grading.roster import parse_time, read_roster, read_times
from mobilelab.grading.submissions import find, names_of

ROSTER = "id,name,canvas,group\nada,Ada Lovelace,77,red\nbob,Bob,22,red\ncy,Cy,23,blue\n"


@pytest.fixture
def roster(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text(ROSTER, encoding="utf-8")
    return read_roster(path)


def said(remarks):
    return {remark.path: remark.text for remark in remarks}


def zipped(path, **entries):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


# --- whose it is ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "student"),
    [
        ("ada.ipynb", "ada"), ("ada/work.ipynb", "ada"), ("ada/attempt 2/work.ipynb", "ada"),
        ("Ada L_1234_assignsubmission_file/x.ipynb", "Participant 1234"),
        ("Ada L_1234_assignsubmission_file_/x.ipynb", "Participant 1234"),
        ("lovelaceada_77_4567_tiny.ipynb", "77"), ("lovelaceada_LATE_77_4567_tiny.ipynb", "77"),
        # what a student chooses inside the own folder says nothing
        ("eve/x_22_1_tiny.ipynb", "eve"), ("eve/Bob_22_assignsubmission_file/x.ipynb", "eve"),
        ("Eve_9_assignsubmission_file/x_22_1_tiny.ipynb", "Participant 9"), ("Bob /x.ipynb", "Bob"),
    ],
)  # fmt: skip
def test_whose_file_it_is(path, student):
    assert names_of(path)[0] == student


def test_a_name_inside_a_folder_takes_nobodys_place(tmp_path, roster):
    folder = tmp_path / "in"
    for student, name in (("bob", "tiny"), ("eve", "x_22_1_tiny"), ("cy", "Participant 22")):
        (folder / student).mkdir(parents=True)
        (folder / student / f"{name}.ipynb").write_bytes(GOOD)
    for names in (None, roster):
        found, remarks = find(folder, "tiny", names)
        assert [s.student for s in found] == ["bob", "cy", "eve"]
    assert said(remarks) == {"eve/x_22_1_tiny.ipynb": "graded, but eve is not on the roster"}


@pytest.mark.parametrize("name", ["Jos\u00e9", "Jose\u0301", " jos\u00e9 ", "JOS\u00c9"])
def test_ways_to_write_a_name_are_one_student(tmp_path, name):
    path = tmp_path / "roster.csv"
    path.write_text("id,name\nJosé ,J\n", encoding="utf-8")
    folder = put(tmp_path / "in", **{name: GOOD})
    (submission,), _ = find(folder, "tiny", read_roster(path))
    assert submission.student == "José"
    tiny = Assignment.load(TINY)
    assert tiny.parameters(SECRET, name) == tiny.parameters(SECRET, "José")


def test_names_that_disagree_stop_their_file_and_no_other(tmp_path, roster):
    path = tmp_path / "roster.csv"
    path.write_text("id,name,moodle\nada,Ada L,Participant 1\nbob,Bob B,Participant 2\n")
    names = read_roster(path)
    folder = tmp_path / "in"
    for top in ("Ada L_2_assignsubmission_file", "Bob B_2_assignsubmission_file"):
        (folder / top).mkdir(parents=True)
        (folder / top / "tiny.ipynb").write_bytes(GOOD)
    found, remarks = find(folder, "tiny", names)
    assert [s.student for s in found] == ["bob"]
    (text,) = said(remarks).values()
    assert text == "not graded: its names are those of ada and bob; rename it"


def test_roster_knows_every_name_that_is_one_students(tmp_path, roster):
    assert roster["77"] == roster["ada lovelace"] == roster["ada"] == "ada"
    assert "red" not in roster and roster["blue"] == "cy"
    folder = put(tmp_path / "in", lovelaceada_77_4567_tiny=GOOD)
    assert find(folder, "tiny", roster)[0][0].student == "ada"


@pytest.mark.parametrize(
    "bad", ["../../evil", "a/b", "a\\b", ".", "..", ".ssh", "a\x1b[31m", "\u202ea", '""'], ids=ascii
)
def test_an_id_that_is_no_name_of_a_folder_is_refused(tmp_path, bad):
    path = tmp_path / "roster.csv"
    path.write_text(f"id,name\nada,Ada\n{bad},Eve\n", encoding="utf-8")
    with pytest.raises(MobileLabError, match="cannot be an id"):
        read_roster(path)


def test_an_id_in_two_rows_is_refused(tmp_path):
    path = tmp_path / "roster.csv"
    path.write_text("id,name\nada,Ada\nADA,Eve\n")
    with pytest.raises(MobileLabError, match="ADA stands in two rows"):
        read_roster(path)


def test_times_find_a_student_by_any_name(tmp_path, roster):
    path = tmp_path / "times.csv"
    path.write_text("time,student\n2026-11-30T23:59,Ada Lovelace\n2026-12-01T00:00, BOB\n")
    times = read_times(path, roster)
    assert times == {"ada": datetime(2026, 11, 30, 23, 59, tzinfo=timezone.utc),
                     "bob": datetime(2026, 12, 1, tzinfo=timezone.utc)}  # fmt: skip
    path.write_text("who,time\nada,2026-11-30\n")
    with pytest.raises(MobileLabError, match="has no column student; its first line"):
        read_times(path)
    path.write_text("student,time\nada\n")
    with pytest.raises(MobileLabError, match="'' is no time"):
        read_times(path)


# --- nothing is passed over without a word ----------------------------------------------------


def test_all_that_is_not_graded_is_told(tmp_path):
    folder = put(tmp_path / "in", ada=GOOD)
    (folder / "eve.ipynb").symlink_to("/etc/passwd")
    (folder / "cy" / ".ipynb_checkpoints").mkdir(parents=True)
    (folder / "cy" / ".ipynb_checkpoints" / "tiny-checkpoint.ipynb").write_bytes(GOOD)
    (folder / "ben").mkdir()
    (folder / "ben" / "report.pdf").write_bytes(b"x")
    for name in ("tiny", "notes"):
        (folder / "ben2").mkdir(exist_ok=True)
        (folder / "ben2" / f"{name}.ipynb").write_bytes(GOOD)
    (folder / ".DS_Store").write_bytes(b"x")
    found, remarks = find(folder, "tiny")
    assert [s.student for s in found] == ["ada", "ben2"]
    assert said(remarks) == {
        "eve.ipynb": "not graded: a link; put the file itself there",
        "cy/.ipynb_checkpoints/tiny-checkpoint.ipynb":
            "not graded: a copy that Jupyter keeps for itself",
        "ben/report.pdf": "not graded: no notebook, and none beside it",
        "ben2/notes.ipynb": "not graded: not named after tiny as others are",
    }  # fmt: skip


def test_a_folder_around_the_class_is_told(tmp_path):
    for student in ("ada", "bob"):
        (tmp_path / "in" / "all" / student).mkdir(parents=True)
        (tmp_path / "in" / "all" / student / "tiny.ipynb").write_bytes(GOOD)
    assert "give this folder" in said(find(tmp_path / "in", "tiny")[1])["all"]
    assert find(tmp_path / "in" / "all", "tiny")[1] == []


def test_zip_with_paths_that_lead_out(tmp_path):
    path = zipped(
        tmp_path / "work.zip",
        **{"../../evil.ipynb": GOOD, "ada/tiny.ipynb": GOOD, "ada/notes.txt": "hello",
           "__MACOSX/._tiny.ipynb": b"x", "ben/report.pdf": b"x", "/abs/evil.ipynb": GOOD},
    )  # fmt: skip
    found, remarks = find(path, "tiny")
    assert [s.student for s in found] == ["ada"]
    out = "not graded: its path leads out of the zip"
    assert said(remarks) == {
        "../../evil.ipynb": out, "/abs/evil.ipynb": out,
        "ben/report.pdf": "not graded: no notebook, and none beside it",
    }  # fmt: skip


def listed(content):
    """Where the zip's table of contents begins to speak of eve."""
    return content.rindex(b"PK\x01\x02", 0, content.rindex(b"eve"))


def spoiled(path, *, at, with_):
    """The zip with other bytes; ``at`` finds the place in it."""
    content = bytearray(path.read_bytes())
    place = at(content)
    content[place : place + len(with_)] = with_
    path.write_bytes(content)


@pytest.mark.parametrize(
    ("at", "with_"),
    [
        (lambda content: content.index(b"eve.ipynb") + 20, b"\xff\xff\xff\xff"),  # its data
        (
            lambda content: content.rindex(b"PK\x01\x02", 0, content.rindex(b"eve")) + 16,
            b"\0\0\0\0",
        ),
        (lambda content: content.rindex(b"PK\x01\x02", 0, content.rindex(b"eve")) + 10, b"\x63\0"),
    ],
    ids=["deflate", "checksum", "method"],
)
def test_a_broken_entry_is_one_sentence_and_the_rest_goes_on(tmp_path, at, with_):
    path = zipped(
        tmp_path / "work.zip", **{"ada.ipynb": GOOD, "eve.ipynb": GOOD, "zoe.ipynb": GOOD}
    )
    spoiled(path, at=at, with_=with_)
    found, remarks = find(path, "tiny")
    assert [s.student for s in found] == ["ada", "zoe"]
    ((name, text),) = said(remarks).items()
    assert name == "eve.ipynb" and text.startswith("not graded: it cannot be unpacked (")
    assert text.endswith("; download it again") and "\n" not in text


def test_an_entry_without_a_date_is_graded(tmp_path):
    path = zipped(tmp_path / "work.zip", **{"ada.ipynb": GOOD, "eve.ipynb": GOOD})
    spoiled(path, at=lambda content: listed(content) + 14, with_=b"\0\0")
    found, remarks = find(path, "tiny")
    assert [s.student for s in found] == ["ada", "eve"]
    assert abs((found[1].handed_in - datetime.now(timezone.utc)).total_seconds()) < 3600
    assert "--times" in said(remarks)["eve.ipynb"]


def test_nothing_to_grade_is_one_sentence(tmp_path):
    for place in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(MobileLabError, match="no "):
            find(place, "tiny")
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 broken")
    with pytest.raises(MobileLabError):
        find(tmp_path / "broken.zip", "tiny")


# --- attempts ---------------------------------------------------------------------------------


def handed_out(assignment, student=None):
    book = release.student_notebook(assignment)
    if student is None:
        return release.text(book).encode()
    return release.for_student(book, assignment.parameters(SECRET, student)).encode()


def test_a_copy_of_the_hand_out_is_no_attempt(tmp_path):
    tiny = Assignment.load(TINY)
    folder = tmp_path / "in"
    for student in ("ada", "ben"):
        (folder / student).mkdir(parents=True)
        (folder / student / "tiny-Copy1.ipynb").write_bytes(handed_out(tiny, student))
    (folder / "ada" / "tiny.ipynb").write_bytes(GOOD)
    found, remarks = handed_in.without_copies(tiny, find(folder, "tiny")[0])
    assert [s.path for s in found] == ["ada/tiny.ipynb", "ben/tiny-Copy1.ipynb"]
    assert list(said(remarks)) == ["ada/tiny-Copy1.ipynb"]


def test_every_attempt_is_listed_with_why_it_counts(tmp_path):
    def standing(student, day, points):
        when = datetime(2026, 11, day, tzinfo=timezone.utc)
        return SimpleNamespace(student=student, path=f"{day}", handed_in=when, points=points)

    all_of_them = [standing("ada", 1, 9), standing("ada", 2, 5), standing("bo", 1, 3)]
    for rule, counts in (("last", "2"), ("best", "1")):
        policy = Policy(attempts=rule)
        listed = attempts(all_of_them, grades(all_of_them, policy), policy)
        assert [s.path for s, _ in listed] == ["1", "2"]  # bo's only one needs no word
        assert [s.path for s, why in listed if why == f"counts: the {rule} one"] == [counts]


@pytest.mark.parametrize(
    "rule", [{"per_day": -50}, {"per_day": 101}, {"per_day": float("nan")}, {"free_days": -3},
             {"attempts": "first"}],
    ids=str,
)  # fmt: skip
def test_rules_that_make_no_sense_are_refused(rule):
    with pytest.raises(MobileLabError):
        Policy(**rule)


# --- whose parameters -------------------------------------------------------------------------


def hand_in(tmp_path, assignment, **whose):
    """A class; each student holds the notebook that was handed out to another, or to themselves."""
    content = {me: handed_out(assignment, owner) for me, owner in whose.items()}
    return find(put(tmp_path / "in", **content), "tiny")[0]


def test_parameters_of_ones_own_need_no_word(tmp_path, roster):
    tiny = Assignment.load(TINY)
    found = hand_in(tmp_path, tiny, ada="ada", bob="bob")
    assert handed_in.check_parameters(tiny, found, SECRET, roster) == []
    plain = find(put(tmp_path / "plain", ada=GOOD), "tiny")[0]  # handed out without a roster
    assert handed_in.check_parameters(tiny, plain, SECRET, roster) == []


def test_parameters_of_another_are_told_with_the_name(tmp_path, roster):
    tiny = Assignment.load(TINY)
    found = hand_in(tmp_path, tiny, ada="ada", bob="cy")
    (remark,) = handed_in.check_parameters(tiny, found, SECRET, roster)
    assert remark.path == "bob.ipynb"
    assert remark.text == "graded with bob's parameters: it was handed out to cy, not to bob"


def test_parameters_of_nobody_stop_before_anything_is_graded(tmp_path, roster):
    tiny = Assignment.load(TINY)
    found = hand_in(tmp_path, tiny, ada="ada", bob="bob")
    for secret, way in (
        (b"another secret, longer", "--secret the one"),
        (None, "give it with --secret"),
    ):
        with pytest.raises(MobileLabError, match="2 of 2 students' notebooks") as error:
            handed_in.check_parameters(tiny, found, secret, roster)
        assert way in str(error.value) and "\n" not in str(error.value)
        remarks = handed_in.check_parameters(tiny, found, secret, roster, anyway=True)
        assert len(remarks) == 2
    numbers = hand_in(tmp_path, tiny, **{"77": "ada", "22": "bob"})  # Canvas, without the roster
    with pytest.raises(MobileLabError, match="2 of 2 students' notebooks"):
        handed_in.check_parameters(tiny, numbers, SECRET)


def test_one_edited_notebook_does_not_stop_the_others(tmp_path, roster):
    tiny = Assignment.load(TINY)
    found = hand_in(tmp_path, tiny, ada="ada", bob="bob", cy="nobody on this roster")
    (remark,) = handed_in.check_parameters(tiny, found, SECRET, roster)
    assert remark.path == "cy.ipynb" and "nobody in this class" in remark.text


def test_one_student_with_many_files_does_not_speak_for_the_class(tmp_path, roster):
    tiny = Assignment.load(TINY)
    found = hand_in(tmp_path, tiny, ada="ada", bob="bob")
    forged = handed_out(tiny, "nobody on this roster")
    for i in range(5):
        place = tmp_path / "in" / "cy"
        place.mkdir(exist_ok=True)
        (place / f"{i}.ipynb").write_bytes(forged if isinstance(forged, bytes) else forged.encode())
    found = find(tmp_path / "in", "tiny")[0]
    remarks = handed_in.check_parameters(tiny, found, SECRET, roster)
    assert len(remarks) == 5 and {remark.path.split("/")[0] for remark in remarks} == {"cy"}


def test_a_student_sees_the_own_parameters_in_a_dry_run(tmp_path):
    tiny = Assignment.load(TINY)
    (found,) = hand_in(tmp_path, tiny, ada="ada")
    assert handed_in.own_parameters(tiny, found) == tiny.parameters(SECRET, "ada")
    (plain,) = find(put(tmp_path / "plain", ada=GOOD), "tiny")[0]
    assert handed_in.own_parameters(tiny, plain) == {"seed": 3}


@pytest.mark.parametrize(
    "source", ["seed = 10**9", "seed = [3]", "seed = __import__('os')", "seed", "("]
)
def test_parameters_that_nobody_can_have_are_the_defaults(tmp_path, source):
    book = json.loads(notebook(source))
    book["cells"][1]["metadata"]["tags"] = ["injected-parameters"]
    (found,) = find(put(tmp_path / "in", ada=json.dumps(book).encode()), "tiny")[0]
    assert handed_in.own_parameters(Assignment.load(TINY), found) == {"seed": 3}


def test_a_lost_tag_hides_no_parameters():
    tiny = Assignment.load(TINY)
    book = json.loads(handed_out(tiny, "ada"))
    for cell in book["cells"]:
        cell["metadata"].pop("tags", None)
    cells = notebooks.read(json.dumps(book).encode(), ["seed"])
    assert notebooks.held(cells, ["seed"]) == tiny.parameters(SECRET, "ada")


def test_utf16_is_read():
    cells = notebooks.read(HALF.decode().encode("utf-16"))
    assert cells == notebooks.read(HALF)
    with pytest.raises(notebooks.NotANotebook, match="not UTF-8"):
        notebooks.read(b"\xff\xfe\x00")


# --- how much is taken, and from where --------------------------------------------------------


def test_moodle_without_folders_names_people_by_their_files():
    path = "Ada L_1234567_assignsubmission_file_tiny-last.ipynb"
    assert names_of(path) == ["Participant 1234567", "Ada L"]


def test_a_folder_around_a_class_is_no_student(tmp_path, roster):
    for path in ("week 3/ada/tiny.ipynb", "week 3/bob/tiny.ipynb"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(GOOD)
    found, remarks = find(tmp_path, "tiny", roster)
    assert [s.student for s in found] == ["ada", "bob"]
    assert "folder of a class" in said(remarks)["week 3"]
    # without a roster nobody knows: it could be a student called week 3
    found, remarks = find(tmp_path, "tiny")
    assert {s.student for s in found} == {"week 3"} and "give this folder" in said(remarks)[
        "week 3"
    ]


def test_a_folder_of_somebody_on_the_roster_is_theirs(tmp_path, roster):
    for path in ("ada/bob/tiny.ipynb", "ada/cy/tiny.ipynb"):
        (tmp_path / path).parent.mkdir(parents=True)
        (tmp_path / path).write_bytes(GOOD)
    assert {s.student for s in find(tmp_path, "tiny", roster)[0]} == {"ada"}


def test_of_many_files_of_one_student_the_newest_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr(submissions, "MOST_ATTEMPTS", 3)
    for number in range(5):
        path = tmp_path / "ada" / f"tiny-{number}.ipynb"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(GOOD)
        os.utime(path, (1000 + number, 1000 + number))
    (tmp_path / "bob.ipynb").write_bytes(HALF)
    found, remarks = find(tmp_path, "tiny")
    assert [s.path for s in found] == [
        "ada/tiny-2.ipynb", "ada/tiny-3.ipynb", "ada/tiny-4.ipynb", "bob.ipynb"
    ]  # fmt: skip
    assert "more than 3 notebooks" in said(remarks)["ada/tiny-0.ipynb"]


def test_a_zip_of_large_files_is_not_read_into_memory(tmp_path):
    large = {f"eve/tiny-{i}.ipynb": b" " * (40 * 2**20) for i in range(8)}
    place = zipped(tmp_path / "all.zip", **large, **{"ada/tiny.ipynb": GOOD})
    del large
    tracemalloc.start()
    found, remarks = find(place, "tiny")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 3 * submissions.MOST_BYTES and len(remarks) == 6
    assert sorted(s.student for s in found) == ["ada", "eve", "eve"]


def test_times_without_a_zone_are_local(tmp_path, monkeypatch):
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        noon = datetime(2026, 11, 30, 17, tzinfo=timezone.utc)
        assert parse_time("2026-11-30T12:00") == noon == parse_time("2026-11-30T17:00Z")
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            archive.writestr(zipfile.ZipInfo("ada/tiny.ipynb", (2026, 11, 30, 12, 0, 0)), GOOD)
        assert find(tmp_path / "all.zip", "tiny")[0][0].handed_in == noon
    finally:
        monkeypatch.undo()
        time.tzset()
