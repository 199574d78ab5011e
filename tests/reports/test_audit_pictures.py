"""Pictures of the audit's page: what is read, drawn and marked, and which pairs are shown for a finding."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.checks.findings import Finding
from maskwright.data.dataset import RGB, Bands, ClassMap, Record
from maskwright.data.pictures import NEAR, contrasting, css, overlay, palette
from maskwright.prediction import Prediction
from maskwright.reports.audit_examples import Example, examples_of
from maskwright.reports.audit_page import render
from maskwright.reports.audit_pictures import (
    LONGEST,
    MARK,
    Meaning,
    Seen,
    at_one_scale,
    corner,
    marked,
    overlaid,
    read_lone,
    read_pair,
)
from maskwright.reports.audit_scene import scene_of
from maskwright.reports.gallery import Picture, encode
from support import picture as save

WriteImage = Callable[..., Path]
TWO = Meaning(ClassMap(("ground", "cat"), (0, 1), (255,)))


def is_mark(pixels: np.ndarray) -> np.ndarray:
    return (pixels == np.array(MARK)).all(-1)


def noise(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)


# ------------------------------------------------------------------ drawing


@pytest.mark.parametrize(("height", "width"), [(3000, 1500), (480, 480), (300, 200), (20, 30)])
def test_a_single_pixel_is_marked_and_ringed(height: int, width: int) -> None:
    where = np.zeros((height, width), bool)
    where[height // 2, width // 2] = True
    found = is_mark(marked(np.full((height, width, 3), 90, np.uint8), where))
    rows, columns = np.nonzero(found)
    scale = found.shape[0] / height
    assert found[round((height // 2 + 0.5) * scale - 0.5), round((width // 2 + 0.5) * scale - 0.5)]
    assert np.ptp(rows) > 10 and np.ptp(columns) > 10, "a ring around it"
    assert abs(rows.mean() / found.shape[0] - 0.5) < 0.05 and found.sum() < 0.05 * found.size


def test_a_large_area_is_marked_as_it_is_without_rings() -> None:
    where = np.zeros((480, 480), bool)
    where[100:200, 50:300], where[400, 400] = True, True
    assert (is_mark(marked(noise(480, 480), where)) == where).all()


def test_a_mask_tints_its_classes_and_hatches_what_is_ignored() -> None:
    raw = np.zeros((480, 480), np.uint8)
    raw[100:200, 100:200], raw[300:400, 300:400] = 1, 255
    pixels, legend = overlaid(Seen(np.full((480, 480, 3), 200, np.uint8), raw), TWO)
    assert pixels.shape == (480, 480, 3)
    assert (pixels[10, 10] == 200).all() and (pixels[150, 150] != 200).all()
    assert len(np.unique(pixels[310:390, 310:390].reshape(-1, 3), axis=0)) > 1, "lines"
    assert legend == [("#181c24", "ground"), ("#009e73", "cat"), ("#7f7f7f", "ignored")]


def test_values_without_a_meaning_have_colours_of_their_own() -> None:
    raw = np.array([[0, 7], [255, 7]], np.uint8)
    labels, _, legend = Meaning().read(raw, None, False)
    assert labels.tolist() == [[0, 7], [255, 7]] and [name for _, name in legend] == ["value 0", "value 7", "value 255"]
    colours = np.array([[0x000000, 0xDC143C], [0xDC143C, 0x00FF00]], np.uint32)
    labels, table, legend = Meaning().read(colours, None, True)
    assert labels[0, 0] == 0 and table[labels[0, 1]].tolist() == [0xDC, 0x14, 0x3C]
    assert {("#dc143c", "#dc143c"), ("#00ff00", "#00ff00"), ("#000000", "#000000")} == set(legend)
    ramp = np.arange(200, dtype=np.uint16).reshape(10, 20) * 300
    labels, table, legend = Meaning().read(ramp, None, False)
    assert legend == [] and labels.max() == 254 and table[labels[-1, -1]].tolist() == [254] * 3


def test_pixels_without_data_are_ignored() -> None:
    labels, _, legend = TWO.read(np.ones((2, 2), np.uint8), np.array([[True, False]] * 2), False)
    assert labels.tolist() == [[1, 255]] * 2 and legend[-1][1] == "ignored"


@pytest.mark.parametrize(("image", "mask"), [((200, 400), (100, 200)), ((100, 100), (300, 60)), ((10, 20), (5, 10))])
def test_sizes_are_shown_at_one_scale(image: tuple[int, int], mask: tuple[int, int]) -> None:
    one, two = at_one_scale(np.full((*image, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8), mask)
    assert one.shape == two.shape and max(one.shape) <= LONGEST
    scale = one.shape[0] / max(image[0], mask[0])
    assert np.count_nonzero((one == 255).all(-1)) == pytest.approx(image[0] * image[1] * scale**2, rel=0.02)
    assert np.count_nonzero((two == 0).all(-1)) == pytest.approx(mask[0] * mask[1] * scale**2, rel=0.02)


def test_the_corner_shows_the_row_that_is_lacking() -> None:
    found = is_mark(corner(Seen(noise(40, 30), np.zeros((39, 30), np.uint8)), TWO))
    left, right = found[:, : found.shape[1] // 2 - 10], found[:, found.shape[1] // 2 + 10 :]
    assert not left.any() and right[-1].all() and right.mean() == pytest.approx(1 / 12, abs=0.01)


def test_pictures_keep_to_their_budget() -> None:
    pictures = [Picture("", "", noise(480, 300, seed)) for seed in range(4)]
    encode(pictures, 10**9)
    assert [(one.width, one.height) for one in pictures] == [(300, 480)] * 4
    for budget in (400_000, 100_000, 60_000):
        encode(pictures, budget)
        assert sum(len(one.uri) for one in pictures) <= budget


# ------------------------------------------------------------------ reading


@pytest.fixture
def record(tmp_path: Path, write_image: WriteImage) -> Record:
    image = write_image(tmp_path / "images" / "a.png", noise(24, 32))
    mask = write_image(tmp_path / "masks" / "a.png", np.eye(24, 32, dtype=np.uint8))
    return Record("a", image, mask)


def test_a_pair_is_read_as_it_is(record: Record) -> None:
    seen = read_pair(record, RGB)
    assert seen.fits and seen.problem == "" and seen.raw is not None and seen.image is not None
    assert (seen.raw == np.eye(24, 32)).all() and (seen.image == noise(24, 32)).all()


def test_colours_and_tinted_greys_are_read_as_such(record: Record) -> None:
    Image.fromarray(np.full((24, 32, 3), (220, 20, 60), np.uint8)).save(record.mask)
    seen = read_pair(record, RGB)
    assert seen.has_colours and seen.raw is not None and seen.raw[0, 0] == 0xDC143C
    Image.fromarray(np.full((24, 32, 3), (250, 252, 254), np.uint8)).save(record.mask)
    seen = read_pair(record, RGB)
    assert not seen.has_colours and seen.raw is not None and seen.raw[0, 0] == 252


def test_what_cannot_be_read_is_told_and_the_rest_is_read(record: Record) -> None:
    whole = record.image.read_bytes()
    record.image.write_bytes(whole[:200])
    seen = read_pair(record, RGB)
    assert seen.image is None and seen.raw is not None and "must be a whole, readable image" in seen.problem
    record.image.write_bytes(whole)
    record.mask.unlink()
    seen = read_pair(record, RGB)
    assert seen.image is not None and seen.raw is None and "must be there; it is missing" in seen.problem


def test_an_image_whose_tones_are_not_settled_is_stretched(record: Record) -> None:
    Image.fromarray(np.arange(24 * 32, dtype=np.uint16).reshape(24, 32) * 50).save(record.image)
    for bands in (RGB, Bands((0, 1, 2, 3, 4))):
        seen = read_pair(record, bands)
        assert seen.image is not None and seen.image.shape == (24, 32, 3)
        assert seen.image.min() < 5 and seen.image.max() > 250


def test_a_lone_file_is_a_mask_by_its_look(tmp_path: Path, write_image: WriteImage, record: Record) -> None:
    assert read_lone(record.image).image is not None
    assert read_lone(record.mask).raw is not None
    assert "missing" in read_lone(tmp_path / "gone.png").problem


# ------------------------------------------------------------------ choosing


def shown(root: Path, code: str, **keys: Any) -> tuple[Finding, list[Example]]:
    found = audit(DataConfig.model_validate({"root": str(root), **keys}))
    finding = next(one for one in found.findings if one.code == code)
    return finding, examples_of(finding, scene_of(found, root, 6))


def titles(examples: list[Example]) -> list[str]:
    return [picture.title for picture in examples[0].pictures]


def test_a_turned_mask_is_shown_both_ways_where_nobody_knows(make_set: Any, write_image: WriteImage) -> None:
    root = make_set(8)
    write_image(root / "masks" / "003.png", np.array(Image.open(root / "masks" / "003.png")).T.copy())
    _, examples = shown(root, "orientation")
    assert [example.name for example in examples] == ["masks/003.png"]
    assert titles(examples) == ["Image", "Mask", "Mask turned to the right", "Mask turned to the left"]


def test_values_in_question_are_marked_where_they_are(make_set: Any, write_image: WriteImage) -> None:
    root = make_set(8)
    mask = np.array(Image.open(root / "masks" / "003.png"))
    mask[2:8, 20:30] = 7
    write_image(root / "masks" / "003.png", mask)
    _, examples = shown(root, "unknown-values", classes={"a": 0, "b": 1})
    assert titles(examples) == ["With its mask", "Where it holds 7"]
    found = is_mark(examples[0].pictures[1].pixels)
    enlarged = np.kron(mask == 7, np.ones((found.shape[0] // 24,) * 2)) > 0
    assert (found == enlarged).all()
    assert "7.8" in examples[0].pictures[1].alt


def test_masks_that_differ_are_shown_with_the_difference(make_set: Any, write_image: WriteImage) -> None:
    root = make_set(8)
    write_image(root / "images" / "005.png", np.array(Image.open(root / "images" / "002.png")))
    _, examples = shown(root, "different-masks")
    masks = [np.array(Image.open(root / "masks" / f"00{number}.png")) for number in (2, 5)]
    assert titles(examples) == ["002.png", "005.png", "Where they differ"]
    assert is_mark(examples[0].pictures[2].pixels).mean() == pytest.approx((masks[0] != masks[1]).mean(), abs=1e-3)


def test_foreground_is_shown_both_ways_where_it_may_be_swapped(make_set: Any, write_image: WriteImage) -> None:
    root = make_set(8)
    for path in (root / "masks").iterdir():
        mask = np.ones((24, 32), np.uint8)
        mask[6:18, 8:24] = 0
        write_image(path, mask)
        write_image(
            root / "images" / path.name, np.full((24, 32, 3), 128, np.uint8) + noise(24, 32, int(path.stem)) // 64
        )
    _, examples = shown(root, "inverted")
    assert titles(examples) == ["Foreground as it is read", "Foreground if exchanged"]
    for picture, inside in zip(examples[0].pictures, (False, True), strict=True):
        middle, edge = (int(np.ptp(picture.pixels[row, col].astype(int))) for row, col in ((120, 160), (6, 6)))
        assert (middle > 40) == inside and (edge > 40) == (not inside), "green where foreground is"


def test_a_class_a_split_lacks_is_shown_where_there_is_most_of_it(make_set: Any, write_image: WriteImage) -> None:
    root = make_set(8)
    for number, rows in ((1, 2), (2, 9)):
        mask = np.array(Image.open(root / "masks" / f"00{number}.png"))
        mask[:rows, 10:20] = 2
        write_image(root / "masks" / f"00{number}.png", mask)
    splits = ["train"] * 4 + ["val"] * 2 + ["test"] * 2
    lines = [f"images/00{number}.png,masks/00{number}.png,{split}" for number, split in enumerate(splits)]
    (root / "pairs.csv").write_text("\n".join(["image,mask,split", *lines]))
    _, examples = shown(root, "class-missing")
    assert (
        examples[0].text
        == "class_2, which the validation and test images lack; seen most in images/002.png (training)."
    )
    assert titles(examples) == ["With its mask", "Where class_2 is"]


def test_groups_that_are_torn_show_a_picture_of_each_side(make_set: Any) -> None:
    root = make_set(9)
    lines = [
        f"images/00{number}.png,masks/00{number}.png,{'train' if number < 5 else 'val'},{'ab'[number % 2]}"
        for number in range(9)
    ]
    (root / "pairs.csv").write_text("\n".join(["image,mask,split,group", *lines]))
    _, examples = shown(root, "groups")
    assert [example.name for example in examples] == ["a", "b"]
    assert titles(examples) == ["000.png (training)", "006.png (validation)"]
    assert examples[0].text == "3 training and 2 validation images"


def test_examples_are_spread_over_a_findings_files(make_set: Any) -> None:
    found = audit(DataConfig(root=str(make_set(20))))
    finding = Finding("empty-masks", tuple(pair["mask"] for pair in found.pairs), "e.", "warning")
    names = [example.name for example in examples_of(finding, scene_of(found, Path(found.root), 5))]
    assert names == [f"masks/0{number:02d}.png" for number in (0, 5, 10, 14, 19)]


@pytest.mark.parametrize("index", range(1, 10))
def test_outlines_are_seen_on_an_image_of_their_own_colour(index: int) -> None:
    colours = palette(10)
    labels = np.zeros((60, 80), np.uint8)
    labels[20:40, 20:60] = index
    for image in (colours[index], (0, 0, 0), (255, 255, 255)):
        ground = np.full((60, 80, 3), image, np.uint8)
        drawn = overlay(ground, labels, colours)
        apart = np.linalg.norm(lab(drawn) - lab(ground), axis=-1)
        assert (apart[18:42, 20:60].max(0) > 25).all()  # every column crosses an outline that differs from the image
        assert (drawn[:15] == ground[:15]).all()


def test_the_foreground_of_two_classes_has_a_colour_the_image_has_not() -> None:
    for colour in (*palette(10)[1:10].tolist(), (200, 30, 40), (128, 128, 128)):
        image = np.full((50, 50, 3), colour, np.uint8)
        chosen = contrasting(image, palette(2))
        assert np.linalg.norm(lab(chosen[None, 1:2]) - lab(image[:1, :1])) > NEAR
        assert (chosen[0] == palette(2)[0]).all() and (chosen[255] == palette(2)[255]).all()
    red = np.full((50, 50, 3), (200, 30, 40), np.uint8)
    assert (contrasting(red, palette(2)) == palette(2)).all()  # the palette's own where it does
    prediction = Prediction(
        np.full((50, 50, 3), palette(2)[1]), np.eye(50, dtype=np.uint8), np.zeros((2, 50, 50)), ("a", "b")
    )
    assert not (prediction.overlay() == palette(2)[1]).all(-1)[np.eye(50, dtype=bool)].any()


def test_all_pictures_of_an_audit_have_one_colour_for_the_foreground(tmp_path: Path) -> None:
    """Far from that of the images, in the pictures, in the legend and in the table of classes."""
    green = palette(2)[1]
    for number in range(3):
        mask = np.zeros((40, 40), np.uint8)
        mask[10:20, 10 + number : 30] = 255
        save(tmp_path / "images" / f"{number}.png", np.full((40, 40, 3), green))
        save(tmp_path / "masks" / f"{number}.png", mask)
    config = DataConfig(root=str(tmp_path))
    text = render(audit(config), config)
    found = set(re.findall(r'style="background: (#\w{6})"></span>foreground', text))
    assert len(found) == 1 and css(green) not in found


def lab(pixels: np.ndarray) -> np.ndarray:
    return cv2.cvtColor(pixels.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
