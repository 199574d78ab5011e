"""Oxford pets from scratch: each requirement of the document, held by the recipe run at its smallest."""

from __future__ import annotations

import csv
import functools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_lab import ROOT, recipe, said, whole
from torch import nn

import maskwright as mw
from maskwright.comparison.search_space import read_space
from maskwright.comparison.spec import read_matrix
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.config.models import Resnet34UnetConfig, UnetConfig
from maskwright.data.augment import augment, resolve, sample_rng
from maskwright.data.geometry import View
from maskwright.losses import build_loss
from maskwright.metrics.counts import confusion
from maskwright.metrics.scores import dice, iou
from maskwright.models.resnet34_unet import build_resnet34_unet
from maskwright.models.unet import build_unet
from maskwright.models.wrapper import MEAN, STD, Segmenter, labels_from_logits
from maskwright.runs import Run
from maskwright.training.callbacks import read_best
from maskwright.training.optim import build_optimizer
from support import maskwright, session_folder

pytestmark = pytest.mark.xdist_group("pets-scratch")
RECIPE = ROOT / "recipes" / "pets-scratch"
TINY = ("--size", "32", "--model.width", "2", "--precision", "fp32", "--devices", "cpu")


told, done = functools.partial(said, "pets-scratch"), functools.partial(whole, "pets-scratch")


@functools.cache
def documented() -> Run:
    """The document's training command, word for word after the program's name, with flags that make it small laid over
    it.
    """
    command = "--seed 2024 --epochs 100 --batch_size 46 --lr 1e-3 --weight_decay 1e-4 --model UNet --mask_threshold 0.4"
    out = session_folder() / "outputs" / "UNet"
    words = (
        "--data_path",
        done() / "data",
        *command.split(),
        "--save_dir",
        out,
        *TINY,
        "--epochs",
        3,
        "--batch_size",
        8,
    )
    outcome = maskwright("train", RECIPE / "train.yaml", *words)
    assert outcome.code in (0, None), outcome.err
    return Run.open(out)


def config(*words: str):
    return load_config(RECIPE / "train.yaml", parse_overrides(words))


# ---------------------------------------------------------------- from beginning to end


def test_the_recipe_runs_from_check_to_prediction():
    lines = [line.split()[2] for line in (done(), told().out)[1].splitlines() if line.startswith("$ ")]
    expected = ["data", "check", "train", "evaluate", "compare", "search", "diagnose", "report", "predict"]
    assert list(dict.fromkeys(lines)) == expected
    assert "all of it in" in told().out.splitlines()[-1]


def test_called_again_it_trains_nothing_anew():
    weights = sorted(done().rglob("model.safetensors"))
    before = [path.stat().st_mtime_ns for path in weights]
    again = recipe("pets-scratch", "--tiny", "--out", done(), "--precision", "fp32", "--devices", "cpu")
    assert again.code == 0, again.err[-2000:]
    assert [path.stat().st_mtime_ns for path in weights] == before
    assert sorted(done().rglob("model.safetensors")) == weights


def test_files_that_are_given_can_be_read_as_they_stand():
    assert maskwright("config", "check", RECIPE / "train.yaml", "--data", done() / "data").code in (0, None)
    assert len(read_matrix(RECIPE / "models.yaml").cells) == 4 and len(read_matrix(RECIPE / "grid.yaml").cells) == 9
    assert read_space(RECIPE / "search.yaml").trials == 9


# ---------------------------------------------------------------- data


def test_the_layout_of_oxford_pets_is_read_with_its_own_split():
    data = documented().data
    assert data["reader"] == "oxford-pet" and data["classes"]["names"] == ["background", "pet"]
    official = [line.split()[0] for line in (done() / "data" / "annotations" / "test.txt").read_text().splitlines()]
    assert sorted(Path(entry["image"]).stem for entry in data["splits"]["test"]) == sorted(official)
    assert data["splits"]["val"]  # dealt from trainval


