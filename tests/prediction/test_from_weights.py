"""A person's own weights beside a configuration: what their own code would predict, or one sentence that says what
differs.
"""

from __future__ import annotations

import functools
import itertools
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import nn

from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.errors import ModelError
from maskwright.models.resnet34_unet import Resnet34Unet
from maskwright.models.wrapper import MEAN, STD
from maskwright.prediction.from_weights import predictor_for
from support import Outcome, data, disc_data, discs, evaluated, finished, maskwright, picture, session_folder

SIDE = 64
NORMALISED = {"imagenet": (MEAN, STD), "0 to 1": ((0.0,) * 3, (255.0,) * 3), "-1 to 1": ((127.5,) * 3, (127.5,) * 3)}


def double(before: int, after: int, bias: bool) -> nn.Sequential:
    layers = [(nn.Conv2d(a, after, 3, padding=1, bias=bias), nn.BatchNorm2d(after), nn.ReLU()) for a in (before, after)]
    return nn.Sequential(*(layer for group in layers for layer in group))


class Down(nn.Module):
    """As in the tutorials: pooling and convolutions in one block."""

    def __init__(self, before: int, after: int, bias: bool) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), double(before, after, bias))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.maxpool_conv(x)


class Up(nn.Module):
    def __init__(self, before: int, after: int, bias: bool, up_first: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(before, after, 2, stride=2)
        self.conv, self.up_first = double(before, after, bias), up_first

    def forward(self, x: torch.Tensor, skip: torch.Tensor) -> torch.Tensor:
        x = self.up(x)
        return self.conv(torch.cat([x, skip] if self.up_first else [skip, x], dim=1))


class TutorialUnet(nn.Module):
    """inc, down1 … down4, up1 … up4, outc, in the order they are used."""

    def __init__(self, width: int = 4, outputs: int = 1, bias: bool = True, up_first: bool = False) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(5)]
        self.inc = double(3, width, bias)
        self.down1, self.down2, self.down3, self.down4 = (Down(a, b, bias) for a, b in itertools.pairwise(sizes))
        ups = [Up(b, a, bias, up_first) for a, b in reversed(list(itertools.pairwise(sizes)))]
        self.up1, self.up2, self.up3, self.up4 = ups
        self.outc = nn.Conv2d(width, outputs, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = [self.inc(x)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in (self.up1, self.up2, self.up3, self.up4):
            x = up(x, maps.pop())
        return self.outc(x)


class ListUnet(nn.Module):
    """Lists, the decoder's before the encoder's, as another tutorial has them: another order in the file."""

    def __init__(self, width: int = 4, outputs: int = 1, bias: bool = False, up_first: bool = False) -> None:
        super().__init__()
        sizes = [width * 2**level for level in range(4)]
        self.ups, self.downs = nn.ModuleList(), nn.ModuleList()
        for before, after in zip([3, *sizes], sizes):
            self.downs.append(double(before, after, bias))
        for size in reversed(sizes):
            self.ups.append(nn.ConvTranspose2d(size * 2, size, 2, stride=2))
            self.ups.append(double(size * 2, size, bias))
        self.bottleneck = double(sizes[-1], 2 * sizes[-1], bias)
        self.final_conv = nn.Conv2d(width, outputs, 1)
        self.up_first = up_first

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        maps = []
        for down in self.downs:
            maps.append(down(x))
            x = nn.functional.max_pool2d(maps[-1], 2)
        x = self.bottleneck(x)
        for up, conv in zip(self.ups[::2], self.ups[1::2]):
            x = up(x)
            x = conv(torch.cat([x, maps.pop()] if self.up_first else [maps.pop(), x], dim=1))
        return self.final_conv(x)


class PlainUnet(TutorialUnet):
    """Without normalisation: nothing in its file tells how it was fed."""

    def __init__(self) -> None:
        super().__init__()
        for module in list(self.modules()):
            for name, child in module.named_children():
                if isinstance(child, nn.BatchNorm2d):
                    setattr(module, name, nn.Identity())


@functools.cache
def images() -> list[Path]:
    """What the networks here learned on: statistics need some pixels in the deepest maps too."""
    return [picture(session_folder() / "discs" / f"{seed}.png", discs(SIDE, SIDE, seed)[0]) for seed in range(4)]


def example() -> Path:
    return data() / "images" / "image-0.png"


def inputs(way: str, paths: Sequence[Path]) -> torch.Tensor:
    """As somebody's own code makes them. N 3 H W"""
    read = [np.array(Image.open(path)) for path in paths]
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in NORMALISED[way])
    return (torch.from_numpy(np.stack(read)).permute(0, 3, 1, 2) - mean) / std


def settled(net: nn.Module, way: str = "imagenet") -> nn.Module:
    """The network after its batch-norms have seen the images for a while, as at the end of a training."""
    with torch.no_grad():
        for _ in range(80):
            net.train()(inputs(way, images()))
    return net.eval()


def predictor(path: Path, *words: str, model: str = "unet"):
    flags = [
        "--model",
        model,
        "--weights",
        str(path),
        "--size",
        str(SIDE),
        "--precision",
        "fp32",
        "--devices",
        "cpu",
        *words,
    ]
    return predictor_for(load_config(None, parse_overrides(flags)), images())


def saved(net: nn.Module, path: Path) -> Path:
    torch.save(net.state_dict(), path)
    return path


@pytest.mark.parametrize(
    ("kind", "bias", "up_first", "way"),
    [
        (TutorialUnet, True, False, "imagenet"),
        (TutorialUnet, True, True, "0 to 1"),
        (TutorialUnet, False, True, "-1 to 1"),
        (ListUnet, True, True, "imagenet"),
        (ListUnet, False, False, "0 to 1"),
    ],
)
def test_a_u_net_with_names_of_its_own_predicts_as_its_own_code_does(tmp_path, kind, bias, up_first, way):
    """Its names, its order in the file, biases before batch-norm, the order of joining and the pixels' range are its
    own.
    """
    torch.manual_seed(1)
    net = settled(kind(bias=bias, up_first=up_first), way)
    found, notes = predictor(saved(net, tmp_path / "my.pth"))
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    mean, std = (torch.tensor(part).view(1, 3, 1, 1) for part in NORMALISED[way])
    with torch.no_grad():
        own = net((torch.from_numpy(image).permute(2, 0, 1)[None] - mean) / std)[:, 0]
    logits = found.logits(image)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], own, rtol=1e-3, atol=1e-3)
    told = "\n".join(notes)
    assert "matched by order and shapes" in told and f"joins {'the up-sampled' if up_first else 'the encoder'}" in told
    assert ("before batch-norm went into its running mean" in told) == bias


