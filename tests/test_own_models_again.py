"""What maintainers' networks did to the house on a second day: one test for each kind of fault."""

import platform
import subprocess
import sys
import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from mobilelab import measure, runtimes, tasks
from mobilelab.apps import tensors
from mobilelab.apps.render import AppError
from mobilelab.core.errors import ExportError, ModelFileError, ModelWarning, ShapeError
from mobilelab.core.signature import Example
from mobilelab.core.trees import Answers, join, ordered, own
from mobilelab.measure import parity
from mobilelab.recipes import successors
from mobilelab.runtimes.arguments import fits

compare = parity.compare
T = torch.tensor


def lite_file(network, path):
    torch.jit.script(network.eval())._save_for_lite_interpreter(str(path))
    return path


# --- the process stays alive ----------------------------------------------------------------


class Listed(nn.Module):
    def forward(self, x: list[Tensor]) -> Tensor:
        return x[0] * 2


class Counted(nn.Module):
    def forward(self, x: Tensor, k: int) -> Tensor:
        return x * k


class Masked(nn.Module):
    def forward(self, x: Tensor, mask: Tensor | None = None, k: int = 2) -> Tensor:
        return x * k if mask is None else x * mask * k


WRONG = {
    "one too many": (nn.Linear(4, 2), (torch.ones(1, 4), torch.ones(1, 4)), "takes 1 input"),
    "none": (nn.Linear(4, 2), (None,), "not NoneType"),
    "a number": (nn.Linear(4, 2), (3,), "not int"),
    "a list for a tensor": (nn.Linear(4, 2), ([torch.ones(1, 4)],), "not list"),
    "a tensor for a list": (Listed(), (torch.ones(1, 4),), r"takes List\[Tensor\] as x"),
    "a tensor for a number": (Counted(), (torch.ones(1, 4), T(3)), "takes int as k"),
    "a forgotten one": (Counted(), (torch.ones(1, 4),), "takes 2 inputs"),
}


@pytest.mark.parametrize("case", WRONG)
@pytest.mark.parametrize("suffix", [".ptl", ".pt"])
def test_wrong_inputs_are_one_sentence_and_not_the_end(case, suffix, tmp_path):
    network, inputs, words = WRONG[case]
    path = tmp_path / f"m{suffix}"
    if suffix == ".ptl":
        lite_file(network, path)
    else:
        torch.jit.script(network.eval()).save(str(path))
    session = runtimes.load(path)
    with pytest.raises(ShapeError, match=words):
        session(*inputs)


def test_an_input_with_a_default_can_be_left_out(tmp_path):
    session = runtimes.load(lite_file(Masked(), tmp_path / "m.ptl"))
    assert torch.equal(session(torch.ones(1, 4)), torch.full((1, 4), 2.0))
    assert torch.equal(session(torch.ones(1, 4), T([0.0, 1, 1, 1])), T([[0.0, 2, 2, 2]]))


@pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="what memory that is not there gives is another matter elsewhere",
)
def test_without_the_check_the_process_would_end(tmp_path):
    """The reason for all of this: the lite interpreter does not look."""
    path = lite_file(nn.Linear(4, 2), tmp_path / "m.ptl")
    code = (
        "import torch, torch.jit.mobile\n"
        f"m = torch.jit.mobile._load_for_lite_interpreter({str(path)!r})\n"
        "m(torch.ones(1, 4), torch.ones(1, 4))"
    )
    run = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True)
    assert run.returncode < 0, "look again whether runtimes.arguments is still needed"


@pytest.mark.parametrize(
    ("annotation", "right", "wrong"),
    [
        ("Tensor", T(1), 1), ("int", 1, True), ("float", 1, "1"), ("Optional[int]", None, 1.5),
        ("Dict[str, Tensor]", {"a": T(1)}, {"a": 1}), ("List[int]", [1, 2], [1.5]),
        ("Tuple[Tensor, int]", (T(1), 2), (T(1),)), ("Tuple[int, int]", (1, 2), [1, 2]),
        ("Dict[str, int]", {}, [1]), ("List[List[int]]", [[1]], [1]),
    ],
)  # fmt: skip
def test_annotations(annotation, right, wrong):
    assert fits(annotation, right) and not fits(annotation, wrong)
    assert fits("__torch__.Something", wrong) and fits("not an annotation", wrong)


# --- answers and files keep their values ----------------------------------------------------


