"""Right and wrong solutions to the exercises of chapter 11."""

import torch

from mobilelab import tasks
from mobilelab.check.advice import ON_PHONES, grave


def _differ(model, file, inputs):
    ours, theirs = model(*inputs), file(*inputs)
    return any((theirs[k] - x).norm() > 1e-4 * x.norm() for k, x in ours.items())


def right_witness(model, file, example):
    tokens, sure = example
    last = torch.cat([sure * 0.5, sure], 1)
    for tried in (
        (tokens[:, :3], sure[:, :3]),
        (torch.cat([tokens, tokens], 1), last),
        (tokens, sure * 0.01),
    ):
        if _differ(model, file, tried):
            return tried
    return None


def wrong_witness_1(model, file, example):
    return example if _differ(model, file, example) else None


def wrong_witness_2(model, file, example):
    tokens, sure = example
    return tokens[:, :3], sure[:, :3]


def wrong_witness_3(model, file, example):
    found = right_witness(model, file, example)
    return example if found is None else found


class right_careful(tasks.Task):
    metric = tasks.Quantity("cost of a sentence", "points", more_is_better=False)

    def decide(self, answers):
        chance, act = tasks.leaf_of(answers, "want").softmax(1).max(1)
        return torch.where(chance < 0.6, -1, act)

    def score(self, answers, targets):
        did = torch.cat([self.decide(tree) for tree in tasks.each(answers)])
        costs = torch.where(did == -1, 1.0, 5.0) * (did != targets)
        return costs.mean().item()


class wrong_careful_1(right_careful):
    def decide(self, answers):
        return tasks.leaf_of(answers, "want").argmax(1)


class wrong_careful_2(right_careful):
    metric = tasks.Quantity("cost of a sentence", "points")


class wrong_careful_3(right_careful):
    def decide(self, answers):
        chance, act = tasks.leaf_of(answers, "want").max(1)
        return torch.where(chance < 0.6, -1, act)


def right_may_ship(report, max_kb):
    good = [
        row for row in report.rows
        if row.usable and row.file.endswith(ON_PHONES) and row.file_kb <= max_kb and not grave(row)
    ]  # fmt: skip
    return [row.road for row in sorted(good, key=lambda row: row.file_kb)]


def wrong_may_ship_1(report, max_kb):
    good = [row for row in report.rows if row.usable and row.file_kb <= max_kb]
    return [row.road for row in sorted(good, key=lambda row: row.file_kb)]


def wrong_may_ship_2(report, max_kb):
    good = [
        row for row in report.rows
        if row.usable and row.file.endswith(ON_PHONES) and row.file_kb <= max_kb and not row.reasons
    ]  # fmt: skip
    return [row.road for row in sorted(good, key=lambda row: row.file_kb)]


def wrong_may_ship_3(report, max_kb):
    return [row.road for row in report.rows if row.usable and row.file.endswith(ON_PHONES)]
