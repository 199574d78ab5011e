"""What files beside images and masks tell: splits, and the names of classes where MATLAB's users keep them.

Splits: train.txt and val.txt, a CSV of image,split, a JSON of lists. They are read where every name in them is that of
one image; where not, a remark says that they lie unread.
Names: a list of texts in the .mat masks or in a file beside them. Lists count from 1, as MATLAB does; 0 is background.
They hold where the masks' values fit them.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskwright.data.dataset import Listing
from maskwright.data.decoding import decoding, load_json, read_bytes
from maskwright.data.forms.arrays import read_mat
from maskwright.data.layout import SPLIT_NAMES, files_below, split_words
from maskwright.data.readers.lists import read_lines
from maskwright.data.readers.pairs_csv import PAIRS_FILE, read_rows
from maskwright.errors import DataError, counted, listed

_STEMS = {"labels", "classes", "names", "categories", "label_names", "class_names", "labelnames", "classnames"}
_NUMBERED = re.compile(r"(\d{1,5})[\s:,]\s*(\S.*)")
_MOST_FILES = 16  # beside masks; a folder of more holds something else


def with_matlab_names(listing: Listing, root: Path) -> Listing:
    """The listing with the names that stand in or beside its .mat masks, if nothing else names the classes."""
    masks = {record.mask for record in listing.records}
    first = min(masks, default=None)
    if (
        listing.classes is not None
        or listing.usual_classes is not None
        or first is None
        or first.suffix.lower() != ".mat"
    ):
        return listing
    for path in (first, *_beside(first, root, masks)):
        try:
            names = _in_mat(path) if path.suffix.lower() == ".mat" else _in_text(path)
        except DataError:  # of a mask it is reported when it is read; whatever else lies about is none of ours
            continue
        if names:
            note = (
                f"{path.name} names {counted(len(names), 'class', 'classes')}, used where the masks hold no other "
                "values"
            )
            usual = names if 0 in names.values() else {"background": 0, **names}
            return replace(listing, usual_classes=usual, classes_from=path.name, notes=(*listing.notes, note))
    return listing


def _beside(mask: Path, root: Path, masks: set[Path]) -> Iterator[Path]:
    for folder in dict.fromkeys((mask.parent, root if root.is_dir() else root.parent)):
        files = [path for path in sorted(folder.glob("*.mat")) if path not in masks]
        yield from files if len(files) <= _MOST_FILES else ()
        yield from (path for path in sorted(folder.glob("*.txt")) if path.stem.lower() in _STEMS)


def _in_mat(path: Path) -> dict[str, int]:
    """The one list of different texts in a file, or the one of a usual name."""
    data = read_bytes(path)
    with decoding(path, "array file"):
        found = dict(_lists(read_mat(data), ""))
    usual = {name: texts for name, texts in found.items() if name.lower() in _STEMS}
    for lists in (usual, found):
        if len(lists) == 1:
            return {text: value for value, text in enumerate(next(iter(lists.values())), start=1)}
    return {}


def _lists(tree: Any, name: str) -> Iterator[tuple[str, list[str]]]:
    if isinstance(tree, list) and len(tree) > 1 and all(isinstance(text, str) and text.strip() for text in tree):
        if len(set(tree)) == len(tree):
            yield name, [text.strip() for text in tree]
    elif isinstance(tree, dict | list):
        for key, value in tree.items() if isinstance(tree, dict) else enumerate(tree):
            yield from _lists(value, str(key))


def _in_text(path: Path) -> dict[str, int]:
    """A name a line, or a number and a name."""
    lines = [line for _, line in read_lines(path)]
    numbered = [_NUMBERED.fullmatch(line) for line in lines]
    if all(numbered):
        return {match[2]: int(match[1]) for match in numbered if match}
    return {line: value for value, line in enumerate(lines, start=1)} if len(set(lines)) == len(lines) else {}


_WORDS = {
    "list",
    "lists",
    "split",
    "splits",
    "set",
    "sets",
    "names",
    "files",
    "file",
    "ids",
    "images",
    "final",
    "dataset",
}
_LARGEST = 2**24  # bytes: a list of names is no more


class _UnclearError(DataError):
    """Why a file of splits cannot be used."""


@dataclass(frozen=True)
class _Lists:
    """What the files of one place say: the split of each image, by its path."""

    files: tuple[str, ...]
    splits: Mapping[Path, str]


def with_listed_splits(listing: Listing, root: Path) -> Listing:
    """The listing with the splits that files tell, where folders tell none; and remarks on files that lie unread."""
    if not root.is_dir() or listing.reader == "csv":
        return listing
    index = _by_name(listing)
    places: dict[tuple[Path, str], list[Path]] = defaultdict(list)  # lists of names in one folder belong together
    for path in files_below(root)[0]:
        if _is_list(path) and path.stat().st_size <= _LARGEST:
            places[path.parent, path.suffix if _split_of(path.stem) else path.name].append(path)
    found: list[_Lists] = []
    unread: list[str] = []
    for paths in places.values():
        try:
            found += [lists] if (lists := _read(paths, root, index)).splits else []
        except DataError as refused:
            unread.append(f"{listed(_names(paths, root))} {'lies' if len(paths) == 1 else 'lie'} unread: {refused}")
    before = {record.image: record.split for record in listing.records if record.split}
    if before:
        other = [one for one in found if any(before.get(image, split) != split for image, split in one.splits.items())]
        notes = [f"{listed(one.files)} tell other splits than those that are read, and lie unread" for one in other]
        return replace(listing, notes=(*listing.notes, *notes))
    if any(one.splits != found[0].splits for one in found):
        names = listed([name for one in found for name in one.files])
        unread.append(f"{names} lie unread: they tell different splits; write one into {PAIRS_FILE} (image,mask,split)")
        found = []
    listing = replace(listing, notes=(*listing.notes, *unread))
    return _split(listing, found[0]) if found else listing


def _split(listing: Listing, lists: _Lists) -> Listing:
    """The records that lists name, each with its split."""
    kept = [
        replace(record, split=lists.splits[record.image]) for record in listing.records if record.image in lists.splits
    ]
    aside = [record.id for record in listing.records if record.image not in lists.splits]
    notes = [f"{len(aside)} images that no list names were left aside: {listed(aside)}"] if aside else []
    reason = f"{listing.reason}, split by {listed(lists.files)}"
    return replace(listing, records=tuple(kept), reason=reason, notes=(*listing.notes, *notes))


def _is_list(path: Path) -> bool:
    """Whether a file is called as lists of splits are: train.txt, val_list.txt, split.csv, splits_final.json."""
    words = set(split_words(path.stem))
    known = words <= SPLIT_NAMES.keys() | _WORDS | {"trainval"} and words & (
        SPLIT_NAMES.keys() | {"split", "splits", "trainval"}
    )
    return path.suffix in (".txt", ".csv", ".json") and (bool(known) or path.name == PAIRS_FILE)


def _by_name(listing: Listing) -> dict[str, set[Path]]:
    """Images by every way a list may name them: the ends of their paths, with the suffix and without."""
    found: dict[str, set[Path]] = defaultdict(set)
    for record in listing.records:
        parts = record.image.parts
        for count in range(1, min(len(parts), 5)):
            name = "/".join(parts[-count:])
            found[name].add(record.image)
            found[name.removesuffix(record.image.suffix)].add(record.image)
    return found


def _read(paths: Sequence[Path], root: Path, index: Mapping[str, set[Path]]) -> _Lists:
    """What these files, which lie in one folder, say together; nothing where no name in them is that of an image."""
    names: dict[str, list[str]] = defaultdict(list)
    both = [path for path in paths if _split_of(path.stem) == "trainval"]
    used = [path for path in paths if path not in both] or both  # train.txt and val.txt say more than trainval.txt
    for path in used:
        for split, some in {".csv": _table, ".json": _json, ".txt": _text}[path.suffix](path).items():
            names["train" if split == "trainval" else split] += some
    found = [(name, _image(name, index), split) for split, some in names.items() for name in some]
    there = {split for _, image, split in found if image}  # a test whose masks were never given away has no image here
    unknown = [name for name, image, split in found if image is None and split in there]
    if unknown:
        raise _UnclearError(
            f"{len(unknown)} of its names are no image's with a mask, or of several, such as {unknown[0]}"
        )
    splits: dict[Path, str] = {}
    for name, image, split in found:
        if image and splits.setdefault(image, split) != split:
            raise _UnclearError(f"{name} is in {splits[image]} and in {split}")
    if splits and "train" not in there:  # fastai's valid.txt: all others are for training
        splits |= {image: "train" for images in index.values() for image in images if image not in splits}
        if "train" not in splits.values():
            raise _UnclearError("it leaves no image to train on")
    return _Lists(tuple(_names(used, root)), splits)


def _names(paths: Sequence[Path], root: Path) -> list[str]:
    return [path.relative_to(root).as_posix() for path in paths]


def _image(line: str, index: Mapping[str, set[Path]]) -> Path | None:
    """The one image a line names: by its path or the end of that; behind it may stand the mask's."""
    for name in (line, re.split(r"[,;\t]| (?=\S+\.\w+$)", line)[0].strip()):
        parts = [part for part in re.split(r"[/\\]", name) if part not in ("", ".")]
        for start in range(len(parts)):
            found = index.get("/".join(parts[start:]), set())
            if len(found) == 1:
                return next(iter(found))
    return None


