"""Which pairs show what a finding means, and their pictures; and a sheet of pairs from the whole set."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.config.data import parse_value
from maskwright.data.checks.findings import Finding
from maskwright.data.checks.repair_operations import nearest
from maskwright.data.dataset import SPLITS, ClassMap
from maskwright.data.decoding import read_bytes
from maskwright.data.images import decode_colours, turn
from maskwright.errors import MaskwrightError, listed
from maskwright.reports import audit_pictures as draw
from maskwright.reports.audit_pictures import Meaning, Seen
from maskwright.reports.audit_scene import Pair, Scene, evenly, mask_picture
from maskwright.reports.gallery import Picture
from maskwright.reports.pages import SPLIT_WORDS, fine_share, share, sides

SHEET = 12  # pairs that show the set as it is
_TURNS = {3: "by 180°", 6: "to the right", 8: "to the left"}


@dataclass(frozen=True)
class Example:
    """One pair, or two that belong together: what they are called, what there is to see, their pictures.

    `problem` says why a picture is lacking.
    """

    name: str
    text: str = ""
    pictures: Sequence[Picture] = ()
    problem: str = ""

    @property
    def ratio(self) -> float:
        """Width to height of all pictures side by side."""
        return sum(picture.width / picture.height for picture in self.pictures)


def sheet(scene: Scene) -> list[Example]:
    """Pairs spread evenly over the splits, and within each over its files, with their masks."""
    by_split: dict[str | None, list[int]] = {split: [] for split in (*SPLITS, None)}
    for place, pair in enumerate(scene.audit.pairs):
        by_split[pair["split"]].append(place)
    counts = dict.fromkeys(by_split, 0)
    for _ in range(SHEET):
        left = [split for split in by_split if counts[split] < len(by_split[split])]
        if left:
            counts[min(left, key=lambda split: counts[split])] += 1
    return [_of_sheet(scene.pair(place)) for split, found in by_split.items() for place in evenly(found, counts[split])]


def _of_sheet(pair: Pair) -> Example:
    facts = pair.facts
    size = sides(facts["height"], facts["width"]) if facts["height"] else ""
    name = facts["id"] if pair.scene.audit.records[pair.place].window else facts["image"]  # a scene has many windows
    return Example(name, " · ".join(filter(None, (pair.split, size, pair.areas))), pair.both(), pair.seen.problem)


def examples_of(finding: Finding, scene: Scene) -> list[Example]:
    """Pictures of what a finding means; none where there is nothing to see."""
    if finding.code in NOT_DRAWN:
        return []
    if finding.code in DRAWN:
        return DRAWN[finding.code](finding, scene)
    places = {place: file for file in finding.files for place in scene.places.get(file, ())}
    found: list[Example] = []
    for place, file in evenly(list(places.items()), scene.limit):
        try:
            pair = scene.pair(place)
            found.append(Example(file, "", _pictures(finding, pair), pair.seen.problem))
        except MaskwrightError as error:
            found.append(Example(file, problem=str(error)))
    return found


def _pictures(finding: Finding, pair: Pair) -> list[Picture]:
    """What there is to see in one of a finding's files; the pair as far as it is there where that lacks something."""
    needs, drawn = PICTURED.get(finding.code, ("fit", _over_and_beside))
    has_both = pair.seen.image is not None and pair.seen.raw is not None
    is_there = {"any": True, "both": has_both, "fit": pair.seen.fits}[needs]
    return drawn(finding, pair) if is_there else pair.both()


def _over_and_beside(_: Finding, pair: Pair) -> list[Picture]:
    return [*pair.both("With its mask"), *pair.mask()]


def _in_own_colours(finding: Finding, pair: Pair) -> list[Picture]:
    """Image and mask in its own colours, a palette's too."""
    if pair.seen.raw is None or finding.code != "palette":
        return [*pair.image(), *pair.mask()]
    mask = pair.scene.audit.records[pair.place].mask
    seen = Seen(raw=decode_colours(read_bytes(mask), mask), has_colours=True)
    alt = f"Mask {pair.facts['mask']} in the colours of its palette"
    return [*pair.image(), mask_picture("Mask in its palette's colours", alt, seen, Meaning())]


def _values_marked(finding: Finding, pair: Pair) -> list[Picture]:
    """The pair, and where the values in question are."""
    if finding.code == "unknown-values":
        values = [int(name) if name.isdigit() else parse_value(name) for name in finding.details["pixels"]]
    else:
        values = [255 if finding.code == "zero-255" else int(finding.details["value"])]
    names = listed([f"#{value:06x}" if pair.seen.has_colours else value for value in values], limit=3)
    where = np.isin(np.asarray(pair.seen.raw), values)
    mark = pair.marked(where, f"Where it holds {names}", f"Where {pair.facts['mask']} holds {names}")
    return [*pair.both("With its mask"), mark]


