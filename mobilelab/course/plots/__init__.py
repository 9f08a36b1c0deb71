"""The course's pictures: one function per picture, each returns a matplotlib figure.

``charts`` draws what was measured, ``labels`` names its points, ``photos`` shows photographs with
boxes, ``diagrams`` how something works, ``delegates`` who does what in a model file, ``style`` is
what they share.
"""

from mobilelab.course.plots.charts import (
    answer_titles,
    bars,
    images,
    rounding,
    tradeoff,
    training_curve,
    zeros,
)
from mobilelab.course.plots.delegates import Delegates
from mobilelab.course.plots.diagrams import STEPS, lost_bias, workflow
from mobilelab.course.plots.labels import names_beside
from mobilelab.course.plots.photos import boxes
from mobilelab.course.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PALETTE,
    PURPLE,
    RED,
    SKY,
    YELLOW,
    Picture,
    figure,
)

__all__ = [
    "BLUE",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PALETTE",
    "PURPLE",
    "RED",
    "SKY",
    "STEPS",
    "YELLOW",
    "Delegates",
    "Picture",
    "answer_titles",
    "bars",
    "boxes",
    "figure",
    "images",
    "lost_bias",
    "names_beside",
    "rounding",
    "tradeoff",
    "training_curve",
    "workflow",
    "zeros",
]
