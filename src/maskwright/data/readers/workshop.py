"""The satellite workshop's layout: TRAIN_VAL_SET/{IMAGES,MASKS}, TEST_SET/ and label_mapping.json."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing, Record
from maskwright.data.decoding import read_bytes
from maskwright.data.discovery import find_images_and_masks, role_folders
from maskwright.data.images import decode_colours, decode_mask
from maskwright.data.layout import image_files
from maskwright.data.partial import Gap
from maskwright.data.readers.folders import read_pairs
from maskwright.data.readers.label_mapping import read_label_mapping
from maskwright.data.readers.lists import whole
from maskwright.errors import DataError, as_typed, listed

MAPPING = "label_mapping.json"
_TRAIN_NAMES = ("trainvalset", "tainvalset")  # the workshop's own text has the second
_TEST_NAMES = ("testset",)
_MOST_LOOKED_AT = 50  # masks, to see whether they hold ids or colours


def recognise(config: DataConfig, root: Path) -> str | None:
    """TRAIN_VAL_SET/, with the workshop's misspelling too, that holds images and masks."""
    folder = None if config.images else _folder(root, _TRAIN_NAMES)
    return f"it holds {folder.name}/" if folder else None


def read(config: DataConfig, root: Path) -> Listing:
    """TRAIN_VAL_SET is train (val is dealt from it), TEST_SET is test where it has masks."""
    train = _folder(root, _TRAIN_NAMES)
    if train is None or len(role_folders(train)) < 2:
        got = f"{train.name}/ without them" if train else "no such folder"
        wish = "TRAIN_VAL_SET/ with IMAGES/ and MASKS/ for reader workshop"
        raise DataError(f"`{root}` must hold {wish}; got {got}. Put the images and masks there.")
    sides, notes = {train: "train"}, list[str]()
    test = _folder(root, _TEST_NAMES)
    if test is not None and (note := _without_masks(test)):
        notes.append(note)
    elif test is not None:
        sides[test] = "test"
    layouts = {folder: find_images_and_masks(folder) for folder in sides}
    records, rules, gaps = list[Record](), set[str](), list[Gap]()
    for folder, found in layouts.items():
        inside, how, missing = read_pairs(root, found)
        records += [replace(record, split=sides[folder]) for record in inside]
        rules |= set(how)
        gaps += missing
        notes += found.notes
    classes, colours, told = _classes(root, train, records)
    where = listed([f"{folder.name} is {split}" for folder, split in sides.items()])
    reason = f"{layouts[train].layout}, {where}, paired by {listed(sorted(rules))}"
    listing = Listing(tuple(records), "workshop", reason, classes, (*notes, *told), (), colours, MAPPING)
    return whole(listing, gaps)


def _folder(root: Path, names: tuple[str, ...]) -> Path | None:
    """The folder of one of these names, capitals and underscores aside."""
    if not root.is_dir():
        return None
    inside = sorted(path for path in root.iterdir() if path.is_dir())
    return next((path for path in inside if "".join(filter(str.isalnum, path.name.lower())) in names), None)


def _without_masks(test: Path) -> str:
    """A remark on a test without images or masks: it can be predicted and not scored."""
    folders = role_folders(test)
    if len(folders) == 2 and image_files(folders["masks"])[0]:
        return ""
    images = image_files(test)[0]
    if not images:
        return f"{test.name} holds no images, so there is no test"
    where = f"{test.name} has {len(images)} images and no masks, so there is no test to score"
    return f"{where}; predict them with maskwright predict RUN {as_typed(images[0].parent)}"


def _classes(root: Path, train: Path, records: list[Record]) -> tuple[dict[str, int] | None, bool, list[str]]:
    """Classes, whether they are colours, and remarks."""
    path = next((place / MAPPING for place in (root, train) if (place / MAPPING).is_file()), None)
    if path is None:
        return None, False, [f"{MAPPING} is not there, so classes are read off the masks' values"]
    mapping = read_label_mapping(path)
    notes = [f"{listed(mapping.unused)} in {MAPPING} are not used"] if mapping.unused else []
    if mapping.ids is None or mapping.colours is None:
        return mapping.ids or mapping.colours, mapping.ids is None, notes
    colours = _hold_colours([record.mask for record in records], mapping.ids, mapping.colours)
    kind, other = ("colours", "ids") if colours else ("ids", "colours")
    notes.append(f"{MAPPING} gives ids and colours; the masks hold {kind}, so its {other} are not used")
    return (mapping.colours if colours else mapping.ids), colours, notes


def _hold_colours(masks: list[Path], ids: dict[str, int], colours: dict[str, int]) -> bool:
    """Whether masks hold the colours rather than the ids: decided by the first mask that fits one of them alone."""
    for path in masks[:_MOST_LOOKED_AT]:
        data = read_bytes(path)
        try:
            as_colours = set(np.unique(decode_colours(data, path)).tolist()) <= set(colours.values())
        except DataError:  # a broken file; told with all others when the files are read
            continue
        try:
            as_ids = set(np.unique(decode_mask(data, path)).tolist()) <= {*ids.values(), 255}
        except DataError:  # a colour picture
            as_ids = False
        if as_colours != as_ids:
            return as_colours
    return False
