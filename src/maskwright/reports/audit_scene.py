"""How an audit's pairs are read and drawn for its page: the scene all examples share, and the pictures of one pair."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.checks.findings import Audit, Finding
from maskwright.data.dataset import IGNORE, ClassMap
from maskwright.data.pictures import contrasting, palette
from maskwright.errors import listed
from maskwright.reports import audit_pictures as draw
from maskwright.reports.audit_pictures import Meaning, Picture, Seen
from maskwright.reports.wording import SPLIT_WORDS, share

_NAMED = 3  # classes told in words
LOOKED_AT = 8  # images whose colours decide in which one masks are shown over them


@dataclass(frozen=True)
class Example:
    """One pair, or two that belong together: what they are called, what there is to see, their pictures.

    `problem` says why a picture is lacking.
    """

    name: str
    told: str = ""
    pictures: tuple[Picture, ...] = ()
    problem: str = ""


@dataclass(frozen=True)
class Scene:
    """An audit and how its pairs are read and drawn; `places` are those of the records each file belongs to."""

    audit: Audit
    root: Path
    meaning: Meaning
    limit: int
    places: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def see(self, place: int) -> Seen:
        """A pair, read now."""
        return draw.read_pair(self.audit.records[place], self.audit.bands)

    def of(self, finding: Finding) -> list[tuple[str, int]]:
        """Files of a finding with their records' places, spread evenly over all of them."""
        found = {place: file for file in finding.files for place in self.places.get(file, ())}
        return [(file, place) for place, file in evenly(list(found.items()), self.limit)]

    def areas(self, place: int) -> str:
        """The largest classes of a pair's mask in words."""
        pixels: dict[str, int] = self.audit.pairs[place]["pixels"]
        total = max(1, sum(pixels.values()))
        order = sorted((name for name in pixels if pixels[name]), key=lambda name: -pixels[name])
        parts = [f"{name} {share(pixels[name] / total)}" for name in order]
        return listed(parts, limit=_NAMED) if parts else ""

    def split_of(self, place: int) -> str:
        """The word for a pair's split."""
        split = self.audit.pairs[place]["split"]
        return SPLIT_WORDS.get(split, "") if split else ""


def scene_of(audit: Audit, root: Path, limit: int) -> Scene:
    """What all examples of an audit are drawn by."""
    classes = audit.class_map
    smoothed = next((one.proposal for one in audit.findings if one.code == "smoothed" and one.proposal), None)
    if classes is None and smoothed is not None:  # shown as its repair would read them
        at = int(smoothed.values["at"])
        classes = ClassMap((f"below {at}", f"{at} and up"), (0, at), (), at)
    places: dict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(audit.pairs):
        for file in {pair["image"]: None, pair["mask"]: None}:
            places[file].append(place)
    return Scene(audit, root, Meaning(classes, _colours(audit, classes)), limit, dict(places))


def _colours(audit: Audit, classes: ClassMap | None) -> np.ndarray:
    """Of two classes, one colour for all pictures that some of the images have little of."""
    colours = palette(classes.num_classes if classes else IGNORE)
    if classes is None or classes.num_classes != 2:
        return colours
    images = [
        seen.image
        for record in evenly(audit.records, LOOKED_AT)
        if (seen := draw.read_pair(record, audit.bands)).image is not None
    ]
    small = [cv2.resize(image, (64, 64), interpolation=cv2.INTER_AREA) for image in images if image is not None]
    return contrasting(np.concatenate(small), colours) if small else colours


def evenly(items: Sequence[Any], limit: int) -> list[Any]:
    """At most `limit` of them, spread over all.

    >>> evenly("abcdefg", 3)
    ['a', 'd', 'g']
    """
    if len(items) <= limit:
        return list(items)
    return [items[place] for place in np.linspace(0, len(items) - 1, limit).round().astype(int)] if limit else []


def with_mask(scene: Scene, place: int, seen: Seen, title: str = "") -> list[Picture]:
    """The mask over its image; both beside each other where they do not fit; what there is where one is lacking."""
    name, areas = scene.audit.pairs[place]["image"], scene.areas(place)
    if seen.fits:
        pixels, legend = draw.laid(seen, scene.meaning)
        return [Picture(title, f"{name} with its mask{': ' + areas if areas else ''}", pixels, tuple(legend))]
    return [*image_of(scene, place, seen), *mask_of(scene, place, seen)]


def image_of(scene: Scene, place: int, seen: Seen, title: str = "Image") -> list[Picture]:
    """The image alone, if it could be read."""
    name = scene.audit.pairs[place]["image"]
    return [] if seen.image is None else [Picture(title, f"Image {name}", draw.plain(seen.image))]


def mask_of(scene: Scene, place: int, seen: Seen, title: str = "Mask") -> list[Picture]:
    """The mask alone, if it could be read."""
    if seen.raw is None:
        return []
    pixels, legend = draw.mask_alone(seen, scene.meaning)
    return [Picture(title, f"Mask {scene.audit.pairs[place]['mask']}", pixels, tuple(legend))]
