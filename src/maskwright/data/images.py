"""Decoding picture files: images to uint8 as `Bands` says, masks to raw label values; whole or not at all.

Beyond 8 bits and three bands (16-bit PNG, TIFF of any depth and number of bands) tifffile and OpenCV read them.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageOps

from maskwright.data.dataset import RGB, Bands
from maskwright.data.decoding import MOST_IN_TIFF, decoding, open_picture, quiet, read_bytes, validate_decoded_size
from maskwright.errors import DataError, listed

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

    logging.getLogger("tifffile").addHandler(logging.NullHandler())  # what is wrong is reported once, by us
    # a file may name others that belong to it: none is opened for that
    return tifffile.TiffFile(io.BytesIO(source) if isinstance(source, bytes) else source, _multifile=False)


def tiff_head(path: Path, data: bytes | None = None) -> Head | None:
    """The head of a TIFF, from its bytes where at hand; None where it can't be read. One that lies is refused."""
    try:
        with open_tiff(path if data is None else data) as tiff:
            page = tiff.pages[0]
            orientation = int(page.tags["Orientation"].value) if "Orientation" in page.tags else 1  # pyright: ignore
            of_colour = page.samplesperpixel in (2, 4)  # pyright: ignore
            alpha = page.extrasamples and int(page.extrasamples[0]) in (1, 2) and of_colour  # pyright: ignore
            several = (
                len(tiff.pages)
                if len(tiff.series) == 1 and tiff.series[0].ndim == 3 and page.samplesperpixel == 1
                else 1
            )  # pyright: ignore
            channels = (page.samplesperpixel - 1 if alpha else page.samplesperpixel) * several  # pyright: ignore
            height, width = (page.imagelength, page.imagewidth)  # pyright: ignore
            if orientation in TURNED:
                height, width = width, height
            dtype = str(page.dtype or "uint8")  # pyright: ignore
            inks = page.photometric == 5 and page.samplesperpixel == 4 and dtype == "uint8"  # pyright: ignore
            # CMYK and palettes are colours
            channels = 3 if inks or page.photometric == 3 else channels  # pyright: ignore
            head = Head(height, width, channels, "uint8" if dtype == "bool" else dtype, orientation, several)
    except Exception:  # noqa: BLE001 - tifffile raises whatever it stumbles over; Pillow then says what is wrong
        return None
    stored = path.stat().st_size if data is None else len(data)
    validate_decoded_size(
        path, (head.height, head.width, head.channels), np.dtype(head.dtype).itemsize, stored, MOST_IN_TIFF
    )
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
            validate_decoded_size(path, series.shape, series.dtype.itemsize, len(data), MOST_IN_TIFF)
            if any(map(_lacks_parts, series.pages)):
                raise ValueError("its table of parts is shorter than the picture")  # tifffile would read zeros there
            values, axes = series.asarray(), series.axes
            pictures = sum(not one.keyframe.subfiletype & 5 for one in tiff.series)
    except (DataError, MemoryError):
        raise
    except Exception as error:  # noqa: BLE001 - compressions tifffile cannot decode, and whatever it stumbles over
        return decode_deep(data, path, head.orientation, error)
    if values.dtype.kind not in "buif":
        raise DataError(
            f"`{path}` must hold real numbers; got {values.dtype}. Export it as whole or floating-point numbers."
        )
    if pictures > 1:
        raise DataError(
            f"`{path}` must hold one picture; got {pictures} of different kinds. Save the one that is meant alone."
        )
    if values.ndim == 2:
        values = values[..., None]
    elif values.ndim == 3 and axes[-1] not in "SC" and values.shape[0] < values.shape[-1]:
        values = np.moveaxis(values, 0, -1)  # bands one after the other, or a page a band
    elif values.ndim != 3:
        raise DataError(f"`{path}` must be one picture; got {values.shape} values ({axes}). Save one picture a file.")
    return turn(np.ascontiguousarray(values), head.orientation)


