"""Masks that are picture files: grey values, palette indices, or colours."""

from __future__ import annotations

import hashlib

from maskwright.data.dataset import Record
from maskwright.data.forms.loaded import LoadedMask, read_bytes
from maskwright.data.images import decode_colours, decode_mask


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """Grey values or palette indices."""
    data = read_bytes(record.mask)
    return LoadedMask(decode_mask(data, record.mask), hashlib.sha256(data).hexdigest())


def load_colours(record: Record, size: tuple[int, int]) -> LoadedMask:
    """Colours as numbers, 0xRRGGBB; a palette's colours too."""
    data = read_bytes(record.mask)
    return LoadedMask(decode_colours(data, record.mask), hashlib.sha256(data).hexdigest())
