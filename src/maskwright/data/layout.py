"""Which folders hold images and which hold masks, recognised by the names people give them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.errors import DataError, listed

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"})
ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".mat"})  # masks may be arrays
IMAGE_NAMES = frozenset(
    {"image", "images", "img", "imgs", "input", "inputs", "photo", "photos", "picture", "pictures", "rgb", "x"}
)
MASK_NAMES = frozenset({"mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "gt", "groundtruth",
                        "segmentation", "segmentations", "target", "targets", "truth", "manual", "1stmanual", "y"})  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_LOOSE_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


@dataclass(frozen=True)
class FolderPair:
    """A folder of images and its folder of masks; `split` when their names tell it."""

    images: Path
    masks: Path
    split: str | None


def find_folder_pairs(root: Path) -> tuple[list[FolderPair], str]:
    """All pairs of image and mask folders below `root`, and the layout's name."""
    flat = image_and_mask(root)
    if flat:
        inner = _split_inside(*flat)
        if inner:
            return inner, f"{flat[0].name}/SPLIT beside {flat[1].name}/SPLIT"
        return [FolderPair(*flat, None)], f"{flat[0].name}/ beside {flat[1].name}/"
    outer = [
        FolderPair(*found, SPLIT_NAMES[_plain(folder)])
        for folder in _folders(root)
        if _plain(folder) in SPLIT_NAMES and (found := image_and_mask(folder))
    ]
    if outer:
        return outer, f"SPLIT/{outer[0].images.name} beside SPLIT/{outer[0].masks.name}"
    beside = _split_with_suffix(root)
    if beside:
        return beside, f"{beside[0].images.name}/ beside {beside[0].masks.name}/"
    raise DataError(_not_recognised(root))


def left_aside(root: Path, pairs: Sequence[FolderPair]) -> list[str]:
    """Folders with images that no pair takes in, such as a test folder without masks."""
    used = [folder for found in pairs for folder in (found.images, found.masks)]
    inside = [inner for folder in _folders(root) for inner in [folder, *_folders(folder)]]
    leaves = [folder for folder in inside if _holds_images(folder)]
    return [
        folder.relative_to(root).as_posix()
        for folder in leaves
        if not any(folder == one or one in folder.parents or folder in one.parents for one in used)
    ]


