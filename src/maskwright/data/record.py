"""data.json: what a run remembers of its data, and each split's pixels read back and verified."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import RGB, SPLITS, Bands, ClassMap, Dataset, Item, MaskForm, Record
from maskwright.data.layout import IMAGE_NAMES, MASK_NAMES
from maskwright.errors import DataError, RunError, UsageError, must, unknown


def data_document(dataset: Dataset) -> dict[str, Any]:
    """Fingerprint, class map, and each split as a list of files with content hashes."""
    root = dataset.root if dataset.root.is_dir() else dataset.root.parent
    return {
        "root": str(root.resolve()),
        "fingerprint": dataset.fingerprint,
        "reader": dataset.reader,
        "reason": dataset.reason,
        "notes": list(dataset.notes),
        "classes": dataset.classes.to_json(),
        "bands": dataset.bands.to_json(),
        "split": dataset.split_info.to_json(),
        "class_shares": [round(share, 6) for share in dataset.class_shares()],
        "splits": {split: [_entry(dataset.items[index], root) for index in dataset.split(split)] for split in SPLITS},
    }


def class_map(document: dict[str, Any]) -> ClassMap:
    """The class map a run was trained with."""
    return ClassMap.from_json(document["classes"])


def bands_of(document: dict[str, Any]) -> Bands:
    """The bands and tones a run was trained with."""
    # the first runs kept none: they were all RGB
    return Bands.from_json(document["bands"]) if "bands" in document else RGB


def split_entries(document: dict[str, Any], split: str) -> list[dict[str, Any]]:
    """The files of one split, as the run remembers them."""
    from maskwright.data.readers.lists import leads_out  # late: who only predicts reads no data set

    if split not in document["splits"]:
        raise UsageError(unknown("split", split, document["splits"]))
    entries = document["splits"][split]
    if not entries:
        have = [name for name, files in document["splits"].items() if files]
        raise UsageError(must("split", f"one that has images ({', '.join(have)})", repr(split)))
    if outside := [entry["id"] for entry in entries if leads_out(entry["id"])]:
        # runs from before ids were kept inside; labels are written under them
        fix = "Train it again, or edit its data.json."
        raise RunError(f"ids of a run's images must lie inside its folders; got {outside[0]}. {fix}")
    return entries


def moved_data(path: str | Path | None) -> Path | None:
    """Where a run's data are now, as a person says: their folder, or the CSV of pairs in it; None: where they were."""
    if path is None:
        return None
    return Path(path).parent if Path(path).is_file() else Path(path)


def validate_outside_data(out: Path, data: Dataset | dict[str, Any]) -> None:
    """Stop where what is written to the folder `out` would lie among the images or masks, and be read as one of them.

    `data` is a data set, or what data.json holds of it.
    """
    document = data_document(data) if isinstance(data, Dataset) else data
    root, place = Path(document["root"]).resolve(), Path(os.path.realpath(out))  # which may be a link to itself
    entries = [entry for entries in document["splits"].values() for entry in entries]
    folders = {(root / entry[kind]).parent for entry in entries for kind in ("image", "mask")}
    folders |= {root / entry["mask"] for entry in entries if entry["form"][0] == "instances"}  # a mask that is a folder
    inside = place.relative_to(root).parts[:1] if root in place.parents else ()
    among = [
        folder
        for folder in {folder.resolve() for folder in folders}
        if folder == place or (folder in place.parents and folder != root)
    ]
    if among or {name.lower() for name in inside} & (IMAGE_NAMES | MASK_NAMES):
        detail = among[0] if among else root
        fix = "Choose a folder elsewhere."
        got = f"{out}, among those of {detail}"
        raise UsageError(must("--out", "a folder apart from the images and masks", got, fix))


def read_split(
    document: dict[str, Any], split: str, root: Path | None = None
) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, image and mask (class numbers) of each record of a split, each file checked against its hash."""
    from maskwright.data.opening import load_pair  # late, as above

    root = root or Path(document["root"])
    if not root.exists():
        fix = "Pass --data FOLDER with where it is now."
        raise DataError(f"`{root}` must be the folder of the run's data; it is not there. {fix}")
    classes, bands = class_map(document), bands_of(document)
    for entry in split_entries(document, split):
        image, mask, hashes = load_pair(_record(entry, root, split), classes, bands)
        for kind, now in zip(("image", "mask"), hashes, strict=True):
            if now != entry[f"{kind}_sha256"]:
                fix = "Put the file back as it was, or train a new run on the data of now."
                raise DataError(
                    f"`{root / entry[kind]}` must be the file the run was made with; its content changed. {fix}"
                )
        yield entry["id"], image, mask


def _record(entry: dict[str, Any], root: Path, split: str) -> Record:
    kind, key, remap = entry["form"]
    form = MaskForm(kind, key, tuple((value, meant) for value, meant in remap))
    window = tuple(entry["window"]) if entry["window"] else None
    return Record(entry["id"], root / entry["image"], root / entry["mask"], split, entry["group"], form, window)


def _entry(item: Item, root: Path) -> dict[str, Any]:
    record = item.record
    return {
        "id": record.id,
        "image": _place(record.image, root),
        "mask": _place(record.mask, root),
        "form": [record.form.kind, record.form.key, [list(pair) for pair in record.form.remap]],
        "window": list(record.window) if record.window else None,
        "group": record.group,
        "size": [item.height, item.width],
        "image_sha256": item.image_hash,
        "mask_sha256": item.mask_hash,
    }


def _place(path: Path, root: Path) -> str:
    """A file's place relative to the data's folder, as it is found from there again."""
    place = os.path.relpath(path, root)
    if place.startswith(os.pardir):  # outside: `..` from a link to the folder is not `..` from the folder
        place = os.path.relpath(path.parent.resolve() / path.name, root.resolve())
    return Path(place).as_posix()
