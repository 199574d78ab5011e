"""With nothing chosen: what is decided and told, `--plan`, what more time would bring, and a finished run continued."""

from __future__ import annotations

import math
import shutil

import numpy as np
import pytest
from PIL import Image

from maskwright.config import Config
from maskwright.runs import Run
from maskwright.training.forecast import likely_gain, more_time
from maskwright.training.plan import prepare
from support import TINY, data, finished, maskwright


def test_the_plan_of_a_training_with_nothing_chosen_is_told_and_nothing_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("train", "--data", data(), "--weights", "none", "--plan")
    assert outcome.code == 0, outcome.err
    heads = {line.split()[0]: line for line in outcome.out.splitlines() if line}
    assert heads["model"].startswith("model   unet/resnet18 – ") and "slim decoder" in heads["model"]
    assert heads["augment"].count(" – ") == 1 and "hflip" in heads["augment"]
    assert heads["train"].startswith("train   60s in all, by the clock") and "megapixels in all" in heads["train"]
    assert heads["steps"].startswith("steps   about ")
    assert not list(tmp_path.iterdir())


def test_a_training_begins_with_a_line_each_of_data_model_and_plan(tmp_path):
    words = ("train", "--data", data(), *TINY, "--augment", "auto", "--epochs", 1, "--out")
    short = maskwright(*words, tmp_path / "short").err.splitlines()
    assert short[0].startswith("data    4 train, 2 val, 2 test; background ")
    assert short[1] == "model   unet, 2 wide, from random weights"
    assert short[2].startswith("plan    1 epoch of 4 images") and "inputs mirrored" in short[2]
    assert not [line for line in short if line.startswith("why ")]
    long = maskwright(*words, tmp_path / "long", "--verbose").err
    told = [line.split(": ")[0].split()[1] for line in long.splitlines() if line.startswith("why ")]
    config = (tmp_path / "long" / "config.yaml").read_text()
    assert len(told) > 8 and all(f"# {key} was auto: " in config for key in told)