def test_a_resnet34_u_net_with_other_names_is_matched_too(tmp_path):
    """Each doubling beside its convolutions, as their authors write it; ours are two lists."""
    torch.manual_seed(0)
    net = Resnet34Unet(3, 1, width=4).eval()
    state = net.state_dict()
    order = [f"encoder.{name}" for name in net.encoder.state_dict()]
    for number in range(5):
        order += [name for part in ("ups", "decoder") for name in state if name.startswith(f"{part}.{number}.")]
    names = {name: re.sub(r"^(ups|decoder)\.(\d)\.", r"up\2.\1_.", name).replace("encoder.", "") for name in order}
    theirs = {names[name]: state[name] for name in order} | {
        "final.weight": state["head.weight"],
        "final.bias": state["head.bias"],
    }
    torch.save(theirs, tmp_path / "my.pth")
    found, notes = predictor(tmp_path / "my.pth", model="ResNet34_UNet")
    assert all(torch.equal(found.model.net.state_dict()[name], value) for name, value in state.items())
    assert "matched by order and shapes" in notes[0]


def test_what_nothing_in_the_file_tells_is_said(tmp_path):
    torch.manual_seed(0)
    net = PlainUnet().eval()
    found, notes = predictor(saved(net, tmp_path / "my.pth"), "--data.classes", "{sky: 0, tree: 1}")
    own = net(inputs("imagenet", images()[:1]))[:, 0]
    image = np.array(Image.open(images()[0]))
    logits = found.logits(image)
    torch.testing.assert_close(logits[:, 1] - logits[:, 0], own.detach(), rtol=1e-3, atol=1e-3)
    told = "\n".join(notes)
    assert "normalised as for ImageNet" in told and "nothing in the file tells" in told
    assert found.classes.names == ("sky", "tree") and "called" not in told
    other, _ = predictor(tmp_path / "my.pth", "--model.pixels", "{mean: [0, 0, 0], std: [255, 255, 255]}")
    own = net(inputs("0 to 1", images()[:1]))[:, 0]
    torch.testing.assert_close(other.logits(image)[:, 1], own.detach(), rtol=1e-3, atol=1e-3)


def wrappings(state: dict[str, torch.Tensor]) -> dict[str, Any]:
    """How people save the same tensors."""
    lightning = {**{f"model.{name}": value for name, value in state.items()}, "criterion.pos_weight": torch.ones(1)}
    return {
        "plain.pth": state,
        "nested.pt": {"epoch": 3, "model_state_dict": state, "optimizer_state_dict": {"state": {}}},
        "parallel.pth": {"state_dict": {f"module.{name}": value for name, value in state.items()}},
        "lightning.ckpt": {"state_dict": lightning, "epoch": 3, "hyper_parameters": {"lr": 0.1}},
        "own.safetensors": state,
    }


