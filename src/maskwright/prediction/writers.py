"""Predictions as files: an indexed label PNG with a palette (a GeoTIFF for georeferenced images), and an overlay."""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import numpy as np
from PIL import Image

from maskwright.config.data import DataConfig
from maskwright.data.layout import files_below, image_files
from maskwright.data.opening import list_data
from maskwright.data.partial import PartialListing
from maskwright.data.pictures import css, indexed_png, palette
from maskwright.data.rasters import labels_geotiff
from maskwright.data.record import refuse_among_data
from maskwright.errors import DataError, MaskwrightError, UsageError, counted, is_out_of_memory, listed, printable
from maskwright.files import write_atomically
from maskwright.folders import new_folder
from maskwright.prediction.prediction import Prediction
from maskwright.runs import refuse_used, size_name
from maskwright.runtime import free_memory

if TYPE_CHECKING:
    from maskwright.prediction.bundle import Bundle
    from maskwright.prediction.predictor import Predictor

LEDGER = "predictions.csv"
LEGEND = "legend.svg"  # of more than two classes: an image's own files are PNG, TIFF and JPEG
_COLUMNS = ("file", "image", "sha256")
_TEXT: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
_ENDS = ("-overlay.jpg", ".png", ".tif")
_MOST_IN_JPEG = 65_500  # pixels a side, of libjpeg


@dataclass(frozen=True)
class Written:
    """Files written for the images that could be read, and a sentence for each that couldn't."""

    out: Path
    images: tuple[Path, ...]
    problems: tuple[str, ...]
    replaced: int = 0  # files that were there before
    notes: tuple[str, ...] = ()  # masks in a folder, and what cannot be read there, such as links that lead nowhere

    def __str__(self) -> str:
        told = f"{counted(len(self.images), 'image')} predicted into {self.out}"
        told += f", {counted(self.replaced, 'file')} there replaced" if self.replaced else ""
        return told + (f", {len(self.problems)} could not be" if self.problems else "")


def predict_files(
    predictor: Predictor | Bundle, paths: Sequence[str | Path], out: str | Path, threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None, data: dict[str, Any] | None = None,
) -> Written:  # fmt: skip
    """Predict image files and folders of them; a bad file is told at the end and the rest is done.

    `out` is new, empty, or of an earlier call, and nothing but what such a call wrote is replaced; it lies apart from the
    images, and from those of `data`, the run's data.json.
    """
    files, notes = predicted_files(paths)
    names = _names(files, [path for path in map(Path, paths) if path.is_dir()])
    out = Path(out)
    predictor.refuse_threshold(threshold)
    _refuse_among(out, [path for path in map(Path, paths) if path.is_dir()], files)
    if data:
        refuse_among_data(out, data)
    done: list[Path] = []
    problems: list[str] = []
    replaced = 0
    with new_folder(out, partial(_refuse_used, out)), _Ledger(out) as ledger:
        ledger.refuse_changed([LEGEND, *(f"{name}{end}" for name in names for end in _ENDS)])
        for index, (path, name) in enumerate(zip(files, names, strict=True)):
            try:
                prediction = predictor.predict(path, threshold)
                replaced += sum(ledger.write(file, path, content) for file, content in _files(prediction, name))
                done.append(path)
            except DataError as error:
                problems.append(str(error))
            except Exception as error:
                if is_out_of_memory(error):
                    told = f"predicting it took more than the {size_name(free_memory())} that are free"
                    problems.append(f"`{path}` must fit into memory; {told}. Cut it into parts, or use a machine with more.")
                elif isinstance(error.__cause__, OSError) and error.__cause__.errno == errno.ENAMETOOLONG:
                    problems.append(f"`{path}` must have a name that leaves room for {_ENDS[0]}; it is too long. Rename it.")
                else:
                    raise
            if progress:
                progress(index + 1, len(files))
        if done and len(predictor.classes.names) > 2:  # of two, each overlay takes a colour its image has little of
            ledger.write(LEGEND, "", _legend(predictor.classes.names))
    unread = [f"{path}: {one}" for path in map(Path, paths) if path.is_dir() for one in files_below(path)[1]]
    notes += [f"not read in {listed(unread)}"] if unread else []
    return Written(out, tuple(done), tuple(problems), replaced, tuple(notes))


