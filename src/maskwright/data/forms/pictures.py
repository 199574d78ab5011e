"""Masks that are picture files or rasters: grey values, palette indices, colours, or one picture an instance.

Of instances the union is the foreground. The record's mask is their folder; its form's key is the beginning of the
names that belong to it (NAME of NAME_0.png, NAME_1.png, …), or nothing when all pictures of the folder do.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import read_bytes
from maskwright.data.forms.arrays import decode_array
from maskwright.data.images import decode_colours, decode_mask, whole_numbers
from maskwright.data.layout import ARRAY_SUFFIXES, SUFFIXES
from maskwright.data.rasters import pixels_digest, raster_values
from maskwright.errors import DataError, listed


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


_NUMBERED = re.compile(r"(.+)[_-]\d+")


def load_instances(record: Record, size: tuple[int, int]) -> LoadedMask:
    """1 where any instance is, 0 elsewhere. → H W uint8"""
    claims = np.zeros(size, np.uint16)
    read: list[tuple[str, bytes]] = []
    for path in files_of(record.mask, record.form.key):
        data = read_bytes(path)
        read.append((path.name, data))
        values = decode_mask(data, path)
        if values.shape != size:
            detail = f"{size[1]}x{size[0]} and {values.shape[1]}x{values.shape[0]}"
            raise DataError(f"`{path}` must have its image's size; image and mask are {detail}. Make the mask anew.")
        found = np.unique(values)
        if len(found) > 2 or (len(found) == 2 and found[0] != 0):
            detail = listed(found.tolist(), "and", 4)
            fix = "Save it as 0 and 255; was it compressed as JPEG, or does it hold several instances?"
            raise DataError(f"`{path}` must hold one instance, as 0 and one other value; got {detail}. {fix}")
        claims += values > 0
    inside, twice = (claims > 0).astype(np.uint8), int((claims > 1).sum())
    return LoadedMask(inside, lambda: _digest(size, read), claimed_twice=twice)


def _digest(size: tuple[int, int], read: Iterable[tuple[str, bytes]]) -> str:
    digest = hashlib.sha256(repr(size).encode())
    for name, data in read:
        digest.update(f"{name}|{hashlib.sha256(data).hexdigest()}\n".encode())
    return digest.hexdigest()


def files_of(folder: Path, key: str) -> list[Path]:
    """The instance masks that belong to a record, in order."""
    try:
        names = _by_beginning(folder, folder.stat().st_mtime_ns)
    except OSError as error:
        raise DataError(f"`{folder}` must be a folder of masks; {error.strerror}. Put it back.") from None
    return [
        folder / name
        for name in (names.get(key, ()) if key else sorted(name for found in names.values() for name in found))
    ]


def numbered(stem: str) -> str | None:
    """NAME of NAME_0 or NAME-0; None for other names.

    >>> numbered("cell_07_3"), numbered("cell")
    ('cell_07', None)
    """
    found = _NUMBERED.fullmatch(stem)
    return found.group(1) if found else None


@functools.lru_cache(maxsize=1024)
def _by_beginning(folder: Path, modified: int) -> dict[str, list[str]]:
    """Picture files of a folder by what their names begin with; one that has no number stands alone."""
    found: dict[str, list[str]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.is_file() and not path.name.startswith("."):
            found[numbered(path.stem) or path.stem].append(path.name)
    return dict(found)