def test_the_boundary_counts_as_pet():
    assert {
        config().data.boundary,
        *(cell.config.data.boundary for cell in read_matrix(RECIPE / "models.yaml").cells),
    } == {"foreground"}
    run = documented()
    entry = run.data["splits"]["test"][0]
    trimap = np.asarray(Image.open(done() / "data" / entry["mask"]))
    evaluated = maskwright("evaluate", run.root, "--json").json
    assert set(np.unique(trimap)) == {1, 2, 3} and evaluated["images"] == len(run.data["splits"]["test"])
    counts = np.load(run.root / "evaluation" / "test-counts.npz")
    first = list(counts["images"]).index(entry["id"])
    assert counts["matrix"][first].sum(1).tolist() == [(trimap == 2).sum(), (trimap != 2).sum()]


def test_images_are_resized_to_256_and_normalised_as_imagenet():
    assert (config().data.view, config().data.size) == ("whole", 256)
    model = Segmenter(build_unet(UnetConfig(width=2, depth=1, outputs="sigmoid"), 3, 1))
    pixels = torch.randint(0, 256, (1, 3, 8, 8), dtype=torch.uint8)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    expected = (pixels / 255 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1)
    assert torch.allclose(model.normalise(pixels), expected, atol=1e-5)
    assert (len(MEAN), len(STD)) == (3, 3)


def test_flips_and_rotation_move_image_and_mask_together():
    (steps,) = [
        cell.config.augment for cell in read_matrix(RECIPE / "models.yaml").cells if cell.config.augment != "none"
    ][:1]
    assert [step.name for step in steps] == ["hflip", "vflip", "rotate"]
    y, x = np.mgrid[:96, :96]
    mask = (((y - 30) ** 2 + (x - 40) ** 2) < 20**2).astype(np.uint8)
    painted = np.repeat(mask[..., None] * 255, 3, axis=2)
    moved = set()
    for number in range(8):
        image, labels = augment(painted, mask, View("whole", 96), resolve(steps), sample_rng(0, 0, number))
        same = (image[..., 0] > 127) == (labels == 1)
        assert same.mean() > 0.98
        moved.add(tuple(np.argwhere(labels == 1).mean(0).round().astype(int)))
    assert len(moved) > 3


# ---------------------------------------------------------------- the networks


@pytest.mark.parametrize("name", ["UNet", "ResNet34_UNet"])
def test_both_networks_go_by_the_documents_names_with_one_output_channel(name):
    model = config("--model", name).model
    assert model.name == name.lower() and model.outputs == "sigmoid" and model.up == "transposed"
    build = build_unet if name == "UNet" else build_resnet34_unet
    small = model.model_copy(update={"width": 4})
    with torch.device("meta"):
        network = build(small, 3, 1)
        assert network(torch.empty(1, 3, 64, 64)).shape == (1, 1, 64, 64)
        doubled = [one for one in network.modules() if isinstance(one, nn.ConvTranspose2d)]
        assert len(doubled) >= 4 and all(one.stride == (2, 2) for one in doubled)


def test_the_unet_halves_by_max_pooling_and_ends_in_one_convolution():
    network = build_unet(UnetConfig(width=64, outputs="sigmoid"), 3, 1)
    assert network.pool.kernel_size == 2 and network.head.out_channels == 1
    assert [block[0].out_channels for block in network.encoder] == [64, 128, 256, 512, 1024]


def test_the_resnet_has_34_layers_of_basic_blocks():
    network = build_resnet34_unet(Resnet34UnetConfig(outputs="sigmoid"), 3, 1)
    kinds = [type(one).__name__ for part in network.parts["encoder"] for one in part.modules()]
    assert kinds.count("BasicBlock") == 3 + 4 + 6 + 3
    convolutions = [one for part in network.parts["encoder"] for one in part.modules() if isinstance(one, nn.Conv2d)]
    # and a fully connected layer, which is not needed here
    assert sum(one.kernel_size != (1, 1) for one in convolutions) == 33


# ---------------------------------------------------------------- training


