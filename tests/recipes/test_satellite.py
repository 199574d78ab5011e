"""The satellite workshop: each of its requirements, held by the recipe run at its smallest."""

from __future__ import annotations

import functools
import json
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_lab import ROOT, module, recipe, said, whole
from torch import nn

from maskwright import runtime
from maskwright.comparison.spec import read_matrix
from maskwright.config.files import load_config
from maskwright.data.augment import augment, resolve, sample_rng
from maskwright.data.geometry import View
from maskwright.data.synthetic import make
from maskwright.losses import build_loss
from maskwright.models.torchvision import build_torchvision
from maskwright.runs import Run
from maskwright.training.optim import build_optimizer
from support import maskwright

pytestmark = pytest.mark.xdist_group("satellite")
FOLDER = ROOT / "recipes" / "satellite"
CONFIG = FOLDER / "config.yaml"
CLASSES = ["ground", "forest", "water", "road", "building"]


told, made = functools.partial(said, "satellite"), functools.partial(whole, "satellite")


def first() -> Run:
    return Run.open(made() / "first")


def scores() -> dict:
    return json.loads((made() / "first" / "evaluation" / "test.json").read_text())


def page() -> str:
    return (made() / "first" / "report.html").read_text()


def standings(name: str) -> dict:
    return json.loads((made() / name / "standings.json").read_text())


def commands(*words: object) -> list[list[str]]:
    said = recipe("satellite", "--list", "--out", "out", *words).out
    return [shlex.split(line[2:]) for line in said.splitlines() if line.startswith("$ ")]


def test_the_recipe_runs_from_check_to_prediction():
    assert told().code == 0, told().err[-3000:]
    verbs = [shlex.split(line)[2] for line in told().out.splitlines() if line.startswith("$ maskwright")]
    wanted = ["data", "check", "train", "evaluate", "diagnose", "report", "predict", "compare"]
    assert list(dict.fromkeys(verbs)) == wanted


# ---------------------------------------------------------------- 01 dataset


def test_data_lie_as_in_the_workshop():
    data = made() / "data"
    for side in ("TAIN_VAL_SET", "TEST_SET"):
        images, masks = ({path.stem for path in (data / side / kind).iterdir()} for kind in ("IMAGES", "MASKS"))
        assert images == masks and images
    assert json.loads((data / "label_mapping.json").read_text()) == {name: value for value, name in enumerate(CLASSES)}


def test_classes_are_named_by_label_mapping_and_the_test_is_test_set():
    assert scores()["classes"] == CLASSES
    splits = first().data["splits"]
    assert {Path(entry["image"]).parts[0] for entry in splits["test"]} == {"TEST_SET"}
    assert {Path(entry["image"]).parts[0] for side in ("train", "val") for entry in splits[side]} == {"TAIN_VAL_SET"}
    assert splits["train"] and splits["val"]


def test_horizontal_flip_and_shift_scale_rotate_are_drawn():
    (step,) = load_config(CONFIG).augment
    assert [one["name"] for one in step.albumentations] == ["HorizontalFlip", "ShiftScaleRotate"]
    assert "albumentations (HorizontalFlip, ShiftScaleRotate)" in str(
        resolve(load_config(CONFIG).augment)[-1].description
    )


def test_image_and_mask_are_augmented_together():
    """The mask painted black and white, moved as an image is, stays its own mask; with another draw's it does not."""
    plan = resolve(load_config(CONFIG).augment)
    y, x = np.mgrid[:96, :96]
    mask = ((y - 40) ** 2 + (x - 38) ** 2 < 24**2).astype(np.uint8)
    painted = np.repeat(mask[..., None] * 255, 3, axis=2)
    drawn = [augment(painted, mask, View("whole", 96), plan, sample_rng(0, 0, number)) for number in range(10)]

    def iou(image, labels):
        seen, valid = image[..., 0] > 127, labels != 255
        return (seen & (labels == 1) & valid).sum() / ((seen | (labels == 1)) & valid).sum()

    assert min(iou(image, labels) for image, labels in drawn) > 0.95
    assert np.mean([iou(image, drawn[number - 1][1]) for number, (image, _) in enumerate(drawn)]) < 0.8


