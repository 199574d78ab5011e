"""Oxford-IIIT Pet in its original layout: images/, annotations/trimaps/, trainval.txt and test.txt.

What a pet's pixels count as (`data.target`) differs from record to record, so each record carries its own remapping.
The layout is described in the data set's own annotations/README.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Gap, Listing, MaskForm, Record
from maskwright.data.readers.lists import (
    files_by_name,
    missing_files,
    others_note,
    place_in,
    read_lines,
    record_id,
    whole,
)  # fmt: skip
from maskwright.errors import DataError, listed

PET, BACKGROUND, BOUNDARY = 1, 2, 3  # the values in the trimaps
SPECIES = {1: "cat", 2: "dog"}
NUM_BREEDS = 37
_OWN = 100  # species and breeds stand at 101, 102, …: a value no trimap should hold must not turn into one of them
_LISTS = {"trainval": "train", "test": "test"}
_UNPACKED = "oxford-iiit-pet"  # the folder some downloaders unpack into


@dataclass(frozen=True)
class _Entry:
    """One line of a list."""

    name: str
    breed: int
    species: int
    split: str

    @property
    def breed_name(self) -> str:
        return self.name.rpartition("_")[0] or self.name


def recognise(config: DataConfig, root: Path) -> str | None:
    """annotations/trimaps beside the official lists, here or in oxford-iiit-pet/."""
    base = None if config.images else _base(root)
    return (
        None
        if base is None
        else f"{place_in(base, root)}annotations/ holds trimaps/ and Oxford-IIIT Pet's lists of names"
    )


def read(config: DataConfig, root: Path) -> Listing:
    """Every listed image; what is there and not listed is reported."""
    base = _base(root)
    if base is None:
        wish = "images/, annotations/trimaps/, annotations/trainval.txt and annotations/test.txt for reader oxford-pet"
        raise DataError(
            f"`{root}` must hold {wish}; they are not there. Unpack images.tar.gz and annotations.tar.gz into it."
        )
    entries, twice, notes = _entries(base / "annotations")
    folders = {folder: files_by_name(folder) for folder in (base / "images", base / "annotations" / "trimaps")}
    (images, others), (trimaps, _) = folders.values()
    gaps = [Gap("listed-twice", (images.get(name, base / "images" / name),), detail) for name, detail in twice.items()]
    for name, split in _LISTS.items():
        chosen = [entry.name for entry in entries if entry.split == split]
        gaps += missing_files(
            f"annotations/{name}.txt", chosen, {folder: files for folder, (files, _) in folders.items()}
        )
    listed_names = {entry.name for entry in entries}
    spare = sorted(set(images) - listed_names)
    if spare:
        notes.append(f"{len(spare)} images that neither list names were left aside: {listed(spare)}")
    if config.target == "trimap" and config.boundary == "foreground":
        notes.append("data.boundary has no effect: with target trimap the boundary is a class")
    records = [Record(record_id(images[e.name], root), images[e.name], trimaps[e.name], e.split, None, _form(config, e))
               for e in entries if e.name in images and e.name in trimaps]  # fmt: skip
    ignore = (BOUNDARY,) if config.boundary == "ignore" and config.target != "trimap" else ()
    reason = f"Oxford-IIIT Pet by the lists in {place_in(base, root)}annotations/, target {config.target}"
    detail = "the trimaps of Oxford-IIIT Pet"
    listing = Listing(tuple(records), "oxford-pet", reason, _classes(config, entries), (*notes, *others_note(others)),
                      ignore, classes_from=detail)  # fmt: skip
    return whole(listing, gaps)


def _base(root: Path) -> Path | None:
    for base in (root, root / _UNPACKED):
        annotations = base / "annotations"
        if (annotations / "trimaps").is_dir() and any((annotations / f"{name}.txt").is_file() for name in _LISTS):
            return base
    return None


def _entries(annotations: Path) -> tuple[list[_Entry], dict[str, str], list[str]]:
    """What the lists say, the names that are listed twice with a sentence each, and remarks."""
    entries: dict[str, _Entry] = {}
    twice: dict[str, str] = {}
    notes: list[str] = []
    for name, split in _LISTS.items():
        path = annotations / f"{name}.txt"
        if not path.is_file():
            notes.append(f"annotations/{name}.txt is not there, so no image is in {split}")
            continue
        for number, line in read_lines(path):
            entry = _entry(path, number, line, split)
            if entry.name in entries:
                detail = (
                    f"`annotations/{name}.txt` must list each image once; {entry.name} on line {number} is listed "
                    "already"
                )
                twice[entry.name] = f"{detail}. Take out one of the lines."
            entries.setdefault(entry.name, entry)
    if not entries:
        raise DataError(
            f"`{annotations}` must list at least one image in trainval.txt; it lists none. Unpack the lists again."
        )
    _reject_mixed_breeds(annotations, list(entries.values()))
    return list(entries.values()), twice, notes


def _entry(path: Path, number: int, line: str, split: str) -> _Entry:
    name, *numbers = line.split()
    if len(numbers) != 3 or not all(part.isdecimal() and len(part) < 10 for part in numbers):
        raise DataError(
            f"`{path}` must have lines of NAME CLASS-ID SPECIES BREED-ID; got {line[:60]!r} on line {number}. Fix it."
        )
    breed, species = int(numbers[0]), int(numbers[1])
    if not 1 <= breed <= NUM_BREEDS or species not in SPECIES:
        wish = f"a CLASS-ID from 1 to {NUM_BREEDS} and a species of 1 (cat) or 2 (dog)"
        raise DataError(f"`{path}` must give each image {wish}; got {line[:60]!r} on line {number}. Fix it.")
    return _Entry(name, breed, species, split)


def _reject_mixed_breeds(annotations: Path, entries: list[_Entry]) -> None:
    """A CLASS-ID stands for one breed name, one breed name for one CLASS-ID."""
    names: dict[int, str] = {}
    numbers: dict[str, int] = {}
    for entry in entries:
        name, number = (
            names.setdefault(entry.breed, entry.breed_name),
            numbers.setdefault(entry.breed_name, entry.breed),
        )
        if (name, number) != (entry.breed_name, entry.breed):
            odd = f"{entry.name} has {entry.breed}, which is {name}" if name != entry.breed_name else (
                f"{entry.name} has {entry.breed}, others of {name} have {number}")  # fmt: skip
            raise DataError(f"`{annotations}` must give each breed one CLASS-ID; {odd}. Fix the lists.")


def _classes(config: DataConfig, entries: list[_Entry]) -> dict[str, int]:
    """Names and the values that stand for them once a record's remapping is done."""
    pets = {"pet": PET}
    if config.target == "species":
        pets = {name: _OWN + number for number, name in SPECIES.items()}
    elif config.target == "breed":
        pets = {name: _OWN + number for number, name in sorted({(entry.breed, entry.breed_name) for entry in entries})}
    band = {"boundary": BOUNDARY} if config.boundary == "class" or config.target == "trimap" else {}
    return {"background": BACKGROUND, **pets, **band}


def _form(config: DataConfig, entry: _Entry) -> MaskForm:
    pet = {"species": _OWN + entry.species, "breed": _OWN + entry.breed}.get(config.target, PET)
    remap = ((PET, pet),) if pet != PET else ()
    if config.boundary == "foreground" and config.target != "trimap":
        remap = (*remap, (BOUNDARY, pet))
    return MaskForm(remap=remap)
