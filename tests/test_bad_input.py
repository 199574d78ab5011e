"""Inputs that cannot be used: exit code 2, one sentence, and nothing half written."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file

from support import TINY, copy_of, data, finished, maskwright, noise, picture


@pytest.fixture
def spoilt(tmp_path):
    """A copy of the data, to be spoilt."""
    return copy_of(data(), tmp_path / "data")


def refused(tmp_path: Path, *words: object, out: str = "run") -> str:
    """The sentence of a training that must not begin."""
    outcome = maskwright("train", *words, *TINY, "--epochs", 1, "--out", tmp_path / out)
    assert outcome.code == 2
    assert outcome.out == ""
    assert not (tmp_path / out).exists()
    return outcome.sentence


def without_pairs(root: Path) -> Path:
    (root / "pairs.csv").unlink()
    return root


def test_an_empty_folder(tmp_path):
    (tmp_path / "data").mkdir()
    assert "must hold a folder of images and a folder of masks; it holds nothing" in refused(
        tmp_path, "--data", tmp_path / "data"
    )


def test_a_missing_folder(tmp_path):
    assert f"{tmp_path / 'none'} is not there" in refused(tmp_path, "--data", tmp_path / "none")


def test_no_data_named(tmp_path):
    assert "`data.root` must be named" in refused(tmp_path)
    assert "`data.root` must be named" in refused(tmp_path, "--data", "")  # not the current folder


def test_folders_without_images(tmp_path):
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    assert "must hold at least one image file; got none" in refused(tmp_path, "--data", tmp_path / "data")


@pytest.mark.parametrize("layout", ["images/{}/{}.png labels/{}/{}.txt", "{}/images/{}.png {}/labels/{}.txt"])
def test_labels_of_yolo(tmp_path, layout):
    """What they are, how they are converted, and that an audit, which says the same, is not proposed."""
    root = tmp_path / "data"
    for split in ("train", "val"):
        for index in range(3):
            image, label = (root / part.format(split, index) for part in layout.split())
            picture(image, noise(8, 8, index))
            label.parent.mkdir(parents=True, exist_ok=True)
            label.write_text("0 0.1 0.25 0.5 0.1 1 5.2e-05\n" if index else "")
    (root / "data.yaml").write_text("path: .\ntrain: images/train\nval: images/val\nnames: {0: cat}\n")
    told = refused(tmp_path, "--data", root)
    assert "it holds labels of YOLO (" in told and "Convert them to COCO" in told and "maskwright check" not in told
    for words in ((root / "data.yaml",), ("--data", root / "data.yaml")):
        assert f"--data {root}" in refused(tmp_path, *words)
    assert "which describes a YOLO data set" in refused(tmp_path, root / "data.yaml")


def test_a_missing_file_in_pairs_csv(tmp_path, spoilt):
    (spoilt / "masks" / "mask-3.png").unlink()
    assert "line 5: mask masks/mask-3.png is not there" in refused(tmp_path, "--data", spoilt)


def test_a_file_with_no_partner(tmp_path, spoilt):
    (without_pairs(spoilt) / "masks" / "mask-3.png").unlink()
    sentence = refused(tmp_path, "--data", spoilt)
    assert "8 images and 7 masks" in sentence and "image-3" in sentence


def test_a_text_file_named_png(tmp_path, spoilt):
    (spoilt / "images" / "image-2.png").write_text("no picture")
    assert "image-2.png` must be a readable image; got something else under that name" in refused(
        tmp_path, "--data", spoilt
    )


def test_an_empty_file_named_png(tmp_path, spoilt):
    (spoilt / "masks" / "mask-2.png").write_bytes(b"")
    assert "mask-2.png` must be a readable mask; got an empty file" in refused(tmp_path, "--data", spoilt)


def test_a_truncated_jpeg(tmp_path, spoilt):
    path = spoilt / "images" / "image-2.jpg"
    Image.fromarray(noise(32, 40)).save(path, quality=95)
    path.write_bytes(path.read_bytes()[:400])
    (spoilt / "images" / "image-2.png").unlink()
    pairs = spoilt / "pairs.csv"
    pairs.write_text(pairs.read_text().replace("image-2.png", "image-2.jpg"))
    assert "image-2.jpg` must be a whole, readable image" in refused(tmp_path, "--data", spoilt)


def test_a_truncated_png(tmp_path, spoilt):
    path = spoilt / "images" / "image-2.png"
    path.write_bytes(path.read_bytes()[:-100])
    assert "image-2.png` must be a whole, readable image" in refused(tmp_path, "--data", spoilt)


def test_several_broken_files_are_told_together(tmp_path, spoilt):
    for number in (1, 2):
        (spoilt / "images" / f"image-{number}.png").write_text("no picture")
    outcome = maskwright("train", "--data", spoilt, *TINY, "--out", tmp_path / "run")
    assert outcome.code == 2 and not (tmp_path / "run").exists()
    assert outcome.err.splitlines()[0] == "maskwright: 2 pairs cannot be used:"
    assert "image-1.png" in outcome.err and "image-2.png" in outcome.err


def test_a_mask_of_another_size(tmp_path, spoilt):
    picture(spoilt / "masks" / "mask-2.png", np.zeros((32, 41), np.uint8))
    assert "mask-2.png` must have its image's size; image and mask are 40x32 and 41x32" in refused(
        tmp_path, "--data", spoilt
    )


def test_a_colour_picture_as_mask(tmp_path, spoilt):
    picture(spoilt / "masks" / "mask-2.png", noise(32, 40))
    told = refused(tmp_path, "--data", spoilt)
    assert "mask-2.png` must hold one value a pixel; got a colour picture" in told
    assert """or name the classes by their colours: --data.classes '{background: "#000000", cat: "#ff0000"}'.""" in told


def test_a_label_out_of_range(tmp_path, spoilt):
    for number in range(8):
        path = spoilt / "masks" / f"mask-{number}.png"
        mask = np.asarray(Image.open(path)) // 255
        mask[0, :3] = 7 if number == 2 else 0
        picture(path, mask)
    sentence = refused(tmp_path, "--data", spoilt, "--data.classes", "{background: 0, piece: 1}")
    assert "(0 = background, 1 = piece, 255 = ignored)" in sentence
    assert "3 pixels in all" in sentence and "mask-2.png (7)" in sentence
    assert "--data.ignore_index 7" in sentence


def test_a_class_map_that_does_not_fit(tmp_path):
    sentence = refused(tmp_path, "--data", data(), "--data.classes", "{a: 3, b: 4}")
    assert "none of its values (3 and 4) occurs in them (0 and 255)" in sentence


def test_masks_of_one_class(tmp_path, spoilt):
    for path in (spoilt / "masks").iterdir():
        picture(path, np.zeros((32, 40), np.uint8))
    assert "must hold at least two classes; all 8 of them hold only 0" in refused(tmp_path, "--data", spoilt)


def test_a_run_folder_that_exists(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    outcome = maskwright("train", "--data", data(), *TINY, "--out", copy)
    assert outcome.code == 2 and outcome.out == ""
    assert "`--out` must be a new or empty folder" in outcome.sentence and f"--resume {copy}" in outcome.sentence
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_typo_in_the_configuration(tmp_path):
    (tmp_path / "my.yaml").write_text("optim:\n  lrr: 1\n")
    assert "line 2: Unknown key 'optim.lrr'. Did you mean 'optim.lr'?" in refused(tmp_path, tmp_path / "my.yaml")


def test_a_configuration_that_is_not_there(tmp_path):
    assert "`CONFIG` must be a YAML file" in refused(tmp_path, tmp_path / "my.yaml", "--data", data())


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--loss", "dise"), "Unknown loss 'dise'. Did you mean 'dice'"),
        (("--augment", "[{name: hflp}]"), "Did you mean 'hflip'"),
        (("--optim.freeze", "[encodr]"), "encoder"),
        (("--data.images", "imags", "--data.masks", "masks"), "`data.images` must be a folder inside"),
    ],
    ids=["loss", "augment", "freeze", "images"],
)
def test_a_name_that_is_not_known(tmp_path, words, told):
    assert told in refused(tmp_path, "--data", data(), *words)


@pytest.mark.parametrize(
    ("model", "told"), [("unet/resnet43", "Did you mean 'resnet34'"), ("unett/resnet18", "Did you mean 'unet'")]
)
def test_a_model_that_is_not_known(tmp_path, model, told):
    words = ("--model", model, "--weights", "none", "--size", 32, "--epochs", 1, "--out", tmp_path / "run")
    outcome = maskwright("train", "--data", data(), *words)
    assert outcome.code == 2 and told in outcome.sentence and not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("pattern", "told"), [("(", "must be a regular expression"), ("piece", "finds nothing in 'images/image-0'")]
)
def test_groups_that_cannot_be_found(tmp_path, spoilt, pattern, told):
    assert told in refused(tmp_path, "--data", without_pairs(spoilt), "--data.split.group", pattern)


def test_too_few_images_for_a_split(tmp_path, spoilt):
    pairs = without_pairs(spoilt)
    for number in range(2, 8):
        (pairs / "images" / f"image-{number}.png").unlink()
        (pairs / "masks" / f"mask-{number}.png").unlink()
    assert "a split needs at least 3 images; got 2" in refused(tmp_path, "--data", pairs)


@pytest.mark.parametrize(
    "words", [("evaluate",), ("predict", "x.png"), ("report",), ("train", "--resume")], ids=lambda words: words[0]
)
def test_a_run_that_is_no_run(tmp_path, monkeypatch, words):
    monkeypatch.chdir(tmp_path)
    command = [words[0], "--resume", data()] if words[0] == "train" else [words[0], data(), *words[1:]]
    before = sorted(path.name for path in data().iterdir())
    outcome = maskwright(*command)
    assert outcome.code == 2 and outcome.out == ""
    assert "`RUN` must be a run folder made by `maskwright train`" in outcome.sentence
    assert sorted(path.name for path in data().iterdir()) == before and list(tmp_path.iterdir()) == []


def test_a_run_that_is_not_finished(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    (copy / "model.safetensors").unlink()
    for command in (["evaluate", copy], ["predict", copy, data() / "images", "--out", tmp_path / "out"]):
        outcome = maskwright(*command)
        assert outcome.code == 2 and f"maskwright train --resume {copy}" in outcome.sentence
    assert not (tmp_path / "out").exists() and not (copy / "evaluation").exists()


def test_weights_that_are_spoilt(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    whole = (copy / "model.safetensors").read_bytes()
    for spoilt in (whole[: len(whole) // 2], b"", b"x" * 100):
        (copy / "model.safetensors").write_bytes(spoilt)
        outcome = maskwright("evaluate", copy)
        assert outcome.code == 2 and "must hold the weights of this run's model" in outcome.sentence
    assert not (copy / "evaluation").exists()


def test_a_checkpoint_that_is_spoilt(tmp_path):
    copy = copy_of(finished(), tmp_path / "run")
    (copy / "model.safetensors").unlink()
    (copy / "checkpoints" / "last.ckpt").write_bytes(b"spoilt")
    outcome = maskwright("train", "--resume", copy)
    assert outcome.code == 2 and "last.ckpt" in outcome.sentence


@pytest.mark.parametrize("name", ["last.ckpt", "best.ckpt"])
def test_a_checkpoint_of_another_network(tmp_path, name):
    """Here one of five classes: the head's shapes differ."""
    copy = copy_of(finished(), tmp_path / "run")
    (copy / "model.safetensors").unlink()
    path, prefix = copy / "checkpoints" / name, "model." if name == "last.ckpt" else ""
    state = torch.load(path, weights_only=True)
    head = f"{prefix}net.head.weight"
    state["state_dict"][head] = state["state_dict"][head][:1].repeat(5, 1, 1, 1)
    torch.save(state, path)
    outcome = maskwright("train", "--resume", copy)
    assert outcome.code == 2 and outcome.out == ""
    assert (
        f"{name}` must be a checkpoint of this run's model; in it net.head.weight is 5×2×1×1 and not 2×2×1×1"
        in outcome.sentence
    )