def test_which_augmentations_hurt_is_measured_and_drawn():
    found = json.loads((made() / "augmentations" / "augmentations.json").read_text())
    assert found["flip, both"] == {"agreement": 1.0, "visible": 1.0}
    for case in ("rotate, both", "grid distortion, both"):
        assert found[case]["agreement"] > 0.9
    assert found["rotate, image only"]["agreement"] < 0.6
    assert found["rotate, label numbers mixed"]["agreement"] < found["rotate, both"]["agreement"] - 0.05
    assert found["strong blur"]["visible"] < 0.5 and found["cutout, mask kept"]["visible"] < 0.95
    assert found["cutout, mask ignored there"]["visible"] == 1
    assert (made() / "augmentations" / "augmentations.png").stat().st_size > 10_000
    assert (made() / "inputs.png").stat().st_size > 10_000  # and what training draws, by the real code


def test_its_measures_by_hand():
    script = module(FOLDER / "augmentations.py", "augmentations")
    mask = np.array([[0, 0, 1, 1]], np.uint8)
    assert script.agreement(mask, mask) == 1
    assert script.agreement(mask, np.array([[0, 1, 1, 1]], np.uint8)) == pytest.approx((1 / 2 + 2 / 3) / 2)
    assert script.agreement(np.array([[0, 255, 1, 1]], np.uint8), np.array([[0, 1, 1, 1]], np.uint8)) == 1
    image = np.ones((1, 4, 3), np.uint8)
    image[0, 0] = 0
    roads = np.array([[3, 3, 3, 3]], np.uint8)
    assert script.visible(image, image, roads, "cutout, mask kept") == 0.75


# ---------------------------------------------------------------- 02 model


def test_the_classifier_is_replaced_and_all_else_is_the_file_s(tmp_path, monkeypatch):
    """A made file of COCO_WITH_VOC_LABELS_V1, loaded by the real code: `classifier[4] = Conv2d(256, num_classes,
    1)`.
    """
    runtime.ensure_torchvision()
    from torchvision.models import get_model, get_weight

    torch_cache = module(ROOT / "tests" / "models" / "torch_cache.py", "torch_cache_of_models")
    state = get_model(
        "deeplabv3_resnet50", weights=None, weights_backbone=None, num_classes=21, aux_loss=True
    ).state_dict()
    weights = get_weight("DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1")
    torch_cache.cached(tmp_path, monkeypatch, weights, state)
    model = load_config(CONFIG).model
    assert (model.name, model.arch, model.weights) == ("torchvision", "deeplabv3_resnet50", "COCO_WITH_VOC_LABELS_V1")
    net = build_torchvision(model, num_channels=3, num_outputs=5)
    last = net.classifier[4]
    assert isinstance(last, nn.Conv2d)
    assert (last.in_channels, last.out_channels, last.kernel_size) == (256, 5, (1, 1))
    fresh = {f"{head}.4.{part}" for head in ("classifier", "aux_classifier") for part in ("weight", "bias")}
    assert net.loaded is not None and set(net.loaded.fresh) == fresh
    assert net.loaded.loaded == len(state) - 4 == 366
    assert all(torch.equal(value, state[name]) for name, value in net.state_dict().items() if name not in fresh)
    assert net.eval()(torch.zeros(1, 3, 32, 40)).shape == (1, 5, 32, 40)


