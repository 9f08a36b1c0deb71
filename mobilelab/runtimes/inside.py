"""What is in a model file."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Inside:
    """What a model file holds, in the same words for every runtime."""

    runtime: str
    version: str
    """Version of the file's format."""
    operators: dict[str, int]
    """Operators that the runtime itself runs, name to number of uses, most used first."""
    delegates: dict[str, dict[str, int]]
    """Libraries that parts of the network were handed to, name to the operators in those parts."""
    dtypes: dict[str, int] = field(default_factory=dict)
    """Element type of the weights to their number of bytes, most bytes first."""
    parts: dict[str, int] = field(default_factory=dict)
    """Libraries to how many parts of the network each has, where the file tells."""

    @property
    def quantized(self) -> bool:
        """Whether it computes with integers that have a scale."""
        kinds = any(name.startswith("q") or "int8" in name for name in self.dtypes)
        return kinds or any(name.startswith(("q", "quantized::")) for name in self.operators)

    def __str__(self) -> str:
        """A few lines for a reader."""

        def listed(counts: dict[str, int]) -> str:
            return ", ".join(f"{n} {name}" for name, n in counts.items()) or "nothing"

        lines = [f"{self.runtime}, format {self.version}", f"  by itself: {listed(self.operators)}"]
        lines += [f"  {name}: {listed(ops)}" for name, ops in self.delegates.items()]
        if self.dtypes:
            sizes = ", ".join(f"{name} {size / 1000:.0f} kB" for name, size in self.dtypes.items())
            lines.append(f"  weights: {sizes}")
        return "\n".join(lines)
