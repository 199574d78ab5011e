"""Two folders paired by name, flat or already split."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import yaml

from maskwright.config.data import DataConfig
from maskwright.config.yaml_text import load_yaml
from maskwright.data.dataset import Gap, Listing, PartialListing, Record
from maskwright.data.decoding import read_text
from maskwright.data.discovery import Found, find_images_and_masks, in_splits
from maskwright.data.kinds import Files
from maskwright.data.pairing import certain, pair
from maskwright.data.readers.lists import record_id
from maskwright.errors import DataError, listed

CLASSES_FILE = "classes.yaml"


def recognise(config: DataConfig, root: Path) -> str | None:
    """Any folder may hold two folders; reading it says whether it does."""
    return "a folder" if root.is_dir() else None


def read(config: DataConfig, root: Path) -> Listing:
    """Find the folders, pair their files, and note what was left aside."""
    if not root.is_dir():
        raise DataError(f"`data.root` must be a folder for reader folders; got {root}, a file. Check the path.")
    found = find_images_and_masks(root, config.images, config.masks)
    records, rules, gaps = read_pairs(root, found)
    if gaps and not records:
        raise DataError(gaps[0].message)
    reason = f"{found.layout}{', as named' if config.images else ''}, paired by {listed(sorted(set(rules)))}"
    listing = Listing(tuple(records), "folders", reason, read_classes(root), found.notes)
    if gaps:
        raise PartialListing(gaps[0].message, listing, gaps)
    return listing


def read_classes(root: Path) -> dict[str, int] | None:
    """Names and values of the classes, where the folder holds a classes.yaml (`name: value`)."""
    path = root / CLASSES_FILE
    if not path.exists():
        return None
    try:
        tree = load_yaml(read_text(path))
    except yaml.YAMLError as error:
        raise DataError(
            f"`{path}` must be valid YAML; {str(error).splitlines()[0]}. Write one `name: value` a line."
        ) from None
    if isinstance(tree, list) and all(isinstance(name, str) for name in tree):
        tree = {name: value for value, name in enumerate(tree)}
    if not isinstance(tree, dict) or not all(type(v) is int and 0 <= v <= 65535 for v in tree.values()):
        raise DataError(
            f"`{path}` must hold one `name: value` a line, values 0 to 65535; got {str(tree)[:60]}. Fix it."
        )
    return {str(name): value for name, value in tree.items()}


def read_pairs(root: Path, found: Found) -> tuple[list[Record], list[str], list[Gap]]:
    """Records of all that is found, the rules that paired it, and what has no partner."""
    records: list[Record] = []
    rules: list[str] = []
    gaps: list[Gap] = []
    for images, masks in in_splits(found)[0]:
        try:
            by_name = pair(images.names, masks.names, f" in {images.folder} and {masks.folder}")
            paired, rule = dict(enumerate(by_name.masks)), by_name.rule
        except DataError as refused:
            paired, rule = certain(images.names, masks.names), "names, where they are clear"
            detail = _doubled(images) or _doubled(masks) or str(refused)
            odd = [path for index, path in enumerate(images.paths) if index not in paired]
            odd += [path for index, path in enumerate(masks.paths) if index not in paired.values()]
            gaps.append(Gap("unpaired", tuple(odd), detail))
        rules.append(rule)
        records += [
            Record(
                record_id(images.paths[one], root),
                images.paths[one],
                masks.paths[two],
                images.splits[one] or masks.splits[two],
            )
            for one, two in paired.items()
        ]
    return records, rules, gaps


def _doubled(files: Files) -> str:
    """Files whose names differ in their suffix alone: by their names they could not be told apart."""
    count = Counter(files.names)
    folder = files.folder
    same = [
        path.relative_to(folder).as_posix()
        for path, name in zip(files.paths, files.names, strict=True)
        if count[name] > 1
    ]
    fix = "Remove or rename what is not meant, or write the pairs down in pairs.csv (image,mask)."
    return f"`{folder}` must hold one file a name; got {listed(same, 'and', 8)}. {fix}" if same else ""
