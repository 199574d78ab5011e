"""The deep-learning lab: each requirement of the document, held by the recipe run at its smallest."""

from __future__ import annotations

import csv
import json
import os
import sys

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from tiny_lab import RECIPE, lab, module, recipe, told
from torch import nn

import maskwright as mw
from maskwright.comparison.spec import read_matrix
from maskwright.config.models import UnetConfig
from maskwright.data.augment import augment, resolve, sample_rng
from maskwright.data.geometry import View
from maskwright.errors import install_command
from maskwright.losses import build_loss
from maskwright.models.unet import build_unet
from maskwright.runs import Run
from maskwright.training.callbacks import read_best
from maskwright.training.loggers.wandb_files import records
from support import maskwright

pytestmark = pytest.mark.xdist_group("puzzle-lab")
FIVE = ("accuracy", "precision", "recall", "f1", "iou")


def runs(name: str) -> dict[str, Run]:
    """The runs of a comparison of the recipe, by their settings' names."""
    places = json.loads((lab() / name / "plan.json").read_text())["cells"]
    return {place["name"]: Run.open(lab() / name / place["run"]) for place in places}


def every_run() -> dict[str, Run]:
    return {**runs("variants"), **runs("backbones")}


def matrix(name: str):
    return read_matrix(RECIPE / f"{name}.yaml")


# ---------------------------------------------------------------- data


def test_the_recipe_runs_from_check_to_prediction():
    told_ = told()
    assert told_.code == 0, told_.err[-3000:]
    verbs = [line.split()[2] for line in told_.out.splitlines() if line.startswith("$ ")]
    assert list(dict.fromkeys(verbs)) == ["data", "check", "compare", "evaluate", "diagnose", "report", "predict"]
    assert "all of it in" in told_.out.splitlines()[-1]


def test_ten_images_train_four_validate_four_test():
    for run in every_run().values():
        assert {split: len(files) for split, files in run.data["splits"].items()} == {"train": 10, "val": 4, "test": 4}


@pytest.mark.parametrize(
    "place",
    ["{split}/images/{name}|{split}/masks/{name}", "images/{split}/{name}|masks/{split}/{name}"],
)
@pytest.mark.parametrize("names", [("train", "val", "test"), ("training", "validation", "testing")])
def test_ones_own_folders_of_ten_four_four_are_read_as_they_are(tmp_path, write_image, place, names):
    rng = np.random.default_rng(0)
    for split, count in zip(names, (10, 4, 4), strict=True):
        for number in range(count):
            image, mask = (
                tmp_path / part.format(split=split, name=f"{split}-{number}.png") for part in place.split("|")
            )
            write_image(image, rng.integers(0, 256, (24, 32, 3), np.uint8))
            write_image(mask, np.where(rng.random((24, 32)) < 0.3, 255, 0).astype(np.uint8))
    audit = mw.check(tmp_path)
    assert audit.clean and audit.splits == {"train": 10, "val": 4, "test": 4}, str(audit)
    assert "10 train, 4 val, 4 test" in str(audit)


def test_image_and_mask_are_augmented_together():
    """The mask painted black and white, moved as an image is, stays its own mask; with another draw's it does not."""
    (made,) = {cell.config.augment for cell in (*matrix("variants").cells, *matrix("backbones").cells)}
    assert made == "standard"
    y, x = np.mgrid[:96, :128]
    mask = ((y - 40) ** 2 + (x - 50) ** 2 < 30**2).astype(np.uint8)
    painted = np.repeat(mask[..., None] * 255, 3, axis=2)
    drawn = [
        augment(painted, mask, View("whole", 128), resolve("standard"), sample_rng(0, 0, number))
        for number in range(10)
    ]
    seen = [image[..., 0] > (int(image.min()) + int(image.max())) / 2 for image, _ in drawn]

    def iou(a, b):
        return (a & b).sum() / (a | b).sum()

    together = [iou(picture, labels == 1) for picture, (_, labels) in zip(seen, drawn, strict=True)]
    apart = [iou(picture, drawn[number - 1][1] == 1) for number, picture in enumerate(seen)]
    assert min(together) > 0.95 and np.mean(apart) < 0.8
    assert (lab() / "augmented.png").stat().st_size > 1000


