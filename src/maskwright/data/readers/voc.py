"""Pascal VOC: JPEGImages/, SegmentationClass/, the lists in ImageSets/Segmentation/ and perhaps a labelmap.txt.

labelmap.txt, as VOC's and CVAT's tools write it, has a name a line, or `name:r,g,b:parts:actions`. CVAT's export
"Segmentation mask 1.1" is the same with classes given by colour, and with images only where they were asked for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Gap, Listing, Record
from maskwright.data.decoding import read_bytes
from maskwright.data.layout import IMAGE_NAMES, SPLIT_NAMES, SUFFIXES
from maskwright.data.readers.lists import (
    files_by_name,
    missing_files,
    others_note,
    place_in,
    read_lines,
    record_id,
    whole,
)  # fmt: skip
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

    Where classes are colours, nothing tells their order, so `background` goes first: class 0 is what the rest stands
    out from.
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
            raise DataError(
                f"`{path}` must name each class once; {name!r} stands again on line {number}. Remove one of them."
            )
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
        raise DataError(f"`{path}` must have colours of three numbers from 0 to 255; got {got}. Fix it.")
    return (red << 16) | (green << 8) | blue


IMAGES, MASKS, LISTS = "JPEGImages", "SegmentationClass", "ImageSets/Segmentation"
VOID = 255
VOID_COLOUR = 0xE0E0C0  # what 255 is in VOC's palette
# http://host.robots.ox.ac.uk/pascal/VOC/voc2012/#devkit
NAMES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
_VOC_NAME = re.compile(r"(20\d\d_)?\d{6}")  # 2007_000032, or 000032 in the first years


@dataclass(frozen=True)
class Lists:
    """The split each listed name is in (None: no list tells), the list it is in, names listed twice, and remarks."""

    splits: Mapping[str, str | None]
    lists: Mapping[str, str]
    twice: Mapping[str, str]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """Records, how they were chosen, remarks, and what is missing."""

    records: tuple[Record, ...]
    how: str
    notes: tuple[str, ...]
    gaps: tuple[Gap, ...]


def recognise(config: DataConfig, root: Path) -> str | None:
    """JPEGImages/ beside SegmentationClass/, here or in VOCdevkit/VOC2012."""
    found = [] if config.images else _bases(root)
    return f"{place_in(found[0], root)}{IMAGES}/ is beside {MASKS}/" if found else None


def read(config: DataConfig, root: Path) -> Listing:
    """What the lists name; without lists, every image that has a mask."""
    bases = _bases(root)
    if len(bases) != 1:
        got = listed([base.relative_to(root).as_posix() for base in bases]) if bases else "no such folders"
        fix = "Point --data at one of them." if bases else "Put them there, or under VOCdevkit/VOC2012/."
        raise DataError(f"`{root}` must hold one {IMAGES}/ beside one {MASKS}/ for reader voc; got {got}. {fix}")
    base = bases[0]
    found = read_records(root, base, base / IMAGES)
    reason = f"{place_in(base, root)}{IMAGES}/ beside {MASKS}/, {found.how}"
    listing = Listing(found.records, "voc", reason, None, found.notes, (VOID,), classes_from="Pascal VOC")
    if (base / LABELMAP).exists():
        classes, coloured = read_labelmap(base / LABELMAP)
        void = VOID_COLOUR if coloured else VOID
        listing = replace(listing, classes=classes, ignore=(void,), colours=coloured, classes_from=LABELMAP)
    # people keep their own data like this, too
    elif all(_VOC_NAME.fullmatch(record.image.stem) for record in found.records):
        listing = replace(listing, usual_classes={name: value for value, name in enumerate(NAMES)})
    return whole(listing, found.gaps)


def read_records(root: Path, base: Path, image_folder: Path) -> Found:
    """The pairs of every format that keeps VOC's folders: those the lists name, else every image that has a mask."""
    images, other_images = files_by_name(image_folder)
    masks, other_masks = files_by_name(base / MASKS)
    for kind, folder, files in (("image", image_folder, images), ("mask", base / MASKS, masks)):
        if not files:
            raise DataError(f"`{folder}` must hold at least one {kind} file; got none. Put the {kind}s there.")
    lists = read_lists(base / LISTS, {*images, *masks})
    notes = (
        [*lists.notes, *others_note(other_images + other_masks)] if lists else others_note(other_images + other_masks)
    )
    splits: dict[str, str | None] = dict(lists.splits) if lists else dict.fromkeys(masks)
    test = [name for name, split in splits.items() if split == "test"]
    if _held_back(test, splits, images, masks):
        splits = {name: split for name, split in splits.items() if split != "test"}
        notes.append(
            f"test.txt names {len(test)} images and none has a mask: they were left aside and cannot be scored"
        )
    gaps = (
        [Gap("listed-twice", (images.get(name, image_folder / name),), detail) for name, detail in lists.twice.items()]
        if lists
        else []
    )
    for list_ in dict.fromkeys(lists.lists.values()) if lists else [""]:
        names = [name for name in splits if lists is None or lists.lists[name] == list_]
        gaps += missing_files(
            f"{LISTS}/{list_}" if list_ else MASKS, names, {image_folder: images, base / MASKS: masks}
        )
    for kind, names in {"masks": masks, "images": images}.items():
        spare = sorted(set(names) - set(splits) - set(test) - (set(masks) if kind == "images" else set()))
        notes += [f"{len(spare)} {kind} that belong to nothing were left aside: {listed(spare)}"] if spare else []
    records = [Record(record_id(images[name], root), images[name], masks[name], split) for name, split in splits.items()
               if name in images and name in masks]  # fmt: skip
    how = f"by {listed(sorted(set(lists.lists.values())))}" if lists else "every image that has a mask"
    return Found(tuple(records), how, tuple(notes), tuple(gaps))


