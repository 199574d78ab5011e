"""Decoded pixels, kept as uint8: in memory under a budget, else in a memory map on disk, else decoded anew.

A process that is forked shares them; one that is spawned opens the memory map, which pixels in memory are moved to when
the first such process is started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from maskwright.data.dataset import Bands, ClassMap, Record
from maskwright.data.masks import validate_mask_values
from maskwright.data.raw import code_labels, read_record
from maskwright.errors import RunError
from maskwright.runs import size_name
from maskwright.runtime import free_memory

Place = Literal["ram", "disk", "none"]
RAM_SHARE = 0.4  # of the memory free at the start
_DISK_SHARE = 0.5  # of the disk free at the start
_KEPT = ("C", "W")  # contiguous; writable, for torch warns of what is not


class PixelStore:
    """Image (H W C) and mask (H W) of each record, decoded once where there is room for them."""

    def __init__(
        self,
        records: Sequence[Record],
        sizes: Sequence[tuple[int, int]],
        bands: Bands,
        place: Place,
        folder: Path | None,
    ) -> None:
        self.records, self.sizes, self.bands, self.place = list(records), list(sizes), bands, place
        self.classes: ClassMap | None = None
        self._images: list[np.ndarray | None] = [None] * len(records)
        self._masks: list[np.ndarray | None] = [None] * len(records)
        self._folder, self._is_owner = folder, True
        self._file: Path | None = None
        if folder and place == "disk":
            self._open_map(folder)

    @property
    def has_folder(self) -> bool:
        """Whether there is a place for pixels on the disk."""
        return self._folder is not None

    def put(self, index: int, image: np.ndarray, mask: np.ndarray) -> None:
        """Keep one decoded pair."""
        if self.place == "ram":
            self._images[index], self._masks[index] = np.require(image, None, _KEPT), np.require(mask, None, _KEPT)
        elif self.place == "disk":
            height, width = self.sizes[index]
            image_view, mask_view = self._views(index, height, width)
            image_view[:], mask_view[:] = image, mask
            self._images[index], self._masks[index] = image_view, mask_view

    def relabel(self, index: int, table: np.ndarray) -> None:
        """Give a kept mask's codes their meaning."""
        mask = self._masks[index]
        if mask is not None and self.place == "disk":
            mask[:] = table[mask]
        elif mask is not None:
            self._masks[index] = table[mask]

    def get(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        """Image and mask of a record."""
        image, mask = self._images[index], self._masks[index]
        if image is not None and mask is not None:
            return image, mask
        return self._decode(self.records[index])

    def lend(self) -> PixelStore:
        """The same pixels for somebody who will close them: what lies on the disk goes when the owner closes it."""
        lent = object.__new__(PixelStore)
        lent.__dict__ |= {**self.__dict__, "_images": [*self._images], "_masks": [*self._masks], "_is_owner": False}
        return lent

    def close(self) -> None:
        """Remove the memory map's file."""
        if self._file:
            self._images = [None] * len(self.records)
            self._masks = [None] * len(self.records)
            del self._map
            if self._is_owner:
                _remove(self._file)
            self._file = None

    def __getstate__(self) -> dict[str, Any]:
        """What a process that is spawned is sent: where pixels are mapped, not the pixels."""
        if not self._file:
            self._move_to_map()
        state = {**self.__dict__, "_is_owner": False}
        if self._file:
            state |= {"_images": [], "_masks": []}
            del state["_map"]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self._file:
            self._map = np.memmap(self._file, np.uint8, "r+")
            views = [self._views(index, *size) for index, size in enumerate(self.sizes)]
            self._images, self._masks = [image for image, _ in views], [mask for _, mask in views]

    def _move_to_map(self) -> None:
        """From memory into a memory map, one by one; the system keeps its pages in memory while there is room."""
        sizes = [(mask.shape[0], mask.shape[1]) for mask in self._masks if mask is not None]
        if len(sizes) < len(self.records):  # decoded anew, or closed
            return
        self.sizes = sizes
        self._open_map(self._folder or Path(tempfile.mkdtemp(prefix="maskwright-")) / "cache")
        for index, size in enumerate(self.sizes):
            image, mask = self._views(index, *size)
            image[:], mask[:] = self._images[index], self._masks[index]
            self._images[index], self._masks[index] = image, mask

    def _open_map(self, folder: Path) -> None:
        lengths = [height * width * (self.bands.num_channels + 1) for height, width in self.sizes]
        self._map = _new_map(folder / "pixels.u8", max(1, sum(lengths)))
        self._file, self._starts = folder / "pixels.u8", np.cumsum([0, *lengths]).tolist()
        self._is_owner = True

    def _views(self, index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        start, pixels, channels = self._starts[index], height * width, self.bands.num_channels
        image = self._map[start : start + channels * pixels].reshape(height, width, channels)
        return image, self._map[start + channels * pixels : start + (channels + 1) * pixels].reshape(height, width)

    def _decode(self, record: Record) -> tuple[np.ndarray, np.ndarray]:
        assert self.classes is not None, "classes are decided before pixels are asked for"
        raw = read_record(record, self.bands, hashed=False)
        validate_mask_values(self.classes, {record.mask.name: raw.counts})
        return raw.image, code_labels(self.classes, raw.values)[raw.codes]


def _new_map(path: Path, size: int) -> np.memmap:
    """A memory map whose room on the disk is taken at once: with too little, writing to one ends in a bus error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("wb") as file:
            _take_room(file.fileno(), size)
        return np.memmap(path, np.uint8, "r+", shape=(size,))
    except OSError as error:
        _remove(path)
        fix = "Free some space, choose another --out, or set data.cache to none."
        raise RunError(
            f"`data.cache` must have room for {size_name(size)} in {path}; got: {error.strerror}. {fix}"
        ) from None


def _take_room(file: int, size: int) -> None:
    if hasattr(os, "posix_fallocate"):
        try:
            os.posix_fallocate(file, 0, size)
            return
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP):  # file systems that cannot, such as ZFS
                raise
    os.ftruncate(file, size)


def _remove(path: Path) -> None:
    """The cache's file, and no empty folders of ours left behind."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        path.parent.rmdir()
        path.parent.parent.rmdir()


def choose_place(wish: str, sizes: Sequence[tuple[int, int]], channels: int, folder: Path | None) -> tuple[Place, str]:
    """Where decoded pixels go, and why."""
    needed = sum(height * width * (channels + 1) for height, width in sizes)
    detail = f"{size_name(needed)} decoded"
    if wish != "auto":
        if wish == "disk" and folder is None:
            return "ram", "there is no folder for a cache on disk"
        return wish, "as configured"  # pyright: ignore[reportReturnType]
    free = free_memory()
    if needed <= RAM_SHARE * free:
        return "ram", f"{detail}, {size_name(free)} of memory free"
    if folder is not None:
        room = shutil.disk_usage(next(place for place in (folder, *folder.parents) if place.exists())).free
        if needed <= _DISK_SHARE * room:
            return "disk", f"{detail} is over {RAM_SHARE:.0%} of the {size_name(free)} of memory free"
    return "none", f"{detail} fits neither into memory nor on the disk"
