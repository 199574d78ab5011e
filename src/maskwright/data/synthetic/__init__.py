"""Demo data sets made from nothing but a seed: photographs of jigsaw pieces, and aerial land cover tiles.

They are written in our plain folders or in the layouts of the sets people learn with; nothing is left of one that
cannot be finished.

>>> sorted(GENERATORS), sorted(LAYOUTS)
(['landcover', 'puzzle'], ['folders', 'oxford-pet', 'workshop'])
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from maskwright.data.synthetic import landcover, puzzle
from maskwright.data.synthetic.texture import Bytes
from maskwright.errors import UsageError, must, unknown
from maskwright.files import csv_text
from maskwright.folders import whole_folder
from maskwright.runs import refuse_used

Row = tuple[str, str, str]  # image, mask, split
Place = Callable[["Style", int, str], tuple[str, str]]
Finish = Callable[[Path, "Style", Sequence[str], Sequence[Row]], None]
_PET, _BACKGROUND, _BOUNDARY = 1, 2, 3
_BAND = 3  # pixels of a trimap's boundary


@dataclass(frozen=True)
class Style:
    """How the files of a set look: patterns of names (`{}` is the number), palette of the masks, list of classes."""

    image_name: str
    mask_name: str
    palette: tuple[tuple[int, int, int], ...] | None = None
    classes_file: bool = False


@dataclass(frozen=True)
class Layout:
    """Where an image and its mask go, what is done to the mask, and which files say the rest.

    `classes` is how many it can tell; a layout without `val` leaves it to the reader to deal it from train.
    """

    place: Place
    finish: Finish
    mask: Callable[[Bytes], Bytes] = lambda mask: mask
    palette: bool = True
    classes: int | None = None
    val: bool = True


def _in_folders(style: Style, index: int, split: str) -> tuple[str, str]:
    return f"images/{style.image_name.format(index)}", f"masks/{style.mask_name.format(index)}"


def _pairs_csv(folder: Path, style: Style, class_names: Sequence[str], rows: Sequence[Row]) -> None:
    if style.classes_file:
        lines = "".join(f"{name}: {value}\n" for value, name in enumerate(class_names))
        (folder / "classes.yaml").write_text(lines, encoding="utf-8")
    text = csv_text([("image", "mask", "split"), *rows])
    (folder / "pairs.csv").write_text(text, encoding="utf-8", newline="")


def _in_workshop(style: Style, index: int, split: str) -> tuple[str, str]:
    folder = "TEST_SET" if split == "test" else "TAIN_VAL_SET"  # the workshop's own spelling
    return f"{folder}/IMAGES/{style.image_name.format(index)}", f"{folder}/MASKS/{style.mask_name.format(index)}"


def _label_mapping(folder: Path, style: Style, class_names: Sequence[str], rows: Sequence[Row]) -> None:
    text = json.dumps({name: value for value, name in enumerate(class_names)}, indent=1)
    (folder / "label_mapping.json").write_text(text + "\n", encoding="utf-8")


def _in_pets(style: Style, index: int, split: str) -> tuple[str, str]:
    return f"images/Piece_{index + 1}.jpg", f"annotations/trimaps/Piece_{index + 1}.png"


def _pet_lists(folder: Path, style: Style, class_names: Sequence[str], rows: Sequence[Row]) -> None:
    """`name class species breed` a line, as the original lists have them."""
    for name, splits in (("trainval", ("train", "val")), ("test", ("test",))):
        lines = [f"{Path(image).stem} 1 1 1\n" for image, _, split in rows if split in splits]
        (folder / "annotations" / f"{name}.txt").write_text("".join(lines), encoding="utf-8")


def _trimap(mask: Bytes) -> Bytes:
    """Foreground 1, background 2, and 3 in a band along the border."""
    kernel = np.ones((_BAND, _BAND), np.uint8)
    border = cv2.morphologyEx(mask, cv2.MORPH_GRADIENT, kernel, borderType=cv2.BORDER_REPLICATE) > 0
    return np.where(border, _BOUNDARY, np.where(mask > 0, _PET, _BACKGROUND)).astype(np.uint8)


LAYOUTS: dict[str, Layout] = {
    "folders": Layout(_in_folders, _pairs_csv),
    "workshop": Layout(_in_workshop, _label_mapping, val=False),
    "oxford-pet": Layout(_in_pets, _pet_lists, _trimap, palette=False, classes=2, val=False),
}


SPLITS = ("train", "val", "test")


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
    layout: Layout,
    class_names: tuple[str, ...],
    pictures: Callable[[int], tuple[Bytes, Bytes]],
    count: int,
    seed: int,
    on_progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Write pictures 0..count-1 below `out`; returns the size of each split."""
    sizes = split_sizes(count)
    out = out.expanduser()
    with whole_folder(out, partial(refuse_used, out, "OUT"), "OUT") as folder:
        rows: list[Row] = []
        for index, split in enumerate(_assign(sizes, seed)):
            image, mask = pictures(index)
            image_path, mask_path = layout.place(style, index, split)
            _save(folder / image_path, image)
            _save(folder / mask_path, layout.mask(mask), style.palette if layout.palette else None)
            rows.append((image_path, mask_path, split))
            if on_progress is not None:
                on_progress(index + 1, count)
        layout.finish(folder, style, class_names, rows)
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
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".jpg":
        picture.save(path, quality=95)
    else:
        picture.save(path, compress_level=3)  # noise does not shrink any further, it only takes longer