# ---------------------------------------------------------------- the network


def test_the_settings_are_the_documents():
    variants, backbones = matrix("variants"), matrix("backbones")
    assert {cell.config.model.up for cell in variants.cells} == {"transposed", "bilinear"}
    for cell in variants.cells:
        model = cell.config.model
        assert (model.name, model.width, model.depth, model.outputs) == ("unet", 64, 4, "softmax")
    for cell in (*variants.cells, *backbones.cells):
        config = cell.config
        assert (config.data.view, config.data.size) == ("whole", 512)
        assert [term.name for term in config.loss] == ["bce"]
        assert (config.optim.name, config.optim.schedule, config.train.average) == ("adam", "constant", "none")
        assert list(config.log) == ["csv", "tensorboard"]  # W&B is asked for with --log: it need not be installed
    assert {cell.config.train.monitor for cell in variants.cells} == {"val_iou"}
    assert {cell.config.train.monitor for cell in backbones.cells} == {"val_loss"}


def test_three_backbones_each_of_unet_and_deeplab():
    made = [(cell.config.model.arch, cell.config.model.encoder) for cell in matrix("backbones").cells]
    encoders = {"resnet34", "efficientnet-b0", "mobilenet_v2"}
    assert sorted(made) == sorted((arch, encoder) for arch in ("unet", "deeplabv3plus") for encoder in encoders)
    assert {cell.config.model.weights for cell in matrix("backbones").cells} == {"imagenet"}
    assert len(runs("backbones")) == 6  # and all of them were trained


@pytest.mark.parametrize("up", ["transposed", "bilinear"])
def test_feature_maps_have_the_sizes_of_the_documents_figure(up):
    with torch.device("meta"):
        network = build_unet(UnetConfig(width=64, depth=4, up=up), num_channels=3, num_outputs=2)
        sizes: list[tuple[int, int]] = []
        for block in (*network.encoder, *network.decoder):
            block.register_forward_hook(lambda _, __, out: sizes.append(tuple(out.shape[1:3])))
        out = network(torch.empty(1, 3, 512, 512))
    down = [(64, 512), (128, 256), (256, 128), (512, 64), (1024, 32)]
    assert sizes == [*down, *down[-2::-1]]
    assert out.shape == (1, 2, 512, 512)
    modules = list(network.modules())
    assert all(one.padding == (1, 1) for one in modules if isinstance(one, nn.Conv2d) and one.kernel_size == (3, 3))
    assert all((one.kernel_size, one.stride) == (2, 2) for one in modules if isinstance(one, nn.MaxPool2d))
    ups = [one for one in modules if isinstance(one, nn.ConvTranspose2d if up == "transposed" else nn.Upsample)]
    assert len(ups) == 4
    for one in ups:
        if isinstance(one, nn.ConvTranspose2d):
            assert (one.kernel_size, one.stride) == ((2, 2), (2, 2))
        else:
            assert (one.scale_factor, one.mode) == (2.0, "bilinear")


def test_two_channels_with_softmax_and_binary_cross_entropy_fit():
    """The document's first challenge: bce of two channels is bce of the foreground's softmax, and the two sum to
    one.
    """
    torch.manual_seed(0)
    logits, truth = torch.randn(2, 2, 8, 8), torch.randint(0, 2, (2, 8, 8))
    terms = matrix("variants").base.loss
    expected = F.binary_cross_entropy(logits.softmax(1)[:, 1], truth.float())
    assert build_loss(terms)(logits, truth).item() == pytest.approx(expected.item(), rel=1e-5)
    run = mw.load_run(next(iter(runs("variants").values())).root)
    prediction = run.predict(np.zeros((40, 50, 3), np.uint8))
    assert prediction.probabilities.shape == (2, 40, 50)
    assert np.allclose(prediction.probabilities.sum(0), 1, atol=1e-5)