def test_every_way_of_saving_the_same_weights_predicts_the_same_files(tmp_path):
    state = load_file(finished() / "model.safetensors")
    words = ("predict", "--model", "unet", "--size", 32, "--devices", "cpu", "--precision", "fp32", example())
    expected = tmp_path / "expected"
    assert maskwright("predict", finished(), example(), "--out", expected).code == 0
    for name, tree in wrappings({name.removeprefix("net."): value for name, value in state.items()}).items():
        if name.endswith("safetensors"):
            save_file(tree, tmp_path / name)
        else:
            torch.save(tree, tmp_path / name)
        outcome = maskwright(*words, "--weights", tmp_path / name, "--out", tmp_path / "out")
        assert outcome.code == 0, outcome.err
        for file in expected.iterdir():
            assert file.read_bytes() == (tmp_path / "out" / file.name).read_bytes(), (name, file.name)
        assert ("left aside, as no part of it: criterion.pos_weight" in outcome.err) == name.startswith("lightning")
        assert "by name" in outcome.err and "classes are called background and foreground" in outcome.err


def test_evaluating_a_runs_weights_beside_its_configuration_gives_the_runs_scores(tmp_path):
    """The same data are dealt into the same splits, so every number is the same; the new folder is a run as any
    other.
    """
    words = (finished() / "config.yaml", "--weights", finished() / "model.safetensors", "--out", tmp_path / "run")
    outcome = maskwright("evaluate", *words, "--json")
    assert outcome.code == 0, outcome.err
    told, expected = outcome.json, evaluated().json
    for key in ("metrics", "per_class", "intervals", "images", "classes", "loss"):
        assert told[key] == expected[key]
    assert maskwright("report", tmp_path / "run").code == 0 and (tmp_path / "run" / "report.html").is_file()
    assert maskwright("predict", tmp_path / "run", example(), "--out", tmp_path / "out").code == 0


def test_without_splits_every_image_is_scored_and_that_is_said(tmp_path):
    unsplit = disc_data(tmp_path / "data", [(32, 32)] * 3)
    words = (
        "--model",
        "unet",
        "--weights",
        finished() / "model.safetensors",
        "--data",
        unsplit,
        "--size",
        32,
        "--devices",
        "cpu",
    )
    outcome = maskwright("evaluate", *words, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "all 3 images are scored, as test" in outcome.err and "(3 images" in outcome.out
    among = maskwright("evaluate", *words, "--out", unsplit / "images" / "run")
    assert among.code == 2 and not (unsplit / "images" / "run").exists()
    again = maskwright("evaluate", *words, "--out", tmp_path / "run")
    assert "must be a new or empty folder" in again.sentence


@pytest.mark.parametrize("size", [(), ("--size", 224)])
def test_evaluating_weights_sees_images_as_predicting_with_them_does(tmp_path, size):
    """Large enough that a training would look at windows, at full and at half the size."""
    unsplit = disc_data(tmp_path / "data", [(240, 320)] * 2)
    words = ("--model", "unet", "--weights", finished() / "model.safetensors", "--devices", "cpu", *size)
    assert maskwright("evaluate", *words, "--data", unsplit, "--out", tmp_path / "run").code == 0
    outcome = maskwright("predict", *words, unsplit / "images", "--out", tmp_path / "plain")
    assert outcome.code == 0, outcome.err
    assert maskwright("predict", tmp_path / "run", unsplit / "images", "--out", tmp_path / "of-run").code == 0
    for mask in (tmp_path / "plain").iterdir():
        assert mask.read_bytes() == (tmp_path / "of-run" / mask.name).read_bytes(), mask.name
    assert "multiscale: false" in (tmp_path / "run" / "config.yaml").read_text()


def test_smp_and_torchvision_state_dicts_are_taken_by_name(tmp_path):
    import segmentation_models_pytorch as smp

    net = smp.Unet("resnet18", encoder_weights=None, classes=1).eval()
    found, notes = predictor(saved(net, tmp_path / "my.pth"), model="unet/resnet18")
    image = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)
    with torch.no_grad():
        own = net(found.model.normalise(torch.from_numpy(image).permute(2, 0, 1)[None]))[:, 0]
    torch.testing.assert_close(found.logits(image)[:, 1], own, rtol=1e-4, atol=1e-4)
    assert "by name" in notes[0]


class WithAttention(TutorialUnet):
    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Conv2d(4, 4, 1)


@pytest.mark.parametrize(
    ("net", "words", "told"),
    [
        (WithAttention(), (), "must hold exactly the tensors of this network"),
        (TutorialUnet(outputs=5), ("--data.classes", "{a: 0, b: 1}"), "gives 5 and the classes are a and b"),
        (TutorialUnet(), ("--model.width", "8"), "must hold exactly the tensors of this network"),
        (nn.Sequential(nn.Conv2d(3, 2, 1)), (), "are missing (encoder.0.0.weight"),
    ],
    ids=["attention", "classes", "width", "other"],
)
def test_a_network_that_is_another_is_one_sentence(tmp_path, net, words, told):
    with pytest.raises(ModelError) as refused:
        predictor(saved(net, tmp_path / "my.pth"), *words)
    assert told in str(refused.value) and "my.pth" in str(refused.value) and "\n" not in str(refused.value)


