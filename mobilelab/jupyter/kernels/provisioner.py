"""Jupyter's way to the warm kernels: a kernel provisioner.

``JUPYTER_DEFAULT_PROVISIONER_NAME=mobilelab-warm`` makes JupyterLab, nbval, papermill and the
grader use it for the ordinary ``python3`` kernelspec.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.provisioning.local_provisioner import LocalProvisioner

from mobilelab.core.errors import WarmKernelError
from mobilelab.jupyter.kernels.client import fork_kernel


class WarmProvisioner(LocalProvisioner):
    """Forks the kernel from a preloaded process; starts a cold one where that is not possible.

    Messages travel over sockets in a private folder instead of TCP ports, so that kernels which
    start at the same time cannot be given the same port.
    """

    _folder: str | None = None

    async def pre_launch(self, **kwargs: Any) -> dict[str, Any]:
        """Choose the transport, then prepare as for any local kernel."""
        manager = self.parent
        if manager is not None and sys.platform != "win32" and self._folder is None:
            with contextlib.suppress(OSError):  # no place for sockets: ports will do
                # A socket's path may be about a hundred letters long.
                self._folder = tempfile.mkdtemp(prefix="mobilelab-k-")
                manager.transport = "ipc"
                manager.ip = str(Path(self._folder) / "k")
                manager.cache_ports = False
        return await super().pre_launch(**kwargs)

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork, or start a cold kernel and say why in one line of the log."""
        options = self._scrub_kwargs(kwargs)
        known = {"env", "cwd", "stdin", "stdout", "stderr", "independent"}
        try:
            if set(options) - known or options.pop("independent", False):
                raise WarmKernelError("it is started with options that forking does not know")
            self.process = await asyncio.to_thread(
                fork_kernel, cmd, sockets=self._folder, **options
            )
        except WarmKernelError as error:
            self.log.warning("Starting a cold kernel, because %s.", error)
            return await super().launch_kernel(cmd, **kwargs)
        self.pid = self.pgid = self.process.pid  # it leads a session of its own
        self.cwd = kwargs.get("cwd", Path.cwd())
        await self._sockets_are_there()
        return self.connection_info

    async def _sockets_are_there(self) -> None:
        """Wait a moment for the kernel to bind: who connects too early tries again only later."""
        info = self.connection_info
        if info.get("transport") != "ipc":
            return
        wanted = [f"{info['ip']}-{info[f'{name}_port']}" for name in ("shell", "iopub", "control")]
        for _ in range(400):
            if all(map(os.path.exists, wanted)) or self.process.poll() is not None:
                return
            await asyncio.sleep(0.005)

    async def cleanup(self, restart: bool = False) -> None:
        """Remove the folder of the sockets once the kernel is gone for good."""
        await super().cleanup(restart=restart)
        if self._folder is not None and not restart:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
