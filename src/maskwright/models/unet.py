"""The lab's U-Net, from scratch.

Shapes at 512, width 64, depth 4 (channels × side), as in the lab's Figure 1:

    3×512 → 64×512 → 128×256 → 256×128 → 512×64 → 1024×32 → 512×64 → 256×128 → 128×256 → 64×512 → 2×512

Each level has two 3×3 convolutions with padding (1, 1); `MaxPool2d(2, 2)` halves a map exactly, and
`ConvTranspose2d(2, 2)`, or `Upsample(scale_factor=2)` and a 3×3 convolution, doubles it exactly and
halves its channels. The encoder's map of the same size is concatenated.

Legend: N batch, C channels, H W sides; H and W must be multiples of 2**depth (the wrapper pads).
"""

from __future__ import annotations

import torch
from torch import nn

from maskwright.config.models import UnetConfig
from maskwright.errors import ModelError, must


class Unet(nn.Module):
    """U-Net: N in H W → N out H W logits.

    >>> Unet(in_channels=3, out_channels=2, width=4, depth=2)(torch.zeros(1, 3, 8, 8)).shape
    torch.Size([1, 2, 8, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        width: int = 64,
        depth: int = 4,
        up: str = "transposed",
        norm: str = "batch",
    ) -> None:
        super().__init__()
        channels = [width * 2**level for level in range(depth + 1)]
        self.encoder = nn.ModuleList(
            [
                two_convolutions(before, after, norm)
                for before, after in zip([in_channels, *channels], channels, strict=False)
            ]
        )
        self.pool = nn.MaxPool2d(kernel_size=2, stride=2)
        self.ups = nn.ModuleList([doubling(channels[level], up) for level in range(depth, 0, -1)])
        self.decoder = nn.ModuleList(
            [two_convolutions(channels[level], channels[level - 1], norm) for level in range(depth, 0, -1)]
        )
        self.head = nn.Conv2d(width, out_channels, kernel_size=1)
        self.stride = 2**depth
        self.parts = {"encoder": [self.encoder], "decoder": [self.ups, self.decoder], "head": [self.head]}
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        skips: list[torch.Tensor] = []
        for level, block in enumerate(self.encoder):
            x = block(x if level == 0 else self.pool(x))  # N width·2^level H/2^level W/2^level
            skips.append(x)
        skips.pop()  # the bottom is not skipped to
        for double, block in zip(self.ups, self.decoder, strict=True):
            x = block(torch.cat([skips.pop(), double(x)], dim=1))
        return self.head(x)


def two_convolutions(before: int, after: int, norm: str) -> nn.Sequential:
    """A level's block: 3×3 convolution, normalisation and ReLU, twice."""
    layers: list[nn.Module] = []
    for channels in (before, after):
        layers.append(nn.Conv2d(channels, after, kernel_size=3, padding=(1, 1), bias=norm == "none"))
        if norm == "batch":
            layers.append(nn.BatchNorm2d(after))
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


def doubling(channels: int, up: str) -> nn.Module:
    """Twice the side, half the channels."""
    if up == "transposed":
        return nn.ConvTranspose2d(channels, channels // 2, kernel_size=2, stride=2)
    return nn.Sequential(
        nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False),
        nn.Conv2d(channels, channels // 2, kernel_size=3, padding=(1, 1)),
    )


def build_unet(config: UnetConfig, num_channels: int, num_outputs: int) -> Unet:
    """The U-Net a configuration asks for."""
    assert config.width != "auto", "auto is resolved before a model is built"
    if config.weights != "none":
        fix = "Pretrained encoders come with --model unet/resnet34."
        raise ModelError(
            must("model.weights", "none, a weights file or a run folder for unet", repr(config.weights), fix)
        )
    return Unet(num_channels, num_outputs, config.width, config.depth, config.up, config.norm)
