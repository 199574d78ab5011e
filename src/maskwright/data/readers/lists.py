"""Lists of names, as older formats keep their splits, and the files those names stand for."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from maskwright.data.dataset import Gap, Listing, PartialListing, Record
from maskwright.data.decoding import read_text
from maskwright.data.layout import image_files
from maskwright.errors import DataError, listed


def place_in(base: Path, root: Path) -> str:
    """A folder below the data set's, as the beginning of a path; empty where it is the data set's own."""
    return "" if base == root else f"{base.relative_to(root).as_posix()}/"


def read_lines(path: Path) -> list[tuple[int, str]]:
    """The lines of a text file that say something, with their numbers; `#` begins a remark.

    A name may hold spaces, so only the ends are cut.
    """
    lines = [(number, line.strip()) for number, line in enumerate(read_text(path).splitlines(), start=1)]
    return [(number, line) for number, line in lines if line and not line.startswith("#")]


def files_by_name(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Image files below a folder by their path in it without suffix, and the names of other files there."""
    files: dict[str, Path] = {}
    paths, others = image_files(folder)
    for path in paths:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            both = f"{files[name].name} and {path.name}"
            raise DataError(f"`{folder}` must hold one file a name; got {both}. Remove or rename one of them.")
        files[name] = path
    return files, others


def record_id(path: Path, root: Path) -> str:
    """A record's name: its image's path inside the data set, without suffix."""
    return Path(os.path.relpath(path, root)).with_suffix("").as_posix()


def reject_listed_twice(records: Sequence[Record], fix: str) -> None:
    """Each image must be listed once, or it would lie on two sides."""
    first: dict[str, Record] = {}
    twice: list[str] = []
    for record in records:
        place = os.path.realpath(record.image)  # Path.resolve stops at a link to itself
        if first.setdefault(place, record) is not record:
            names = dict.fromkeys([first[place].mask.name, record.mask.name])
            twice.append(f"{record.id} ({' and '.join(names)})")
    if twice:
        raise DataError(f"images must be listed once; {len(twice)} are listed twice: {listed(twice)}. {fix}")


def with_unique_ids(listing: Listing) -> Listing:
    """The listing with ids that are all different and stay inside a folder, for files are written under them.

    An image outside the data set is called by its place beside the others outside; of images that differ in their
    suffix alone, the suffix is part of the id.
    """
    ids = [record.id for record in listing.records]
    outside = [index for index, name in enumerate(ids) if leads_out(name)]
    if outside:
        places = [Path(os.path.abspath(listing.records[index].image)) for index in outside]  # noqa: PTH100 - links stay
        shared = Path(os.path.commonpath([place.parent for place in places])).parent
        for index, place in zip(outside, places, strict=True):
            window = "@" + ids[index].rpartition("@")[2] if listing.records[index].window else ""
            ids[index] = place.relative_to(shared).with_suffix("").as_posix() + window
    count = Counter(ids)
    ids = [
        name + record.image.suffix if count[name] > 1 else name
        for name, record in zip(ids, listing.records, strict=True)
    ]
    twice = [name for name, number in Counter(ids).items() if number > 1]
    if twice:
        both = [str(record.image) for name, record in zip(ids, listing.records, strict=True) if name == twice[0]]
        raise DataError(
            f"images must have names of their own; {listed(both)} would both be {twice[0]}. Rename one of them."
        )
    return replace(
        listing, records=tuple(_renamed(record, name) for record, name in zip(listing.records, ids, strict=True))
    )


def leads_out(name: str) -> bool:
    """Whether a file written under this name would lie outside the folder it is written to.

    >>> leads_out("a/b"), leads_out("../b"), leads_out("/b")
    (False, True, True)
    """
    path = PurePosixPath(name)
    return path.is_absolute() or ".." in path.parts


def _renamed(record: Record, name: str) -> Record:
    return record if record.id == name else replace(record, id=name)


def missing_files(where: str, names: Sequence[str], folders: dict[Path, dict[str, Path]]) -> list[Gap]:
    """The gap a list leaves whose names have no file in one of the `folders`, each with its files by name."""
    lacking = {folder: [name for name in names if name not in files] for folder, files in folders.items()}
    detail = [f"{folder.name} lacks {listed(short, 'and', 8)}" for folder, short in lacking.items() if short]
    if not detail:
        return []
    short = dict.fromkeys(name for names in lacking.values() for name in names)
    partners = [files[name] for name in short for files in folders.values() if name in files]
    expected = [folder / name for folder, names in lacking.items() for name in names]
    fix = "Put the files there, or take the names out of the list."
    sentence = f"`{where}` must name files that are there; {' and '.join(detail)}. {fix}"
    return [Gap("unpaired", tuple(partners or expected), sentence)]


def whole(listing: Listing, gaps: Sequence[Gap]) -> Listing:
    """The listing, where nothing is missing; else the refusal, with what is certain for those who want to see it."""
    if not gaps:
        return listing
    detail = " ".join(gap.message for gap in gaps)
    if not listing.records:
        raise DataError(detail)
    raise PartialListing(detail, listing, gaps)


def others_note(others: list[str]) -> list[str]:
    """The remark about files that are no images, if there are any."""
    return [f"{len(others)} files that are no images were left aside: {listed(others)}"] if others else []