def image_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files below a folder in a stable order, and the names of files that are something else."""
    files, unread = files_below(folder)
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return images, [path.name for path in files if path.suffix.lower() not in SUFFIXES] + unread


def mask_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Mask files below a folder, and the names of other files; arrays are masks where no pictures are."""
    pictures, others = image_files(folder)
    if pictures:
        return pictures, others
    files, unread = files_below(folder)
    arrays = [path for path in files if path.suffix.lower() in ARRAY_SUFFIXES]
    return arrays, [path.name for path in files if path not in set(arrays)] + unread


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Every file that was meant, in a stable order, links followed; and what could not be read, in words.

    A folder reached twice is read once, by its own path where it has one here: links may lead round in circles.
    """
    found: list[tuple[list[str], str]] = []
    unread: list[str] = []
    home, seen = os.path.realpath(folder), set[str]()
    places, links = [str(folder)], list[str]()
    while places or links:
        place = places.pop() if places else links.pop(0)  # links last
        inside = Path(place).relative_to(folder).parts
        real = os.path.realpath(place)
        if real in seen or (place != str(folder) and os.path.commonpath([real, home]) == real):
            unread.append(f"{'/'.join(inside)} (a link to {real}, which is read already)")
            continue
        seen.add(real)
        try:
            with os.scandir(place) as entries:
                for entry in entries:
                    if entry.is_dir() and not entry.name.startswith("."):
                        (links if entry.is_symlink() else places).append(entry.path)
                    elif entry.is_file() and not _is_loose_name(entry.name):
                        found.append(([*inside, entry.name], entry.path))
                    elif entry.is_symlink() and not entry.is_dir() and not _is_loose_name(entry.name):
                        unread.append(f"{'/'.join((*inside, entry.name))} (a link that leads nowhere)")
        except OSError as error:
            unread.append(f"{'/'.join(inside)} ({error.strerror})")
        links.sort()
    return [Path(path) for _, path in sorted(found)], sorted(unread)


def _is_loose(path: Path) -> bool:
    """Files that operating systems and editors strew about and nobody means: .DS_Store, .ipynb_checkpoints/…"""
    return any(part.startswith(".") for part in path.parent.parts) or _is_loose_name(path.name)


def _is_loose_name(name: str) -> bool:
    return name.lower() in _LOOSE_FILES or name.startswith("._")


def _holds_images(folder: Path) -> bool:
    """Whether images lie in the folder itself."""
    return any(path.suffix.lower() in SUFFIXES and not _is_loose(path.relative_to(folder)) for path in folder.iterdir())


def _folders(root: Path) -> list[Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and not path.name.startswith("."))


def _plain(folder: Path) -> str:
    return "".join(char for char in folder.name.lower() if char.isalnum())


def image_and_mask(root: Path) -> tuple[Path, Path] | None:
    """The one image folder and the one mask folder directly inside `root`."""
    images = [folder for folder in _folders(root) if _plain(folder) in IMAGE_NAMES]
    masks = [folder for folder in _folders(root) if _plain(folder) in MASK_NAMES]
    if len(images) > 1 or len(masks) > 1:
        several = images if len(images) > 1 else masks
        kind, names = ("images", images) if len(images) > 1 else ("masks", masks)
        names = listed([folder.name for folder in several])
        fix = "Name the two that belong together with --data.images and --data.masks."
        raise DataError(f"`{root}` must hold one folder of {kind}; got {names}. {fix}")
    return (images[0], masks[0]) if images and masks else None


def _split_inside(images: Path, masks: Path) -> list[FolderPair]:
    """images/train beside masks/train, when every subfolder is a split."""
    ours = {SPLIT_NAMES.get(_plain(folder)): folder for folder in _folders(images)}
    theirs = {SPLIT_NAMES.get(_plain(folder)): folder for folder in _folders(masks)}
    for parent, named in ((images, ours), (masks, theirs)):
        if None not in named and len(named) < len(_folders(parent)):
            names = listed([folder.name for folder in _folders(parent)])
            raise DataError(f"`{parent}` must hold one folder a split; got {names}. Put those of one split together.")
    if not ours or None in ours or _holds_images(images):
        return []
    if set(ours) != set(theirs):
        odd = [str(split) for split in set(ours) ^ set(theirs)]
        names = f"`{images.name}` and `{masks.name}`"
        raise DataError(f"{names} must hold the same splits; only one of them has {listed(sorted(odd))}. Add or remove it.")
    return [FolderPair(ours[split], theirs[split], split) for split in ours if split]


def _split_with_suffix(root: Path) -> list[FolderPair]:
    """`train` beside `trainannot`, `train_masks`, …"""
    found: list[FolderPair] = []
    folders = {_plain(folder): folder for folder in _folders(root)}
    for name, folder in folders.items():
        partners = [other for plain, other in folders.items() if plain != name and plain.startswith(name)
                    and plain.removeprefix(name) in MASK_NAMES]  # fmt: skip
        if name in SPLIT_NAMES and len(partners) == 1:
            found.append(FolderPair(folder, partners[0], SPLIT_NAMES[name]))
    return found


def _not_recognised(root: Path) -> str:
    inside = _inside(root)
    fix = (
        "Name them so (images/ and masks/, inside train/ val/ test/ if already split), point at them with "
        "--data.images A --data.masks B, or list them in pairs.csv (image,mask[,split][,group])."
    )
    return f"`{root}` must hold a folder of images and a folder of masks; it holds {inside}. {fix}"


def _inside(root: Path) -> str:
    folders = [f"{folder.name}/ ({len(image_files(folder)[0])} images)" for folder in _folders(root)]
    files = [path.name for path in root.iterdir() if path.is_file()]
    parts: Iterable[str] = folders + ([f"{len(files)} files ({listed(files, 'and', 3)})"] if files else [])
    return listed(list(parts), "and", 6) if folders or files else "nothing"
