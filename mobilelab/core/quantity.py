"""A quantity: what a figure counts, its unit, which way is better, and its digits."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass


@dataclass(frozen=True)
class Quantity:
    """A kind of figure, once for all who print, draw, limit or store one.

    Attributes:
        name: as a heading says it.
        unit: ``"%"`` for a share, 0 to 1, which is printed and drawn in percent.
        more_is_better: the direction.
        digits: digits after the point; ``None`` for three significant ones (of a share: one).

    >>> Quantity("file size", "kB", more_is_better=False, digits=0).text(418.6)
    '419 kB'
    >>> Quantity("accuracy", "%").text(0.98765)
    '98.8%'
    """

    name: str
    unit: str = ""
    _: KW_ONLY
    more_is_better: bool = True
    digits: int | None = None

    @property
    def factor(self) -> int:
        """What a figure is multiplied by when it is printed or drawn."""
        return 100 if self.unit == "%" else 1

    @property
    def decimals(self) -> int | None:
        """Digits after the point of a printed figure; ``None`` for three significant ones."""
        return 1 if self.digits is None and self.factor == 100 else self.digits

    @property
    def heading(self) -> str:
        """The name with the unit, for an axis or a column of bare numbers.

        >>> Quantity("PSNR", "dB").heading
        'PSNR (dB)'
        """
        return f"{self.name} ({self.unit})" if self.unit else self.name

    def number(self, value: float) -> str:
        """The figure without its unit, for a column whose heading has it.

        >>> Quantity("error").number(0.123456)
        '0.123'
        """
        form = ".3g" if self.decimals is None else f".{self.decimals}f"
        return f"{self.factor * value:{form}}"

    def text(self, value: float) -> str:
        """The figure with its unit."""
        between = "" if self.unit in ("", "%") else " "
        return f"{self.number(value)}{between}{self.unit}"

    def gap(self, value: float, limit: float) -> str:
        """By how much a figure misses a limit, in words; empty if it does not.

        >>> Quantity("accuracy", "%").gap(0.93, limit=0.98)
        '5.0 points too low'
        """
        short = limit - value if self.more_is_better else value - limit
        if short <= 0:
            return ""
        by = f"{self.number(short)} points" if self.factor == 100 else self.text(short)
        return f"{by} too {'low' if self.more_is_better else 'high'}"