def test_every_flag_of_train_py_arrives():
    flags = (
        "--data_path pets --seed 2024 --epochs 100 --lr 1e-3 --weight_decay 1e-4 --batch_size 128 --model ResNet34_UNet"
    )
    found = config(*flags.replace("_path", "-path").replace("_decay", "-decay").replace("_size", "-size").split())
    assert (found.data.root, found.train.seed, found.train.epochs, found.train.batch_size) == ("pets", 2024, 100, 128)
    assert (found.optim.lr, found.optim.weight_decay, found.model.name) == (1e-3, 1e-4, "resnet34_unet")
    run = documented()  # the same flags with underscores, and --save_dir and --mask_threshold, through the command
    assert run.root == session_folder() / "outputs" / "UNet"
    made = run.config
    assert (made.train.seed, made.optim.lr, made.optim.weight_decay, made.train.mask_threshold) == (
        2024,
        1e-3,
        1e-4,
        0.4,
    )


def test_adam_at_a_constant_rate():
    made = config().optim
    assert (made.name, made.schedule, made.warmup, made.clip) == ("adam", "constant", 0, None)
    assert type(build_optimizer(Segmenter(build_unet(UnetConfig(width=2, depth=1), 3, 2)), made)) is torch.optim.Adam
    assert {row["lr"] for row in documented().history} == {1e-3}


def test_the_loss_is_bce_with_logits_of_one_channel():
    z, truth = (
        torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)),
        torch.zeros(2, 8, 8, dtype=torch.uint8),
    )
    truth[:, 2:5] = 1
    expected = nn.BCEWithLogitsLoss()(z[:, 0], truth.float())
    ours = build_loss(config().loss)(torch.cat([torch.zeros_like(z), z], dim=1), truth)
    assert ours.item() == pytest.approx(expected.item(), rel=1e-5)
    head = load_file(documented().weights)["net.head.weight"]
    assert head.shape[0] == 1


def test_the_same_seed_gives_the_same_weights_to_the_bit():
    """A cell of the table and a cell of the grid with the same settings were trained apart."""
    one = Run.open(cell("models", {"model.name": "unet", "augment": "none"}))
    other = Run.open(cell("grid", {"optim.lr": 1e-3, "optim.weight_decay": 1e-4}))
    weights = load_file(one.weights), load_file(other.weights)
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])


def test_loss_and_accuracy_of_train_and_val_go_to_tensorboard():
    events = EventAccumulator(str(documented().root / "tensorboard"), {"images": 0})
    events.Reload()
    history = documented().history
    for kind in ("loss", "iou", "dice", "accuracy"):
        for split in ("train", "val"):
            drawn = [one.value for one in events.Scalars(f"{kind}/{split}")]
            assert drawn == pytest.approx([row[f"{split}_{kind}"] for row in history], rel=1e-5)


def test_panels_show_image_truth_and_predicted_mask():
    events = EventAccumulator(str(documented().root / "tensorboard"), {"images": 0})
    events.Reload()
    names = {f"val/{Path(entry['image']).stem}" for entry in documented().data["splits"]["val"][:4]}
    assert set(events.Tags()["images"]) == names


def test_the_best_by_val_loss_is_what_is_saved():
    run = documented()
    losses = [row["val_loss"] for row in run.history]
    assert run.config.train.monitor == "val_loss" and read_best(run)["val_loss"] == min(losses)
    saved, best = load_file(run.weights), read_best(run)["state_dict"]
    assert all(torch.equal(saved[name], best[name]) for name in saved)


# ---------------------------------------------------------------- scores


def test_the_documents_accuracy_is_our_dice():
    """2 · intersection / (union + intersection), of pixels called pet in prediction and truth."""
    rng = np.random.default_rng(0)
    truth, labels = (rng.random((2, 40, 40)) < 0.4).astype(np.uint8)
    intersection, union = ((truth == 1) & (labels == 1)).sum(), ((truth == 1) | (labels == 1)).sum()
    matrix = confusion(truth, labels, 2)
    assert dice(matrix)[1] == pytest.approx(2 * (intersection / (union + intersection)))
    assert dice(matrix)[1] == pytest.approx(2 * iou(matrix)[1] / (1 + iou(matrix)[1]))
    found = maskwright("evaluate", documented().root, "--json").json["metrics"]
    assert found["dice"] == found["f1"]


