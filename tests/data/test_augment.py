"""Augmentation: every operation does something within its bounds, and chance hangs on (seed, epoch, sample) alone."""

from __future__ import annotations

import numpy as np
import pytest

from maskwright.config.augment import AugmentOp
from maskwright.data import augment as augment_module
from maskwright.data.augment import (
    AFTER,
    COLOUR,
    GEOMETRIC,
    OPERATIONS,
    PRESETS,
    TONAL,
    Op,
    augment,
    resolve,
    sample_rng,
    unused_settings,
)  # fmt: skip
from maskwright.data.dataset import IGNORE, RGB, Bands
from maskwright.data.geometry import View
from maskwright.errors import ConfigError

SIZE = 32
VIEW = View("whole", SIZE)


def pair(height: int = SIZE, width: int = SIZE) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(30, 226, (height, width, 3), np.uint8), rng.integers(0, 4, (height, width), np.uint8)


def plan(name: str, amount: float | None = None) -> tuple[Op, ...]:
    return resolve([AugmentOp(name=name, amount=amount, p=1.0)])


@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_changes_something_and_never_shape_or_type(name: str) -> None:
    image, mask = pair(40, 28)
    plain, plain_mask = augment(image, mask, VIEW, (), sample_rng(0, 0, 0))
    changed = 0
    for sample in range(12):
        found, labels = augment(image, mask, VIEW, plan(name), sample_rng(0, 0, sample))
        assert found.shape == (SIZE, SIZE, 3) and labels.shape == (SIZE, SIZE)
        assert found.dtype == labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {*np.unique(mask), IGNORE}
        changed += (found != plain).any()
        if name not in GEOMETRIC:
            assert (labels == plain_mask).all()  # colours don't move labels
    assert changed >= 6


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_probability_of_zero_is_never(name: str) -> None:
    image, mask = pair()
    op = Op(name, OPERATIONS[name][1], 0.0)
    found, labels = augment(image, mask, VIEW, (op,), sample_rng(0, 0, 0))
    assert (found == image).all() and (labels == mask).all()


@pytest.mark.parametrize("name", sorted({*OPERATIONS} - {"hflip", "vflip", "rot90", "blur"}))
def test_an_amount_of_zero_changes_nothing(name: str) -> None:
    image, mask = pair()
    found, labels = augment(image, mask, VIEW, plan(name, 0.0), sample_rng(0, 0, 3))
    assert np.abs(found.astype(int) - image).max() <= 1
    assert (labels == mask).all()


def test_flips_flip() -> None:
    image, mask = pair()
    found, labels = augment(image, mask, VIEW, plan("hflip"), sample_rng(0, 0, 0))
    assert (found == image[:, ::-1]).all() and (labels == mask[:, ::-1]).all()
    found, labels = augment(image, mask, VIEW, plan("vflip"), sample_rng(0, 0, 0))
    assert (found == image[::-1]).all() and (labels == mask[::-1]).all()


def test_quarter_turns_are_all_four_and_exact() -> None:
    image, mask = pair()
    turned = [np.rot90(mask, times).tobytes() for times in range(4)]
    seen = {
        turned.index(augment(image, mask, VIEW, plan("rot90"), sample_rng(0, 0, n))[1].tobytes()) for n in range(40)
    }
    assert seen == {0, 1, 2, 3}


def test_a_plan_is_one_warp() -> None:
    """A turn and the turn back give the picture itself; two warps would have blurred it."""
    image, mask = pair()
    turns = iter([33.0, -33.0])

    class Rigged:
        """Stands in for the random numbers: each operation is chosen, the second turn undoes the first."""

        def random(self) -> float:
            return 0.0

        def uniform(self, low: float, high: float) -> float:
            return next(turns)

    found, labels = augment(image, mask, VIEW, [Op("rotate", 45.0, 1.0)] * 2, Rigged())  # type: ignore[arg-type]
    assert np.abs(found.astype(int) - image).max() <= 1
    assert (labels == mask).all()


