"""Warm kernels behave as cold ones, and give way to them where they cannot."""

import contextlib
import gc
import importlib.util
import json
import os
import queue
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import psutil
import pytest
from jupyter_client.manager import KernelManager
from jupyter_client.provisioning import LocalProvisioner
from jupyter_core.utils import ensure_event_loop

from mobilelab.core.errors import WarmKernelError
from mobilelab.jupyter.kernels import client, zygote
from mobilelab.jupyter.kernels.provisioner import WarmProvisioner

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="kernels are forked on Linux only"),
    # jupyter_client leaves the event loop of the main thread to the collector. What is ours is
    # counted below over 20 starts and stops, and by benchmarks/kernels.py over 200.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
]


@pytest.fixture(autouse=True)
def collected():
    """Its loops are collected here, and not in the middle of somebody else's test."""
    yield
    gc.collect()


class Kernel:
    """A kernel and a client, with what it said."""

    def __init__(self, provisioner=WarmProvisioner, **options):
        self.manager = KernelManager(kernel_name="python3")
        self.manager.provisioner = provisioner(
            kernel_id="test", kernel_spec=self.manager.kernel_spec, parent=self.manager
        )
        self.manager.start_kernel(**options)
        try:
            self.connect()
        except BaseException:  # nobody else can close what was opened so far
            self.close()
            raise

    def connect(self):
        self.client = self.manager.client()
        self.client.start_channels()
        self.client.wait_for_ready(timeout=60)

    @property
    def process(self):
        return self.manager.provisioner.process

    @property
    def pid(self):
        return self.manager.provisioner.pid

    def run(self, code, timeout=60, **options):
        """What a cell prints; raises what it raises, by name."""
        said = []

        def listen(message):
            if message["msg_type"] == "stream":
                said.append(message["content"]["text"])
            elif message["msg_type"] in ("display_data", "execute_result"):
                said.append(" ".join(sorted(message["content"]["data"])))

        # As a rule an error makes ipykernel drop what comes within the next moment, unanswered.
        reply = self.client.execute_interactive(
            code, timeout=timeout, output_hook=listen, stop_on_error=False, **options
        )
        if reply["content"]["status"] != "ok":
            raise RuntimeError(reply["content"].get("ename", reply["content"]["status"]))
        return "".join(said).strip()

    def close(self):
        self.client.stop_channels()
        self.manager.shutdown_kernel(now=False)


@contextlib.contextmanager
def kernel(*arguments, **options):
    started = Kernel(*arguments, **options)
    try:
        yield started
    finally:
        started.close()


@pytest.fixture(scope="module")
def warm():
    with kernel() as started:
        yield started


@pytest.fixture
def alone(monkeypatch):
    """A process without a zygote, whatever this one has."""
    monkeypatch.setattr(client, "_own", None)
    monkeypatch.delenv(client.PLACE, raising=False)
    yield
    client.stop()


def until(true, seconds=60):
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def gone(pid):
    """No process, or one that is over and waits for init to take note."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def printed(started, text):
    """Wait until a cell that runs, or has just run, has printed a text; nothing else counts."""
    message = started.client.get_iopub_msg(timeout=60)
    while text not in message["content"].get("text", ""):
        message = started.client.get_iopub_msg(timeout=60)


def is_forked(started):
    return isinstance(started.process, client.ForkedKernel)


# --- as a cold kernel -----------------------------------------------------------------------


def test_kernel_is_forked_with_everything_imported(warm):
    assert is_forked(warm)
    assert warm.manager.transport == "ipc"
    assert warm.run("import sys; print({'torch', 'torchvision'} <= set(sys.modules))") == "True"
    assert (
        warm.run("import torch; print((torch.ones(3, 3) @ torch.ones(3, 3)).sum())")
        == "tensor(27.)"
    )


FACTS = """
import gc, json, locale, os, resource, signal, sys, threading, warnings
import importlib
from mobilelab.jupyter.kernels import zygote
for name in zygote.PRELOAD:
    importlib.import_module(name)
