"""Kinds of files, given by the words of folders, of names, by what names end with, and by what pictures hold."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from maskwright.data.decoding import read_bytes
from maskwright.data.images import decode_raw
from maskwright.data.layout import (
    ARRAY_SUFFIXES,
    RANKS,
    ROLE_WORDS,
    SPLIT_WORDS,
    SUFFIXES,
    read_place,
    role_of,
    split_words,
    splits_of_names,
)
from maskwright.errors import DataError

_TOKEN = re.compile(r"\d+|[^\W\d_]+")
_SAMPLED = 5  # pictures of a kind that are looked into
_FEW = 64  # colours, at most, in a mask
_SIDE = 256  # rows and columns that are looked at


@dataclass(frozen=True)
class Files:
    """Files that are all images or all masks, the names they are paired by, and the split each is in.

    `pattern` finds them below the root; SPLIT stands for what names a split in it.
    """

    paths: tuple[Path, ...]
    names: tuple[str, ...]
    splits: tuple[str | None, ...]
    pattern: str = ""

    @property
    def folder(self) -> Path:
        """The folder they all lie in or below."""
        return Path(os.path.commonpath({path.parent for path in self.paths}))

    def of(self, split: str | None) -> Files:
        """Those of one split."""
        kept = [index for index, one in enumerate(self.splits) if one == split]
        paths, names = tuple(self.paths[index] for index in kept), tuple(self.names[index] for index in kept)
        return Files(paths, names, (split,) * len(kept), self.pattern)


@dataclass(frozen=True)
class Kind:
    """Files of one kind; `keys` are the words that tell which, in the names of folders or, `by_file`, of files."""

    role: str
    keys: frozenset[str]
    paths: tuple[Path, ...]
    by_file: bool = False
    base: Path | None = None  # the folder that was named, from which names begin

    @property
    def rank(self) -> int:
        return max((RANKS[word] for word in self.keys if word in RANKS), key=abs, default=0)


class Reading:
    """The pictures and arrays below a folder, and the ways to tell images from masks among them."""

    def __init__(self, root: Path, files: Sequence[Path]) -> None:
        self.root = root
        self.paths = [path for path in files if path.suffix.lower() in SUFFIXES | ARRAY_SUFFIXES]
        folders = {path: os.path.dirname(path) or "." for path in self.paths}  # noqa: PTH120 - quicker
        parts = {folder: Path(os.path.relpath(folder, root)).parts for folder in set(folders.values())}
        # what all of them lie in says nothing of any: `PH2 Dataset images/IMD002/…`
        inside = [f"/{'/'.join(names)}" for names in parts.values()]
        same = len(Path(os.path.commonpath(inside)).parts) - 1 if inside else 0
        places = {folder: read_place(names, same) for folder, names in parts.items()}
        self.places = {path: places[folder] for path, folder in folders.items()}

    def by_folder(self) -> list[Kind]:
        """Kinds by the words of folders; files of which these say nothing, by the outermost folder."""
        return kinds_by(self.paths, lambda path: ((place := self.places[path]).role, place.keys or place.words))

    def by_name(self) -> list[Kind]:
        """Kinds by the words of file names."""

        def kind(path: Path) -> tuple[str, frozenset[str]]:
            found = split_words(path.stem)
            return role_of(found), frozenset(word for word in found if word in ROLE_WORDS or word in RANKS)

        return [replace(one, by_file=True) for one in kinds_by(self.paths, kind)]

    def by_ending(self) -> list[Kind]:
        """Kinds by what names end with, roles by what the pictures hold."""
        return [replace(kind, role=_role_by_look(kind.paths)) for kind in kinds_by_ending(self.paths, 1)]

    def by_look(self) -> list[Kind]:
        """Kinds by folder, roles by what the pictures hold."""
        found = kinds_by(self.paths, lambda path: ("", self.places[path].words))
        return [replace(kind, role=_role_by_look(kind.paths)) for kind in found] if 1 < len(found) <= 8 else []

    def files(self, kind: Kind) -> Files:
        """The files of a kind with their names and splits."""
        places = [self.places[path] for path in kind.paths]
        splits = [place.split if place.sure else None for place in places]
        if all(place.split for place in places) and len({place.split for place in places}) > 1:
            splits = [place.split for place in places]  # `DUTS-TR` is a split beside `DUTS-TE`
        if not any(splits) and kind.role == "images":
            splits = splits_of_names([path.stem for path in kind.paths])
        rest = {place.parts: place.rest for place in places}
        if kind.base:
            from_there = {parts: Path(os.path.relpath(self.root.joinpath(*parts), kind.base)).parts for parts in rest}
            rest = {parts: read_place(inner, 0).rest for parts, inner in from_there.items()}
        names = tuple("/".join((*rest[place.parts], path.stem)) for place, path in zip(places, kind.paths, strict=True))
        pattern = _pattern(rest)
        if kind.by_file:
            deeper = max(map(len, rest)) > len(pattern)
            pattern += ["**", _name_pattern(kind.paths)] if deeper else [_name_pattern(kind.paths)]
        return Files(kind.paths, names, tuple(splits), "/".join(pattern))


def kinds_by(paths: Iterable[Path], kind: Callable[[Path], tuple[str, frozenset[str]]]) -> list[Kind]:
    found: dict[tuple[str, frozenset[str]], list[Path]] = defaultdict(list)
    for path in paths:
        found[kind(path)].append(path)
    return [Kind(role, words, tuple(inside)) for (role, words), inside in found.items()]


def joined(kinds: Sequence[Kind]) -> Kind:
    return replace(kinds[0], paths=tuple(sorted(path for kind in kinds for path in kind.paths)))


def pictures_of(paths: Iterable[Path]) -> tuple[Path, ...]:
    return tuple(path for path in paths if path.suffix.lower() in SUFFIXES)


def kinds_by_ending(paths: Sequence[Path], fewest: int = 2) -> list[Kind]:
    """Kinds by what is left of names that begin alike: `7.jpg`, `7_L.png`; endings that most files have together."""
    endings: dict[str, set[str]] = defaultdict(set)
    for path in paths:
        name, suffix = path.stem, _suffix(path)
        for cut in (0, *(match.end() for match in _TOKEN.finditer(name))):
            endings[f"{path.parent}/{name[:cut]}"].add(name[cut:] + suffix)
    sets = Counter(frozenset(found) for found in endings.values() if 2 <= len(found) <= 8)
    best, count = max(
        sets.items(), key=lambda one: (one[1] * len(one[0]), -sum(map(len, one[0]))), default=(frozenset[str](), 0)
    )
    # another picture, no other kind
    numbers = any(word.isdigit() for ending in best for word in split_words(ending.rpartition(".")[0]))
    if numbers or 2 * count * len(best) < len(paths) or count < fewest or (count == 1 and len(best) > 2):
        return []
    found: dict[str, list[Path]] = defaultdict(list)
    for path in paths:
        name = path.stem + _suffix(path)
        if ending := next((one for one in sorted(best, key=len, reverse=True) if name.endswith(one)), None):
            found[ending].append(path)
    return [Kind("", frozenset(split_words(ending)), tuple(inside), by_file=True) for ending, inside in found.items()]


def _suffix(path: Path) -> str:
    suffix = path.suffix.lower()
    return {".jpeg": ".jpg", ".tiff": ".tif"}.get(suffix, suffix)


def _role_by_look(paths: Sequence[Path]) -> str:
    """ "masks" where every picture holds a few colours, "images" where most hold many, else ""."""
    sample = paths[:: max(1, len(paths) // _SAMPLED)][:_SAMPLED]
    looks = [_looks_like_a_mask(path) for path in sample]
    if all(looks):
        return "masks"
    return "images" if sum(look is False for look in looks) * 2 > len(looks) else ""


def _looks_like_a_mask(path: Path) -> bool | None:
    """Whether a picture holds a few colours only; None where it cannot be read. A JPEG never tells."""
    if path.suffix.lower() in ARRAY_SUFFIXES:
        return True
    if _suffix(path) == ".jpg":
        return False
    try:
        pixels = decode_raw(read_bytes(path), path)
    except (DataError, OSError):
        return None
    steps = (max(1, pixels.shape[0] // _SIDE), max(1, pixels.shape[1] // _SIDE))
    pixels = pixels[:: steps[0], :: steps[1]].reshape(-1, pixels.shape[2])
    return len(np.unique(pixels, axis=0)) <= min(_FEW, max(2, len(pixels) // 4))


def _pattern(folders: Iterable[tuple[str, ...]]) -> list[str]:
    """One pattern for folders: SPLIT where names of splits stand, * where else they differ."""
    merged = {tuple("SPLIT" if part.lower() in SPLIT_WORDS else part for part in folder) for folder in folders}
    length = min(map(len, merged), default=0)
    parts: list[str] = []
    for at in range(length):
        here = sorted({folder[at] for folder in merged})
        start = os.path.commonprefix(here)  # noqa: RUF071 - of letters, not of folders
        end = os.path.commonprefix([name[len(start) :][::-1] for name in here])[::-1]  # noqa: RUF071
        parts.append(here[0] if len(here) == 1 else f"{start}*{end}")
    while parts and parts[-1] == "*":
        parts.pop()
    return parts


def _name_pattern(paths: Iterable[Path]) -> str:
    """A pattern for the names of files: what all end with, and begin with where that tells their role."""
    names = [path.name for path in paths]
    if len(set(names)) == 1:
        return names[0]
    start, end = os.path.commonprefix(names), os.path.commonprefix([name[::-1] for name in names])[::-1]  # noqa: RUF071
    start, end = re.sub(r"\d+$", "", start), re.sub(r"^[^\W_]+", "", end)  # ids may begin or end alike
    return f"{start if role_of(split_words(start)) else ''}*{end}"
