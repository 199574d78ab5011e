"""The lab's U-Net: the maps of its Figure 1, its layers, and its size, counted from the architecture."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from maskwright.config.models import UnetConfig
from maskwright.models.unet import Unet, build_unet

FIGURE = [(64, 512), (128, 256), (256, 128), (512, 64), (1024, 32), (512, 64), (256, 128), (128, 256), (64, 512)]
VARIANTS = [(up, norm) for up in ("transposed", "bilinear") for norm in ("batch", "none")]


def on_paper(**options: object) -> Unet:
    """A network without numbers: shapes alone, so that the largest is instant. The lab's, where nothing else is
    said.
    """
    lab = {"up": "transposed", "norm": "batch", "width": 64, "depth": 4}
    with torch.device("meta"):
        return build_unet(UnetConfig.model_validate({**lab, **options}), 3, 2)


@pytest.mark.parametrize("up", ["transposed", "bilinear"])
def test_maps_are_those_of_figure_1(up: str) -> None:
    net = on_paper(up=up)
    seen: list[tuple[int, int]] = []
    doubled: list[tuple[int, int]] = []

    def note(into: list[tuple[int, int]]):
        def hook(module: nn.Module, inputs: tuple[torch.Tensor, ...], output: torch.Tensor) -> None:
            assert output.shape[2] == output.shape[3]
            into.append((output.shape[1], output.shape[2]))

        return hook

    for block in [*net.encoder, *net.decoder]:
        block.register_forward_hook(note(seen))
    for double in net.ups:
        double.register_forward_hook(note(doubled))
    found = net(torch.zeros(1, 3, 512, 512, device="meta"))
    assert seen == FIGURE
    assert doubled == FIGURE[5:]  # twice the side, half the channels
    assert found.shape == (1, 2, 512, 512)


@pytest.mark.parametrize("up", ["transposed", "bilinear"])
def test_layers_are_those_of_the_lab(up: str) -> None:
    net = on_paper(up=up)
    blocks = [*net.encoder, *net.decoder]
    for block in blocks:
        convolutions = [layer for layer in block if isinstance(layer, nn.Conv2d)]
        assert [type(layer).__name__ for layer in block] == ["Conv2d", "BatchNorm2d", "ReLU"] * 2
        for layer in convolutions:
            assert (layer.kernel_size, layer.padding, layer.stride) == ((3, 3), (1, 1), (1, 1))
    assert (net.pool.kernel_size, net.pool.stride) == (2, 2)
    for double in net.ups:
        if up == "transposed":
            assert isinstance(double, nn.ConvTranspose2d)
            assert (double.kernel_size, double.stride, double.padding) == ((2, 2), (2, 2), (0, 0))
        else:
            upsample, convolution = double
            assert (upsample.scale_factor, upsample.mode) == (2, "bilinear")
            assert (convolution.kernel_size, convolution.padding) == ((3, 3), (1, 1))
    assert net.head.kernel_size == (1, 1)
    assert len(net.encoder) == 5 and len(net.decoder) == len(net.ups) == 4


def expected_size(up: str, norm: str, width: int, depth: int, num_outputs: int) -> int:
    """Parameters counted from the architecture alone."""

    def conv(before: int, after: int, side: int, bias: bool = True) -> int:
        return before * after * side * side + (after if bias else 0)

    def block(before: int, after: int) -> int:
        if norm == "none":
            return conv(before, after, 3) + conv(after, after, 3)
        # scale and shift
        return conv(before, after, 3, bias=False) + conv(after, after, 3, bias=False) + 2 * (2 * after)

    channels = [width * 2**level for level in range(depth + 1)]
    down = sum(block(before, after) for before, after in zip([3, *channels[:-1]], channels, strict=True))
    back = sum(block(2 * after, after) for after in channels[:-1])  # the map from below and the skipped one
    doubling = sum(conv(2 * after, after, 2 if up == "transposed" else 3) for after in channels[:-1])
    return down + back + doubling + conv(width, num_outputs, 1)


# written down so that neither the network nor the formula can drift
SIZES = {
    ("transposed", "batch"): 31_037_698,
    ("transposed", "none"): 31_031_810,
    ("bilinear", "batch"): 34_519_298,
    ("bilinear", "none"): 34_513_410,
}


@pytest.mark.parametrize(("up", "norm"), VARIANTS)
def test_number_of_parameters(up: str, norm: str) -> None:
    net = on_paper(up=up, norm=norm)
    found = sum(parameter.numel() for parameter in net.parameters())
    assert found == expected_size(up, norm, 64, 4, 2) == SIZES[(up, norm)]


@pytest.mark.parametrize(("width", "depth"), [(4, 1), (6, 2), (3, 8)])
@pytest.mark.parametrize(("up", "norm"), VARIANTS)
def test_width_and_depth(up: str, norm: str, width: int, depth: int) -> None:
    net = on_paper(up=up, norm=norm, width=width, depth=depth)
    assert net.stride == 2**depth
    assert sum(parameter.numel() for parameter in net.parameters()) == expected_size(up, norm, width, depth, 2)
    assert net(torch.zeros(1, 3, 256, 512, device="meta")).shape == (1, 2, 256, 512)


def test_every_parameter_belongs_to_one_part() -> None:
    net = build_unet(UnetConfig(width=4, depth=2), 3, 2)
    parts = [parameter for modules in net.parts.values() for module in modules for parameter in module.parameters()]
    assert len(parts) == len({id(parameter) for parameter in parts}) == len(list(net.parameters()))


def test_first_weights_keep_the_signal() -> None:
    """He's initialisation: with ReLU after each layer and no normalisation, deep maps keep the input's scale."""
    torch.manual_seed(0)
    net = build_unet(UnetConfig(width=16, depth=3, norm="none"), 3, 2)
    spread: list[float] = []
    for block in net.encoder:
        block.register_forward_hook(lambda module, inputs, output: spread.append(float(output.pow(2).mean().sqrt())))
    with torch.no_grad():
        net(torch.randn(1, 3, 64, 64))
    assert min(spread) > 0.4 and max(spread) < 5
    assert all(
        (layer.bias == 0).all() for layer in net.modules() if isinstance(layer, nn.Conv2d) and layer.bias is not None
    )


def test_every_parameter_learns() -> None:
    net = build_unet(UnetConfig(width=4, depth=2), 3, 2)
    net(torch.randn(2, 3, 16, 16)).pow(2).sum().backward()
    assert all(parameter.grad is not None and parameter.grad.abs().sum() > 0 for parameter in net.parameters())
