"""Text from outside is printed as it is: no markup, no colors, no direction of its own."""

import io
import sys

import pytest
from grading import GOOD, TINY
from rich.table import Table

from mobilelab.cli import main as cli
from mobilelab.core.terminal import Terminal, colored, visible

HOSTILE = "a[/b] [link=x]y[/link] [red]z \x1b[31mred\x07 \u202eback \u0085\ud800"
SHOWN = r"a[/b] [link=x]y[/link] [red]z \x1b[31mred\x07 \u202eback \x85\ud800"


@pytest.mark.parametrize(
    "show",
    [
        lambda console: console.print(HOSTILE),
        lambda console: console.print(colored("red", "Error:", HOSTILE)),
        lambda console: console.print(colored("red", HOSTILE)),
        lambda console: console.rule(HOSTILE),
        lambda console: console.print(_table()),
    ],
    ids=["print", "colored", "colored word", "rule", "table"],
)
def test_what_a_terminal_obeys_is_written_out(show):
    said = io.StringIO()
    show(Terminal(file=said, width=200))
    assert SHOWN in said.getvalue()


def _table():
    table = Table("case", title=HOSTILE)
    table.add_row(HOSTILE)
    return table


def test_honest_text_is_left_alone():
    text = "José, 李雷, न, 👩‍🔬, a\tb\nc"
    assert visible(text) == text


@pytest.mark.parametrize(
    "command",
    [
        ["tour", "--dataset", HOSTILE],
        ["tour", "--out", "/proc/" + HOSTILE],
        ["release", HOSTILE],
        ["secret", "/proc/" + HOSTILE],
        ["grade", HOSTILE, "."],
        ["grade", "EXERCISE", HOSTILE],
        ["grade", "EXERCISE", ".", "--secret", HOSTILE],
        ["grade", "EXERCISE", ".", "--roster", HOSTILE],
        ["grade", "EXERCISE", ".", "--times", HOSTILE],
        ["grade", "EXERCISE", ".", "--due", HOSTILE],
        ["phone", "run", HOSTILE],
        ["app", "android", HOSTILE, "--model", HOSTILE],
    ],
    ids=lambda command: " ".join(word for word in command if HOSTILE not in word),
)
def test_every_command_says_what_it_was_given(command, monkeypatch, capsys, tmp_path):
    (tmp_path / "ada.ipynb").write_bytes(GOOD)
    monkeypatch.chdir(tmp_path)
    words = [str(TINY) if word == "EXERCISE" else word for word in command]
    words = [word.replace("\ud800", "").replace("\0", "") for word in words]
    monkeypatch.setattr(sys, "argv", ["mobilelab", *words])
    with pytest.raises(SystemExit) as end:
        cli.main()
    assert end.value.code in (1, 2)
    said = "".join(capsys.readouterr()).replace("\n", " ")
    assert "Traceback" not in said and "\x1b[31m" not in said and "\u202e" not in said
    assert "a[/b] [link=x]y[/link] [red]z" in said
