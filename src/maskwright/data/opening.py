"""Open a data set: list it, look at every file once, decide the classes, assign the splits, keep the pixels.

    dataset, store = open_dataset(config.data)
    dataset.sizes()            # {'train': 10, 'val': 4, 'test': 4}

Every file is read once: the same bytes give the hash, the size, the label counts and the cached
pixels. All broken files are reported together.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, SPLITS, Bands, ClassMap, Dataset, Item, Listing, Record
from maskwright.data.decoding import decoding, map_ahead, quiet
from maskwright.data.description import described
from maskwright.data.forms.pictures import CLAIMS
from maskwright.data.grouping import Near
from maskwright.data.images import Head
from maskwright.data.masks import decide_classes, uses_colours, validate_mask_values
from maskwright.data.near_duplicates import nearly_the_same
from maskwright.data.raw import Raw, code_labels, decide_bands, read_heads, read_record
from maskwright.data.readers import list_records
from maskwright.data.signatures import Signature, signature
from maskwright.data.splits import SplitAssignment, assign_splits, indices_to_split
from maskwright.data.store import PixelStore, choose_place
from maskwright.errors import DataError, listed
from maskwright.runs import usable_cores

Progress = Callable[[int, int], None]  # done, total
_SHOWN = 4  # problems reported in full: most of them are alike
# called once a record, by several threads, while its pixels are at hand
Inspect = Callable[[Record, Raw, Head | None, Signature], Any]


@dataclass(frozen=True)
class Opened:
    """A data set with its pixels, and why the pixels are where they are.

    `config` is what was asked for, with what dataset.yaml says; `inspected` what `inspect` made of each record; `near`
    sets of records that are nearly the same, where some had to be assigned.
    """

    dataset: Dataset
    store: PixelStore
    cache: str
    cache_reason: str
    config: DataConfig
    listing: Listing
    inspected: tuple[Any, ...] = ()
    near: Near | None = None


@dataclass(frozen=True)
class _Look:
    """What one record's files held; `values` and `pixels` belong to the codes the cache keeps."""

    record: Record
    size: tuple[int, int]
    hashes: tuple[str, str]
    values: tuple[int, ...]
    pixels: tuple[int, ...]
    counts: dict[int, int]
    inspected: Any = None
    claimed_twice: int = 0
    signature: Signature | None = None  # of images that have to be assigned


def open_dataset(
    config: DataConfig,
    cache_folder: Path | None = None,
    progress: Progress | None = None,
    inspect: Inspect | None = None,
) -> Opened:
    """Open a data set for training: everything is looked at, dealt into splits and cached."""
    config, listing = list_data(config)
    heads = read_heads(listing.records)
    bands = decide_bands(config, listing.records, heads)
    sizes = [(head.height, head.width) if head else (0, 0) for head in heads]
    place, why = choose_place(config.cache, sizes, bands.num_channels, cache_folder)
    store = PixelStore(listing.records, sizes, bands, place, cache_folder)
    try:
        to_split = set(indices_to_split(listing.records, config.split))
        signed = [index in to_split for index in range(len(listing.records))]
        looks = _look_at_all(listing.records, heads, signed, store, progress, inspect)
        return _open(config, listing, store, (place, why), looks)
    except BaseException:
        store.close()
        raise


def list_data(config: DataConfig) -> tuple[DataConfig, Listing]:
    """The listing of a data set, masks read as colours where classes are colours; and the configuration it led to."""
    config, notes = described(config)
    listing = list_records(config)
    listing = replace(listing, notes=(*notes, *listing.notes))
    return config, as_colours(config, listing)


def as_colours(config: DataConfig, listing: Listing) -> Listing:
    """The listing with pictures read as colours, where classes are colours."""
    if uses_colours(config, listing):
        coloured = {"picture": {"kind": "colour"}, "raster": {"key": "colour"}}
        records = [
            replace(record, form=replace(record.form, **coloured.get(record.form.kind, {})))
            for record in listing.records
        ]
        listing = replace(listing, records=tuple(records))
    return listing


def _open(
    config: DataConfig, listing: Listing, store: PixelStore, cache: tuple[str, str], looks: list[_Look]
) -> Opened:
    classes = decide_classes(config, listing, {mask_name(look.record): look.counts for look in looks})
    items = _count_classes(looks, store, classes)
    near = (
        nearly_the_same([look.signature for look in looks]) if indices_to_split(listing.records, config.split) else None
    )
    assignment = assign_splits(items, config.split, near or (), classes.names)
    items = assignment.items
    notes = (
        *listing.notes,
        *assignment.notes,
        *_unused_settings(config, listing),
        *_remarks(assignment, classes),
        *_claims(looks),
    )
    reason = f"{listing.reason}; split {assignment.split_info.reason}"
    dataset = Dataset(Path(config.root or ""), items, classes, listing.reader, reason,
                      fingerprint(items, classes, store.bands), notes, store.bands, assignment.split_info)  # fmt: skip
    return Opened(dataset, store, *cache, config, listing, tuple(look.inspected for look in looks), near)


def load_pair(record: Record, classes: ClassMap, bands: Bands) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    """One image, its mask as class numbers, and the hashes of both files, read now."""
    raw = read_record(record, bands)
    validate_mask_values(classes, {record.mask.name: raw.counts})
    return raw.image, code_labels(classes, raw.values)[raw.codes], raw.hashes


