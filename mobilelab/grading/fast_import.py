"""Import this before nbformat or papermill where the start of a process is waited for.

nbformat needs jsonschema, and jsonschema compiles a grammar for international addresses wherever
the package ``rfc3987_syntax`` is installed, as it is with JupyterLab. That takes 1.2 s, and no
notebook schema has such an address. An entry of ``None`` lets jsonschema do without.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator

# typeshed does not know of None there.
sys.modules.setdefault("rfc3987_syntax", None)  # pyright: ignore[reportArgumentType]


@contextlib.contextmanager
def imports() -> Iterator[None]:
    """Import something large without looking for garbage in it, now or later."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
