"""Controls as Python sees them: a value that may be set, and what a page needs to draw one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traitlets import Any as AnyTrait
from traitlets import Bool, HasTraits, TraitError, validate


class Control(HasTraits):
    """One control of an explorer. Set its ``value`` from Python, and the page follows.

    Args:
        name: what the page calls it.
        label: what a reader sees beside it, and a screen reader says.
        value: where it stands.
        disabled: whether it cannot be moved in the page.
    """

    kind = ""
    value = AnyTrait()
    disabled = Bool(False)

    def __init__(self, name: str, label: str, value: object, *, disabled: bool = False) -> None:
        self.name, self.label = name, label
        super().__init__(value=value, disabled=disabled)

    def spec(self) -> dict[str, Any]:
        """What the page needs to draw it."""
        fixed = {"kind": self.kind, "name": self.name, "label": self.label}
        return {**fixed, "disabled": self.disabled}


class Slider(Control):
    """A number between two ends.

    Args:
        name: what the page calls it.
        label: what a reader sees.
        value: where it stands; beyond an end it is set to that end.
        low: the least value.
        high: the largest value.
        step: how far one press of an arrow key goes.
        digits: how many decimals are shown.
        endless: at its upper end it sets no limit.
        disabled: whether it cannot be moved in the page.
    """

    kind = "slider"

    def __init__(
        self, name: str, label: str, value: float, *, low: float, high: float, step: float = 1,
        digits: int = 0, endless: bool = False, disabled: bool = False,
    ) -> None:  # fmt: skip
        self.min, self.max, self.step, self.digits, self.endless = low, high, step, digits, endless
        super().__init__(name, label, value, disabled=disabled)

    @validate("value")
    def _within(self, proposal: dict[str, Any]) -> float:
        value = proposal["value"]
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise TraitError(f"{self.label}: {value!r} is not a number.")
        return min(max(value, self.min), self.max)

    def spec(self) -> dict[str, Any]:
        """What the page needs to draw it."""
        return {
            **super().spec(), "min": self.min, "max": self.max, "step": self.step,
            "digits": self.digits, "endless": self.endless,
        }  # fmt: skip


class Choice(Control):
    """One of several values.

    Args:
        name: what the page calls it.
        label: what a reader sees.
        options: the values, or pairs of text and value.
        value: the chosen one; the first if left out.
        kind: ``choice`` for a list that opens, ``buttons`` for all side by side, ``slider`` for
            values in an order.
        disabled: whether it cannot be moved in the page.
        title: why, or what it does; shown by the pointer.
    """

    def __init__(
        self, name: str, label: str, options: Sequence[Any], value: object = None, *,
        kind: str = "choice", disabled: bool = False, title: str = "",
    ) -> None:  # fmt: skip
        self.kind, self.title = kind, title
        self.options = list(options)
        self.values = [each[1] if isinstance(each, tuple) else each for each in self.options]
        first = self.values[0] if value is None else value
        super().__init__(name, label, first, disabled=disabled)

    @validate("value")
    def _known(self, proposal: dict[str, Any]) -> object:
        if proposal["value"] not in self.values:
            raise TraitError(f"{self.label}: {proposal['value']!r} is none of {self.values}.")
        return proposal["value"]

    def spec(self) -> dict[str, Any]:
        """What the page needs to draw it."""
        return {**super().spec(), "options": self.options, "title": self.title}


class Tick(Control):
    """Yes or no."""

    kind = "tick"