@pytest.mark.parametrize("seed", range(6))
def test_tones_are_one_table_within_a_level_of_floats(seed: int) -> None:
    """All four in a row, against the same curves applied to the pixels as floats, rounded once at the end."""
    image, mask = pair()
    ops = [op for name in TONAL for op in plan(name)]
    found, _ = augment(image, mask, VIEW, ops, sample_rng(seed, 0, 0))
    rng = sample_rng(seed, 0, 0)
    for _ in ops:
        rng.random()  # whether each is applied
    pixels = image.astype(float) / 255
    b, c, g, s = (op.amount for op in ops)
    pixels = pixels + rng.uniform(-b, b)
    pixels = (pixels - 0.5) * (1 + rng.uniform(-c, c)) + 0.5
    pixels = np.clip(pixels, 0, 1) ** np.exp(rng.uniform(-1, 1) * np.log1p(g))
    pixels = np.clip(pixels + rng.uniform(-s, s, 3), 0, 1)
    assert np.abs(found - pixels * 255).max() <= 1


@pytest.mark.parametrize("name", COLOUR)
def test_colour_mixes_keep_greys(name: str) -> None:
    grey = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
    for sample in range(10):
        found, _ = augment(grey, np.zeros((16, 16), np.uint8), View("whole", 16), plan(name), sample_rng(0, 0, sample))
        assert np.abs(found.astype(int) - grey).max() <= 1


def test_hue_turns_red_to_green_to_blue() -> None:
    third = augment_module._hue(0.0, np.random.default_rng(0))
    assert np.allclose(third, np.eye(3))

    class Third:
        """Stands in for the random numbers: a turn of exactly 120 degrees."""

        def uniform(self, low: float, high: float) -> float:
            return 120.0

    assert np.allclose(augment_module._hue(180.0, Third()) @ [1, 0, 0], [0, 1, 0])  # type: ignore[arg-type]


def test_noise_is_as_strong_as_said() -> None:
    image = np.full((64, 64, 3), 128, np.uint8)
    view, mask = View("whole", 64), np.zeros((64, 64), np.uint8)
    spread = [
        augment(image, mask, view, plan("noise", 0.1), sample_rng(0, 0, n))[0].astype(float).std() / 255
        for n in range(40)
    ]
    assert max(spread) < 0.11
    assert np.mean(spread) == pytest.approx(0.05, abs=0.015)  # uniform from none to all of it


def test_strengths_stay_within_their_bounds() -> None:
    """Turns and moves: a bright pixel's way is measured in the mask."""
    mask = np.zeros((64, 64), np.uint8)
    mask[30:34, 50:54] = 1
    image, view = np.zeros((64, 64, 3), np.uint8), View("whole", 64, outside="ignore")
    for sample in range(30):
        labels = augment(image, mask, view, plan("rotate", 15.0), sample_rng(0, 0, sample))[1]
        ys, xs = np.nonzero(labels == 1)
        assert abs(np.degrees(np.arctan2(ys.mean() - 31.5, xs.mean() - 31.5))) < 16
        moved = augment(image, mask, view, plan("shift", 0.1), sample_rng(0, 0, sample))[1]
        ys, xs = np.nonzero(moved == 1)
        assert abs(ys.mean() - 31.5) <= 7 and abs(xs.mean() - 51.5) <= 7
        zoomed = (augment(image, mask, view, plan("scale", 0.25), sample_rng(0, 0, sample))[1] == 1).sum()
        assert 9 <= zoomed <= 36  # 16 pixels, sides from 1/1.25 to 1.25, and whole pixels


@pytest.mark.parametrize("preset", PRESETS)
def test_a_sample_depends_on_seed_epoch_and_number_alone(preset: str) -> None:
    image, mask = pair()
    steps = resolve(preset)

    def draw(seed: int, epoch: int, sample: int) -> bytes:
        found, labels = augment(image, mask, VIEW, steps, sample_rng(seed, epoch, sample))
        return found.tobytes() + labels.tobytes()

    first = draw(1, 2, 3)
    others = {draw(1, 2, 4), draw(1, 3, 3), draw(2, 2, 3), draw(3, 2, 1), draw(2, 1, 3)}
    assert draw(1, 2, 3) == first
    assert len(others | {first}) == (1 if preset == "none" else 6)