# ---------------------------------------------------------------- training


def test_loss_and_iou_of_train_and_val_are_kept_for_every_epoch():
    for name, run in every_run().items():
        assert len(run.history) == run.config.train.epochs, name
        for row in run.history:
            assert all(np.isfinite(row[key]) for key in ("train_loss", "val_loss", "train_iou", "val_iou"))


def test_loss_and_iou_curves_are_drawn():
    for name in ("variants", "backbones"):
        chosen = next(run for run in runs(name).values() if (run.root / "report.html").is_file())
        assert all((chosen.root / "plots" / f"{key}.png").stat().st_size > 1000 for key in ("loss", "iou"))
        assert "<svg" in (chosen.root / "report.html").read_text()


def test_checkpoints_are_kept_and_the_best_is_by_iou_for_the_baseline_and_by_loss_for_the_six():
    for name, monitor in (("variants", "val_iou"), ("backbones", "val_loss")):
        for run in runs(name).values():
            assert (run.checkpoints / "last.ckpt").is_file() and (run.checkpoints / "best.ckpt").is_file()
            best = read_best(run)
            values = [row[monitor] for row in run.history]
            assert best[monitor] == (max if monitor == "val_iou" else min)(values)
        rows = json.loads((lab() / name / "standings.json").read_text())["rows"]
        chosen = next(row for row in rows if row["chosen"])
        assert chosen["val"] == (max if monitor == "val_iou" else min)(row["val"] for row in rows)


def test_wandb_gets_loss_and_iou_of_every_epoch(tmp_path, monkeypatch):
    monkeypatch.setitem(os.environ, "WANDB_MODE", "offline")
    said = maskwright(
        "compare", RECIPE / "variants.yaml", "--data", lab() / "data", "--out", tmp_path / "logged", "--size", 32,
        "--epochs", 2, "--model.width", 2, "--model.depth", 1, "--train.repeats", 1, "--precision", "fp32", "--devices",
        "cpu", "--log", "csv,tensorboard,wandb",
    )  # fmt: skip
    assert said.code == 0, said.err
    for cell in (tmp_path / "logged" / "cells").iterdir():
        files = sorted(cell.glob("wandb/offline-run-*/run-*.wandb"))
        keys: set[str] = set()
        epochs: set[int] = set()
        for record in (record for file in files for record in records(file)):
            items = {item.key or ".".join(item.nested_key): item.value_json for item in record.history.item}
            keys |= items.keys()
            epochs |= {int(float(items["epoch"]))} if "epoch" in items else set()
        assert {"loss/train", "loss/val", "iou/train", "iou/val"} <= keys and epochs == {0, 1}
        assert any(key.startswith("curves/loss") for key in keys) and any(key.startswith("curves/iou") for key in keys)


def test_the_recipe_does_not_need_wandb(tmp_path, monkeypatch):
    assert all("wandb" not in run.config.log for run in every_run().values())
    assert not list(lab().rglob("wandb"))
    monkeypatch.setitem(sys.modules, "wandb", None)  # as where it is not installed
    tiny = (
        "--size",
        32,
        "--model.width",
        2,
        "--model.depth",
        1,
        "--train.repeats",
        1,
        "--epochs",
        1,
        "--devices",
        "cpu",
    )
    assert maskwright("train", "--data", lab() / "data", "--out", tmp_path / "first", *tiny).code == 0
    asked = maskwright("train", "--data", lab() / "data", "--out", tmp_path / "run", "--log", "csv,tensorboard,wandb")
    assert asked.code == 2 and install_command("wandb") in asked.sentence


def test_overfitting_is_commented_on_for_every_run():
    said = told().out
    diagnosed = said[said.index("$ maskwright diagnose") : said.index("$ maskwright report")]
    for name in every_run():
        assert f"\n{name}\n" in diagnosed
    assert "Validation is too small to tell much" in diagnosed  # four images are, and it is said
    for run in every_run().values():
        assert mw.load_run(run.root).diagnose()


