"""The satellite workshop's layout: TRAIN_VAL_SET/{IMAGES,MASKS}, TEST_SET/ and label_mapping.json.

label_mapping.json is read in every form people write: names, ids and colours, either way round, as a list, or nested.

{"water": 1}   {"1": "water"}   {"water": [0, 0, 255]}   {"water": "#0000ff"}   {"0,0,255": "water"}
[{"name": "water", "id": 1, "color": [0, 0, 255]}]   ["background", "water"]   {"classes": {…any of these…}}
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Gap, Listing, Record
from maskwright.data.decoding import read_bytes, read_text
from maskwright.data.discovery import find_images_and_masks, role_folders
from maskwright.data.images import decode_colours, decode_mask
from maskwright.data.layout import image_files
from maskwright.data.readers.folders import read_pairs
from maskwright.data.readers.lists import whole
from maskwright.data.readers.voc import background_first
from maskwright.errors import DataError, as_typed, listed

_NESTS = ("classes", "labels", "label_mapping", "mapping")
_NAME_KEYS = ("name", "label", "class", "class_name")
_ID_KEYS = ("id", "value", "index", "class_id", "label", "class")
_COLOUR_KEYS = ("color", "colour", "rgb", "hex", "color_rgb")
_HEX = re.compile(r"#([0-9a-fA-F]{6})")
_TRIPLE = re.compile(r"(?:rgb)?\s*+[\[(]?\s*+(\d{1,9})\s*+,\s*+(\d{1,9})\s*+,\s*+(\d{1,9})\s*+[\])]?")
_HOW = 'Write {"water": 1, "road": 2}, or {"water": [0, 0, 255], "road": "#804080"}.'


@dataclass(frozen=True)
class LabelMapping:
    """Names with ids, with colours (0xRRGGBB), or with both; `unused` are keys beside the classes."""

    ids: dict[str, int] | None
    colours: dict[str, int] | None
    unused: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Entry:
    name: str
    id: int | None = None
    colour: int | None = None


class _WrongError(Exception):
    """What is wrong with an entry: what must hold, and what was found."""


def read_label_mapping(path: Path) -> LabelMapping:
    """What the file says of each class.

    Classes with ids are ordered by these, others as they stand, `background` first.
    """
    try:
        tree = json.loads(read_text(path), object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise DataError(f"`{path}` must be JSON; {error.msg} on line {error.lineno}. Fix that line.") from None
    except RecursionError:
        raise DataError(f"`{path}` must hold classes; it is nested too deep. {_HOW}") from None
    except _WrongError as wrong:
        raise DataError(f"`{path}` must {wrong}. Keep one of them.") from None
    except ValueError as error:  # numbers of thousands of digits
        raise DataError(f"`{path}` must hold classes; {error}. {_HOW}") from None
    unused: list[str] = []
    while isinstance(tree, dict) and len(nests := [key for key in tree if _is_nest(key, tree[key])]) == 1:
        unused += [key for key in tree if key != nests[0]]
        tree = tree[nests[0]]
    try:
        entries = _entries(tree)
        if twice := _twice(entry.name for entry in entries):
            raise _WrongError(f"name each class once; got {twice} more than once")
        if not entries:
            raise _WrongError("name the classes; it names none")
        ids = {entry.name: entry.id for entry in entries if entry.id is not None}
        colours = {entry.name: entry.colour for entry in entries if entry.colour is not None}
        if max(len(ids), len(colours)) < len(entries):
            most, kind = (ids, "id") if len(ids) > len(colours) else (colours, "colour")
            odd = listed(repr(entry.name) for entry in entries if entry.name not in most)
            raise _WrongError(f"give every class an id or every class a colour; got no {kind} for {odd}")
    except _WrongError as wrong:
        raise DataError(f"`{path}` must {wrong}. {_HOW}") from None
    by_id = dict(sorted(ids.items(), key=lambda item: item[1])) if len(ids) == len(entries) else None
    return LabelMapping(by_id, background_first(colours) if len(colours) == len(entries) else None, tuple(unused))


def _twice(names: Iterable[str]) -> str:
    found = sorted(name for name, number in Counter(names).items() if number > 1)
    return listed(map(repr, found)) if found else ""


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON readers keep the last of equal keys without a word; a class would be lost."""
    if twice := _twice(key for key, _ in pairs):
        raise _WrongError(f"have each key once; got {twice} more than once")
    return dict(pairs)


def _is_nest(key: str, value: Any) -> bool:
    """A table or a list of classes, and not the colour or the object of a class that happens to be called `labels`."""
    if key.lower() not in _NESTS:
        return False
    if isinstance(value, dict):
        return not {key.lower() for key in value} <= {*_NAME_KEYS, *_ID_KEYS, *_COLOUR_KEYS} or not value
    return isinstance(value, list) and not (value and all(isinstance(part, int | float) for part in value))


