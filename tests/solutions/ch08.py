"""Right and wrong solutions to the exercises of chapter 08."""

import torch


def _counts(run):
    inside = run.inspect()
    taken = sum(sum(ops.values()) for ops in inside.delegates.values())
    return taken, sum(inside.operators.values())


def right_shares(runs):
    found = {name: _counts(run) for name, run in runs.items()}
    return {name: taken / (taken + own) for name, (taken, own) in found.items()}


def wrong_shares_1(runs):
    return {name: float(bool(run.inspect().operators)) for name, run in runs.items()}


def wrong_shares_2(runs):
    return dict.fromkeys(runs, 1.0)


def right_to_input(picture, mean, std):
    x = picture.permute(2, 0, 1).float() / 255
    x = (x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)
    return x.unsqueeze(0).contiguous()


def wrong_to_input_1(picture, mean, std):
    return right_to_input(picture, mean, std).to(memory_format=torch.channels_last)


def wrong_to_input_2(picture, mean, std):
    x = picture.reshape(3, *picture.shape[:2]).float() / 255
    return ((x - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1))[None]