def test_what_was_loaded_stands_in_environment_json(tmp_path, monkeypatch):
    runtime.ensure_torchvision()
    from torchvision.models import get_model, get_weight

    torch_cache = module(ROOT / "tests" / "models" / "torch_cache.py", "torch_cache_of_models")
    arch = "deeplabv3_mobilenet_v3_large"  # a quarter of ResNet-50's tensors to write
    state = get_model(arch, weights=None, weights_backbone=None, num_classes=21, aux_loss=True).state_dict()
    weights = get_weight("DeepLabV3_MobileNet_V3_Large_Weights.COCO_WITH_VOC_LABELS_V1")
    torch_cache.cached(tmp_path / "torch", monkeypatch, weights, state)
    run = tmp_path / "run"
    words = (
        "--data",
        made() / "data",
        "--model",
        arch,
        "--size",
        32,
        "--epochs",
        1,
        "--devices",
        "cpu",
        "--precision",
        "fp32",
    )
    assert maskwright("train", CONFIG, *words, "--out", run).code in (0, None)
    noted = json.loads((run / "environment.json").read_text())["weights"]
    assert noted["source"].endswith("COCO_WITH_VOC_LABELS_V1") and noted["loaded"] == len(state) - 4
    assert sorted(noted["fresh"]) == [
        f"{head}.4.{part}" for head in ("aux_classifier", "classifier") for part in ("bias", "weight")
    ]
    assert noted["skipped"] == []


def test_without_a_network_it_starts_from_nothing():
    assert first().config.model.weights == "none"


# ---------------------------------------------------------------- 03 training


def test_the_loss_is_dice():
    config = load_config(CONFIG)
    assert [term.name for term in config.loss] == ["dice"]
    logits = torch.tensor([[2.0, -1.0, 0.5, 3.0], [0.0, 1.0, 0.0, 0.0], [-1.0, 0.0, 1.0, 0.5]]).reshape(1, 3, 2, 2)
    masks = torch.tensor([[[0, 1], [2, 0]]])
    shares, truth = logits.softmax(1), nn.functional.one_hot(masks, 3).permute(0, 3, 1, 2)
    both, sums = (shares * truth).sum((0, 2, 3)), (shares + truth).sum((0, 2, 3))
    smoothed = (2 * both + 1) / (sums + 1)  # by one pixel
    assert float(build_loss(config.loss)(logits, masks)) == pytest.approx(float(1 - smoothed.mean()))


def test_the_optimiser_is_adam():
    optimiser = build_optimizer(nn.Conv2d(3, 2, 1), load_config(CONFIG).optim)
    assert type(optimiser) is torch.optim.Adam
    assert {(group["lr"], group["weight_decay"]) for group in optimiser.param_groups} == {(1e-4, 0)}


def test_config_yaml_sets_the_hyper_parameters(tmp_path):
    """Learning rate, batch size and epochs, as task 4 asks: what is written there is what the run has."""
    text = CONFIG.read_text()
    for old, new in (("lr: 1.0e-4", "lr: 3.0e-4"), ("batch_size: 4", "batch_size: 7"), ("epochs: 20", "epochs: 11")):
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "config.yaml").write_text(text)
    config = load_config(tmp_path / "config.yaml")
    assert (config.optim.lr, config.train.batch_size, config.train.epochs) == (3e-4, 7, 11)


def test_tensorboard_has_loss_and_iou():
    events = EventAccumulator(str(made() / "first" / "tensorboard"))
    events.Reload()
    assert {"loss/train", "loss/val", "iou/train", "iou/val"} <= set(events.Tags()["scalars"])
    assert events.Tags()["images"]  # validation images with truth and prediction


def test_changed_transforms_are_compared():
    cells = read_matrix(FOLDER / "transforms.yaml").cells
    assert [cell.name for cell in cells] == ["none", "flip", "flip, shift, scale, rotate"]
    assert cells[-1].config.augment == load_config(CONFIG).augment
    one_thing_only([cell.config for cell in cells], {"augment"})
    found = standings("transforms")
    assert {row["name"] for row in found["rows"]} == {cell.name for cell in cells}
    assert (made() / "transforms" / "report.html").is_file()


# ---------------------------------------------------------------- 04 evaluation


