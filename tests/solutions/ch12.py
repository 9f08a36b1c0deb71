"""Right and wrong solutions to the exercises of chapter 12."""

from collections import Counter
from itertools import pairwise


def _sums(estimate):
    cycles, macs = Counter(), Counter()
    for layer in estimate.layers:
        cycles[layer.operator] += layer.cycles
        macs[layer.operator] += layer.macs
    return cycles, macs


def right_busy(estimate):
    cycles, macs = _sums(estimate)
    return {name: macs[name] / (cycles[name] * 128) for name in cycles if macs[name]}


def wrong_busy_1(estimate):
    kinds = {layer.operator for layer in estimate.layers if layer.macs}
    found = {name: [each for each in estimate.layers if each.operator == name] for name in kinds}
    return {
        name: sum(each.utilization for each in layers) / len(layers)
        for name, layers in found.items()
    }


def wrong_busy_2(estimate):
    cycles, macs = _sums(estimate)
    return {name: macs[name] / (cycles[name] * 128) for name in cycles}


def wrong_busy_3(estimate):
    cycles, macs = _sums(estimate)
    return {name: macs[name] / cycles[name] for name in cycles if macs[name]}


def right_over(steps):
    pairs = [(a, b) for a, b in pairwise(steps) if a.part != b.part]
    return len(pairs), sum(a.size or 0 for a, _ in pairs)


def wrong_over_1(steps):
    pairs = [(a, b) for a, b in pairwise(steps) if a.who != b.who]
    return len(pairs), sum(a.size or 0 for a, _ in pairs)


def wrong_over_2(steps):
    pairs = [(a, b) for a, b in pairwise(steps) if a.part != b.part]
    return len(pairs), sum(b.size or 0 for _, b in pairs)


def wrong_over_3(steps):
    pairs = [(a, b) for a, b in pairwise(steps) if a.part != b.part]
    return len(pairs), sum(a.size for a, _ in pairs)