def test_the_sigmoid_is_cut_at_the_mask_threshold():
    z = torch.linspace(-3, 3, 61).view(1, 1, 1, -1)
    labels = labels_from_logits(torch.cat([torch.zeros_like(z), z], dim=1), 0.4)
    assert torch.equal(labels[0, 0], (z.sigmoid() >= 0.4)[0, 0, 0].to(torch.uint8))


def test_evaluate_and_inference_use_the_runs_threshold():
    """evaluate.py scores val, inference.py test: both the mean of the images' own Dice as well as that of all
    pixels.
    """
    for split in ("val", "test"):
        told_ = maskwright("evaluate", documented().root, "--split", split, "--json").json
        assert told_["threshold"] == {"value": 0.4, "how": "fixed", "on": None}
        assert 0 <= told_["metrics"]["dice"] <= 1 and 0 <= told_["averages"]["imagewise"]["dice"] <= 1
    assert mw.load_run(documented().root).evaluate("val").threshold.value == 0.4


def test_predictions_are_written_for_the_test_images():
    names = {Path(entry["image"]).stem for entry in documented().data["splits"]["test"]}
    written = {path.stem for path in (done() / "predictions").glob("*.png")}
    assert written == names and all((done() / "predictions" / f"{name}-overlay.jpg").is_file() for name in names)


# ---------------------------------------------------------------- comparisons


def cell(name: str, settings: dict) -> Path:
    """The run of a comparison that has these settings."""
    for place in json.loads((done() / name / "plan.json").read_text())["cells"]:
        made = Run.open(done() / name / place["run"]).config
        if all(functools.reduce(getattr, key.split("."), made) == value for key, value in settings.items()):
            return done() / name / place["run"]
    raise AssertionError(settings)


def test_the_table_has_both_networks_with_and_without_augmentation():
    made = {(one.config.model.name, one.config.augment == "none") for one in read_matrix(RECIPE / "models.yaml").cells}
    assert made == {(name, plain) for name in ("unet", "resnet34_unet") for plain in (True, False)}
    with (done() / "models" / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 4 and all(0 <= float(row["f1"]) <= 1 and row["verdict"] for row in rows)
    assert (done() / "models" / "report.html").stat().st_size > 10_000
    configs = [one.config for one in read_matrix(RECIPE / "models.yaml").cells]
    # alike for all
    assert {(one.train.batch_size, one.train.repeats, one.train.epochs) for one in configs} == {(46, 1, 100)}


def test_the_grid_is_the_documents_learning_rates_and_weight_decays():
    made = {(one.config.optim.lr, one.config.optim.weight_decay) for one in read_matrix(RECIPE / "grid.yaml").cells}
    assert made == {(lr, decay) for lr in (1e-2, 1e-3, 1e-4) for decay in (1e-3, 1e-4, 1e-5)}
    standings = json.loads((done() / "grid" / "standings.json").read_text())
    assert standings["split"] == "val" and len(standings["rows"]) == 9  # settings are not chosen on test


def test_the_search_looks_between_the_same_ends_by_validation():
    axes = {axis.key: (axis.low, axis.high, axis.log) for axis in read_space(RECIPE / "search.yaml").axes}
    assert axes == {"optim.lr": (1e-4, 1e-2, True), "optim.weight_decay": (1e-5, 1e-3, True)}
    best = load_config(done() / "search" / "best.yaml")
    assert 1e-4 <= best.optim.lr <= 1e-2 and 1e-5 <= best.optim.weight_decay <= 1e-3
    assert best.model.outputs == "sigmoid" and best.train.monitor == "val_loss"


# ---------------------------------------------------------------- the README


def test_every_test_the_readme_names_is_there():
    named = set(re.findall(r"`(test_\w+)`", (RECIPE / "README.md").read_text(encoding="utf-8")))
    here = set(re.findall(r"^def (test_\w+)", Path(__file__).read_text(encoding="utf-8"), re.MULTILINE))
    elsewhere = (ROOT / "tests" / "training" / "test_mask_threshold.py").read_text(encoding="utf-8")
    assert named <= here | set(re.findall(r"^def (test_\w+)", elsewhere, re.MULTILINE))
    assert len(named) > 15
