"""The operations of a repair on one mask: what they do to its pixels, and how many they say they changed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from maskwright.data.checks.repair_operations import (
    NEARLY_BLACK,
    NEARLY_WHITE,
    OPERATIONS,
    Pair,
    nearest,
    numbers,
    same_aspect,
)
from maskwright.data.dataset import IGNORE, MaskForm, Record
from maskwright.errors import DataError

GRID = np.arange(12, dtype=np.uint8).reshape(3, 4)


@pytest.fixture
def make_pair(tmp_path: Path, write_image: Callable[..., Path]) -> Callable[..., Pair]:
    """make_pair(mask, image size) → a pair whose mask has been read."""

    def make(
        mask: np.ndarray, size: tuple[int, int] | None = None, name: str = "m.png", kind: str = "picture", **how: bool
    ) -> Pair:
        image = write_image(tmp_path / "i.png", np.zeros((*(size or mask.shape[:2]), 3), np.uint8))
        pair = Pair(Record("i", image, write_image(tmp_path / name, mask), form=MaskForm(kind)))
        pair.read(**how)
        return pair

    return make


def apply(pair: Pair, op: str, **values: object) -> dict[str, int]:
    """One operation; those on values come after the counting."""
    if op in ("remap", "threshold", "colours"):
        pair.count()
    return OPERATIONS[op](pair, values)


def laid(pair: Pair) -> list[list[int]]:
    """The mask as class numbers, values without one as they are."""
    pair.count()
    return pair.relabelled({value: pair.labels.get(value, value) for value in pair.counts}).tolist()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_mask_turned_is_as_its_image_upright(make_pair, tmp_path: Path, orientation: int) -> None:
    """Oracle: what Pillow makes of the same pixels stored with that orientation."""
    pair = make_pair(GRID)
    facts = apply(pair, "turn-mask", orientation=orientation)
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(GRID).save(tmp_path / "turned.png", exif=exif)
    from PIL import ImageOps

    with Image.open(tmp_path / "turned.png") as stored:
        assert pair.raw.tolist() == np.asarray(ImageOps.exif_transpose(stored)).tolist()
    assert facts == {"pixels": 0 if orientation == 1 else 12}


@pytest.mark.parametrize("size", [(6, 8), (9, 12), (7, 9), (2, 3)])
def test_a_mask_resized_takes_the_value_under_each_pixels_middle(make_pair, size: tuple[int, int]) -> None:
    """Oracle: Pillow's nearest, which looks at pixel centres too."""
    pair = make_pair(GRID, size)
    assert apply(pair, "resize-mask") == {"pixels": size[0] * size[1]}
    assert pair.raw.tolist() == np.asarray(Image.fromarray(GRID).resize(size[::-1], Image.Resampling.NEAREST)).tolist()


def test_a_pixel_whose_middle_lies_between_two_takes_the_further_one() -> None:
    """By exact fractions; floating point would decide some of these ties the other way."""
    places = [int(Fraction(2 * place + 1, 2) * 408 / 500) for place in range(500)]
    assert [int(place) for place in nearest(408, 500)] == places


def test_a_mask_of_its_images_size_is_not_resized(make_pair) -> None:
    pair = make_pair(GRID)
    assert apply(pair, "resize-mask") == {"pixels": 0}
    assert pair.raw.tolist() == GRID.tolist()


def test_another_aspect_is_not_resized(make_pair) -> None:
    with pytest.raises(DataError, match="must have its image's aspect to be resized; image and mask are 40x40 and 4x3"):
        apply(make_pair(GRID, (40, 40)), "resize-mask")


@pytest.mark.parametrize(
    ("image", "mask", "alike"),
    [
        ((1055, 1280), (454, 551), True),  # 0.43033 and 0.43047: rounded each by itself
        ((505, 786), (401, 624), True),
        ((640, 480), (320, 240), True),
        ((240, 320), (480, 640), True),
        ((480, 640), (640, 480), False),
        ((1000, 1000), (500, 510), False),
        ((100, 200), (0, 0), False),
    ],
)
def test_aspects_are_alike_up_to_rounding(image, mask, alike: bool) -> None:
    assert same_aspect(image, mask) is same_aspect(mask, image) is alike


def test_rows_and_columns_are_added_as_ignored(make_pair) -> None:
    pair = make_pair(GRID, (4, 6))
    assert apply(pair, "fit-mask", rows=1, columns=2) == {"pixels": 4 * 6 - 12}
    assert laid(pair) == [[0, 1, 2, 3, 255, 255], [4, 5, 6, 7, 255, 255], [8, 9, 10, 11, 255, 255], [255] * 6]


def test_rows_and_columns_are_cut_off(make_pair) -> None:
    pair = make_pair(GRID, (2, 3))
    assert apply(pair, "fit-mask", rows=-1, columns=-1) == {"pixels": 12 - 6}
    assert laid(pair) == [[0, 1, 2], [4, 5, 6]]