def _lacks_parts(page: Any) -> bool:
    return page is None or not (
        page.keyframe.is_contiguous or len(page.dataoffsets) >= math.prod(page.keyframe.chunked)
    )


def decode_deep(data: bytes, path: Path, orientation: int, cause: Exception | None = None) -> np.ndarray:
    """OpenCV reads what has more than 8 bits a channel. → H W C"""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # what is wrong is reported once, by us
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
        2: np.fliplr, 3: lambda v: np.rot90(v, 2), 4: np.flipud, 5: lambda v: np.swapaxes(v, 0, 1),
        6: lambda v: np.rot90(v, -1), 7: lambda v: np.rot90(np.swapaxes(v, 0, 1), 2), 8: np.rot90,
    }  # fmt: skip
    return np.ascontiguousarray(steps[orientation](values)) if orientation in steps else values


def without_fill(values: np.ndarray) -> np.ndarray:
    """Floats of ±3.4e38, the largest of 32 bits, as NaN: so many programs mark where there is no data, unnamed."""
    if values.dtype.kind == "f" and values.itemsize >= 4:
        size = np.abs(values)
        fill = size > 3.4028e38
        if values.itemsize > 4:
            fill &= size < 3.4029e38
        values = np.where(fill, np.nan, values) if fill.any() else values
    return values


_PAGED = {"GIF", "TIFF", "WEBP", "PNG"}  # not JPEG: what cameras put behind the picture are previews of it
_DEEP_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def decode_image(data: bytes, path: Path, bands: Bands = RGB) -> np.ndarray:
    """Bytes of an image file → H W C uint8, turned upright as its EXIF says."""
    return to_uint8(decode_raw(data, path), bands, path)


