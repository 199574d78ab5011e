"""Help for rare classes: what turns it on, which images are drawn, where windows are aimed; by (seed, epoch,
sample).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from maskwright.data.augment import resolve
from maskwright.data.dataset import RGB, ClassMap, Dataset, Item, Record
from maskwright.data.geometry import View
from maskwright.data.loader import EpochKeys, TrainSamples, train_loader
from maskwright.data.sampling import (
    FOCUS,
    MOST,
    Aimer,
    aimer,
    choose_focus,
    choose_sampling,
    draw_images,
    image_weights,
    unused_settings,
)  # fmt: skip
from maskwright.data.store import PixelStore

CROP = View("crop", 16)
SIDE = 64


def record(index: int) -> Record:
    return Record(f"{index}", Path(f"{index}.png"), Path(f"{index}.png"), "train")


def made_of(pixels: Sequence[Sequence[int]], names: Sequence[str] | None = None) -> Dataset:
    """A data set of which the pixels of each class in each image are all that is known."""
    names = names or [f"class_{label}" for label in range(len(pixels[0]))]
    items = [Item(record(index), 1, sum(row), "", "", tuple(row), 0) for index, row in enumerate(pixels)]
    return Dataset(Path("set"), tuple(items), ClassMap(tuple(names), tuple(range(len(names)))), "", "", "")


def thin_set(count: int = 5) -> tuple[Dataset, PixelStore]:
    """Images of 64 × 64 with a dot of 2 × 2, a thousandth of the pixels, each at another place."""
    records = [record(index) for index in range(count)]
    store = PixelStore(records, [(SIDE, SIDE)] * count, RGB, "ram", None)
    rng = np.random.default_rng(0)
    for index in range(count):
        mask = np.zeros((SIDE, SIDE), np.uint8)
        top, left = rng.integers(0, SIDE - 2, 2)
        mask[top : top + 2, left : left + 2] = 1
        store.put(index, rng.integers(0, 256, (SIDE, SIDE, 3), np.uint8), mask)
    return made_of([[SIDE * SIDE - 4, 4]] * count), store


# as camvid's training images have them: pixels in thousandths, and in how many of 80 images each class is
CAMVID = [(205, 80), (184, 79), (10, 80), (306, 80), (31, 72), (158, 78), (16, 74), (6, 28), (75, 77), (6, 63), (3, 31)]


def like_camvid() -> Dataset:
    """80 images with camvid's shares of pixels and of images."""
    return made_of(
        [[round(share * 8000 / held) if index < held else 0 for share, held in CAMVID] for index in range(80)]
    )


# ------------------------------------------------------------------ what turns it on


def test_sets_without_a_rare_class_are_left_alone() -> None:
    for dataset in (made_of([[762, 238]] * 10), made_of([[912, 88]] * 4), made_of([[30, 58, 12]] * 3)):
        assert choose_sampling(dataset)[0] == "uniform"
        assert choose_focus(dataset, "crop")[0] == 0
    assert "no class has less than 5.00% of the pixels" in choose_sampling(made_of([[762, 238]] * 10))[1]


def test_shares_like_camvids_turn_both_on_and_the_reason_names_class_and_share() -> None:
    sampling, why = choose_sampling(like_camvid())
    assert sampling == "balanced"
    assert "class_7 has 0.60% of the pixels and is in 35% of the images" in why and "class_10" in why
    assert "class_9" not in why  # rare, but in most images: drawing those more often would change little
    share, why = choose_focus(like_camvid(), "crop")
    assert share == FOCUS
    assert "class_10 has 0.30% of the pixels" in why and "class_9" in why and "class_2 " not in why
    assert choose_focus(like_camvid(), "whole") == (0.0, "view whole shows every pixel of an image")


def test_a_rare_class_in_every_image_is_aimed_at_but_no_image_is_drawn_more_often() -> None:
    dataset = made_of([[999, 1]] * 6, ["ground", "wire"])
    sampling, why = choose_sampling(dataset)
    assert sampling == "uniform" and "most images show wire" in why
    assert choose_focus(dataset, "crop")[0] == FOCUS


def test_a_class_that_no_image_shows_is_not_rare_but_absent() -> None:
    assert choose_sampling(made_of([[50, 50, 0]] * 4))[0] == "uniform"
    assert choose_focus(made_of([[50, 50, 0]] * 4), "crop")[0] == 0


def test_wishes_without_effect_are_told() -> None:
    alike, unlike = made_of([[9, 1]] * 3), made_of([[9, 1], [10, 0], [10, 0]])
    assert unused_settings("balanced", "auto", "crop", alike) != []
    assert unused_settings("balanced", 0.5, "crop", unlike) == []
    assert unused_settings("uniform", 0.5, "whole", alike) == ["data.crop_focus has no effect with view whole"]
    assert unused_settings("auto", "auto", "whole", alike) == unused_settings("uniform", 0.0, "whole", alike) == []


