"""Shared by all tests: the bundled data, the trained network, and the walk's folder."""

import os

import hypothesis
import pytest
from filelock import FileLock

from mobilelab import datasets, measure, models, runtimes
from mobilelab.jupyter.kernels import client
from mobilelab.recipes import variants
from mobilelab.runtimes import libraries

# How long an example takes says something about the host, nothing about the code.
hypothesis.settings.register_profile("any host", deadline=None)
hypothesis.settings.load_profile("any host")

# Some tests import torchao or ExecuTorch themselves, others define operators.
libraries.keep_operators()

# Submissions are for the grader, not for nbval; the hostile ones have a conftest.py of their own.
collect_ignore = ["attacks", "tiny"]


@pytest.fixture(scope="session")
def data():
    return datasets.load("digits")


@pytest.fixture(autouse=True, scope="module")
def same_environment_for_the_next_module():
    """Take away what a module's tests, or libraries under them, add to the environment.

    torch's inductor sets KMP_DUPLICATE_LIB_OK, and a kernel is not forked where that differs.
    """
    before = set(os.environ)
    yield
    for name in set(os.environ) - before - {"PYTEST_CURRENT_TEST"}:
        del os.environ[name]


@pytest.fixture
def model():
    return models.load_trained()


@pytest.fixture(scope="session")
def reference(data):
    return measure.scores(models.load_trained(), data.test.images)


class Walk:
    """Variants of the trained network, each built once for all tests and all workers."""

    def __init__(self, folder, data):
        self.folder, self.data = folder, data
        folder.mkdir(exist_ok=True)

    def __call__(self, *chosen):
        """The built variants by name; those that nobody has asked for yet are built now."""
        return {variant.name: self._one(variant) for variant in chosen}

    def _one(self, variant):
        path = self.folder / f"{variant.name}{variant.suffix}"
        with FileLock(f"{path}.lock"):
            if path.exists():
                return variants.Built(variant, path, runtimes.load(path))
            return variants.build(variant, models.load_trained(), self.data, self.folder)


@pytest.fixture(scope="session")
def walk(tmp_path_factory, data):
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return Walk(shared / "the-walk", data)


def pytest_configure(config):
    """One zygote for all workers, and for what the tests start, where warm kernels are chosen."""
    chosen = os.environ.get("JUPYTER_DEFAULT_PROVISIONER_NAME") == "mobilelab-warm"
    if chosen and not hasattr(config, "workerinput") and client.cannot_fork_here() is None:
        client.ensure()


def pytest_unconfigure(config):
    client.stop()


def pytest_terminal_summary(terminalreporter):
    """What the browser tests timed. The process that prints this does not load their own file."""
    reports = terminalreporter.stats.get("passed", [])
    lines = [line for r in reports for name, line in r.user_properties if name == "printed"]
    if lines:
        terminalreporter.section("from a slider's key to the repainted picture, in Chromium")
        for line in lines:
            terminalreporter.write_line(line)
