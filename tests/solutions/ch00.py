"""Right and typical wrong solutions of chapter 00's exercises."""


def right_weights():
    return 1455, 364


def wrong_weights_1():
    return 1455, 182  # an eighth instead of a quarter


def wrong_weights_2():
    return 11640, 2910  # bits instead of bytes


def right_misses(kb, times, accuracy):
    parts = [("size", kb > 500), ("latency", times > 1.5), ("accuracy", accuracy < 0.98)]
    return [name for name, missed in parts if missed]


def wrong_misses_1(kb, times, accuracy):  # on the limit counts as missed
    parts = [("size", kb >= 500), ("latency", times >= 1.5), ("accuracy", accuracy <= 0.98)]
    return [name for name, missed in parts if missed]


def wrong_misses_2(kb, times, accuracy):  # stops at the first
    if kb > 500:
        return ["size"]
    if times > 1.5:
        return ["latency"]
    return ["accuracy"] if accuracy < 0.98 else []


def wrong_misses_3(kb, times, accuracy):  # accuracy taken for an upper limit
    parts = [("size", kb > 500), ("latency", times > 1.5), ("accuracy", accuracy > 0.98)]
    return [name for name, missed in parts if missed]
