"""What becomes of anybody's model on every road to a phone: files, reasons, silent faults."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(
    __name__,
    submodules=["diagnosis", "faults", "results", "roads", "runner", "subject"],
    submod_attrs={"runner": ["check"], "diagnosis": ["diagnose"], "advice": ["advise"]},
)
