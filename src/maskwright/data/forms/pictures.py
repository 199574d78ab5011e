"""Masks that are picture files or rasters (grey values, palette indices, colours), and what every mask form gives."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import read_bytes
from maskwright.data.forms.arrays import decode_array
from maskwright.data.images import decode_colours, decode_mask, whole_numbers
from maskwright.data.layout import ARRAY_SUFFIXES
from maskwright.data.rasters import pixels_digest, raster_values
from maskwright.errors import DataError


@dataclass(frozen=True)
class LoadedMask:
    """raw H W: the values as the file has them; make_digest: gives the SHA-256 of what they were read from.

    claimed_twice: pixels that several objects claim (`CLAIMS` says which of them has them)
    valid: H W bool, where the mask's own file says that it tells something (None: everywhere)
    """

    raw: np.ndarray
    make_digest: Callable[[], str]
    claimed_twice: int = 0
    valid: np.ndarray | None = None

    @cached_property
    def digest(self) -> str:
        """Made where it is asked for: training that decodes its files anew at every access asks for none."""
        return self.make_digest()


# for forms that draw objects: what becomes of pixels that several of them claim
CLAIMS = {
    "coco": "objects of different classes: the smaller object has them",
    "labelme": "shapes of different classes: the later shape has them",
    "instances": "several instances: they are foreground",
}


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


COLOUR = "colour"  # the form's key where classes are colours


def load_raster(record: Record, size: tuple[int, int]) -> LoadedMask:
    """One value a pixel, or colours as 0xRRGGBB when the form's key says so."""
    colours = record.form.key == COLOUR
    values, valid = raster_values(record.mask, record.window, colours)
    raw = values if colours else whole_numbers(values, record.mask)
    return LoadedMask(raw, lambda: pixels_digest(raw, valid), valid=valid)
