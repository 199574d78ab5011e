"""`train.mask_threshold`: validation, panels, evaluation and prediction of a run call a pixel foreground at one
probability.
"""

from __future__ import annotations

import functools
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskwright.config import Config
from maskwright.config.flags import parse_overrides
from maskwright.data.synthetic import make
from maskwright.models.wrapper import labels_from_logits
from maskwright.prediction.predictor import Predictor
from maskwright.reports.facts import gather
from maskwright.reports.suspects import scored_threshold
from maskwright.runs import Run
from support import TINY, Outcome, columns, copy_of, data, maskwright, session_folder

EPOCHS = 2
SHORT = (*TINY, "--epochs", EPOCHS, "--train.monitor", "val_loss", "--train.average", "none")


def train(out: Path, *words: object) -> Outcome:
    outcome = maskwright("train", "--data", data(), *SHORT, *words, "--out", out)
    assert outcome.code in (0, None), outcome.err
    return outcome


@functools.cache
def runs() -> tuple[Run, Run]:
    """The same training, at a half and where the bar is just above what is mostly predicted; not to be changed."""
    folder = session_folder() / "thresholds"
    train(folder / "half")
    train(folder / "own", "--mask_threshold", f"{middle(folder / 'half'):.6f}")
    return Run.open(folder / "half"), Run.open(folder / "own")


def middle(run: Path) -> float:
    """The median foreground probability on the val images: a threshold that moves many labels."""
    predictor = Predictor.from_run(Run.open(run))
    entries = Run.open(run).data["splits"]["val"]
    found = [predictor.predict(data() / entry["image"]).probabilities[1] for entry in entries]
    return float(np.median(np.concatenate([one.ravel() for one in found])))


def score(run: Run, *words: object) -> dict:
    return maskwright("evaluate", run.root, "--json", *words).json


def test_the_default_is_the_likelier_class_to_the_bit():
    logits = torch.randn(2, 2, 9, 7, generator=torch.Generator().manual_seed(0))
    logits[0, :, 0, 0] = 1.0  # equal: background, the first of equals
    assert torch.equal(labels_from_logits(logits), (logits[:, 1] > logits[:, 0]).to(torch.uint8))
    assert torch.equal(labels_from_logits(logits, 0.5), labels_from_logits(logits))
    assert Config().train.mask_threshold == 0.5


@pytest.mark.parametrize("threshold", [0.01, 0.3, 0.7, 0.99])
def test_a_threshold_is_compared_with_the_sigmoid_of_the_one_channel(threshold):
    z = torch.linspace(-6, 6, 97).view(1, 1, 1, -1)
    logits = torch.cat([torch.zeros_like(z), z], dim=1)  # as a Segmenter gives a network of one channel
    expected = [1 / (1 + math.exp(-value)) >= threshold for value in z.flatten().tolist()]
    assert labels_from_logits(logits, threshold).flatten().tolist() == expected


def test_three_classes_pay_it_no_heed():
    logits = torch.randn(1, 3, 5, 5, generator=torch.Generator().manual_seed(1))
    assert torch.equal(labels_from_logits(logits, 0.9), labels_from_logits(logits))


def test_the_flag_of_the_document_is_the_key():
    assert parse_overrides(["--mask-threshold", "0.4"]) == [("train.mask_threshold", "0.4", "--mask-threshold")]


def test_validation_uses_the_runs_own_and_nothing_that_is_learned_changes():
    half, own = runs()
    assert own.config.train.mask_threshold != 0.5
    weights = [load_file(run.weights) for run in (half, own)]
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    losses = [[(row["train_loss"], row["val_loss"]) for row in columns(run.root)] for run in (half, own)]
    ious = [[row["val_iou"] for row in columns(run.root)] for run in (half, own)]
    assert losses[0] == losses[1] and ious[0] != ious[1]


def test_evaluation_repeats_the_val_iou_of_the_best_epoch():
    _, own = runs()
    best = min(columns(own.root), key=lambda row: float(row["val_loss"]))
    assert score(own, "--split", "val")["metrics"]["iou"] == pytest.approx(float(best["val_iou"]), abs=1e-6)


def test_fixed_is_the_runs_own_and_a_number_lies_over_it():
    half, own = runs()
    threshold = own.config.train.mask_threshold
    plain, fixed, number = (
        score(own),
        score(own, "--mask-threshold", "fixed"),
        score(half, "--mask-threshold", threshold),
    )
    assert plain["threshold"] == fixed["threshold"] == {"value": threshold, "how": "fixed", "on": None}
    assert plain["metrics"] == fixed["metrics"] == number["metrics"]  # the same weights at the same bar
    assert score(own, "--mask-threshold", 0.5)["metrics"] == score(half)["metrics"] != plain["metrics"]
    assert score(half)["threshold"]["value"] == 0.5


