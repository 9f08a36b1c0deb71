"""A Jupyter server on a copy of the notebooks, and a page in headless Chromium that uses it."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from statistics import median, quantiles

import psutil
from playwright.sync_api import Page, TimeoutError

ROOT = Path(__file__).resolve().parent.parent.parent
TOKEN = "browser-tests"
CHROMIUM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome")
     if (found := shutil.which(name))), None,
)  # fmt: skip
ARGUMENTS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


class Server:
    """``jupyter lab`` (which serves Notebook 7 as well) in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "notebooks"
        self.folder.mkdir(parents=True)
        for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"):
            shutil.copy(path, self.folder)
        settings = folder / "settings" / "@jupyterlab"
        for name, values in {
            # All cells stay in the page, so that a test can look at any of them.
            "notebook-extension/tracker": {"windowingMode": "none"},
            "apputils-extension/notification": {"fetchNews": "false", "checkForUpdates": False},
        }.items():
            file = settings / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True)
            file.write_text(json.dumps(values))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url = f"http://127.0.0.1:{port}"
        self.progress = folder / "progress.json"
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--allow-root",
             f"--ServerApp.port={port}", "--ServerApp.port_retries=0",
             f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={self.folder}",
             "--LabApp.expose_app_in_browser=True",
             "--JupyterNotebookApp.expose_app_in_browser=True"],
            stdout=self.log, stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "MOBILELAB_PROGRESS": str(self.progress),
                "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings"),
                "JUPYTERLAB_WORKSPACES_DIR": str(folder / "workspaces"),
                "JUPYTER_CONFIG_DIR": str(folder / "config"),
                "OMP_NUM_THREADS": "1",
            },
        )  # fmt: skip
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            try:
                urllib.request.urlopen(f"{self.url}/api?token={TOKEN}", timeout=2)
                return
            except (urllib.error.URLError, OSError):
                time.sleep(0.3)
        self.stop()
        raise RuntimeError(f"Jupyter did not start; see {folder / 'server.log'}")

    def kernel_mib(self) -> float:
        """Resident memory of the kernels, in MiB."""
        return sum(
            child.memory_info().rss / 2**20
            for child in psutil.Process(self.process.pid).children(recursive=True)
            if any("ipykernel" in part for part in child.cmdline())
        )

    def stop(self) -> None:
        """End the server and its kernels."""
        self.process.terminate()
        try:
            self.process.wait(15)
        except subprocess.TimeoutExpired:
            self.process.kill()
        self.log.close()


class Notebook:
    """One notebook, open in JupyterLab or in Notebook 7."""

    def __init__(self, server: Server, page: Page, name: str, app: str = "lab/tree") -> None:
        self.page = page
        self.lab = app.startswith("lab")
        # A workspace of its own, or JupyterLab would open what an earlier test had open.
        app = app.replace("lab/", f"lab/workspaces/{Path(name).stem}/")
        page.goto(f"{server.url}/{app}/{name}?token={TOKEN}")
        page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=45_000)
        self.kernel_is_ready()
        if self.lab:
            self.command("application:toggle-left-area")

    def kernel_is_ready(self) -> None:
        """Wait until the page has a kernel that answers."""
        self.page.wait_for_function(
            "() => window.jupyterapp?.shell.currentWidget?.sessionContext?.session?.kernel"
            "?.connectionStatus === 'connected'",
            timeout=60_000,
        )
        self.page.evaluate(
            "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.info"
        )

    def command(self, name: str) -> None:
        """Start one of the application's commands; the menus have the same."""
        self.page.evaluate(f"() => {{ window.jupyterapp.commands.execute('{name}'); }}")

    def run_all(self, seconds: float = 300) -> None:
        """Run every cell and wait until each code cell has its number.

        The command itself is done at the first expected error, long before the last cell.
        """
        self.command("notebook:clear-all-cell-outputs")
        prompts = self.page.locator(".jp-CodeCell .jp-InputPrompt")
        self.command("notebook:run-all-cells")
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            missed = [t for t in prompts.all_inner_texts() if not re.search(r"\d", t)]
            if not missed:
                return
            time.sleep(0.3)
        raise TimeoutError(f"{len(missed)} code cells were not run in {seconds:.0f} s")

    def run_cell(self, text: str) -> None:
        """Run the code cell that contains a text, and wait for it."""
        cell = self.page.locator(f".jp-CodeCell:has(.cm-content:has-text('{text}'))").first
        cell.locator(".cm-content").click()
        self.command("notebook:run-cell")

    def unfold(self, text: str) -> None:
        """Show the output of the code cell that contains a text, as a click on its dots does."""
        cell = self.page.locator(f".jp-CodeCell:has(.cm-content:has-text('{text}'))").first
        cell.scroll_into_view_if_needed()
        cell.locator(".jp-Cell-outputWrapper .jp-Placeholder").first.click()

    def output(self, text: str):
        """The output of the code cell that contains a text."""
        cell = self.page.locator(f".jp-CodeCell:has(.cm-content:has-text('{text}'))").first
        cell.scroll_into_view_if_needed()
        return cell.locator(".jp-Cell-outputArea")

    def problems(self) -> list[str]:
        """What explorers show as errors, and error outputs that no cell expects."""
        alerts = self.page.locator(".jp-Notebook [role=alert]").all_inner_texts()
        broken = self.page.locator(".jp-Notebook :text('Click to show javascript error')")
        return [text for text in [*alerts, *broken.all_inner_texts()] if text]