import matplotlib, torch
facts = {
    "argv": sys.argv[:1], "path": sys.path, "name": __name__, "cwd": os.getcwd(),
    "flags": str(sys.flags), "executable": sys.executable, "umask": os.umask(0o22),
    "threads": [torch.get_num_threads(), torch.get_num_interop_threads()],
    "engine": torch.backends.quantized.engine, "grad": torch.is_grad_enabled(),
    "backend": matplotlib.rcParams["backend"], "gc": [gc.isenabled(), gc.get_threshold()],
    "sigint": signal.getsignal(signal.SIGINT) is signal.default_int_handler,
    "sigterm": str(signal.getsignal(signal.SIGTERM)),
    "leader": os.getsid(0) == os.getpid() == os.getpgid(0),
    "main": threading.current_thread() is threading.main_thread(),
    "stdin": sys.__stdin__.read() if sys.__stdin__ else None,
    "files": resource.getrlimit(resource.RLIMIT_NOFILE),
    "locale": locale.getlocale(), "warnings": len(warnings.filters),
    "env": {k: v for k, v in os.environ.items()
            if k not in ("JPY_PARENT_PID", "MOBILELAB_ZYGOTE", "PYDEVD_USE_FRAME_EVAL")},
    "cuda": torch.cuda.is_initialized(),
    "doc": __doc__, "spec": repr(sys.modules["__main__"].__dict__.get("__spec__")),
}
print(json.dumps(facts))
"""


def test_warm_kernel_finds_what_a_cold_one_finds(tmp_path):
    env = {**os.environ, "SOME_NAME": "some value"}
    found = []
    for provisioner in (LocalProvisioner, WarmProvisioner):
        with kernel(provisioner, cwd=str(tmp_path), env=dict(env)) as started:
            found.append(json.loads(started.run(FACTS)))
    cold, forked = found
    assert forked["cwd"] == str(tmp_path) and forked["env"]["SOME_NAME"] == "some value"
    assert {k: (cold[k], forked[k]) for k in cold if cold[k] != forked[k]} == {}


def test_interrupt(warm):
    message = warm.client.execute(
        "import time; print('asleep', flush=True); time.sleep(600)", stop_on_error=False
    )
    printed(warm, "asleep")
    warm.manager.interrupt_kernel()
    reply = warm.client.get_shell_msg(timeout=20)
    while reply["parent_header"].get("msg_id") != message:
        reply = warm.client.get_shell_msg(timeout=20)
    assert reply["content"]["ename"] == "KeyboardInterrupt"
    assert warm.run("print('alive')") == "alive"


def test_restart_gives_a_fresh_kernel_and_shutdown_leaves_nothing():
    with kernel() as started:
        started.run("x = 1")
        first, folder = started.pid, Path(started.manager.ip).parent
        started.client.stop_channels()
        started.manager.restart_kernel()
        started.connect()
        assert started.pid != first and is_forked(started)
        with pytest.raises(RuntimeError, match="NameError"):
            started.run("x")
        pid = started.pid
    assert gone(first) and gone(pid)
    assert not folder.exists()


def test_input(warm):
    def answer(message):
        warm.client.input(message["content"]["prompt"] + "42")

    said = warm.run("print(input('what? '))", allow_stdin=True, stdin_hook=answer)
    assert said == "what? 42"


def test_matplotlib_inline_and_another_backend(warm):
    shown = warm.run("import matplotlib.pyplot as plt\nplt.plot([1, 2])\nplt.show()")
    assert "image/png" in shown
    assert "image/png" in warm.run("%matplotlib inline\n_ = plt.plot([2, 1])")
    with kernel(env={**os.environ, "MPLBACKEND": "agg"}) as started:
        said = started.run("import matplotlib.pyplot as plt; print(plt.get_backend())")
        assert said.lower() == "agg"


def test_matplotlibrc_of_the_folder_is_read(tmp_path):
    (tmp_path / "matplotlibrc").write_text("lines.linewidth: 7.5\n")
    with kernel(cwd=str(tmp_path)) as started:
        said = started.run("import matplotlib; print(matplotlib.rcParams['lines.linewidth'])")
        assert said == "7.5"


def test_subprocesses_and_what_they_print(warm):
    assert warm.run("!echo from a shell") == "from a shell"
    said = warm.run("import subprocess; print(subprocess.check_output(['echo', 'x']).decode())")
    assert said == "x"
    # What is written to the file descriptor is captured too; ipykernel leaves that to pytest
    # where it finds this variable.
    env = {k: v for k, v in os.environ.items() if k != "PYTEST_CURRENT_TEST"}
    with kernel(env=env) as started:
        started.client.execute("import os; os.system('echo deep')")
        printed(started, "deep")  # a thread of the kernel's passes it on, perhaps after the cell


def test_threads_and_fork_in_user_code(warm):
    said = warm.run("""
import os, threading
found = []
thread = threading.Thread(target=lambda: found.append(threading.get_ident()))
thread.start(); thread.join()
pid = os.fork()
if pid == 0:
    os._exit(7)
