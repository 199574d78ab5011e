"""What the choice of augmentation and scale rests on: sets whose classes have a place, and sets whose classes have
none.
"""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from maskwright.data.augment import choose_augment
from maskwright.data.dataset import IGNORE
from maskwright.data.traits import Traits, traits_of


def street(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Sky above a road, with something upright between."""
    mask = np.zeros((60, 80), np.uint8)
    mask[int(rng.integers(25, 35)) :] = 1
    left = int(rng.integers(0, 60))
    mask[20:40, left : left + 15] = 2
    return np.repeat(mask[:, :, None] * 80, 3, axis=2), mask


def cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Squares anywhere."""
    mask = np.zeros((60, 80), np.uint8)
    for _ in range(4):
        top, left = int(rng.integers(0, 48)), int(rng.integers(0, 68))
        mask[top : top + 12, left : left + 12] = 1
    return np.repeat(mask[:, :, None] * 200, 3, axis=2), mask


def sided(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Something that always lies on the left, as a liver in its slice lies on one side."""
    mask = np.zeros((60, 80), np.uint8)
    top = int(rng.integers(0, 30))
    mask[top : top + 30, 2:30] = 1
    return np.repeat(mask[:, :, None] * 200, 3, axis=2), mask


def lines(rng: np.random.Generator, width: int = 3) -> tuple[np.ndarray, np.ndarray]:
    mask = np.zeros((60, 80), np.uint8)
    left = int(rng.integers(0, 70))
    mask[:, left : left + width] = 1
    return np.repeat(mask[:, :, None] * 200, 3, axis=2), mask


def traits(make, num: int = 20, num_classes: int = 2) -> Traits:
    rng = np.random.default_rng(1)
    return traits_of((make(rng) for _ in range(num)), num_classes)


def set_of(chosen: tuple[int, ...] = (0, 1, 2), num_classes: int = 2) -> SimpleNamespace:
    """As much of a data set as the choice looks at."""
    bands = SimpleNamespace(chosen=chosen, num_channels=len(chosen))
    return SimpleNamespace(bands=bands, classes=SimpleNamespace(num_classes=num_classes))


Colour, Grey = set_of(), set_of((0, 0, 0))


def names(dataset, found: Traits | None) -> list[str]:
    return [step["name"] for step in choose_augment(dataset, found)[0]]


def test_scenes_stay_upright_and_what_lies_anywhere_is_turned():
    upright, free = choose_augment(Colour, traits(street, num_classes=3)), choose_augment(Colour, traits(cells))
    turn = {side: next(step["amount"] for step in steps if step["name"] == "rotate") for side, (steps, _) in
            {"upright": upright, "free": free}.items()}  # fmt: skip
    assert turn == {"upright": 10.0, "free": 180.0}
    assert "vflip" not in names(Colour, traits(street, num_classes=3)) and "vflip" in names(Colour, traits(cells))
    assert "upside down, classes would lie elsewhere" in upright[1]
    assert "classes lie alike in images turned upside down" in free[1]


def test_a_side_that_means_something_is_not_mirrored():
    found = traits(sided)
    assert found.places["hflip"][0] > 1
    assert "hflip" not in names(Colour, found)
    assert "hflip" in names(Colour, traits(cells))


def test_images_nobody_looked_at_stay_upright():
    assert "vflip" not in names(Colour, None) and "hflip" in names(Colour, None)


def streaked(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Machined metal: streaks down each image."""
    image = np.repeat(rng.integers(0, 200, (1, 80, 1), np.uint8), 60, axis=0) + rng.integers(
        0, 20, (60, 80, 1), np.uint8
    )
    return np.repeat(image, 3, axis=2), cells(rng)[1]


def test_what_is_streaked_one_way_is_mirrored_and_hardly_turned():
    found = traits(streaked)
    assert found.has_grain and not traits(cells).has_grain
    steps, why = choose_augment(Colour, found)
    assert next(step["amount"] for step in steps if step["name"] == "rotate") == 10.0
    assert "vflip" in names(Colour, found) and "streaked" in why
    across = traits(lambda rng: tuple(np.swapaxes(one, 0, 1) for one in streaked(rng)))
    assert across.has_grain and across.grain == pytest.approx(-found.grain, abs=0.02)


def test_grey_images_and_bands_have_no_colour():
    for dataset in (Grey, set_of((0,)), set_of((0, 1, 2, 3))):
        assert not {"channel_shift", "hue", "saturation"} & set(names(dataset, traits(cells)))
    assert {"channel_shift", "hue", "saturation"} <= set(names(Colour, traits(cells)))


def test_colours_vary_strongly_where_they_tell_no_classes_apart():
    assert "hue" in names(Colour, traits(cells))
    assert "hue" not in names(Colour, traits(street, num_classes=3)) and "hue" not in names(
        set_of(num_classes=4), traits(cells)
    )
    assert "blur" in names(Colour, traits(cells)) and "blur" not in names(Colour, traits(lines))


@pytest.mark.parametrize("width", [2, 3, 6])
def test_a_line_is_as_thick_as_it_is_wide(width):
    found = traits(lambda rng: lines(rng, width))
    # edges are counted as steps of pixels; those of upright lines are shorter by 4/π than of lines in all directions
    assert found.thinness == pytest.approx(width * 4 / np.pi, rel=0.15)


def test_a_disc_is_as_thick_as_its_radius():
    ys, xs = np.mgrid[:80, :80]
    mask = ((xs - 40) ** 2 + (ys - 40) ** 2 < 20**2).astype(np.uint8)
    found = traits_of([(np.zeros((80, 80, 3), np.uint8), mask)] * 2, 2)
    assert found.thinness == pytest.approx(20, rel=0.1)


def test_one_image_and_one_class_decide_nothing():
    mask = np.zeros((40, 40), np.uint8)
    mask[0, 0] = IGNORE
    found = traits_of([(np.zeros((40, 40, 1), np.uint8), mask)], 2)
    assert not found.has_upside and found.thinness == np.inf
