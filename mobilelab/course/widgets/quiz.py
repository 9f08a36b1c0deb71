"""The quiz: multiple choice where every option explains itself, and progress is remembered."""

from __future__ import annotations

import html
import re
from typing import cast

import ipywidgets as w

from mobilelab.core.errors import ProgressError
from mobilelab.course import questions
from mobilelab.course.questions import Option, Question, of_chapter
from mobilelab.course.widgets.tables import html_table
from mobilelab.jupyter import progress


def marked_up(text: str) -> str:
    """Plain text with backticks as HTML."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def explanation(option: Option) -> str:
    """What an option says for itself, as HTML."""
    sign, color, word = ("✓", "#009E73", "Right") if option.right else ("✗", "#D55E00", "Not this")
    return (
        f"<div style='border-left:5px solid {color};padding:.2em .8em;margin:.2em 0'>"
        f"<b>{sign} {word}.</b> {marked_up(option.why)}</div>"
    )


class QuestionBox(w.VBox):
    """One question: choose with Tab and Space, check with the button, read why.

    Args:
        question: what is asked.
        answer: an earlier answer, if there is one.
    """

    def __init__(self, question: Question, answer: progress.Answer | None = None) -> None:
        self.question = question
        #: What a callback raised.
        self.errors: list[Exception] = []
        texts = [
            (f"{'ABCDEF'[i]}  {option.text.replace('`', '')}", i)
            for i, option in enumerate(question.options)
        ]
        self.options = w.RadioButtons(options=texts, value=None, layout=w.Layout(width="auto"))
        self.options.add_class("mobilelab-options")
        self.check = w.Button(description="Check", disabled=True)
        self.why = w.HTML()
        self.why.add_class("mobilelab-why")
        self.standing = w.HTML(_standing(answer))
        self.options.observe(self._chosen, names="value")
        self.check.on_click(self._checked)
        super().__init__(
            [
                w.HTML(f"<b>{question.key}</b> {marked_up(question.text)}"),
                self.options,
                w.HBox([self.check, self.standing]),
                self.why,
            ],
            layout=w.Layout(margin="0 0 1.2em 0"),
        )

    def _chosen(self, change: dict) -> None:
        self.check.disabled = change["new"] is None
        self.why.value = ""

    def _checked(self, button: w.Button) -> None:
        try:
            option = self.question.options[cast(int, self.options.value)]
            self.why.value = f"<div role='status'>{explanation(option)}</div>"
            self.standing.value = _standing(progress.remember(self.question.key, option.right))
        except ProgressError as error:  # the answer is explained; only the memory fails
            self.standing.value = f"<span role='alert'>{html.escape(str(error))}</span>"
        except Exception as error:
            self.errors.append(error)
            self.why.value = (
                f"<div role='alert'>{type(error).__name__}: {html.escape(str(error))}</div>"
            )
            raise


def _standing(answer: progress.Answer | None) -> str:
    if answer is None:
        return ""
    tries = "1 try" if answer.tries == 1 else f"{answer.tries} tries"
    return f"{'right' if answer.right else 'not yet right'}, {tries}"


class Quiz(w.VBox):
    """The questions of a chapter.

    Args:
        chapter: for example ``"03"``.

    Raises:
        MobileLabError: if the chapter has no questions.
    """

    def __init__(self, chapter: str) -> None:
        self.questions = of_chapter(chapter)
        trouble = ""
        try:
            answers = progress.load()
        except ProgressError as error:
            answers, trouble = {}, f"<div role='alert'>{html.escape(str(error))}</div>"
        self.boxes = [QuestionBox(q, answers.get(q.key)) for q in self.questions]
        super().__init__([w.HTML(trouble), *self.boxes] if trouble else self.boxes)

    def _repr_mimebundle_(self, **kwargs: object) -> dict[str, str]:
        """The live quiz, and for readers without a kernel the same with folded explanations."""
        bundle = super()._repr_mimebundle_(**kwargs)
        assert bundle is not None  # only a widget without a view has none
        text, page = [], []
        for question in self.questions:
            letters = list(zip("ABCDEF", question.options, strict=False))
            text.append(f"{question.key} {question.text}")
            text += [f"  {letter} {option.text}" for letter, option in letters]
            page.append(
                f"<p><b>{question.key}</b> {marked_up(question.text)}</p>"
                + "<ul>"
                + "".join(
                    f"<li><b>{letter}</b> {marked_up(option.text)}"
                    f"<details><summary>{letter}: right or not, and why</summary>"
                    f"{explanation(option)}</details></li>"
                    for letter, option in letters
                )
                + "</ul>"
            )
        bundle["text/plain"] = "\n".join(text)
        bundle["text/html"] = "".join(page)
        return bundle


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
