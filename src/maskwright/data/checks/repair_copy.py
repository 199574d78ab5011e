"""The folder of a repaired copy: where it may lie, and what its files are called."""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from maskwright.data.dataset import Record
from maskwright.data.layout import IMAGE_NAMES
from maskwright.errors import UsageError, must
from maskwright.files import write_atomically
from maskwright.runs import refuse_used

RECORD_FILE = "repairs.json"


@dataclass(frozen=True)
class Names:
    """Where one pair lies in the copy, relative to it."""

    image: str
    mask: str


def refuse_place(out: Path, root: Path, records: Sequence[Record]) -> None:
    """Stop unless `out` is a new or empty folder outside the data set."""
    place = Path(os.path.realpath(out))  # Path.resolve stops at a link to itself
    kept = {record.image.parent.resolve() for record in records} | {record.mask.parent.resolve() for record in records}
    kept |= {root.resolve()} if root.is_dir() else set()
    inside = next((folder for folder in kept if place == folder or folder in place.parents), None)
    if inside is not None:
        fix = "The data set stays as it is: choose a folder elsewhere."
        raise UsageError(must("--fix", "a folder outside the data set", f"{out}, inside {inside}", fix))
    refuse_used(out, "--fix")


def name_pairs(records: Mapping[int, Record], as_png: bool) -> dict[int, Names]:
    """Names inside the copy: the image's own below its images folder, the mask called like its image."""
    if not records:
        return {}
    folders = {place: record.image.absolute().parent for place, record in records.items()}
    common = Path(os.path.commonpath(list(folders.values())))
    names: dict[int, Names] = {}
    taken: set[str] = set()
    for place, record in records.items():
        parts = [part for part in folders[place].relative_to(common).parts if part.lower() not in IMAGE_NAMES]
        stem, number = record.image.stem, 1
        path = PurePosixPath(*parts, stem)
        while path.as_posix().lower() in taken:  # lower: some file systems tell no case apart
            number += 1
            path = PurePosixPath(*parts, f"{stem}-{number}")
        taken.add(path.as_posix().lower())
        ending = ".png" if as_png else record.mask.suffix
        names[place] = Names(f"images/{path}{record.image.suffix}", f"masks/{path}{ending}")
    return names


def write_bytes(path: Path, data: bytes) -> None:
    """One file of the copy; no need for a temporary name, the whole copy has one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def write_lists(folder: Path, rows: Sequence[Mapping[str, str]], classes: Mapping[str, int]) -> None:
    """pairs.csv with the columns that say something, and classes.yaml where the classes are known."""
    columns = [name for name in ("image", "mask", "split", "group") if any(row[name] for row in rows)]

    def fill(path: Path) -> None:
        with path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)

    write_atomically(folder / "pairs.csv", fill)
    if classes:
        text = yaml.safe_dump(dict(classes), sort_keys=False, allow_unicode=True)
        write_atomically(folder / "classes.yaml", lambda path: path.write_text(text, encoding="utf-8"))
