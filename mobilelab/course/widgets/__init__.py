"""Explorers: a pure function draws, a slider calls it.

Each is shown by being the last line of a cell, and leaves a picture and a table behind in the
stored notebook for readers without a kernel.
"""

from mobilelab.course.widgets.graph import GraphExplorer
from mobilelab.course.widgets.pruning import PruningExplorer
from mobilelab.course.widgets.quantization import QuantizationPlayground
from mobilelab.course.widgets.quiz import ProgressTable, Quiz
from mobilelab.course.widgets.resolution import ResolutionExplorer
from mobilelab.course.widgets.tradeoff import TradeoffExplorer

__all__ = [
    "GraphExplorer",
    "ProgressTable",
    "PruningExplorer",
    "QuantizationPlayground",
    "Quiz",
    "ResolutionExplorer",
    "TradeoffExplorer",
]