class Reused(nn.Module):
    """Answers with memory that it uses again."""

    def __init__(self):
        super().__init__()
        self.register_buffer("memory", torch.zeros(100, 2), persistent=False)

    def forward(self, x):
        self.memory[: len(x)] = x
        return self.memory[: len(x)]


def test_scores_keep_answers_that_lie_in_a_models_own_memory():
    images = torch.randn(250, 2)
    with pytest.warns(ModelWarning, match="memory"):
        assert torch.equal(measure.scores(Reused().eval(), images), images)


def test_a_loaded_file_stays_what_it_was(tmp_path):
    one, other = nn.Linear(4, 2).eval(), nn.Linear(4, 2).eval()
    path, x = tmp_path / "m.pte", torch.randn(1, 4)
    path.write_bytes(successors.to_executorch(one, x, delegate=False))
    session = runtimes.load(path)
    path.write_bytes(successors.to_executorch(other, x, delegate=False))
    assert compare(one(x).detach(), session(x)).verdict == "same"


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.register_buffer("n", torch.zeros(1))

    def forward(self, x):
        self.n += 1
        return x + self.n


def test_a_stateful_file_is_not_reset_to_another_one(tmp_path):
    path = lite_file(Counter(), tmp_path / "m.ptl")
    session = runtimes.load(path)
    session.reset()
    lite_file(Reused(), path)
    with pytest.raises(ModelFileError, match="written anew"):
        session.reset()


# --- what a model changes -------------------------------------------------------------------


class Writes(nn.Module):
    def __init__(self, into):
        super().__init__()
        self.register_buffer("held", torch.zeros(2))
        self.weight = nn.Parameter(torch.zeros(2))
        self.plain = torch.zeros(2)
        self.into = into

    def forward(self, x):
        target = {"buffer": self.held, "weight": self.weight, "attribute": self.plain}[self.into]
        target.data.add_(1)
        return x + target.detach()


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("into", ["buffer", "weight", "attribute"])
def test_whatever_a_model_writes_into_is_said_and_given_back(into, training):
    model = Writes(into).train(training)
    with pytest.warns(ModelWarning, match="keeps a state"):
        first = measure.answers(model, [torch.zeros(1, 2)])
    with pytest.warns(ModelWarning):
        second = measure.answers(model.forward, [torch.zeros(1, 2)])
    assert torch.equal(first[0], second[0])
    assert not any(t.any() for t in (model.held, model.weight, model.plain))
    with pytest.raises(ExportError, match="writes into"):
        successors.to_executorch(model.eval(), torch.zeros(1, 2))


def test_inputs_written_through_data_are_noticed():
    def model(x):
        x.data.mul_(2)
        return x

    with pytest.warns(ModelWarning, match="writes into its inputs"):
        measure.answers(model, [torch.ones(1, 2)])


def test_random_answers_are_said():
    with pytest.warns(ModelWarning, match="random numbers"):
        measure.answers(lambda x: x + torch.randn(2), [torch.ones(1, 2)])
    with warnings.catch_warnings():  # a dropout in training mode draws on purpose
        warnings.simplefilter("error")
        measure.answers(nn.Dropout(0.5).train(), [torch.ones(1, 2)])


@pytest.mark.parametrize("road", [successors.to_executorch, successors.to_litert])
def test_a_network_in_training_mode_is_not_exported(road):
    network = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))
    with pytest.raises(ExportError, match=r"training mode \(1\).*eval"):
        road(network, torch.ones(1, 4))
    before = torch.get_rng_state()
    assert road(network.eval(), torch.ones(1, 4))
    assert torch.equal(before, torch.get_rng_state())


# --- verdicts -------------------------------------------------------------------------------


def test_each_head_has_its_own_verdict():
    pixels = torch.randn(10, 3, 20, 20)
    heads = tasks.Heads({"mask": tasks.Segmentation(3), "kind": tasks.Classification()})
    ours = {"mask": pixels, "kind": T([[1.0, 1.01]] * 10)}
    theirs = {"mask": pixels, "kind": T([[1.01, 1.0]] * 10)}
    found = compare(ours, theirs, heads)
    assert found.verdict == "DIFFERENT" and "head kind" in repr(found)
    assert compare(ours, own(ours), heads).verdict == "same"


def test_each_head_has_its_own_bounds():
    torch.manual_seed(0)
    scores, ages = 3 * torch.randn(20, 5), torch.randn(20, 1)
    heads = tasks.Heads({"scores": tasks.Classification(), "age": tasks.Regression()})
    ours = {"scores": scores, "age": ages, "more": ages}
    assert compare(ours, {**ours, "scores": scores * 1.1}, heads).verdict == "close"
    assert compare(ours, {**ours, "age": ages * 1.1}, heads).verdict == "DIFFERENT"
    assert compare(ours, {**ours, "more": ages * 1.1}, heads).verdict == "DIFFERENT"


