"""COCO: JSON files of images, annotations and categories, in the root, annotations/ or a folder a split; or one such
file.

Values are category ids; background is 0, or a value of its own where a category has the id 0. Crowd regions are
ignored. Images without annotations are background.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from maskwright.config.data import DataConfig, is_colour
from maskwright.data.dataset import Listing, MaskForm, Record
from maskwright.data.decoding import is_file
from maskwright.data.forms.coco import BACKGROUND, CROWD, CocoFile, CocoImage, looks_like_coco, parse
from maskwright.data.forms.labelme import BACKGROUND_NAMES
from maskwright.data.layout import SPLIT_NAMES, folders_in, split_of
from maskwright.data.masks import named_values
from maskwright.data.readers.lists import reject_listed_twice
from maskwright.errors import DataError, listed

_ANNOTATIONS = ("annotations", "annotation", "labels")  # folders of COCO files
_FOLDERS = ("", "images", "image", "imgs", "img", "data", "JPEGImages")  # where images stand beside a file


def recognise(config: DataConfig, root: Path) -> str | None:
    """A JSON with images, annotations and categories."""
    found = next((path for path in _candidates(root) if looks_like_coco(path)), None)
    return f"{found.name} is a COCO file" if found and not config.images else None


def read(config: DataConfig, root: Path) -> Listing:
    """Every image the files list; what they leave out is noted, images that are not there are reported together."""
    files, notes = _files(root)
    categories = _categories(files)
    background, names, detail = _background(files, categories)
    _reject_other_meaning(config, names)
    records: list[Record] = []
    for file in files:
        records += _records(file, root, background)
    reject_listed_twice(records, "Take one entry out, or name the file you mean: --data FILE.json.")
    empty = sum(len(file.images) - len(file.annotations) for file in files)
    without_area = sum(file.without_area for file in files)
    notes += detail
    notes += [f"{empty} images have no annotations: all of them is background"] if empty else []
    notes += (
        [f"{without_area} outlines of fewer than three points have no area and were left out"] if without_area else []
    )
    reason = f"COCO annotations in {listed([file.path.relative_to(_folder(root)).as_posix() for file in files])}"
    source = files[0].path.name
    return Listing(
        tuple(records), "coco", reason, names, tuple(notes), (CROWD,), classes_from=f"the categories of {source}"
    )


def _folder(root: Path) -> Path:
    return root if root.is_dir() else root.parent


def _candidates(root: Path) -> Iterator[Path]:
    """JSON files where COCO data sets have them; beside many of them (a file an image) there is none."""
    if root.is_file():
        yield from [root] if root.suffix.lower() == ".json" else []
        return
    for folder in (root, *folders_in(root)):
        known = folder == root or folder.name.lower() in _ANNOTATIONS or split_of(folder.name)
        files = sorted(folder.glob("*.json")) if known else []
        if len(files) <= 32:
            yield from files


def _files(root: Path) -> tuple[list[CocoFile], list[str]]:
    """The files that hold outlines, parsed; captions, panoptic files and lists without annotations are left aside."""
    candidates = list(_candidates(root))
    found = [path for path in candidates if root.is_file() or looks_like_coco(path)]
    if not found:
        held = listed([path.name for path in candidates]) if candidates else "no JSON"
        got = f"{root}, which holds {held}"
        raise DataError(
            f"`data.root` must hold COCO files for reader coco (or annotations/ must); got {got}. Check the path."
        )
    files = [parse(path) for path in found]
    used = [file for file in files if file.annotations]
    if not used:
        raise DataError(f"`{found[0]}` must hold annotations; it holds none. Export it with its annotations.")
    aside = [path.name for path in candidates if path not in {file.path for file in used}]
    return used, [f"{listed(aside)} hold no annotated images and were left aside"] if aside else []


def _categories(files: list[CocoFile]) -> dict[int, str]:
    """The categories of all files, which must mean the same."""
    found: dict[int, str] = {}
    for file in files:
        for number, name in file.categories.items():
            if found.setdefault(number, name) != name:
                detail = f"{number} is {found[number]} and, in {file.path.name}, {name}"
                raise DataError(f"category ids must mean the same in all files; {detail}. Export them together.")
    return found


def _background(files: list[CocoFile], categories: dict[int, str]) -> tuple[int, dict[str, int], list[str]]:
    """Background's value, each class's name and value in order, and a note where a category was left out."""
    names = {name: number for number, name in sorted(categories.items())}
    own = next((names[name] for name in BACKGROUND_NAMES if name in names), None)
    if own is not None:
        first = next(name for name in names if names[name] == own)
        return own, {first: own, **names}, []
    first = categories.get(0)
    if first is None:
        return 0, {"background": 0, **names}, []
    parent = any(first in file.parents for file in files) and not any(0 in file.used for file in files)
    if parent:  # Roboflow writes the name of the project as a category that all others belong to
        del names[first]
        return 0, {"background": 0, **names}, [f"the category {first} (id 0) only groups the others and was left out"]
    return BACKGROUND, {"background": BACKGROUND, **names}, []


def _reject_other_meaning(config: DataConfig, names: dict[str, int]) -> None:
    """Configured classes may choose other names, but must not give a category's name to another category."""
    if config.classes is None:
        return
    for name, value in named_values(config.classes).items():
        if name in names and not is_colour(value) and value != names[name]:
            detail = f"{name} is given {value}, and the category {name} has the id {names[name]}"
            raise DataError(
                f"`data.classes` must give categories their own ids; {detail}. Leave data.classes out, or fix it."
            )


