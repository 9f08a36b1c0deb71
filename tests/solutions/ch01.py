"""Right and typical wrong solutions of chapter 01's exercises."""

import math


def right_conv_weights(cin, cout, kernel, groups=1):
    return cin // groups * cout * kernel**2


def wrong_conv_weights_1(cin, cout, kernel, groups=1):  # forgets groups
    return cin * cout * kernel**2


def wrong_conv_weights_2(cin, cout, kernel, groups=1):  # divides both
    return cin // groups * (cout // groups) * kernel**2


def wrong_conv_weights_3(cin, cout, kernel, groups=1):  # counts a bias
    return cin // groups * cout * kernel**2 + cout


def right_conv_macs(cin, cout, kernel, height, width, groups=1):
    return right_conv_weights(cin, cout, kernel, groups) * height * width


def wrong_conv_macs_1(cin, cout, kernel, height, width, groups=1):  # operations
    return 2 * right_conv_macs(cin, cout, kernel, height, width, groups)


def wrong_conv_macs_2(cin, cout, kernel, height, width, groups=1):  # a square picture
    return right_conv_weights(cin, cout, kernel, groups) * height**2


def right_p95(times):
    return sorted(times)[math.ceil(0.95 * len(times)) - 1]


def wrong_p95_1(times):  # not sorted
    return times[math.ceil(0.95 * len(times)) - 1]


def wrong_p95_2(times):  # off by one
    return sorted(times)[min(len(times) - 1, int(0.95 * len(times)))]


def wrong_p95_4(times):  # to the nearest
    return sorted(times)[round(0.95 * len(times)) - 1]


def wrong_p95_3(times):  # the mean
    return sum(times) / len(times)