def test_a_detection_among_the_heads_may_have_one_more_box():
    def boxes(k):
        scores = T([0.9] + [0.1] * (k - 1))
        return {"boxes": T([[0.0, 0, 4, 4]] * k), "scores": scores, "labels": torch.ones(k)}

    heads = tasks.Heads({"found": tasks.Detection(), "kind": tasks.Classification()})
    kind = T([[1.0, 2.0]])
    assert compare({"found": boxes(1), "kind": kind}, {"found": boxes(2), "kind": kind}, heads)


def test_scores_beside_boxes_in_pixels_are_not_drowned():
    torch.manual_seed(0)
    answers = torch.cat([640 * torch.rand(4, 4, 225), torch.rand(4, 3, 225)], 1)
    lost = answers.clone()
    lost[:, 4:] = 0
    assert compare(answers, lost).verdict == "DIFFERENT"
    last = answers.mT.contiguous()
    assert compare(last, lost.mT.contiguous()).verdict == "DIFFERENT"
    assert compare(answers, answers + 0.001 * torch.randn_like(answers)).verdict.ok


def test_optional_leaves_are_compared_wherever_they_are():
    y, task = T([[1.0, 2.0]]), tasks.Classification("logits")
    ours = Answers([{"logits": y, "boxes": None}, {"logits": y, "boxes": T([1.0])}])
    theirs = Answers([{"logits": y, "boxes": None}, {"logits": y, "boxes": T([-99.0])}])
    assert compare(ours, theirs, task).verdict == "DIFFERENT"
    for kind in (task, tasks.Regression()):
        assert compare(Answers(ours[::-1]), Answers(ours[::-1]), kind).verdict == "same"


def test_detections_without_a_box_say_nothing():
    none = {"boxes": torch.rand(5, 4) + T([0, 0, 9, 9]), "scores": T([0.1] * 5),
            "labels": torch.ones(5)}  # fmt: skip
    with pytest.raises(ShapeError, match="There are no boxes"):
        compare(none, {**none, "scores": none["scores"] * float("nan")}, tasks.Detection())
    assert compare(none, own(none), tasks.Detection()).verdict == "same"
    with pytest.raises(ShapeError, match="box_convert"):
        turned = {**none, "boxes": T([[0.5, 0.5, 0.2, 0.2]] * 5), "scores": T([0.9] * 5)}
        compare(turned, none, tasks.Detection())
    some = {**none, "boxes": T([[float("nan")] * 4] * 5), "scores": T([0.9] * 5)}
    assert compare(some, own(some), tasks.Detection()).verdict == "same"


@pytest.mark.parametrize(
    ("ours", "theirs", "task"),
    [
        (Answers([T([[40.0]])] * 2), Answers([T([[40.000004]])] * 2), tasks.Regression()),
        (torch.zeros(3, 4), torch.zeros(3, 4), tasks.Embedding()),
        (T([[[[9, 99]]]], dtype=torch.uint8), T([[[[10, 100]]]], dtype=torch.uint8),
         tasks.ImageToImage(255)),
        (T([[1e200, 2e200]]), T([[1e200, 2e200]]), tasks.Regression()),
    ],
)  # fmt: skip
def test_right_answers_are_not_called_different(ours, theirs, task):
    assert compare(ours, theirs, task).verdict.ok


def test_complex_numbers_against_real_ones_are_one_sentence():
    with pytest.raises(ShapeError, match="complex"):
        compare(T([[1.0, 2]]), T([[1.0 + 0j, 2]]), tasks.Regression())


def test_small_and_large_numbers_are_told_apart():
    ours = T([[1e-200, 2e-200]], dtype=torch.float64)
    assert compare(ours, ours * 1e10, tasks.Regression()).verdict == "DIFFERENT"
    large = T([[1e200, 2e200]], dtype=torch.float64)
    assert compare(large, large * 1.5, tasks.Regression()).verdict == "DIFFERENT"


def test_the_guess_looks_at_all_answers():
    numbers = [0.3, 5.0, -7.0, 2.0]
    for order in (numbers, numbers[::-1]):
        ours = Answers([T([[n]]) for n in order])
        theirs = Answers([T([[0.65 * n]]) for n in order])
        assert compare(ours, theirs).verdict == "DIFFERENT"


