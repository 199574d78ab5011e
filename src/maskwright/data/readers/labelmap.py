"""labelmap.txt as Pascal VOC's and CVAT's tools write it: a name a line, or `name:r,g,b:parts:actions`."""

from __future__ import annotations

import re
from pathlib import Path

from maskwright.data.decoding import read_bytes
from maskwright.data.readers.lists import read_lines
from maskwright.errors import DataError, listed

LABELMAP = "labelmap.txt"
_COLOURED = re.compile(r"(?P<name>.+?):\s*+(?P<r>\d{1,9})\s*+,\s*+(?P<g>\d{1,9})\s*+,\s*+(?P<b>\d{1,9})\s*+(?::.*)?")
_LONGEST = 1000  # of lines: what the pattern takes grows with the square
_HOW = "Write `name:r,g,b::`, or one name a line in the order of the masks' values."


def has_colours(base: Path) -> bool:
    """Whether a folder's labelmap.txt tells classes by colour: its header or its lines say so."""
    path = base / LABELMAP
    if not path.is_file():
        return False
    try:
        head = read_bytes(path).decode("utf-8-sig", "replace").lower().lstrip()
        return "color_rgb" in head.split("\n")[0] or any(_coloured(line) for _, line in read_lines(path))
    except DataError:
        return False


def read_labelmap(path: Path) -> tuple[dict[str, int], bool]:
    """Class names with their values, and whether these are colours (0xRRGGBB).

    Where classes are colours, nothing tells their order, so `background` goes first: class 0 is what the rest stands out from.
    """
    lines = read_lines(path)
    found = {number: _coloured(line) for number, line in lines}
    coloured = any(found.values())
    classes: dict[str, int] = {}
    for place, (number, line) in enumerate(lines):
        match = found[number]
        if (match is None) == coloured or (match is None and ":" in line):
            wish = "a colour on every line, or on none"
            raise DataError(f"`{path}` must have {wish}; got {line[:60]!r} on line {number}. {_HOW}")
        name = match["name"].rstrip() if match else line
        if name in classes:
            raise DataError(f"`{path}` must name each class once; {name!r} stands again on line {number}. Remove one of them.")
        classes[name] = _colour(path, number, match) if match else place
    if not classes:
        raise DataError(f"`{path}` must name the classes; it names {listed([])}. {_HOW}")
    return (background_first(classes) if coloured else classes), coloured


def _coloured(line: str) -> re.Match[str] | None:
    return _COLOURED.fullmatch(line) if len(line) < _LONGEST else None


def background_first(classes: dict[str, int]) -> dict[str, int]:
    """The same classes with the one called background before the others.

    >>> list(background_first({"ant": 7, "Background": 0}))
    ['Background', 'ant']
    """
    return dict(sorted(classes.items(), key=lambda item: item[0].lower() != "background"))


def _colour(path: Path, number: int, match: re.Match[str]) -> int:
    red, green, blue = (int(match[part]) for part in "rgb")
    if max(red, green, blue) > 255:
        got = f"{red},{green},{blue} on line {number}"
        raise DataError(f"`{path}` must have colours of three numbers from 0 to 255; got {got}. Mend it.")
    return (red << 16) | (green << 8) | blue
