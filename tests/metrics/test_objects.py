"""Objects by size, drawn by hand and counted again with scipy."""

from __future__ import annotations

import time

import numpy as np
import pytest
from scipy import ndimage

from maskwright.data.dataset import IGNORE
from maskwright.metrics import objects
from maskwright.metrics.counts import count_image
from maskwright.metrics.objects import SIZES, TALLIES, count_objects

SMALL, MEDIUM, LARGE = range(3)


def tally(found: np.ndarray) -> dict[str, int]:
    return dict(zip(TALLIES, found.tolist(), strict=True))


def test_bounds_are_those_of_coco() -> None:
    """32² and 96² pixels; an object of exactly so many belongs to the larger size."""
    assert SIZES == {"small": (0, 1024), "medium": (1024, 9216), "large": (9216, None)}
    for height, width, size in ((31, 33, SMALL), (32, 32, MEDIUM), (95, 97, MEDIUM), (96, 96, LARGE)):
        truth = np.zeros((100, 100), np.uint8)
        truth[:height, :width] = 1
        found = count_objects(truth, truth, 2, [1])
        assert found[1, :, 0].tolist() == [int(size == place) for place in range(3)]


def test_by_hand() -> None:
    """Four objects of class 1, 4 + 3 + 1 + 2 pixels (the last joined by a corner), by rows:

    1 1 . 1 1 .      labels  1 . . 1 . .     4 pixels, 2 hit: found (half);  3 pixels, 1 hit: not found
    1 1 . 1 . .              1 . . . . .
    . . . . . 1              . . . . . 2     1 pixel, called another class: not found
    1 . . . . .              1 1 1 . . .     2 pixels, both hit; what is predicted beside them doesn't matter here
    . 1 . . . .              . 1 . . . .
    """
    truth = np.array(
        [[1, 1, 0, 1, 1, 0], [1, 1, 0, 1, 0, 0], [0, 0, 0, 0, 0, 1], [1, 0, 0, 0, 0, 0], [0, 1, 0, 0, 0, 0]], np.uint8
    )
    labels = np.array(
        [[1, 0, 0, 1, 0, 0], [1, 0, 0, 0, 0, 0], [0, 0, 0, 0, 0, 2], [1, 1, 1, 0, 0, 0], [0, 1, 0, 0, 0, 0]], np.uint8
    )
    found = count_objects(truth, labels, 3, [1, 2])
    assert tally(found[1, SMALL]) == {"objects": 4, "found": 2, "pixels": 10, "hits": 5}
    assert not found[[0, 2]].any() and not found[1, MEDIUM:].any()


def test_ignored_pixels_are_part_of_no_object_and_divide_them() -> None:
    truth = np.array([[1, 1, IGNORE, 1]], np.uint8)
    found = count_objects(truth, np.array([[0, 1, 1, 0]], np.uint8), 2, [1])
    assert tally(found[1, SMALL]) == {"objects": 2, "found": 1, "pixels": 3, "hits": 1}


def test_of_two_classes_the_background_is_no_object() -> None:
    truth = np.eye(5, dtype=np.uint8)
    assert not count_image("a", truth, truth, 2).objects[0, 0].any()
    assert count_image("a", truth, truth, 3).objects[0, 0].any()  # of three it is a class like any other


@pytest.mark.parametrize("seed", range(3))
def test_counted_again_with_scipy(monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """With bounds of 4 and 12 pixels, so that small images hold all sizes."""
    monkeypatch.setattr(objects, "_BOUNDS", [4, 12])
    rng = np.random.default_rng(seed)
    truth = rng.choice(np.array([0, 1, 2, IGNORE], np.uint8), (40, 50), p=[0.5, 0.25, 0.15, 0.1])
    labels = np.where(rng.random(truth.shape) < 0.6, truth, rng.integers(0, 3, truth.shape)).astype(np.uint8)
    found = count_objects(truth, labels, 3, [0, 1, 2])
    expected = np.zeros_like(found)
    for index in range(3):
        parts, num = ndimage.label(truth == index, np.ones((3, 3)))
        for part in range(1, num + 1):
            pixels, hits = int((parts == part).sum()), int(((parts == part) & (labels == index)).sum())
            size = 0 if pixels < 4 else 1 if pixels < 12 else 2
            expected[index, size] += [1, 2 * hits >= pixels, pixels, hits]
    assert expected[..., 0].sum(0).min() > 0
    assert (found == expected).all()


def test_many_thousand_objects_take_no_longer_than_one() -> None:
    """65,536 objects of a pixel, and one of as many pixels: what is done for each object alone would take seconds."""
    dots, one = np.zeros((512, 512), np.uint8), np.zeros((512, 512), np.uint8)
    dots[::2, ::2], one[:256, :256] = 1, 1
    took = []
    for truth in (dots, one):
        started = time.perf_counter()
        found = count_objects(truth, truth, 2, [1])
        took.append(time.perf_counter() - started)
        assert found[1, :, 2].sum() == 65536
    assert count_objects(dots, dots, 2, [1])[1, SMALL].tolist() == [65536] * 4
    assert took[0] < took[1] + 0.5
