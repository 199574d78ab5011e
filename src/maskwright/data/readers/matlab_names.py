"""Names of classes where MATLAB's users keep them: a list of texts in the masks' files, or in a file beside them.

Lists count from 1, as MATLAB does; 0 is background. They hold where the masks' values fit them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskwright.data.dataset import Listing
from maskwright.data.decoding import decoding, read_bytes
from maskwright.data.forms.matlab import read_mat
from maskwright.data.readers.lists import read_lines
from maskwright.errors import DataError, counted

_STEMS = {"labels", "classes", "names", "categories", "label_names", "class_names", "labelnames", "classnames"}
_NUMBERED = re.compile(r"(\d{1,5})[\s:,]\s*(\S.*)")
_MOST_FILES = 16  # beside masks; a folder of more holds something else


def with_matlab_names(listing: Listing, root: Path) -> Listing:
    """The listing with the names that stand in or beside its .mat masks, if nothing else names the classes."""
    masks = {record.mask for record in listing.records}
    first = min(masks, default=None)
    if listing.classes is not None or listing.usual_classes is not None or first is None or first.suffix.lower() != ".mat":
        return listing
    for path in (first, *_beside(first, root, masks)):
        try:
            names = _in_mat(path) if path.suffix.lower() == ".mat" else _in_text(path)
        except DataError:  # of a mask it is told when it is read; whatever else lies about is none of ours
            continue
        if names:
            note = f"{path.name} names {counted(len(names), 'class', 'classes')}, used where the masks hold no other values"
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
