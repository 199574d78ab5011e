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
from maskwright.data.bands import decide_bands, read_heads
from maskwright.data.dataset import IGNORE, SPLITS, Bands, ClassMap, Dataset, Item, Listing, Record
from maskwright.data.deep import quiet
from maskwright.data.masks import decide_classes, refuse_unknown_values, uses_colours
from maskwright.data.raw import Raw, code_labels, read_record
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
    """What one record's files held; `values` and `pixels` belong to the codes the cache keeps."""

    record: Record
    size: tuple[int, int]
    hashes: tuple[str, str]
    values: tuple[int, ...]
    pixels: tuple[int, ...]
    counts: dict[int, int]


def open_dataset(config: DataConfig, cache_folder: Path | None = None, progress: Progress | None = None) -> Opened:
    """Open a data set for training: everything is looked at, dealt into splits and cached."""
    config, listing = list_data(config)
    heads = read_heads(listing.records)
    bands = decide_bands(config, listing.records, heads)
    sizes = [(head.height, head.width) if head else (0, 0) for head in heads]
    place, why = choose_place(config.cache, sizes, bands.num_channels, cache_folder)
    store = PixelStore(listing.records, sizes, bands, place, cache_folder)
    try:
        return _open(config, listing, store, (place, why), progress)
    except BaseException:
        store.close()
        raise


def list_data(config: DataConfig) -> tuple[DataConfig, Listing]:
    """The listing of a data set, masks read as colours where classes are colours; and the configuration it settled."""
    listing = list_records(config)
    if uses_colours(config, listing):
        records = [
            replace(record, form=replace(record.form, kind="colour")) if record.form.kind == "picture" else record
            for record in listing.records
        ]
        listing = replace(listing, records=tuple(records))
    return config, listing


def _open(config: DataConfig, listing: Listing, store: PixelStore, cache: tuple[str, str], progress: Progress | None) -> Opened:
    looks = _look_at_all(listing.records, store, progress)
    classes = decide_classes(config, listing, {look.record.mask.as_posix(): look.counts for look in looks})
    items = _settle(looks, store, classes)
    items, dealt = assign_splits(items, config.split)
    notes = (*listing.notes, *_without_effect(config, listing), *_remarks(items, classes))
    dataset = Dataset(Path(config.root or ""), tuple(items), classes, listing.reader, f"{listing.reason}; split {dealt}",
                      fingerprint(items, classes, store.bands), notes, store.bands)  # fmt: skip
    return Opened(dataset, store, *cache)


def load_pair(record: Record, classes: ClassMap, bands: Bands) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """One image, its mask as class numbers, and the hashes of both files, read now."""
    raw = read_record(record, bands)
    refuse_unknown_values(classes, {record.mask.name: raw.counts})
    return raw.image, code_labels(classes, raw.values)[raw.codes], raw.hashes


def fingerprint(items: Iterable[Item], classes: ClassMap, bands: Bands) -> str:
    """One hash over all files, splits, class values and bands: equal when and only when the data are."""
    meaning = (classes.names, classes.values, classes.ignore_values, classes.foreground_from, classes.colours)
    digest = hashlib.sha256(repr((*meaning, bands.chosen, bands.low, bands.high)).encode())
    for item in sorted(items, key=lambda item: item.record.id):
        digest.update(f"{item.record.id}|{item.record.split}|{item.image_hash}|{item.mask_hash}\n".encode())
    return digest.hexdigest()


def _look_at_all(records: Sequence[Record], store: PixelStore, progress: Progress | None) -> list[_Look]:
    """Read every file once, on all cores; what the cache has room for stays decoded, masks as codes until they have a meaning."""
    looks: list[_Look] = []
    problems: list[str] = []
    # filters for warnings belong to the whole process: set here, not by each thread
    with quiet(), ThreadPoolExecutor(usable_cores()) as pool:  # decoders work outside the interpreter's lock
        for index, outcome in enumerate(pool.map(lambda record: _try_read(record, store.bands), records)):
            if isinstance(outcome, str):
                problems.append(outcome)
            else:
                store.put(index, outcome.image, outcome.codes)
                size = outcome.codes.shape
                looks.append(_Look(records[index], size, outcome.hashes, outcome.values, outcome.pixels, outcome.counts))  # type: ignore[arg-type]
            if progress:
                progress(index + 1, len(records))
    _refuse(problems)
    return looks


def _settle(looks: Sequence[_Look], store: PixelStore, classes: ClassMap) -> list[Item]:
    """Turn cached codes into class numbers, and count pixels by class."""
    store.classes = classes
    items: list[Item] = []
    for index, look in enumerate(looks):
        table = code_labels(classes, look.values)
        if store.place != "none":
            image, codes = store.get(index)
            store.put(index, image, table[codes])
        pixels, labels = np.array(look.pixels, np.int64), table[: len(look.values)]
        counts = tuple(int(pixels[labels == label].sum()) for label in range(classes.num_classes))
        items.append(Item(look.record, *look.size, *look.hashes, counts, int(pixels[labels == IGNORE].sum())))
    return items


def _try_read(record: Record, bands: Bands) -> Raw | str:
    try:
        return read_record(record, bands)
    except DataError as error:
        return str(error)


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
