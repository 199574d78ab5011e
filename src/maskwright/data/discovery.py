"""Which files of a folder are images and which are their masks.

Told by the words in the names of folders (`train_images` beside `train_labels`), then of files (`7_sat.jpg`,
`7_mask.png`), then by what pictures hold (`7.jpg`, `7_L.png`). A reading counts only when the names pair each image
with one mask; several that do are a question. What is found is never a guess.
"""

from __future__ import annotations

import glob
import itertools
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from maskwright.data.decoding import read_bytes
from maskwright.data.kinds import Files, Kind, Reading, joined, kinds_by, kinds_by_ending, pictures_of
from maskwright.data.layout import ARRAY_SUFFIXES, SUFFIXES, files_below, folders_in, role_of, split_words
from maskwright.data.pairing import certain, pair
from maskwright.errors import DataError, as_typed, counted, listed

_OWN = ("pairs.csv", "dataset.yaml")  # what makes a folder a data set of its own


@dataclass(frozen=True)
class Found:
    """The images of a data set and its masks, and remarks on what is neither."""

    images: Files
    masks: Files
    notes: tuple[str, ...] = ()

    @property
    def layout(self) -> str:
        return f"{_shown(self.images.pattern)} beside {_shown(self.masks.pattern)}"

    @property
    def flags(self) -> str:
        """What names these folders."""
        images, masks = ((files.pattern or ".").replace("SPLIT", "*") for files in (self.images, self.masks))
        return as_typed("--data.images", images, "--data.masks", masks)


def find_images_and_masks(root: Path, images: str | None = None, masks: str | None = None) -> Found:
    """The images and masks below a folder, or in two folders (or patterns) named; a refusal says what is there."""
    if images is None or masks is None:
        files, unread = files_below(root)
        reading = Reading(root, files)
        _reject_several_sets(root, reading)
        found = _by_all_readings(root, reading)
    else:
        ours, files, unread = _named(root, images, "images")
        theirs, more, unread_masks = _named(root, masks, "masks")
        files, unread = list(dict.fromkeys([*files, *more])), list(dict.fromkeys([*unread, *unread_masks]))
        reading = Reading(root, files)
        same = set(ours.paths) & set(theirs.paths)
        if same == set(ours.paths) == set(theirs.paths):  # one folder with both
            found = _by_all_readings(root, reading)
            if found is None:
                raise DataError(_same_folder(root, images))
        else:  # what one of them names more narrowly is not the other
            narrow = theirs if len(theirs.paths) < len(ours.paths) else ours
            ours, theirs = (
                kind if kind is narrow else replace(kind, paths=tuple(path for path in kind.paths if path not in same))
                for kind in (ours, theirs)
            )
            found = _choose(root, reading, [ours, theirs]) or _nearest(reading, [ours, theirs], 0)
    if found is None:
        raise DataError(_not_recognised(root, reading))
    notes = [f"not read: {listed(unread)}"] if unread else []
    return replace(found, notes=(*found.notes, *_leftovers(root, found, files), *notes))


def by_role(root: Path, images: str | None = None, masks: str | None = None) -> tuple[Files, Files]:
    """All files in folders named as those of images and as those of masks, whether they pair or not."""
    if images is not None and masks is not None:
        kinds = [_named(root, images, "images")[0], _named(root, masks, "masks")[0]]
        reading = Reading(root, [path for kind in kinds for path in kind.paths])
    else:
        reading = Reading(root, files_below(root)[0])
        kinds = reading.by_folder()
    found = [
        [replace(kind, paths=pictures_of(kind.paths)) for kind in kinds if kind.role == role]
        for role in ("images", "masks")
    ]
    if not all(found):
        raise DataError(_not_recognised(root, reading))
    return reading.files(joined(found[0])), reading.files(joined(found[1]))


def role_folders(folder: Path) -> dict[str, Path]:
    """The folders directly inside one that are named as those of images and of masks are."""
    return {role: inner for inner in reversed(folders_in(folder)) if (role := role_of(split_words(inner.name)))}