@pytest.mark.parametrize(
    ("key", "values", "told"),
    [
        ("classes", {"names": ["a", "b", "c"], "values": [0, 1, 2]}, "net.head.weight is 2×2×1×1 and not 3×2×1×1"),
        (
            "bands",
            {"chosen": [0, 1, 2, 3, 4], "low": [0] * 5, "high": [255] * 5},
            "net.encoder.0.0.weight is 2×3×3×3 and not 2×5×3×3",
        ),
    ],
)
def test_weights_of_other_classes_or_bands(tmp_path, key, values, told):
    copy = copy_of(finished(), tmp_path / "run")
    document = json.loads((copy / "data.json").read_text())
    document[key] = {**document[key], **values}
    (copy / "data.json").write_text(json.dumps(document))
    outcome = maskwright("evaluate", copy)
    assert outcome.code == 2 and outcome.out == ""
    assert f"must hold the weights of this run's model; {told}. Restore the run folder." in outcome.sentence


@pytest.mark.parametrize(
    "words", [("--batch-size", 1), ("--batch-size", 4, "--train.accumulate", 8)], ids=["named", "left over"]
)
def test_a_batch_of_one_where_batch_norm_is_left_one_value(tmp_path, words):
    """deeplabv3plus pools its map to 1 × 1."""
    keys = ("--model", "deeplabv3plus/resnet18", "--weights", "none", "--size", 32, "--train.repeats", 1, "--epochs", 1)
    outcome = maskwright("train", "--data", data(), *keys, *words, "--out", tmp_path / "run")
    if words[1] == 4:  # four images, one batch of four: nothing is left alone
        assert outcome.code == 0, outcome.err
        return
    assert outcome.code == 2 and not (tmp_path / "run").exists()
    assert outcome.sentence.startswith("`train.batch_size` must leave batch-norm more than one value; got 1 of 32 × 32")


