"""What cannot be checked is refused in one sentence with the fix; what can be is taken."""

import re
import sys
import urllib.error

import numpy as np
import pytest
import torch
from torch import nn

from mobilelab.check import examples, faults, kept, prepare, subject
from mobilelab.check.runner import Limits, check
from mobilelab.check.subject import SubjectError
from mobilelab.core.signature import Example

MODULE = """
import time
import torch
from torch import nn

def waits():
    time.sleep(3600)

def good():
    return nn.Linear(4, 3)

not_a_model = "a word"
weights = nn.Linear(4, 3).state_dict()
EXAMPLES = [torch.rand(1, 4)]
TARGETS = torch.tensor([1])
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A module of somebody's own, importable from the folder that one stands in."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "brought.py").write_text(MODULE)
    (tmp_path / "ill.py").write_text("1 / 0\n")
    yield tmp_path
    for name in ("brought", "ill"):
        sys.modules.pop(name, None)


class Calls(nn.Module):
    def __call__(self, x):
        return x


class LightningModule(nn.Module):
    """As that library's: without a trainer, the attribute raises."""

    @property
    def trainer(self):
        raise RuntimeError("LightningModule is not attached to a Trainer.")

    def forward(self, x):
        return x * 2


def raises():
    raise ValueError("no such file: weights.pt")


def wants(size, depth):
    return nn.Linear(size, depth)


def downloads():
    raise urllib.error.URLError("Name or service not known")


def refusal(call):
    """The kind and the sentence."""
    with pytest.raises(SubjectError) as raised:
        call()
    text = str(raised.value)
    assert "\n" not in text and text.endswith("."), text
    return raised.value.kind, text


@pytest.mark.parametrize(
    "made, kind, words",
    [
        (raises, "factory-raises", "raises ValueError: no such file: weights.pt .test_check_sub"),
        (wants, "factory-arguments", "wants size, depth; .*def model.*wants\\(size=..., depth"),
        (downloads, "factory-downloads", "tries to download .*weights=None"),
        ({"w": torch.ones(1)}, "weights-only", r"weights only \(1 tensors\); .*load_state_dict"),
        ((nn.Linear(1, 1), "optimizer"), "not-a-module", "its entry 0 is the network"),
        ("a word", "not-a-module", "is a str, not a torch.nn.Module"),
    ],
)
def test_what_is_no_network(made, kind, words):
    found, text = refusal(lambda: subject.built(made, "it"))
    assert found == kind

    assert re.search(words, text.replace("it wants", "wants").replace("it(", "wants(")), text


@pytest.mark.parametrize(
    "model, kind, words",
    [
        (lambda: nn.Linear(2, 2, device="meta"), "device", "is on meta; build it without the meta"),
        (lambda: nn.Linear(2, 2).half(), "half", "computes in float16, .* call .float"),
        (lambda: nn.Linear(2, 2).bfloat16(), "half", "computes in bfloat16"),
        (lambda: nn.Linear(9000, 9000), "too-large", "309 MiB of weights, .* raise --memory"),
        (Calls, "call-overridden", "Calls has a __call__ of its own, .* name it forward"),
        (lambda: torch.jit.script(nn.ReLU()), "scripted", "pass the network that it was made of"),
    ],
)
def test_what_cannot_be_walked_with(model, kind, words):

    found, text = refusal(lambda: subject.usable(model(), "it", 1000))
    assert found == kind and re.search(words, text), text


def test_what_can_be_walked_with():
    plain = nn.Linear(4, 3)
    assert subject.usable(torch.compile(plain), "it") is plain
    for model in (nn.ReLU(), LightningModule(), nn.Linear(4, 3).double()):
        assert subject.usable(model, "it") is model
        example = torch.rand(1, 4, dtype=next(iter(model.parameters()), torch.ones(1)).dtype)
        subject.answered(model, Example.of(example), "it")


class Words(nn.Module):
    def forward(self, x):
        return ["cat"] * len(x)


class Nothing(nn.Module):
    def forward(self, x):
        return x[x > 9]


@pytest.mark.parametrize(
    "model, example, kind, words",
    [
        (
            nn.Linear(4, 3),
            torch.rand(1, 5),
            "examples-do-not-fit",
            r"\(input\) and refuses 0",
        ),
        (nn.Linear(4, 3), (torch.rand(1, 4),) * 2, "examples-do-not-fit", "takes 2 positional arg"),
        (nn.Embedding(5, 3), torch.rand(1, 4), "examples-do-not-fit", "Long, Int; but got"),
        (Words(), torch.rand(1, 4), "answers", "answers with what no road can carry: .* is a str"),
        (Nothing(), torch.rand(1, 4), "answers", "nothing that could be compared"),
    ],
)
def test_examples_that_do_not_fit(model, example, kind, words):

    found, text = refusal(lambda: subject.answered(model, Example.of(example), "it"))
    assert found == kind and re.search(words, text), text


class Turned(nn.Module):
    """Takes (batch, steps, features) and turns them around for layers that want steps first."""

    def __init__(self, layer):
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x.transpose(0, 1))


@pytest.mark.parametrize("kind", [nn.LSTM, nn.GRU, lambda *a: nn.Sequential(nn.LSTM(*a))])
def test_a_tensor_is_not_cut_into_the_steps_of_a_sequence(kind):
    rows, model = torch.randn(12, 5, 8), kind(8, 4)
    found, text = refusal(lambda: examples.listed(rows, model))
    assert found == "examples" and re.search(r"its (LSTM|GRU) is not batch_first", text), text
    assert "single steps; pass a list" in text
    assert len(examples.listed([rows], model)) == 1
    assert len(examples.listed(rows, Turned(model))) == 12  # its rows are examples


