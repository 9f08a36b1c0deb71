"""Networks as people bring them: each road takes one with the same answers, or says why not."""

import copy
import re
import warnings

import pytest
import torch
from networks import NETWORKS, PTE, TFLITE
from torch.utils.mobile_optimizer import optimize_for_mobile

from mobilelab import measure, runtimes, tasks
from mobilelab.core.errors import MobileLabError, ModelWarning, ShapeError, StructureError
from mobilelab.core.signature import Example
from mobilelab.core.trees import Answers, identical, is_plain, leaves, own
from mobilelab.course import widgets
from mobilelab.measure import Timing, parity, report
from mobilelab.recipes import exportable, successors


class Subject:
    """A network, its examples, and its own answers to them."""

    def __init__(self, name):
        torch.manual_seed(0)
        self.brought = NETWORKS[name]
        self.network = self.brought.build().eval()
        self.examples = [
            Example.of(example).positional(self.network.forward)
            for example in self.brought.examples()
        ]
        kept = [example.own() for example in self.examples]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ModelWarning)
            self.answers = measure.answers(self.network, self.examples)
        assert all(map(identical_examples, kept, self.examples)), "the examples were written into"

    def compare(self, candidate):
        return parity.compare(self.answers, candidate, self.brought.task)

    def through(self, path):
        """A file's answers, wherever it comes from."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ModelWarning)
            return measure.answers(runtimes.load(path), self.examples)


def identical_examples(one, other):
    return identical(one.args, other.args) and identical(one.named, other.named)


@pytest.fixture(params=NETWORKS)
def subject(request):
    return Subject(request.param)


def scripted(subject):
    network = copy.deepcopy(subject.network)
    if subject.brought.trace:
        if not is_plain(subject.answers[0]):
            network = exportable.PlainAnswers(network)
        return torch.jit.trace(network, subject.examples[0].own().args, strict=False)
    return torch.jit.script(network)


def write(subject, path):
    if path.suffix == ".ptl":
        scripted(subject)._save_for_lite_interpreter(str(path))
    else:
        export = {PTE: successors.to_executorch, TFLITE: successors.to_litert}[path.suffix]
        with torch.no_grad():
            path.write_bytes(export(copy.deepcopy(subject.network), subject.examples[0]))
    return path


@pytest.mark.parametrize("suffix", [".ptl", PTE, TFLITE])
def test_a_road_keeps_the_answers_or_says_why_it_cannot(subject, suffix, tmp_path):
    path, refusal = tmp_path / f"model{suffix}", subject.brought.refused.get(suffix)
    if refusal is not None:
        with pytest.raises(MobileLabError) as raised:
            subject.compare(subject.through(write(subject, path)))
        text = " ".join(str(raised.value).split())
        assert re.search(refusal, text), text
        return
    result = subject.compare(subject.through(write(subject, path)))
    wanted = "close" if suffix in subject.brought.close else "same"
    assert result.verdict == wanted, repr(result)
    assert result.leaves and all(leaf.path in leaves(subject.answers[0]) for leaf in result.leaves)


def moved(answer):
    """The same answer, with every leaf as another model might say it."""
    changed = {}
    for path, leaf in leaves(own(answer)).items():
        if leaf.dtype == torch.bool:
            changed[path] = ~leaf
        elif leaf.is_floating_point() or leaf.is_complex():
            changed[path] = torch.where(leaf.isfinite(), leaf * -1.7 + 0.9, leaf)
        else:
            changed[path] = leaf + 1
    return changed


def test_other_answers_are_different(subject):
    """The comparison can turn red for each of them."""
    assert subject.compare(subject.answers).verdict == "same"
    other = Answers(map(moved, subject.answers))
    assert subject.compare(other).verdict == "DIFFERENT"


def test_what_it_does_to_its_inputs_or_itself_is_said_and_taken_back(subject):
    warned = subject.brought.warns
    expected = pytest.warns(ModelWarning, match=warned) if warned else warnings.catch_warnings()
    with expected:
        again = measure.answers(subject.network, subject.examples)
    assert all(map(identical, again, subject.answers))
    with pytest.warns(ModelWarning, match=warned) if warned and "state" in warned \
            else warnings.catch_warnings():  # fmt: skip
        measure.latency(subject.network, *subject.examples[0].args, least=1, most=1, warmup=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ModelWarning)
        assert all(map(identical, measure.answers(subject.network, subject.examples), again))


def test_it_has_a_row_and_a_place_in_the_explorer(subject, tmp_path):
    file = tmp_path / "model.pt"
    file.write_bytes(b"1234")
    timing = Timing((1.0, 2.0, 3.0), 1)
    row = measure.record(
        "mine", file, subject.answers, subject.answers, None, timing,
        task=subject.brought.task or tasks.guess(subject.answers),
    )  # fmt: skip
    assert row.verdict == "same" and row.accuracy is None and row.quality == "not judged"
    table = report.Results([row], report.Budget(file_kb=1))
    assert "NaN" not in table.json() and "met" in repr(table)
    widgets.TradeoffExplorer([row], report.Budget(file_kb=1))


# --- what is particular to one of them ----------------------------------------------------------


def test_a_file_with_a_state_says_so_and_gets_it_back(tmp_path):
    subject = Subject("a state in a buffer")
    session = runtimes.load(write(subject, tmp_path / "model.ptl"))
    assert session.state == ("state",)
    for _ in range(2):
        with pytest.warns(ModelWarning, match="keeps a state"):
            answers = measure.answers(session, subject.examples)
        assert subject.compare(answers).verdict == "same"
        with pytest.warns(ModelWarning, match="keeps a state"):
            measure.latency(session.predict, *subject.examples[0].args, least=1, most=1)
    one_by_one = Answers(own(session(*example.args)) for example in subject.examples)
    assert subject.compare(one_by_one).verdict == "same"


def test_a_lost_preprocessing_is_different(tmp_path):
    """Case 13: optimize_for_mobile runs the first convolution on the raw pixels."""
    subject = Subject("writes into its input")
    path = tmp_path / "model.ptl"
    optimize_for_mobile(scripted(subject))._save_for_lite_interpreter(str(path))
    result = subject.compare(subject.through(path))
    assert result.verdict == "DIFFERENT" and result.rel_l2 > 0.4


@pytest.mark.parametrize("suffix", [".ptl", PTE, TFLITE])
def test_a_forgotten_input_is_one_sentence(suffix, tmp_path):
    subject = Subject("a picture and facts")
    session = runtimes.load(write(subject, tmp_path / f"model{suffix}"))
    picture, facts = subject.examples[0].args
    for wrong in ((picture,), (picture, facts, facts), ()):
        with pytest.raises(ShapeError, match=r"takes 2 inputs, .*and got "):
            session(*wrong)
    with pytest.raises(ShapeError):
        session(picture, facts[:, :2])
    assert leaves(session(picture, facts))[""].shape == (1, 5)


def test_a_forgotten_input_of_a_module_is_one_sentence():
    subject = Subject("a picture and facts")
    with pytest.raises(
        ShapeError, match=r"PictureAndFacts takes \(x, facts\) .*float32 \(1, 1, 16"
    ):
        measure.scores(subject.network, subject.examples[0].args[0])


def test_inputs_by_name(tmp_path):
    subject = Subject("named inputs")
    tokens, mask = subject.examples[0].args
    want = subject.answers[0]
    lite = runtimes.load(write(subject, tmp_path / "model.ptl"))
    assert identical(lite(attention_mask=mask, tokens=tokens), want)
    with pytest.raises(ShapeError, match="no input mask .*inputs are tokens .*, attention_mask"):
        lite(tokens=tokens, mask=mask)
    program = runtimes.load(write(subject, tmp_path / "model.pte"))
    with pytest.raises(ShapeError, match="the file has no names for them"):
        program(attention_mask=mask, tokens=tokens)


def test_integers_are_narrowed_only_if_nothing_is_lost(tmp_path):
    subject = Subject("tokens")
    program = runtimes.load(write(subject, tmp_path / "model.pte"))
    tokens = subject.examples[0].args[0]
    assert program(tokens.int()).shape == (1, 4)
    with pytest.raises(ShapeError, match=r"takes int64 .*, not float32; .*\.to\(torch\.int64\)"):
        program(tokens.float())


def test_a_size_that_is_free_takes_less_but_not_more(tmp_path):
    subject = Subject("any length")
    long, short = torch.randn(1, 4, 40), torch.randn(1, 4, 17)
    sizes = ({2: torch.export.Dim("t", min=4, max=40)},)
    path = tmp_path / "model.pte"
    path.write_bytes(successors.to_executorch(subject.network, long, dynamic_shapes=sizes))
    program = runtimes.load(path)
    for given in (long, short):
        want = measure.scores(subject.network, given)
        assert parity.compare(want, program(given)).verdict == "same"
    with pytest.raises(ShapeError, match=r"takes the shape \(n, 4, 40\), not \(1, 4, 41\)"):
        program(torch.randn(1, 4, 41))
    fixed = tmp_path / "fixed.pte"
    fixed.write_bytes(successors.to_executorch(subject.network, long))
    with pytest.raises(ShapeError, match=r"refuses float32 \(1, 4, 17\)"):
        runtimes.load(fixed)(short)


def test_a_length_that_was_traced_in_is_found_by_comparing():
    class Burnt(torch.nn.Module):
        def forward(self, x):
            return x.reshape(x.shape[0], -1)[:, : int(x.shape[2])].cumsum(1)

    network, short = Burnt(), torch.randn(1, 4, 17)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(network, torch.randn(1, 4, 40))
    with pytest.raises(ShapeError, match=r"\(1, 17\) and the candidate's \(1, 40\)"):
        parity.compare(network(short), traced(short))


def test_dynamic_int8_with_a_state(tmp_path):
    """Case 05."""
    from torch.ao.quantization import quantize_dynamic

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.LSTM(8, 16, batch_first=True)).eval()
    small = quantize_dynamic(network, {torch.nn.LSTM})
    path = tmp_path / "model.ptl"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about lengths
        traced = torch.jit.trace(small, torch.randn(1, 12, 8))
    traced._save_for_lite_interpreter(str(path))
    examples = [torch.randn(1, 12, 8) for _ in range(4)]
    want = measure.answers(network, examples)
    got = measure.answers(runtimes.load(path), examples)
    result = parity.compare(want, got, tasks.Regression(0.2))
    assert result.verdict == "close" and [leaf.path for leaf in result.leaves] == [
        "0", "1.0", "1.1"
    ]  # fmt: skip


def test_peak_memory_takes_an_example(tmp_path):
    subject = Subject("tokens")
    path = write(subject, tmp_path / "model.ptl")
    peak = measure.peak_memory(path, subject.examples[0])
    assert 0 <= peak.added_mib < peak.total_mib
    with pytest.raises(measure.memory.MeasureError, match="Long, Int; but got"):
        measure.peak_memory(path, (1, 12))


def test_other_leaves_are_named():
    subject = Subject("boxes in a mapping")
    with pytest.raises(StructureError, match="boxes, scores, the candidate with boxes, classes"):
        parity.compare(subject.answers[0], {"boxes": torch.zeros(1), "classes": torch.zeros(1)})


def test_what_an_exporter_warns_of_is_said(tmp_path):
    class Grows(torch.nn.Module):
        """Assigns an attribute while it is exported, which torch warns of."""

        def __init__(self):
            super().__init__()
            self.last = torch.zeros(1)

        def forward(self, x):
            self.last = x.mean()
            return x + 1

    with pytest.warns(ModelWarning, match=r"ExecuTorch's exporter says: .*self\.last"):
        successors.to_executorch(Grows().eval(), torch.ones(1, 3))
