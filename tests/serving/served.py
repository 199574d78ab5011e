"""A server on a free port of this machine, in a thread, and a client of it."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Iterator

import httpx
import numpy as np
from PIL import Image

from maskwright.data.dataset import RGB, Bands, ClassMap
from maskwright.data.geometry import View
from maskwright.prediction.network import Network
from maskwright.serving.server import Settings, create_app
from support import on_loopback

Forward = Callable[[np.ndarray], np.ndarray]


def bright(images: np.ndarray) -> np.ndarray:
    """Two classes: what is brighter than half is foreground. N h w C → N 2 h w"""
    share = images.astype(np.float32).mean(axis=3) / 255
    return np.stack([1 - share, share], axis=1)


def network(
    forward: Forward = bright, view: View | None = None, bands: Bands = RGB, any_depth: bool = False
) -> Network:
    """A network whose answers are known, without one that was trained; it sees images at their own scale."""
    classes = ClassMap(("sky", "sun"), (0, 1))
    return Network(
        name="tiny", forward=forward, view=view or View("crop", 64), classes=classes, bands=bands, any_depth=any_depth
    )


@contextlib.contextmanager
def serving(served: Network, settings: Settings = Settings()) -> Iterator[httpx.Client]:  # noqa: B008 - it is frozen
    with on_loopback(create_app(served, settings)) as client:
        yield client


def png(pixels: np.ndarray, format: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format)
    return buffer.getvalue()


def sun(height: int = 24, width: int = 32) -> np.ndarray:
    """A dark picture with a bright rectangle in rows 5 to 11, columns 8 to 19."""
    image = np.full((height, width, 3), 20, np.uint8)
    image[5:12, 8:20] = 250
    return image


def mask_of(answer: httpx.Response) -> np.ndarray:
    assert answer.status_code == 200, answer.text
    return np.asarray(Image.open(io.BytesIO(answer.content)))
