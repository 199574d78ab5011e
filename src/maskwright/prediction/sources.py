"""Images to be predicted, by rows: pictures are decoded whole, rasters and large TIFF files are read by windows.

with load_source(path, bands, any_depth) as source:
    source.read(0, 512)                       # rows 0 … 511 as the network sees them, H W C uint8
"""

from __future__ import annotations

import contextlib
import math
from collections import deque
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from maskwright.data.dataset import Bands
from maskwright.data.decoding import MOST_IN_TIFF, decoding, read_bytes, validate_claimed_size
from maskwright.data.images import TIFF_STARTS, open_tiff, tiff_head, to_uint8
from maskwright.data.pictures import shown
from maskwright.data.rasters import georeferenced, opened, rasterio_for, read_window
from maskwright.prediction.prediction import read_pixels, refuse_other_kind

_LARGE_TIFF = 1 << 27  # decoded bytes from which a TIFF that lies nowhere is read by windows, too
_CACHE = 128 << 20  # bytes of blocks that GDAL keeps, of what is read and of what is written
_MOST_SHOWN = 1 << 21  # pixels of a raster's overlay: one of all its pixels would take more memory than predicting it
_PLAIN = (1, 2)  # photometric interpretations of TIFF whose values are the colours: black is zero, RGB


class Picture:
    """An image in memory."""

    raster: Any = None
    step = 1

    def __init__(self, pixels: np.ndarray, valid: np.ndarray | None) -> None:
        self.pixels, self._valid = pixels, valid
        self.height, self.width = pixels.shape[:2]

    def read(self, top: int, bottom: int) -> np.ndarray:
        return self.pixels[top:bottom]

    def valid(self, top: int, bottom: int) -> np.ndarray | None:
        """Where rows hold data; None: everywhere."""
        return None if self._valid is None else self._valid[top:bottom]

    def small(self) -> np.ndarray:
        """Every `step`-th pixel for people to look at. → h w 3 uint8"""
        return shown(self.pixels)

    def __enter__(self) -> Picture:
        return self

    def __exit__(self, *_: object) -> None:
        pass


class Raster:
    """A TIFF that is read by windows while it is open; from the top on, as tiles ask for it."""

    raster: Any
    height: int
    width: int

    def __init__(self, path: Path, bands: Bands, any_depth: bool) -> None:
        self.path, self.bands, self.any_depth = path, bands, any_depth
        self._open = ExitStack()
        self._where: deque[tuple[int, np.ndarray | None, int]] = deque()  # top, where there is data, number of rows

    def __enter__(self) -> Raster:
        rasterio = rasterio_for(self.path)
        self._open.enter_context(rasterio.Env(GDAL_CACHEMAX=_CACHE))  # else a twentieth of the machine's memory
        self.raster = self._open.enter_context(opened(self.path))
        self.height, self.width = self.raster.height, self.raster.width
        shape = (self.height, self.width, self.raster.count)
        validate_claimed_size(self.path, shape, self.path.stat().st_size, MOST_IN_TIFF)
        self.step = max(1, math.ceil(math.sqrt(self.height * self.width / _MOST_SHOWN)))
        self._small = np.zeros((-(-self.height // self.step), -(-self.width // self.step), 3), np.uint8)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._open.__exit__(kind, error, trace)

    def read(self, top: int, bottom: int) -> np.ndarray:
        with decoding(self.path, "raster"):
            raw, valid = read_window(self.raster, ((top, bottom), (0, self.width)))
        if not self.any_depth:
            refuse_other_kind(raw, self.bands, self.path)
        pixels = to_uint8(raw, self.bands, self.path)
        self._where.append((top, valid, bottom - top))
        first = -top % self.step
        if rows := pixels[first :: self.step, :: self.step].shape[0]:
            at = (top + first) // self.step
            self._small[at : at + rows] = shown(pixels[first :: self.step, :: self.step])
        return pixels

    def valid(self, top: int, bottom: int) -> np.ndarray | None:
        """Where rows that were read hold data; those above them are forgotten."""
        while self._where and self._where[0][0] + self._where[0][2] <= top:
            self._where.popleft()
        found = np.ones((bottom - top, self.width), bool)
        for start, valid, rows in self._where:
            low, high = max(top, start), min(bottom, start + rows)
            if valid is not None and low < high:
                found[low - top : high - top] = valid[low - start : high - start]
        return None if found.all() else found

    def small(self) -> np.ndarray:
        return self._small


Source = Picture | Raster


def load_source(path: Path, bands: Bands, any_depth: bool) -> Source:
    """A picture decoded, or a raster to be opened."""
    if path.is_file() and (georeferenced(path) or _is_large_tiff(path)):
        return Raster(path, bands, any_depth)
    pixels, valid, _ = read_pixels(path, bands, any_depth)
    return Picture(pixels, valid)


def _is_large_tiff(path: Path) -> bool:
    """Whether a TIFF is large, and so plain that rasterio, which must be there, reads the same values as we do."""
    if read_bytes(path, 4) not in TIFF_STARTS:
        return False
    head = tiff_head(path)
    if head is None or head.orientation != 1 or head.pages != 1:
        return False
    if math.prod((head.height, head.width, head.channels)) * np.dtype(head.dtype).itemsize < _LARGE_TIFF:
        return False
    with contextlib.suppress(Exception), open_tiff(path) as tiff:
        import rasterio  # noqa: F401

        return len(tiff.series) == 1 and int(tiff.pages[0].photometric) in _PLAIN  # pyright: ignore
    return False
