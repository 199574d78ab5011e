"""Masks of COCO files: outlines and run lengths of an image's annotations, drawn when the mask is asked for.

Values are category ids. Where objects overlap the smaller one is on top, so that nothing is hidden beneath what it
lies on, whatever the order of the file; a crowd region (iscrowd) lies beneath everything and is ignored.
"""

from __future__ import annotations

import hashlib
import json
from typing import Any

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.forms import coco_file, rle
from maskwright.data.forms.coco_file import BACKGROUND, CROWD, CocoFile
from maskwright.data.forms.loaded import LoadedMask
from maskwright.data.forms.outlines import Patch, cropped, fill, joined
from maskwright.errors import DataError


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """Category ids, BACKGROUND where there is no object, CROWD in crowd regions. → H W uint16"""
    file = coco_file.parse(record.mask)
    image = file.images.get(record.form.key)
    if image is None:
        fix = "Put the file back as it was."
        raise DataError(f"`{record.mask}` must list the image {record.image.name} (id {record.form.key}); it does not. {fix}")
    if image.height and image.width and (image.height, image.width) != size:
        told = f"{image.width}x{image.height}; the image is {size[1]}x{size[0]}"
        fix = "Use the image the annotations were drawn on (was it resized, or turned by its EXIF?)."
        raise DataError(f"`{record.mask}` must tell the size of {record.image.name} as it is; it tells {told}. {fix}")
    return draw(file, record, size)


def draw(file: CocoFile, record: Record, size: tuple[int, int]) -> LoadedMask:
    """The annotations of one image, larger objects first."""
    # sorted by their text, so that the file's order decides nothing
    texts = sorted(json.dumps(entry, sort_keys=True) for entry in file.annotations.get(record.form.key, []))
    names = sorted(file.categories.items())
    objects: list[tuple[bool, int, int, Patch]] = []
    for text in texts:
        entry = json.loads(text)
        patch = _pixels(entry["outline"], size, record)
        objects.append((entry["crowd"], int(patch.inside.sum()), entry["category"], patch))
    raw = np.full(size, BACKGROUND, np.uint16)
    twice = np.zeros(size, bool)
    for crowd, _, category, patch in sorted(objects, key=lambda found: (not found[0], -found[1])):
        there = raw[patch.place]
        if not crowd:
            twice[patch.place] |= patch.inside & (there != BACKGROUND) & (there != CROWD) & (there != category)
        there[patch.inside] = CROWD if crowd else category
    whole = [list(size), names, texts]
    return LoadedMask(raw, lambda: hashlib.sha256(json.dumps(whole).encode()).hexdigest(), claimed_twice=int(twice.sum()))


def _pixels(outline: Any, size: tuple[int, int], record: Record) -> Patch:
    """Pixels of one annotation; the outlines of one object are joined."""
    if isinstance(outline, list):
        return joined([fill(np.array(points), *size) for points in outline])
    try:
        if tuple(outline["size"]) != size:
            raise ValueError(f"they are for {outline['size'][1]}x{outline['size'][0]} pixels, not {size[1]}x{size[0]}")
        return cropped(rle.pixels_of(outline["counts"], *size))
    except ValueError as error:
        told = f"`{record.mask}` must hold whole run lengths for {record.image.name}; {error}"
        raise DataError(f"{told}. Export it again.") from None