def test_a_tensor_of_examples_is_cut():
    assert len(examples.listed(torch.randn(12, 5, 8), nn.LSTM(8, 4, batch_first=True))) == 12
    assert len(examples.listed(torch.randn(3, 1, 8, 8), nn.LSTM(8, 4))) == 3  # it does not fit
    encoder = nn.TransformerEncoderLayer(8, 2, 16)  # not batch_first, and with dropout
    assert encoder.training
    assert "single steps" in refusal(lambda: examples.listed(torch.randn(6, 1, 8), encoder))[1]
    assert encoder.training and all(part.training for part in encoder.modules())
    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    assert len(examples.listed(torch.randn(6, 3, 8), encoder)) == 6


@pytest.mark.parametrize(
    "leaf, words",
    [
        (torch.ones(2, device="meta"), "on the device meta and holds no numbers"),
        (torch.nested.nested_tensor([torch.ones(1), torch.ones(2)], layout=torch.jagged),
         "nested tensor; give its parts"),
    ],
)  # fmt: skip
def test_examples_without_numbers_are_one_sentence(leaf, words):
    kind, text = refusal(lambda: examples.listed([(torch.ones(2), leaf)]))
    assert kind == "examples" and words in text and "'1'" in text


def test_an_answer_changes_nothing_in_the_network():
    """In training mode a call would move BatchNorm's statistics."""
    model = nn.BatchNorm1d(4).train()
    subject.answered(model, Example.of(torch.rand(8, 4) + 5), "it")
    assert faults.fresh(model) and model.training


@pytest.mark.parametrize(
    "target, kind, words",
    [
        ("brought.py", "target", "names no model; write PACKAGE.MODULE:MODEL"),
        ("weights.pth", "weights-only", "file of weights"),
        ("nowhere:model", "no-module", "nowhere cannot be imported: No module named"),
        ("nowhere.py:model", "no-module", "There is no file nowhere.py"),
        ("ill:model", "module-raises", "ill raises ZeroDivisionError while it is imported"),
        ("brought:other", "no-name", "brought has no other; it has waits, good"),
    ],
)
def test_targets(mine, target, kind, words):

    def found():
        module, name = subject.module_of(target)
        subject.attribute(module, name)

    got, text = refusal(found)
    assert got == kind and re.search(words, text), text


def prepared(folder, **job):
    return prepare.prepare({"memory_mib": 4096, "folder": str(folder), **job}, folder)


def test_a_model_beside_its_examples(mine):
    facts = prepared(mine, target="brought.py:good", targets_text=":TARGETS")
    assert facts["signature"] == "0 float32 (1, 4) -> float32 (1, 3)"
    assert facts["task"] == "Classification" and facts["score"] is not None
    assert facts["parameters"] == 15 and (mine / kept.SUBJECT).exists()
    again = prepared(mine, target="brought:good")
    assert again["fingerprint"] == facts["fingerprint"]


@pytest.mark.parametrize(
    "job, kind",
    [
        ({"examples": ["1,5:float32"]}, "examples-do-not-fit"),
        ({"examples": ["1,4:float33"]}, "type"),
        ({"examples": ["one by four"]}, "shape"),
        ({"examples": ["1,4", "x.pt"]}, "shape"),
        ({"examples": ["nowhere.pt"]}, "examples"),
        ({"examples": [":NOWHERE"]}, "no-name"),
        ({"task_text": "guessing"}, "task"),
        ({"task_text": "heads"}, "task"),
    ],
)
def test_words_of_the_command_line(mine, job, kind):
    answer = prepared(mine, target="brought:good", **job)
    assert answer["kind"] == kind and answer["error"].endswith(".")


def test_a_module_without_examples(mine):
    (mine / "brought.py").write_text("from torch import nn\ngood = nn.Linear(4, 3)\n")
    assert prepared(mine, target="brought:good")["kind"] == "no-examples"


def test_a_factory_that_takes_for_ever(mine):
    kind, text = refusal(lambda: check("brought:waits", limits=Limits(deadline=6)))
    assert kind == "slow" and "is not built and called within 6 s" in text


@pytest.mark.parametrize(
    "given, kind", [([], "no-examples"), (3, "examples"), ([{1, 2}], "examples")]
)
def test_lists_of_examples(given, kind):
    assert refusal(lambda: examples.listed(given))[0] == kind


def test_examples_in_any_form(tmp_path):
    three = torch.rand(3, 4)
    np.save(tmp_path / "x.npy", three.numpy())
    torch.save([(three, three)], tmp_path / "x.pt")
    assert len(examples.listed(three)) == len(examples.listed(three.numpy())) == 3
    assert len(examples.listed((three, three))) == len(examples.listed({"x": three})) == 1
    model = nn.Linear(4, 3)
    assert len(examples.read([str(tmp_path / "x.npy")], None, model)[0]) == 3
    (pair,) = examples.read([str(tmp_path / "x.pt")], None, model)[0]
    assert len(pair.args) == 2


def test_no_examples_at_all():
    assert refusal(lambda: check(nn.Linear(4, 3)))[0] == "no-examples"
