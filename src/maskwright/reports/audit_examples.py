"""Which pairs show what a finding means, and their pictures; and a sheet of pairs from the whole set."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
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
from maskwright.reports.audit_pictures import Meaning, Picture, Seen
from maskwright.reports.audit_scene import Example, Scene, evenly, image_of, mask_of, with_mask
from maskwright.reports.audit_words import fine_share, sides
from maskwright.reports.wording import SPLIT_WORDS, share

SHEET = 12  # pairs that show the set as it is


def examples_of(finding: Finding, scene: Scene) -> list[Example]:
    """Pictures of what a finding means; none where there is nothing to see."""
    return [] if finding.code in NOT_DRAWN else DRAWN.get(finding.code, _each(_pair_and_mask))(finding, scene)


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
    chosen = [place for split, found in by_split.items() for place in evenly(found, counts[split])]
    return [_of_sheet(scene, place) for place in chosen]


def _of_sheet(scene: Scene, place: int) -> Example:
    pair = scene.audit.pairs[place]
    seen = scene.see(place)
    size = sides(pair["height"], pair["width"]) if pair["height"] else ""
    told = " · ".join(part for part in (scene.split_of(place), size, scene.areas(place)) if part)
    name = pair["id"] if scene.audit.records[place].window else pair["image"]  # a scene has many windows
    return Example(name, told, tuple(with_mask(scene, place, seen)), seen.problem)


Pictured = Callable[[Finding, Scene, int, Seen], list[Picture]]
Drawing = Callable[[Finding, Scene], list[Example]]


def _each(pictured: Pictured) -> Drawing:
    """An example for each of some of the finding's files."""

    def examples(finding: Finding, scene: Scene) -> list[Example]:
        found: list[Example] = []
        for file, place in scene.of(finding):
            try:
                seen = scene.see(place)
                found.append(Example(file, "", tuple(pictured(finding, scene, place, seen)), seen.problem))
            except MaskwrightError as error:
                found.append(Example(file, problem=str(error)))
        return found

    return examples


