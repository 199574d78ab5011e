"""Open a data set: list it, look at every file once, settle the classes, deal the splits, keep the pixels.

    dataset, store = open_dataset(config.data)
    dataset.sizes()            # {'train': 10, 'val': 4, 'test': 4}

Every file is read once: the same bytes give the hash, the size, the label counts and the cached
pixels. All broken files are told together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskwright.config import DataConfig, SplitConfig
from maskwright.data.dataset import IGNORE, SPLITS, ClassMap, Dataset, Item, Listing, Record
from maskwright.data.images import decode_image, decode_mask, image_size, quiet
from maskwright.data.masks import apply_classes, count_values, decide_classes, refuse_unknown_values
from maskwright.data.readers import list_records
from maskwright.data.splits import assign_splits
from maskwright.data.store import PixelStore, choose_place
from maskwright.errors import DataError, listed
from maskwright.runs import usable_cores

Progress = Callable[[int, int], None]  # done, total


@dataclass(frozen=True)
class Opened:
    """A data set with its pixels, and why the pixels are where they are."""

    dataset: Dataset
    store: PixelStore
    cache: str
    cache_reason: str


@dataclass(frozen=True)
class _Look:
    """What one record's files held; the mask is kept raw until the classes are settled."""

    record: Record
    image: np.ndarray | None
    raw: np.ndarray | None
    size: tuple[int, int]
    hashes: tuple[str, str]
    values: dict[int, int]


def open_dataset(config: DataConfig, cache_folder: Path | None = None, progress: Progress | None = None) -> Opened:
    """Open a data set for training: everything is looked at, dealt into splits and cached."""
    listing = list_records(config)
    sizes = _sizes(listing.records)
    place, why = choose_place(config.cache, sizes, cache_folder)
    store = PixelStore(listing.records, sizes, place, cache_folder)
    try:
        return _open(config, listing, store, (place, why), progress)
    except BaseException:
        store.close()
        raise


def _open(config: DataConfig, listing: Listing, store: PixelStore, cache: tuple[str, str], progress: Progress | None) -> Opened:
    looks = _look_at_all(listing.records, store, progress)
    classes = decide_classes(config, listing.classes, {look.record.mask.as_posix(): look.values for look in looks})
    items = _settle(looks, store, classes)
    items, dealt = assign_splits(items, config.split)
    notes = (*listing.notes, *_without_effect(config, listing), *_remarks(items, classes))
    dataset = Dataset(Path(config.root or ""), tuple(items), classes, listing.reader,
                      f"{listing.reason}; split {dealt}", fingerprint(items, classes), notes)  # fmt: skip
    return Opened(dataset, store, *cache)


def load_pair(record: Record, classes: ClassMap) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """One image, its mask as class numbers, and the hashes of both files, read now."""
    look = _look(record)
    assert look.image is not None and look.raw is not None
    refuse_unknown_values(classes, {record.mask.name: look.values})
    return look.image, apply_classes(look.raw, classes), look.hashes


def fingerprint(items: Iterable[Item], classes: ClassMap) -> str:
    """One hash over all files, splits and class values: equal when and only when the data are."""
    digest = hashlib.sha256(repr((classes.names, classes.values, classes.foreground_from)).encode())
    for item in sorted(items, key=lambda item: item.record.id):
        digest.update(f"{item.record.id}|{item.record.split}|{item.image_hash}|{item.mask_hash}\n".encode())
    return digest.hexdigest()


