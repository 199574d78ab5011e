"""An audit's pairs as pictures: each is read when it is shown, and drawn by what all of them have in common.

    scene = scene_of(audit, root, 6)
    scene.pair(0).both("With its mask")      # its mask over its image

Which of them show what a finding means is chosen in `audit_examples`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from maskwright.data.checks.findings import Audit
from maskwright.data.dataset import IGNORE, ClassMap
from maskwright.data.pictures import contrasting, palette
from maskwright.errors import listed
from maskwright.reports import audit_pictures as draw
from maskwright.reports.audit_pictures import Meaning, Seen
from maskwright.reports.gallery import Picture
from maskwright.reports.pages import SPLIT_WORDS, share

LOOKED_AT = 8  # images whose colours decide in which one masks are shown over them
_NAMED = 3  # classes named in words


@dataclass(frozen=True)
class Scene:
    """An audit and how its pairs are drawn, at most `limit` of a finding; `places` are the records of each file."""

    audit: Audit
    root: Path
    meaning: Meaning
    limit: int
    places: dict[str, list[int]] = field(default_factory=dict, repr=False)

    def pair(self, place: int) -> Pair:
        """A pair, read now."""
        return Pair(self, place, draw.read_pair(self.audit.records[place], self.audit.bands))

    def place(self, file: str, split: str | None = None) -> int | None:
        """The record of a file, in that split if it is in several."""
        places = self.places.get(file, [])
        return next((at for at in places if self.audit.pairs[at]["split"] == split), places[0] if places else None)


@dataclass(frozen=True)
class Pair:
    """A pair as far as it could be read, and the pictures there are of it."""

    scene: Scene
    place: int
    seen: Seen

    @property
    def facts(self) -> dict[str, Any]:
        return self.scene.audit.pairs[self.place]

    @property
    def split(self) -> str:
        return SPLIT_WORDS.get(self.facts["split"] or "", "")

    @property
    def areas(self) -> str:
        """The largest classes of the mask in words."""
        pixels: dict[str, int] = self.facts["pixels"]
        order = sorted((name for name in pixels if pixels[name]), key=lambda name: -pixels[name])
        parts = [f"{name} {share(pixels[name] / sum(pixels.values()))}" for name in order]
        return listed(parts, limit=_NAMED) if parts else ""

    def image(self, title: str = "Image") -> list[Picture]:
        """The image alone, if it could be read."""
        if self.seen.image is None:
            return []
        return [Picture(title, f"Image {self.facts['image']}", draw.plain(self.seen.image))]

    def mask(self) -> list[Picture]:
        """The mask alone, if it could be read."""
        if self.seen.raw is None:
            return []
        return [mask_picture("Mask", f"Mask {self.facts['mask']}", self.seen, self.scene.meaning)]

    def both(self, title: str = "", raw: np.ndarray | None = None, valid: np.ndarray | None = None) -> list[Picture]:
        """The mask, or another in its place, over the image; beside it if they do not fit; one alone if one lacks."""
        pair = self if raw is None else replace(self, seen=replace(self.seen, raw=raw, valid=valid))
        if not pair.seen.fits:
            return [*pair.image(), *pair.mask()]
        pixels, legend = draw.overlaid(pair.seen, self.scene.meaning)
        alt = f"{self.facts['image']} with its mask{f': {self.areas}' if self.areas else ''}"
        return [Picture(title, alt, pixels, legend=tuple(legend))]

    def marked(self, where: np.ndarray, title: str, alt: str) -> Picture:
        """Where something is in the image, and how much of it that is."""
        assert self.seen.image is not None
        return Picture(title, f"{alt}: {share(float(where.mean()))} of it", draw.marked(self.seen.image, where))


def mask_picture(title: str, alt: str, seen: Seen, meaning: Meaning) -> Picture:
    """A mask by itself, and what its colours mean."""
    pixels, legend = draw.mask_alone(seen, meaning)
    return Picture(title, alt, pixels, legend=tuple(legend))


def scene_of(audit: Audit, root: Path, limit: int) -> Scene:
    """What all examples of an audit are drawn by."""
    classes = audit.class_map
    repairs = [one.proposal for one in audit.findings if one.code == "smoothed" and one.proposal]
    if classes is None and repairs and repairs[0].op == "threshold":  # shown as its repair would read them
        at = int(repairs[0].values["at"])
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
    images = [draw.read_pair(record, audit.bands).image for record in evenly(audit.records, LOOKED_AT)]
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
