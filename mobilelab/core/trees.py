"""What goes into a model and what comes out: a tensor, or a tree of tensors.

A *tree* is a tensor, or a list, tuple, mapping or dataclass of trees; ``None`` is a branch without
leaves, numbers and NumPy arrays are tensors. Every leaf has a *path*: ``boxes``, ``0``,
``state.1``, and the empty path where the whole tree is one tensor.
"""

from __future__ import annotations

import copy
import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from mobilelab.core.errors import ShapeError, StructureError

#: A tensor, or a list, tuple, mapping or dataclass of trees.
Tree = Any


class Answers(list):
    """A model's answers to several examples, one tree for each, in the order of the examples.

    >>> len(Answers([torch.zeros(3), torch.zeros(5)]))
    2
    """


def leaves(tree: Tree) -> dict[str, Tensor]:
    """The tensors of a tree by their paths, in the tree's own order.

    >>> list(leaves({"boxes": torch.zeros(2, 4), "state": (torch.ones(1), None)}))
    ['boxes', 'state.0']
    >>> leaves(torch.ones(2))
    {'': tensor([1., 1.])}

    Raises:
        StructureError: if something in it is no tensor, or two leaves have one path.
    """
    found: dict[str, Tensor] = {}
    for path, leaf in _walk(tree, ""):
        if path in found:
            raise StructureError(f"Two leaves are called {path!r}; give one of them another name.")
        found[path] = leaf
    return found


def _walk(tree: Tree, path: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(tree, Tensor):
        if tree.is_meta:
            raise StructureError(
                f"{_place(path)} is on the device meta and holds no numbers; {_RUN}"
            )
        if tree.is_nested:
            raise StructureError(f"{_place(path)} is a nested tensor; give its parts, x.unbind().")
        yield path, tree
    elif isinstance(tree, (bool, int, float, complex, np.ndarray, np.generic)):
        try:
            yield path, torch.as_tensor(tree)
        except TypeError as error:
            raise StructureError(f"{_place(path)} cannot be a tensor: {error}.") from error
    elif tree is not None:
        for name, branch in _branches(tree, path):
            yield from _walk(branch, f"{path}.{name}" if path else str(name))


def _branches(tree: Tree, path: str) -> Iterator[tuple[object, Tree]]:
    if isinstance(tree, Mapping):
        return iter(tree.items())
    if hasattr(tree, "_fields"):  # a named tuple
        return zip(tree._fields, tree, strict=True)
    if isinstance(tree, Sequence) and not isinstance(tree, (str, bytes)):
        return iter(enumerate(tree))
    if is_dataclass(tree) and not isinstance(tree, type):
        return ((field.name, getattr(tree, field.name)) for field in fields(tree))
    raise StructureError(
        f"{_place(path)} is a {type(tree).__name__}, and only tensors, numbers, and lists, tuples, "
        "mappings or dataclasses of them can be compared; return those."
    )


_RUN = "call the model on the CPU with real inputs."


def _place(path: str) -> str:
    return f"The leaf {path!r}" if path else "The answer"


def own(tree: Tree) -> Tree:
    """A copy of a tree that shares no memory with it, for a model that may write into its inputs.

    Tensors keep their strides where they are dense, and lose their gradients.

    >>> inputs = {"x": torch.ones(2)}
    >>> own(inputs)["x"].zero_(), inputs["x"]
    (tensor([0., 0.]), tensor([1., 1.]))
    """

    def copied(leaf: object) -> object:
        if isinstance(leaf, Tensor):
            return leaf.detach().clone()
        if isinstance(leaf, Mapping):  # of a class that torch does not know
            try:
                return copy.deepcopy(leaf)
            except Exception:  # a class of somebody else's: its items are what counts
                return {name: own(branch) for name, branch in leaf.items()}
        try:
            return copy.deepcopy(leaf)
        except RuntimeError:  # a dataclass that holds results with gradients
            mine = copy.copy(leaf)
            for name, value in vars(leaf).items():
                object.__setattr__(mine, name, own(value))
            return mine

    return pytree.tree_map(copied, tree)


def natural(name: object) -> list[tuple[int, int, str]]:
    """A key by which names are put in the order in which one counts: ``x2`` before ``x10``.

    >>> sorted(["x10", "x2", "x1"], key=natural)
    ['x1', 'x2', 'x10']
    """
    parts = re.split(r"(\d+)", str(name))
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts if part]


def ordered(tree: Tree) -> Tree:
    """The same tree with the items of its dictionaries in one order, whoever made them.

    Files have their inputs in an order, and not always by a name.

    >>> ordered({"x10": 1, "x2": (2, {"b": 3, "a": 4})})
    {'x2': (2, {'a': 4, 'b': 3}), 'x10': 1}
    """
    if type(tree) in (dict, OrderedDict):
        return {name: ordered(tree[name]) for name in sorted(tree, key=natural)}
    if type(tree) in (list, tuple):
        return type(tree)(map(ordered, tree))
    return tree