def _smoothed(_: Finding, pair: Pair) -> list[Picture]:
    """As the repair would read it, and where greys are."""
    if pair.seen.has_colours or pair.seen.raw is None:
        return pair.both()
    mask = pair.facts["mask"]
    where = ~np.isin(pair.seen.raw, (0, 255))
    return [
        *pair.both("With its mask"),
        Picture("Mask as stored", f"Mask {mask} in grey", draw.greys(pair.seen.raw)),
        pair.marked(where, "Neither 0 nor 255", f"Where {mask} is neither 0 nor 255"),
    ]


def _exchanged(finding: Finding, pair: Pair) -> list[Picture]:
    """Foreground as it is read, and the other way round."""
    if finding.proposal is None:
        return pair.both()
    table = {int(value): int(label) for value, label in finding.proposal.values["table"].items()}
    order = sorted(table, key=lambda value: -table[value])  # what the repair makes foreground is read as background
    found: list[Picture] = []
    for title, (low, high) in (("Foreground as it is read", order), ("Foreground if exchanged", order[::-1])):
        pixels, _ = draw.overlaid(pair.seen, Meaning(ClassMap(("background", "foreground"), (low, high))))
        found.append(Picture(title, f"{title} in {pair.facts['image']}: value {high}", pixels))
    return found


def _sizes(finding: Finding, pair: Pair) -> list[Picture]:
    """Image and mask at one scale; where the shapes agree, also what the repair makes of them."""
    image, raw = np.asarray(pair.seen.image), np.asarray(pair.seen.raw)
    (height, width), (rows, columns) = image.shape[:2], raw.shape
    mask, legend = draw.mask_alone(pair.seen, pair.scene.meaning)
    one, two = draw.at_one_scale(image, mask, (rows, columns))
    alt = f"Mask {pair.facts['mask']} at the image's scale"
    found = [
        Picture(f"Image, {sides(height, width)}", f"Image {pair.facts['image']}", one),
        Picture(f"Mask, {sides(rows, columns)}", alt, two, legend=tuple(legend)),
    ]
    if finding.details.get("same_aspect"):
        found += pair.both("Brought to one size", raw[np.ix_(nearest(rows, height), nearest(columns, width))])
    return found


def _offset(_: Finding, pair: Pair) -> list[Picture]:
    """The mask cut or filled up as the repair would, and the corner where a row or column is lacking."""
    raw = np.asarray(pair.seen.raw)
    (height, width), (rows, columns) = np.asarray(pair.seen.image).shape[:2], raw.shape
    pad = (0, max(0, height - rows)), (0, max(0, width - columns))
    fitted, valid = (np.pad(one, pad)[:height, :width] for one in (raw, np.ones(raw.shape, bool)))
    title = f"Image {sides(height, width)}, mask {sides(rows, columns)}: their bottom right corners, enlarged"
    alt = f"Corners of {pair.facts['image']} and its mask"
    return [*pair.both("Repaired", fitted, valid), Picture(title, alt, draw.corner(pair.seen, pair.scene.meaning))]


def _turned(finding: Finding, pair: Pair) -> list[Picture]:
    """The pair as it is, and with its mask turned; both ways where nobody knows which."""
    found = pair.both("As it is")
    if finding.proposal is None:
        return found
    for orientation in (6, 8) if finding.proposal.question else (int(finding.proposal.values["orientation"]),):
        turned = turn(np.asarray(pair.seen.raw), orientation)
        if turned.shape == np.asarray(pair.seen.image).shape[:2]:
            found += pair.both(f"Mask turned {_TURNS.get(orientation, 'as its image')}", turned)
    return found


def _lone(finding: Finding, scene: Scene) -> list[Example]:
    found: list[Example] = []
    for file in evenly(finding.files, scene.limit):
        seen, pictures = draw.read_lone(scene.root / file), []
        if seen.image is not None:
            pictures = [Picture("", f"Picture {file}", draw.plain(seen.image))]
        elif seen.raw is not None:
            pictures = [mask_picture("", f"Mask {file}", seen, scene.meaning)]
        found.append(Example(file, "", pictures, seen.problem))
    return found


def _doubles(finding: Finding, scene: Scene) -> list[Example]:
    """Pictures that are there twice, side by side; of each kind of likeness at least one."""
    pairs: list[dict[str, Any]] = finding.details.get("pairs", [])
    first = {pair["kind"]: number for number, pair in reversed(list(enumerate(pairs)))}
    chosen = sorted(first.values())[: scene.limit]
    rest = [number for number in range(len(pairs)) if number not in first.values()]
    found: list[Example] = []
    for number in sorted([*chosen, *evenly(rest, scene.limit - len(chosen))]):
        pictures: list[Picture] = []
        problems: list[str] = []
        for file, split in zip(pairs[number]["files"], pairs[number]["splits"], strict=True):
            place = scene.place(file, split)
            if place is not None:
                pair = scene.pair(place)
                word = SPLIT_WORDS.get(split or "", "")
                pictures += pair.image(f"{Path(file).name}{f' ({word})' if word else ''}")
                problems += [pair.seen.problem] if pair.seen.image is None else []
        found.append(Example("", f"{pairs[number]['message']}.", pictures, " ".join(problems)))
    return found


