"""Explorers: a pure function draws, a slider calls it.

Each is shown by being the last line of a cell, and leaves a picture and a table behind in the
stored notebook for readers without a kernel.
"""

from mobilelab.widgets.graph import GraphExplorer
from mobilelab.widgets.pruning import PruningExplorer
from mobilelab.widgets.quantization import QuantizationPlayground
from mobilelab.widgets.quiz import ProgressTable, Quiz
from mobilelab.widgets.resolution import ResolutionExplorer
from mobilelab.widgets.tradeoff import TradeoffExplorer

__all__ = [
    "GraphExplorer",
    "ProgressTable",
    "PruningExplorer",
    "QuantizationPlayground",
    "Quiz",
    "ResolutionExplorer",
    "TradeoffExplorer",
]
