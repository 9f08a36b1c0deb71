"""Right and typical wrong solutions of chapter 06's exercises.

For ``choices`` the functions return the answer, made for the records of ``tests/test_checks.py``;
the others are the answer themselves.
"""


# 06.1: the check takes the returned choices -------------------------------------------------
def wrong_choices_6():  # gives up although something fits
    return right_choices() | {"sensor": "nothing fits"}


def right_choices():
    return {"game": "quick", "translator": "small", "sensor": "small"}


def wrong_choices_1():  # one winner for everything
    return dict.fromkeys(("game", "translator", "sensor"), "small")


def wrong_choices_2():  # the fastest of all, though its answers differ
    return right_choices() | {"game": "different"}


def wrong_choices_3():  # the smallest file, which only the full PyTorch can run
    return right_choices() | {"translator": "tiny-pt"}


def wrong_choices_4():  # the file's name instead of the variant's
    return right_choices() | {"sensor": "small.ptl"}


def wrong_choices_5():  # the lowest median, not the lowest 95th percentile
    return right_choices() | {"game": "jumpy"}


# 06.2: the check takes the function ---------------------------------------------------------
def _beats(a, b):
    return a[0] <= b[0] and a[1] <= b[1] and a != b


def right_front(points):
    return [i for i, p in enumerate(points) if not any(_beats(q, p) for q in points)]


def wrong_front_1(points):  # twins throw each other out
    return [
        i
        for i, p in enumerate(points)
        if not any(q[0] <= p[0] and q[1] <= p[1] for j, q in enumerate(points) if j != i)
    ]


def wrong_front_2(points):  # cheaper in both is wanted
    return [i for i, p in enumerate(points) if not any(q[0] < p[0] and q[1] < p[1] for q in points)]


def wrong_front_4(points):  # equal in the second is not enough
    return [
        i for i, a in enumerate(points) if not any(b[0] <= a[0] and b[1] < a[1] for b in points)
    ]


def wrong_front_3(points):  # the best sum
    return [min(range(len(points)), key=lambda i: sum(points[i]))]


# 06.3: the check takes the function ---------------------------------------------------------
def right_energy_range(macs, numbers, bits):
    costs = {32: 4.6, 8: 0.3}
    if bits not in costs:
        raise ValueError(f"32 or 8 bits, not {bits}")
    low = macs * costs[bits] / 1e6
    return low, low + numbers * bits / 64 * 2600 / 1e6


def wrong_energy_range_1(macs, numbers, bits):  # 2600 pJ for every byte
    low = right_energy_range(macs, numbers, bits)[0]
    return low, low + numbers * bits / 8 * 2600 / 1e6


def wrong_energy_range_2(macs, numbers, bits):  # the multiply alone
    low = macs * {32: 3.7, 8: 0.2}.get(bits, 1.1) / 1e6
    return low, low + numbers * bits / 64 * 2600 / 1e6


def wrong_energy_range_4(macs, numbers, bits):  # refuses one width and guesses the others
    if bits == 16:
        raise ValueError("16 bits")
    return right_energy_range(macs, numbers, 32 if bits == 32 else 8)


def wrong_energy_range_3(macs, numbers, bits):  # the upper one is the traffic alone
    low, high = right_energy_range(macs, numbers, bits)
    return low, high - low