def test_leaves_without_an_element_are_compared_beside_others():
    leaf = {"a": torch.randn(3, 2), "b": torch.zeros(0, 4)}
    assert compare(leaf, own(leaf)).verdict == "same"
    grown = Answers([{"b": torch.zeros(0, 4)}, {"b": torch.ones(2, 4)}])
    assert compare(grown, Answers(map(own, grown))).verdict == "same"
    heads, ours = tasks.Heads({"s": tasks.Classification()}), {"s": leaf["a"], "e": leaf["b"]}
    assert compare(ours, own(ours), heads).verdict == "same"


@pytest.mark.parametrize("order", [1, -1])
def test_the_largest_error_is_that_of_the_heads_that_have_one(order):
    ours = {"found": {"boxes": T([[0.0, 0, 4, 4]]), "scores": T([0.9]), "labels": T([1])},
            "kind": T([[1.0, 2.0]])}  # fmt: skip
    theirs = own(ours)
    theirs["found"]["boxes"] += 0.1
    theirs["kind"] += 0.1
    parts = {"found": tasks.Detection(), "kind": tasks.Classification()}
    found = compare(ours, theirs, tasks.Heads(dict([*parts.items()][::order])))
    assert found.max_abs == pytest.approx(0.1, abs=1e-6)


# --- inputs ---------------------------------------------------------------------------------


class Sides(nn.Module):
    def forward(self, x: dict[str, Tensor]) -> Tensor:
        return x["left"] - 2 * x["right"]


@pytest.mark.parametrize("suffix", [".pte", ".tflite"])
def test_a_mapping_goes_in_whatever_the_order_of_its_keys(suffix, tmp_path):
    left, right, path = torch.ones(1, 4), torch.zeros(1, 4), tmp_path / f"m{suffix}"
    example = Example(({"right": right, "left": left},))
    road = successors.to_executorch if suffix == ".pte" else successors.to_litert
    path.write_bytes(road(Sides().eval(), example))
    for keys in ({"right": right, "left": left}, {"left": left, "right": right}):
        (answer,) = measure.answers(runtimes.load(path), [Example((keys,))])
        assert torch.equal(answer, left)


def test_keys_are_ordered_as_one_counts():
    assert list(ordered({"x10": 1, "x2": 2, "a": {"b": 1, "a": 2}})) == ["a", "x2", "x10"]
    assert list(ordered({"a": {"b": 1, "a": 2}})["a"]) == ["a", "b"]


def test_a_strided_example_makes_the_same_file(tmp_path):
    network, path = nn.Conv2d(3, 4, 3).eval(), tmp_path / "m.pte"
    x = torch.randn(1, 3, 8, 8)
    path.write_bytes(successors.to_executorch(network, x.to(memory_format=torch.channels_last)))
    assert compare(network(x).detach(), runtimes.load(path)(x)).verdict == "same"


def test_a_file_without_an_axis_of_examples_is_not_cut_in_two(tmp_path):
    class Sums(nn.Module):
        def forward(self, x):
            return x.cumsum(0)

    path = tmp_path / "m.pte"
    path.write_bytes(successors.to_executorch(Sums().eval(), torch.ones(8)))
    session = runtimes.load(path)
    assert session(torch.ones(8))[-1] == 8
    with pytest.raises(ShapeError):
        session(torch.ones(16))


class Named(nn.Module):
    def forward(self, x, mask=None, kinds=None):
        y = x if mask is None else x * mask
        return {"y": y if kinds is None else y + kinds, "nothing": None}


def test_inputs_by_name_with_one_left_out_between_them(tmp_path):
    x, kinds, path = torch.ones(1, 4), torch.full((1, 4), 2.0), tmp_path / "m.pte"
    path.write_bytes(successors.to_executorch(Named().eval(), {"x": x, "kinds": kinds}))
    assert torch.equal(runtimes.load(path)(x, kinds), torch.full((1, 4), 3.0))
    with pytest.raises(ExportError, match="tensors only"):
        successors.to_executorch(Named().eval(), (x, None, kinds))


@pytest.mark.parametrize(
    ("network", "inputs", "words"),
    [
        (nn.Bilinear(2, 2, 2), torch.ones(1, 2), "missing a required argument: 'input2'"),
        (Named(), (torch.ones(1, 2), "text"), "is a str"),
    ],
)
def test_inputs_that_do_not_fit_are_one_sentence(network, inputs, words):
    for road in (successors.to_executorch, successors.to_litert):
        with pytest.raises(ShapeError, match=words):
            road(network.eval(), inputs)