def _held_back(
    test: Sequence[str], splits: Mapping[str, str | None], images: Mapping[str, Path], masks: Mapping[str, Path]
) -> bool:
    """Whether a test list has images and not a single mask: VOC's makers keep those to themselves."""
    return 0 < len(test) < len(splits) and all(name in images and name not in masks for name in test)


def read_lists(folder: Path, files: set[str]) -> Lists | None:
    """The names in train.txt, val.txt, test.txt (trainval.txt where there is no train.txt), or lists of other names."""
    texts = {
        path.stem: [_name(line, files) for _, line in read_lines(path)] for path in sorted(folder.glob("[!.]*.txt"))
    }
    if not texts:
        return None
    named = {stem: SPLIT_NAMES.get(stem.lower()) or ("train" if stem.lower() == "trainval" else None) for stem in texts}
    both = [stem for stem in texts if stem.lower() == "trainval"] if "train" in {stem.lower() for stem in texts} else []
    chosen = {stem: names for stem, names in texts.items() if stem not in both}
    known = [stem for stem in chosen if named[stem]]
    if known and len(known) < len(chosen):
        odd = listed(f"{stem}.txt" for stem in chosen if not named[stem])
        fix = "Rename or remove what is no split."
        raise DataError(
            f"`{folder}` must hold lists called train, val, trainval and test, or none of them; got {odd} too. {fix}"
        )
    lists: dict[str, str] = {}
    twice: dict[str, str] = {}
    for stem, names in chosen.items():
        for name in names:
            if name in lists:
                where = f"twice in {stem}.txt" if lists[name] == f"{stem}.txt" else f"in {lists[name]} and {stem}.txt"
                twice[name] = f"`{LISTS}` must list each name once; {name} is {where}. Take it out of one."
            lists.setdefault(name, f"{stem}.txt")
    if not lists:
        raise DataError(
            f"`{folder}` must list at least one name; its {len(texts)} lists are empty. Write one name a line."
        )
    more = [name for stem in both for name in texts[stem] if name not in lists]
    notes = (
        [f"{len(more)} names in trainval.txt that no other list has were left aside: {listed(more)}"] if more else []
    )
    splits = {name: named[Path(list_).stem] for name, list_ in lists.items()}
    return Lists(splits, lists, twice, tuple(notes))


def _name(line: str, files: set[str]) -> str:
    """A listed name; some tools write the file's suffix with it."""
    path = Path(line)
    return path.with_suffix("").as_posix() if line not in files and path.suffix.lower() in SUFFIXES else line


def _bases(root: Path) -> list[Path]:
    places = [root, *sorted(root.glob("VOC*")), *sorted(root.glob("VOCdevkit/VOC*"))]
    return [base for base in places if (base / IMAGES).is_dir() and (base / MASKS).is_dir()]


def recognise_cvat(config: DataConfig, root: Path) -> str | None:
    """SegmentationClass/ and a labelmap.txt that holds colours."""
    if config.images or not (root / MASKS).is_dir() or not has_colours(root):
        return None
    return f"{LABELMAP} gives each class a colour, and {MASKS}/ is beside it"


def read_cvat(config: DataConfig, root: Path) -> Listing:
    """The names in ImageSets/Segmentation, or all masks; the images have to be put beside them."""
    if not (root / MASKS).is_dir() or not (root / LABELMAP).is_file():
        wish = f"{LABELMAP} and {MASKS}/ for reader cvat"
        raise DataError(
            f"`{root}` must hold {wish}; they are not there. Unpack the export of “Segmentation mask 1.1” into it."
        )
    classes, coloured = read_labelmap(root / LABELMAP)
    if not coloured:
        fix = "Export “Segmentation mask 1.1” again, or read the folder with --data.reader voc."
        raise DataError(
            f"`{root / LABELMAP}` must give each class a colour for reader cvat; it holds names alone. {fix}"
        )
    images = _image_folder(root)
    found = read_records(root, root, images)
    reason = f"{LABELMAP} and {MASKS}/ of a CVAT export with the images in {images.name}/, {found.how}"
    return whole(Listing(found.records, "cvat", reason, classes, found.notes, (), True, LABELMAP), found.gaps)


def _image_folder(root: Path) -> Path:
    """JPEGImages/, where CVAT puts images it exports, or a folder that is called as folders of images are."""
    if (root / IMAGES).is_dir():
        return root / IMAGES
    found = sorted(folder for folder in root.iterdir() if folder.is_dir() and folder.name.lower() in IMAGE_NAMES)
    if len(found) == 1:
        return found[0]
    if found:
        names = listed([folder.name for folder in found])
        raise DataError(
            f"`{root}` must hold one folder of images; got {names}. Put the images into {IMAGES}/ and remove the rest."
        )
    lists = read_lists(root / LISTS, set())
    names = listed(list(lists.splits) if lists else sorted(path.stem for path in (root / MASKS).glob("*")), "and", 3)
    fix = f"Put them there under the same names ({names}), or export again with “Save images”."
    raise DataError(
        f"`{root / IMAGES}` must hold the images; it is not there, as CVAT exports masks alone unless asked. {fix}"
    )
