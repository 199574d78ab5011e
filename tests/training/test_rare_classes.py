"""Sampling and aimed windows as a configuration asks for them: settled with a reason, trained with, resumed to the same
bits.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.training.build import training_inputs
from maskwright.training.plan import prepare
from support import TINY, data, maskwright, picture, rows, session_folder, start, wait_until


@functools.cache
def rare_set() -> Path:
    """Twelve images of 48 × 64: a band of a common class in all, a dot of a rare one in every third."""
    root = session_folder() / "rare"
    rng = np.random.default_rng(0)
    lines = ["image,mask,split"]
    for index in range(12):
        image = rng.integers(40, 90, (48, 64, 3), np.uint8)
        mask = np.zeros((48, 64), np.uint8)
        mask[:16] = 1
        if index % 3 == 0:
            top, left = rng.integers(20, 44), rng.integers(0, 60)
            mask[top : top + 3, left : left + 3] = 2
        image += (50 * mask)[..., None]
        picture(root / "images" / f"{index}.png", image)
        picture(root / "masks" / f"{index}.png", mask)
        lines.append(f"images/{index}.png,masks/{index}.png,{'train' if index < 9 else 'val'}")
    (root / "pairs.csv").write_text("\n".join(lines) + "\n")
    return root


def config(root: Path, *overrides: tuple[str, object]) -> Config:
    return load_config(
        None, [("data.root", str(root), ""), ("data.size", 32, ""), *((key, value, "") for key, value in overrides)]
    )


def test_auto_leaves_a_balanced_set_alone_and_says_why() -> None:
    plan = prepare(config(data(), ("data.view", "whole")))
    assert (plan.config.data.sampling, plan.config.data.crop_focus) == ("uniform", 0.0)
    assert "no class has less than" in plan.reasons["data.sampling"]
    assert plan.reasons["data.crop_focus"] == "view whole shows every pixel of an image"


def test_auto_turns_on_for_a_rare_class_and_says_why() -> None:
    plan = prepare(config(rare_set(), ("data.view", "crop")))
    assert (plan.config.data.sampling, plan.config.data.crop_focus) == ("balanced", 0.33)
    assert "class_2 has 0.10% of the pixels and is in 33% of the images" in plan.reasons["data.sampling"]
    assert "class_2 has 0.10% of the pixels" in plan.reasons["data.crop_focus"]


def test_what_is_configured_is_kept_and_used() -> None:
    plan = prepare(config(rare_set(), ("data.view", "crop"), ("data.sampling", "uniform"), ("data.crop_focus", 1.0)))
    assert "data.sampling" not in plan.reasons and "data.crop_focus" not in plan.reasons
    samples, keys = training_inputs(plan.config, plan.opened)
    assert samples.weights is None and samples.aimer is not None and samples.aimer.share == 1.0
    assert sum(len(batch) for batch in keys) == len(samples)


def test_whole_views_are_untouched_and_a_wish_for_aim_is_told_to_have_no_effect() -> None:
    plain = prepare(config(rare_set(), ("data.view", "whole"), ("data.sampling", "uniform")))
    aimed = prepare(config(rare_set(), ("data.view", "whole"), ("data.sampling", "uniform"), ("data.crop_focus", 0.9)))
    assert "data.crop_focus has no effect with view whole" in aimed.opened.dataset.notes
    assert "data.crop_focus has no effect with view whole" not in plain.opened.dataset.notes
    one, two = training_inputs(plain.config, plain.opened)[0], training_inputs(aimed.config, aimed.opened)[0]
    for number in range(len(one)):
        assert all((a == b).all() for a, b in zip(one[(0, number)], two[(0, number)], strict=True))


def test_balanced_sampling_shows_images_of_the_rare_class_more_often() -> None:
    plan = prepare(config(rare_set(), ("data.sampling", "balanced"), ("train.repeats", 10)))
    samples, _ = training_inputs(plan.config, plan.opened)
    drawn = [plan.opened.dataset.items[item].class_pixels[2] > 0 for item in samples.items(0)]
    assert len(drawn) == 90
    # three of nine images, √3 as often as the six others
    assert np.mean(drawn) == pytest.approx(3 * 3**0.5 / (3 * 3**0.5 + 6), abs=0.04)


def test_operations_without_effect_are_told_before_training(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for index in range(6):
        mask = np.zeros((24, 24), np.uint8)
        mask[: 4 + index] = 1
        picture(tmp_path / "images" / f"{index}.png", rng.integers(0, 255, (24, 24), np.uint8))
        picture(tmp_path / "masks" / f"{index}.png", mask)
    outcome = maskwright("config", "check", "--data", tmp_path, "--augment", "[{name: hue}, {name: hflip}]")
    assert outcome.code == 0, outcome.err
    assert outcome.err.count("augment hue: no effect on grey images") == 1


def test_unknown_operations_are_told_before_the_data_are_read(tmp_path: Path) -> None:
    outcome = maskwright(
        "train", "--data", tmp_path / "nowhere", "--augment", "[{name: hflpi}]", "--out", tmp_path / "run"
    )
    assert (
        outcome.code == 2 and "Unknown operation 'hflpi' in `augment.0.name`. Did you mean 'hflip'" in outcome.sentence
    )
    assert not (tmp_path / "run").exists()


@pytest.mark.xdist_group("resume")
def test_a_run_killed_between_goes_on_to_the_same_weights(tmp_path: Path) -> None:
    """Balanced, aimed and with Albumentations: killed after its first epochs, resumed, beside one left alone."""
    pytest.importorskip("albumentations")
    steps = "[{name: hflip}, {albumentations: [{name: ShiftScaleRotate, p: 0.7}, {name: GaussNoise}]}]"
    words = ["train", "--data", rare_set(), *TINY, "--data.view", "crop", "--augment", steps, "--epochs", 12, "--out"]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    assert maskwright(*words, whole).code == 0
    child = start(tmp_path / "log", *words, killed)
    wait_until(lambda: rows(killed) >= 2, child.is_alive)
    child.kill()
    child.join()
    assert not (killed / "model.safetensors").exists(), "it was too quick to be killed"
    outcome = maskwright("train", "--resume", killed)
    assert outcome.code == 0, outcome.err
    one, two = load_file(whole / "model.safetensors"), load_file(killed / "model.safetensors")
    assert one.keys() == two.keys() and all((one[name] == two[name]).all() for name in one)
