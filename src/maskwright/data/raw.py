"""A record as its files have it: the image as uint8, the mask as raw values, and the hashes of both.

Raw masks are kept as small codes: `codes[y, x]` is a place in `values`, whatever the values are (labels, 16-bit
numbers, colours), so one byte a pixel is enough before anybody has decided what the values mean.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from maskwright.data.dataset import IGNORE, RGB, Bands, ClassMap, Record
from maskwright.data.decoding import decoding, read_bytes
from maskwright.data.deep import Head
from maskwright.data.forms import load_mask
from maskwright.data.images import decode_raw, finite_pixels, image_head, to_uint8
from maskwright.data.masks import labels_of
from maskwright.data.rasters import pixels_digest, raster_facts, raster_pixels
from maskwright.errors import DataError, listed

NO_DATA = -1  # among a mask's values: the image says that there is nothing here
MOST_VALUES = 256


@dataclass(frozen=True)
class Raw:
    """One record read: image H W C uint8, codes H W uint8, and for each code its value and number of pixels."""

    image: np.ndarray
    codes: np.ndarray
    values: tuple[int, ...]
    pixels: tuple[int, ...]
    hashes: tuple[str, str]
    claimed_twice: int = 0

    @property
    def counts(self) -> dict[int, int]:
        """Pixels of each value that occurs, nodata aside."""
        return {value: count for value, count in zip(self.values, self.pixels, strict=True) if count and value != NO_DATA}


def read_record(record: Record, bands: Bands = RGB, hashed: bool = True) -> Raw:
    """Read image and mask once each; stops where they do not fit together. Hashes take time, and are empty if not `hashed`."""
    image, valid, image_digest = read_image(record, bands)
    mask = load_mask(record, image.shape[:2])
    if image.shape[:2] != mask.raw.shape:
        sizes = f"{image.shape[1]}x{image.shape[0]} and {mask.raw.shape[1]}x{mask.raw.shape[0]}"
        fix = "Make the mask anew at the image's size."
        raise DataError(f"`{record.mask}` must have its image's size; image and mask are {sizes}. {fix}")
    if mask.valid is not None:
        valid = mask.valid if valid is None else valid & mask.valid
    codes, values, pixels = compact(mask.raw, valid, record)
    hashes = (image_digest(), mask.digest) if hashed else ("", "")
    return Raw(image, codes, values, pixels, hashes, mask.claimed_twice)


def read_image(record: Record, bands: Bands = RGB) -> tuple[np.ndarray, np.ndarray | None, Callable[[], str]]:
    """Image H W C uint8, which pixels hold data (None: all), and what gives the file's hash."""
    if record.form.kind == "raster":
        raw, valid = raster_pixels(record.image, record.window)
        return to_uint8(raw, bands, record.image), valid, lambda: pixels_digest(raw, valid)
    data = read_bytes(record.image)
    raw = decode_raw(data, record.image)
    with decoding(record.image, "image"):  # spreading tones takes more memory than decoding
        return to_uint8(raw, bands, record.image), finite_pixels(raw), lambda: hashlib.sha256(data).hexdigest()


def read_raw_image(record: Record) -> tuple[np.ndarray, np.ndarray | None]:
    """Image H W C in its own depth with all bands, and which pixels hold data (None: all)."""
    if record.form.kind == "raster":
        return raster_pixels(record.image, record.window)
    raw = decode_raw(read_bytes(record.image), record.image)
    return raw, finite_pixels(raw)


def read_head(record: Record) -> Head:
    """Size, bands and depth of a record's image."""
    if record.form.kind == "raster":
        return raster_facts(record.image, record.window).head
    return image_head(record.image)


_COMMON = (*range(8), 255)  # what most masks hold


def _counted(raw: np.ndarray) -> np.ndarray:
    """Pixels of each of the 256 values; where a few common ones are all, in a third of the time. H W uint8"""
    highest = raw.max(initial=0)
    found = np.zeros(256, np.int64)
    for value in _COMMON:
        if value <= highest:
            found[value] = np.count_nonzero(raw == value)
    return found if found.sum() == raw.size else np.bincount(raw.ravel(), minlength=256)


def compact(raw: np.ndarray, valid: np.ndarray | None, record: Record) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
    """Raw values as codes of one byte, the value of each code and its number of pixels."""
    if raw.dtype == np.uint8 and valid is None:
        return raw, tuple(range(256)), tuple(_counted(raw).tolist())
    numbers = raw.astype(np.int64) if valid is None else np.where(valid, raw.astype(np.int64), NO_DATA)
    flat = numbers.ravel()
    # masks are made of long runs: sorting one value a run instead of every pixel is many times faster
    starts = np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1]) if flat.size else np.zeros(0, np.int64)
    lengths = np.diff(np.append(starts, flat.size))
    values, inverse = np.unique(flat[starts], return_inverse=True)
    if len(values) > MOST_VALUES:
        some = listed(values[:4].tolist(), "and")
        raise DataError(
            f"`{record.mask}` must hold at most {MOST_VALUES} different values; got {len(values)} ({some}, …). "
            "Is it a photograph, or colours smoothed by JPEG? See maskwright check."
        )
    codes = np.repeat(inverse.astype(np.uint8), lengths).reshape(raw.shape)
    pixels = np.bincount(inverse, weights=lengths, minlength=len(values)).astype(np.int64)
    return codes, tuple(values.tolist()), tuple(pixels.tolist())


def code_labels(classes: ClassMap, values: tuple[int, ...]) -> np.ndarray:
    """For each code the class number its value stands for; nodata and unknown values become IGNORE.

    Unknown values must have been refused before: here they only stand for codes no pixel has.
    """
    table = np.full(256, IGNORE, np.uint8)
    table[: len(values)] = labels_of(classes, values)
    return table
