"""Masks that are picture files: grey values, palette indices, or colours."""

from __future__ import annotations

import hashlib

from maskwright.data.dataset import Record
from maskwright.data.decoding import read_bytes
from maskwright.data.forms.arrays import decode_array
from maskwright.data.forms.loaded import LoadedMask
from maskwright.data.images import decode_colours, decode_mask
from maskwright.data.layout import ARRAY_SUFFIXES
from maskwright.errors import DataError


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """Grey values or palette indices; what an array holds."""
    data = read_bytes(record.mask)
    if record.mask.suffix.lower() in ARRAY_SUFFIXES:
        return LoadedMask(decode_array(data, record.mask, size), lambda: hashlib.sha256(data).hexdigest())
    return LoadedMask(decode_mask(data, record.mask), lambda: hashlib.sha256(data).hexdigest())


def load_colours(record: Record, size: tuple[int, int]) -> LoadedMask:
    """Colours as numbers, 0xRRGGBB; a palette's colours too."""
    if record.mask.suffix.lower() in ARRAY_SUFFIXES:
        fix = "Give the classes numbers in data.classes."
        raise DataError(f"`{record.mask}` must be a picture where classes are colours; it is an array. {fix}")
    data = read_bytes(record.mask)
    return LoadedMask(decode_colours(data, record.mask), lambda: hashlib.sha256(data).hexdigest())
