"""The files below a folder, and the words by which people name those of images, masks and splits."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".gif", ".webp"})
ARRAY_SUFFIXES = frozenset({".npy", ".npz", ".mat"})  # masks may be arrays
IMAGE_NAMES = frozenset({"image", "images", "img", "imgs", "input", "inputs", "photo", "photos", "picture", "pictures",
                         "rgb", "x", "sat", "satellite", "original", "originals", "scan", "scans",
                         "stills"})  # fmt: skip
MASK_NAMES = frozenset({"mask", "masks", "label", "labels", "annotation", "annotations", "annot", "annots", "ann",
                        "anns", "anno", "gt", "gts", "groundtruth", "truth", "segmentation", "segmentations", "seg",
                        "semantic", "target", "targets", "manual", "y"})  # fmt: skip
SPLIT_NAMES = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test",
}  # fmt: skip
_WORD = re.compile(r"\d+(?:st|nd|rd|th)(?![a-z])|\d+|[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[^\W\d_]+")
_SHORT_SPLITS = {"trn": "train", "tr": "train", "tst": "test", "te": "test"}  # they may mean something else
SPLIT_WORDS = SPLIT_NAMES | _SHORT_SPLITS
_SPLIT_FILLERS = {
    "set",
    "sets",
    "data",
    "stage",
    "part",
    "split",
}  # beside a split they say nothing: train_set, stage1_train
_WEAK_MASKS = {
    "lab",
    "lesion",
    "lesions",
    "map",
    "maps",
    "labeled",
    "labelled",
}  # unless the name says images: lab_photos
ROLE_WORDS = frozenset(word for word in IMAGE_NAMES | MASK_NAMES | _WEAK_MASKS if len(word) > 1)
# Where several kinds of masks pair with the images, those of the least rank are meant; the rest is drawn from them.
RANKS = {
    "trainids": -1, "2nd": 1, "second": 1, "coarse": 1, "color": 2, "colour": 2, "colored": 2, "coloured": 2,
    "colors": 2, "rgb": 2, "instance": 2, "instances": 2, "object": 2, "panoptic": 2, "superpixels": 2, "edge": 3,
    "edges": 3, "boundary": 3, "vis": 3, "viz": 3, "visualization": 3, "visualisation": 3, "overlay": 3, "overlays": 3,
    "preview": 3,
}  # fmt: skip
_walks: ContextVar[dict[Path, tuple[list[Path], list[str]]] | None] = ContextVar("walks", default=None)
_LOOSE_FILES = {".ds_store", "thumbs.db", "desktop.ini"}


def image_files(folder: Path) -> tuple[list[Path], list[str]]:
    """Image files below a folder in a stable order, and the names of files that are something else."""
    files, unread = files_below(folder)
    images = [path for path in files if path.suffix.lower() in SUFFIXES]
    return images, [path.name for path in files if path.suffix.lower() not in SUFFIXES] + unread


def files_below(folder: Path) -> tuple[list[Path], list[str]]:
    """Every file that was meant, in a stable order, links followed; and what could not be read, in words.

    A folder reached twice is read once, by its own path where it has one here: links may lead round in circles.
    """
    kept = _walks.get()
    if kept is None:
        return _walk(folder)
    if folder not in kept:
        kept[folder] = _walk(folder)
    return kept[folder]


@contextmanager
def remembering_walks() -> Iterator[None]:
    """Inside, folders are walked once, however many readers ask whether they know them."""
    token = _walks.set({})
    try:
        yield
    finally:
        _walks.reset(token)


def _walk(folder: Path) -> tuple[list[Path], list[str]]:
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
                    kind = _kind(entry)
                    if kind == "folder" and not entry.name.startswith("."):
                        (links if entry.is_symlink() else places).append(entry.path)
                    elif kind == "file" and not _is_loose_name(entry.name):
                        found.append(([*inside, entry.name], entry.path))
                    elif kind not in ("folder", "file") and not _is_loose_name(entry.name):
                        unread.append(f"{'/'.join((*inside, entry.name))} ({kind})")
        except OSError as error:
            unread.append(f"{'/'.join(inside)} ({error.strerror})")
        links.sort()
    return [Path(path) for _, path in sorted(found)], sorted(unread)


def _kind(entry: os.DirEntry[str]) -> str:
    """What an entry is, links followed; of what cannot be read, why. A link to itself must not end the folder."""
    try:
        if entry.is_dir():
            return "folder"
        if entry.is_file():
            return "file"
    except OSError as error:
        return f"{error.strerror}"
    return "neither file nor folder" if Path(entry).exists() else "a link that leads nowhere"


def _is_loose_name(name: str) -> bool:
    return name.lower() in _LOOSE_FILES or name.startswith("._")


@dataclass(frozen=True)
class Place:
    """What the names of the folders on the way to a file tell of it."""

    parts: tuple[str, ...]  # these names
    role: str  # "images", "masks" or ""
    keys: frozenset[str]  # the words that tell the role, and which kind of masks
    words: frozenset[str]  # all words of that folder's name, or of the outermost one where there is no role
    split: str | None
    sure: bool  # the folder's name says nothing but the split and a role
    rest: tuple[str, ...]  # the names without role and split: what tells the files of different folders apart


@lru_cache(maxsize=65536)
def split_words(name: str) -> tuple[str, ...]:
    """A name's words in small letters: at capitals, digits and signs, and where a split is written together with a
    role.

    >>> split_words("leftImg8bit"), split_words("trainannot")
    (('left', 'img', '8', 'bit'), ('train', 'annot'))
    """
    plain = "".join(char for char in name.lower() if char.isalnum())
    if len(plain) == 1 or plain in IMAGE_NAMES | MASK_NAMES:
        return (plain,)
    found: list[str] = []
    for word in (match.lower() for match in _WORD.findall(name)):
        parts = ({word[:at], word[at:]} for at in range(3, len(word) - 1))
        cut = next((both for both in parts if both & SPLIT_NAMES.keys() and both & ROLE_WORDS), {word})
        found += sorted(cut, key=word.index)
    return (*found, *(["trainids"] if "trainid" in plain else []))


def split_of(name: str) -> str | None:
    """The split a name tells of.

    >>> split_of("instances_train2017")
    'train'
    """
    return next((SPLIT_NAMES[word] for word in split_words(name) if word in SPLIT_NAMES), None)


def folders_in(folder: Path) -> list[Path]:
    """The folders directly inside one that are not hidden."""
    if not folder.is_dir():
        return []
    return sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def role_of(words: Sequence[str]) -> str:
    """What files of this name are: "images", "masks" or "" where it says neither."""
    alone = len(words) == 1  # `x` and `y` mean something only by themselves
    for role, known in (("masks", MASK_NAMES), ("images", IMAGE_NAMES), ("masks", _WEAK_MASKS)):
        if any(word in known and (alone or len(word) > 1) for word in words):
            return role
    return ""


def read_place(parts: tuple[str, ...], same: int) -> Place:
    """What the folders on the way to a file tell; the first `same` of them, in which all files lie, no role."""
    role, keys, split, sure = "", frozenset[str](), None, False
    names, rest = list[frozenset[str]](), list[str]()
    for depth in reversed(range(len(parts))):
        words = split_words(parts[depth])
        others = frozenset(word for word in words if not word.isdigit() and word not in SPLIT_WORDS)
        here = role_of(words) if depth >= same else ""
        if here and not role:
            role, keys = (
                here,
                frozenset(word for word in words if word in ROLE_WORDS or word in RANKS or len(words) == 1),
            )
            names = [others]
        elif others and not role and depth >= same:
            names = [others]
        splits = {SPLIT_WORDS[word] for word in words if word in SPLIT_WORDS}
        if split is None and (len(splits) == 1 or splits == {"train", "val"}):
            split = min(splits)  # "train" of both
            sure = others <= ROLE_WORDS | RANKS.keys() | _SPLIT_FILLERS and not _SHORT_SPLITS.keys() & set(words)
        known = SPLIT_WORDS.keys() | (ROLE_WORDS | RANKS.keys() if here else _SPLIT_FILLERS)
        if here or splits:
            rest.append("_".join(word for word in words if word not in known and not (here and len(words) == 1)))
        else:
            rest.append(parts[depth])
    # files of the root are apart from those of `train`
    words = names[0] if names else frozenset({""} if not parts else ())
    return Place(parts, role, keys, words, split, sure, tuple(name for name in reversed(rest) if name))


def splits_of_names(stems: Sequence[str]) -> list[str | None]:
    """The split each file's own name tells (`21_training`), where all of them do and they differ."""
    found = [{SPLIT_WORDS[word] for word in split_words(stem) if word in SPLIT_NAMES} for stem in stems]
    different = {next(iter(splits)) for splits in found if len(splits) == 1}
    if len(different) < 2 or "train" not in different or any(len(splits) != 1 for splits in found):
        return [None] * len(stems)
    return [next(iter(splits)) for splits in found]