_WATCH = """
(control) => {
  window.watching?.abort();
  const { signal } = (window.watching = new AbortController());
  const seen = (window.seen = { samples: [], zero: 0 });
  const zero = () => { seen.zero = performance.now(); };
  document.addEventListener('keydown', zero, { capture: true, signal });
  control.addEventListener('input', () => requestAnimationFrame(() => {
    const painted = new MessageChannel();
    painted.port1.onmessage = () => seen.samples.push(performance.now() - seen.zero);
    painted.port2.postMessage(0);
  }), { signal });
}
"""


def moves(page: Page, control, count: int) -> list[float]:
    """Move a slider that the page answers by itself; the ms from each key to the repaint."""
    control.evaluate(_WATCH)
    control.focus()
    page.keyboard.press("End")  # so that a press moves it, the next one, too
    page.keyboard.press("Home")
    page.wait_for_function("() => window.seen.samples.length > 0 || window.seen.zero")
    page.wait_for_timeout(100)
    page.evaluate("() => { window.seen.samples.length = 0; }")
    for i in range(count):
        page.keyboard.press("ArrowRight" if (i // 2) % 2 == 0 else "ArrowLeft")
        page.wait_for_function(f"() => window.seen.samples.length > {i}")
    return page.evaluate("() => window.seen.samples")


#: The explorers of an output: words, and the address of every picture, once all are loaded.
_SHOWN = """
(output) => {
  const images = [...output.querySelectorAll('img')];
  const words = [...output.querySelectorAll('.mobilelab-words')].map((e) => e.innerHTML);
  return images.every((img) => img.complete) ? [...words, ...images.map((img) => img.src)] : null;
}
"""
#: Resolves when the kernel has answered, which it does after all that was sent to it before; an
#: explorer sends a move when the frame that shows it is painted.
_ANSWERED = """
() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 20)))
  .then(() =>
    window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.requestKernelInfo())
  .then(() => new Promise((done) => requestAnimationFrame(() => setTimeout(done, 0))))
"""


def settle(page: Page, output, seconds: float = 120) -> None:
    """Wait until nothing is measured any more and the kernel's answers change no explorer."""
    deadline, before = time.monotonic() + seconds, None
    while time.monotonic() < deadline:
        page.evaluate(_ANSWERED)
        now = output.evaluate(_SHOWN)
        if now is not None and now == before and not any("measuring" in text for text in now):
            return
        before = now
    raise TimeoutError(f"the explorer did not come to rest in {seconds:.0f} s")


def texts_from_now_on(output):
    """A function that lists every text that came into an output since, however short it stayed."""
    output.evaluate(
        """(output) => {
          window.texts = [];
          new MutationObserver((changes) => changes.forEach((change) => {
            window.texts.push(...[...change.addedNodes].map((node) => node.textContent));
          })).observe(output, { childList: true, subtree: true });
        }"""
    )
    return lambda: output.evaluate("() => window.texts")


def in_use(page: Page) -> tuple[float, int]:
    """MiB of the page's script heap after a garbage collection, and its number of nodes."""
    session = page.context.new_cdp_session(page)
    session.send("HeapProfiler.enable")
    session.send("HeapProfiler.collectGarbage")
    session.send("Performance.enable")
    values = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    session.detach()
    return values["JSHeapUsedSize"] / 2**20, int(values["Nodes"])


def summary(name: str, ms: list[float]) -> str:
    """Median and 95th percentile in a line."""
    return (
        f"{name:28} median {median(ms):4.0f} ms, p95 {quantiles(ms, n=20)[-1]:4.0f} ms, "
        f"{len(ms)} moves"
    )
