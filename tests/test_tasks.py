"""Tasks: decisions, agreement and metrics, with values worked out by hand."""

import math

import pytest
import torch

from mobilelab import tasks
from mobilelab.core.errors import ShapeError, StructureError
from mobilelab.core.trees import Answers
from mobilelab.measure import parity
from mobilelab.tasks import Quantity


def scores(*classes, width=3):
    return 5.0 * torch.nn.functional.one_hot(torch.tensor(classes), width).float()


def agreement(task, one, other):
    return parity.compare(one, other, task).agreement


def test_classification():
    task = tasks.Classification()
    assert agreement(task, scores(0, 1, 2, 0), scores(0, 1, 2, 2)) == 0.75
    assert task.score(scores(0, 1, 2, 0), torch.tensor([0, 1, 1, 1])) == 0.5
    first = tasks.Classification(axis=0)
    assert first.decide(scores(0, 1, 2).T).tolist() == [0, 1, 2]
    named = tasks.Classification("logits")
    assert named.score({"logits": scores(1), "more": torch.ones(1)}, torch.tensor([1])) == 1
    with pytest.raises(StructureError, match="name one in the task"):
        task.decide({"logits": scores(1), "more": torch.ones(1)})
    for wrong in (torch.rand(5, 1), torch.rand(5)):
        with pytest.raises(ShapeError, match=r"for one score use tasks\.Binary"):
            task.decide(wrong)
    with pytest.raises(ShapeError, match=r"decisions of shape \(1,\) and targets of shape \(2,\)"):
        task.score(scores(1), torch.tensor([1, 1]))


@pytest.mark.parametrize("poison", [math.nan, math.inf])
def test_scores_that_decide_nothing_agree_with_nothing(poison):
    bad = scores(0, 1)
    bad[0, 2] = poison
    assert tasks.Classification().decide(bad).tolist() == [-1, 1]
    masked = scores(0, 1)
    masked[0, 2] = -math.inf
    assert tasks.Classification().decide(masked).tolist() == [0, 1]
    yes = torch.tensor([[0.9], [math.nan]])
    assert tasks.Binary().decide(yes).tolist() == [[1], [-1]]


def test_binary_and_many_labels():
    task = tasks.Binary()
    one, other = torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([[0.8, 0.2], [0.4, 0.45]])
    assert agreement(task, one, other) == 0.75
    assert task.score(one, torch.tensor([[1, 0], [0, 0]])) == 0.75
    assert tasks.Binary(0.0).decide(torch.tensor([[-0.1], [0.2]])).tolist() == [[0], [1]]


def test_regression():
    task = tasks.Regression(0.1)
    want = torch.tensor([[0.0], [10.0], [20.0]])  # standard deviation 10
    assert agreement(task, want, want + torch.tensor([[0.9], [-1.1], [0.0]])) == pytest.approx(
        2 / 3
    )
    assert task.score(want, want + 3) == 3
    assert task.score(Answers([want[:1], want[1:]]), Answers([want[:1] + 1, want[1:] + 1])) == 1
    alone = torch.tensor([[50.0]])
    assert agreement(task, alone, alone * 1.05) == 1 and agreement(task, alone, alone * 1.2) == 0
    far = parity.compare(want + 100, (want + 100) * 0.55)
    assert far.verdict == "DIFFERENT" and far.decisions == "numbers"
    with pytest.raises(ShapeError, match="3 numbers and 1 targets"):
        task.score(want, alone)


def test_numbers_agree_alike_in_one_batch_and_one_by_one():
    want = torch.tensor([[40.0], [41.0], [42.0], [60.0]])
    off = want + 1.2
    for task, one, other in (
        (tasks.Regression(), want, off),
        (tasks.Heads({"age": tasks.Regression()}), {"age": want}, {"age": off}),
    ):
        split = [
            Answers([{"age": x} if isinstance(tree, dict) else x for x in leaf.split(1)])
            for tree, leaf in ((one, want), (other, off))
        ]
        assert agreement(task, *split) == agreement(task, one, other) == 0


def test_segmentation():
    task = tasks.Segmentation(3)
    mask = torch.tensor([[[0, 1], [2, 1]]])
    answer = 5.0 * torch.nn.functional.one_hot(mask, 3).permute(0, 3, 1, 2).float()
    other = torch.tensor([[[0, 1], [1, 1]]])
    moved = 5.0 * torch.nn.functional.one_hot(other, 3).permute(0, 3, 1, 2).float()
    assert agreement(task, answer, moved) == 0.75
    assert task.score(answer, mask) == 1
    assert task.score(moved, mask) == pytest.approx((1 + 2 / 3 + 0) / 3)  # intersection over union
    two = Answers([answer, moved])
    assert task.score(two, torch.cat([mask, mask])) == pytest.approx((1 + 4 / 5 + 1 / 2) / 3)
    with pytest.raises(ShapeError, match="Masks"):
        task.score(answer, mask[:, :1])