# ---------------------------------------------------------------- scores and pictures


def test_the_five_scores_are_reported_on_test():
    for name, run in every_run().items():
        scores = json.loads((run.root / "evaluation" / "test.json").read_text())
        assert scores["images"] == 4 and set(FIVE) <= scores["metrics"].keys(), name


@pytest.mark.parametrize(("name", "models"), [("variants", 2), ("backbones", 6), ("all", 8)])
def test_the_comparison_table_has_the_five_scores_of_every_model_and_intervals(name, models):
    with (lab() / name / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == models
    for row in rows:
        assert all(f"{score}{end}" in row for score in FIVE for end in ("", "_low", "_high"))
        assert row["accuracy"] and row["iou"]
        assert row["verdict"] in ("best", "tie", "worse", "undefined")
    assert all(
        word in (lab() / name / "table.md").read_text() for word in ("accuracy", "precision", "recall", "F1", "IoU")
    )
    assert "On 4 test images" in (lab() / name / "table.md").read_text()


def test_the_masks_of_all_models_stand_side_by_side():
    page = (lab() / "all" / "report.html").read_text()
    pictures = page.count("data:image/")
    assert pictures >= 4 * (2 + 6)  # four test images: image, truth and what at least six of the models made of it
    assert len(list((lab() / "predictions").glob("*-overlay.jpg"))) == 4


def test_called_again_the_recipe_trains_nothing():
    before = {run.weights: run.weights.stat().st_mtime_ns for run in every_run().values()}
    again = recipe("puzzle-lab", "--tiny", "--out", lab(), "--precision", "fp32", "--devices", "cpu")
    assert again.code == 0, again.err
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert "2 of 2 cells are finished already" in again.err + again.out
    assert f"maskwright compare {lab()}/all\n" in again.out


def test_the_pictures_and_figures_of_the_notebooks_are_computed_from_the_runs(monkeypatch):
    for name, value in (("MASKWRIGHT_RUNS", lab()), ("MASKWRIGHT_SIZE", "tiny"), ("MASKWRIGHT_FLAGS", "--epochs 5")):
        monkeypatch.setitem(os.environ, name, str(value))
    notebook = module(RECIPE / "notebooks" / "lab.py", "puzzle_lab_notebooks")
    assert notebook.data() == (lab() / "data").resolve()
    assert notebook.settings("variants") == {
        "data.size": "32", "model.width": "2", "model.depth": "2", "train.epochs": "5", "train.batch_size": "4",
        "train.repeats": "2",
    }  # fmt: skip
    together, apart = notebook.moved_together(notebook.data())
    assert together > 0.9 > apart
    chosen = notebook.chosen(notebook.compared("variants"))
    assert chosen.root.parent == lab() / "variants" / "cells"
    scores = chosen.evaluate("test")
    pairs = notebook.read_split(chosen.data, "test")
    per_image = [notebook.iou(truth, notebook.scored_labels(chosen, "test", name)) for name, _, truth in pairs]
    counts = scores.counts.matrix[:, 1, 1] / (scores.counts.matrix[:, 1].sum(1) + scores.counts.matrix[:, 0, 1])
    assert per_image == pytest.approx(list(counts), nan_ok=True)
    assert 0 <= notebook.border_share(chosen) <= 1 and 0 <= notebook.like_background(chosen)[1] <= 1


def test_diagnose_takes_a_comparison_and_says_when_nothing_in_it_is_finished(tmp_path):
    found = maskwright("diagnose", lab() / "variants", "--json").json
    assert [run["name"] for run in found["runs"]] == list(runs("variants")) and all(
        run["diagnosis"] for run in found["runs"]
    )
    for name in ("comparison.yaml", "plan.json"):
        (tmp_path / name).write_bytes((lab() / "variants" / name).read_bytes())
    begun = maskwright("diagnose", tmp_path)
    assert begun.code == 2 and "must hold a finished cell" in begun.sentence