print(len(found), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
""")
    assert said == "1 7"


def test_processes_of_every_kind_and_dataloader_workers(warm, tmp_path):
    (tmp_path / "work.py").write_text("def square(x):\n    return x * x\n")
    said = warm.run(f"""
import sys; sys.path.insert(0, {str(tmp_path)!r})
import multiprocessing, torch, work
for way in ("fork", "spawn", "forkserver"):
    with multiprocessing.get_context(way).Pool(2) as pool:
        print(way, pool.map(work.square, [1, 2, 3]))
data = torch.utils.data.TensorDataset(torch.arange(8.0))
print(sum(float(b[0].sum()) for b in torch.utils.data.DataLoader(data, 2, num_workers=2)))
print(multiprocessing.current_process().name, multiprocessing.parent_process())
""")
    lines = [line for line in said.splitlines() if "Warning" not in line]
    assert lines[:3] == [f"{way} [1, 4, 9]" for way in ("fork", "spawn", "forkserver")]
    assert lines[3:] == ["28.0", "MainProcess None"]


def test_torch_threads_do_work():
    """In a process of its own, with the two threads that this test's environment may forbid."""
    script = """
import os, sys
sys.path.insert(0, sys.argv[1])
from test_kernels import is_forked, kernel
with kernel() as started:
    assert is_forked(started)
    print(started.run('''
import os, torch
before = len(os.listdir("/proc/self/task"))
torch.set_num_threads(2)
a = torch.rand(600, 600)
for _ in range(3): a @ a
import numpy; numpy.ones((500, 500)) @ numpy.ones((500, 500))
torch.nn.functional.conv2d(torch.rand(1, 8, 64, 64), torch.rand(8, 8, 3, 3))
print(torch.get_num_threads(), len(os.listdir("/proc/self/task")) > before)
'''))
"""
    env = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", client.PLACE)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(Path(__file__).parent)],
        capture_output=True, text=True, env=env, timeout=120,
    )  # fmt: skip
    assert done.stdout.strip().endswith("2 True"), done.stdout + done.stderr


def test_siblings_do_not_share_random_state():
    draw = "random.random(), numpy.random.rand(), torch.rand(1).item(), torch.initial_seed()"
    code = f"import random, numpy, torch; print({draw})"
    drawn = []
    for _ in range(2):
        with kernel() as started:
            drawn.append(started.run(code).split())
    assert all(a != b for a, b in zip(*drawn, strict=True))


def test_seed_gives_the_same_numbers_as_in_any_process(warm):
    import torch

    torch.manual_seed(3)
    assert warm.run("torch.manual_seed(3); print(torch.rand(1).item())") == str(
        torch.rand(1).item()
    )


def test_exit_status_and_death_are_noticed():
    with kernel() as started:
        process = started.process
        os.kill(started.pid, signal.SIGKILL)
        until(lambda: process.poll() is not None)
        assert process.returncode == -signal.SIGKILL
        assert not started.manager.is_alive()


def test_many_at_once():
    started = queue.Queue()

    def start():
        try:
            started.put(Kernel())
        finally:  # jupyter_client made one for this thread
            ensure_event_loop().close()

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    kernels = [started.get_nowait() for _ in threads]
    assert all(is_forked(k) for k in kernels)
    assert sorted(k.run(f"print({i})") for i, k in enumerate(kernels)) == list("012345")
    assert len({k.pid for k in kernels}) == len(kernels)
    for each in kernels:
        each.close()