def test_a_row_is_cut_and_a_column_added(make_pair) -> None:
    pair = make_pair(GRID, (2, 5))
    assert apply(pair, "fit-mask", rows=-1, columns=1) == {"pixels": 4 + 2}
    assert laid(pair) == [[0, 1, 2, 3, 255], [4, 5, 6, 7, 255]]


def test_a_fit_that_does_not_fit_is_refused(make_pair) -> None:
    with pytest.raises(DataError, match="must be 1 rows and 0 columns from its image; they are 9x9 and 4x3"):
        apply(make_pair(GRID, (9, 9)), "fit-mask", rows=1, columns=0)


def test_values_are_remapped_and_the_changed_ones_counted(make_pair) -> None:
    """1 and 1 change, 2 changes, 7 isn't spoken of, and 5 is nowhere."""
    pair = make_pair(np.array([[0, 1, 1], [2, 7, 0]], np.uint8))
    assert apply(pair, "remap", table={"0": 0, "1": 3, "2": 255, "5": 4}) == {"pixels": 3}
    assert laid(pair) == [[0, 3, 3], [255, 7, 0]]
    assert pair.labels == {0: 0, 1: 3, 2: IGNORE}


def test_16_bit_values_are_remapped(make_pair) -> None:
    pair = make_pair(np.array([[0, 1000], [40000, 0]], np.uint16))
    apply(pair, "remap", table={0: 0, 1000: 1, 40000: 2})
    assert laid(pair) == [[0, 1], [2, 0]]


def test_greys_are_cut_in_two_and_what_lies_between_is_counted(make_pair) -> None:
    mask = np.array([[0, NEARLY_BLACK, NEARLY_BLACK + 1, 127], [128, NEARLY_WHITE - 1, NEARLY_WHITE, 255]], np.uint8)
    pair = make_pair(mask)
    assert apply(pair, "threshold", at=128) == {"pixels": 7, "between": 4}  # all but the 0 are other numbers now
    assert laid(pair) == [[0, 0, 0, 0], [1, 1, 1, 1]]


def test_greys_that_jpeg_has_tinted_are_read(make_pair) -> None:
    mask = np.array([[[2, 0, 4], [250, 255, 251]]], np.uint8)
    with pytest.raises(DataError, match="must hold one value a pixel"):
        make_pair(mask)
    pair = make_pair(mask, greys=True)
    assert pair.raw.tolist() == [[2, 252]]
    apply(pair, "threshold", at=128)
    assert laid(pair) == [[0, 1]]


def test_a_broken_mask_is_no_grey_one(make_pair, tmp_path: Path) -> None:
    pair = make_pair(GRID)
    (tmp_path / "m.png").write_bytes((tmp_path / "m.png").read_bytes()[:40])
    with pytest.raises(DataError, match="readable mask"):
        pair.read(greys=True)


def test_colours_become_class_numbers(make_pair) -> None:
    red, blue = (255, 0, 0), (0, 0, 255)
    pair = make_pair(np.array([[red, blue], [blue, (0, 0, 0)]], np.uint8), colours=True)
    assert apply(pair, "colours", table={"#000000": 0, "#ff0000": 1, "#0000ff": 2}, names=["a", "b", "c"]) == {
        "pixels": 3
    }
    assert laid(pair) == [[1, 2], [2, 0]]


def test_a_palettes_colours_become_class_numbers(make_pair, tmp_path: Path) -> None:
    pair = make_pair(GRID)
    picture = Image.fromarray(np.array([[5, 9]], np.uint8), mode=None)
    picture.putpalette([0, 0, 0] * 5 + [255, 0, 0] + [0, 0, 0] * 3 + [0, 255, 0])
    picture.save(tmp_path / "m.png")
    pair.read(colours=True)
    apply(pair, "colours", table={"#ff0000": 0, "#00ff00": 1})
    assert laid(pair) == [[0, 1]]


def test_two_repairs_that_differ_stop(make_pair) -> None:
    pair = make_pair(np.array([[0, 255]], np.uint8))
    apply(pair, "remap", table={0: 0, 255: 1})
    with pytest.raises(DataError, match="255 becomes 1 by one repair and 255 by another"):
        OPERATIONS["remap"](pair, {"table": {255: 255}})


def test_tables_are_read_as_json_or_python_writes_them() -> None:
    assert numbers({"0": 1, 2: "3", "#00ff00": 4}) == {0: 1, 2: 3, 0xFF00: 4}


@pytest.mark.parametrize("greys", [False, True])
@pytest.mark.parametrize("mask", [GRID, np.dstack([GRID, GRID, GRID + 9])], ids=["grey", "coloured"])
def test_a_mask_s_hash_is_its_file_s_however_it_is_read(
    make_pair, tmp_path: Path, mask: np.ndarray, greys: bool
) -> None:
    pair = make_pair(mask, greys=greys, colours=not greys)
    assert pair.digest == hashlib.sha256((tmp_path / "m.png").read_bytes()).hexdigest()
