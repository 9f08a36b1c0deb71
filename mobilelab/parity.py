"""Same answers? The comparison that comes before size and speed.

Every conversion in the course is followed by ``compare(reference, candidate)``: outputs of
the float model against outputs of whatever it was turned into, on the same real inputs.
Chapter 02 introduces it.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mobilelab.errors import ShapeError

#: Relative L2 error up to which two float computations count as the same answers. Reordering
#: float32 arithmetic costs about 1e-7 to 1e-6; a wrong answer is around 1.
SAME = 1e-4
#: What still counts as close, for a quantized or pruned model: at most this relative L2 error,
#: and at least this share of equal predictions.
CLOSE, AGREE = 0.5, 0.97


@dataclass(frozen=True, repr=False)
class Parity:
    """How far a candidate's outputs are from the reference's."""

    max_abs: float
    """Largest absolute difference of any single output, in the unit of the outputs."""
    rel_l2: float
    """L2 norm of the difference over the L2 norm of the reference; 0 is equal, 1 is as wrong
    as answering zero every time."""
    agreement: float
    """Share of inputs, 0 to 1, for which both give the same class."""
    inputs: int
    """Number of inputs compared."""

    @property
    def verdict(self) -> str:
        """``same`` (float rounding only), ``close`` (quantized, pruned) or ``DIFFERENT``."""
        if self.rel_l2 <= SAME and self.agreement == 1.0:
            return "same"
        close = self.rel_l2 <= CLOSE and self.agreement >= AGREE
        return "close" if close else "DIFFERENT"

    def __repr__(self) -> str:
        return (
            f"{self.verdict}: relative error {self.rel_l2:.1e}, largest difference "
            f"{self.max_abs:.1e}, {self.agreement:.1%} of {self.inputs} predictions agree"
        )


def compare(reference: Tensor, candidate: Tensor) -> Parity:
    """Compare two batches of class scores.

    Args:
        reference: scores of the float model, shape ``(n, classes)``.
        candidate: scores of the converted model on the same inputs, the same shape.

    Returns:
        Errors, agreement and a verdict. A candidate that holds NaN or infinity has infinite
        error and agrees on nothing for those inputs.

    Raises:
        ShapeError: if the shapes differ, are not two-dimensional, or there is no input.
    """
    if reference.shape != candidate.shape or reference.ndim != 2 or len(reference) == 0:
        raise ShapeError(
            "Parity needs two score tensors of one shape (n, classes) with n > 0, but got "
            f"{tuple(reference.shape)} and {tuple(candidate.shape)}; run both models on the "
            "same batch."
        )
    ref, cand = reference.detach().double(), candidate.detach().double()
    finite = torch.isfinite(cand).all(dim=1) & torch.isfinite(ref).all(dim=1)
    agree = (ref.argmax(dim=1) == cand.argmax(dim=1)) & finite
    if not finite.all():
        return Parity(float("inf"), float("inf"), agree.double().mean().item(), len(ref))
    difference = ref - cand
    norm = ref.norm().item()
    distance = difference.norm().item()
    return Parity(
        max_abs=difference.abs().max().item(),
        rel_l2=distance / norm if norm else (0.0 if distance == 0 else float("inf")),
        agreement=agree.double().mean().item(),
        inputs=len(ref),
    )
