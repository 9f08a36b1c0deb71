"""What a file says before it is run: whether anybody worked on it, and whose parameters it has."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from mobilelab.core.errors import MobileLabError
from mobilelab.grading import notebook, release
from mobilelab.grading.assignment import Assignment, ExerciseError
from mobilelab.grading.files import Remark
from mobilelab.grading.serialize import same_name
from mobilelab.grading.submissions import Submission


class ParametersError(MobileLabError):
    """Most notebooks hold parameters that nobody in this class has."""


def _cells(assignment: Assignment, submission: Submission) -> list[notebook.Cell]:
    """Cells of a submission; none if it cannot be read, which the grader will say."""
    try:
        return notebook.read(submission.content, assignment.exercise.parameters)
    except notebook.NotANotebook:
        return []


def _code(cells: Sequence[notebook.Cell]) -> list[str]:
    """What was written, without the cells of the parameters."""
    code = [c.source.strip() for c in cells if c.code and not (c.parameters or c.injected)]
    return [source for source in code if source]


def untouched(assignment: Assignment) -> Callable[[bytes], bool] | None:
    """Tells whether a notebook's code is still as it was handed out.

    Returns:
        ``None`` without a solution notebook: then nobody knows what was handed out.
    """
    try:
        given = release.student_notebook(assignment)
    except ExerciseError:
        return None
    names = assignment.exercise.parameters
    empty = _code(notebook.read(release.text(given).encode(), names))

    def is_untouched(content: bytes) -> bool:
        try:
            return _code(notebook.read(content, names)) == empty
        except notebook.NotANotebook:
            return False

    return is_untouched


def without_copies(
    assignment: Assignment, submissions: Sequence[Submission]
) -> tuple[list[Submission], list[Remark]]:
    """Set aside what is still as it was handed out, where its student has handed in more.

    Jupyter's ``…-Copy1.ipynb`` of the hand-out beside the finished work is no last attempt.
    """
    is_untouched = untouched(assignment)
    if is_untouched is None:
        return list(submissions), []
    same = [s for s in submissions if is_untouched(s.content)]
    worked = {s.student for s in submissions if s not in same}
    copies = [s for s in same if s.student in worked]
    why = "not graded: nothing in it was changed, and its student handed in another file"
    return [s for s in submissions if s not in copies], [Remark(s.path, why) for s in copies]


def own_parameters(assignment: Assignment, submission: Submission) -> dict[str, Any]:
    """The parameters that a notebook holds, for a student who has no class secret.

    What it does not hold, or what no student can have, is the default.
    """
    options = assignment.exercise.parameters
    found = notebook.held(_cells(assignment, submission), options) or {}
    return {
        name: found[name] if name in found and found[name] in list(values) else values[0]
        for name, values in options.items()
    }


def check_parameters(
    assignment: Assignment,
    submissions: Sequence[Submission],
    secret: bytes | None,
    roster: Mapping[str, str] | None = None,
    *,
    anyway: bool = False,
) -> list[Remark]:
    """Compare what notebooks were handed out with and what their students have by the secret.

    Args:
        assignment: the exercise.
        submissions: what was handed in.
        secret: the class secret.
        roster: from :func:`mobilelab.grading.roster.read_roster`.
        anyway: go on also where :class:`ParametersError` would be raised.

    Returns:
        A remark for each that has another's parameters, or nobody's.

    Raises:
        ParametersError: if more than half hold parameters of nobody: then the secret, the roster
            or the exercise is another than when they were handed out, and every grade would be
            wrong.
    """
    names = list(assignment.exercise.parameters)
    known = [*(roster or {}).values(), *(submission.student for submission in submissions)]
    people = {same_name(student): student for student in known}
    whose: dict[str, list[str]] = {}
    for student in sorted(people.values()):
        whose.setdefault(_key(assignment.parameters(secret, student), names), []).append(student)
    remarks, strangers, asked, known_good = [], [], set(), set()
    for submission in submissions:
        found = notebook.held(_cells(assignment, submission), names)
        if found is None:
            continue
        asked.add(submission.student)
        own = assignment.parameters(secret, submission.student)
        if _key(found, names) == _key(own, names):
            known_good.add(submission.student)
            continue
        others = whose.get(_key(found, names), [])
        if others:
            said = f"was handed out to {' or '.join(others[:3])}, not to {submission.student}"
        else:
            said = "holds parameters that nobody in this class was given"
            strangers.append(submission)
        remarks.append(
            Remark(submission.path, f"graded with {submission.student}'s parameters: it {said}")
        )
    # Students are counted, not files: one with many forged ones must not speak for a class.
    lost = {one.student for one in strangers} - known_good
    if lost and 2 * len(lost) > len(asked) and not anyway:
        theirs = [one for one in strangers if one.student in lost]
        raise ParametersError(_sentence(assignment, theirs, len(lost), len(asked), secret, names))
    return remarks


def _key(values: Mapping[str, Any], names: Collection[str]) -> str:
    return repr([values.get(name) for name in names])


def _sentence(
    assignment: Assignment, strangers: Sequence[Submission], lost: int, asked: int,
    secret: bytes | None, names: Sequence[str],
) -> str:  # fmt: skip
    first = strangers[0]
    found = notebook.held(_cells(assignment, first), names) or {}
    own = assignment.parameters(secret, first.student)
    name = next(name for name in names if found.get(name) != own[name])
    way = (
        "Is --secret the one that they were handed out with, and does --roster give every student "
        "the same id?"
        if secret
        else "They were handed out with a class secret: give it with --secret."
    )
    return (
        f"{lost} of {asked} students' notebooks hold parameters that nobody in this class has: "
        f"{first.path} has {name} = {found.get(name)!r}, {first.student} would have "
        f"{own[name]!r}. Nothing was graded. {way} --anyway grades them all the same."
    )
