"""label_mapping.json in every form people write: names, ids and colours, either way round, as a list, or nested.

{"water": 1}   {"1": "water"}   {"water": [0, 0, 255]}   {"water": "#0000ff"}   {"0,0,255": "water"}
[{"name": "water", "id": 1, "color": [0, 0, 255]}]   ["background", "water"]   {"classes": {…any of these…}}
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.data.decoding import read_text
from maskwright.data.readers.labelmap import background_first
from maskwright.errors import DataError, listed

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
    tree, unused = _unwrapped(_loaded(path))
    try:
        entries = _entries(tree)
        names = [entry.name for entry in entries]
        twice = sorted(name for name, number in Counter(names).items() if number > 1)
        if twice:
            raise _WrongError(f"name each class once; got {listed(map(repr, twice))} more than once")
        if not entries:
            raise _WrongError("name the classes; it names none")
        ids = {entry.name: entry.id for entry in entries if entry.id is not None}
        colours = {entry.name: entry.colour for entry in entries if entry.colour is not None}
        if max(len(ids), len(colours)) < len(entries):
            odd = [name for name in names if name not in (ids if len(ids) > len(colours) else colours)]
            kind = "id" if len(ids) > len(colours) else "colour"
            raise _WrongError(f"give every class an id or every class a colour; got no {kind} for {listed(map(repr, odd))}")
    except _WrongError as wrong:
        raise DataError(f"`{path}` must {wrong}. {_HOW}") from None
    by_id = dict(sorted(ids.items(), key=lambda item: item[1]))
    return LabelMapping(
        by_id if len(ids) == len(entries) else None,
        background_first(colours) if len(colours) == len(entries) else None,
        unused,
    )


def _loaded(path: Path) -> Any:
    try:
        return json.loads(read_text(path), object_pairs_hook=_no_key_twice)
    except json.JSONDecodeError as error:
        raise DataError(f"`{path}` must be JSON; {error.msg} on line {error.lineno}. Mend that line.") from None
    except RecursionError:
        raise DataError(f"`{path}` must hold classes; it is nested too deep. {_HOW}") from None
    except _WrongError as wrong:
        raise DataError(f"`{path}` must {wrong}. Keep one of them.") from None
    except ValueError as error:  # numbers of thousands of digits
        raise DataError(f"`{path}` must hold classes; {error}. {_HOW}") from None


def _no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON readers keep the last of equal keys without a word; a class would be lost."""
    twice = sorted(key for key, number in Counter(key for key, _ in pairs).items() if number > 1)
    if twice:
        raise _WrongError(f"have each key once; got {listed(map(repr, twice))} more than once")
    return dict(pairs)


def _unwrapped(tree: Any) -> tuple[Any, tuple[str, ...]]:
    """The classes inside a `classes:` or the like, and keys beside it."""
    unused: list[str] = []
    while isinstance(tree, dict):
        nests = [key for key in tree if key.lower() in _NESTS and _holds_classes(tree[key])]
        if len(nests) != 1:
            break
        unused += [key for key in tree if key != nests[0]]
        tree = tree[nests[0]]
    return tree, tuple(unused)


def _holds_classes(value: Any) -> bool:
    """A table or a list, and not the colour or the object of a class that happens to be called `labels`."""
    if isinstance(value, dict):
        return not {key.lower() for key in value} <= {*_NAME_KEYS, *_ID_KEYS, *_COLOUR_KEYS} or not value
    return isinstance(value, list) and not (value and all(isinstance(part, int | float) for part in value))


def _entries(tree: Any) -> list[_Entry]:
    if isinstance(tree, list):
        if tree and all(isinstance(part, str) for part in tree):
            return [_Entry(_name(part, part), place) for place, part in enumerate(tree)]
        return [_from_object(part, None, f"entry {place}") for place, part in enumerate(tree, start=1)]
    if isinstance(tree, dict):
        return [_from_pair(key, value) for key, value in tree.items()]
    raise _WrongError(f"hold a table or a list of classes; got {_told(tree)}")


