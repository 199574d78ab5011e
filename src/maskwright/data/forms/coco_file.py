"""A COCO file, parsed once and checked whole: its images, categories, and the annotations of each image."""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from maskwright.data.decoding import load_json, read_bytes, refuse_no_file
from maskwright.errors import DataError, listed

LARGEST_ID = 65533  # of a category; the two values above are taken
BACKGROUND = 65534  # pixels no annotation covers; readers say by `remap` which value that is to be
CROWD = 65535  # regions marked iscrowd: neither learned nor scored
_FARTHEST = 1e12  # all coordinates of an outline together
_KEPT = 8  # parsed files kept at once
_parsed: dict[tuple[Path, int, int], CocoFile] = {}
_lock = threading.Lock()


@dataclass(frozen=True)
class CocoImage:
    """height and width are None where the file does not tell them."""

    id: str
    file_name: str
    height: int | None
    width: int | None


@dataclass(frozen=True)
class CocoFile:
    """Categories id → name; annotations by image id, each {"category", "crowd", "outline"}."""

    path: Path
    images: dict[str, CocoImage]
    categories: dict[int, str]
    parents: frozenset[str]  # names some other category has as its supercategory
    annotations: dict[str, list[dict[str, Any]]]
    used: frozenset[int]  # categories that have annotations
    without_area: int  # outlines of fewer than three points, left out


def parse(path: Path) -> CocoFile:
    """The file's contents; the same unchanged file is parsed once."""
    refuse_no_file(path)
    state = path.stat()
    key = (path.resolve(), state.st_mtime_ns, state.st_size)
    with _lock:  # files are opened by several threads, and one parse of half a gigabyte is enough
        if key not in _parsed:
            while len(_parsed) >= _KEPT:
                _parsed.pop(next(iter(_parsed)))
            _parsed[key] = _read(path)
        return _parsed[key]


def looks_like_coco(path: Path) -> bool:
    """Whether a JSON has the parts of a COCO file, told from its text: parsing may take long."""
    try:
        data = read_bytes(path)
    except DataError:
        return False
    return data.lstrip()[:1] == b"{" and all(word in data for word in (b'"images"', b'"annotations"', b'"categories"'))


def _read(path: Path) -> CocoFile:
    tree = load_json(path, "Download or export it again.")
    parts = ("images", "annotations", "categories")
    if not isinstance(tree, dict) or not all(isinstance(tree.get(part), list) for part in parts):
        raise DataError(f"`{path}` must hold the lists {listed(parts)}, as COCO files do; it does not. Export it as COCO.")
    problems: list[str] = []
    categories, parents = _categories(tree["categories"], problems)
    images = _images(tree["images"], problems)
    by_image, used, without_area = _annotations(tree["annotations"], images, categories, problems)
    if problems:
        raise DataError(f"`{path}` must be a sound COCO file; {listed(problems, 'and', 5)}. Mend it, or export it again.")
    return CocoFile(path, images, categories, parents, by_image, used, without_area)


def _categories(entries: list[Any], problems: list[str]) -> tuple[dict[int, str], frozenset[str]]:
    found: dict[int, str] = {}
    names: set[str] = set()
    parents: set[str] = set()
    for entry in entries:
        number, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if type(number) is not int or not 0 <= number <= LARGEST_ID or not isinstance(name, str) or not name:
            problems.append(f"a category needs a name and an id from 0 to {LARGEST_ID}, but one is {str(entry)[:60]}")
        elif number in found or name in names:
            problems.append(f"the category {name} (id {number}) shares its name or id with another")
        else:
            found[number] = name
            names.add(name)
            parents |= {entry["supercategory"]} - {name} if isinstance(entry.get("supercategory"), str) else set()
    return found, frozenset(parents)


def _images(entries: list[Any], problems: list[str]) -> dict[str, CocoImage]:
    found: dict[str, CocoImage] = {}
    for entry in entries:
        name = entry.get("file_name") if isinstance(entry, dict) else None
        if not isinstance(name, str) or not name or "id" not in entry:
            problems.append(f"an image needs an id and a file_name, but one is {str(entry)[:60]}")
            continue
        key = str(entry["id"])
        if key in found:
            problems.append(f"two images have the id {key}")
        sides = [entry.get(side) if type(entry.get(side)) is int and entry[side] > 0 else None for side in ("height", "width")]
        found[key] = CocoImage(key, name.replace("\\", "/"), *sides)
    return found


def _annotations(
    entries: list[Any], images: dict[str, CocoImage], categories: dict[int, str], problems: list[str]
) -> tuple[dict[str, list[dict[str, Any]]], frozenset[int], int]:
    by_image: dict[str, list[dict[str, Any]]] = defaultdict(list)
    wrong: dict[str, list[str]] = defaultdict(list)
    used: set[int] = set()
    without_area = 0
    for place, entry in enumerate(entries):
        entry = entry if isinstance(entry, dict) else {}
        name = str(entry.get("id", f"number {place + 1}"))
        image, category = str(entry.get("image_id")), entry.get("category_id")
        if image not in images:
            wrong["belong to an image that is not listed"].append(name)
        elif type(category) is not int or category not in categories:
            wrong["have a category that is not listed"].append(name)
        else:
            outline, left_out, problem = _outline(entry.get("segmentation"))
            if problem:
                wrong[problem].append(name)
                continue
            used.add(category)
            without_area += left_out
            by_image[image].append({"category": category, "crowd": bool(entry.get("iscrowd", 0)), "outline": outline})
    problems += [f"annotations {told} ({len(names)}: {listed(names, 'and', 3)})" for told, names in wrong.items()]
    return dict(by_image), frozenset(used), without_area


def _is_x_y(points: list[Any]) -> bool:
    """Whether a list holds pairs of numbers that may be places in a picture."""
    if len(points) % 2 or not set(map(type, points)) <= {int, float}:
        return False
    try:
        # a sum is small where its parts are; asking each number takes several times as long, and there are millions
        return sum(map(abs, points)) < _FARTHEST
    except OverflowError:  # a whole number of hundreds of digits beside a fraction
        return False


def _outline(outline: Any) -> tuple[Any, int, str]:
    """What an annotation's segmentation holds, how many of its outlines have no area, and what is wrong with it."""
    if isinstance(outline, dict):
        counts, size = outline.get("counts"), outline.get("size")
        sound = isinstance(size, list) and len(size) == 2 and all(type(side) is int and side > 0 for side in size)
        plain = isinstance(counts, list) and set(map(type, counts)) <= {int}
        if not sound or not (plain or isinstance(counts, str)):
            return None, 0, "have run lengths without counts or size"
        return {"size": size, "counts": counts}, 0, ""
    if not outline:
        return None, 0, "have a box but no outline, and a box is no mask"
    if not isinstance(outline, list) or not all(isinstance(points, list) for points in outline):
        return None, 0, "have a segmentation that is neither outlines nor run lengths"
    if not all(map(_is_x_y, outline)):
        return None, 0, "have outlines that are no list of x, y, x, y, …"
    with_area = [points for points in outline if len(points) >= 6]
    return with_area, len(outline) - len(with_area), ""
