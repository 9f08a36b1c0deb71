"""The named steps of the walk: each a recipe, its file, and the snippet that a reader sees."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=[
        "engine",
        "memo",
        "npu",
        "pruning",
        "quantization",
        "remeasure",
        "snippets",
        "successors",
        "training",
        "variants",
    ],
)