def _sizes(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Heights and widths from the files' heads."""
    sizes: list[tuple[int, int]] = []
    for record in records:
        try:
            sizes.append(image_size(record.image))
        except DataError:
            sizes.append((0, 0))  # told with everything else that is wrong, when the files are looked at
    return sizes


def _look_at_all(records: Sequence[Record], store: PixelStore, progress: Progress | None) -> list[_Look]:
    """Read every file once, on all cores; what the cache has room for stays decoded."""
    looks: list[_Look] = []
    problems: list[str] = []
    # filters for warnings belong to the whole process: set here, not by each thread
    with quiet(), ThreadPoolExecutor(usable_cores()) as pool:  # Pillow decodes outside the interpreter's lock
        for index, outcome in enumerate(pool.map(_try_look, records)):
            if isinstance(outcome, str):
                problems.append(outcome)
            else:
                looks.append(_hand_over(outcome, index, store))
            if progress:
                progress(index + 1, len(records))
    _refuse(problems)
    return looks


def _hand_over(look: _Look, index: int, store: PixelStore) -> _Look:
    """Give the pixels to the store at once, so that memory stays within its budget."""
    assert look.image is not None and look.raw is not None
    if look.raw.max(initial=0) <= 255:
        store.put(index, look.image, look.raw)
    elif store.place != "none":  # 16-bit labels are mapped to uint8 later and fit then
        return replace(look, image=None)
    return replace(look, image=None, raw=None)


def _settle(looks: Sequence[_Look], store: PixelStore, classes: ClassMap) -> list[Item]:
    """Turn cached raw masks into class numbers, and count pixels by class."""
    store.classes = classes
    items: list[Item] = []
    for index, look in enumerate(looks):
        if look.raw is not None:
            image = decode_image(look.record.image.read_bytes(), look.record.image)
            store.put(index, image, apply_classes(look.raw, classes))
        elif store.place != "none":
            image, raw = store.get(index)
            store.put(index, image, apply_classes(raw, classes))
        items.append(_item(look, classes))
    return items


def _item(look: _Look, classes: ClassMap) -> Item:
    values = np.array(list(look.values), np.int64)
    labels = apply_classes(values.astype(np.uint16), classes)
    pixels = np.array(list(look.values.values()), np.int64)
    counts = tuple(int(pixels[labels == index].sum()) for index in range(classes.num_classes))
    ignored = int(pixels[labels == IGNORE].sum())
    return Item(look.record, *look.size, *look.hashes, counts, ignored)


def _try_look(record: Record) -> _Look | str:
    try:
        return _look(record)
    except DataError as error:
        return str(error)


def _look(record: Record) -> _Look:
    image_bytes, mask_bytes = _read(record.image), _read(record.mask)
    image, raw = decode_image(image_bytes, record.image), decode_mask(mask_bytes, record.mask)
    if image.shape[:2] != raw.shape:
        sizes = f"{image.shape[1]}x{image.shape[0]} and {raw.shape[1]}x{raw.shape[0]}"
        fix = "Make the mask anew at the image's size."
        raise DataError(f"`{record.mask}` must have its image's size; image and mask are {sizes}. {fix}")
    hashes = (hashlib.sha256(image_bytes).hexdigest(), hashlib.sha256(mask_bytes).hexdigest())
    return _Look(record, image, raw, raw.shape, hashes, count_values(raw))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"`{path}` must be there; it is missing. Put it back, or remove its partner from the data set.") from None
    except OSError as error:
        raise DataError(f"`{path}` must be readable; {error.strerror}. Check its permissions.") from None


def _refuse(problems: Sequence[str]) -> None:
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        shown = "\n  ".join(problems[:20])
        more = f"\n  and {len(problems) - 20} more" if len(problems) > 20 else ""
        raise DataError(f"{len(problems)} pairs cannot be used:\n  {shown}{more}")


def _without_effect(config: DataConfig, listing: Listing) -> list[str]:
    """Options somebody set that change nothing here."""
    named = {record.split for record in listing.records}
    found: list[str] = []
    if config.split != SplitConfig() and {"train", "val"} <= named:
        found.append("data.split has no effect: the data set names its own splits")
    if config.letterbox and config.view == "crop":
        found.append("data.letterbox has no effect with view crop")
    return found


def _remarks(items: Sequence[Item], classes: ClassMap) -> list[str]:
    """What a person should know before training on this."""
    notes: list[str] = []
    for split in SPLITS:
        chosen = [item for item in items if item.record.split == split]
        absent = [
            name for index, name in enumerate(classes.names) if chosen and not sum(item.class_pixels[index] for item in chosen)
        ]
        if absent:
            notes.append(f"{split} has no pixel of {listed(absent)}")
    ignored = sum(item.ignored_pixels for item in items)
    if ignored:
        total = sum(item.height * item.width for item in items)
        notes.append(f"{ignored / total:.1%} of the pixels are ignored (value {listed(classes.ignore_values)})")
    return notes