def _other_masks(finding: Finding, scene: Scene) -> list[Example]:
    """Both pairs with their masks and, where they have one size, where the masks differ."""
    found: list[Example] = []
    for files in evenly(finding.details.get("pairs", []), scene.limit):
        pairs = [scene.pair(place) for file in files if (place := scene.place(file)) is not None]
        pictures = [one for pair in pairs for one in pair.both(Path(pair.facts["mask"]).name)]
        text = ""
        if len(pairs) == 2 and all(pair.seen.fits for pair in pairs):
            one, two = (np.asarray(pair.seen.raw) for pair in pairs)
            if one.shape == two.shape:
                part = share(float((one != two).mean()))
                text = f"{part} of the pixels differ."
                alt = f"Where the masks {files[0]} and {files[1]} differ: {part}"
                pictures.append(replace(pairs[0].marked(one != two, "Where they differ", ""), alt=alt))
        problems = " ".join(pair.seen.problem for pair in pairs if pair.seen.problem)
        found.append(Example(listed(files), text, pictures, problems))
    return found


def _rare(finding: Finding, scene: Scene) -> list[Example]:
    """For classes that a split lacks or that are rare: the pair that shows most of each."""
    if finding.code == "imbalance":
        shares: dict[str, float] = finding.details["shares"]
        names = sorted((name for name, part in shares.items() if 0 < part < 0.01), key=lambda name: shares[name])
        wanted = {name: f"{name}, {fine_share(shares[name])} of all labelled pixels" for name in names}
    else:
        missing: dict[str, list[str]] = defaultdict(list)
        for split, names in finding.details["absent"].items():
            for name in names:
                missing[name].append(SPLIT_WORDS[split])
        wanted = {name: f"{name}, which the {listed(splits)} images lack" for name, splits in missing.items()}
    return [example for name in list(wanted)[: scene.limit] if (example := _most_of(scene, name, wanted[name]))]


def _most_of(scene: Scene, name: str, text: str) -> Example | None:
    """The pair with most pixels of a class, and where they are."""
    classes, pixels = scene.audit.class_map, [pair["pixels"].get(name, 0) for pair in scene.audit.pairs]
    if classes is None or not any(pixels):
        return None
    pair = scene.pair(int(np.argmax(pixels)))
    pictures = pair.both("With its mask")
    if pair.seen.fits:
        labels, _, _ = scene.meaning.read(np.asarray(pair.seen.raw), pair.seen.valid, pair.seen.has_colours)
        where = labels == classes.names.index(name)
        pictures.append(pair.marked(where, f"Where {name} is", f"Where {pair.facts['image']} shows {name}"))
    split = f" ({pair.split})" if pair.split else ""
    return Example("", f"{text}; seen most in {pair.facts['image']}{split}.", pictures, pair.seen.problem)


def _groups(finding: Finding, scene: Scene) -> list[Example]:
    """Two pictures of a group that lie on different sides."""
    torn: dict[str, dict[str, int]] = finding.details.get("torn", {})
    members: dict[tuple[str, str | None], int] = {}
    pattern = re.compile(finding.details["pattern"]) if "pattern" in finding.details else None
    for place, record in enumerate(scene.audit.records):
        match = pattern.search(record.id) if pattern else None
        members.setdefault((match.group(1) if match else record.group or record.id, record.split), place)
    found: list[Example] = []
    for group, counts in list(torn.items())[: scene.limit]:
        pairs = [scene.pair(members[group, split]) for split in list(counts)[:2] if (group, split) in members]
        pictures = [one for pair in pairs for one in pair.image(f"{Path(pair.facts['image']).name} ({pair.split})")]
        parts = listed([f"{number} {SPLIT_WORDS[split]}" for split, number in counts.items()])
        found.append(Example(group, f"{parts} images", pictures))
    return found


NOT_DRAWN = {"unreadable", "unlisted", "no-split"}  # there is nothing to see
_IMAGE_ALONE = ("empty-masks", "mixed-channels", "mixed-depth", "constant-image", "not-finite")
# codes whose pictures are others than a pair with its mask, and what of it must be there: any, both or both in one size
PICTURED: dict[str, tuple[str, Callable[[Finding, Pair], list[Picture]]]] = {
    **dict.fromkeys(_IMAGE_ALONE, ("any", lambda _, pair: pair.image(""))),
    **dict.fromkeys(("colour-masks", "palette"), ("any", _in_own_colours)),
    **dict.fromkeys(("unknown-values", "void-after-last", "zero-255"), ("fit", _values_marked)),
    "listed-twice": ("any", lambda _, pair: pair.both()),
    "size-mismatch": ("both", _sizes),
    "orientation": ("both", _turned),
    "offset": ("both", _offset),
    "smoothed": ("fit", _smoothed),
    "inverted": ("fit", _exchanged),
}
# codes whose pictures are not of one file each
DRAWN: dict[str, Callable[[Finding, Scene], list[Example]]] = {
    "unpaired": _lone,
    "class-missing": _rare,
    "imbalance": _rare,
    **dict.fromkeys(("exact-duplicates", "exact-leak", "near-duplicates", "near-leak"), _doubles),
    "different-masks": _other_masks,
    "groups": _groups,
}
