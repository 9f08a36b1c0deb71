"""Checks for the exercises of chapter 01."""

from __future__ import annotations

from collections.abc import Callable

from mobilelab.course.checks import Case, Check, verify


def check_conv_weights(conv_weights: Callable[..., int]) -> Check:
    """01.1: number of weights of a convolution without bias."""
    return verify(
        "Exercise 01.1",
        [
            Case(
                "full: 64 to 64 channels, 3 by 3",
                lambda: conv_weights(64, 64, 3),
                36864,
                "Each of the 64 filters holds 64 x 3 x 3 weights.",
            ),
            Case(
                "pointwise: 16 to 96 channels, 1 by 1",
                lambda: conv_weights(16, 96, 1),
                1536,
                "A 1 by 1 filter has one weight per input channel.",
            ),
            Case(
                "depthwise: 64 channels, 3 by 3, 64 groups",
                lambda: conv_weights(64, 64, 3, groups=64),
                576,
                "With groups, each filter sees only cin / groups channels; cout stays.",
            ),
            Case(
                "grouped: 32 to 64 channels, 5 by 5, 4 groups",
                lambda: conv_weights(32, 64, 5, groups=4),
                12800,
                "64 filters, each 32 / 4 channels deep and 5 x 5 wide. Divide cin only.",
            ),
        ],
    )


def check_conv_macs(conv_macs: Callable[..., int]) -> Check:
    """01.2: multiply-accumulates of a convolution for one image."""
    return verify(
        "Exercise 01.2",
        [
            Case(
                "full: 64 to 64 channels, 3 by 3, 8 by 8 positions",
                lambda: conv_macs(64, 64, 3, 8, 8),
                2359296,
                "36864 weights, each used at 64 positions. Count a multiply-add once.",
            ),
            Case(
                "stem: 1 to 16 channels, 3 by 3, 32 by 32 positions",
                lambda: conv_macs(1, 16, 3, 32, 32),
                147456,
                "144 weights, each used at 1024 positions.",
            ),
            Case(
                "depthwise: 64 channels, 3 by 3, 16 by 32 positions",
                lambda: conv_macs(64, 64, 3, 16, 32, groups=64),
                294912,
                "576 weights at 512 positions: height and width may differ.",
            ),
        ],
    )


def check_p95(p95: Callable[[list[float]], float]) -> Check:
    """01.3: the smallest time that at least 95 % of the times do not exceed."""
    hundred = [float(i) for i in range(1, 101)]
    return verify(
        "Exercise 01.3",
        [
            Case("1 to 100", lambda: p95(hundred), 95.0, "95 of the 100 values are at most 95."),
            Case(
                "1 to 100, shuffled",
                lambda: p95(hundred[50:] + hundred[:50]),
                95.0,
                "Samples arrive in any order; sort them first.",
            ),
            Case(
                "1 to 20",
                lambda: p95([float(i) for i in range(1, 21)]),
                19.0,
                "0.95 x 20 = 19 values: the 19th smallest, at index 18.",
            ),
            Case(
                "1 to 10",
                lambda: p95([float(i) for i in range(1, 11)]),
                10.0,
                "9.5 values are not enough with nine: round up to ten. (NumPy's percentile "
                "interpolates between two times unless it is given method='inverted_cdf'.)",
            ),
            Case(
                "1 to 11",
                lambda: p95([float(i) for i in range(1, 12)]),
                11.0,
                "10.45 values are not enough with ten: round up, not to the nearest.",
            ),
            Case("a single time", lambda: p95([7.0]), 7.0, "One value is its own 95th percentile."),
        ],
    )
