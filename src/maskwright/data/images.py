"""Decoding picture files: images to uint8 as `Bands` says, masks to raw label values; whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from maskwright.data.dataset import RGB, Bands
from maskwright.data.decoding import decoding, open_picture, read_bytes
from maskwright.data.deep import TIFF_STARTS, TURNED, Head, decode_deep, decode_tiff, num_pictures, tiff_head, without_fill
from maskwright.errors import DataError, listed

_PAGED = {"GIF", "TIFF", "WEBP", "PNG"}  # not JPEG: what cameras put behind the picture are previews of it
_DEEP_MODES = {"I", "F", "I;16", "I;16B", "I;16L", "I;16N"}


def decode_image(data: bytes, path: Path, bands: Bands = RGB) -> np.ndarray:
    """Bytes of an image file → H W C uint8, turned upright as its EXIF says."""
    return to_uint8(decode_raw(data, path), bands, path)


def decode_raw(data: bytes, path: Path) -> np.ndarray:
    """Bytes of an image file → H W C in the file's own depth: RGB for ordinary pictures, every band of a many-band TIFF."""
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
        colours = upright if upright.mode == "RGB" else upright.convert("RGB")  # convert copies even what is RGB already
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
        raise DataError(f"`{path}` must have the bands {wanted}; it has {raw.shape[2]}. Set data.bands, or replace the file.")
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
        _refuse_pages(image, data, path)
        yield image


def _refuse_pages(image: Image.Image, data: bytes, path: Path) -> None:
    """Of several pages or frames only the first would be read, without a word."""
    count = getattr(image, "n_frames", 1) if image.format in _PAGED else 1
    if count > 1 and image.format == "TIFF":
        count = num_pictures(data) or count
    if count > 1:
        raise DataError(f"`{path}` must hold one picture; got {count} pages. Save the one that is meant as a file of its own.")


def whole_numbers(values: np.ndarray, path: Path) -> np.ndarray:
    """Values as uint8 or uint16, if they are labels: whole numbers from 0 to 65535."""
    with np.errstate(invalid="ignore"):  # some NaN complain
        whole = values.dtype.kind != "f" or (values == np.round(values)).all()
    if not whole:
        raise DataError(f"`{path}` must hold whole numbers as labels; got fractions. Save labels as integers.")
    if values.min() < 0 or values.max() > 65535:
        raise DataError(f"`{path}` must hold labels from 0 to 65535; got {values.min()} to {values.max()}. Renumber them.")
    return values.astype(np.uint8 if values.max() < 256 else np.uint16)
