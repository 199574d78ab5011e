"""A record as its files have it: the image as uint8, the mask as raw values, and the hashes of both.

Raw masks are kept as small codes: `codes[y, x]` is a place in `values`, whatever the values are (labels, 16-bit
numbers, colours), so one byte a pixel is enough before anybody has decided what the values mean. Which bands of the
images the network sees, and how their tones become 8 bits, is decided once and kept in the run.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, RGB, Bands, ClassMap, Record
from maskwright.data.decoding import decoding, read_bytes
from maskwright.data.forms import load_mask
from maskwright.data.images import Head, decode_raw, finite_pixels, image_head, to_uint8
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
        return {
            value: count for value, count in zip(self.values, self.pixels, strict=True) if count and value != NO_DATA
        }


def read_record(record: Record, bands: Bands = RGB, hashed: bool = True) -> Raw:
    """Read image and mask once each; stops where they do not fit together. Hashes are empty if not `hashed`."""
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


def compact(
    raw: np.ndarray, valid: np.ndarray | None, record: Record
) -> tuple[np.ndarray, tuple[int, ...], tuple[int, ...]]:
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


_SAMPLED = 32  # images looked at for their tones; more change the percentiles little
_PERCENTILES = (0.1, 99.9)  # a few dead or blinding pixels must not decide the contrast


def read_heads(records: Sequence[Record]) -> list[Head | None]:
    """The head of every image; None where it cannot be read, which is reported when all files are looked at."""
    heads: list[Head | None] = []
    for record in records:
        try:
            heads.append(read_head(record))
        except DataError:
            heads.append(None)
    return heads


def decide_bands(config: DataConfig, records: Sequence[Record], heads: Sequence[Head | None]) -> Bands:
    """RGB for ordinary pictures; every band of many-band files; deep tones spread by what the images hold."""
    known = [(record, head) for record, head in zip(records, heads, strict=True) if head is not None]
    depths = Counter(head.dtype for _, head in known)
    channels = Counter(head.channels for _, head in known)
    many = {count for count in channels if count not in (1, 3)}
    if len(depths) > 1 and config.tones is None:
        fix = "Convert them to one depth, or set data.tones to the values that become black and white."
        raise DataError(_mixed("the same depth", [(record, head.dtype) for record, head in known], fix))
    if many and len(channels) > 1 and config.bands is None:
        fix = "Name the bands all of them have with data.bands."
        raise DataError(_mixed("the same bands", [(record, str(head.channels)) for record, head in known], fix))
    chosen = _chosen(config, channels)
    deep = any(depth != "uint8" for depth in depths)
    if not deep and config.tones is None:
        if len(set(chosen)) == 1:
            grey = max(channels, default=1) == 1
            reason = "8 bits, grey, repeated to three channels" if grey else f"8 bits, band {chosen[0] + 1} alone"
        elif chosen == RGB.chosen and not many:
            reason = "8 bits, in colour"
        else:
            reason = f"8 bits, bands {listed([band + 1 for band in chosen], 'and', 20)}"
        return Bands(chosen, reason=reason)
    if config.tones is not None:
        low, high = config.tones
        return Bands(
            chosen, (low,) * len(chosen), (high,) * len(chosen), f"{low:g} to {high:g} become 0 to 255, as configured"
        )
    return _spread(chosen, [record for record, _ in known])


def _chosen(config: DataConfig, channels: Counter[int]) -> tuple[int, ...]:
    if config.bands is not None:
        return tuple(band - 1 for band in config.bands)
    widest = max(channels, default=3)
    return RGB.chosen if widest == 3 else (0, 0, 0) if widest == 1 and len(channels) == 1 else tuple(range(widest))


def _spread(chosen: tuple[int, ...], records: Sequence[Record]) -> Bands:
    """Percentiles of a sample of the images, band by band, over the whole data set: images stay comparable."""
    places = np.linspace(0, len(records) - 1, min(len(records), _SAMPLED)).astype(int)
    rng = np.random.default_rng(0)
    taken: list[np.ndarray] = []
    for place in places:
        try:
            pixels, valid = read_raw_image(records[place])
        except DataError:
            continue
        flat = pixels.reshape(-1, pixels.shape[2]) if valid is None else pixels[valid]
        taken.append(
            flat[rng.integers(0, len(flat), min(len(flat), 20_000))].astype(np.float64) if len(flat) else flat[:0]
        )
    values = np.concatenate(taken) if taken else np.zeros((1, max(chosen) + 1))
    values = values[np.isfinite(values).all(axis=1)]
    low, high = np.percentile(values, _PERCENTILES, axis=0) if len(values) else np.zeros((2, max(chosen) + 1))
    high = np.where(high > low, high, low + 1)
    lows, highs = tuple(float(low[band]) for band in chosen), tuple(float(high[band]) for band in chosen)
    share = _PERCENTILES[1] - _PERCENTILES[0]
    detail = f"{min(lows):.4g} to {max(highs):.4g}, where {share:g} % of the pixels lie, become 0 to 255"
    return Bands(chosen, lows, highs, f"{detail}, band by band")


def _mixed(wish: str, kinds: Sequence[tuple[Record, str]], fix: str) -> str:
    count = Counter(kind for _, kind in kinds)
    rarest = min(count, key=lambda kind: count[kind])
    names = [record.image.name for record, kind in kinds if kind == rarest]
    return f"images must have {wish}; got {listed(sorted(count))}: {rarest} in {listed(names)}. {fix}"
