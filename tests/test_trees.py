"""Trees of tensors, examples and signatures."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pytest
import torch

from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.signature import Example, Port, Signature
from mobilelab.core.trees import Answers, identical, is_plain, join, leaves, own


class Pair(NamedTuple):
    left: torch.Tensor
    right: torch.Tensor


@dataclass
class Output:
    logits: torch.Tensor
    loss: torch.Tensor | None = None


ONE = torch.ones(2)
TREE = OrderedDict(
    pair=Pair(ONE, ONE * 2), output=Output(ONE * 3), array=np.arange(3), parts=[4.0, (True, None)]
)


def test_every_leaf_has_a_path():
    assert {path: leaf.tolist() for path, leaf in leaves(TREE).items()} == {
        "pair.left": [1, 1], "pair.right": [2, 2], "output.logits": [3, 3], "array": [0, 1, 2],
        "parts.0": 4.0, "parts.1.0": True,
    }  # fmt: skip
    assert leaves(None) == {} == leaves([])


@pytest.mark.parametrize(
    ("tree", "words"),
    [
        ({"text": "seven"}, "The leaf 'text' is a str"),
        (object(), "The answer is a object"),
        (np.array(["a"]), "cannot be a tensor"),
        ({"a.b": ONE, "a": {"b": ONE}}, "Two leaves are called 'a.b'"),
    ],
)
def test_what_is_no_tree_is_named(tree, words):
    with pytest.raises(StructureError, match=words):
        leaves(tree)


def test_a_copy_shares_nothing():
    wide = torch.ones(1, 3).expand(2, 3)
    tree = {"x": ONE.clone(), "wide": wide, "output": Output(ONE.clone()), "array": np.ones(2)}
    mine = own(tree)
    assert identical(mine, tree) and mine["x"].data_ptr() != tree["x"].data_ptr()
    for leaf in leaves(mine).values():
        leaf.zero_()
    assert all(leaf.all() for leaf in leaves(tree).values())
    assert not own(torch.ones(2, requires_grad=True) * 2).requires_grad
    last = torch.rand(1, 3, 4, 4).contiguous(memory_format=torch.channels_last)
    assert own(last).is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize(
    ("other", "equal"),
    [
        ({"a": torch.tensor([1.0, float("nan")])}, True),
        ({"a": torch.tensor([1.0, 2.0])}, False),
        ({"a": torch.tensor([1.0, float("nan")]).double()}, False),
        ({"a": torch.tensor([[1.0, float("nan")]])}, False),
        ({"b": torch.tensor([1.0, float("nan")])}, False),
    ],
)
def test_identical(other, equal):
    assert identical({"a": torch.tensor([1.0, float("nan")])}, other) is equal


def test_large_integers_are_compared_exactly():
    big = torch.tensor([2**60])
    assert not identical(big, big + 1)


def test_join_puts_batches_together_and_refuses_what_has_no_batch():
    batches = [{"a": torch.zeros(2, 3)}, {"a": torch.ones(1, 3)}]
    assert join(batches, [2, 1])["a"].shape == (3, 3)
    assert join(batches[:1], [7]) is batches[0]
    for broken in (torch.tensor(1.0), torch.zeros(1, 5)):
        with pytest.raises(ShapeError, match="cannot be put together; call the model with one"):
            join([broken, broken], [2, 2])


def test_plain_is_what_exporters_take():
    assert is_plain({"a": (ONE, [None, 1.0])}) and is_plain(ONE)
    assert not is_plain(Pair(ONE, ONE)) and not is_plain({"a": Output(ONE)})
    assert not is_plain(Answers([ONE]))


def test_an_example_is_what_a_model_is_called_with():
    assert Example.of(ONE).args == (ONE,)
    assert Example.of((ONE, ONE)).args == (ONE, ONE)
    assert dict(Example.of({"x": ONE}).named) == {"x": ONE}
    same = Example((ONE,))
    assert Example.of(same) is same
    with pytest.raises(ShapeError, match="not a list"):
        Example.of([ONE])
    assert list(Example((ONE, {"a": ONE}), {"mask": ONE}).leaves()) == ["0", "1.a", "mask"]


def test_named_inputs_are_put_in_order():
    def forward(x, mask, scale=1.0):
        pass

    def strict(x, *, mask):
        pass

    example = Example.of({"mask": ONE, "x": ONE * 2})
    assert [leaf.tolist() for leaf in example.positional(forward).args] == [[2, 2], [1, 1]]
    with pytest.raises(ShapeError, match="cannot be put in order.*'x'"):
        Example.of({"mask": ONE}).positional(forward)
    with pytest.raises(ShapeError, match="mask can be passed by name only"):
        example.positional(strict)


def test_ports_say_what_they_take():
    port = Port("image", torch.float32, (None, 3, 8, 8))
    assert str(port) == "image float32 (free, 3, 8, 8)"
    assert port.takes(torch.zeros(5, 3, 8, 8)) and not port.takes(torch.zeros(5, 1, 8, 8))
    assert not port.takes(torch.zeros(3, 8, 8)) and not port.takes(torch.zeros(5, 3, 8, 8).int())
    assert Port("anything").takes(ONE) and str(Port("anything")) == "anything"
    whole = Signature((port, Port("n", torch.int64, (1,))), (Port("scores"),))
    assert str(whole) == "image float32 (free, 3, 8, 8), n int64 (1,) -> scores"
    assert str(Example((ONE,)).signature()) == "0 float32 (2,)"