def boxes(*found):
    rows = torch.tensor([box for box, _, _ in found], dtype=torch.float32).reshape(-1, 4)
    return {
        "boxes": rows,
        "scores": torch.tensor([score for _, score, _ in found], dtype=torch.float32),
        "labels": torch.tensor([label for _, _, label in found], dtype=torch.int64),
    }


LEFT, RIGHT = ((0, 0, 10, 10), 0.9, 1), ((20, 20, 30, 30), 0.8, 2)


def test_boxes_in_another_order_are_the_same_boxes():
    task = tasks.Detection()
    assert agreement(task, boxes(LEFT, RIGHT), boxes(RIGHT, LEFT)) == 1
    result = parity.compare(boxes(LEFT, RIGHT), boxes(RIGHT, LEFT), task)
    assert (
        result.verdict == "close" and math.isnan(result.rel_l2) and "2 boxes agree" in repr(result)
    )
    assert parity.compare(boxes(LEFT), boxes(LEFT), task).verdict == "same"


@pytest.mark.parametrize(
    ("other", "share"),
    [
        ([LEFT], 0.5),  # one is missing
        ([LEFT, RIGHT, ((40, 40, 50, 50), 0.7, 1)], 2 / 3),  # one too many
        ([LEFT, RIGHT, ((40, 40, 50, 50), 0.2, 1)], 1),  # of too low a score
        ([LEFT, ((20, 20, 30, 30), 0.8, 1)], 0.5),  # another class
        ([LEFT, ((20, 20, 30, 27), 0.8, 2)], 1),  # overlap 0.7
        ([LEFT, ((20, 20, 30, 24), 0.8, 2)], 0.5),  # overlap 0.4
        ([LEFT, ((0, 0, 10, 9), 0.9, 1)], 0.5),  # a second one at the same place has no partner
        ([], 0),
    ],
)
def test_boxes_are_matched(other, share):
    assert agreement(tasks.Detection(), boxes(LEFT, RIGHT), boxes(*other)) == pytest.approx(share)


def test_detection_metric():
    task = tasks.Detection()
    target = [{"boxes": boxes(LEFT, RIGHT)["boxes"], "labels": torch.tensor([1, 2])}]
    assert task.score(boxes(LEFT, RIGHT), target) == pytest.approx(1)
    assert task.score(boxes(LEFT), target) == pytest.approx(0.5)
    assert task.score(
        Answers([boxes(LEFT, RIGHT), boxes(LEFT, RIGHT)]), target * 2
    ) == pytest.approx(1)
    with pytest.raises(ShapeError, match="Boxes have the shape"):
        task.decide(
            {"boxes": torch.zeros(3, 5), "scores": torch.zeros(3), "labels": torch.zeros(3)}
        )


def test_pictures():
    task, want = tasks.ImageToImage(), torch.full((1, 3, 16, 16), 0.5)
    assert agreement(task, want, want + 3 / 255) == 1
    half = want.clone()
    half[:, :, :8] += 9 / 255
    assert agreement(task, want, half) == 0.5
    assert task.score(want + 0.1, want) == pytest.approx(20, abs=1e-4)  # -20 log10(0.1)
    assert task.similarity(want, want) == pytest.approx(1)


def test_speech():
    task = tasks.Speech("-abc ")
    assert task.decide(scores(1, 1, 0, 1, 2, 2, 4, 3, 0, width=5)[None]) == ["aab c"]
    two = torch.stack([scores(1, 4, 2, width=5), scores(3, 3, 0, width=5)])
    assert task.score(two, ["a b", "b"]) == pytest.approx(1 / 3)  # one word of three is wrong
    assert task.letter_errors(two, ["a b", "b"]) == pytest.approx(1 / 4)
    assert not task.metric.more_is_better
    with pytest.raises(ShapeError, match="one for each letter"):
        task.decide(scores(1, 2)[None])


def test_tagging():
    task = tasks.Tagging()
    answer = scores(0, 1, 2, 0)[None]
    assert task.score(answer, torch.tensor([[0, 1, 1, 0]])) == 0.5
    assert task.score(answer, torch.tensor([[0, 1, 2, 0]])) == 1
    assert task.score(scores(0, 0)[None], torch.tensor([[0, 0]])) == 1
    assert agreement(task, answer, scores(0, 1, 2, 1)[None]) == 0.75