def _by_all_readings(root: Path, reading: Reading) -> Found | None:
    """The first reading whose names pair everything; else the one that comes nearest, whose gaps are reported."""
    near: list[Found] = []
    for read in (reading.by_folder, reading.by_name, reading.by_ending, reading.by_look):
        kinds = read()
        roles = {kind.role for kind in kinds}
        if "masks" not in roles:
            continue
        looked = read in (reading.by_ending, reading.by_look)
        said = read == reading.by_folder and "images" in roles  # folders say it: what is missing is a gap
        whole = _choose(root, reading, kinds)
        found = whole or _nearest(reading, kinds, 0 if said else 0.5)
        if found and looked:
            detail = f"{_shown(found.masks.pattern)} is taken for the masks, because its pictures hold few colours"
            found = replace(found, notes=(*found.notes, detail))
        if whole or said:
            return found
        near += [found] if found else []
    return near[0] if near else None


def _choose(root: Path, reading: Reading, kinds: Sequence[Kind]) -> Found | None:
    """The images and the masks of these kinds that pair without a gap, if there is one such choice."""
    images, masks = _of_roles(kinds)
    for ours in _finer(reading, [joined(images)], images) if images else ():
        for theirs in _finer(reading, masks):
            found = [both for one in ours for two in theirs if (both := _match(reading, one, two))]
            if len(found) > 1:
                raise DataError(_ambiguous(root, found))
            if found:
                return found[0]
    return None


def _of_roles(kinds: Sequence[Kind]) -> tuple[list[Kind], list[Kind]]:
    """Kinds of images (of no role where none has it) and of masks; these are arrays where there are no pictures."""
    images = [kind for kind in kinds if kind.role == "images"] or [kind for kind in kinds if not kind.role]
    images = [replace(kind, role="images", paths=paths) for kind in images if (paths := pictures_of(kind.paths))]
    return images, [
        replace(kind, paths=pictures_of(kind.paths) or kind.paths) for kind in kinds if kind.role == "masks"
    ]


def _finer(reading: Reading, kinds: Sequence[Kind], parts: Sequence[Kind] = ()) -> Iterator[Sequence[Kind]]:
    """The kinds as they are, then ever finer parts: by all words of their folders, by the ends of names."""
    yield _of_least_rank(kinds)
    if len(parts) > 1:
        yield _of_least_rank(parts)
    for divide in (lambda kind: kinds_by(kind.paths, lambda path: ("", reading.places[path].words)),
                   lambda kind: kinds_by_ending(kind.paths)):  # fmt: skip
        finer = [replace(part, role=kind.role, keys=kind.keys | part.keys) for kind in kinds for part in divide(kind)]
        if len(finer) > len(kinds):
            yield _of_least_rank(finer)


def _of_least_rank(kinds: Sequence[Kind]) -> Sequence[Kind]:
    """Those that are meant where there are several, whether whole or not: never the colours drawn from labels."""
    least = [kind for kind in kinds if kind.rank == min(kind.rank for kind in kinds)]
    if any("manual" in kind.keys for kind in least):  # `mask` beside `1st_manual` is the field of view
        least = [kind for kind in least if kind.keys != {"mask"}]
    return least


def _match(reading: Reading, images: Kind, masks: Kind) -> Found | None:
    """These images and masks, where names pair all of them; splits without any mask aside."""
    found = Found(reading.files(images), reading.files(masks))
    try:
        groups, notes = in_splits(found)
        if any(len(ours.names) != len(theirs.names) for ours, theirs in groups):
            return None
        for ours, theirs in groups:
            pair(ours.names, theirs.names)
    except DataError:
        return None
    return replace(found, notes=notes) if groups else None


def _nearest(reading: Reading, kinds: Sequence[Kind], share: float) -> Found | None:
    """The images and masks of which names pair the greatest share, where that is at least this share of the fewer."""
    images, masks = _of_roles(kinds)
    best: tuple[float, Found] | None = None
    levels = itertools.product(_finer(reading, [joined(images)], images), _finer(reading, masks)) if images else ()
    for ours, theirs in (each for level in levels for each in itertools.product(*level)):
        found = Found(reading.files(ours), reading.files(theirs))
        try:
            groups, notes = in_splits(found)
        except DataError:
            if share == 0 and len(masks) == 1:
                raise
            continue
        paired = sum(len(certain(one.names, two.names)) for one, two in groups)
        score = paired / max(len(ours.paths), len(theirs.paths))
        if paired >= share * min(len(ours.paths), len(theirs.paths)) and (best is None or score > best[0]):
            best = (score, replace(found, notes=notes))
    return best[1] if best else None