def fingerprint(items: Iterable[Item], classes: ClassMap, bands: Bands) -> str:
    """One hash over all files, splits, class values and bands: equal when and only when the data are."""
    meaning = (classes.names, classes.values, classes.ignore_values, classes.foreground_from, classes.colours)
    digest = hashlib.sha256(repr((*meaning, bands.chosen, bands.low, bands.high)).encode())
    for item in sorted(items, key=lambda item: item.record.id):
        digest.update(f"{item.record.id}|{item.record.split}|{item.image_hash}|{item.mask_hash}\n".encode())
    return digest.hexdigest()


def _look_at_all(
    records: Sequence[Record], heads: Sequence[Head | None], signed: Sequence[bool], store: PixelStore,
    progress: Progress | None, inspect: Inspect | None,
) -> list[_Look]:  # fmt: skip
    """Read every file once, on all cores; what the cache has room for stays decoded, masks as codes at first."""
    looks: list[_Look] = []
    problems: list[str] = []

    def read(record: Record, head: Head | None, sign: bool) -> tuple[Raw, Any, Signature | None] | str:
        try:
            with decoding(record.image, "image"):
                raw = read_record(record, store.bands)
                signed_as = signature(raw.image) if sign or inspect else None
                return raw, inspect(record, raw, head, signed_as) if inspect and signed_as else None, signed_as
        except DataError as error:
            return str(error)

    # filters for warnings belong to the whole process: set here, not by each thread
    with quiet(), ThreadPoolExecutor(usable_cores()) as pool:  # decoders work outside the interpreter's lock
        for index, outcome in enumerate(map_ahead(pool, read, records, heads, signed)):
            if isinstance(outcome, str):
                problems.append(outcome)
            else:
                raw, inspected, signed_as = outcome
                store.put(index, raw.image, raw.codes)
                size = (raw.codes.shape[0], raw.codes.shape[1])
                looks.append(_Look(records[index], size, raw.hashes, raw.values, raw.pixels, raw.counts, inspected,
                                   raw.claimed_twice, signed_as))  # fmt: skip
            if progress:
                progress(index + 1, len(records))
    _refuse(problems)
    return looks


def _count_classes(looks: Sequence[_Look], store: PixelStore, classes: ClassMap) -> list[Item]:
    """Turn cached codes into class numbers, and count pixels by class."""
    store.classes = classes
    items: list[Item] = []
    for index, look in enumerate(looks):
        table = code_labels(classes, look.values)
        there = np.flatnonzero(look.pixels)
        # most masks hold class numbers: what lies on the disk is right then
        if not np.array_equal(table[there], there):
            store.relabel(index, table)
        pixels, labels = np.array(look.pixels, np.int64), table[: len(look.values)]
        counts = tuple(int(pixels[labels == label].sum()) for label in range(classes.num_classes))
        items.append(Item(look.record, *look.size, *look.hashes, counts, int(pixels[labels == IGNORE].sum())))
    return items


def mask_name(record: Record) -> str:
    """A mask as a person finds it, and unlike all others: its file, and which part of it where a file holds several."""
    shared = record.window is not None or record.form.kind in ("coco", "instances")
    return f"{record.mask.as_posix()} ({record.id})" if shared else record.mask.as_posix()


def _claims(looks: Sequence[_Look]) -> list[str]:
    """Pixels that several objects claim, and which of them has them."""
    notes: list[str] = []
    for form, detail in CLAIMS.items():
        found = [look.claimed_twice for look in looks if look.claimed_twice and look.record.form.kind == form]
        notes += [f"{sum(found)} pixels in {len(found)} masks are claimed by {detail}"] if found else []
    return notes


def _refuse(problems: Sequence[str]) -> None:
    if len(problems) == 1:
        raise DataError(problems[0])
    if problems:
        shown = "\n  ".join(problems[:_SHOWN])
        more = f"\n  and {len(problems) - _SHOWN} more." if len(problems) > _SHOWN else ""
        raise DataError(f"{len(problems)} pairs cannot be used:\n  {shown}{more}")


def _unused_settings(config: DataConfig, listing: Listing) -> list[str]:
    """Options somebody set that change nothing here."""
    found: list[str] = []
    for key in ("target", "boundary"):
        if getattr(config, key) != DataConfig.model_fields[key].default and listing.reader != "oxford-pet":
            found.append(f"data.{key} has no effect: only reader oxford-pet knows it, and this is {listing.reader}")
    if config.images and listing.reader != "folders":
        found.append(f"data.images and data.masks have no effect: reader {listing.reader} finds its own folders")
    return found


def _remarks(assignment: SplitAssignment, classes: ClassMap) -> list[str]:
    """What a person should know before training on this, and does not know of the splits yet."""
    notes: list[str] = []
    items = assignment.items
    for split in SPLITS:
        chosen = [item for item in items if item.record.split == split]
        absent = [
            name
            for index, name in enumerate(classes.names)
            if chosen
            and (split, index) not in assignment.explained
            and not sum(item.class_pixels[index] for item in chosen)
        ]
        if absent:
            notes.append(f"{split} has no pixel of {listed(absent)}")
    ignored = sum(item.ignored_pixels for item in items)
    if ignored:
        total = sum(item.height * item.width for item in items)
        word = "value" if len(classes.ignore_values) == 1 else "values"
        detail = (
            f" ({word} {listed(map(classes.format_value, classes.ignore_values))})" if classes.ignore_values else ""
        )
        notes.append(f"{ignored / total:.1%} of the pixels are ignored{detail}")
    return notes
