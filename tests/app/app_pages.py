"""Apps to ask: in this process, or on a port of this machine; and bodies for them."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image
from starlette.testclient import TestClient

from maskwright.app.server import create_app
from maskwright.data.record import read_split
from maskwright.runs import Run
from support import finished, on_loopback

JS = Path(__file__).parent / "js"
AXE = JS / "node_modules/axe-core/axe.min.js"  # brought by npm install --prefix tests/app/js, as make test does


def assert_accessible(page: Any, *schemes: str) -> None:
    """axe-core finds nothing wrong with a browser's page as it is now, in light and in dark."""
    if not AXE.is_file():
        return
    for scheme in schemes or ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        if not page.evaluate("'axe' in window"):
            page.evaluate(AXE.read_text())
        found = page.evaluate("axe.run(document, {resultTypes: ['violations']})")["violations"]
        told = [(each["id"], [node["html"][:200] for node in each["nodes"]]) for each in found]
        assert not told, (page.url, scheme, told)


def client_of(runs: Path, folder: Path | None = None, **options) -> TestClient:
    """A browser's page of an app, less the network."""
    return TestClient(create_app(runs, folder, **options), base_url="http://127.0.0.1")


@contextlib.contextmanager
def served(runs: Path, folder: Path | None = None, port: int = 0, **options) -> Iterator[httpx.Client]:
    """The app on a port of this machine, for what a test client cannot do: many connections, and answers that go on."""
    with on_loopback(create_app(runs, folder, **options), port) as client:
        yield client


def first_image(split: str = "test") -> tuple[str, np.ndarray, np.ndarray]:
    """A split's first image: its id in the app, its pixels and its truth."""
    document = Run.open(finished()).data
    place = 0
    for name, entries in document["splits"].items():
        if name == split:
            _, pixels, truth = next(read_split(document, split))
            return str(place), pixels, truth
        place += len(entries)
    raise AssertionError(split)


def grey(answer) -> np.ndarray:
    """The pixels of a picture that was answered."""
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))


def png(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def wait_for(ask, until, seconds: float = 240.0):
    """Ask until the answer is as it should be."""
    end = time.monotonic() + seconds
    while not until(found := ask()):
        assert time.monotonic() < end, found
        time.sleep(0.05)
    return found
