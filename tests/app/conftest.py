"""A folder of runs with one that was scored, and the app over it; made once."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app_pages import client_of

from support import data, evaluated, finished


@pytest.fixture(scope="session")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one run, scored on test and val. Not to be changed."""
    assert evaluated().code == 0, evaluated().err
    folder = tmp_path_factory.mktemp("app") / "runs"
    shutil.copytree(finished(), folder / "first")
    return folder


@pytest.fixture(scope="session")
def page(runs: Path):
    """The app over `runs` and the data they were trained on."""
    with client_of(runs, data()) as client:
        yield client


@pytest.fixture(scope="module")  # not for longer: an event loop is running as long as it is there
def chromium() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]' brings playwright")
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as started:
        try:
            browser = started.chromium.launch(executable_path=found, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no Chromium: run `playwright install chromium` ({str(error).splitlines()[0]})")
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium) -> Iterator[Callable[..., Any]]:
    """Opens an address in a new window; at the end nothing may have been said on any window's console."""
    said: list[str] = []
    opened = []

    def visit(base: object, at: str, quiet: str = "Canvas2D", **options: Any) -> Any:
        context = chromium.new_context(
            **{"viewport": {"width": 1366, "height": 768}, "accept_downloads": True} | options
        )
        opened.append(context)
        page = context.new_page()
        page.set_default_timeout(30_000)
        page.on(
            "console",
            lambda line: (
                line.type in ("error", "warning") and not re.search(quiet, line.text) and said.append(line.text)
            ),
        )
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{str(base).rstrip('/')}/{at}")
        return page

    yield visit
    for context in opened:
        context.close()
    assert not said
