"""Pictures beyond 8 bits and three bands: 16-bit PNG, TIFF of any depth and number of bands."""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.decoding import MOST_IN_TIFF, decoding, quiet, refuse_too_large
from maskwright.errors import DataError

TIFF_STARTS = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
TURNED = (5, 6, 7, 8)  # EXIF orientations that swap height and width


@dataclass(frozen=True)
class Head:
    """What a file says of itself before any pixel is decoded; height and width are those of the upright picture."""

    height: int
    width: int
    channels: int = 3
    dtype: str = "uint8"
    orientation: int = 1
    pages: int = 1  # of a TIFF that keeps a band a page


def open_tiff(source: bytes | Path) -> Any:
    """A TIFF by tifffile, which knows depths and bands Pillow does not."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong is told once, by us
    # a file may name others that belong to it: none is opened for that
    return tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source, _multifile=False)


def tiff_head(path: Path, data: bytes | None = None) -> Head | None:
    """The head of a TIFF, from its bytes where they are at hand; None where it can't be read. One that lies is refused."""
    try:
        with open_tiff(path if data is None else data) as tiff:
            page = tiff.pages[0]
            orientation = int(page.tags["Orientation"].value) if "Orientation" in page.tags else 1  # pyright: ignore
            alpha = page.extrasamples and int(page.extrasamples[0]) in (1, 2) and page.samplesperpixel in (2, 4)  # pyright: ignore
            several = len(tiff.pages) if len(tiff.series) == 1 and tiff.series[0].ndim == 3 and page.samplesperpixel == 1 else 1  # pyright: ignore
            channels = (page.samplesperpixel - 1 if alpha else page.samplesperpixel) * several  # pyright: ignore
            height, width = (page.imagelength, page.imagewidth)  # pyright: ignore
            if orientation in TURNED:
                height, width = width, height
            dtype = str(page.dtype or "uint8")  # pyright: ignore
            inks = page.photometric == 5 and page.samplesperpixel == 4 and dtype == "uint8"  # pyright: ignore
            channels = 3 if inks or page.photometric == 3 else channels  # pyright: ignore - CMYK and palettes are colours
            head = Head(height, width, channels, "uint8" if dtype == "bool" else dtype, orientation, several)
    except Exception:  # noqa: BLE001 - tifffile raises whatever it stumbles over; Pillow then says what is wrong
        return None
    stored = path.stat().st_size if data is None else len(data)
    refuse_too_large(path, (head.height, head.width, head.channels), np.dtype(head.dtype).itemsize, stored, MOST_IN_TIFF)
    return head


def num_pictures(data: bytes) -> int:
    """How many pictures a TIFF holds; smaller copies and masks of one, as maps have them, do not count. 0: unknown"""
    try:
        with open_tiff(data) as tiff:
            return sum(not page.subfiletype & 5 for page in tiff.pages)  # pyright: ignore
    except Exception:  # noqa: BLE001 - tifffile raises whatever it stumbles over; Pillow's count stands then
        return 0


def decode_tiff(data: bytes, path: Path, head: Head) -> np.ndarray:
    """Every band of a TIFF in its own depth. → H W C"""
    try:
        with quiet(), open_tiff(data) as tiff:
            series = tiff.series[0]
            refuse_too_large(path, series.shape, series.dtype.itemsize, len(data), MOST_IN_TIFF)
            if any(map(_lacks_parts, series.pages)):
                raise ValueError("its table of parts is shorter than the picture")  # tifffile would read zeros there
            values, axes = series.asarray(), series.axes
            pictures = sum(not one.keyframe.subfiletype & 5 for one in tiff.series)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - compressions tifffile lacks a decoder for, and whatever else it stumbles over
        return decode_deep(data, path, head.orientation, error)
    if values.dtype.kind not in "buif":
        raise DataError(f"`{path}` must hold real numbers; got {values.dtype}. Export it as whole or floating-point numbers.")
    if pictures > 1:
        raise DataError(f"`{path}` must hold one picture; got {pictures} of different kinds. Save the one that is meant alone.")
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim == 3 and axes[-1] not in "SC" and values.shape[0] < values.shape[-1]:
        values = np.moveaxis(values, 0, -1)  # bands one after the other, or a page a band
    elif values.ndim != 3:
        raise DataError(f"`{path}` must be one picture; got {values.shape} values ({axes}). Save one picture a file.")
    return turn(np.ascontiguousarray(values), head.orientation)


def _lacks_parts(page: Any) -> bool:
    return page is None or not (page.keyframe.is_contiguous or len(page.dataoffsets) >= math.prod(page.keyframe.chunked))


def decode_deep(data: bytes, path: Path, orientation: int, cause: Exception | None = None) -> np.ndarray:
    """OpenCV reads what has more than 8 bits a channel. → H W C"""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is told once, by us
    with decoding(path, "image"):
        values = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_UNCHANGED)
    if values is None:
        reason = str(cause).splitlines()[0][:160] if cause and str(cause) else "its pixels could not be decoded"
        raise DataError(f"`{path}` must be a whole, readable image; {reason}. Replace or remove it.")
    if values.ndim == 2:
        values = values[..., None]
    elif values.shape[2] in (3, 4):
        values = values[..., [2, 1, 0]]  # OpenCV's order is blue, green, red; opacity is left out, as for 8 bits
    return turn(np.ascontiguousarray(values), orientation)


def turn(values: np.ndarray, orientation: int) -> np.ndarray:
    """The upright picture of an EXIF orientation."""
    steps: dict[int, Callable[[np.ndarray], np.ndarray]] = {
        2: np.fliplr, 3: lambda v: np.rot90(v, 2), 4: np.flipud, 5: lambda v: np.swapaxes(v, 0, 1), 6: lambda v: np.rot90(v, -1),
        7: lambda v: np.rot90(np.swapaxes(v, 0, 1), 2), 8: np.rot90,
    }  # fmt: skip
    return np.ascontiguousarray(steps[orientation](values)) if orientation in steps else values


def without_fill(values: np.ndarray) -> np.ndarray:
    """Floats of ±3.4e38, the largest there are in 32 bits, as NaN: so many programs mark where there is no data, unnamed."""
    if values.dtype.kind == "f" and values.itemsize >= 4:
        size = np.abs(values)
        fill = size > 3.4028e38
        if values.itemsize > 4:
            fill &= size < 3.4029e38
        values = np.where(fill, np.nan, values) if fill.any() else values
    return values
