"""Which bands of the images the network sees and how their tones become 8 bits: decided once, kept in the run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from maskwright.config.data import DataConfig
from maskwright.data.dataset import RGB, Bands, Record
from maskwright.data.deep import Head
from maskwright.data.raw import read_head, read_raw_image
from maskwright.errors import DataError, listed

_SAMPLED = 32  # images looked at for their tones; more change the percentiles little
_PERCENTILES = (0.1, 99.9)  # a few dead or blinding pixels must not decide the contrast


def read_heads(records: Sequence[Record]) -> list[Head | None]:
    """The head of every image; None where it cannot be read, which is told with everything else when files are looked at."""
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
        return Bands(chosen, (low,) * len(chosen), (high,) * len(chosen), f"{low:g} to {high:g} become 0 to 255, as configured")
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
        taken.append(flat[rng.integers(0, len(flat), min(len(flat), 20_000))].astype(np.float64) if len(flat) else flat[:0])
    values = np.concatenate(taken) if taken else np.zeros((1, max(chosen) + 1))
    values = values[np.isfinite(values).all(axis=1)]
    low, high = np.percentile(values, _PERCENTILES, axis=0) if len(values) else np.zeros((2, max(chosen) + 1))
    high = np.where(high > low, high, low + 1)
    lows, highs = tuple(float(low[band]) for band in chosen), tuple(float(high[band]) for band in chosen)
    share = _PERCENTILES[1] - _PERCENTILES[0]
    told = f"{min(lows):.4g} to {max(highs):.4g}, where {share:g} % of the pixels lie, become 0 to 255"
    return Bands(chosen, lows, highs, f"{told}, band by band")


def _mixed(wish: str, kinds: Sequence[tuple[Record, str]], fix: str) -> str:
    count = Counter(kind for _, kind in kinds)
    rarest = min(count, key=lambda kind: count[kind])
    names = [record.image.name for record, kind in kinds if kind == rarest]
    return f"images must have {wish}; got {listed(sorted(count))}: {rarest} in {listed(names)}. {fix}"
