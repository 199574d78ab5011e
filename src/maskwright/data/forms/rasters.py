"""Masks that are rasters, read by the same window as their image; values like those of a picture."""

from __future__ import annotations

from maskwright.data.dataset import Record
from maskwright.data.forms.loaded import LoadedMask
from maskwright.data.images import whole_numbers
from maskwright.data.rasters import pixels_digest, raster_values

COLOUR = "colour"  # the form's key where classes are colours


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """One value a pixel, or colours as 0xRRGGBB when the form's key says so."""
    colours = record.form.key == COLOUR
    values, valid = raster_values(record.mask, record.window, colours)
    raw = values if colours else whole_numbers(values, record.mask)
    return LoadedMask(raw, lambda: pixels_digest(raw, valid), valid=valid)
