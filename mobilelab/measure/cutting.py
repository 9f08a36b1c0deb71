"""Whether a tensor may be cut along its first axis: it holds examples there, and not steps."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from mobilelab.core.trees import Tree, leaves, own
from mobilelab.measure.state import stateless_quietly

#: What reads its first axis as steps, unless it was made with ``batch_first``.
_SEQUENCES = (nn.RNNBase, nn.MultiheadAttention)


def steps_first(model: Callable[..., Tree], rows: Tensor) -> str:
    """The kind of layer for which the first axis of a tensor holds steps, such as ``LSTM``.

    Only a network that has such a layer is asked, because it may have turned its input around
    before: the answers to the first two rows together have to be those to each of them.

    Returns:
        An empty text where the rows may be taken apart.
    """
    module = getattr(model, "__self__", model)
    parts = list(module.modules()) if isinstance(module, nn.Module) else []
    found = [part for part in parts if isinstance(part, _SEQUENCES) and not part.batch_first]
    if not found or rows.ndim < 2 or len(rows) < 2:
        return ""
    with torch.no_grad(), stateless_quietly(model), _answering(parts):
        try:
            first, second, both = (
                leaves(own(model(rows[part].clone()))) for part in (slice(1), slice(1, 2), slice(2))
            )
        except Exception:  # it takes one row at a time, or none: that is said where it is called
            return ""
    apart = all(path in first and path in second for path in both) and all(
        _put_together(first[path], second[path], leaf) for path, leaf in both.items()
    )
    return "" if apart else type(found[0]).__name__


def _put_together(first: Tensor, second: Tensor, both: Tensor) -> bool:
    """Whether two leaves, one behind the other along some axis, are a third."""
    if first.shape != second.shape:
        return False
    for axis in range(first.ndim):
        whole = torch.cat([first, second], axis)
        if whole.shape == both.shape and torch.allclose(whole, both, 1e-3, 1e-5, equal_nan=True):
            return True
    return False


@contextmanager
def _answering(parts: list[nn.Module]) -> Iterator[None]:
    """All layers in eval mode for a while: dropout would answer otherwise each time."""
    training = [part for part in parts if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True