def _files(prediction: Prediction, name: str) -> Iterator[tuple[str, bytes]]:
    """NAME-overlay.jpg is for people; NAME.png holds class numbers with a palette to look at.

    What lies somewhere on Earth stays there: labels of a georeferenced raster are a GeoTIFF, NAME.tif, with nodata 255.
    """
    buffer = io.BytesIO()
    overlay = Image.fromarray(prediction.overlay())
    overlay.thumbnail((_MOST_IN_JPEG, _MOST_IN_JPEG))  # changes nothing that is smaller
    overlay.save(buffer, "JPEG", quality=90)
    yield f"{name}-overlay.jpg", buffer.getvalue()
    num_classes = len(prediction.classes)
    if prediction.georeference:
        yield f"{name}.tif", labels_geotiff(prediction.labels, prediction.georeference, palette(num_classes))
    else:
        yield f"{name}.png", indexed_png(prediction.labels, num_classes)


def _legend(names: Sequence[str]) -> bytes:
    """The colour of each class in label files and overlays."""
    rows = [
        f'<rect x="8" y="{8 + 24 * index}" width="16" height="16" fill="{css(colour)}"/>'
        f'<text x="32" y="{21 + 24 * index}">{index} {escape(printable(name))}</text>'
        for index, (name, colour) in enumerate(zip(names, palette(len(names)), strict=False))
    ]
    width, height = 48 + 9 * max(map(len, names)), 16 + 24 * len(names)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" font-family="sans-serif" font-size="14">'
    return "\n".join([head, '<rect width="100%" height="100%" fill="white"/>', *rows, "</svg>\n"]).encode()


def write_labels(path: Path, labels: np.ndarray, num_classes: int) -> None:
    """An indexed PNG: its values are the class numbers."""
    write_atomically(path, lambda temporary: temporary.write_bytes(indexed_png(labels, num_classes)))


class _Ledger:
    """predictions.csv: every file that was written, of which image, and its hash; a file it does not list is not replaced."""

    def __init__(self, out: Path) -> None:
        self.out, self.path = out, out / LEDGER
        self.rows = _read_ledger(out) or []

    def __enter__(self) -> _Ledger:
        self._write_all(self.rows)
        self._stream = self.path.open("a", **_TEXT)
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        self._stream.close()
        if not self.rows:  # nothing was written: no trace of it stays
            self.path.unlink(missing_ok=True)
        elif kind is None:
            self._write_all({file: (file, image, digest) for file, image, digest in self.rows}.values())  # the last of each

    def refuse_changed(self, names: Iterable[str]) -> None:
        """Stop where one of these files is somebody else's, or was changed since it was written."""
        known = {(file, digest) for file, _, digest in self.rows}
        there = [name for name in names if os.path.lexists(self.out / name)]
        ours = (name for name in there if (self.out / name).is_file())
        others = {*there} - {name for name in ours if (name, _digest((self.out / name).read_bytes())) in known}
        if others:
            fix = "Choose another, or move them away."
            raise UsageError(f"`--out` must be a folder where no work is lost; {self.out} holds {listed(sorted(others))}, which "
                             f"predict did not write or somebody has changed since. {fix}")  # fmt: skip

    def write(self, file: str, image: Path | str, content: bytes) -> bool:
        """Write a file, listed before it is there; whether it was there before."""
        row = (file, str(image), _digest(content))
        csv.writer(self._stream).writerow(row)
        self._stream.flush()
        replaced = os.path.lexists(self.out / file)
        write_atomically(self.out / file, lambda temporary: temporary.write_bytes(content))
        self.rows.append(row)
        return replaced

    def _write_all(self, rows: Iterable[tuple[str, str, str]]) -> None:
        def write(path: Path) -> None:
            with path.open("w", **_TEXT) as stream:
                csv.writer(stream).writerows([_COLUMNS, *rows])

        write_atomically(self.path, write)