def in_splits(found: Found) -> tuple[list[tuple[Files, Files]], tuple[str, ...]]:
    """Images and masks split by split where both tell it, else all of them; and a remark on splits without masks."""
    ours, theirs = set(found.images.splits), set(found.masks.splits)
    if ours == {None} or theirs == {None}:
        return [(found.images, found.masks)], ()
    if odd := sorted(map(str, theirs - ours - {None})):
        names = f"`{_shown(found.images.pattern)}` and `{_shown(found.masks.pattern)}`"
        raise DataError(f"{names} must hold the same splits; only one of them has {listed(odd)}. Add or remove it.")
    both = sorted(split for split in theirs & ours if split)
    without = sorted(split for split in ours - theirs if split)
    notes = [
        f"{counted(len(found.images.of(split).paths), 'image')} of {split} left aside: it has no masks"
        for split in without
    ]
    rest = found.images.of(None).names
    notes += [f"{counted(len(rest), 'image')} left aside, such as {rest[0]}: in none of the splits"] if rest else []
    return [(found.images.of(split), found.masks.of(split)) for split in both], tuple(notes)


# ------------------------------------------------------------------ sentences


def _named(root: Path, text: str, role: str) -> tuple[Kind, list[Path], list[str]]:
    """The files in a named folder, or in all that a pattern such as `*/images` or `scans/*_mask.png` finds."""
    folder = root / text
    names = [text] if folder.is_dir() else sorted(glob.glob(text, root_dir=root, recursive=True))  # noqa: PTH207
    if not names:
        fix = f"Check the spelling; a pattern such as '*/{role}' may stand there, too."
        raise DataError(f"`data.{role}` must be a folder inside {root}; {folder} is not there. {fix}")
    walked = [files_below(place) if (place := root / name).is_dir() else ([place], []) for name in names]
    files = list(dict.fromkeys(path for found, _ in walked for path in found))
    found = tuple(path for path in files if path.suffix.lower() in SUFFIXES | ARRAY_SUFFIXES)
    if not found:
        raise DataError(f"`{folder}` must hold at least one {role[:-1]} file; got none. Check the path.")
    kind = Kind(role, frozenset(), found, base=folder if folder.is_dir() else None)
    return kind, files, [one for _, unread in walked for one in unread]


def _shown(pattern: str) -> str:
    name = pattern.rpartition("/")[2]
    return pattern if "*" in name or Path(name).suffix.lower() in SUFFIXES | ARRAY_SUFFIXES else f"{pattern}/"


def _leftovers(root: Path, found: Found, files: Sequence[Path]) -> list[str]:
    """Remarks on files in the folders of images and masks that are no pictures, and on pictures in no pair."""
    used = {*found.images.paths, *found.masks.paths}
    places = {path.parent for path in used}
    others = [
        path.name
        for path in files
        if path.parent in places and path.suffix.lower() not in SUFFIXES and path not in used
    ]
    others = [name for name in others if name not in (*_OWN, "classes.yaml")]
    more = [path for path in pictures_of(files) if path not in used]
    folders = sorted({os.path.relpath(path.parent, root) for path in more if path.parent not in places} - {"."})
    beside = [path.name for path in more if path.parent in places]
    notes = [f"{len(others)} files that are no images were left aside: {listed(others)}"] if others else []
    notes += [f"folders of pictures that belong to no pair were left aside: {listed(folders)}"] if folders else []
    notes += [f"{len(beside)} pictures of another kind were left aside: {listed(beside)}"] if beside else []
    return notes


def _reject_several_sets(root: Path, reading: Reading) -> None:
    """Folders inside that describe themselves are data sets of their own: their classes may mean different things."""
    inner = {
        root.joinpath(*parts[:depth])
        for parts in {place.parts for place in reading.places.values()}
        for depth in range(1, len(parts) + 1)
    }
    found = sorted(str(folder) for folder in inner if any((folder / name).is_file() for name in _OWN))
    if found:
        several = listed([os.path.relpath(folder, root) for folder in found])
        fix = f"Name {'one' if len(found) > 1 else 'it'}: --data {as_typed(found[0])}"
        raise DataError(f"`{root}` must be one data set; it holds {several} with a {listed(_OWN, 'or')} inside. {fix}")


