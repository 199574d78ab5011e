"""LabelMe: a JSON of shapes for each image, beside it or in a folder of its own.

Classes are the labels in alphabetical order from 1 on, or as data.classes or classes.yaml number them; background is 0.
The picture embedded in a file (imageData) is never read: images are those on the disk.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

from maskwright.config.data import DataConfig, is_colour
from maskwright.data.dataset import Gap, Listing, MaskForm, PartialListing, Record
from maskwright.data.decoding import is_file, read_bytes
from maskwright.data.forms.labelme import BACKGROUND_NAMES, IGNORE_NAME, IGNORED, LabelMeFile, parse
from maskwright.data.layout import IMAGE_NAMES, SPLIT_NAMES, SUFFIXES, files_below
from maskwright.data.masks import named_values
from maskwright.data.readers.folders import CLASSES_FILE, read_classes
from maskwright.data.readers.lists import record_id, reject_listed_twice
from maskwright.errors import DataError, counted, listed

_LOOKED_AT = 8  # files that may be something else before the first of LabelMe


def recognise(config: DataConfig, root: Path) -> str | None:
    """A JSON with shapes and imagePath."""
    if not root.is_dir() or config.images:
        return None
    found = next((path for _, path in zip(range(_LOOKED_AT), _json_files(root), strict=False) if _is_one(path)), None)
    return f"{found.name} is a LabelMe file" if found else None


def read(config: DataConfig, root: Path) -> Listing:
    """Every LabelMe file with its image, and the value of each label."""
    if not root.is_dir():
        raise DataError(f"`data.root` must be a folder for reader labelme; got {root}, a file. Check the path.")
    paths = sorted(_json_files(root))
    ours = [path for path in paths if _is_one(path)]
    if not ours:
        raise DataError(f"`{root}` must hold LabelMe files (.json with shapes); it holds none. Check the path.")
    files, images = _parsed(ours, root)
    values, source = _values(config, root, files)
    key = json.dumps(values, ensure_ascii=False)
    records = [
        Record(record_id(image, root), image, file.path, _split(file.path, root), form=MaskForm("labelme", key))
        for file, image in zip(files, images, strict=True)
    ]
    reject_listed_twice(records, "Change imagePath in one of them, or remove one.")
    reason = f"LabelMe files of {len(files)} images"
    notes = tuple(_notes(paths, files))
    listing = Listing(tuple(records), "labelme", reason, values, notes, (IGNORED,), classes_from=source)
    if unlabelled := _unlabelled(images):
        names = listed([path.relative_to(root).as_posix() for path in unlabelled], "and", 8)
        fix = "Save those that are background without shapes, and move the others elsewhere."
        detail = f"`{root}` must hold a LabelMe file for each image; {len(unlabelled)} have none: {names}. {fix}"
        raise PartialListing(detail, listing, [Gap("unpaired", tuple(unlabelled), detail)])
    return listing


def _parsed(paths: list[Path], root: Path) -> tuple[list[LabelMeFile], list[Path]]:
    """All files and their images; everything wrong with them is reported together."""
    files: list[LabelMeFile] = []
    images: list[Path] = []
    problems: list[str] = []
    for path in paths:
        try:
            file = parse(path)
            images.append(_image(file, root))
            files.append(file)
        except DataError as error:
            problems.append(str(error))
    if problems:
        more = f"\n  and {len(problems) - 8} more" if len(problems) > 8 else ""
        head = f"{len(problems)} LabelMe files cannot be used:\n  " if len(problems) > 1 else ""
        raise DataError(head + "\n  ".join(problems[:8]) + more)
    return files, images


def _image(file: LabelMeFile, root: Path) -> Path:
    """The image a file names, or the one of its own name: beside it, or in a folder of images."""
    folder = file.path.parent
    places = [folder,
              *(base / name for base in dict.fromkeys((folder.parent, folder, root)) for name in sorted(IMAGE_NAMES)
                        if base == root or root in base.parents)]  # fmt: skip
    name = Path(file.image_path).name
    for place in (folder / file.image_path, *(place / name for place in places)):
        if is_file(place):
            return place
    for place in places:
        for suffix in sorted(SUFFIXES):
            if is_file(found := place / f"{file.path.stem}{suffix}"):
                return found
    embedded = " (the picture embedded in it is not read: images are files here)" if file.embedded else ""
    fix = f"Put it there{', or save it from LabelMe' if file.embedded else ''}."
    raise DataError(f"`{file.path}` must name an image that is there; {file.image_path} is not{embedded}. {fix}")


def _values(config: DataConfig, root: Path, files: list[LabelMeFile]) -> tuple[dict[str, int], str]:
    """Each class's value, background first, and where it was given."""
    labels = sorted({label for file in files for label in file.labels})
    detail = read_classes(root)
    source = CLASSES_FILE if detail is not None else "the labels in alphabetical order"
    if config.classes is not None:
        named = named_values(config.classes)
        if any(is_colour(value) for value in named.values()):
            raise DataError(
                "`data.classes` must give LabelMe's labels numbers; got colours. Name the labels alone, in order."
            )
        detail, source = {name: int(value) for name, value in named.items() if isinstance(value, int)}, "data.classes"
    if detail is None:
        detail = {label: value for value, label in enumerate(labels, start=1)}
    unknown = sorted(set(labels) - detail.keys())
    if unknown:
        fix = f"Add them, or fix the labels in LabelMe ({IGNORE_NAME} is ignored)."
        raise DataError(f"`{source}` must name every label; {listed(unknown)} is not in it. {fix}")
    if any(name in detail for name in BACKGROUND_NAMES):
        return detail, source
    if 0 in detail.values():
        taken = next(name for name, value in detail.items() if value == 0)
        fix = "Name background too, or number from 1 on."
        raise DataError(f"`{source}` must leave 0 for background; {taken} has it. {fix}")
    return {"background": 0, **detail}, source


