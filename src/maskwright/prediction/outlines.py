"""Label maps as shapes: outlines along the edges of pixels (GeoJSON, GeoPackage) and run lengths (COCO).

for index, rings in outlines(labels, [1, 2]):   # rings: the outside first, then holes; each n 2, closed, in x y
    ...
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.dataset import IGNORE
from maskwright.errors import UsageError, install_command

Rings = list[np.ndarray]
Affine = tuple[float, float, float, float, float, float]  # x = a column + b row + c, y = d column + e row + f


def outlines(labels: np.ndarray, classes: Iterable[int]) -> Iterator[tuple[int, Rings]]:
    """Each connected region (by sides, not by corners) of each class, in corners of pixels. labels H W uint8"""
    for index in classes:
        inside = (labels == index).astype(np.uint8)
        num, regions, boxes, _ = cv2.connectedComponentsWithStats(inside, connectivity=4)
        for number in range(1, num):
            left, top, width, height = boxes[number][:4]
            part = (regions[top : top + height, left : left + width] == number).astype(np.uint8)
            yield index, [ring + np.array([left, top]) for ring in _rings(part)]


def _rings(part: np.ndarray) -> Rings:
    """The outside of one region, and its holes.

    OpenCV's contours run through pixels' centres. On the region at twice its size, a place i belongs to the edge (i +
    1) // 2, of outsides and holes alike.
    """
    double = np.pad(np.repeat(np.repeat(part, 2, axis=0), 2, axis=1), 1)
    found, _ = cv2.findContours(double, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    rings = [_straight(ring[:, 0] // 2) for ring in found]  # (i - 1 + 1) // 2: one pixel of padding
    outside = max(range(len(rings)), key=lambda at: _area(rings[at]))
    return [rings[outside], *(ring for at, ring in enumerate(rings) if at != outside and _area(ring))]


def _straight(ring: np.ndarray) -> np.ndarray:
    """Without repeated places and those between two on one line; closed. n 2 → m 2"""
    ring = ring[(ring != np.roll(ring, 1, axis=0)).any(axis=1)]
    before, after = ring - np.roll(ring, 1, axis=0), np.roll(ring, -1, axis=0) - ring
    ring = ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return np.concatenate([ring, ring[:1]])


def _area(ring: np.ndarray) -> float:
    x, y = ring.T.astype(np.float64)
    return abs(float(x[:-1] @ y[1:] - x[1:] @ y[:-1])) / 2


def placed(rings: Rings, transform: Affine | None) -> Rings:
    """Corners of pixels where they lie on Earth, or as they are."""
    if transform is None:
        return rings
    a, b, c, d, e, f = transform
    return [
        np.stack([a * ring[:, 0] + b * ring[:, 1] + c, d * ring[:, 0] + e * ring[:, 1] + f], axis=1) for ring in rings
    ]


def drawn_classes(names: Sequence[str]) -> range:
    """Of two classes the foreground alone has outlines; of more, each."""
    return range(1, 2) if len(names) == 2 else range(len(names))


def features(labels: np.ndarray, names: Sequence[str], transform: Affine | None) -> list[dict[str, Any]]:
    """A GeoJSON feature for each region: `class` and `name`, coordinates of the raster's own system, else pixels."""
    return [
        {
            "type": "Feature",
            "properties": {"class": index, "name": names[index]},
            "geometry": {"type": "Polygon", "coordinates": [ring.tolist() for ring in placed(rings, transform)]},
        }
        for index, rings in outlines(labels, drawn_classes(names))
    ]


def geojson(labels: np.ndarray, names: Sequence[str], transform: Affine | None, crs: str) -> bytes:
    """All of them as one document, which names the system."""
    document: dict[str, Any] = {"type": "FeatureCollection", "features": features(labels, names, transform)}
    if crs:
        document["crs"] = {"type": "name", "properties": {"name": crs}}
    return (json.dumps(document) + "\n").encode()