def _ambiguous(root: Path, found: Sequence[Found]) -> str:
    masks = sorted({one.masks.pattern for one in found})
    kind, names = ("masks", masks) if len(masks) > 1 else ("images", sorted({one.images.pattern for one in found}))
    fix = f"Name the two that belong together: {' or '.join(sorted(one.flags for one in found))}"
    return f"`{root}` must hold one folder of {kind}; got {listed(names)}. {fix}"


def _same_folder(root: Path, named: str) -> str:
    """That one folder was named for both and does not hold both."""
    folders = role_folders(root)
    if {"images", "masks"} <= folders.keys():
        hint = f"Say {as_typed('--data.images', folders['images'].name, '--data.masks', folders['masks'].name)}."
    else:
        hint = f"Name the folder of the masks with --data.masks, or a pattern for each, such as '{named}/*_mask.png'."
    return (
        "`data.images` and `data.masks` must name two folders, or one that holds both images and masks; "
        f"they name the same, {root / named}, in which nothing tells images from masks. {hint}"
    )


def _not_recognised(root: Path, reading: Reading) -> str:
    if labels := _yolo_labels(root):
        shown = os.path.relpath(labels, root)
        return (
            f"`{root}` must hold masks, or polygons in a form that is read; it holds labels of YOLO ({shown}), which "
            "are not. Convert them to COCO, a JSON of polygons, which is read: labelling programs export it, and "
            "DetectionDataset.from_yolo(…, force_masks=True).as_coco(…) of the package supervision writes it."
        )
    kinds = reading.by_folder()
    for role, folder in sorted(role_folders(root).items()):  # named as it should be, it holds nothing of the sort
        if not any(kind.role == role for kind in kinds) and not any(folder in path.parents for path in reading.paths):
            return f"`{folder}` must hold at least one {role[:-1]} file; got none. Check the path."
    kinds = kinds if len(kinds) > 1 else kinds_by_ending(reading.paths, 1)
    several = sorted((reading.files(kind) for kind in kinds), key=lambda files: -len(files.paths))[:2]
    such = f", such as {Found(several[0], several[1]).flags}" if len(several) == 2 else ""
    fix = (
        "Name them so (images/ and masks/, inside train/ val/ test/ if already split), point at them with "
        f"--data.images A --data.masks B{such}, or list them in pairs.csv (image,mask[,split][,group])."
    )
    return f"`{root}` must hold a folder of images and a folder of masks; it holds {_inside(root)}. {fix}"


def _yolo_labels(root: Path) -> Path | None:
    """A text file in a folder `labels` that begins with a class and coordinates between 0 and 1."""
    for path in files_below(root)[0]:
        if path.suffix == ".txt" and "labels" in path.relative_to(root).parts[:-1]:
            label, *corners = read_bytes(path, 2000).decode("utf-8", "replace").partition("\n")[0].split()[:5] or [""]
            between = [re.fullmatch(r"[01](\.\d+)?|0?\.\d+|\d(\.\d+)?e-\d+", one) for one in corners]
            if label.isdigit() and len(between) == 4 and all(between):
                return path
    return None


def _inside(root: Path) -> str:
    """What a folder holds, by its folders; where it is one that holds folders alone, by those."""
    folders = [
        inner
        for folder in folders_in(root)
        for inner in (folder, *folders_in(folder))
        if any(map(Path.is_file, inner.iterdir()))
    ]
    shown = folders or folders_in(root)
    parts = [f"{folder.relative_to(root).as_posix()}/ ({_held(files_below(folder)[0])})" for folder in shown]
    files = [path.name for path in root.iterdir() if path.is_file()]
    parts += [f"{counted(len(files), 'file')} ({listed(files, 'and', 3)})"] if files else []
    return listed(parts, "and", 6) if parts else "nothing"


def _held(files: Sequence[Path]) -> str:
    pictures = len(pictures_of(files))
    return f"{pictures} images" if pictures or not files else f"{counted(len(files), 'file')} such as {files[0].name}"
