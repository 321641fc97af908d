"""A tab of the system's Chromium, without a window, for tests of pages; a skip where there is none."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

api = pytest.importorskip("playwright.sync_api", reason="pages are looked at through Playwright")

FOUND = os.environ.get("CVSR_CHROMIUM") or next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)


@contextmanager
def running() -> Iterator[object]:
    """Give a browser. While it runs, asyncio cannot run in this process."""
    if FOUND is None:
        pytest.skip("there is no Chromium: apt install chromium, or name one with CVSR_CHROMIUM")
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=FOUND, args=["--no-sandbox"])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def tab(browser, width: int = 1280, height: int = 900, **options) -> Iterator[object]:
    """Give a page; fail at the end if it logged an error or asked for anything but file:, data:, blob: or loopback."""
    problems: list[str] = []

    def asked(request) -> None:
        if not request.url.startswith(("file:", "data:", "blob:", "http://127.0.0.1:")):
            problems.append(f"asked for {request.url}")

    context = browser.new_context(viewport={"width": width, "height": height}, **options)
    page = context.new_page()
    page.on("console", lambda message: message.type == "error" and problems.append(message.text))
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", asked)
    page.problems = problems
    try:
        yield page
    finally:
        context.close()
    assert not problems, problems


def until(page, expression: str, seconds: float = 300) -> None:
    """Wait until a JavaScript expression is true. Playwright's own way to wait is what the pages' policies forbid."""
    end = time.monotonic() + seconds
    while not page.evaluate(expression):
        assert time.monotonic() < end, f"not within {seconds} seconds: {expression}"
        page.wait_for_timeout(30)