def test_a_batch_of_one_is_told_of_half_the_size_too_where_it_is_predicted_at(tmp_path):
    """Batch-norm statistics are measured at both sizes; half of 64 leaves a stride of 32 one value."""
    keys = ("--model", "unet/resnet18", "--weights", "none", "--size", 64, "--train.grow", 0, "--batch-size", 1)
    both = ("--data.multiscale", "true", "--epochs", 1, "--out", tmp_path / "run")
    outcome = maskwright("train", "--data", data(), *keys, *both)
    assert outcome.code == 2 and not (tmp_path / "run").exists()
    assert outcome.sentence.startswith("`train.batch_size` must leave batch-norm more than one value; got 1 of 32 × 32")


def test_inputs_the_network_pads_are_told(tmp_path):
    """Smaller than the stride of 4 once, and no multiple of it; and nothing where they fit."""
    said = {size: maskwright("train", "--data", data(), *TINY, "--size", size, "--epochs", 1, "--out",
                             tmp_path / str(size)).err
            for size in (3, 30, 32)}  # fmt: skip
    assert (
        "note    inputs of 3 × 3 are padded to 4 × 4, as the network takes 4 pixels and more; --size 4 pads nothing"
        in said[3]
    )
    assert (
        "inputs of 30 × 30 are padded to 32 × 32, as the network takes multiples of 4; --size 28 or 32 pads nothing"
        in said[30]
    )
    assert "are padded" not in said[32]
    notes = json.loads((tmp_path / "30" / "data.json").read_text())["notes"]
    assert any("are padded to 32 × 32" in note for note in notes)


