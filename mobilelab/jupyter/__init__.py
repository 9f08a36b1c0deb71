"""Running notebooks: warm kernels, papermill's engine, names of cells, a learner's progress."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__, submodules=["cells", "kernels", "papermill_engine", "progress"]
)