def _from_pair(key: str, value: Any) -> _Entry:
    """One `key: value`, whichever of them is the name."""
    got = f"{json.dumps(key, ensure_ascii=False)}: {_told(value)}"
    if isinstance(value, dict):
        return _from_object(value, key, repr(key))
    if _is_colour(key):
        if not isinstance(value, str) or _is_colour(value):
            raise _WrongError(f"give a colour a name; got {got}")
        return _Entry(_name(value, got), colour=_colour(key))
    if key.strip().isdecimal():
        if isinstance(value, str) and not value.strip().isdecimal() and not _is_colour(value):
            return _Entry(_name(value, got), _id(_number(key), got))
        if isinstance(value, list) or (isinstance(value, str) and _is_colour(value)):  # id → colour: nothing names them
            return _Entry(f"class_{_number(key)}", _id(_number(key), got), _colour(value))
        raise _WrongError(f"have a name for each id; got {got}, where it is not clear which is which")
    if isinstance(value, list) or (isinstance(value, str) and not value.strip().isdecimal()):
        return _Entry(_name(key, got), colour=_colour(value))
    return _Entry(_name(key, got), _id(value, got))


def _from_object(value: Any, key: str | None, where: str) -> _Entry:
    """An object of name, id and colour; the key it stands at tells what it lacks."""
    if not isinstance(value, dict):
        raise _WrongError(f"have objects of name and id or colour in a list; {where} is {_told(value)}")
    fields = {name.lower(): part for name, part in value.items()}
    name = next((fields[one] for one in _NAME_KEYS if isinstance(fields.get(one), str)), None)
    id_ = next(
        (fields[one] for one in _ID_KEYS if one in fields and not (one in _NAME_KEYS and isinstance(fields[one], str))), None
    )
    colour = next((fields[one] for one in _COLOUR_KEYS if fields.get(one) is not None), None)
    if {"r", "g", "b"} <= set(fields):
        colour = [fields["r"], fields["g"], fields["b"]]
    if key is not None and name is None and not key.strip().isdecimal() and not _is_colour(key):
        name = key
    elif key is not None and id_ is None and key.strip().isdecimal():
        id_ = _number(key)
    elif key is not None and colour is None and _is_colour(key):
        colour = key
    if name is None or (id_ is None and colour is None):
        lacks = "a name" if name is None else "an id or a colour"
        raise _WrongError(
            f"give each class a name and an id or a colour; {where} has no {lacks.split(' ', 1)[1]}, got {_told(value)}"
        )
    return _Entry(_name(name, where), None if id_ is None else _id(id_, where), None if colour is None else _colour(colour))


def _name(value: str, got: str) -> str:
    if not value.strip():
        raise _WrongError(f"have names that are not empty; got {got}")
    return value.strip()


def _id(value: Any, got: str) -> int:
    if isinstance(value, str) and value.strip().isdecimal():
        value = _number(value)
    if type(value) is not int or not 0 <= value <= 65535:
        raise _WrongError(
            f"give each class an id from 0 to 65535, or a colour; got {got if ':' in got else f'{_told(value)} in {got}'}"
        )
    return value


def _number(digits: str) -> int:
    """Python refuses to read numbers of thousands of digits; whatever is so long is too large for an id."""
    return int(digits) if len(digits) < 100 else 10**9


def _is_colour(text: str) -> bool:
    return bool(_HEX.fullmatch(text.strip()) or _TRIPLE.fullmatch(text.strip()))


def _colour(value: Any) -> int:
    """'#rrggbb', 'r,g,b' or [r, g, b] → 0xRRGGBB"""
    parts: Sequence[Any] = value if isinstance(value, list) else ()
    if isinstance(value, str):
        text = value.strip()
        if match := _HEX.fullmatch(text):
            return int(match[1], 16)
        triple = _TRIPLE.fullmatch(text)
        parts = [int(part) for part in triple.groups()] if triple else ()
    if len(parts) != 3 or not all(type(part) is int and 0 <= part <= 255 for part in parts):
        raise _WrongError(f'write colours as [r, g, b] of whole numbers from 0 to 255 or as "#rrggbb"; got {_told(value)}')
    red, green, blue = parts
    return (red << 16) | (green << 8) | blue


def _told(value: Any) -> str:
    """A value as JSON, cut short."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "…"
