"""Masks of COCO files: outlines and run lengths of an image's annotations, drawn when the mask is asked for.

A file is parsed once and checked whole. Values are category ids. Where objects overlap the smaller one is on top, so
that nothing is hidden beneath what it lies on, whatever the order of the file; a crowd region (iscrowd) lies beneath
everything and is ignored.

Run lengths go down the columns, first of zeros, then of ones, in turn. Packed, each number is cut into five bits a
character, lowest first, character 48 + bits, with 32 added where more follow and the sign kept in the last one's
highest bit; from the fourth number on it is the difference from the number two before.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import load_json, read_bytes, validate_is_file
from maskwright.data.forms.outlines import Patch, cropped, fill, joined
from maskwright.data.forms.pictures import LoadedMask
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
    validate_is_file(path)
    state = path.stat()
    key = (path.resolve(), state.st_mtime_ns, state.st_size)
    with _lock:  # files are opened by several threads, and one parse of half a gigabyte is enough
        if key not in _parsed:
            while len(_parsed) >= _KEPT:
                _parsed.pop(next(iter(_parsed)))
            _parsed[key] = _read(path)
        return _parsed[key]


def looks_like_coco(path: Path) -> bool:
    """Whether a JSON has the parts of a COCO file, given from its text: parsing may take long."""
    try:
        data = read_bytes(path)
    except DataError:
        return False
    return data.lstrip()[:1] == b"{" and all(word in data for word in (b'"images"', b'"annotations"', b'"categories"'))


def _read(path: Path) -> CocoFile:
    tree = load_json(path, "Download or export it again.")
    parts = ("images", "annotations", "categories")
    if not isinstance(tree, dict) or not all(isinstance(tree.get(part), list) for part in parts):
        raise DataError(
            f"`{path}` must hold the lists {listed(parts)}, as COCO files do; it does not. Export it as COCO."
        )
    problems: list[str] = []
    categories, parents = _categories(tree["categories"], problems)
    images = _images(tree["images"], problems)
    by_image, used, without_area = _annotations(tree["annotations"], images, categories, problems)
    if problems:
        raise DataError(
            f"`{path}` must be a sound COCO file; {listed(problems, 'and', 5)}. Fix it, or export it again."
        )
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
        sides = [
            entry.get(side) if type(entry.get(side)) is int and entry[side] > 0 else None
            for side in ("height", "width")
        ]
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
    problems += [f"annotations {detail} ({len(names)}: {listed(names, 'and', 3)})" for detail, names in wrong.items()]
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


_CHARACTERS = 7  # of one number: 35 bits, more pixels than any picture has


def unpack(text: str) -> np.ndarray:
    """Packed run lengths as numbers; ValueError where the text is none.

    >>> unpack("61").tolist()
    [6, 1]
    """
    bits = np.frombuffer(text.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if ((bits < 0) | (bits >= 64)).any():
        raise ValueError("a character stands for no run")
    last = np.flatnonzero(bits < 32)  # of each number
    if len(bits) and (not len(last) or last[-1] < len(bits) - 1):
        raise ValueError("the last run is cut off")
    first = np.concatenate([[0], last[:-1] + 1])[: len(last)]
    if (last - first >= _CHARACTERS).any():
        raise ValueError("a run is longer than any picture")
    place = np.arange(len(bits)) - np.repeat(first, last - first + 1)
    counts = np.add.reduceat((bits & 31) << 5 * place, first) if len(first) else bits
    counts[(bits[last] & 16) > 0] -= 1 << 5 * (last - first + 1)[(bits[last] & 16) > 0]
    counts[1::2], counts[2::2] = np.cumsum(counts[1::2]), np.cumsum(counts[2::2])
    return counts


def pixels_of(counts: Sequence[int] | str, height: int, width: int) -> np.ndarray:
    """Run lengths, plain or packed, as pixels; ValueError where they do not fill the picture. → H W bool

    >>> pixels_of([1, 2, 1], 2, 2).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    total = height * width
    if not isinstance(counts, str) and not all(-total <= run <= total for run in counts):
        raise ValueError("a run is longer than the picture")
    runs = unpack(counts) if isinstance(counts, str) else np.array(counts, np.int64)
    if (runs < 0).any():
        raise ValueError("a run has a negative length")
    if (
        runs > total
    ).any():  # before they are added up: a sum that wraps around would fit, and pixels be written beyond the end
        raise ValueError("a run is longer than the picture")
    if runs.sum() != total:
        raise ValueError(f"the runs have {runs.sum()} pixels, the image {total}")
    ones = np.arange(len(runs)) % 2 == 1
    return np.repeat(ones, runs).reshape(width, height).T


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """Category ids, BACKGROUND where there is no object, CROWD in crowd regions. → H W uint16"""
    file = parse(record.mask)
    image = file.images.get(record.form.key)
    if image is None:
        fix = "Put the file back as it was."
        raise DataError(
            f"`{record.mask}` must list the image {record.image.name} (id {record.form.key}); it does not. {fix}"
        )
    if image.height and image.width and (image.height, image.width) != size:
        detail = f"{image.width}x{image.height}; the image is {size[1]}x{size[0]}"
        fix = "Use the image the annotations were drawn on (was it resized, or turned by its EXIF?)."
        raise DataError(f"`{record.mask}` must tell the size of {record.image.name} as it is; it tells {detail}. {fix}")
    return draw(file, record, size)


def draw(file: CocoFile, record: Record, size: tuple[int, int]) -> LoadedMask:
    """The annotations of one image, larger objects first."""
    # sorted by their text, so that the file's order decides nothing
    texts = sorted(json.dumps(entry, sort_keys=True) for entry in file.annotations.get(record.form.key, []))
    names = sorted(file.categories.items())
    objects: list[tuple[bool, int, int, Patch]] = []
    for text in texts:
        entry = json.loads(text)
        patch = _pixels(entry["outline"], size, record)
        objects.append((entry["crowd"], int(patch.inside.sum()), entry["category"], patch))
    raw = np.full(size, BACKGROUND, np.uint16)
    twice = np.zeros(size, bool)
    for crowd, _, category, patch in sorted(objects, key=lambda found: (not found[0], -found[1])):
        there = raw[patch.place]
        if not crowd:
            twice[patch.place] |= patch.inside & (there != BACKGROUND) & (there != CROWD) & (there != category)
        there[patch.inside] = CROWD if crowd else category
    whole = [list(size), names, texts]
    return LoadedMask(
        raw, lambda: hashlib.sha256(json.dumps(whole).encode()).hexdigest(), claimed_twice=int(twice.sum())
    )


def _pixels(outline: Any, size: tuple[int, int], record: Record) -> Patch:
    """Pixels of one annotation; the outlines of one object are joined."""
    if isinstance(outline, list):
        return joined([fill(np.array(points), *size) for points in outline])
    try:
        if tuple(outline["size"]) != size:
            raise ValueError(f"they are for {outline['size'][1]}x{outline['size'][0]} pixels, not {size[1]}x{size[0]}")
        return cropped(pixels_of(outline["counts"], *size))
    except ValueError as error:
        detail = f"`{record.mask}` must hold whole run lengths for {record.image.name}; {error}"
        raise DataError(f"{detail}. Export it again.") from None
