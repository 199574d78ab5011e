"""Masks kept as one picture an instance: their union is the foreground.

The record's mask is the folder; its form's key is the beginning of the names that belong to it (NAME of NAME_0.png,
NAME_1.png, …), or nothing when all pictures of the folder do.
"""

from __future__ import annotations

import functools
import hashlib
import re
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import read_bytes
from maskwright.data.forms.pictures import LoadedMask
from maskwright.data.images import decode_mask
from maskwright.data.layout import SUFFIXES
from maskwright.errors import DataError, listed

_NUMBERED = re.compile(r"(.+)[_-]\d+")


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
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
    return [folder / name for name in (names.get(key, ()) if key else sorted(name for found in names.values() for name in found))]


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