def is_plain(tree: Tree) -> bool:
    """Whether a tree is made of tensors, numbers, lists, tuples and dictionaries only.

    Exporters take no other classes.

    >>> is_plain({"x": [torch.ones(1), None]}), is_plain({"x": object()})
    (True, False)
    """
    if type(tree) in (list, tuple):
        return all(map(is_plain, tree))
    if type(tree) in (dict, OrderedDict):
        return all(map(is_plain, tree.values()))
    return tree is None or isinstance(tree, (Tensor, bool, int, float))


def identical(a: Tree, b: Tree) -> bool:
    """Whether two trees have the same paths and, bit for bit or NaN for NaN, the same values.

    >>> identical({"x": torch.tensor([float("nan")])}, {"x": torch.tensor([float("nan")])})
    True
    >>> identical(torch.tensor([1]), torch.tensor([1.0]))  # another element type
    False
    """
    first, second = leaves(a), leaves(b)
    return first.keys() == second.keys() and all(
        x.dtype == y.dtype and x.shape == y.shape and equal(x, y).all()
        for x, y in zip(first.values(), second.values(), strict=True)
    )


def plain(leaf: Tensor) -> Tensor:
    """A leaf as ordinary numbers: float64, what is complex as pairs, what is quantized as floats.

    Booleans and integers become float64, too; above 2**53 those lose their last digits.

    >>> plain(torch.tensor([1 + 2j]))
    tensor([[1., 2.]], dtype=torch.float64)
    """
    leaf = leaf.detach().cpu()
    if leaf.layout != torch.strided:
        leaf = leaf.to_dense()
    if leaf.is_quantized:
        leaf = leaf.dequantize()
    if leaf.is_complex():
        leaf = torch.view_as_real(leaf.resolve_conj())
    return leaf.double()


def equal(a: Tensor, b: Tensor) -> Tensor:
    """Element by element, whether two tensors of one shape are equal; NaN equals NaN.

    >>> equal(torch.tensor([1.0, float("nan")]), torch.tensor([2.0, float("nan")]))
    tensor([False,  True])
    """
    if a.dtype == b.dtype and not (a.is_floating_point() or a.is_complex() or a.is_quantized):
        return a == b  # exact, also above 2**53
    if a.is_complex() != b.is_complex():
        a, b = a.to(torch.complex128), b.to(torch.complex128)
    x, y = plain(a), plain(b)
    same = (x == y) | (x.isnan() & y.isnan())
    return same.all(-1) if a.is_complex() else same


def join(trees: Sequence[Tree], sizes: Sequence[int]) -> Tree:
    """Trees of one structure as one, leaf by leaf along the first axis.

    Args:
        trees: answers to one batch each.
        sizes: how many examples each batch has.

    Returns:
        The tree; of other classes than tuples, lists and dictionaries, a dictionary by path.

    Raises:
        StructureError: if two batches are answered with other leaves.
        ShapeError: if there are several, and a leaf does not have as many entries as its batch has
            examples.

    >>> join([{"y": torch.zeros(2, 3)}, {"y": torch.ones(1, 3)}], [2, 1])["y"].shape
    torch.Size([3, 3])
    """
    if len(trees) == 1:
        return trees[0]
    found = [leaves(tree) for tree in trees]
    for tree, size in zip(found, sizes, strict=True):
        for path, leaf in tree.items():
            if leaf.ndim == 0 or len(leaf) != size:
                raise ShapeError(
                    f"The answers{f' ({path})' if path else ''} to {size} examples have the shape "
                    f"{tuple(leaf.shape)}, so those to several batches cannot be put together; "
                    "call the model with one example at a time (measure.answers)."
                )
        if tree.keys() != found[0].keys():
            raise StructureError(
                f"One batch is answered with {', '.join(found[0]) or 'nothing'} and another with "
                f"{', '.join(tree) or 'nothing'}; call the model with one example at a time "
                "(measure.answers)."
            )
    whole = {path: torch.cat([tree[path] for tree in found]) for path in found[0]}
    return _filled(trees[0], whole, "") if is_plain(trees[0]) else whole


def _filled(tree: Tree, found: Mapping[str, Tensor], path: str) -> Tree:
    """A plain tree with other tensors at its leaves."""
    if tree is None:
        return None
    if isinstance(tree, (dict, list, tuple)):
        parts = {
            name: _filled(branch, found, f"{path}.{name}" if path else str(name))
            for name, branch in _branches(tree, path)
        }
        return parts if isinstance(tree, dict) else type(tree)(parts.values())
    return found[path]