__all__ = ["GENERATORS", "Generator", "SyntheticSet", "make"]

SMALLEST = 32  # pixels; below that neither a piece nor a house can be told apart


@dataclass(frozen=True)
class Generator:
    """A kind of picture: `draw(rng, height, width)` gives image H W 3 and mask H W, both uint8."""

    draw: Callable[[np.random.Generator, int, int], tuple[Bytes, Bytes]]
    class_names: tuple[str, ...]  # in the order of the values in the mask
    count: int
    size: tuple[int, int]  # height, width
    style: Style


@dataclass(frozen=True)
class SyntheticSet:
    """What `make` wrote."""

    name: str
    root: Path
    num_images: int
    splits: dict[str, int]
    class_names: tuple[str, ...]


GENERATORS: dict[str, Generator] = {
    "puzzle": Generator(
        draw=puzzle.generate,
        class_names=("background", "piece"),
        count=18,
        size=(384, 512),
        style=Style("image-{}.png", "mask-{}.png"),
    ),
    "landcover": Generator(
        draw=landcover.generate,
        class_names=landcover.CLASSES,
        count=60,
        size=(256, 256),
        style=Style("tile-{:04d}.png", "tile-{:04d}.png", palette=landcover.COLOURS, classes_file=True),
    ),
}


def make(
    name: str,
    out: Path,
    count: int | None = None,
    size: tuple[int, int] | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    layout: str = "folders",
) -> SyntheticSet:
    """Write a demo set below `out`, in one of LAYOUTS; `on_progress(done, count)` after each image.

    `make("puzzle", Path("demo"))` writes 18 photographs of 384 x 512 pixels, split 10/4/4.
    An image depends on the seed, its number and the size only, so a larger set begins with the smaller one's images.
    """
    if name not in GENERATORS:
        raise UsageError(unknown("data set", name, GENERATORS))
    generator = GENERATORS[name]
    count = generator.count if count is None else count
    height, width = generator.size if size is None else size
    if count < 1:
        raise UsageError(must("count", "at least 1", count, f"Leave it out for the default of {generator.count}."))
    if min(height, width) < SMALLEST:
        fix = f"Leave it out for the default of {generator.size[0]} x {generator.size[1]}."
        raise UsageError(must("size", f"at least {SMALLEST} pixels each way", f"{height} x {width}", fix))
    if seed < 0:
        raise UsageError(must("seed", "0 or more", seed, "Pass a whole number that is not negative."))
    for key, value, most in (
        ("count", count, 1_000_000),
        ("size", max(height, width), 8192),
        ("seed", seed, 2**32 - 1),
    ):
        if value > most:
            raise UsageError(must(key, f"at most {most}", value))

    def picture(index: int) -> tuple[Bytes, Bytes]:
        return generator.draw(np.random.default_rng([seed, index]), height, width)

    if layout not in LAYOUTS:
        raise UsageError(unknown("layout", layout, LAYOUTS))
    written = LAYOUTS[layout]
    if written.classes not in (None, len(generator.class_names)):
        wish, got = (
            f"one that can tell {len(generator.class_names)} classes",
            f"{layout}, which tells {written.classes}",
        )
        raise UsageError(must("layout", wish, got, "Make puzzle, or choose another layout."))
    splits = write_set(Path(out), generator.style, written, generator.class_names, picture, count, seed, on_progress)
    if not written.val:
        splits = {"train": splits["train"] + splits["val"], "test": splits["test"]}
    return SyntheticSet(name, Path(out), count, splits, generator.class_names)
