"""Training on Lightning, from a configuration to a run: what is written, when it stops, what it keeps."""

from __future__ import annotations

import itertools
import json
import math

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file
from sklearn.metrics import accuracy_score, f1_score, jaccard_score

import maskwright as mw
from maskwright.comparison.collect import best_val
from maskwright.config.files import load_config
from maskwright.data.dataset import ClassMap
from maskwright.metrics.counts import confusion
from maskwright.models import build_model
from maskwright.models.devices import choose_precision
from maskwright.runs import Run
from maskwright.training.callbacks import CheckpointManager, History, read_best
from maskwright.training.diagnose import diagnose
from maskwright.training.module import epoch_metrics
from support import EPOCHS, SCORES, TINY, columns, copy_of, data, finished, leftovers, maskwright, trained

COLUMNS = ["epoch", *SCORES, "lr", "seconds", "images_per_second"]
BINARY = ClassMap(("background", "foreground"), (0, 255))


def train(out, *words: object) -> mw.TrainedRun:
    outcome = maskwright("train", "--data", data(), *TINY, *words, "--out", out)
    assert outcome.code == 0, outcome.err
    return mw.load_run(out)


def test_history_has_a_row_an_epoch_with_finite_scores():
    text = (finished() / "history.csv").read_text().splitlines()
    assert text[0].split(",") == COLUMNS
    rows = Run.open(finished()).history
    assert [row["epoch"] for row in rows] == list(range(EPOCHS))
    for row in rows:
        assert all(math.isfinite(value) for value in row.values())
        assert all(0 <= row[name] <= 1 for name in SCORES[2:]) and row["seconds"] > 0 and row["images_per_second"] > 0
        for split in ("train", "val"):
            assert row[f"{split}_dice"] == pytest.approx(2 * row[f"{split}_iou"] / (1 + row[f"{split}_iou"]))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]


def test_the_rate_of_a_run_ends_at_nothing():
    rates = [row["lr"] for row in Run.open(finished()).history]
    assert rates[-1] == 0.0 and max(rates) <= 0.01 and rates == sorted(rates, reverse=True)


@pytest.mark.parametrize(("monitor", "pick"), [("val_iou", max), ("val_loss", min), ("val_dice", max)])
def test_the_best_checkpoint_is_of_the_best_epoch(tmp_path, monitor, pick):
    run = train(tmp_path / "run", "--epochs", 6, "--train.monitor", monitor)
    best, rows = read_best(run), run.history
    assert best["score"] == best[monitor] == pick(row[monitor] for row in rows)
    assert best["epoch"] == next(row["epoch"] for row in rows if row[monitor] == best["score"])  # the first of equals
    assert best["val_loss"] == rows[int(best["epoch"])]["val_loss"]


def test_the_best_weights_score_what_the_best_epoch_scored():
    """Read back and evaluated on val, they must give the loss and IoU that history tells."""
    best = read_best(Run.open(finished()))
    scores = mw.load_run(finished()).evaluate("val")
    assert scores.loss == pytest.approx(best["val_loss"], rel=1e-6)
    for name in ("iou", "dice", "accuracy"):
        assert scores.metrics[name] == pytest.approx(best[f"val_{name}"], rel=1e-6)


def test_the_weights_file_holds_the_best_checkpoint_and_says_how_good_it_is():
    run = Run.open(finished())
    best, weights = read_best(run), load_file(run.weights)
    assert weights.keys() == best["state_dict"].keys()
    assert all(torch.equal(weights[name], value) for name, value in best["state_dict"].items())
    build_model(run.config.model, BINARY).load_state_dict(weights)
    with safe_open(run.weights, "pt") as file:
        told = " ".join(file.metadata().values())
    assert all(str(best[name]) in told for name in ("epoch", "val_iou", "val_loss"))


