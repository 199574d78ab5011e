"""A mask's file with other labels in it, kept as it was kept: palette, 0/255, class numbers, 16 bits or colours.

data = encode_mask(labels, classes, Path("masks/7.png"))          # as masks/7.png is
data = encode_mask(labels, classes, new, like=Path("masks/6.png"))  # a new one, as the one beside it
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.data.dataset import IGNORE, PICTURE, ClassMap, Record
from maskwright.data.decoding import open_picture
from maskwright.data.forms import load_mask
from maskwright.data.images import decode_colours, decode_mask
from maskwright.data.raw import code_labels, compact
from maskwright.errors import DataError, listed

FORMATS = ("PNG", "BMP", "TIFF")  # that keep every value as it is
_DEEP = ("I;16", "I;16B", "I;16L", "I")


def encode_mask(labels: np.ndarray, classes: ClassMap, path: Path, like: Record | None = None) -> bytes:
    """The bytes of a mask file that holds these labels, in the encoding of `like`'s mask; H W uint8 with IGNORE.

    Where `like` is the record of `path` itself, a pixel that keeps its class keeps its value, whatever it was.
    """
    record = like or Record("", path, path, form=PICTURE)
    refuse_unwritable(record)
    with open_picture(record.mask, record.mask, "mask") as picture:
        picture.load()
        mode, format, palette = picture.mode, picture.format or "", picture.getpalette() or []
    values = _values(labels, classes, path)
    if record.mask == path:
        old = load_mask(record, (labels.shape[0], labels.shape[1])).raw
        if old.shape == labels.shape:
            codes, known, _ = compact(old, None, record)
            np.copyto(values, old, where=code_labels(classes, known)[codes] == labels, casting="unsafe")
    if (values < 0).any():
        fix = "Paint these pixels with a class, or name a value that is ignored: --data.ignore_index."
        raise DataError(f"`{path}` must have a value for pixels that are ignored; this data set names none. {fix}")
    picture = _coloured(values, mode, palette) if classes.colours else _numbered(values, mode, palette)
    buffer = io.BytesIO()
    picture.save(buffer, format)
    data = buffer.getvalue()
    read = decode_colours(data, path) if classes.colours else decode_mask(data, path)
    if not np.array_equal(read, values):  # what is not read back as it was meant never takes the place of a file
        raise DataError(
            f"`{path}` must be kept in a form that can be written ({mode} {format} is none). Convert it to PNG first."
        )
    return data


def refuse_unwritable(record: Record) -> None:
    """Stop at a mask that is no picture of its own: polygons, instances, arrays and rasters are kept otherwise."""
    plain = record.form.kind in ("picture", "colour") and not record.form.remap and record.window is None
    fix = "Write it as PNG masks first: maskwright check DATA --fix OUT."
    if not plain or record.mask.suffix.lower() not in (".png", ".bmp", ".tif", ".tiff"):
        kind = record.form.kind if not plain else record.mask.suffix
        raise DataError(
            f"`{record.mask}` must be a {listed(FORMATS, 'or')} picture to be drawn in; it is kept as {kind}. {fix}"
        )


def _values(labels: np.ndarray, classes: ClassMap, path: Path) -> np.ndarray:
    """What the file holds for each label; -1 where nothing stands for what is ignored. → H W int32"""
    table = np.full(256, -1, np.int32)
    table[: classes.num_classes] = classes.values
    if classes.foreground_from is not None:
        table[:2] = 0, max(classes.foreground_from, 255)
    if classes.ignore_values:
        table[IGNORE] = classes.ignore_values[0]
    found = np.flatnonzero(compact(labels, None, Record("", path, path))[2])
    if odd := [int(label) for label in found if label >= classes.num_classes and label != IGNORE]:
        raise DataError(
            f"`{path.name}` must hold class numbers 0 to {classes.num_classes - 1} and 255 (ignored); got "
            f"{listed(odd)}."
        )
    return table[labels]


def _numbered(values: np.ndarray, mode: str, palette: list[int]) -> Image.Image:
    highest = int(values.max(initial=0))
    if mode in _DEEP or highest > 255:
        return Image.fromarray(values.astype(np.uint16 if mode != "I" else np.int32))
    grey = Image.fromarray(values.astype(np.uint8))
    if mode == "P":
        grey.putpalette([*palette, *[0] * max(0, 3 * (highest + 1) - len(palette))])
        return grey
    if mode == "1" and set(np.unique(values).tolist()) <= {0, 255}:
        return grey.convert("1", dither=Image.Dither.NONE)
    return Image.merge(mode, [grey] * 3) if mode == "RGB" else grey


def _coloured(values: np.ndarray, mode: str, palette: list[int]) -> Image.Image:
    """Colours 0xRRGGBB, by the palette that was there where it has all of them."""
    rgb = np.stack([values >> 16 & 255, values >> 8 & 255, values & 255], axis=2).astype(np.uint8)
    known = {
        (r << 16) | (g << 8) | b: place
        for place, (r, g, b) in enumerate(zip(palette[::3], palette[1::3], palette[2::3]))
    }
    found = np.unique(values).tolist()
    if mode == "P" and all(value in known for value in found):
        table = {value: known[value] for value in found}
        _, places = np.unique(values, return_inverse=True)
        picture = Image.fromarray(np.array([table[value] for value in found], np.uint8)[places.reshape(values.shape)])
        picture.putpalette(palette)
        return picture
    return Image.fromarray(rgb)