def _notes(paths: list[Path], files: list[LabelMeFile]) -> Iterator[str]:
    for what in sorted({what for file in files for what in file.left_out}):
        having = [file for file in files if what in file.left_out]
        kind, _, more = what.partition(" ")
        count, names = (
            sum(file.left_out[what] for file in having),
            listed([file.path.name for file in having], "and", 3),
        )
        has, was = ("has", "was") if count == 1 else ("have", "were")
        why = "" if more.startswith("of the unknown") else f"{has} no area and "
        yield f"{counted(count, kind)}{more and ' ' + more} {why}{was} left out ({names})"
    if nameless := [file for file in files if file.num_nameless]:
        count, names = (
            sum(file.num_nameless for file in nameless),
            listed([file.path.name for file in nameless], "and", 3),
        )
        yield f"{counted(count, 'shape')} without a label: neither learned nor scored there ({names})"
    empty = sum(not file.shapes for file in files)
    if empty:
        yield f"{empty} images have no shapes: all of them is background"
    others = [path.name for path in paths if path not in {file.path for file in files}]
    if others:
        yield f"{len(others)} JSON files are not LabelMe's and were left aside: {listed(others)}"


def _unlabelled(images: list[Path]) -> list[Path]:
    """Pictures beside those that have a LabelMe file: nobody knows whether they are background or not done yet."""
    used = {os.path.realpath(image) for image in images}  # Path.resolve stops at a link to itself
    folders = sorted({image.parent for image in images})
    beside = (path for folder in folders for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES)
    return [path for path in beside if not path.name.startswith(".") and os.path.realpath(path) not in used]


def _json_files(root: Path) -> Iterator[Path]:
    return (path for path in files_below(root)[0] if path.suffix == ".json" and not path.name.startswith("."))


def _is_one(path: Path) -> bool:
    try:
        # its text is enough: a file that is cut off is one too, and reading it says what is wrong
        data = read_bytes(path)
        return b'"shapes"' in data and (b'"imagePath"' in data or b'"version"' in data)
    except DataError:
        return False


def _split(path: Path, root: Path) -> str | None:
    return next(
        (SPLIT_NAMES[part.lower()] for part in path.relative_to(root).parts[:-1] if part.lower() in SPLIT_NAMES), None
    )
