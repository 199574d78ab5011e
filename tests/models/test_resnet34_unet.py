"""ResNet34_UNet: its maps, its parameters counted by hand, and the encoder against torchvision's `resnet34`."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import resumed_like_uninterrupted
from torch_cache import cached

from maskwright import runtime
from maskwright.config import Config
from maskwright.config.models import PixelsConfig, Resnet34UnetConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models import build_model
from maskwright.models.resnet34_unet import (
    Resnet34Encoder,
    Resnet34Unet,
    build_resnet34_unet,
    from_torchvision,
    to_torchvision,
)

TWO = ClassMap(("a", "b"), (0, 1))


@functools.cache
def theirs() -> Any:
    """torchvision's, with batch-norm statistics that are not those of a new network."""
    runtime.ensure_torchvision()
    from torchvision.models import resnet34

    torch.manual_seed(1)
    net = resnet34(weights=None)
    for name, buffer in net.named_buffers():
        if "running_var" in name:
            buffer.uniform_(0.5, 1.5)
        elif "running_mean" in name:
            buffer.uniform_(-0.3, 0.3)
    return net.eval()


def features_of_theirs(net: Any, x: torch.Tensor) -> list[torch.Tensor]:
    maps = [net.relu(net.bn1(net.conv1(x)))]
    maps.append(net.layer1(net.maxpool(maps[-1])))
    for layer in (net.layer2, net.layer3, net.layer4):
        maps.append(layer(maps[-1]))
    return maps


def images() -> torch.Tensor:
    return torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def test_our_encoder_with_torchvisions_weights_has_its_features() -> None:
    ours = Resnet34Encoder(3).eval()
    ours.load_state_dict(from_torchvision(theirs().state_dict()))  # strict: every tensor has its place
    for mine, other in zip(ours(images()), features_of_theirs(theirs(), images()), strict=True):
        assert mine.shape == other.shape
        assert torch.allclose(mine, other, atol=1e-5, rtol=1e-5)
        assert mine.abs().max() > 0.1


@torch.no_grad()
def test_torchvisions_network_with_our_weights_has_our_features() -> None:
    runtime.ensure_torchvision()
    from torchvision.models import resnet34

    torch.manual_seed(2)
    ours = Resnet34Encoder(3)
    ours.train()(images())  # statistics of its own
    ours.eval()
    other = resnet34(weights=None).eval()
    missing, unexpected = other.load_state_dict(to_torchvision(ours.state_dict()), strict=False)
    assert (missing, unexpected) == (["fc.weight", "fc.bias"], [])
    for mine, found in zip(ours(images()), features_of_theirs(other, images()), strict=True):
        assert torch.allclose(mine, found, atol=1e-5, rtol=1e-5)


def test_names_come_back_as_they_were() -> None:
    state = Resnet34Encoder(3, width=2).state_dict()
    assert list(from_torchvision(to_torchvision(state))) == list(state)


def test_maps_of_the_docstring() -> None:
    with torch.device("meta"):
        net = Resnet34Unet(3, 2)
    seen: list[tuple[int, int]] = []
    blocks = [
        net.encoder.block1,
        net.encoder.block2,
        net.encoder.block3,
        net.encoder.block4,
        net.encoder.block5,
        *net.decoder,
    ]
    for block in blocks:
        block.register_forward_hook(lambda module, inputs, output: seen.append((output.shape[1], output.shape[2])))
    assert net(torch.zeros(1, 3, 256, 256, device="meta")).shape == (1, 2, 256, 256)
    encoder = [(64, 128), (64, 64), (128, 32), (256, 16), (512, 8)]
    assert seen == [*encoder, (256, 16), (128, 32), (64, 64), (64, 128), (32, 256)]


@pytest.mark.parametrize(("up", "decoder"), [("transposed", 3_140_224), ("bilinear", 4_020_864)])
def test_number_of_parameters(up: str, decoder: int) -> None:
    """The encoder has torchvision's 21,797,672 less its classifier's 513,000; the decoder is counted below."""
    with torch.device("meta"):
        net = build_resnet34_unet(Resnet34UnetConfig.model_validate({"up": up}), 3, 2)
    side = 4 if up == "transposed" else 9
    doubling = sum(channels * (channels // 2) * side + channels // 2 for channels in (512, 256, 128, 64, 64))
    blocks = [(512, 256), (256, 128), (128, 64), (96, 64), (32, 32)]
    convolutions = sum(9 * before * after + 9 * after * after + 4 * after for before, after in blocks)
    assert doubling + convolutions == decoder
    assert sum(parameter.numel() for parameter in net.encoder.parameters()) == 21_797_672 - 513_000
    assert sum(parameter.numel() for parameter in net.parameters()) == 21_284_672 + decoder + 32 * 2 + 2


def test_configuration() -> None:
    config = Config.model_validate({"model": "resnet34_unet"}).model
    assert isinstance(config, Resnet34UnetConfig) and config.width == 64 and config.weights == "none"
    with pytest.raises(ModelError, match=r"Unknown weights 'imagnet' in `model\.weights`\. Did you mean 'imagenet'"):
        build_resnet34_unet(config.model_copy(update={"weights": "imagnet"}), 3, 2)
    with pytest.raises(ModelError, match=r"`model\.width` must be 64 for pretrained weights; got 32"):
        build_resnet34_unet(config.model_copy(update={"weights": "imagenet", "width": 32}), 3, 2)


@pytest.mark.parametrize("num_channels", [3, 4])
def test_imagenet_weights_are_torchvisions(num_channels: int, tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file is made here, named with its own hash and put into the cache; only the address, which names the
    true file's hash, is replaced. It is read by the loading code that reads torchvision's."""
    from torchvision.models import ResNet34_Weights

    cached(tmp_path, monkeypatch, ResNet34_Weights.IMAGENET1K_V1, theirs().state_dict())
    model = build_model(Resnet34UnetConfig(weights="imagenet"), TWO, num_channels)
    found = to_torchvision(model.net.encoder.state_dict())
    for name, value in theirs().state_dict().items():
        if name == "conv1.weight" and num_channels == 4:
            expected = torch.cat([value, value[:, :1]], dim=1) * 0.75
            assert torch.allclose(found[name], expected)
        elif not name.startswith("fc."):
            assert torch.equal(found[name], value)
    assert model.loaded and "ImageNet" in model.loaded.licence and model.loaded.loaded == len(found)
    assert all(name.startswith(("ups", "decoder", "head")) for name in model.loaded.fresh)


def test_trained_resumed_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = resumed_like_uninterrupted(tmp_path, monkeypatch, "--model", "resnet34_unet", "--model.width", 4)
    assert isinstance(run.config.model.pixels, PixelsConfig)  # kept with what normalised them
    assert run.config.model.model_copy(update={"pixels": "auto"}) == Resnet34UnetConfig(width=4)