def test_no_images_to_predict(tmp_path):
    (tmp_path / "empty").mkdir()
    for images in ([tmp_path / "empty"], [], [""]):  # the last is not the current folder
        outcome = maskwright("predict", finished(), *images, "--out", tmp_path / "out")
        assert outcome.code == 2 and outcome.out == "" and "`IMAGES` must" in outcome.sentence
    assert not (tmp_path / "out").exists()


def test_a_data_set_drawn_into_a_folder_that_holds_something(tmp_path, spoilt):
    before = {path: path.read_bytes() for path in spoilt.rglob("*") if path.is_file()}
    assert maskwright("data", "make", "puzzle", spoilt, "--count", 5, "--size", 32).code == 2
    assert {path: path.read_bytes() for path in spoilt.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["evaluate", "predict"])
def test_weights_that_make_no_numbers_of_an_image(tmp_path, command):
    """Finite themselves: a variance below 0."""
    copy = copy_of(finished(), tmp_path / "run")
    tensors = load_file(copy / "model.safetensors")
    next(value for name, value in tensors.items() if name.endswith("running_var"))[:] = -1
    save_file(tensors, copy / "model.safetensors", metadata={"maskwright": "{}"})
    image = picture(tmp_path / "image.png", noise(32, 40))
    outcome = maskwright(command, copy, *([image, "--out", tmp_path / "out"] if command == "predict" else []))
    assert outcome.code == 2 and "outputs must be finite numbers" in outcome.sentence
    assert not (tmp_path / "out").exists() and not (copy / "evaluation" / "test.json").exists()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("command", ["evaluate", "predict", "weights", "weights.pt", "last.ckpt", "best.ckpt"])
def test_weights_that_are_not_finite(tmp_path, command, value):
    """They predict background alone; one value in one tensor is enough."""
    copy = copy_of(finished(), tmp_path / "run")
    image = picture(tmp_path / "image.png", noise(32, 40))
    if command.endswith(".ckpt"):
        path = copy / "checkpoints" / command
        state = torch.load(path, weights_only=True)
        name = next(name for name in state["state_dict"] if name.endswith("running_var"))
        state["state_dict"][name][0] = value
        torch.save(state, path)
        (copy / "model.safetensors").unlink()
        words = ["train", "--resume", copy]
    else:
        path = copy / "model.safetensors"
        tensors = load_file(path)
        name = next(name for name in tensors if name.endswith("running_var"))
        tensors[name][0] = value
        save_file(tensors, path, metadata={"maskwright": "{}"})
        if command == "weights.pt":
            path = tmp_path / command
            torch.save(tensors, path)
        start = ["train", "--data", data(), *TINY, "--epochs", 1, "--out", tmp_path / "new", "--weights", path]
        words = {"evaluate": ["evaluate", copy], "predict": ["predict", copy, image, "--out", tmp_path / "out"]}.get(
            command, start
        )
    outcome = maskwright(*words)
    assert outcome.code == 2 and not (tmp_path / "new").exists() and not (tmp_path / "out").exists()
    assert (
        f"{name.removeprefix('model.')} holds values that are not finite" in outcome.sentence
        and str(path) in outcome.sentence
    )
