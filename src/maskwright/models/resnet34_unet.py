"""ResNet34_UNet: a ResNet34 encoder of five blocks with a U-Net's decoder, written out here.

Shapes at 256 and width 64 (channels × side):

    block1 64×128 → block2 64×64 → block3 128×32 → block4 256×16 → block5 512×8
    → 256×16 → 128×32 → 64×64 → 64×128 → 32×256 → head

block1 is the 7×7 convolution; block2 to block5 hold 3, 4, 6 and 3 `BasicBlock`s, block2 after a max-pool. Each
doubling of the decoder is joined by the encoder's map of the same size; the last has none. At width 64 the
encoder is torchvision's `resnet34` without its classifier, under other names: `to_torchvision` and
`from_torchvision` translate state dicts.

Legend: N batch, C channels, H W sides; H and W must be multiples of 32 (the wrapper pads).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

import torch
from torch import nn

from maskwright.config.models import Resnet34UnetConfig
from maskwright.errors import ModelError, must, unknown
from maskwright.models.unet import doubling, two_convolutions
from maskwright.models.weights import Loaded, bands_in_turn, bands_note, pretrained

_BLOCKS = (3, 4, 6, 3)  # BasicBlocks in block2 to block5
_PRETRAINED_WIDTH = 64


class BasicBlock(nn.Module):
    """Two 3×3 convolutions around a shortcut. N before H W → N after H/stride W/stride."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(before, after, kernel_size=3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(after)
        self.conv2 = nn.Conv2d(after, after, kernel_size=3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(after)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = None  # the shortcut, where the shape changes
        if stride != 1 or before != after:
            shortcut = nn.Conv2d(before, after, kernel_size=1, stride=stride, bias=False)
            self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        x = self.relu(self.bn1(self.conv1(x)))
        return self.relu(self.bn2(self.conv2(x)) + shortcut)


class Resnet34Encoder(nn.Module):
    """N C H W → the maps of block1 to block5, at H/2 to H/32.

    >>> [tuple(map.shape[1:]) for map in Resnet34Encoder(3, width=4)(torch.zeros(1, 3, 64, 32))]
    [(4, 32, 16), (4, 16, 8), (8, 8, 4), (16, 4, 2), (32, 2, 1)]
    """

    def __init__(self, in_channels: int, width: int = 64) -> None:
        super().__init__()
        stem = nn.Conv2d(in_channels, width, kernel_size=7, stride=2, padding=3, bias=False)
        self.block1 = nn.Sequential(stem, nn.BatchNorm2d(width), nn.ReLU(inplace=True))
        self.pool = nn.MaxPool2d(kernel_size=3, stride=2, padding=1)
        self.block2 = _blocks(width, width, _BLOCKS[0], stride=1)
        self.block3 = _blocks(width, 2 * width, _BLOCKS[1], stride=2)
        self.block4 = _blocks(2 * width, 4 * width, _BLOCKS[2], stride=2)
        self.block5 = _blocks(4 * width, 8 * width, _BLOCKS[3], stride=2)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):  # as ResNet's paper and torchvision begin
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: torch.Tensor) -> list[torch.Tensor]:
        maps = [self.block1(x)]
        maps.append(self.block2(self.pool(maps[-1])))
        for block in (self.block3, self.block4, self.block5):
            maps.append(block(maps[-1]))
        return maps


def _blocks(before: int, after: int, count: int, stride: int) -> nn.Sequential:
    """`BasicBlock`s in a row; the first one changes the shape."""
    return nn.Sequential(BasicBlock(before, after, stride), *(BasicBlock(after, after, 1) for _ in range(count - 1)))