# ------------------------------------------------------------------ which images


def test_an_image_takes_its_rarest_classes_factor() -> None:
    """By hand: class 1 is in half of the images and class 2 in a quarter, beside class 0 in all: factors √2 and √4."""
    dataset = made_of([[9, 1, 0], [9, 1, 1], [9, 0, 0], [9, 0, 0]])
    assert image_weights(dataset, [0, 1, 2, 3]) == pytest.approx([2**0.5, 2.0, 1.0, 1.0])


def test_one_image_of_many_is_not_shown_over_and_over() -> None:
    weights = image_weights(made_of([[9, 1]] + [[9, 0]] * 99), range(100))
    assert weights == [MOST] + [1.0] * 99


@pytest.mark.parametrize("num", [1, 7, 64, 1000])
def test_an_epoch_has_its_inputs_and_each_image_its_share_give_or_take_one(num: int) -> None:
    weights = [1.0, 4.0, 2.0, 1.0, 1.5]
    for epoch in range(20):
        drawn = draw_images(weights, num, seed=3, epoch=epoch)
        assert len(drawn) == num
        found = Counter(drawn)
        for place, weight in enumerate(weights):
            assert abs(found[place] - num * weight / sum(weights)) < 1


def test_over_epochs_the_shares_come_out_right() -> None:
    """Seven inputs of five images: no epoch can have the shares, all of them together must."""
    weights = np.array([1.0, 4.0, 2.0, 1.0, 1.5])
    found = Counter(place for epoch in range(2000) for place in draw_images(weights.tolist(), 7, 0, epoch))
    assert np.allclose([found[place] / 14000 for place in range(5)], weights / weights.sum(), atol=0.01)


def test_draws_hang_on_seed_and_epoch() -> None:
    weights = [1.0, 2.0, 1.3, 1.7, 1.1, 2.2]
    assert draw_images(weights, 9, 1, 2) == draw_images(weights, 9, 1, 2)
    assert len({tuple(draw_images(weights, 9, seed, epoch)) for seed in range(6) for epoch in range(6)}) > 3


# ------------------------------------------------------------------ where windows are aimed


def test_aimed_windows_hold_a_class_of_a_thousandth_at_the_asked_rate() -> None:
    """Windows of 16 of 64 pixels at a random place hold the dot about once in twelve; aimed ones always."""
    dataset, store = thin_set()
    share, found, aimed = 0.4, [], []
    assert dataset.class_shares("train")[1] == pytest.approx(0.001, rel=0.03)
    samples = TrainSamples(store, range(5), CROP, (), 0, 300, None, aimer(dataset, range(5), share))
    for number in range(len(samples)):
        drawn = samples.draw((0, number))
        _, mask = samples[(0, number)]
        aimed.append(drawn.label == 1)
        found.append((mask == 1).any())
    aimed, found = np.array(aimed), np.array(found)
    assert found[aimed].all()
    assert abs(aimed.mean() - share) < 0.04  # 1500 draws: three deviations are 0.038
    by_chance = found[~aimed].mean()
    assert 0.01 < by_chance < 0.25
    assert abs(found.mean() - (share + (1 - share) * by_chance)) < 0.04


def test_augmentation_seldom_moves_what_was_aimed_at_out_of_the_window() -> None:
    dataset, store = thin_set()
    samples = TrainSamples(store, range(5), CROP, resolve("standard"), 0, 200, None, aimer(dataset, range(5), 1.0))
    assert np.mean([(samples[(0, number)][1] == 1).any() for number in range(len(samples))]) > 0.93


def test_each_pixel_of_the_class_is_aimed_at_alike() -> None:
    """Against numpy's own list of the pixels, over several tiles of the index."""
    rng = np.random.default_rng(0)
    mask = (rng.random((130, 70)) < 0.003).astype(np.uint8)
    pixels = {(float(x) + 0.5, float(y) + 0.5) for y, x in np.argwhere(mask == 1)}
    aiming = Aimer(1.0, {1: 1.0}, {0: (mask.size - len(pixels), len(pixels))})
    found = Counter(aiming.aim(0, mask, rng)[1] for _ in range(200 * len(pixels)))  # type: ignore[index]
    assert set(found) == pixels and len(pixels) > 15
    assert max(abs(count - 200) for count in found.values()) < 75  # five deviations of 14


def test_rarer_classes_are_aimed_at_more_often_and_common_ones_never() -> None:
    dataset = made_of([[9000, 900, 100]] * 2)
    aiming = aimer(dataset, [0, 1], 1.0)
    mask = np.repeat(np.array([0] * 90 + [1] * 9 + [2], np.uint8)[None], 100, axis=0)
    found = Counter(aiming.aim(0, mask, np.random.default_rng(n))[0] for n in range(2000))  # type: ignore[index]
    assert set(found) == {1, 2}
    assert found[2] / found[1] == pytest.approx(3.0, rel=0.2)  # 1/√0.01 beside 1/√0.09