def _entries(tree: Any) -> list[_Entry]:
    if isinstance(tree, list) and tree and all(isinstance(part, str) for part in tree):
        return [_entry(part, place, None, part) for place, part in enumerate(tree)]
    if isinstance(tree, list):
        return [_from_object(part, None, f"entry {place}") for place, part in enumerate(tree, start=1)]
    if isinstance(tree, dict):
        return [_from_pair(key, value) for key, value in tree.items()]
    raise _WrongError(f"hold a table or a list of classes; got {_short(tree)}")


def _from_pair(key: str, value: Any) -> _Entry:
    """One `key: value`, whichever of them is the name."""
    got = f"{json.dumps(key, ensure_ascii=False)}: {_short(value)}"
    if isinstance(value, dict):
        return _from_object(value, key, repr(key))
    match _kind(key), _kind(value):
        case "name", "id":
            return _entry(key, value, None, got)
        case "name", _:
            return _entry(key, None, value, got)
        case kind, "name":
            return _entry(value, key, None, got) if kind == "id" else _entry(value, None, key, got)
        case "id", "colour":  # nothing names them
            return _entry(f"class_{_number(key)}", key, value, got)
        case "id", _:
            raise _WrongError(f"have a name for each id; got {got}, where it is not clear which is which")
        case _:
            raise _WrongError(f"give a colour a name; got {got}")


def _from_object(value: Any, key: str | None, where: str) -> _Entry:
    """An object of name, id and colour; the key it stands at tells what it lacks."""
    if not isinstance(value, dict):
        raise _WrongError(f"have objects of name and id or colour in a list; {where} is {_short(value)}")
    fields = {name.lower(): part for name, part in value.items()}
    # `label` and `class` may hold the name or the number
    is_name = {one: one in _NAME_KEYS and isinstance(part, str) for one, part in fields.items()}
    found = {
        "name": next((fields[one] for one in _NAME_KEYS if is_name.get(one)), None),
        "id": next((fields[one] for one in _ID_KEYS if one in fields and not is_name[one]), None),
        "colour": next((fields[one] for one in _COLOUR_KEYS if fields.get(one) is not None), None),
    }
    if {"r", "g", "b"} <= set(fields):
        found["colour"] = [fields["r"], fields["g"], fields["b"]]
    if key is not None and found[_kind(key)] is None:
        found[_kind(key)] = key
    if found["name"] is None or (found["id"] is None and found["colour"] is None):
        lacks = "name" if found["name"] is None else "id or a colour"
        got = f"{where} has no {lacks}, got {_short(value)}"
        raise _WrongError(f"give each class a name and an id or a colour; {got}")
    return _entry(found["name"], found["id"], found["colour"], where)


def _entry(name: str, id_: Any, colour: Any, got: str) -> _Entry:
    """An entry whose parts are valid."""
    if not name.strip():
        raise _WrongError(f"have names that are not empty; got {got}")
    number = _number(id_) if isinstance(id_, str) and id_.strip().isdecimal() else id_
    if number is not None and (type(number) is not int or not 0 <= number <= 65535):
        got = got if ":" in got else f"{_short(id_)} in {got}"
        raise _WrongError(f"give each class an id from 0 to 65535, or a colour; got {got}")
    if number is None and colour is None:
        raise _WrongError(f"give each class an id from 0 to 65535, or a colour; got {got}")
    return _Entry(name.strip(), number, None if colour is None else _colour(colour))


def _kind(value: Any) -> str:
    """What a key or value is by its form; of what is none of them an id is asked for."""
    if isinstance(value, str) and not value.strip().isdecimal():
        return "colour" if _HEX.fullmatch(value.strip()) or _TRIPLE.fullmatch(value.strip()) else "name"
    return "colour" if isinstance(value, list) else "id"


def _number(digits: str) -> int:
    """Python refuses to read numbers of thousands of digits; whatever is so long is too large for an id."""
    return int(digits) if len(digits) < 100 else 10**9


def _colour(value: Any) -> int:
    """'#rrggbb', 'r,g,b' or [r, g, b] → 0xRRGGBB"""
    parts = value if isinstance(value, list) else ()
    if isinstance(value, str) and (match := _HEX.fullmatch(value.strip())):
        return int(match[1], 16)
    if isinstance(value, str) and (match := _TRIPLE.fullmatch(value.strip())):
        parts = [int(part) for part in match.groups()]
    if len(parts) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        wish = 'write colours as [r, g, b] of whole numbers from 0 to 255 or as "#rrggbb"'
        raise _WrongError(f"{wish}; got {_short(value)}")
    red, green, blue = parts
    return (red << 16) | (green << 8) | blue


