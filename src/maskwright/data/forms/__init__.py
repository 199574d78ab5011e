"""How masks are kept: one file a form, each giving the same raw values and a hash of what they came from.

To add one: a file here with `load(record, size) -> LoadedMask`, and a line in `FORMS`. Readers name the form of
each record; `values` says what the raw values mean, as for any picture.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import decoding
from maskwright.data.forms import coco, labelme, pictures
from maskwright.data.forms.pictures import LoadedMask

# name → (record, (height, width) of its upright image) → raw values and hash
FORMS: dict[str, Callable[[Record, tuple[int, int]], LoadedMask]] = {
    "picture": pictures.load,
    "colour": pictures.load_colours,
    "coco": coco.load,
    "labelme": labelme.load,
    "instances": pictures.load_instances,
    "raster": pictures.load_raster,
}


def load_mask(record: Record, size: tuple[int, int]) -> LoadedMask:
    """The raw values of a record's mask, with its own remapping done. → H W uint8, uint16 or uint32 (colours)"""
    with decoding(record.mask, "mask"):
        loaded = FORMS[record.form.kind](record, size)
    if not record.form.remap:
        return loaded
    wide = loaded.raw.dtype == np.uint8 and max(meant for _, meant in record.form.remap) > 255
    raw = loaded.raw.astype(np.uint16) if wide else loaded.raw.copy()
    for value, meant in record.form.remap:
        raw[loaded.raw == value] = meant
    return replace(loaded, raw=raw)


__all__ = ["FORMS", "LoadedMask", "load_mask"]
