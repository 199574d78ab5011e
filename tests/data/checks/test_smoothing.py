"""Values that soft borders, resizing and JPEG put between classes: told from classes, named by a pasted line, taken
back.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from makers import NAMES, coloured, edged, mask, masks_by, upsampled
from PIL import Image

from maskwright.data.checks.smoothing import snapped, sort_values
from support import Outcome, maskwright

Draw = Callable[[int], np.ndarray]
COLOURS = {"none": "#000000", "cat": "#dc143c", "dog": "#008000"}


def blurred(draw: Draw) -> Draw:
    return lambda index: cv2.GaussianBlur(draw(index), (3, 3), 0)


def tinted(index: int) -> np.ndarray:
    grey = mask(index, (0, 80, 160))
    return np.stack([grey, grey + 4, grey], axis=2)


def pasted(command: str, *more: object) -> Outcome:
    assert command.startswith("maskwright ")
    return maskwright(*shlex.split(command)[1:], *more)


def shapes(order: tuple[int, ...], values: tuple[int, ...] = (0, 1, 2)) -> Draw:
    """What was drawn, as class numbers in the order in which a line names them."""
    return lambda index: np.array(order)[mask(index, values)]


# masks, file, what was drawn, share of pixels that may differ
WAYS: dict[str, tuple[Draw, str, dict[str, int], Draw, float]] = {
    "soft greys": (blurred(lambda index: mask(index, (0, 128, 255))), ".png", {}, shapes((0, 1, 2)), 0.01),
    "a grey at a border": (edged((0, 128, 255), 64), ".png", {}, shapes((0, 1, 2)), 0.0),
    "greys in JPEG": (lambda index: mask(index, (0, 80, 160)), ".jpg", {"quality": 75}, shapes((0, 1, 2)), 0.01),
    "tinted greys in JPEG": (tinted, ".jpg", {"quality": 90}, shapes((0, 1, 2)), 0.01),
    "soft colours": (blurred(coloured), ".png", {}, shapes((0, 1, 2)), 0.01),
    "colours in JPEG": (coloured, ".jpg", {"quality": 75}, shapes((0, 1, 2)), 0.02),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_pasted_line_names_the_classes_and_the_next_takes_the_rest_back(
    way: str, tmp_path: Path, monkeypatch
) -> None:
    draw, suffix, options, truth, most = WAYS[way]
    monkeypatch.chdir(tmp_path)
    masks_by(draw, suffix, **options)(tmp_path / "set")
    asked = maskwright("check", "set", "--json")
    assert asked.code == 1
    first = next(one["proposal"] for one in asked.json["findings"] if one["proposal"] and one["proposal"]["question"])
    named = pasted(first["answers"][0]["command"])
    assert named.code == 1 and "error    smoothed: " in named.out
    last = next(line for line in named.out.splitlines() if " --fix " in line)
    fixed = pasted(last[last.index("maskwright ") :])
    assert fixed.code == 0, fixed.err
    assert maskwright("check", "set_repaired").code == 0
    order = [
        int(np.bincount(truth(0)[labels == number]).argmax())
        for labels in [read("set_repaired", 0)]
        for number in range(3)
    ]
    wrong = [(np.array(order)[read("set_repaired", index)] != truth(index)).mean() for index in range(8)]
    assert sorted(order) == [0, 1, 2] and max(wrong) <= most


def read(root: str, index: int) -> np.ndarray:
    with Image.open(Path(root) / "masks" / f"{NAMES[index]}.png") as picture:
        return np.asarray(picture)


def test_what_lies_between_becomes_the_nearest_of_what_is_around_it() -> None:
    """Halfway from red to green lies olive, a class of its own elsewhere."""
    red, green, olive = 0xFF0000, 0x00FF00, 0x808000
    raw = np.full((9, 24), red, np.uint32)
    raw[:, 6:] = green
    raw[:, 5], raw[:, 6] = 0xA05F00, 0x7F8000
    raw[:, 18:] = olive
    found = snapped(raw, [red, green, olive], colours=True)
    assert (found[:, :6] == red).all() and (found[:, 6:18] == green).all() and (found[:, 18:] == olive).all()


def test_a_colour_of_its_own_is_no_mixture(tmp_path: Path) -> None:
    """Not an area, nor a thin line whose colour no two of the named ones give."""
    for width in (2, 12):
        root = tmp_path / str(width)

        def draw(index: int, width: int = width) -> np.ndarray:
            found = cv2.GaussianBlur(coloured(index), (3, 3), 0)
            found[:, :width] = (30, 30, 250)
            return found

        masks_by(draw)(root)
        told = maskwright("check", root, "--data.classes", '{a: "#000000", b: "#dc143c", c: "#008000"}', "--json").json
        codes = {one["code"]: one for one in told["findings"]}
        assert "#1e1efa is no class and not ignored" in codes["unknown-values"]["evidence"], width
        assert codes["smoothed"]["severity"] == "error"


def test_a_few_smoothed_masks_leave_the_others_what_they_are(tmp_path: Path) -> None:
    """255 is not ignored while nobody has settled what it is: the other masks are not empty."""
    masks_by(lambda index: blurred(lambda i: mask(i, (0, 255)))(index) if index < 2 else mask(index, (0, 255)))(
        tmp_path
    )
    told = maskwright("check", tmp_path, "--json").json
    assert [one["code"] for one in told["findings"]] == ["smoothed"] and len(told["findings"][0]["files"]) == 2


def test_a_class_that_a_threshold_would_destroy_is_asked_about(tmp_path: Path) -> None:
    """Few pixels, but an area of one grey."""

    def draw(index: int) -> np.ndarray:
        found = blurred(lambda i: mask(i, (0, 255)))(index)
        found[2:6, 2:8] = 128
        return found

    masks_by(draw)(tmp_path)
    (finding,) = [one for one in maskwright("check", tmp_path, "--json").json["findings"] if one["severity"] == "error"]
    assert finding["proposal"]["op"] == "nearest" and finding["proposal"]["question"]
    assert "{class_a: 0, class_b: 128, class_c: 255}" in finding["proposal"]["answers"][0]["command"]


def test_resized_class_numbers_are_asked_about_and_an_answer_is_the_end_of_it(tmp_path: Path) -> None:
    masks_by(upsampled((0, 2)))(tmp_path)
    (finding,) = [one for one in maskwright("check", tmp_path, "--json").json["findings"] if one["code"] == "smoothed"]
    assert finding["severity"] == "warning" and finding["evidence"].startswith("1 stands between")
    for answer in finding["proposal"]["answers"][:2]:
        told = pasted(answer["command"], "--json")
        assert told.code == 0 and "smoothed" not in [one["code"] for one in told.json["findings"]]


def test_values_are_sorted() -> None:
    totals, between = {0: 900, 1: 5, 64: 30, 128: 400, 255: 300}, {64: 30, 128: 20}
    assert sort_values(totals, between, False, False).classes == (0, 1, 128, 255)
    assert sort_values(totals, between, False, False).mixed == (64,)
    assert sort_values(totals, between, False, True).mixed == (1, 64)  # JPEG makes a 1 of a 0
    found = sort_values(totals, between, False, False, {0, 128, 255})
    assert (found.mixed, found.strange) == ((64,), (1,))