def _image_alone(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    return image_of(scene, place, seen, "")


def _pair_and_mask(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    if not seen.fits:
        return with_mask(scene, place, seen)
    return [*with_mask(scene, place, seen, "With its mask"), *mask_of(scene, place, seen)]


def _beside(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """Image and mask in its own colours, a palette's too."""
    if seen.raw is None or finding.code != "palette":
        return [*image_of(scene, place, seen), *mask_of(scene, place, seen)]
    record = scene.audit.records[place]
    coloured = replace(seen, raw=decode_colours(read_bytes(record.mask), record.mask), has_colours=True)
    pixels, legend = draw.mask_alone(coloured, Meaning())
    alt = f"Mask {scene.audit.pairs[place]['mask']} in the colours of its palette"
    return [*image_of(scene, place, seen), Picture("Mask in its palette's colours", alt, pixels, tuple(legend))]


def _values(finding: Finding) -> list[int]:
    """The values a finding points at."""
    if finding.code == "unknown-values":
        return [int(told) if told.isdigit() else parse_value(told) for told in finding.details["pixels"]]
    return [255 if finding.code == "zero-255" else int(finding.details["value"])]


def _values_marked(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """The pair, and where the values in question are."""
    if not seen.fits or seen.image is None or seen.raw is None:
        return with_mask(scene, place, seen)
    values = _values(finding)
    where = np.isin(seen.raw, values)
    told = listed([f"#{value:06x}" if seen.has_colours else value for value in values], limit=3)
    alt = f"Where {scene.audit.pairs[place]['mask']} holds {told}: {share(float(where.mean()))} of it"
    mark = Picture(f"Where it holds {told}", alt, draw.marked(seen.image, where))
    return [*with_mask(scene, place, seen, "With its mask"), mark]


def _smoothed(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """As the repair would read it, and where greys are."""
    if not seen.fits or seen.image is None or seen.raw is None or seen.has_colours:
        return with_mask(scene, place, seen)
    where = ~np.isin(seen.raw, (0, 255))
    mask = scene.audit.pairs[place]["mask"]
    alt = f"Where {mask} is neither 0 nor 255: {share(float(where.mean()))} of it"
    return [
        *with_mask(scene, place, seen, "With its mask"),
        Picture("Mask as stored", f"Mask {mask} in grey", draw.greys(seen.raw)),
        Picture("Neither 0 nor 255", alt, draw.marked(seen.image, where)),
    ]


def _exchanged(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """Foreground as it is read, and the other way round."""
    if not seen.fits or finding.proposal is None:
        return with_mask(scene, place, seen)
    table = {int(value): int(label) for value, label in finding.proposal.values["table"].items()}
    found: list[Picture] = []
    for title, wanted in (("Foreground as it is read", 0), ("Foreground if exchanged", 1)):
        values = [value for value, label in sorted(table.items(), key=lambda pair: pair[1] != wanted)]
        order = values[::-1]  # background first
        classes = ClassMap(("background", "foreground"), (order[0], order[1]))
        pixels, _ = draw.laid(seen, Meaning(classes))
        found.append(Picture(title, f"{title} in {scene.audit.pairs[place]['image']}: value {order[1]}", pixels))
    return found


def _sizes(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """Image and mask at one scale; where the shapes agree, also what the repair makes of them."""
    if seen.image is None or seen.raw is None:
        return with_mask(scene, place, seen)
    mask, legend = draw.mask_alone(seen, scene.meaning)
    size = (seen.raw.shape[0], seen.raw.shape[1])
    one, two = draw.at_one_scale(seen.image, mask, size)
    (height, width), pair = seen.image.shape[:2], scene.audit.pairs[place]
    found = [
        Picture(f"Image, {sides(height, width)}", f"Image {pair['image']}", one),
        Picture(f"Mask, {sides(*size)}", f"Mask {pair['mask']} at the image's scale", two, tuple(legend)),
    ]
    if finding.details.get("same_aspect"):
        places = np.ix_(nearest(size[0], height), nearest(size[1], width))
        fitted = replace(seen, raw=seen.raw[places], valid=None)
        found += with_mask(scene, place, fitted, "Brought to one size")
    return found


def _offset(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """The mask cut or filled up as the repair would, and the corner where a row or column is lacking."""
    if seen.image is None or seen.raw is None:
        return with_mask(scene, place, seen)
    (height, width), (rows, columns) = seen.image.shape[:2], seen.raw.shape
    pad = (0, max(0, height - rows)), (0, max(0, width - columns))
    valid = np.pad(np.ones((rows, columns), bool), pad)[:height, :width]
    fitted = replace(seen, raw=np.pad(seen.raw, pad)[:height, :width], valid=valid)
    told = f"Image {sides(height, width)}, mask {sides(rows, columns)}: their bottom right corners, enlarged"
    return [
        *with_mask(scene, place, fitted, "Repaired"),
        Picture(told, f"Corners of {scene.audit.pairs[place]['image']} and its mask", draw.corner(seen, scene.meaning)),
    ]


_TURNS = {3: "by 180°", 6: "to the right", 8: "to the left"}


def _turned(finding: Finding, scene: Scene, place: int, seen: Seen) -> list[Picture]:
    """The pair as it is, and with its mask turned; both ways where nobody knows which."""
    if seen.image is None or seen.raw is None or finding.proposal is None:
        return with_mask(scene, place, seen)
    known = int(finding.proposal.values["orientation"])
    found = with_mask(scene, place, seen, "As it is")
    for orientation in (6, 8) if finding.proposal.question else (known,):
        fitted = replace(seen, raw=turn(seen.raw, orientation), valid=None)
        if fitted.fits:
            found += with_mask(scene, place, fitted, f"Mask turned {_TURNS.get(orientation, 'as its image')}")
    return found


def _lone(finding: Finding, scene: Scene) -> list[Example]:
    found: list[Example] = []
    for file in evenly(finding.files, scene.limit):
        seen = draw.read_lone(scene.root / file)
        if seen.image is not None:
            pictures = (Picture("", f"Picture {file}", draw.plain(seen.image)),)
        elif seen.raw is not None:
            pixels, legend = draw.mask_alone(seen, scene.meaning)
            pictures = (Picture("", f"Mask {file}", pixels, tuple(legend)),)
        else:
            pictures = ()
        found.append(Example(file, "", pictures, seen.problem))
    return found


def _doubles(finding: Finding, scene: Scene) -> list[Example]:
    """Pictures that are there twice, side by side; of each kind of likeness at least one."""
    pairs: list[dict[str, Any]] = finding.details.get("pairs", [])
    first = {pair["kind"]: number for number, pair in reversed(list(enumerate(pairs)))}
    chosen = sorted(first.values())[: scene.limit]
    rest = [number for number in range(len(pairs)) if number not in first.values()]
    chosen = sorted([*chosen, *evenly(rest, scene.limit - len(chosen))])
    found: list[Example] = []
    for pair in (pairs[number] for number in chosen):
        pictures: list[Picture] = []
        problems: list[str] = []
        for file, split in zip(pair["files"], pair["splits"], strict=True):
            place = _place(scene, file, split)
            if place is not None:
                seen = scene.see(place)
                word = SPLIT_WORDS.get(split or "", "")
                pictures += image_of(scene, place, seen, f"{Path(file).name}{f' ({word})' if word else ''}")
                problems += [seen.problem] if seen.image is None else []
        found.append(Example("", f"{pair['told']}.", tuple(pictures), " ".join(problems)))
    return found


def _place(scene: Scene, file: str, split: str | None = None) -> int | None:
    """The record of a file, in that split if it is in several."""
    places = scene.places.get(file, [])
    return next((place for place in places if scene.audit.pairs[place]["split"] == split), places[0] if places else None)


def _other_masks(finding: Finding, scene: Scene) -> list[Example]:
    """Both pairs with their masks and, where they have one size, where the masks differ."""
    found: list[Example] = []
    for files in evenly(finding.details.get("pairs", []), scene.limit):
        places = [place for file in files if (place := _place(scene, file)) is not None]
        seen = [scene.see(place) for place in places]
        pictures = [one for place, pair in zip(places, seen, strict=True)
                    for one in with_mask(scene, place, pair, Path(scene.audit.pairs[place]["mask"]).name)]  # fmt: skip
        told = ""
        if len(seen) == 2 and all(one.fits for one in seen):
            raws, image = [one.raw for one in seen if one.raw is not None], seen[0].image
            if len(raws) == 2 and image is not None and raws[0].shape == raws[1].shape:
                where = raws[0] != raws[1]
                told = f"{share(float(where.mean()))} of the pixels differ."
                alt = f"Where the masks {files[0]} and {files[1]} differ: {share(float(where.mean()))}"
                pictures.append(Picture("Where they differ", alt, draw.marked(image, where)))
        found.append(Example(listed(files), told, tuple(pictures), " ".join(one.problem for one in seen if one.problem)))
    return found


def _rare(finding: Finding, scene: Scene) -> list[Example]:
    """For classes that a split lacks or that are rare: the pair that shows most of each."""
    if finding.code == "imbalance":
        shares: dict[str, float] = finding.details["shares"]
        names = sorted((name for name, part in shares.items() if 0 < part < 0.01), key=lambda name: shares[name])
        wanted = {name: f"{name}, {fine_share(shares[name])} of all labelled pixels" for name in names}
    else:
        absent: dict[str, list[str]] = finding.details["absent"]
        missing: dict[str, list[str]] = defaultdict(list)
        for split, names in absent.items():
            for name in names:
                missing[name].append(SPLIT_WORDS[split])
        wanted = {name: f"{name}, which the {listed(splits)} images lack" for name, splits in missing.items()}
    return [example for name in list(wanted)[: scene.limit] if (example := _most_of(scene, name, wanted[name]))]


def _most_of(scene: Scene, name: str, told: str) -> Example | None:
    """The pair with most pixels of a class, and where they are."""
    pairs, classes = scene.audit.pairs, scene.audit.class_map
    place = max(range(len(pairs)), key=lambda place: (pairs[place]["pixels"].get(name, 0), -place), default=None)
    if place is None or classes is None or not pairs[place]["pixels"].get(name):
        return None
    seen = scene.see(place)
    pictures = with_mask(scene, place, seen, "With its mask")
    if seen.fits and seen.image is not None and seen.raw is not None:
        labels, _, _ = scene.meaning.read(seen.raw, seen.valid, seen.has_colours)
        where = labels == classes.names.index(name)
        alt = f"Where {pairs[place]['image']} shows {name}: {share(float(where.mean()))} of it"
        pictures.append(Picture(f"Where {name} is", alt, draw.marked(seen.image, where)))
    where_from = f"seen most in {pairs[place]['image']}"
    split = scene.split_of(place)
    return Example("", f"{told}; {where_from}{f' ({split})' if split else ''}.", tuple(pictures), seen.problem)


def _groups(finding: Finding, scene: Scene) -> list[Example]:
    """Two pictures of a group that lie on different sides."""
    torn: dict[str, dict[str, int]] = finding.details.get("torn", {})
    members: dict[tuple[str, str | None], int] = {}
    pattern = re.compile(finding.details["pattern"]) if "pattern" in finding.details else None
    for place, record in enumerate(scene.audit.records):
        match = pattern.search(record.id) if pattern else None
        group = match.group(1) if match else record.group or record.id
        members.setdefault((group, record.split), place)
    found: list[Example] = []
    for group, counted in list(torn.items())[: scene.limit]:
        pictures: list[Picture] = []
        for split in list(counted)[:2]:
            place = members.get((group, split))
            if place is not None:
                name = Path(scene.audit.pairs[place]["image"]).name
                pictures += image_of(scene, place, scene.see(place), f"{name} ({SPLIT_WORDS[split]})")
        counts = listed([f"{number} {SPLIT_WORDS[split]}" for split, number in counted.items()])
        found.append(Example(group, f"{counts} images", tuple(pictures)))
    return found


NOT_DRAWN = {"unreadable", "unlisted", "no-split"}  # there is nothing to see
# codes whose pictures are more than some pairs with their masks
DRAWN: dict[str, Drawing] = {
    "unpaired": _lone,
    "listed-twice": _each(lambda finding, scene, place, seen: with_mask(scene, place, seen)),
    "size-mismatch": _each(_sizes),
    "orientation": _each(_turned),
    "offset": _each(_offset),
    "unknown-values": _each(_values_marked),
    "void-after-last": _each(_values_marked),
    "smoothed": _each(_smoothed),
    "colour-masks": _each(_beside),
    "zero-255": _each(_values_marked),
    "palette": _each(_beside),
    "inverted": _each(_exchanged),
    "empty-masks": _each(_image_alone),
    "mixed-channels": _each(_image_alone),
    "mixed-depth": _each(_image_alone),
    "constant-image": _each(_image_alone),
    "not-finite": _each(_image_alone),
    "class-missing": _rare,
    "imbalance": _rare,
    "exact-duplicates": _doubles,
    "exact-leak": _doubles,
    "near-duplicates": _doubles,
    "near-leak": _doubles,
    "different-masks": _other_masks,
    "groups": _groups,
}
