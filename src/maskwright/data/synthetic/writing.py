"""Write a generated set to disk: pictures, masks, `pairs.csv`, and nothing at all if it cannot be finished."""

from __future__ import annotations

import csv
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from maskwright.data.synthetic.texture import Bytes
from maskwright.errors import DataError, must

SPLITS = ("train", "val", "test")
_OTHER_FOLDER = "Choose another folder or remove it."


@dataclass(frozen=True)
class Style:
    """How the files of a set look: patterns of names (`{}` is the number), palette of the masks, list of classes."""

    image_name: str
    mask_name: str
    palette: tuple[tuple[int, int, int], ...] | None = None
    classes_file: bool = False


def split_sizes(count: int) -> dict[str, int]:
    """How many of `count` images go to train, val and test: 5/9, 2/9, 2/9, none empty from three images on.

    >>> split_sizes(18)
    {'train': 10, 'val': 4, 'test': 4}
    """
    held_out = max(round(count * 2 / 9), 1) if count >= 3 else 0
    return {"train": count - 2 * held_out, "val": held_out, "test": held_out}


def write_set(
    out: Path,
    style: Style,
    class_names: tuple[str, ...],
    pictures: Callable[[int], tuple[Bytes, Bytes]],
    count: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write pictures 0..count-1 below `out`; returns the size of each split."""
    sizes = split_sizes(count)
    with _new_folder(out) as folder:
        (folder / "images").mkdir()
        (folder / "masks").mkdir()
        rows = []
        for index, split in enumerate(_assign(sizes, seed)):
            image, mask = pictures(index)
            image_path, mask_path = f"images/{style.image_name.format(index)}", f"masks/{style.mask_name.format(index)}"
            _save(folder / image_path, image)
            _save(folder / mask_path, mask, style.palette)
            rows.append((image_path, mask_path, split))
            if on_progress is not None:
                on_progress(index + 1, count)
        if style.classes_file:
            lines = "".join(f"{name}: {value}\n" for value, name in enumerate(class_names))
            (folder / "classes.yaml").write_text(lines, encoding="utf-8")
        with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([("image", "mask", "split"), *rows])
    return sizes


def _assign(sizes: dict[str, int], seed: int) -> list[str]:
    """A split for each image, shuffled by the seed."""
    names = [split for split in SPLITS for _ in range(sizes[split])]
    order = np.random.default_rng([seed, len(names)]).permutation(len(names))
    return [names[position] for position in order]


def _save(path: Path, pixels: Bytes, palette: tuple[tuple[int, int, int], ...] | None = None) -> None:
    picture = Image.fromarray(pixels)
    if palette is not None:
        picture.putpalette([value for rgb in palette for value in rgb])  # turns mode L into P, values unchanged
    picture.save(path, compress_level=3)  # noise does not shrink any further, it only takes longer


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """A folder beside `out` that takes its place on success and vanishes on any failure."""
    target = out.expanduser().resolve()
    _must_be_free(out, target)
    staging = target.with_name(f".{target.name}.{secrets.token_hex(4)}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging.mkdir()
    except OSError as error:
        got = f"{out} ({error.strerror})"
        raise DataError(must("OUT", "a folder that can be written", got, "Choose another folder.")) from None
    try:
        yield staging
        _must_be_free(out, target)  # somebody may have used the time
        if target.exists():
            target.rmdir()
        staging.rename(target)
    except BaseException:
        shutil.rmtree(staging, ignore_errors=True)
        raise


def _must_be_free(out: Path, target: Path) -> None:
    if target.is_dir():
        entries = list(target.iterdir())
        if not entries:
            return
        files = sum(1 for path in target.rglob("*") if path.is_file())
        got = f"{out} holding {files} {'file' if files == 1 else 'files'}"
    elif target.exists():
        got = f"{out}, which is a file"
    else:
        return
    raise DataError(must("OUT", "a new or empty folder", got, _OTHER_FOLDER))