def test_iou_is_measured_on_test_with_its_interval():
    found = scores()
    assert found["split"] == "test" and found["images"] == 2
    assert 0 <= found["metrics"]["iou"] <= 1 and len(found["intervals"]["iou"]) == 2
    assert set(found["per_class"]) == set(CLASSES)


def test_every_test_image_has_its_picture():
    entries = first().data["splits"]["test"]
    pictures = made() / "first" / "evaluation" / "pictures" / "test"
    assert {path.relative_to(pictures).with_suffix("").as_posix() for path in pictures.rglob("*.png")} == {
        e["id"] for e in entries
    }


def test_test_images_are_predicted_to_files():
    names = {Path(entry["image"]).stem for entry in first().data["splits"]["test"]}
    written = {path.name for path in (made() / "predictions").iterdir()}
    assert {f"{name}.png" for name in names} | {f"{name}-overlay.jpg" for name in names} <= written


def test_where_it_struggles_is_measured_and_reported():
    """Edges, small objects, classes taken for each other, worst images, confidence: in the evaluation and on the
    page.
    """
    found = scores()
    assert {"boundary_iou", "boundary_f", "hd95"} <= set(found["metrics"])
    assert [row["size"] for row in found["objects"]["building"]] == ["small", "medium", "large"]
    assert found["calibration"] is not None
    for words in ("Boundary IoU", "Boundary F", "small", "worst", "alibration", "the class predicted there"):
        assert words in page(), words


def test_changes_are_tried_one_at_a_time_with_paired_differences():
    cells = {cell.name: cell.config for cell in read_matrix(FOLDER / "changes.yaml").cells}
    base = cells["the workshop's"]
    assert base == load_config(CONFIG)
    one_thing_only([base, cells["cross-entropy beside Dice"]], {"loss"})
    one_thing_only([base, cells["windows"]], {"data"})
    one_thing_only([base, cells["balanced sampling"]], {"data"})
    rows = standings("changes")["rows"]
    assert len(rows) == len(cells)
    (best,) = [row for row in rows if row["verdict"] == "best"]
    for row in rows:
        if row is not best:
            low, high = row["difference_interval"]
            assert low <= row["difference"] <= high
            assert row["verdict"] == ("tie" if low <= 0 <= high else "worse")


def one_thing_only(configs, sections):
    """The settings differ in these sections alone."""
    trees = [config.model_dump() for config in configs]
    assert {key for key in trees[0] if any(tree[key] != trees[0][key] for tree in trees)} == sections


# ---------------------------------------------------------------- the command


def test_another_set_needs_no_workshop_folders(tmp_path):
    """A folder with pairs.csv and a void value is trained on and scored as it lies."""
    root = make("landcover", tmp_path / "set", 6, (32, 32), 0).root
    words = commands("--tiny", "--data", root, "--data.ignore_index", 11, "--weights", "none")
    assert not any(line[1:3] == ["data", "make"] for line in words)
    check = next(line for line in words if line[1] == "check")
    assert check[2:] == [str(root), "--data.ignore_index", "11"]
    train = next(line for line in words if line[1] == "train")
    assert train[-4:] == ["--data.ignore_index", "11", "--weights", "none"]
    assert (root / "pairs.csv").is_file()
    train[train.index("--out") + 1] = str(tmp_path / "run")
    told = maskwright(*train[1:], "--devices", "cpu")
    assert told.code in (0, None), told.err


@pytest.mark.parametrize(("size", "epochs"), [("--laptop", "8"), ("--tiny", "1")])
def test_sizes_change_what_the_comparisons_train(size, epochs):
    compared = [line for line in commands(size) if line[1] == "compare"]
    assert len(compared) == 2
    assert all(line[line.index("--epochs") + 1] == epochs for line in compared)


def test_at_full_size_the_configuration_is_the_workshop_s():
    train = next(line for line in commands() if line[1] == "train")
    assert train[2:] == [CONFIG.as_posix(), "--data", "out/data", "--out", "out/first"]