def _read_ledger(out: Path) -> list[tuple[str, str, str]] | None:
    """File, image and hash of all that was written into a folder; None where it is no folder of predictions."""
    try:
        with (out / LEDGER).open(**_TEXT) as stream:
            head, *rows = csv.reader(stream)
    except (OSError, ValueError, csv.Error):
        return None
    return [(row[0], row[1], row[2]) for row in rows if len(row) == len(_COLUMNS)] if tuple(head) == _COLUMNS else None


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _refuse_used(out: Path) -> None:
    """Predictions go into a new or empty folder, or to those of earlier calls."""
    if _read_ledger(out) is None:
        refuse_used(out)


def _refuse_among(out: Path, folders: Iterable[Path], files: Iterable[Path]) -> None:
    """Stop where predictions would lie among the images: predicted the next time, or in the way of one."""
    place = Path(os.path.realpath(out))  # Path.resolve stops at a link to itself
    real = [(folder, Path(os.path.realpath(folder))) for folder in folders]
    among = [folder for folder, found in real if place in (found, *found.parents) or found in place.parents]
    among += [file.parent for file in files if place in Path(os.path.realpath(file)).parents]
    if among:
        fix = "Choose a folder elsewhere."
        raise UsageError(f"`--out` must be a folder apart from the images; got {out}, and images are in {among[0]}. {fix}")


def predicted_files(paths: Iterable[str | Path]) -> tuple[list[Path], list[str]]:
    """Folders stand for the images in them and in their sub-folders; and remarks on masks among them."""
    files: list[Path] = []
    notes: list[str] = []
    if "" in paths:  # as of "$PHOTOS", which was never set
        raise UsageError("`IMAGES` must be image files or folders of them; got an empty name. The current folder is a dot.")
    for path in map(Path, paths):
        if path.is_dir():
            inside, _ = image_files(path)
            if not inside:
                raise UsageError(f"`IMAGES` must be image files or folders of them; {path} holds none. Check the path.")
            masks = _masks_among(path, inside)
            files += [image for image in inside if image not in masks]
            notes += [f"{path} is a data set: {counted(len(masks), 'mask')} in it left aside"] if masks else []
        elif not path.suffix and not path.exists():
            raise UsageError(f"`IMAGES` must be image files or folders of them; {path} is not there. Check the path.")
        else:
            files.append(path)
    return files, notes


def _masks_among(folder: Path, pictures: Sequence[Path]) -> set[Path]:
    """Where a folder is read as a data set: its masks, and all that lies in folders of masks alone."""
    try:
        listing = list_data(DataConfig(root=str(folder)))[1]
    except PartialListing as partial:
        listing = partial.listing
    except MaskwrightError:
        return set()
    masks = {record.mask for record in listing.records}
    places = {mask.parent for mask in masks} - {record.image.parent for record in listing.records}
    return {path for path in pictures if path in masks or path.parent in places}


def _names(files: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """A file name for each image: its path in the folder it was found in, with its suffix or whole path where names repeat."""
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
    raise UsageError(f"`IMAGES` must be different files; {twice or files[0].name} would be written twice. Name each once.")


def _can_lie_together(names: set[str], wanted: int) -> bool:
    """Whether names differ, and no file of one would have the name of a folder that another lies in."""
    folders = {folder.as_posix() for name in names for folder in Path(name).parents}
    return len(names) == wanted and not folders & {LEDGER, LEGEND, *(name + end for name in names for end in _ENDS)}