@pytest.fixture
def bench():
    path = Path(__file__).parent.parent / "benchmarks" / "kernels.py"
    spec = importlib.util.spec_from_file_location("kernels_benchmark", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def open_files(warm):
    """Counts the open files of this process, while nothing is left to the collector."""
    gc.collect()
    gc.disable()
    yield lambda: len(os.listdir("/proc/self/fd"))
    gc.enable()


def test_twenty_starts_and_stops_leave_no_file_open(bench, open_files):
    before = open_files()
    for _ in range(5):
        bench.Kernel(WarmProvisioner, "pass").close()
        bench.parallel(3)
    assert open_files() == before


def test_a_start_that_fails_leaves_nothing(bench, open_files):
    before = open_files()
    with pytest.raises(AssertionError):
        bench.Kernel(WarmProvisioner, "1 / 0")
    assert open_files() == before


def test_room_is_made_for_many_kernels_or_one_sentence_says_how_many_fit(bench, monkeypatch):
    limits = {"now": (1024, 500_000)}
    monkeypatch.setattr(bench.resource, "getrlimit", lambda _: limits["now"])
    monkeypatch.setattr(bench.resource, "setrlimit", lambda _, new: limits.update(now=new))
    bench.make_room(10)
    assert limits["now"] == (1024, 500_000)
    bench.make_room(50)
    assert limits["now"] == (2100, 500_000)
    limits["now"] = (1024, 1024)
    with pytest.raises(SystemExit, match="start at most 23 with --parallel"):
        bench.make_room(50)


# --- the zygote -----------------------------------------------------------------------------


def zygote_process():
    """The zygote that serves this process."""
    path = client.ensure()
    for process in psutil.process_iter(["cmdline"]):
        if path in (process.info["cmdline"] or []):
            return process
    raise AssertionError("no zygote")


def test_zygote_never_computes(warm):
    process = zygote_process()
    assert process.num_threads() == 1
    folder = f"/proc/{process.pid}/fd"
    # 0 to 2 are its owner's streams: a terminal, a pipe or a log file, as whoever calls us likes.
    targets = [os.readlink(f"{folder}/{fd}") for fd in os.listdir(folder) if int(fd) > 2]
    assert targets
    assert not [t for t in targets if t.startswith("/") and not t.startswith("/dev/null")]
    assert not any("nvidia" in target for target in targets)


def test_memory_is_mostly_shared(warm):
    own = psutil.Process(warm.pid).memory_full_info().uss
    zygotes = zygote_process().memory_info().rss
    assert own < zygotes / 2  # about an eighth on an idle host; measured by benchmarks/kernels.py


def test_zygote_survives_rubbish_and_callers_that_hang_up(warm):
    path = client.ensure()
    for rubbish in (b"", b"x", b"5\n", b"99999999999\n{}", b"2\n{}", b"\xff\xfe\n\n", b"-1\n"):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)
            connection.sendall(rubbish)
    with kernel() as started:
        assert is_forked(started)


def test_kernels_survive_the_zygote_and_the_next_one_gets_a_new_zygote(alone):
    with kernel() as first:
        assert is_forked(first)
        old = zygote_process()
        old.kill()
        old.wait()
        assert first.run("print('still here')") == "still here"
        with kernel() as second:
            assert is_forked(second) and zygote_process().pid != old.pid
        process = first.process
    assert process.poll() is not None and gone(process.pid)


def test_zygote_killed_in_mid_start_gives_a_cold_kernel(alone, caplog, monkeypatch):
    client.ensure()
    process = zygote_process()
    process.suspend()

    class Deadly(socket.socket):
        def recv(self, *arguments):  # the request is sent, the answer is waited for
            process.kill()
            return super().recv(*arguments)

    monkeypatch.setattr(client, "socket", SimpleNamespace(**{**vars(socket), "socket": Deadly}))
    with kernel() as started:
        assert not is_forked(started)
        assert started.run("print(1)") == "1"
    assert len([r for r in caplog.records if "Starting a cold kernel" in r.message]) == 1


def test_socket_folder_that_is_gone_is_made_anew(alone):
    path = Path(client.ensure())
    path.unlink()
    path.parent.rmdir()
    with kernel() as started:
        assert is_forked(started)
    assert client.ensure() != str(path)


def test_no_place_for_sockets_gives_a_cold_kernel_over_ports(alone, monkeypatch, caplog, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "missing"))
    manager = KernelManager(kernel_name="python3", connection_file=str(tmp_path / "c.json"))
    manager.provisioner = WarmProvisioner(
        kernel_id="t", kernel_spec=manager.kernel_spec, parent=manager
    )
    manager.start_kernel()
    try:
        assert manager.transport == "tcp" and not isinstance(
            manager.provisioner.process, client.ForkedKernel
        )
    finally:
        manager.shutdown_kernel(now=True)
    assert "no place for its socket" in caplog.text


def test_unreadable_connection_file_ends_the_kernel_with_a_status(warm, tmp_path):
    broken = tmp_path / "connection.json"
    broken.write_text("{")
    command = [sys.executable, "-m", "ipykernel_launcher", "-f", str(broken)]
    with (tmp_path / "err").open("w") as err:
        process = client.fork_kernel(command, stderr=err, stdout=err)
        assert process.wait(30) != 0
    assert "JSON" in (tmp_path / "err").read_text()