def test_the_plan_as_json(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    told = maskwright("train", "--data", data(), *TINY, "--epochs", 3, "--plan", "--json").json
    assert (
        told["config"]["optim"]["name"] == "muon"
        and "optim.name" in told["reasons"]
        and told["steps"].startswith("6 in about")
    )
    assert not list(tmp_path.iterdir())


def test_the_plan_of_epochs_counts_their_steps(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("train", "--data", data(), *TINY, "--epochs", 3, "--plan")
    assert "steps   6 in about" in outcome.out and not list(tmp_path.iterdir())


def write_set(root, num, draw):
    rng = np.random.default_rng(0)
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for number in range(num):
        image, mask = draw(rng)
        Image.fromarray(image).save(root / "images" / f"{number}.png")
        Image.fromarray(mask).save(root / "masks" / f"{number}.png")
    return root


def large(rng):
    """1200 pixels long, with one large object."""
    mask = np.zeros((400, 1200), np.uint8)
    top, left = int(rng.integers(0, 200)), int(rng.integers(0, 900))
    mask[top : top + 200, left : left + 300] = 1
    return np.repeat(mask[:, :, None] * 100 + rng.integers(0, 50, (400, 1200, 1), np.uint8), 3, axis=2), mask


def thin(rng):
    """1200 pixels long, with lines three pixels wide."""
    mask = np.zeros((400, 1200), np.uint8)
    for left in rng.integers(0, 1190, 4):
        mask[:, left : left + 3] = 1
    return np.repeat(mask[:, :, None] * 100 + rng.integers(0, 50, (400, 1200, 1), np.uint8), 3, axis=2), mask


def unlike(rng):
    """Pictures off the web: 60 to 600 pixels."""
    size = int(rng.choice([60, 200, 600]))
    mask = np.zeros((size, size), np.uint8)
    mask[size // 4 : size // 2, size // 4 : size // 2] = 1
    return np.repeat(mask[:, :, None] * 100 + rng.integers(0, 50, (size, size, 1), np.uint8), 3, axis=2), mask


@pytest.mark.parametrize(
    ("draw", "shown", "grown"),
    [
        (large, "windows of 192 × 384 pixels out of each image after scaling it by 0.427", True),
        (thin, "windows of 256 × 256 pixels out of each image – what is to be found is", False),
        (unlike, "each image whole, resized to 384 × 384 pixels", True),
    ],
    ids=["large objects", "thin lines", "sizes of all kinds"],
)
def test_scale_and_stages_follow_from_the_images(tmp_path, monkeypatch, draw, shown, grown):
    monkeypatch.chdir(tmp_path)
    root = write_set(tmp_path / "set", 12, draw)
    words = ("--weights", "none", "--budget", "30s", "--devices", "cpu", "--batch-size", 2, "--plan")
    outcome = maskwright("train", "--data", root, *words)
    assert outcome.code == 0, outcome.err
    line = next(line for line in outcome.out.splitlines() if line.startswith("shown"))
    assert shown in line and ("which is faster" in line) == ("predicted at both sizes" in line) == grown


def test_windows_are_no_higher_than_the_images_and_a_model_of_stride_32_can_halve_them(tmp_path):
    root = write_set(tmp_path / "set", 6, large)

    def size(scale: float | str = "auto", **model: str) -> object:
        config = {"data": {"root": str(root), "scale": scale}, "model": {"weights": "none"} | model}
        return prepare(Config.model_validate({**config, "train": {"devices": "cpu", "budget": "30s"}})).config.data.size

    assert size() == (192, 384) and size(0.3) == (128, 384)  # of 171 and 120 rows
    assert size(0.4) == (160, 384)
    assert size(0.4, name="smp", arch="unet", encoder="resnet18") == (192, 384)  # half of 160 rows would be padded


def test_a_power_of_time_is_continued_and_a_flat_curve_gains_nothing():
    falling = [(float(at), 1 - 0.5 * at**-0.4) for at in range(1, 12)]
    assert likely_gain(falling) == pytest.approx(0.5 * 11**-0.4 * (1 - 2**-0.4), rel=1e-3)
    assert likely_gain([(float(at), 0.8) for at in range(1, 12)]) == pytest.approx(0, abs=1e-9)
    assert likely_gain([(float(at), 0.9 - 0.01 * at) for at in range(1, 12)]) == 0  # what falls is not said to rise
    assert likely_gain(falling[:3]) is None and likely_gain([]) is None
    assert not math.isnan(likely_gain([(float(at), 0.0) for at in range(1, 9)]))


def test_a_run_of_epochs_is_not_told_of_time():
    assert more_time(Run.open(finished())) is None


def test_a_finished_run_is_continued_in_a_new_one(tmp_path):
    run = Run.open(shutil.copytree(finished(), tmp_path / "first"))
    before = run.weights.read_bytes()
    outcome = maskwright("train", "--resume", run.root, "--budget", "3s", "--out", tmp_path / "second")
    assert outcome.code == 0, outcome.err
    more = Run.open(tmp_path / "second")
    assert run.weights.read_bytes() == before and more.weights.is_file()
    assert more.config.model.weights == str(run.root) and more.config.train.budget == "3s"
    assert more.config.optim.lr == run.config.optim.lr / 2 and more.config.model.width == run.config.model.width
    assert f"from run {run.root}" in outcome.err


def test_a_finished_run_is_continued_from_python(tmp_path):
    import maskwright as mw

    found = mw.resume(finished(), budget="3s", out=tmp_path / "more", progress=False)
    assert found.root == tmp_path / "more" and found.config.model.weights == str(finished())


def test_what_is_not_finished_is_not_continued(tmp_path):
    run = Run.open(shutil.copytree(finished(), tmp_path / "first"))
    run.weights.unlink()
    outcome = maskwright("train", "--resume", run.root, "--budget", "3s")
    assert outcome.code == 2 and "`--budget` must be left out for a run that is not finished" in outcome.sentence
    assert f"maskwright train --resume {run.root}" in outcome.sentence


def test_a_continuation_takes_a_time_alone(tmp_path):
    run = finished()
    refused = {"--budget": ["--budget", "3"], "--out": ["--out", tmp_path / "x"],
               "--lr": ["--budget", "3s", "--lr", "0.1"], "--plan": ["--budget", "3s", "--plan"]}  # fmt: skip
    for flag, words in refused.items():
        outcome = maskwright("train", "--resume", run, *words)
        assert outcome.code == 2 and flag in outcome.sentence


def test_pretrained_weights_are_spared_by_rate_and_optimiser(monkeypatch):
    from maskwright.config.files import load_config
    from maskwright.training.plan import prepare

    monkeypatch.setattr(
        "maskwright.models.choice.weights_at_hand", lambda encoder: ("imagenet", "ImageNet's, from the cache")
    )
    found = prepare(load_config(None, [("data.root", str(data()), "--data")]))
    found.opened.store.close()
    optim = found.config.optim
    assert (found.config.model.weights, optim.name, optim.encoder_scale) == ("imagenet", "adamw", 0.25)
    assert "spared" in found.reasons["optim.encoder_scale"]
    named = prepare(load_config(None, [("data.root", str(data()), "--data"), ("model", "unet/resnet18", "--model")]))
    named.opened.store.close()
    assert named.config.optim.encoder_scale == 1.0
