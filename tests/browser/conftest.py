"""Chromium, one server for all, and a function for lines that are printed at the end."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

import lab

#: Set by CI: without Chromium the tests fail instead of being skipped.
REQUIRE = "MOBILELAB_REQUIRE_BROWSER"


@pytest.fixture
def printed(request):
    """For lines that ``tests/conftest.py`` prints at the end of the test run."""
    return lambda line: request.node.user_properties.append(("printed", line))


@pytest.fixture(scope="module")  # Playwright keeps an event loop running until it is stopped
def chromium():
    if lab.CHROMIUM is None:
        message = "No Chromium found; install Debian's package chromium to run the browser tests."
        if os.environ.get(REQUIRE):
            pytest.fail(message)
        pytest.skip(message)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=lab.CHROMIUM, args=lab.ARGUMENTS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def server(chromium, tmp_path_factory):
    running = lab.Server(tmp_path_factory.mktemp("jupyter"))
    yield running
    running.stop()


@pytest.fixture
def page(chromium):
    context = chromium.new_context(viewport={"width": 1250, "height": 1500})
    page = context.new_page()
    page.set_default_timeout(20_000)
    yield page
    context.close()
