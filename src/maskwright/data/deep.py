"""Pictures beyond 8 bits and three bands: 16-bit PNG, TIFF of any depth and number of bands."""

from __future__ import annotations

import io
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

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


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's remarks on odd EXIF and palettes change nothing here.

    Filters belong to the process, and threads that set and restore them leave each other's behind
    (https://docs.python.org/3.11/library/warnings.html#temporarily-suppressing-warnings): only the main thread does.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def tiff_head(source: bytes | Path, path: Path) -> Head | None:
    """The head of a TIFF by tifffile, which knows depths and bands Pillow does not; None where it can't read it."""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source) as tiff:
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
            return Head(height, width, channels, "uint8" if dtype == "bool" else dtype, orientation, several)
    except Exception:  # noqa: BLE001 - tifffile raises whatever it stumbles over; Pillow then says what is wrong
        return None


def num_pictures(data: bytes) -> int:
    """How many pictures a TIFF holds; smaller copies and masks of one, as maps have them, do not count. 0: unknown"""
    import tifffile

    try:
        with tifffile.TiffFile(io.BytesIO(data)) as tiff:
            return sum(not page.subfiletype & 5 for page in tiff.pages)  # pyright: ignore
    except Exception:  # noqa: BLE001 - tifffile raises whatever it stumbles over; Pillow's count stands then
        return 0


def decode_tiff(data: bytes, path: Path) -> np.ndarray:
    """Every band of a TIFF in its own depth. → H W C"""
    import tifffile

    try:
        with quiet(), tifffile.TiffFile(io.BytesIO(data)) as tiff:
            series, orientation = tiff.series[0], tiff.pages[0].tags.get("Orientation")  # pyright: ignore
            values, axes = series.asarray(), series.axes
            pictures = sum(not one.keyframe.subfiletype & 5 for one in tiff.series)  # pyright: ignore
    except Exception as error:  # noqa: BLE001 - compressions tifffile lacks a decoder for, and whatever else it stumbles over
        return decode_deep(data, path, 1, error)
    if pictures > 1:
        raise DataError(f"`{path}` must hold one picture; got {pictures} of different kinds. Save the one that is meant alone.")
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim == 3 and axes[-1] not in "SC" and values.shape[0] < values.shape[-1]:
        values = np.moveaxis(values, 0, -1)  # bands one after the other, or a page a band
    elif values.ndim != 3:
        raise DataError(f"`{path}` must be one picture; got {values.shape} values ({axes}). Save one picture a file.")
    return turn(np.ascontiguousarray(values), int(orientation.value) if orientation else 1)


def decode_deep(data: bytes, path: Path, orientation: int, cause: Exception | None = None) -> np.ndarray:
    """OpenCV reads what has more than 8 bits a channel. → H W C"""
    import cv2

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
