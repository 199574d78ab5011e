"""Masks of LabelMe files: an image's shapes, drawn in the order of the file, as LabelMe itself does.

Later shapes lie on earlier ones. `_background_` and `background` are background wherever they are drawn, so a hole can
be cut into a shape; `__ignore__` is neither learned nor scored. The record's form key tells each label's value.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Record
from maskwright.data.decoding import open_picture, read_bytes
from maskwright.data.forms.loaded import LoadedMask
from maskwright.data.forms.outlines import Patch, disc, fill
from maskwright.errors import DataError, listed

BACKGROUND_NAMES = ("_background_", "background")
IGNORE_NAME = "__ignore__"
IGNORED = 65535  # the value of what is labelled __ignore__
CORNERED = {"polygon": 3, "rectangle": 2, "rotation": 4, "oriented_rectangle": 4}  # types that are outlines: fewest points
POINTS = ("point", "points")


@dataclass(frozen=True)
class LabelMeFile:
    """One file's shapes, each {"label", "shape_type", "points", "mask"}, without points, which have no area."""

    path: Path
    image_path: str
    size: tuple[int, int] | None
    shapes: list[dict[str, Any]]
    num_points: int
    embedded: bool

    @property
    def labels(self) -> set[str]:
        """Labels that stand for classes."""
        return {shape["label"] for shape in self.shapes} - {*BACKGROUND_NAMES, IGNORE_NAME}


def parse(path: Path) -> LabelMeFile:
    """A LabelMe file checked whole: every shape is one that has an area."""
    try:
        tree = json.loads(read_bytes(path))
    except ValueError as error:
        raise DataError(f"`{path}` must be a whole JSON file; {error}. Save it again in LabelMe.") from None
    if not is_labelme(tree):
        raise DataError(f"`{path}` must be a LabelMe file with shapes and imagePath; it has neither. Remove it, or mend it.")
    shapes: list[dict[str, Any]] = []
    num_points = 0
    problems: list[str] = []
    for place, shape in enumerate(tree["shapes"], start=1):
        shape = shape if isinstance(shape, dict) else {}
        kind = shape.get("shape_type") or "polygon"  # files of before 2018 have polygons only, and don't say so
        if kind in POINTS:
            num_points += 1
            continue
        problem = _problem(kind, shape)
        if problem:
            problems.append(f"shape {place} ({shape.get('label')}) {problem}")
        shapes.append({key: shape.get(key) for key in ("label", "points", "mask")} | {"shape_type": kind})
    if problems:
        fix = "Draw them as polygons, or remove them."
        raise DataError(f"`{path}` must hold shapes with a label and an area; {listed(problems, 'and', 4)}. {fix}")
    sides = [tree.get(side) if type(tree.get(side)) is int and tree[side] > 0 else 0 for side in ("imageHeight", "imageWidth")]
    size = (sides[0], sides[1]) if all(sides) else None
    name = str(tree["imagePath"]).replace("\\", "/")
    return LabelMeFile(path, name, size, shapes, num_points, bool(tree.get("imageData")))


def is_labelme(tree: object) -> bool:
    """Whether a JSON document has the parts of a LabelMe file."""
    return isinstance(tree, dict) and isinstance(tree.get("shapes"), list) and isinstance(tree.get("imagePath"), str)


def load(record: Record, size: tuple[int, int]) -> LoadedMask:
    """The value of each label as the form's key tells it, 0 or the background's own elsewhere. → H W uint16"""
    file = parse(record.mask)
    if file.size and file.size != size:
        told = f"{file.size[1]}x{file.size[0]}; the image is {size[1]}x{size[0]}"
        fix = "Use the image the shapes were drawn on (was it resized, or turned by its EXIF?)."
        raise DataError(f"`{record.mask}` must tell the size of {record.image.name} as it is; it tells {told}. {fix}")
    values: dict[str, int] = json.loads(record.form.key)
    background = next((values[name] for name in BACKGROUND_NAMES if name in values), 0)
    meaning = {**values, **dict.fromkeys(BACKGROUND_NAMES, background), IGNORE_NAME: IGNORED}
    new = sorted(file.labels - meaning.keys())
    if new:
        raise DataError(f"`{record.mask}` must hold labels that are known; {listed(new)} are new. Put the file back as it was.")
    raw = np.full(size, background, np.uint16)
    twice = np.zeros(size, bool)
    for shape in file.shapes:
        patch = _pixels(shape, size, record.mask)
        there, value = raw[patch.place], meaning[shape["label"]]
        if value not in (background, IGNORED):
            twice[patch.place] |= patch.inside & (there != background) & (there != IGNORED) & (there != value)
        there[patch.inside] = value
    text = json.dumps([list(size), file.shapes, sorted(values.items())], sort_keys=True)
    return LoadedMask(raw, hashlib.sha256(text.encode()).hexdigest(), claimed_twice=int(twice.sum()))


def _problem(kind: str, shape: dict[str, Any]) -> str:
    """What is wrong with a shape, if anything."""
    points = shape.get("points")
    if not isinstance(shape.get("label"), str):
        return "has no label"
    sound = isinstance(points, list) and all(
        isinstance(point, list) and len(point) == 2 and all(type(part) in (int, float) and math.isfinite(part) for part in point)
        for point in points
    )
    if not sound or points is None:
        return "has points that are no list of [x, y]"
    if kind in ("line", "linestrip"):
        return f"is a {kind}, which has no area"
    wanted = CORNERED.get(kind, 2)
    if kind not in CORNERED and kind not in ("circle", "mask"):
        return f"is of the unknown type {kind}"
    if len(points) < wanted:
        return f"is a {kind} of {len(points)} points"
    return "is a mask without its picture" if kind == "mask" and not isinstance(shape.get("mask"), str) else ""


def _pixels(shape: dict[str, Any], size: tuple[int, int], path: Path) -> Patch:
    points = np.array(shape["points"], np.float64)
    if shape["shape_type"] == "circle":
        return disc((points[0, 0], points[0, 1]), float(np.hypot(*(points[1] - points[0]))), *size)
    if shape["shape_type"] == "mask":
        return _stamp(shape, points, size, path)
    if shape["shape_type"] == "rectangle" and len(points) == 2:
        (left, top), (right, bottom) = points
        points = np.array([[left, top], [right, top], [right, bottom], [left, bottom]])
    return fill(points, *size)


def _stamp(shape: dict[str, Any], points: np.ndarray, size: tuple[int, int], path: Path) -> Patch:
    """A mask shape: a small picture whose first pixel lies at its first point."""
    try:
        with open_picture(base64.b64decode(shape["mask"], validate=True), path) as picture:
            inside = np.asarray(picture.convert("L")) > 0
    except (DataError, binascii.Error):
        raise DataError(f"`{path}` must hold mask shapes as PNG; that of {shape['label']} is none. Save it again.") from None
    left, top = (int(part) for part in points[0])
    if left < 0 or top < 0 or top + inside.shape[0] > size[0] or left + inside.shape[1] > size[1]:
        told = f"that of {shape['label']} is {inside.shape[1]}x{inside.shape[0]} at {left}, {top}"
        raise DataError(f"`{path}` must hold mask shapes that lie in the image; {told}. Save it again.")
    return Patch(top, left, inside)