def test_a_forgotten_input_is_told_before_the_clock_starts():
    with pytest.raises(ShapeError, match="input2"):
        measure.latency(nn.Bilinear(2, 2, 2), torch.ones(1, 2))


def test_an_overridden_call_is_asked_for_its_own_inputs():
    class Called(nn.Module):
        def __call__(self, x, y):
            return x + y

        def forward(self, x):
            return x

    assert measure.answers(Called(), [(T([1.0]), T([2.0]))])[0] == 3


# --- batches --------------------------------------------------------------------------------


@dataclass
class Found:
    scores: Tensor
    boxes: Tensor | None = None


@pytest.mark.parametrize(
    "answer", [lambda x: {"y": x, "none": None}, lambda x: Found(x), lambda x: (x, {"z": x + 1})]
)
def test_batches_of_any_tree_are_put_together(answer):
    found = measure.scores(answer, torch.arange(6.0).reshape(6, 1), batch=4)
    first = found[0] if isinstance(found, tuple) else next(iter(found.values()))
    assert isinstance(found, (tuple, Mapping)) and first.flatten().tolist() == [0, 1, 2, 3, 4, 5]


def test_answers_that_hold_gradients_are_copied():
    weight = torch.ones(1, requires_grad=True)
    found = own(Found(weight * 2, None))
    assert found.scores == 2 and not found.scores.requires_grad


def test_batches_with_other_leaves_are_told():
    with pytest.raises(Exception, match="another with"):
        join([{"a": T([1])}, {"b": T([1])}], [1, 1])


# --- scores ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("score", "words"),
    [
        (lambda: tasks.Tagging().score(torch.rand(4, 7, 3), torch.ones(7)), "tags"),
        (lambda: tasks.Embedding().score(torch.rand(4, 3), torch.rand(1, 3)), "vectors"),
        (lambda: tasks.Binary().score(torch.rand(4, 1), torch.full((4, 1), 0.5)), "0 and 1"),
        (lambda: tasks.Segmentation(2).score(torch.rand(1, 2, 2, 2), T([[[7, 0], [0, 1]]])),
         "class numbers from 0 to 1"),
        (lambda: tasks.Detection().score(
            {"boxes": T([[0.0, 0, 1, 1]]), "scores": T([0.9]), "labels": T([1])},
            [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0).long()}]), "no box in the"),
    ],
)  # fmt: skip
def test_targets_that_do_not_fit_are_one_sentence(score, words):
    with pytest.raises(ShapeError, match=words):
        score()


def test_pixels_without_a_label_do_not_count():
    scores = T([[[[9.0, 0], [0, 9]], [[0.0, 9], [9, 0]]]])  # classes 0 1 / 1 0
    assert tasks.Segmentation(2).score(scores, T([[[0, 1], [255, 255]]])) == 1.0
    assert tasks.Segmentation(2).score(scores * float("nan"), T([[[0, 1], [1, 255]]])) == 0.0


def test_numbers_are_scored_leaf_by_leaf_however_they_come():
    one = Answers([{"a": T([[1.0]]), "b": T([[9.0]])}, {"a": T([[2.0]]), "b": T([[8.0]])}])
    batch = {"a": T([[1.0], [2.0]]), "b": T([[9.0], [8.0]])}
    assert tasks.Regression().score(one, batch) == 0 == tasks.Regression().score(batch, one)


# --- apps -----------------------------------------------------------------------------------


class Gives(nn.Module):
    def __init__(self, what: str):
        super().__init__()
        self.what = what

    def forward(self, x: Tensor) -> tuple[Tensor, int]:
        return x, 3


@pytest.mark.parametrize(
    ("network", "example", "words"),
    [
        (Listed(), ([torch.ones(1, 4)],), "input is of type list"),
        (Counted(), (torch.ones(1, 4), 2), "input is of type int"),
    ],
)
def test_an_app_is_not_given_what_it_cannot_pass_on(network, example, words, tmp_path):
    with pytest.raises(AppError, match=words):
        tensors.record(lite_file(network, tmp_path / "m.ptl"), [example])


def test_an_app_cannot_check_itself_with_random_answers(tmp_path):
    class Random(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x + torch.rand_like(x)

    with warnings.catch_warnings(), pytest.raises(AppError, match="asked twice"):
        warnings.simplefilter("ignore", ModelWarning)
        tensors.record(lite_file(Random(), tmp_path / "m.ptl"), [torch.ones(1, 4)])
