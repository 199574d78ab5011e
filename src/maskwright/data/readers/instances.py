"""Instance masks, one picture each: ID/images/ with ID/masks/, masks/NAME/ or masks/NAME_0.png, NAME_1.png, …

The union of an image's instances is the foreground. Where every image has the same set of pictures they may as well be
classes or annotators: that is asked, not guessed, unless the reader was named.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing, MaskForm, Record
from maskwright.data.forms.instances import files_of, numbered
from maskwright.data.layout import IMAGE_NAMES, MASK_NAMES, SPLIT_NAMES, SUFFIXES, FolderPair, find_folder_pairs
from maskwright.errors import DataError, listed


class _Incomplete(DataError):
    """It is one of the layouts, but something is missing."""


CLASSES = {"background": 0, "foreground": 1}


def recognise(config: DataConfig, root: Path) -> str | None:
    """Which of the three layouts it is, if it is one; one mask an image is what other readers are for."""
    if not root.is_dir():
        return None
    try:
        return _find(config, root)[1]
    except _Incomplete:
        return "folders of instance masks"
    except DataError:
        return None


def read(config: DataConfig, root: Path) -> Listing:
    """A record an image, its mask the folder of its instances."""
    if not root.is_dir():
        raise DataError(f"`data.root` must be a folder for reader instances; got {root}, a file. Check the path.")
    records, layout, notes = _find(config, root)
    alike = _alike(records)
    if alike and config.reader == "auto":
        told = f"each of the {len(records)} images has the same masks ({listed(alike)})"
        fix = "If they are instances say so with --data.reader instances; classes or annotators belong into one mask an image."
        raise DataError(f"`{root}` must tell instances from classes; {told}. {fix}")
    return Listing(tuple(records), "instances", f"{layout}, one picture an instance: their union is the foreground", CLASSES,
                   tuple(notes), classes_from="the layout")  # fmt: skip


def _find(config: DataConfig, root: Path) -> tuple[list[Record], str, list[str]]:
    if not (config.images and config.masks):
        records, notes = _by_id(root)
        if records:
            return records, "ID/images beside ID/masks", notes
    pairs = _pairs(config, root)
    for layout, look in (("masks/NAME/", _in_folders), ("masks/NAME_0, NAME_1, …", _numbered)):
        found = [look(root, pair) for pair in pairs]
        if found and all(records for records, _ in found):
            return [record for records, _ in found for record in records], layout, [note for _, told in found for note in told]
    raise DataError(
        f"`{root}` must hold instance masks as ID/images with ID/masks, images/NAME with masks/NAME/, or masks/NAME_0, NAME_1, … "
        "for reader instances; it holds none of these. Check the path, or name the folders with data.images and data.masks."
    )


def _alike(records: list[Record]) -> list[str]:
    """The names of the masks, where more than two images have the same several ones."""
    found = {
        tuple(path.stem.removeprefix(record.form.key) for path in files_of(record.mask, record.form.key)) for record in records
    }
    names = next(iter(found))
    return list(names) if len(found) == 1 and len(names) > 1 and len(records) > 2 else []


def _pairs(config: DataConfig, root: Path) -> list[FolderPair]:
    if config.images and config.masks:
        return [FolderPair(root / config.images, root / config.masks, None)]
    return find_folder_pairs(root)[0]


def _by_id(root: Path) -> tuple[list[Record], list[str]]:
    """ID/images/ID.png with ID/masks/*.png, in the root or in one folder a split (stage1_train)."""
    records: list[Record] = []
    aside: list[str] = []
    problems: list[str] = []
    for folder in (root, *_folders(root)):
        without: list[str] = []
        before = len(records)
        for item in _folders(folder):
            inside = {_plain(inner): inner for inner in _folders(item)}
            images = next((inner for name, inner in inside.items() if name in IMAGE_NAMES), None)
            masks = next((inner for name, inner in inside.items() if name in MASK_NAMES), None)
            if images is None or _split(item.name):  # train/images beside train/masks is another layout
                continue
            found = _pictures(images)
            if masks is None:
                without.append(item.name)
            elif len(found) != 1:
                problems.append(f"{item.name} ({len(found)} images)")
            else:
                records.append(_record(found[0], root, masks, "", _split(folder.name) if folder != root else None))
        if len(records) > before:
            problems += [f"{name} (no folder of masks)" for name in without]
        else:  # a test set whose masks were never given away
            aside += without
    if len(problems) >= len(records) or not any(len(_pictures(record.mask)) > 1 for record in records):
        return [], []
    if problems:
        told = f"{len(problems)} do not: {listed(problems)}"
        raise _Incomplete(f"`{root}` must hold folders with one image in images/ and its masks in masks/; {told}. Mend them.")
    return records, [f"{len(aside)} images have no folder of masks and were left aside: {listed(aside)}"] if aside else []


def _in_folders(root: Path, pair: FolderPair) -> tuple[list[Record], list[str]]:
    """images/NAME.png with a folder masks/NAME/ of pictures."""
    folders = {folder.name: folder for folder in _folders(pair.masks)}
    images = {path.stem: path for path in _pictures(pair.images)}
    if _pictures(pair.masks) or 2 * len(images.keys() & folders.keys()) < max(len(images), len(folders), 1):
        return [], []
    odd = sorted(folders.keys() ^ images.keys())
    if odd:
        told = f"{len(odd)} images or folders of masks have no partner: {listed(odd)}"
        raise _Incomplete(f"`{pair.masks}` must hold a folder of masks for each image; {told}. Add or remove them.")
    return [_record(path, root, folders[name], "", pair.split) for name, path in images.items()], []


def _numbered(root: Path, pair: FolderPair) -> tuple[list[Record], list[str]]:
    """images/NAME.png with masks/NAME_0.png, NAME_1.png, …, several for some image."""
    images = {path.stem: path for path in _pictures(pair.images)}
    belongs = Counter(numbered(path.stem) for path in _pictures(pair.masks))
    if not belongs or not set(belongs) <= set(images) or max(belongs.values()) < 2:
        return [], []
    empty = [name for name in images if name not in belongs]
    notes = [f"{len(empty)} images have no instance: all of them is background ({listed(empty)})"] if empty else []
    return [_record(path, root, pair.masks, name, pair.split) for name, path in images.items()], notes


def _record(image: Path, root: Path, masks: Path, key: str, split: str | None) -> Record:
    name = Path(os.path.relpath(image, root)).with_suffix("").as_posix()
    return Record(name, image, masks, split, form=MaskForm("instances", key))


def _folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(Path(entry.path) for entry in entries if entry.is_dir() and not entry.name.startswith("."))


def _pictures(folder: Path) -> list[Path]:
    return sorted(_picture_files(folder)) if folder.is_dir() else []


def _picture_files(folder: Path) -> Iterator[Path]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if Path(entry.name).suffix.lower() in SUFFIXES and entry.is_file() and not entry.name.startswith("."):
                yield Path(entry.path)


def _plain(folder: Path) -> str:
    return "".join(char for char in folder.name.lower() if char.isalnum())


def _split(name: str) -> str | None:
    """The split a folder's name ends with: `stage1_train` → train."""
    words = "".join(char if char.isalpha() else " " for char in name.lower()).split()
    return next((SPLIT_NAMES[word] for word in reversed(words) if word in SPLIT_NAMES), None)