def test_extraction():
    task = tasks.Extraction()
    answer = {"start_logits": scores(1, width=5), "end_logits": scores(3, width=5)}
    assert task.decide(answer) == [(1, 3)]
    backwards = {"start_logits": scores(3, width=5), "end_logits": scores(1, width=5)}
    ((first, last),) = task.decide(backwards)
    assert first <= last
    assert task.score(answer, [(1, 3)]) == 1 and task.score(answer, [(1, 2)]) == 0
    assert task.overlap(answer, [(2, 4)]) == pytest.approx(2 / 3)
    assert task.overlap(answer, [(4, 4)]) == 0


def test_sequences():
    task = tasks.Sequences(end=0, words=["", "ein", "Haus", "Baum"])
    tokens = torch.tensor([[1, 2, 0, 3], [1, 3, 0, 0]])
    assert task.decide(tokens) == [[1, 2], [1, 3]]
    assert task.decide(scores(1, 2, 0, width=4)[None]) == [[1, 2]]
    assert task.score(tokens, [[1, 2], [1, 2]]) == 0.5
    assert task.chrf(tokens, ["ein Haus", "ein Baum"]) == pytest.approx(1)
    assert 0 < task.chrf(tokens, ["ein Haus", "ein Haus"]) < 1
    longer = torch.tensor([[1, 2, 0, 3, 3], [1, 3, 0, 0, 2]])  # after the end nothing is read
    assert parity.compare(tokens, longer, task).verdict == "close"


def test_embedding():
    task, want = tasks.Embedding(), torch.tensor([[1.0, 0.0], [0.0, 2.0]])
    assert agreement(task, want, want * 3) == 1
    assert agreement(task, want, want.flip(1)) == 0
    assert task.score(want, torch.tensor([[1.0, 0.0], [1.0, 0.0]])) == 0.5


def test_heads():
    task = tasks.Heads({"age": tasks.Regression(), "state.smile": tasks.Binary()})
    one = {"age": torch.tensor([[20.0], [40.0]]), "state": {"smile": torch.tensor([[0.9], [0.1]])}}
    other = {"age": one["age"], "state": {"smile": torch.tensor([[0.4], [0.1]])}}
    assert agreement(task, one, other) == 0.75
    assert task.metric.name == "mean absolute error"
    targets = {"age": one["age"] + 2, "state.smile": torch.tensor([[1], [1]])}
    assert (
        task.scores(one, targets) == {"age": 2, "state.smile": 0.5}
        and task.score(one, targets) == 2
    )
    with pytest.raises(StructureError, match="no head 'hair'; they have age, state.smile"):
        tasks.Heads({"hair": tasks.Binary()}).decide(one)
    with pytest.raises(StructureError, match="at least one head"):
        tasks.Heads({})


def test_a_task_of_ones_own_is_ten_lines():
    class Sign(tasks.Task):
        metric = Quantity("right signs", "%")
        decisions = "signs"

        def decide(self, answers):
            return answers.sign()

        def score(self, answers, targets):
            return (answers.sign() == targets).double().mean().item()

    one, other = torch.tensor([1.0, -2.0, 3.0, 4.0]), torch.tensor([1.0, -2.0, 3.0, -0.1])
    result = parity.compare(one, other, Sign())
    assert result.agreement == 0.75 and "75.0% of 4 signs agree" in repr(result)


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        (torch.randn(5, 3), tasks.Classification),
        (torch.rand(5, 1), tasks.Binary),
        (torch.rand(5, 1) * 100, tasks.Regression),
        (torch.arange(5), tasks.Regression),
        (torch.eye(3).long(), tasks.Regression),
        ({"a": torch.randn(5, 3), "b": torch.randn(5, 3)}, tasks.Regression),
        (Answers([torch.randn(1, 3)]), tasks.Classification),
        (torch.randn(5, 3, 4, 4), tasks.Regression),
    ],
)
def test_what_answers_look_like(answers, kind):
    assert type(tasks.guess(answers)) is kind


def test_counts_are_near_only_if_they_are_equal():
    labels = torch.arange(100)
    off = labels.clone()
    off[:2] += 1
    assert parity.compare(labels, labels).verdict == "same"
    assert parity.compare(labels, off).verdict == "close"
    off[:10] += 1
    assert parity.compare(labels, off).verdict == "DIFFERENT"


def test_metrics_in_words():
    assert Quantity("accuracy", "%").text(0.98765) == "98.8%"
    assert Quantity("PSNR", "dB").text(31.4159) == "31.4 dB"
    assert Quantity("error").text(0.123456) == "0.123"