def run_lengths(flat: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How long each run of equal values is, and whether it is one of what is inside. bool"""
    starts = np.flatnonzero(np.diff(flat, prepend=~flat[:1]))
    return np.diff(starts, append=flat.size), flat[starts]


def coco(labels: np.ndarray, names: Sequence[str], file: str) -> bytes:
    """A COCO document of one image: an annotation with run lengths for each class that is there."""
    height, width = labels.shape
    annotations: list[dict[str, Any]] = []
    for index in drawn_classes(names):
        inside = labels == index
        if not inside.any():
            continue
        left, top, wide, high = cv2.boundingRect(inside.view(np.uint8))
        lengths, values = run_lengths(inside.ravel(order="F"))
        annotations.append(
            {
                "id": len(annotations) + 1,
                "image_id": 1,
                "category_id": index,
                "iscrowd": 1,
                "area": int(inside.sum()),
                "bbox": [left, top, wide, high],
                "segmentation": {"size": [height, width], "counts": [*([0] if values[0] else []), *lengths.tolist()]},
            }
        )  # fmt: skip - counts begin with what is outside
    document = {
        "images": [{"id": 1, "file_name": file, "width": width, "height": height}],
        "categories": [{"id": index, "name": names[index]} for index in drawn_classes(names)],
        "annotations": annotations,
    }
    return (json.dumps(document) + "\n").encode()


def geopackage(path: Path, labels: np.ndarray, names: Sequence[str], transform: Affine | None, crs: str) -> None:
    """The same regions as GeoJSON's in a GeoPackage, for GIS: layer `labels`, fields class and name."""
    raw = geopackage_writer()
    found = [(index, _wkb(placed(rings, transform))) for index, rings in outlines(labels, drawn_classes(names))]
    numbers = np.array([index for index, _ in found], np.int32)
    message = np.array([names[index] for index, _ in found], object)
    shapes = np.array([shape for _, shape in found], object)
    raw.write(path, shapes, [numbers, message], np.array(["class", "name"], object), layer="labels", driver="GPKG",
              geometry_type="Polygon", crs=crs or None)  # fmt: skip


def geopackage_writer() -> Any:
    """pyogrio, or the sentence how to get it."""
    try:
        import pyogrio.raw
    except ImportError:
        raise UsageError(
            "`--write polygons` must have pyogrio, which writes GeoPackages; it is not installed. Run: "
            f"{install_command('geo')}"
        ) from None
    return pyogrio.raw


def _wkb(rings: Rings) -> bytes:
    """A polygon as OGC's well-known binary, little-endian."""
    parts = [struct.pack("<I", len(ring)) + np.ascontiguousarray(ring, "<f8").tobytes() for ring in rings]
    return struct.pack("<BII", 1, 3, len(rings)) + b"".join(parts)


def without_small(labels: np.ndarray, least: int) -> np.ndarray:
    """Regions of fewer than `least` pixels take the class of the nearest pixel of a larger one. H W uint8 → H W uint8

    Where no region is large enough, all stay.
    """
    small = np.zeros(labels.shape, bool)
    for index in np.unique(labels).tolist():
        if index == IGNORE:
            continue
        _, regions, boxes, _ = cv2.connectedComponentsWithStats((labels == index).astype(np.uint8), connectivity=8)
        few = boxes[:, cv2.CC_STAT_AREA] < least
        few[0] = False  # all that is no region of this class
        small |= few[regions]
    kept = ~small & (labels != IGNORE)
    if not small.any() or not kept.any():
        return labels
    _, nearest = cv2.distanceTransformWithLabels(
        (~kept).astype(np.uint8), cv2.DIST_L2, 5, labelType=cv2.DIST_LABEL_PIXEL
    )
    values = np.zeros(int(nearest.max()) + 1, np.uint8)
    values[nearest[kept]] = labels[kept]
    return np.where(small, values[nearest], labels)