class Resnet34Unet(nn.Module):
    """N C H W → N out H W logits.

    >>> Resnet34Unet(in_channels=3, out_channels=2, width=4)(torch.zeros(1, 3, 32, 64)).shape
    torch.Size([1, 2, 32, 64])
    """

    stride = 32
    loaded: Loaded | None = None

    def __init__(self, in_channels: int, out_channels: int, width: int = 64, up: str = "transposed") -> None:
        super().__init__()
        self.encoder = Resnet34Encoder(in_channels, width)
        half = width // 2
        # channels that are doubled in side and halved in number
        below = [8 * width, 4 * width, 2 * width, width, width]
        skipped = [4 * width, 2 * width, width, width, 0]
        after = [4 * width, 2 * width, width, width, half]
        self.ups = nn.ModuleList([doubling(channels, up) for channels in below])
        self.decoder = nn.ModuleList(
            [two_convolutions(b // 2 + s, a, "batch") for b, s, a in zip(below, skipped, after, strict=True)]
        )
        self.head = nn.Conv2d(half, out_channels, kernel_size=1)
        self.parts = {"encoder": [self.encoder], "decoder": [self.ups, self.decoder], "head": [self.head]}
        for module in [*self.ups.modules(), *self.decoder.modules(), self.head]:
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        *skips, x = self.encoder(x)
        for double, block in zip(self.ups, self.decoder, strict=True):
            x = double(x)
            x = block(torch.cat([skips.pop(), x], dim=1) if skips else x)
        return self.head(x)


def to_torchvision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """An encoder's state dict under torchvision's names for `resnet34`, whose classifier `fc` it has no part in.

        block1.0 → conv1    block1.1 → bn1    block2 … block5 → layer1 … layer4, below them the same names

    >>> list(to_torchvision({"block1.1.bias": torch.zeros(1), "block3.0.conv2.weight": torch.zeros(1)}))
    ['bn1.bias', 'layer2.0.conv2.weight']
    """
    return {_renamed(name, _TO_TORCHVISION): value for name, value in state.items()}


def from_torchvision(state: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The state dict of torchvision's `resnet34` under this encoder's names, without the classifier `fc`.

    >>> names = ("conv1.weight", "layer4.2.bn1.bias", "fc.bias")
    >>> list(from_torchvision({name: torch.zeros(1) for name in names}))
    ['block1.0.weight', 'block5.2.bn1.bias']
    """
    return {_renamed(name, _FROM_TORCHVISION): value for name, value in state.items() if not name.startswith("fc.")}


_TO_TORCHVISION = {"block1.0": "conv1", "block1.1": "bn1"} | {
    f"block{number + 1}": f"layer{number}" for number in range(1, 5)
}
_FROM_TORCHVISION = {theirs: ours for ours, theirs in _TO_TORCHVISION.items()}


def _renamed(name: str, names: Mapping[str, str]) -> str:
    first = next((first for first in names if re.match(rf"{re.escape(first)}\.", name)), None)
    return names[first] + name[len(first) :] if first else name


def build_resnet34_unet(config: Resnet34UnetConfig, num_channels: int, num_outputs: int) -> Resnet34Unet:
    """The network a configuration asks for; `weights: imagenet` starts its encoder from torchvision's."""
    if config.weights not in ("none", "imagenet"):
        raise ModelError(unknown("weights", config.weights, ["imagenet", "none"], key="model.weights"))
    if config.weights == "imagenet" and config.width != _PRETRAINED_WIDTH:
        fix = f"Set model.width: {_PRETRAINED_WIDTH}, or --weights none."
        raise ModelError(must("model.width", f"{_PRETRAINED_WIDTH} for pretrained weights", config.width, fix))
    net = Resnet34Unet(num_channels, num_outputs, config.width, config.up)
    if config.weights == "imagenet":
        from maskwright.models.torchvision import LICENCES, fetched

        wanted = "ResNet34_Weights.IMAGENET1K_V1"
        state = from_torchvision(fetched(wanted, "imagenet of resnet34"))
        state["block1.0.weight"] = bands_in_turn(state["block1.0.weight"], num_channels)
        net.encoder.load_state_dict(state)
        net.loaded = pretrained(net, f"weights {wanted}", LICENCES["imagenet"], adapted=bands_note(num_channels))
    return net