def _records(file: CocoFile, root: Path, background: int) -> list[Record]:
    folder = _folder(root)
    split = split_of(file.path.stem) or (split_of(file.path.parent.name) if file.path.parent != folder else None)
    images = list(file.images.values())
    base = _base(file, images, folder, split)
    remap = ((BACKGROUND, background),) if background != BACKGROUND else ()
    return [
        Record(_id(base / image.file_name, folder), base / image.file_name, file.path, split,
               form=MaskForm("coco", image.id, remap))
        for image in images
    ]  # fmt: skip


def _id(image: Path, folder: Path) -> str:
    parts = Path(os.path.relpath(image, folder)).with_suffix("").parts
    # of a file in annotations/, named by itself, images are elsewhere
    return "/".join(part for part in parts if part != "..")


def _base(file: CocoFile, images: list[CocoImage], folder: Path, split: str | None) -> Path:
    """The folder that file names start from: the first in a fixed order that holds all images."""
    fewest: tuple[list[str], Path] | None = None
    bases = list(dict.fromkeys(_bases(file.path, folder, split)))
    for base in bases:
        missing = [image.file_name for image in images if not is_file(base / image.file_name)]
        if not missing:
            return base
        if fewest is None or len(missing) < len(fewest[0]):
            fewest = (missing, base)
    assert fewest is not None
    missing, base = fewest
    where = f"{base.relative_to(folder).as_posix()}/" if base != folder else str(folder)
    fix = "Put them there, or take them out of the file."
    raise DataError(
        f"`{file.path}` must list images that are there; {len(missing)} of {len(images)} are missing from {where} "
        f"(of {len(bases)} places the one with most of them): {listed(missing)}. {fix}"
    )


def _bases(path: Path, folder: Path, split: str | None) -> Iterator[Path]:
    """Folders that may hold a file's images: those named like its split first, then those beside it."""
    last = re.split(r"[_\-.]", path.stem)[-1]  # instances_train2017 → train2017
    tokens = [token for token in (last, path.stem) if split_of(token) == split and token]
    spellings = [name for name, meant in SPLIT_NAMES.items() if meant == split]
    above = [path.parent.parent] if path.parent != folder or path.parent.name.lower() in _ANNOTATIONS else []
    for base in dict.fromkeys((path.parent, folder, *above)):
        for name in (*tokens, *spellings):
            for place in (base / name, *(base / inner / name for inner in _FOLDERS[1:])):
                if place.is_dir():
                    yield from (place / inner for inner in _FOLDERS if (place / inner).is_dir())
        yield from (base / inner for inner in _FOLDERS if (base / inner).is_dir())
