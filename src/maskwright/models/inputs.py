"""A library's first convolution, made to take another number of bands."""

from __future__ import annotations

import torch
from torch import nn

from maskwright.models.weights import bands_in_turn


def convolution_for(layer: nn.Conv2d, num_channels: int, learned: bool) -> nn.Conv2d:
    """The layer itself, or one like it for another number of bands; its kernels follow from the learned ones, or are new."""
    if num_channels == layer.in_channels:
        return layer
    assert not isinstance(layer.padding, str)
    other = nn.Conv2d(
        num_channels, layer.out_channels, (layer.kernel_size[0], layer.kernel_size[1]), (layer.stride[0], layer.stride[1]),
        (layer.padding[0], layer.padding[1]), bias=layer.bias is not None,
    )  # fmt: skip
    with torch.no_grad():
        if learned:
            other.weight.copy_(bands_in_turn(layer.weight, num_channels))
        else:
            nn.init.kaiming_normal_(other.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None and other.bias is not None:
            other.bias.copy_(layer.bias)
    return other


def bands_note(num_channels: int) -> tuple[str, ...]:
    """What a person is told when the first convolution was made for other bands than its 3."""
    same = num_channels == 3
    return () if same else (f"the first convolution: 3 bands there, {num_channels} here, taken in turns and scaled",)