def test_prediction_uses_the_runs_own(tmp_path):
    _, own = runs()
    image = data() / own.data["splits"]["test"][0]["image"]
    threshold = own.config.train.mask_threshold
    found = Predictor.from_run(own).predict(image)
    assert np.array_equal(found.labels, (found.probabilities[1] >= threshold).astype(np.uint8))
    labels = {}
    for name, words in {"own": (), "fixed": ("--mask_threshold", "fixed"), "half": ("--mask_threshold", "0.5")}.items():
        assert maskwright("predict", own.root, image, "--out", tmp_path / name, *words).code == 0
        with Image.open(tmp_path / name / f"{image.stem}.png") as picture:
            labels[name] = np.asarray(picture)
    assert np.array_equal(labels["own"], found.labels) and np.array_equal(labels["own"], labels["fixed"])
    assert not np.array_equal(labels["own"], labels["half"])


def test_panels_show_labels_at_the_runs_own():
    half, own = runs()
    panels = []
    for run in (half, own):
        events = EventAccumulator(str(run.root / "tensorboard"), {"images": 0})
        events.Reload()
        (tag, *_) = sorted(events.Tags()["images"])
        shown = np.asarray(Image.open(io.BytesIO(events.Images(tag)[-1].encoded_image_string)).convert("RGB"))
        side = (shown.shape[1] - 8) // 3  # image, truth and prediction with four white columns between
        panels.append((shown[:, : 2 * side + 4], shown[:, 2 * side + 8 :]))
    assert np.array_equal(panels[0][0], panels[1][0])  # image and truth
    assert not np.array_equal(panels[0][1], panels[1][1])


def test_a_run_from_before_the_key_is_one_at_a_half(tmp_path):
    half, _ = runs()
    old = Run.open(copy_of(half.root, tmp_path / "old"))
    text = (old.root / "config.yaml").read_text()
    lines = [line for line in text.splitlines() if "mask_threshold" not in line]
    assert len(lines) == len(text.splitlines()) - 1
    (old.root / "config.yaml").write_text("\n".join(lines) + "\n")
    assert "mask_threshold" not in yaml.safe_load((old.root / "config.yaml").read_text())["train"]
    assert old.config.train.mask_threshold == 0.5 and score(old)["metrics"] == score(half)["metrics"]


def test_suspects_are_looked_for_at_the_bar_of_the_scores(tmp_path):
    half, own = (Run.open(copy_of(run.root, tmp_path / run.root.name)) for run in runs())
    for run in (half, own):
        score(run)
        assert scored_threshold(gather(run)) is None  # the run's own, which the predictor takes by itself
    score(own, "--mask-threshold", 0.5)
    assert scored_threshold(gather(own)) == 0.5


@pytest.mark.parametrize("wish", ["0", "1", "1.5", "-0.1", "nan", "high"])
def test_what_is_no_threshold_is_refused(tmp_path, wish):
    outcome = maskwright("train", "--data", data(), *SHORT, "--mask_threshold", wish, "--out", tmp_path / "run")
    assert outcome.code == 2 and "train.mask_threshold" in outcome.sentence
    assert not (tmp_path / "run").exists()


def test_more_than_two_classes_refuse_it_before_anything_is_written(tmp_path):
    make("landcover", tmp_path / "tiles", count=6, size=(32, 32))
    words = ("train", "--data", tmp_path / "tiles", *SHORT, "--out", tmp_path / "run")
    outcome = maskwright(*words, "--mask_threshold", "0.4")
    assert outcome.code == 2
    assert outcome.sentence.startswith(
        "`train.mask_threshold` must be left out with more than two classes; got 0.4 and 5."
    )
    assert not (tmp_path / "run").exists()
    assert maskwright(*words, "--epochs", 1, "--mask_threshold", "0.5").code in (0, None)  # the default, said aloud


def test_thresholds_can_be_compared(tmp_path):
    (tmp_path / "bars.yaml").write_text("matrix: {mask_threshold: [0.3, 0.5]}\n")
    words = (
        "compare",
        tmp_path / "bars.yaml",
        "--data",
        data(),
        *TINY,
        "--epochs",
        1,
        "--out",
        tmp_path / "bars",
        "--json",
    )
    outcome = maskwright(*words)
    assert outcome.code in (0, None), outcome.err
    assert {row["name"] for row in json.loads(outcome.out)["rows"]} == {"mask_threshold 0.3", "mask_threshold 0.5"}
