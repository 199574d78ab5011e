"""Two folders paired by name, flat or already split."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import yaml

from maskwright.config.data import DataConfig
from maskwright.config.yaml_text import load_yaml
from maskwright.data.dataset import Listing, Record
from maskwright.data.decoding import read_text
from maskwright.data.layout import FolderPair, find_folder_pairs, image_files, left_aside, mask_files
from maskwright.data.pairing import certain, pair
from maskwright.data.partial import Gap, PartialListing
from maskwright.errors import DataError, listed

CLASSES_FILE = "classes.yaml"


def recognise(config: DataConfig, root: Path) -> str | None:
    """Any folder may hold two folders; reading it says whether it does."""
    return "a folder" if root.is_dir() else None


def read(config: DataConfig, root: Path) -> Listing:
    """Find the folders, pair their files, and note what was left aside."""
    if not root.is_dir():
        raise DataError(f"`data.root` must be a folder for reader folders; got {root}, a file. Check the path.")
    notes: list[str] = []
    if config.images and config.masks:
        pairs = [FolderPair(_named(root, config.images, "images"), _named(root, config.masks, "masks"), None)]
        layout = f"{config.images} beside {config.masks}, as named"
    else:
        pairs, layout = find_folder_pairs(root)
        unread = left_aside(root, pairs)
        notes += [f"folders with images that no masks belong to were left aside: {listed(unread)}"] if unread else []
    records, rules, aside, gaps = read_pairs(root, pairs)
    notes += aside
    if gaps and not records:
        raise DataError(gaps[0].told)
    reason = f"{layout}, paired by {listed(sorted(set(rules)))}"
    listing = Listing(tuple(records), "folders", reason, read_classes(root), tuple(notes))
    if gaps:
        raise PartialListing(gaps[0].told, listing, gaps)
    return listing


def read_classes(root: Path) -> dict[str, int] | None:
    """Names and values of the classes, where the folder holds a classes.yaml (`name: value`)."""
    path = root / CLASSES_FILE
    if not path.is_file():
        return None
    try:
        tree = load_yaml(read_text(path))
    except yaml.YAMLError as error:
        raise DataError(f"`{path}` must be valid YAML; {str(error).splitlines()[0]}. Write one `name: value` a line.") from None
    if isinstance(tree, list) and all(isinstance(name, str) for name in tree):
        tree = {name: value for value, name in enumerate(tree)}
    if not isinstance(tree, dict) or not all(type(v) is int and 0 <= v <= 65535 for v in tree.values()):
        raise DataError(f"`{path}` must hold one `name: value` a line, values 0 to 65535; got {str(tree)[:60]}. Mend it.")
    return {str(name): value for name, value in tree.items()}


def _named(root: Path, name: str, key: str) -> Path:
    folder = root / name
    if not folder.is_dir():
        raise DataError(f"`data.{key}` must be a folder inside {root}; {folder} is not there. Check the spelling.")
    return folder


def read_pairs(root: Path, pairs: Iterable[FolderPair]) -> tuple[list[Record], list[str], list[str], list[Gap]]:
    """Records of all folder pairs, the rules that paired them, remarks, and what has no partner."""
    records: list[Record] = []
    rules: list[str] = []
    notes: list[str] = []
    gaps: list[Gap] = []
    for folders in pairs:
        found, rule, aside, missing = _read_pair(root, folders)
        records += found
        rules.append(rule)
        notes += aside
        gaps += missing
    return records, rules, notes, gaps


def _read_pair(root: Path, folders: FolderPair) -> tuple[list[Record], str, list[str], list[Gap]]:
    """Records of a folder pair, the rule that paired them, remarks, and what has no partner."""
    images, other_images = image_files(folders.images)
    masks, other_masks = mask_files(folders.masks)
    for kind, folder, files in (("image", folders.images, images), ("mask", folders.masks, masks)):
        if not files:
            raise DataError(f"`{folder}` must hold at least one {kind} file; got none. Check the path.")
    image_names, mask_names = [_name(path, folders.images) for path in images], [_name(path, folders.masks) for path in masks]
    gaps: list[Gap] = []
    try:
        found = pair(image_names, mask_names, f" in {folders.images} and {folders.masks}")
        paired, rule = dict(enumerate(found.masks)), found.rule
    except DataError as refused:
        paired, rule = certain(image_names, mask_names), "names, where they are clear"
        told = _doubled(folders.images, images, image_names) or _doubled(folders.masks, masks, mask_names) or str(refused)
        odd = [path for index, path in enumerate(images) if index not in paired]
        odd += [path for index, path in enumerate(masks) if index not in paired.values()]
        gaps.append(Gap("unpaired", tuple(odd), told))
    records = [Record(_name(images[image], root), images[image], masks[mask], folders.split) for image, mask in paired.items()]
    aside = other_images + other_masks
    notes = [f"{len(aside)} files that are no images were left aside: {listed(aside)}"] if aside else []
    return records, rule, notes, gaps


def _doubled(folder: Path, files: Sequence[Path], names: Sequence[str]) -> str:
    """Files whose names differ in their suffix alone: told by those names they could not be told apart."""
    count = Counter(names)
    same = [path.relative_to(folder).as_posix() for path, name in zip(files, names, strict=True) if count[name] > 1]
    fix = "Remove or rename what is not meant, or write the pairs down in pairs.csv (image,mask)."
    return f"`{folder}` must hold one file a name; got {listed(same, 'and', 8)}. {fix}" if same else ""


def _name(path: Path, folder: Path) -> str:
    return Path(os.path.relpath(path, folder)).with_suffix("").as_posix()