def test_the_last_checkpoint_holds_what_a_resume_needs():
    last = torch.load(finished() / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == EPOCHS and last["global_step"] == 2 * EPOCHS
    assert last["average"]["steps"] == 2 * EPOCHS
    assert {"state_dict", "optimizer_states", "lr_schedulers", "callbacks"} <= last.keys()
    assert leftovers(finished()) == []


def test_what_training_says_agrees_with_the_run():
    told, best = trained().json, read_best(Run.open(finished()))
    assert told["best_epoch"] == best["epoch"]
    assert told["scores"] == {name: best[name] for name in SCORES}


def test_dice_and_accuracy_of_several_classes_are_the_mean_over_classes_and_the_share_of_pixels():
    """Against scikit-learn: an epoch's scores of training and validation from the same counts."""
    rng = np.random.default_rng(0)
    labels = {split: rng.integers(0, 3, (2, 4, 8, 8)).astype(np.uint8) for split in ("train", "val")}
    counts = {split: confusion(truth, found, 3) for split, (truth, found) in labels.items()}
    scores = epoch_metrics(counts["train"], counts["val"])
    for split, (truth, found) in labels.items():
        pair = truth.ravel(), found.ravel()
        assert scores[f"{split}_dice"] == pytest.approx(f1_score(*pair, average="macro"))
        assert scores[f"{split}_iou"] == pytest.approx(jaccard_score(*pair, average="macro"))
        assert scores[f"{split}_accuracy"] == pytest.approx(accuracy_score(*pair))


def test_a_history_from_before_dice_and_accuracy_is_read_and_gone_on_with(tmp_path):
    """Its four columns are there; a resume adds the others for the epochs that it trains."""
    old = [{"epoch": 0.0, "train_loss": 0.7, "val_loss": 0.6, "train_iou": 0.4, "val_iou": 0.5, "lr": 0.01,
            "seconds": 1.0, "images_per_second": 9.0}]  # fmt: skip
    run = Run(copy_of(finished(), tmp_path / "run"))
    run.write_rows("history.csv", old)
    assert run.history == old and str(mw.load_run(run.root)).endswith("best 1 with val IoU 0.5000")
    assert best_val(run, "val_iou") == 0.5 and diagnose(run)
    history = History(run)
    history.load_state_dict({"rows": [*old, {**Run.open(finished()).history[1]}]})
    assert [math.isnan(row["val_dice"]) for row in run.history] == [True, False]
    assert run.history[1] == Run.open(finished()).history[1]


def test_early_stopping_stops_when_nothing_gets_better(tmp_path):
    """At such a rate no weight moves, so no epoch is better than the first."""
    run = train(tmp_path / "run", "--epochs", 20, "--train.early_stop", 3, "--lr", "1e-30", "--train.average", "none",
                "--model.norm", "none")  # fmt: skip
    assert len(run.history) == 4
    assert read_best(run)["epoch"] == 0
    assert run.weights.is_file()


@pytest.mark.parametrize(
    ("monitor", "scores", "better"),
    [
        ("val_iou", [0.5, 0.5, 0.6, 0.4], [True, False, True, False]),
        ("val_loss", [0.5, 0.5, 0.6, 0.4], [True, False, False, True]),
        ("val_dice", [0.5, 0.5, 0.6, 0.4], [True, False, True, False]),
        ("val_accuracy", [0.5, 0.5, 0.6, 0.4], [True, False, True, False]),
        ("val_iou", [math.nan, math.nan, 0.1, math.nan, 0.2], [True, False, True, False, True]),
        ("val_loss", [math.nan, 3.0, math.nan], [True, True, False]),
    ],
)
def test_what_counts_as_better(monitor, scores, better):
    keeper = CheckpointManager(Run.open(finished()), load_config(None, [("train.monitor", monitor, "")]).train)
    found = []
    for score in scores:
        found.append(keeper.is_better({monitor: score}))
        if found[-1]:
            keeper.best = {"score": score, "epoch": 0}
    assert found == better


def test_a_loss_that_is_not_finite_stops_with_the_files_of_its_batch(tmp_path):
    outcome = maskwright(
        "train", "--data", data(), *TINY, "--lr", "1e30", "--optim.warmup", 0, "--epochs", 5, "--out", tmp_path / "run"
    )
    assert outcome.code == 2 and outcome.out == ""
    sentence = outcome.sentence
    assert "the loss must stay a finite number; got nan at step" in sentence or "got inf at step" in sentence
    train_files = {entry["image"].split("/")[1] for entry in Run.open(tmp_path / "run").data["splits"]["train"]}
    named = {word.strip(",.") for word in sentence.split() if word.strip(",.").endswith(".png")}
    assert named and named <= train_files
    assert not (tmp_path / "run" / "model.safetensors").exists() and leftovers(tmp_path / "run") == []


def test_precision_auto_is_settled_with_a_reason(tmp_path):
    run = train(tmp_path / "run", "--epochs", 1, "--precision", "auto")
    precision, why = choose_precision("cpu")
    assert run.config.train.precision == precision
    assert run.environment["auto"]["train.precision"] == why


@pytest.mark.skipif(choose_precision("cpu")[0] != "bf16", reason="this processor has no bf16")
def test_bf16_trains_validates_and_predicts(tmp_path):
    run = train(tmp_path / "run", "--epochs", 2, "--precision", "bf16")
    assert run.evaluate("val").loss == pytest.approx(read_best(run)["val_loss"], rel=1e-6)
    assert {value.dtype for value in load_file(run.weights).values()} == {torch.float32, torch.int64}


def test_without_an_average_the_weights_are_those_of_the_last_step(tmp_path):
    run = train(tmp_path / "run", "--epochs", 2, "--train.average", "none")
    last = torch.load(run.checkpoints / "last.ckpt", weights_only=True)
    assert last["average"] is None
    best = read_best(run)
    if best["epoch"] == 1:
        raw = {name.removeprefix("model."): value for name, value in last["state_dict"].items()}
        assert all(torch.equal(raw[name], value) for name, value in best["state_dict"].items())
    assert run.evaluate("val").loss == pytest.approx(best["val_loss"], rel=1e-6)


@pytest.mark.parametrize("average", ["ema", "none"])
def test_a_frozen_encoder_keeps_its_weights_and_statistics(tmp_path, average):
    words = ("--model", "linknet/tu-test_resnet", "--weights", "none", "--size", 32, "--freeze-encoder", "--lr", 0.1,
             "--epochs", 2, "--batch-size", 4, "--train.repeats", 2, "--train.average", average, "--log",
             "[csv]")  # fmt: skip
    outcome = maskwright("train", "--data", data(), *words, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    run = mw.load_run(tmp_path / "run")
    torch.manual_seed(run.config.train.seed)
    start = build_model(run.config.model, BINARY).state_dict()
    end = load_file(run.weights)
    encoder = [name for name in start if name.startswith("net.encoder.")]
    assert any("running_var" in name for name in encoder)
    assert all(torch.equal(start[name], end[name]) for name in encoder)
    decoder = [name for name in start if name.startswith("net.decoder.") and name.endswith("weight")]
    assert not any(torch.equal(start[name], end[name]) for name in decoder)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others(tmp_path):
    runs = [train(tmp_path / str(number), "--epochs", EPOCHS, "--seed", seed) for number, seed in enumerate((0, 1))]
    assert runs[0].weights.read_bytes() == (finished() / "model.safetensors").read_bytes()
    assert columns(runs[0].root) == columns(finished())
    assert runs[1].weights.read_bytes() != runs[0].weights.read_bytes()


@pytest.mark.parametrize(
    "words",
    [("--data.cache", "none"), ("--data.cache", "disk"), ("--log", "[csv]"), ("--train.workers", "2")],
    ids=" ".join,
)
def test_what_must_not_matter_does_not(tmp_path, words):
    run = train(tmp_path / "run", "--epochs", EPOCHS, *words)
    assert run.weights.read_bytes() == (finished() / "model.safetensors").read_bytes()
    assert columns(run.root) == columns(finished())
    assert leftovers(run.root) == [] and not (run.root / "cache").exists()


@pytest.mark.parametrize("words", list(itertools.product(("sgd", "adam"), ("cosine", "constant"))), ids=" ".join)
def test_other_optimisers_and_schedules_learn(tmp_path, words):
    rows = train(
        tmp_path / "run", "--epochs", 3, "--optim.name", words[0], "--optim.schedule", words[1], "--log", "[csv]"
    ).history
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert (rows[-1]["lr"] == 0) == (words[1] == "cosine")


def test_views_crop_and_letterbox_train_and_are_remembered(tmp_path):
    crop = train(tmp_path / "crop", "--epochs", 1, "--data.view", "crop", "--data.scale", 0.9)
    box = train(tmp_path / "box", "--epochs", 1, "--data.letterbox", "true", "--data.outside", "ignore")
    assert (crop.config.data.view, crop.config.data.scale, box.config.data.letterbox) == ("crop", 0.9, True)
    for run in (crop, box):
        assert run.evaluate("val").loss == pytest.approx(read_best(run)["val_loss"], rel=1e-6)


def test_every_class_of_a_multi_class_set_is_learned_of(tmp_path):
    maskwright("data", "make", "landcover", tmp_path / "set", "--count", 6, "--size", 32)
    run = mw.train(
        tmp_path / "set",
        out=tmp_path / "run",
        epochs=1,
        progress=False,
        **{"model.width": 2, "model.depth": 1, "data.size": 32},
    )
    scores = run.evaluate("val")
    assert len(scores.classes) == 5 and json.loads(json.dumps(scores.to_json()))["classes"] == list(scores.classes)
    assert scores.loss == pytest.approx(read_best(run)["val_loss"], rel=1e-6)


def test_a_sigmoid_head_trains_too(tmp_path):
    run = train(
        tmp_path / "run", "--epochs", 1, "--model.outputs", "sigmoid", "--loss", "bce", "--model.up", "bilinear"
    )
    assert load_file(run.weights)["net.head.weight"].shape[0] == 1
    assert math.isfinite(run.evaluate("val").loss)
