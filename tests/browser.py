"""A real browser for tests: Debian's Chromium through Playwright, which is given as long as a busy machine needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright import sync_api as playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NO_CHROMIUM = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

PATIENCE_MS = 240_000
"""Until a test gives up on something to appear, which nobody waits for where all is well."""


@contextmanager
def browsing(**options: Any) -> Iterator[Any]:
    """A browser with a context of these options."""
    with playwright.sync_playwright() as started:
        # Chromium's own sandbox does not work for root, nor in most containers. It only meets our own page here.
        launched = {"executable_path": CHROMIUM, "args": ["--no-sandbox"], "timeout": PATIENCE_MS}
        browser = started.chromium.launch(**launched)
        context = browser.new_context(**options)
        context.set_default_timeout(PATIENCE_MS)
        yield context
        browser.close()


def wait_for(tab: Any, expression: str) -> None:
    """Wait until an expression is true. (Playwright's own way needs `eval`, which the page's policy forbids.)"""
    while not tab.evaluate(expression):
        tab.wait_for_timeout(50)
