"""The quiz: multiple choice where every option explains itself, and progress is remembered."""

from __future__ import annotations

import html
import re
from typing import Any

import anywidget
from traitlets import Dict, Unicode

from mobilelab.core.errors import ProgressError
from mobilelab.course import questions
from mobilelab.course.questions import Option, Question, of_chapter
from mobilelab.course.widgets import page
from mobilelab.course.widgets.tables import html_table
from mobilelab.jupyter import progress


def marked_up(text: str) -> str:
    """Plain text with backticks as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def explanation(option: Option) -> str:
    """What an option says for itself, as HTML."""
    sign, color, word = ("✓", "#009E73", "Right") if option.right else ("✗", "#D55E00", "Not this")
    right = " data-right" if option.right else ""
    return (
        f"<div data-option{right} style='border-left:5px solid {color};padding:.2em .8em'>"
        f"<b>{sign} {word}.</b> {marked_up(option.why)}</div>"
    )


def folded(question: Question) -> str:
    """A question as HTML that needs no script: below each option its explanation, folded."""
    lines = "".join(
        f"<li><b>{letter}</b> {marked_up(option.text)}"
        f"<details><summary>{letter}: right or not, and why</summary>"
        f"{explanation(option)}</details></li>"
        for letter, option in zip("ABCDEF", question.options, strict=False)
    )
    return (
        f"<section class='mlq' data-key='{question.key}'>"
        f"<p><b>{question.key}</b> {marked_up(question.text)}</p><ul>{lines}</ul></section>"
    )


class Quiz(anywidget.AnyWidget):
    """The questions of a chapter; the page explains the answers, the kernel remembers them.

    Args:
        chapter: for example ``"03"``.

    Raises:
        MobileLabError: if the chapter has no questions.
    """

    #: The questions as HTML.
    body = Unicode().tag(sync=True)
    #: By a question's key, how the learner stands: ``{"right": bool, "tries": int}``.
    standing = Dict().tag(sync=True)
    #: Why answers cannot be remembered; empty if all is well.
    problem = Unicode().tag(sync=True)
    _esm = Unicode().tag(sync=True)
    _css = Unicode().tag(sync=True)

    def __init__(self, chapter: str) -> None:
        self.questions = of_chapter(chapter)
        problem, answers = "", {}
        try:
            answers = progress.load()
        except ProgressError as error:
            problem = str(error)
        keys = {question.key for question in self.questions}
        super().__init__(
            body="".join(folded(question) for question in self.questions),
            standing={key: _stands(a) for key, a in answers.items() if key in keys},
            problem=problem,
            _esm=page.quiz_module(),
            _css=page.style("quiz"),
        )
        self.on_msg(self._told)

    def _told(self, _: object, content: dict[str, Any], __: object) -> None:
        self.answer(content["key"], content["option"])

    def answer(self, key: str, option: int) -> None:
        """Remember that an option was checked, as the page asks for.

        Args:
            key: of the question, for example ``"03.1"``.
            option: its place among the options, from 0.
        """
        (question,) = (each for each in self.questions if each.key == key)
        try:
            answer = progress.remember(key, question.options[option].right)
        except ProgressError as error:  # the answer is explained; only the memory fails
            self.problem = str(error)
        except Exception as error:
            self.problem = f"{type(error).__name__}: {error}"
            raise
        else:
            self.problem = ""
            self.standing = {**self.standing, key: _stands(answer)}

    def _repr_mimebundle_(self, **kwargs: Any) -> Any:
        """The live quiz, the same for a page without a kernel, and text."""
        bundle = super()._repr_mimebundle_(**kwargs)
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle or {}, {})
        text = []
        for question in self.questions:
            text.append(f"{question.key} {question.text}")
            letters = zip("ABCDEF", question.options, strict=False)
            text += [f"  {letter} {option.text}" for letter, option in letters]
        data["text/plain"] = "\n".join(text)
        data["text/html"] = page.stored_quiz(self.body)
        return (data, metadata) if metadata else data


def _stands(answer: progress.Answer) -> dict[str, Any]:
    return {"right": answer.right, "tries": answer.tries}


class ProgressTable:
    """How far the learner has come, as a table; shown by being the last line of a cell."""

    def __init__(self) -> None:
        self.trouble = ""
        try:
            self.lines = list(progress.summary(questions.keys()))
        except ProgressError as error:
            self.lines, self.trouble = [], str(error)

    def _rows(self) -> list[tuple[str, str, str]]:
        return [
            (line.chapter, f"{line.right} of {line.questions}", str(line.at_once))
            for line in self.lines
        ]

    def __repr__(self) -> str:
        if self.trouble:
            return self.trouble
        return "\n".join(f"{chapter}: {right} right" for chapter, right, _ in self._rows())

    def _repr_html_(self) -> str:
        if self.trouble:
            return f"<p>{html.escape(self.trouble)}</p>"
        return html_table(("chapter", "questions right", "at the first try"), self._rows())