def decode_raw(data: bytes, path: Path) -> np.ndarray:
    """Bytes of an image file → H W C in its own depth: RGB for ordinary pictures, every band of a many-band TIFF."""
    head = tiff_head(path, data) if data[:4] in TIFF_STARTS else None
    if head and (head.dtype != "uint8" or head.channels not in (1, 3) or head.pages > 1):
        with decoding(path, "image"):
            return without_fill(decode_tiff(data, path, head))
    with _opened(data, path, "image") as image:
        deep = _has_deep_tiles(image)  # gone once it is loaded
        image.load()
        if image.mode in _DEEP_MODES or deep:  # Pillow would cut 16-bit colours to 8 without a word
            return without_fill(decode_deep(data, path, image.getexif().get(0x0112, 1)))
        upright = _upright(image)
        # convert copies even what is RGB already
        colours = upright if upright.mode == "RGB" else upright.convert("RGB")
        return np.array(colours)  # a copy, because Pillow's own cannot be written to and torch warns of that


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF says; what needs no turning is not copied."""
    ImageOps.exif_transpose(image, in_place=True)
    return image


def _has_deep_tiles(image: Image.Image) -> bool:
    return any("16" in str(tile[3]) for tile in getattr(image, "tile", []))


def to_uint8(raw: np.ndarray, bands: Bands, path: Path) -> np.ndarray:
    """The chosen bands with their tones spread over 0 to 255. H W C any depth → H W C uint8"""
    if raw.shape[2] == 1 and not bands.low and bands.num_channels == 3:
        raw = np.repeat(raw, 3, axis=2)
    if max(bands.chosen) >= raw.shape[2]:
        wanted = listed([band + 1 for band in bands.chosen], "and", 12)
        raise DataError(
            f"`{path}` must have the bands {wanted}; it has {raw.shape[2]}. Set data.bands, or replace the file."
        )
    if bands.chosen != tuple(range(raw.shape[2])):
        raw = raw[..., list(bands.chosen)]
    if not bands.low:
        if raw.dtype != np.uint8:
            fix = "Convert it, or set data.tones to the values that become black and white."
            raise DataError(f"`{path}` must be an 8-bit image like the others; got {raw.dtype}. {fix}")
        return np.ascontiguousarray(raw)
    precision = np.float64 if raw.dtype == np.float64 else np.float32  # which may hold no more than 3e38
    low, high = np.array(bands.low, precision), np.array(bands.high, precision)
    with np.errstate(all="ignore"):  # what is not finite is black, and has no label
        spread = (raw.astype(precision) - low) * (255 / (high - low))
    return np.clip(np.nan_to_num(spread, nan=0.0) + 0.5, 0, 255).astype(np.uint8)


def finite_pixels(raw: np.ndarray) -> np.ndarray | None:
    """Which pixels are numbers in every band, and so hold data (None: all). H W C → H W bool"""
    if raw.dtype.kind != "f" or (finite := np.isfinite(raw)).all():
        return None
    return np.asarray(finite.all(axis=2))


def decode_mask(data: bytes, path: Path) -> np.ndarray:
    """Bytes of a mask file → H W raw values (uint8 or uint16): palette indices, grey values, never colours."""
    with _opened(data, path, "mask") as image:
        image.load()
        image = _upright(image)
        if image.mode in ("P", "L", "1"):
            return np.asarray(image if image.mode != "1" else image.convert("L"))
        if image.mode in ("PA", "LA"):
            return np.asarray(image)[..., 0]
        values = np.asarray(image)
        if values.ndim == 2:
            return whole_numbers(values, path)
        channels = values[..., :3]
        if not (channels == channels[..., :1]).all():
            fix = "Save each class as one grey or palette value (0, 1, 2, …), or name the classes by their colours: "
            fix += """--data.classes '{background: "#000000", cat: "#ff0000"}'."""
            raise DataError(f"`{path}` must hold one value a pixel; got a colour picture (mode {image.mode}). {fix}")
        return np.ascontiguousarray(channels[..., 0])


def decode_colours(data: bytes, path: Path) -> np.ndarray:
    """Bytes of a colour mask → H W uint32, each colour as 0xRRGGBB."""
    with _opened(data, path, "mask") as image:
        image.load()
        rgb = np.asarray(_upright(image).convert("RGB")).astype(np.uint32)
        return (rgb[..., 0] << 16) | (rgb[..., 1] << 8) | rgb[..., 2]


def image_head(path: Path) -> Head:
    """Size, bands and depth from the file's head, without decoding pixels."""
    if read_bytes(path, 4) in TIFF_STARTS and (head := tiff_head(path)):
        return head
    with open_picture(path, path) as image:
        orientation = Image.Image.getexif(image).get(0x0112, 1)
        deep = image.mode in _DEEP_MODES or _has_deep_tiles(image)
        channels = 1 if image.mode in _DEEP_MODES or image.mode in ("1", "L", "LA") else 3
        turned = orientation in TURNED
        height, width = (image.width, image.height) if turned else (image.height, image.width)
        return Head(height, width, channels, "uint16" if deep else "uint8", orientation)


@contextmanager
def _opened(data: bytes, path: Path, kind: str) -> Iterator[Image.Image]:
    """A picture that is the only one in its file."""
    with open_picture(data, path, kind) as image:
        _reject_pages(image, data, path)
        yield image


def _reject_pages(image: Image.Image, data: bytes, path: Path) -> None:
    """Of several pages or frames only the first would be read, without a word."""
    count = getattr(image, "n_frames", 1) if image.format in _PAGED else 1
    if count > 1 and image.format == "TIFF":
        count = num_pictures(data) or count
    if count > 1:
        raise DataError(
            f"`{path}` must hold one picture; got {count} pages. Save the one that is meant as a file of its own."
        )


def whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """Values as uint8 or uint16, if they are labels: whole numbers from 0 to 65535."""
    with np.errstate(invalid="ignore"):  # some NaN complain
        whole = values.dtype.kind != "f" or (values == np.round(values)).all()
    if not whole:
        raise DataError(f"`{path}` must hold whole numbers as labels; got fractions. Save labels as integers.")
    if values.min() < 0 or values.max() > 65535:
        raise DataError(
            f"`{path}` must hold labels from 0 to 65535; got {values.min()} to {values.max()}. Renumber them."
        )
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)
