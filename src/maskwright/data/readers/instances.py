"""Instance masks, one picture each: ID/images/ with ID/masks/, masks/NAME/ or masks/NAME_0.png, NAME_1.png, …

The union of an image's instances is the foreground. Where every image has the same set of pictures they may as well be
classes or annotators: that is asked, not guessed, unless the reader was named.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing, MaskForm, Record
from maskwright.data.discovery import by_role, role_folders
from maskwright.data.forms.pictures import files_of, numbered
from maskwright.data.kinds import Files
from maskwright.data.layout import folders_in, split_of
from maskwright.data.readers.lists import record_id
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
        detail = f"each of the {len(records)} images has the same masks ({listed(alike)})"
        fix = (
            "If they are instances say so with --data.reader instances; classes or annotators belong into one mask an "
            "image."
        )
        raise DataError(f"`{root}` must tell instances from classes; {detail}. {fix}")
    return Listing(tuple(records), "instances", f"{layout}, one picture an instance: their union is the foreground",
                   CLASSES, tuple(notes), classes_from="the layout")  # fmt: skip


def _find(config: DataConfig, root: Path) -> tuple[list[Record], str, list[str]]:
    if not (config.images and config.masks):
        records, notes = _by_id(root)
        if records:
            return records, "ID/images beside ID/masks", notes
    images, masks = by_role(root, config.images, config.masks)
    for layout, look in (("masks/NAME/", _in_folders), ("masks/NAME_0, NAME_1, …", _numbered)):
        records, notes = look(root, images, masks)
        if records:
            return records, layout, notes
    raise DataError(
        f"`{root}` must hold instance masks as ID/images with ID/masks, images/NAME with masks/NAME/, or masks/NAME_0, "
        "NAME_1, … for reader instances; it holds none of these. Check the path, or name the folders with data.images "
        "and data.masks."
    )


def _alike(records: list[Record]) -> list[str]:
    """The names of the masks, where more than two images have the same several ones."""
    found = {
        tuple(path.stem.removeprefix(record.form.key) for path in files_of(record.mask, record.form.key))
        for record in records
    }
    names = next(iter(found))
    return list(names) if len(found) == 1 and len(names) > 1 and len(records) > 2 else []


def _by_id(root: Path) -> tuple[list[Record], list[str]]:
    """ID/images/ID.png with ID/masks/*.png, in the root or in one folder a split (stage1_train)."""
    records: list[Record] = []
    aside: list[str] = []
    problems: list[str] = []
    for folder in (root, *folders_in(root)):
        without: list[str] = []
        before = len(records)
        for item in folders_in(folder):
            inside = role_folders(item)
            images, masks = inside.get("images"), inside.get("masks")
            if images is None or split_of(item.name):  # train/images beside train/masks is another layout
                continue
            found = _pictures(images)
            if masks is None:
                without.append(item.name)
            elif len(found) != 1:
                problems.append(f"{item.name} ({len(found)} images)")
            else:
                records.append(_record(found[0], root, masks, "", split_of(folder.name) if folder != root else None))
        if len(records) > before:
            problems += [f"{name} (no folder of masks)" for name in without]
        else:  # a test set whose masks were never given away
            aside += without
    if len(problems) >= len(records) or not any(len(_pictures(record.mask)) > 1 for record in records):
        return [], []
    if problems:
        detail = f"{len(problems)} do not: {listed(problems)}"
        raise _Incomplete(
            f"`{root}` must hold folders with one image in images/ and its masks in masks/; {detail}. Fix them."
        )
    return records, [
        f"{len(aside)} images have no folder of masks and were left aside: {listed(aside)}"
    ] if aside else []


def _in_folders(root: Path, images: Files, masks: Files) -> tuple[list[Record], list[str]]:
    """images/NAME.png with a folder masks/NAME/ of pictures."""
    ours = {(split, name): path for split, name, path in zip(images.splits, images.names, images.paths, strict=True)}
    folders = {
        (split, name.rpartition("/")[0]): path.parent
        for split, name, path in zip(masks.splits, masks.names, masks.paths, strict=True)
    }
    if 2 * len(ours.keys() & folders.keys()) < max(len(ours), len(folders)):
        return [], []
    odd = sorted(name for _, name in folders.keys() ^ ours.keys())
    if odd:
        detail = f"{len(odd)} images or folders of masks have no partner: {listed(odd)}"
        raise _Incomplete(f"`{masks.folder}` must hold a folder of masks for each image; {detail}. Add or remove them.")
    return [_record(path, root, folders[key], "", key[0]) for key, path in ours.items()], []


def _numbered(root: Path, images: Files, masks: Files) -> tuple[list[Record], list[str]]:
    """images/NAME.png with masks/NAME_0.png, NAME_1.png, …, several for some image."""
    ours = {(split, name): path for split, name, path in zip(images.splits, images.names, images.paths, strict=True)}
    parents = dict(zip(masks.splits, (path.parent for path in masks.paths), strict=True))
    belongs = Counter((split, numbered(name)) for split, name in zip(masks.splits, masks.names, strict=True))
    if (
        not belongs
        or not belongs.keys() <= ours.keys()
        or max(belongs.values()) < 2
        or len(parents) < len({p.parent for p in masks.paths})
    ):
        return [], []
    empty = [name for split, name in ours if (split, name) not in belongs]
    notes = [f"{len(empty)} images have no instance: all of them is background ({listed(empty)})"] if empty else []
    return [_record(path, root, parents[split], path.stem, split) for (split, _), path in ours.items()], notes


def _record(image: Path, root: Path, masks: Path, key: str, split: str | None) -> Record:
    return Record(record_id(image, root), image, masks, split, form=MaskForm("instances", key))


def _pictures(folder: Path) -> list[Path]:
    return [path for path in files_of(folder, "") if path.parent == folder] if folder.is_dir() else []
