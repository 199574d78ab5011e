"""Predictions as files: an indexed label PNG with a palette (a GeoTIFF for georeferenced images), and an overlay."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.data.layout import image_files
from maskwright.data.pictures import palette
from maskwright.data.rasters import write_labels_geotiff
from maskwright.errors import DataError, UsageError, counted, is_out_of_memory, listed
from maskwright.prediction.predictor import Prediction, Predictor
from maskwright.runs import size_name, write_atomically
from maskwright.runtime import free_memory


@dataclass(frozen=True)
class Written:
    """Files written for the images that could be read, and a sentence for each that couldn't."""

    out: Path
    images: tuple[Path, ...]
    problems: tuple[str, ...]
    replaced: int = 0  # files that were there before

    def __str__(self) -> str:
        told = f"{counted(len(self.images), 'image')} predicted into {self.out}"
        told += f", {counted(self.replaced, 'file')} there replaced" if self.replaced else ""
        return told + (f", {len(self.problems)} could not be" if self.problems else "")


def predict_files(
    predictor: Predictor, paths: Sequence[str | Path], out: str | Path, threshold: float | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Written:  # fmt: skip
    """Predict image files and folders of them; a bad file is told at the end and the rest is done."""
    files = predicted_files(paths)
    names = _names(files, [path for path in map(Path, paths) if path.is_dir()])
    out = Path(out)
    predictor.refuse_threshold(threshold)
    mine = {path.resolve() for path in files}
    over = [name for name in names if any((out / f"{name}{end}").resolve() in mine for end in (".png", ".tif", "-overlay.jpg"))]
    if over:
        raise UsageError(f"`--out` must be a folder where no image is written over; {out} holds {listed(over)}. Choose another.")
    done: list[Path] = []
    problems: list[str] = []
    replaced = 0
    for index, (path, name) in enumerate(zip(files, names, strict=True)):
        try:
            replaced += write_prediction(predictor.predict(path, threshold), out, name)
            done.append(path)
        except DataError as error:
            problems.append(str(error))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            told = f"predicting it took more than the {size_name(free_memory())} that are free"
            problems.append(f"`{path}` must fit into memory; {told}. Cut it into parts, or use a machine with more.")
        if progress:
            progress(index + 1, len(files))
    return Written(out, tuple(done), tuple(problems), replaced)


def write_prediction(prediction: Prediction, out: Path, name: str) -> int:
    """NAME.png holds class numbers with a palette to look at; NAME-overlay.jpg is for people.

    What lies somewhere on Earth stays there: labels of a georeferenced raster are a GeoTIFF, NAME.tif, with nodata 255.
    → how many files of these names were there before
    """
    labels, overlay = out / f"{name}.{'tif' if prediction.georeference else 'png'}", out / f"{name}-overlay.jpg"
    replaced = labels.exists() + overlay.exists()
    if prediction.georeference:
        write_labels_geotiff(labels, prediction.labels, prediction.georeference, palette(len(prediction.classes)))
    else:
        write_labels(labels, prediction.labels, len(prediction.classes))
    picture = Image.fromarray(prediction.overlay())
    write_atomically(overlay, lambda path: picture.save(path, quality=90))
    return replaced


def write_labels(path: Path, labels: np.ndarray, num_classes: int) -> None:
    """An indexed PNG: its values are the class numbers."""
    picture = Image.fromarray(labels)  # grey, which putpalette turns into an indexed picture
    picture.putpalette(palette(num_classes).tobytes())
    write_atomically(path, lambda temporary: picture.save(temporary))


def predicted_files(paths: Iterable[str | Path]) -> list[Path]:
    """Folders stand for the images in them and in their sub-folders."""
    files: list[Path] = []
    for path in map(Path, paths):
        if path.is_dir():
            inside, _ = image_files(path)
            if not inside:
                raise UsageError(f"`IMAGES` must be image files or folders of them; {path} holds none. Check the path.")
            files += inside
        elif not path.suffix and not path.exists():
            raise UsageError(f"`IMAGES` must be image files or folders of them; {path} is not there. Check the path.")
        else:
            files.append(path)
    return files


def _names(files: Sequence[Path], folders: Sequence[Path]) -> list[str]:
    """A file name for each image: its path in the folder it was found in, with its suffix or whole path where names repeat."""
    inside = [path.relative_to(next((folder for folder in folders if folder in path.parents), path.parent)) for path in files]
    plain = [path.with_name(path.name.replace(".", "-")) for path in files]
    shared = Path(os.path.commonpath([path.absolute().parent for path in plain])).parent
    ways = (
        [path.with_suffix("") for path in inside],
        [path.with_name(path.name.replace(".", "-")) for path in inside],
        [Path("-".join([*path.parent.parts[-2:], path.name]).strip("/")) for path in plain],
        [path.absolute().relative_to(shared) for path in plain],
    )
    for same in (str.lower, str):  # some file systems tell no case apart
        for names in ways:
            if len({same(str(name)) for name in names}) == len(names):
                return [name.as_posix() for name in names]
    twice = listed(sorted({str(path) for path in files if files.count(path) > 1}) or [files[0].name])
    raise UsageError(f"`IMAGES` must be different files; {twice} would be written twice. Name each once.")