def test_outside_decides_the_border() -> None:
    image, mask = pair()
    ignored = augment(image, mask, View("whole", SIZE, outside="ignore"), plan("rotate", 90.0), sample_rng(0, 0, 1))[1]
    reflected = augment(image, mask, VIEW, plan("rotate", 90.0), sample_rng(0, 0, 1))[1]
    assert IGNORE in ignored and IGNORE not in reflected


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_resolve_with_all_numbers(preset: str) -> None:
    steps = resolve(preset)
    assert [op.name for op in steps] == [name for name, _ in PRESETS[preset]]
    assert all(op.amount > 0 and 0 < op.p <= 1 for op in steps)


def test_a_list_takes_defaults_and_keeps_what_is_set() -> None:
    assert resolve([AugmentOp(name="hue"), AugmentOp(name="hue", amount=3.0, p=0.1)]) == (
        Op("hue", 12.0, 0.5),
        Op("hue", 3.0, 0.1),
    )
    assert resolve([]) == ()


def test_unknown_operations_are_told_together_with_near_names() -> None:
    with pytest.raises(ConfigError) as refused:
        resolve([AugmentOp(name="rotat"), AugmentOp(name="hue"), AugmentOp(name="brigthness")])
    assert [problem.split("`")[1] for problem in refused.value.problems] == ["augment.0.name", "augment.2.name"]
    assert "rotate" in refused.value.problems[0] and "brightness" in refused.value.problems[1]


GREY = Bands((0, 0, 0))
FIVE = Bands((0, 1, 2, 3, 4))


@pytest.mark.parametrize(
    ("steps", "bands", "told"),
    [
        ([AugmentOp(name="hue"), AugmentOp(name="blur"), AugmentOp(name="saturation")], FIVE,
         "augment hue and saturation: no effect on images of 5 bands"),
        ("heavy", FIVE, "augment saturation and hue: no effect on images of 5 bands"),
        ("heavy", GREY, "augment saturation and hue: no effect on grey images"),
        ([AugmentOp(name="hflip", amount=3), AugmentOp(name="rotate", amount=3)], RGB,
         "augment hflip: amount has no effect"),
        ([AugmentOp(name="noise", p=0)], RGB, "augment noise: no effect with p 0"),
    ],
)  # fmt: skip
def test_what_changes_nothing_is_told_once(steps, bands: Bands, told: str) -> None:
    (note,) = unused_settings(steps, bands)
    assert note.startswith(told)


def test_what_is_said_to_change_nothing_changes_nothing() -> None:
    rng = np.random.default_rng(0)
    many = rng.integers(0, 256, (SIZE, SIZE, 5), np.uint8)
    grey = np.repeat(many[..., :1], 3, axis=2)
    mask = np.zeros((SIZE, SIZE), np.uint8)
    for sample in range(5):
        for image in (many, grey):
            found, _ = augment(image, mask, VIEW, [*plan("hue"), *plan("saturation")], sample_rng(0, 0, sample))
            assert np.abs(found.astype(int) - image).max() <= 1


@pytest.mark.parametrize("preset", PRESETS)
def test_presets_say_nothing_on_pictures(preset: str) -> None:
    assert unused_settings(preset, RGB) == []


def test_every_operation_has_one_table() -> None:
    tables = [GEOMETRIC, TONAL, COLOUR, AFTER]
    assert sum(len(table) for table in tables) == len(OPERATIONS)
    assert {name for steps in PRESETS.values() for name, _ in steps} <= set(OPERATIONS)


@pytest.mark.parametrize("channels", [1, 2, 5, 9])
@pytest.mark.parametrize("name", OPERATIONS)
def test_each_operation_takes_any_number_of_bands(name: str, channels: int) -> None:
    rng = np.random.default_rng(0)
    image, mask = rng.integers(0, 256, (70, 50, channels), np.uint8), np.zeros((70, 50), np.uint8)
    for size in (SIZE, 80):
        found, _ = augment(image, mask, View("whole", size), plan(name), sample_rng(0, 0, 1))
        assert found.shape == (size, size, channels) and found.dtype == np.uint8