def test_tensors_too_few_too_many_and_of_other_shape_are_named(tmp_path):
    state = load_file(finished() / "model.safetensors")
    state["net.extra.weight"] = torch.zeros(3)
    state["net.decoder.0.0.weight"] = torch.zeros(4, 9, 3, 3)
    del state["net.decoder.0.1.bias"]
    save_file(state, tmp_path / "my.safetensors")
    with pytest.raises(ModelError) as refused:
        predictor(tmp_path / "my.safetensors")
    told = str(refused.value)
    assert (
        "are missing (decoder.0.1.bias)" in told
        and "1 tensor of the file has no place in it (net.extra.weight)" in told
    )
    assert "net.decoder.0.0.weight is 4×9×3×3 and not 4×8×3×3" in told


def test_weights_that_are_no_numbers_are_refused(tmp_path):
    state = load_file(finished() / "model.safetensors")
    state["net.head.bias"][0] = float("nan")
    save_file(state, tmp_path / "my.safetensors")
    with pytest.raises(ModelError, match=r"must hold finite numbers; net\.head\.bias"):
        predictor(tmp_path / "my.safetensors")


class Marker:
    """A pickle that writes a file when it is run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("command", ["predict", "evaluate"])
def test_a_pickle_is_never_run(tmp_path, command):
    torch.save({"state_dict": Marker(tmp_path / "ran")}, tmp_path / "my.pth")
    rest = (
        (example(), "--out", tmp_path / "out")
        if command == "predict"
        else ("--data", data(), "--out", tmp_path / "out")
    )
    outcome = maskwright(command, "--model", "unet", "--weights", tmp_path / "my.pth", *rest)
    assert outcome.code == 2 and "must be a whole file of tensors alone" in outcome.sentence
    assert not (tmp_path / "ran").exists() and not (tmp_path / "out").exists()


def refused(*words: object) -> Outcome:
    outcome = maskwright(*words)
    assert outcome.code == 2, outcome.out
    return outcome


def test_what_is_named_is_a_run_or_a_configuration(tmp_path):
    image = picture(tmp_path / "x.png", np.zeros((8, 8, 3), np.uint8))
    out = ("--out", tmp_path / "out")
    assert "--size" in refused("predict", finished(), image, "--size", 64, *out).sentence
    assert "--data.size" in refused("evaluate", finished(), "--data.size", 64).sentence
    assert "must be a weights file" in refused("predict", "--model", "unet", "--weights", "none", image, *out).sentence
    assert "must name at least one file" in refused("predict", "--model", "unet", "--weights", "my.pth", *out).sentence
    assert "must be one run folder" in refused("evaluate").sentence
    assert "must be one run folder" in refused("evaluate", finished(), *out).sentence
    tuned = ("--model", "unet", "--weights", finished() / "model.safetensors", "--mask-threshold", "tuned", image, *out)
    assert "`--mask-threshold` must be a number" in refused("predict", *tuned).sentence
    assert not (tmp_path / "out").exists()


def test_what_other_weights_left_undone_is_not_gone_on_with(tmp_path: Path) -> None:
    """A folder that one file of weights began holds the predictions of another after that one's call, of every
    image.
    """
    for name in ("a.png", "c.png"):
        picture(tmp_path / "in" / name, np.full((SIDE, SIDE, 3), 90, np.uint8))
    (tmp_path / "in" / "b.png").write_text("no picture")
    own = load_file(finished() / "model.safetensors")
    files = [tmp_path / f"{number}.safetensors" for number in range(2)]
    for number, file in enumerate(files):
        save_file(
            {name: value * 0.9 if number and value.is_floating_point() else value for name, value in own.items()}, file
        )

    def call(file: Path, out: str) -> Outcome:
        words = (finished() / "config.yaml", "--weights", file, "--write", "labels,probabilities")
        return maskwright("predict", *words, tmp_path / "in", "--out", tmp_path / out)

    assert all(call(files[number], out).code == 1 for number, out in ((0, "out"), (0, "first"), (1, "out"), (1, "new")))
    for name in ("a", "c"):
        found, wanted = ((tmp_path / out / f"{name}-probabilities.tif").read_bytes() for out in ("out", "new"))
        assert found == wanted != (tmp_path / "first" / f"{name}-probabilities.tif").read_bytes(), name
    picture(tmp_path / "in" / "b.png", np.full((SIDE, SIDE, 3), 90, np.uint8))
    assert "2 of them before" in call(files[1], "out").out  # the same weights: what they did stays