def _split_of(stem: str) -> str:
    """The split in a file's name."""
    words = set(split_words(stem))
    if "trainval" in words or {"train", "val"} <= words:
        return "trainval"
    return next((SPLIT_NAMES[word] for word in sorted(words) if word in SPLIT_NAMES), "")


def _text(path: Path) -> dict[str, list[str]]:
    """One name a line; the split is in the file's name."""
    return {_named_split(path): [line for _, line in read_lines(path)]}


def _table(path: Path) -> dict[str, list[str]]:
    """A CSV with an image in each row, and its split there or in the file's name."""
    rows, columns = read_rows(path, ("image",))
    if "split" not in columns and path.name == PAIRS_FILE:
        return {}
    found: dict[str, list[str]] = defaultdict(list)
    for _, row in rows:
        text = (row.get("split") or "").strip()
        split = SPLIT_NAMES.get(text.lower()) if "split" in columns else _named_split(path)
        if text and not split:
            raise _UnclearError(f"{text!r} is no split")
        if split:
            found[split].append((row.get("image") or "").strip())
    return found


def _json(path: Path) -> dict[str, list[str]]:
    """Lists by the names of splits, or one list whose split is in the file's name."""
    tree = load_json(path, "Leave it out.")
    lists = tree if isinstance(tree, dict) else {_split_of(path.stem): tree}
    found = {SPLIT_NAMES[str(key).lower()]: some for key, some in lists.items() if str(key).lower() in SPLIT_NAMES}
    if not found or not all(
        isinstance(some, list) and all(isinstance(name, str) for name in some) for some in found.values()
    ):
        raise _UnclearError("it holds no list of names for each split")
    return found


def _named_split(path: Path) -> str:
    if split := _split_of(path.stem):
        return split
    raise _UnclearError("neither its name nor its columns tell a split")