def _short(value: Any) -> str:
    """A value as JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"


MAPPING = "label_mapping.json"
_TRAIN_NAMES = ("trainvalset", "tainvalset")  # the workshop's own text has the second
_TEST_NAMES = ("testset",)
_MOST_LOOKED_AT = 50  # masks, to see whether they hold ids or colours


def recognise(config: DataConfig, root: Path) -> str | None:
    """TRAIN_VAL_SET/, with the workshop's misspelling too, that holds images and masks."""
    folder = None if config.images else _folder(root, _TRAIN_NAMES)
    return f"it holds {folder.name}/" if folder else None


def read(config: DataConfig, root: Path) -> Listing:
    """TRAIN_VAL_SET is train (val is dealt from it), TEST_SET is test where it has masks."""
    train = _folder(root, _TRAIN_NAMES)
    if train is None or len(role_folders(train)) < 2:
        got = f"{train.name}/ without them" if train else "no such folder"
        wish = "TRAIN_VAL_SET/ with IMAGES/ and MASKS/ for reader workshop"
        raise DataError(f"`{root}` must hold {wish}; got {got}. Put the images and masks there.")
    sides, notes = {train: "train"}, list[str]()
    test = _folder(root, _TEST_NAMES)
    if test is not None and (note := _without_masks(test)):
        notes.append(note)
    elif test is not None:
        sides[test] = "test"
    layouts = {folder: find_images_and_masks(folder) for folder in sides}
    records, rules, gaps = list[Record](), set[str](), list[Gap]()
    for folder, found in layouts.items():
        inside, how, missing = read_pairs(root, found)
        records += [replace(record, split=sides[folder]) for record in inside]
        rules |= set(how)
        gaps += missing
        notes += found.notes
    classes, colours, detail = _classes(root, train, records)
    where = listed([f"{folder.name} is {split}" for folder, split in sides.items()])
    reason = f"{layouts[train].layout}, {where}, paired by {listed(sorted(rules))}"
    listing = Listing(tuple(records), "workshop", reason, classes, (*notes, *detail), (), colours, MAPPING)
    return whole(listing, gaps)


def _folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of one of these names, capitals and underscores aside."""
    if not root.is_dir():
        return None
    inside = sorted(path for path in root.iterdir() if path.is_dir())
    return next((path for path in inside if "".join(filter(str.isalnum, path.name.lower())) in names), None)


def _without_masks(test: Path) -> str:
    """A remark on a test without images or masks: it can be predicted and not scored."""
    folders = role_folders(test)
    if len(folders) == 2 and image_files(folders["masks"])[0]:
        return ""
    images = image_files(test)[0]
    if not images:
        return f"{test.name} holds no images, so there is no test"
    where = f"{test.name} has {len(images)} images and no masks, so there is no test to score"
    return f"{where}; predict them with maskwright predict RUN {as_typed(images[0].parent)}"


def _classes(root: Path, train: Path, records: list[Record]) -> tuple[dict[str, int] | None, bool, list[str]]:
    """Classes, whether they are colours, and remarks."""
    path = next((place / MAPPING for place in (root, train) if (place / MAPPING).is_file()), None)
    if path is None:
        return None, False, [f"{MAPPING} is not there, so classes are read off the masks' values"]
    mapping = read_label_mapping(path)
    notes = [f"{listed(mapping.unused)} in {MAPPING} are not used"] if mapping.unused else []
    if mapping.ids is None or mapping.colours is None:
        return mapping.ids or mapping.colours, mapping.ids is None, notes
    colours = _hold_colours([record.mask for record in records], mapping.ids, mapping.colours)
    kind, other = ("colours", "ids") if colours else ("ids", "colours")
    notes.append(f"{MAPPING} gives ids and colours; the masks hold {kind}, so its {other} are not used")
    return (mapping.colours if colours else mapping.ids), colours, notes


def _hold_colours(masks: list[Path], ids: dict[str, int], colours: dict[str, int]) -> bool:
    """Whether masks hold the colours rather than the ids: decided by the first mask that fits one of them alone."""
    for path in masks[:_MOST_LOOKED_AT]:
        data = read_bytes(path)
        try:
            as_colours = set(np.unique(decode_colours(data, path)).tolist()) <= set(colours.values())
        except DataError:  # a broken file; reported with all others when the files are read
            continue
        try:
            as_ids = set(np.unique(decode_mask(data, path)).tolist()) <= {*ids.values(), 255}
        except DataError:  # a colour picture
            as_ids = False
        if as_colours != as_ids:
            return as_colours
    return False
