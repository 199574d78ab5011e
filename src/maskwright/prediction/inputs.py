"""What is to be predicted: files, folders, patterns, a list on stdin; and the name that each one's predictions get."""

from __future__ import annotations

import glob
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from maskwright.data.layout import SUFFIXES, files_below
from maskwright.errors import MaskwrightError, UsageError, check_path, counted, listed
from maskwright.prediction.ledger import LEDGER, UNFINISHED
from maskwright.prediction.outputs import ENDS, LEGEND


def refuse_among(out: Path, folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Stop where predictions would lie among the images: predicted the next time, or in the way of one."""
    place = Path(os.path.realpath(out))  # Path.resolve stops at a link to itself
    real = [(folder, Path(os.path.realpath(folder))) for folder in folders]
    among = [folder for folder, found in real if place in (found, *found.parents) or found in place.parents]
    among += [file.parent for file in files if place in Path(os.path.realpath(file)).parents]
    if among:
        fix = "Choose a folder elsewhere."
        raise UsageError(
            f"`--out` must be a folder apart from the images; got {out}, and images are in {among[0]}. {fix}"
        )


@dataclass(frozen=True)
class Inputs:
    """The image files that are named, in order; the folders among what was named, and remarks on what lies in them."""

    files: list[Path]
    folders: list[Path]
    notes: list[str]


def find_inputs(named: Iterable[str | Path]) -> Inputs:
    """The images of files, folders (with their sub-folders), patterns, and `-` for a list on stdin, a path a line."""
    files: list[Path] = []
    folders: list[Path] = []
    notes: list[str] = []
    for path in (path for name in named for path in _expanded(name)):
        if path.is_dir():
            there, unread = files_below(path)
            inside = [file for file in there if file.suffix.lower() in SUFFIXES]
            if not inside:
                raise UsageError(f"`IMAGES` must be image files or folders of them; {path} holds none. Check the path.")
            masks = _masks_among(path, inside)
            folders.append(path)
            files += [image for image in inside if image not in masks]
            notes += [f"{path} is a data set: {counted(len(masks), 'mask')} in it left aside"] if masks else []
            notes += [f"not read in {listed([f'{path}: {one}' for one in unread])}"] if unread else []
        elif not path.suffix and not path.exists():
            fix = check_path(path)
            raise UsageError(f"`IMAGES` must be image files or folders of them; {path} is not there. {fix}")
        else:
            files.append(path)
    return Inputs(files, folders, notes)


def _expanded(name: str | Path) -> list[Path]:
    """The paths that one name on the command line stands for."""
    if isinstance(name, Path):
        return [name]
    if name == "":  # as of "$PHOTOS", which was never set
        raise UsageError(
            "`IMAGES` must be image files or folders of them; got an empty name. The current folder is a dot."
        )
    if name == "-":
        lines = [line.strip("\r\n") for line in sys.stdin]
        if not any(lines):
            raise UsageError("`IMAGES` must be listed on stdin, a path a line, where `-` is given; got none.")
        return [Path(line) for line in lines if line]
    if Path(name).exists() or not glob.has_magic(name):
        return [Path(name)]
    matched = sorted(glob.glob(name, recursive=True))  # noqa: PTH207 - which knows no ** without a folder before it
    if not matched:
        raise UsageError(f"`IMAGES` must be image files or folders of them; nothing matches {name}. Check the pattern.")
    return [Path(path) for path in matched]


def _masks_among(folder: Path, pictures: Sequence[Path]) -> set[Path]:
    """Where a folder is read as a data set: its masks, and all that lies in folders of masks alone."""
    # late: they take long to import, and images named one by one need none
    from maskwright.config.data import DataConfig
    from maskwright.data.dataset import PartialListing
    from maskwright.data.opening import list_data

    try:
        listing = list_data(DataConfig(root=str(folder)))[1]
    except PartialListing as partial:
        listing = partial.listing
    except MaskwrightError:
        return set()
    masks = {record.mask for record in listing.records}
    places = {mask.parent for mask in masks} - {record.image.parent for record in listing.records}
    return {path for path in pictures if path in masks or path.parent in places}


def names_for(files: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """A file name for each image: its path in the folder it is from, with suffix or whole path where names repeat."""
    # without `..`, which would lead out of the folder for predictions
    places, roots = ([Path(os.path.normpath(path.absolute())) for path in some] for some in (files, folders))
    inside = [path.relative_to(next((root for root in roots if root in path.parents), path.parent)) for path in places]
    plain = [path.with_name(path.name.replace(".", "-")) for path in places]
    shared = Path(os.path.commonpath([path.parent for path in plain])).parent
    ways = (
        [path.with_suffix("") for path in inside],
        [path.with_name(path.name.replace(".", "-")) for path in inside],
        [Path("-".join([*path.parent.parts[-2:], path.name]).strip("/")) for path in plain],
        [path.relative_to(shared) for path in plain],
    )
    for same in (str.lower, str):  # some file systems tell no case apart
        for names in ways:
            if _can_lie_together({same(name.as_posix()) for name in names}, len(names)):
                return [name.as_posix() for name in names]
    twice = listed(sorted({str(path) for path, place in zip(files, places, strict=True) if places.count(place) > 1}))
    raise UsageError(
        f"`IMAGES` must be different files; {twice or files[0].name} would be written twice. Name each once."
    )


def _can_lie_together(names: set[str], wanted: int) -> bool:
    """Whether names differ, and no file of one would have the name of a folder that another lies in."""
    folders = {folder.as_posix() for name in names for folder in Path(name).parents}
    return len(names) == wanted and not folders & {
        LEDGER,
        LEGEND,
        UNFINISHED,
        *(name + end for name in names for end in ENDS),
    }
