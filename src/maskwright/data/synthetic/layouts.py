"""The layouts a generated set can be written in: our plain folders, and those of the sets people learn with.

>>> sorted(LAYOUTS)
['folders', 'oxford-pet', 'workshop']
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from maskwright.data.synthetic.texture import Bytes

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
    with (folder / "pairs.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([("image", "mask", "split"), *rows])


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