OWNER = """
import sys, time
sys.path.insert(0, sys.argv[1])
from test_kernels import Kernel, zygote_process
from pathlib import Path
started = Kernel()
started.run("import subprocess")
process = zygote_process()
print(process.pid, started.pid, Path(started.manager.ip).parent, process.cmdline()[-1], flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_everything_dies_with_its_owner(number):
    env = {k: v for k, v in os.environ.items() if k != client.PLACE}
    owner = subprocess.Popen(
        [sys.executable, "-W", "ignore", "-c", OWNER, str(Path(__file__).parent)],
        stdout=subprocess.PIPE, text=True, env=env,
    )  # fmt: skip
    with owner:
        zygote_pid, kernel_pid, folder, path = owner.stdout.readline().split()
        assert not gone(int(zygote_pid)) and not gone(int(kernel_pid))
        owner.send_signal(number)
    until(lambda: gone(int(zygote_pid)) and gone(int(kernel_pid)))
    until(lambda: not Path(folder).exists() and not Path(path).parent.exists())


def test_a_zygote_serves_the_processes_of_its_owner(warm):
    """papermill from the command line forks from the zygote of whoever called it."""
    script = """
import sys
sys.path.insert(0, sys.argv[1])
from test_kernels import is_forked, kernel
from mobilelab.jupyter.kernels import client
with kernel() as started:
    print(is_forked(started), client._own)
"""
    env = {**os.environ, client.PLACE: client.ensure()}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script, str(Path(__file__).parent)],
        capture_output=True, text=True, env=env,
    )  # fmt: skip
    assert done.stdout.strip() == "True None", done.stdout + done.stderr


@pytest.mark.parametrize(
    "tool",
    [
        ["papermill", "in.ipynb", "out.ipynb", "--no-progress-bar"],
        ["pytest", "-q", "-p", "no:cacheprovider", "-c", "/dev/null", "--nbval-lax", "in.ipynb"],
        ["jupyter", "nbconvert", "--to", "notebook", "--execute", "in.ipynb", "--output", "out"],
    ],
    ids=lambda tool: tool[0],
)
def test_every_tool_forks_through_jupyters_own_configuration(warm, tmp_path, tool):
    source = "import os\nassert 'kernels.zygote' in open(f'/proc/{os.getppid()}/cmdline').read()"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    notebook.metadata.kernelspec = {"name": "python3", "display_name": "p", "language": "python"}
    nbformat.write(notebook, tmp_path / "in.ipynb")
    places = {client.PLACE: client.ensure(), "JUPYTER_DEFAULT_PROVISIONER_NAME": "mobilelab-warm"}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-m", *tool],
        capture_output=True, text=True, cwd=tmp_path, env={**os.environ, **places},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]


# --- where forking is not possible ----------------------------------------------------------


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"OMP_NUM_THREADS": "7"}, "OMP_NUM_THREADS differs"),
        ({"PYTHONOPTIMIZE": "0"}, "PYTHONOPTIMIZE differs"),
    ],
)
def test_variables_that_are_read_at_load_need_a_cold_kernel(warm, caplog, changed, words):
    with kernel(env={**os.environ, **changed}) as started:
        assert not is_forked(started)
        name, value = next(iter(changed.items()))
        assert started.run(f"import os; print(os.environ[{name!r}])") == value
    assert f"Starting a cold kernel, because {words}" in caplog.text


def test_other_commands_and_systems_need_a_cold_kernel(monkeypatch):
    usual = [sys.executable, "-m", "ipykernel_launcher", "-f", "x"]
    assert client.cannot_be_forked(usual) is None
    assert "another Python" in client.cannot_be_forked(["/usr/bin/other", *usual[1:]])
    assert "not the usual" in client.cannot_be_forked([sys.executable, "-m", "bash_kernel"])
    with pytest.raises(WarmKernelError, match="as pipes"):
        client.fork_kernel(usual, stdout=subprocess.PIPE)
    monkeypatch.setattr(client.sys, "platform", "darwin")
    assert "Linux only" in client.cannot_be_forked(usual)


def test_on_another_system_a_cold_kernel_runs(monkeypatch, caplog):
    monkeypatch.setattr(client, "cannot_be_forked", lambda command: "forking is safe on Linux only")
    with kernel() as started:
        assert not is_forked(started) and started.run("print(2)") == "2"
    assert "forking is safe on Linux only" in caplog.text


def test_preloaded_modules_exist():
    import importlib.util

    for name in zygote.PRELOAD:
        assert importlib.util.find_spec(name), name