def test_an_image_without_the_class_gets_a_window_at_random() -> None:
    aiming = Aimer(1.0, {1: 1.0}, {0: (100, 0)})
    assert aiming.aim(0, np.zeros((10, 10), np.uint8), np.random.default_rng(0)) is None


def test_a_window_is_laid_so_that_the_place_is_in_its_middle_half_where_the_border_allows() -> None:
    for seed in range(50):
        matrix = CROP.base_matrix(64, 64, np.random.default_rng(seed), (30.5, 2.5))
        left, top = matrix[0, 2], matrix[1, 2]
        assert 4 <= 30.5 - left <= 12
        assert top == 0  # the border doesn't allow it: the window starts there
    assert CROP.base_matrix(8, 8, np.random.default_rng(0), (1.0, 1.0))[0, 2] == -4  # an image smaller than the window


def test_the_index_is_small_and_made_once() -> None:
    mask = np.zeros((1024, 1024), np.uint8)
    mask[::7, ::7] = 1
    aiming = Aimer(1.0, {1: 1.0}, {5: (1, 1)})
    aiming.aim(5, mask, np.random.default_rng(0))
    (entry,) = aiming._index.values()
    assert sum(part.nbytes for part in entry) <= 12 * (1024 // 64) ** 2
    aiming.aim(5, mask, np.random.default_rng(1))
    assert next(iter(aiming._index.values())) is entry


# ------------------------------------------------------------------ by (seed, epoch, sample) alone


def inputs(samples: TrainSamples, epoch: int, workers: int = 0) -> list[tuple[tuple[int, ...], bytes, bytes]]:
    keys = EpochKeys(len(samples), 4, 0)
    keys.set_epoch(epoch)
    return [
        (batch.items, batch.images.numpy().tobytes(), batch.masks.numpy().tobytes())
        for batch in train_loader(samples, keys, workers, pin=False)
    ]


def helped(seed: int = 0) -> TrainSamples:
    """Balanced and aimed, augmented as usual."""
    dataset, store = thin_set()
    weights = [1.0, 3.0, 1.0, 2.0, 1.0]
    return TrainSamples(store, range(5), CROP, resolve("standard"), seed, 3, weights, aimer(dataset, range(5), 0.5))


def test_workers_and_a_resume_change_nothing() -> None:
    threads = cv2.getNumThreads()
    try:
        one = helped()
        through = [inputs(one, epoch) for epoch in range(6)]
        assert len({tuple(one.items(epoch)) for epoch in range(6)}) > 2  # other images, not only another order
        for epoch in (1, 4, 5):
            assert inputs(helped(), epoch) == through[epoch]  # as if the run had been taken up again there
        assert inputs(helped(), 5, workers=2) == through[5]
        assert len({str(epoch) for epoch in through}) == 6
        assert all(sum(len(items) for items, _, _ in epoch) == 15 for epoch in through)
        assert inputs(helped(seed=1), 3) != through[3]
    finally:
        cv2.setNumThreads(threads)


def test_a_batch_names_the_images_it_shows() -> None:
    samples = helped()
    batch = samples.batch([(1, 4), (2, 9)])
    assert batch.items == (samples.items(1)[4], samples.items(2)[9])
    assert torch.equal(batch.masks[1], torch.from_numpy(samples[(2, 9)][1]))


def test_drawing_alike_and_aiming_nothing_takes_no_random_number() -> None:
    """The inputs are those of the random numbers of (seed, epoch, sample) and nothing before them."""
    from maskwright.data.augment import augment, sample_rng

    _, store = thin_set()
    samples = TrainSamples(store, range(5), CROP, resolve("standard"), 7, 2)
    for number in range(10):
        image, mask = samples[(3, number)]
        expected = augment(*store.get(number // 2), CROP, resolve("standard"), sample_rng(7, 3, number))
        assert (image == expected[0]).all() and (mask == expected[1]).all()


def test_pixels_are_asked_for_once_an_input() -> None:
    dataset, store = thin_set()
    asked: list[int] = []

    class Counting(PixelStore):
        """Counts what is asked of it."""

        def get(self, index: int) -> tuple[np.ndarray, np.ndarray]:
            asked.append(index)
            return store.get(index)

    counting = Counting(store.records, store.sizes, RGB, "ram", None)
    samples = TrainSamples(counting, range(5), CROP, (), 0, 4, None, aimer(dataset, range(5), 1.0))
    for number in range(20):
        _ = samples[(0, number)]
    assert Counter(asked) == dict.fromkeys(range(5), 4)
