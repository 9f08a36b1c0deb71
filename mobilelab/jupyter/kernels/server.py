"""A Jupyter server extension that starts the zygote before the first notebook is opened.

``make lab`` switches it on. Without it, the first kernel waits for the imports.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import Any

from mobilelab.core.errors import WarmKernelError
from mobilelab.jupyter.kernels import client


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "mobilelab.jupyter.kernels.server"}]


def _load_jupyter_server_extension(server: Any) -> None:
    """Start the zygote beside the server. Where that fails, kernels start cold and say why."""

    def start() -> None:
        with contextlib.suppress(WarmKernelError):
            client.ensure()

    chosen = os.environ.get("JUPYTER_DEFAULT_PROVISIONER_NAME") == "mobilelab-warm"
    if chosen and client.cannot_fork_here() is None:
        threading.Thread(target=start, name="zygote", daemon=True).start()
