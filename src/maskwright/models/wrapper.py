"""`Segmenter`: a network that takes uint8 images of any size and gives logits of every class at that size.

Legend: N batch, K classes, H W sides.
"""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from maskwright.data.geometry import View, shrink_to
from maskwright.data.tiles import EVEN, Forward, is_foreground, predict_whole
from maskwright.errors import ModelError
from maskwright.models.weights import Loaded

MEAN = (123.675, 116.28, 103.53)  # ImageNet's, which pretrained encoders expect and any other network tolerates
STD = (58.395, 57.12, 57.375)
_ONEDNN_BLOCK = 16  # channels that its kernels of AVX-512 compute at once
_PIXELS_A_PASS = 8 * 512**2  # of tiles, on a GPU: enough to fill it, far from filling its memory


class Segmenter(nn.Module):
    """images N C H W uint8 → logits N K H W float32.

    Normalises on the batch (with the network's own `mean` and `std` where it has them, on the scale of
    0 to 255), pads to the network's stride, and to its `smallest` side where it needs more than one
    stride, by repeating the border; crops back. A network with one output channel z becomes two logits
    (0, z): their softmax is its sigmoid, so everything downstream knows a single form.

    With `multiscale` it predicts at half the size as well, and its logits are the logarithm of the mean probabilities.
    """

    mean: torch.Tensor
    std: torch.Tensor

    def __init__(self, net: nn.Module, num_channels: int = 3, multiscale: bool = False) -> None:
        super().__init__()
        self.net, self.multiscale = subsampling_first(net), multiscale
        self.stride = int(cast(int, net.stride))
        self.smallest = int(getattr(net, "smallest", self.stride))
        self.loaded: Loaded | None = getattr(net, "loaded", None)
        default = (
            (MEAN, STD) if num_channels == 3 else ((np.mean(MEAN),) * num_channels, (np.mean(STD),) * num_channels)
        )
        mean, std = getattr(net, "mean", default[0]), getattr(net, "std", default[1])
        self.pixels = ([float(value) for value in mean], [float(value) for value in std])
        # not in the weights file: they are constants
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(1, -1, 1, 1), persistent=False)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.multiscale and not self.training:
            return _one_form(self.at_both_sizes(self._padded(images, *self.grid)), images)
        return _one_form(self.net(self._padded(images, self.stride, self.smallest)), images)

    @property
    def grid(self) -> tuple[int, int]:
        """What sides are padded to for a prediction: multiples of the first, and no less than the second."""
        times = 2 if self.multiscale else 1
        return times * self.stride, times * self.smallest

    def at_both_sizes(self, x: torch.Tensor) -> torch.Tensor:
        """Of normalised images, padded so that both sizes fit the stride: the logarithm of the mean probabilities."""
        full, half = (two_classes(self.net(one)).softmax(dim=1) for one in (x, functional.avg_pool2d(x, 2)))
        # planes, not channels last: the CPU's bilinear kernel for few channels is much faster on them
        half = functional.interpolate(half.contiguous(), scale_factor=2, mode="bilinear", align_corners=False)
        return ((full + half) / 2).clamp_min(1e-7).log()

    def training_logits(self, images: torch.Tensor) -> list[tuple[float, torch.Tensor]]:
        """(weight, logits) of all that the loss is taken of in training: the network's own first, auxiliary heads
        after.

        A network with auxiliary heads has `training_outputs(x)`; elsewhere this is `forward` alone.
        """
        try:
            if not hasattr(self.net, "training_outputs"):
                return [(1.0, self(images))]
            outputs = cast(Any, self.net).training_outputs(self._padded(images, self.stride, self.smallest))
        except ValueError as error:
            if "more than 1 value per channel" not in str(error):
                raise
            fix = "Set train.batch_size to 2 or more, and train.repeats where an epoch has a single input."
            got = f"{len(images)} of {images.shape[-2]} × {images.shape[-1]}"
            raise ModelError(
                f"`train.batch_size` must leave batch-norm more than one value; got {got}, a map of 1 × 1. {fix}"
            ) from None
        return [(weight, _one_form(logits, images)) for weight, logits in outputs]

    def _padded(self, images: torch.Tensor, stride: int, smallest: int) -> torch.Tensor:
        """Normalised, and padded to multiples of the stride by repeating the border."""
        height, width = images.shape[-2:]
        x = self.normalise(images)
        pad_h, pad_w = (max(-side % stride, smallest - side) for side in (height, width))
        return functional.pad(x, (0, pad_w, 0, pad_h), mode="replicate") if pad_h or pad_w else x

    def normalise(self, images: torch.Tensor) -> torch.Tensor:
        """uint8 → floats of mean 0 and deviation 1, channels last in memory."""
        return ((images - self.mean) / self.std).contiguous(memory_format=torch.channels_last)

    def part(self, name: str) -> list[nn.Module]:
        """The modules of `encoder`, `decoder` or `head`."""
        parts = cast(dict[str, list[nn.Module]], self.net.parts)
        return parts[name]


def _one_form(logits: torch.Tensor, images: torch.Tensor) -> torch.Tensor:
    """A network's output, cut to the images' size; of one channel, two."""
    height, width = images.shape[-2:]
    return two_classes(logits[..., :height, :width])


def two_classes(logits: torch.Tensor) -> torch.Tensor:
    """Logits in full precision; of one channel, two."""
    logits = logits.float()
    return torch.cat([torch.zeros_like(logits), logits], dim=1) if logits.shape[1] == 1 else logits


def logits_at_own_size(model: nn.Module, image: np.ndarray, view: View, device: torch.device) -> torch.Tensor:
    """Logits of one image at its own size, seen by the network as `view` says. H W 3 uint8 → 1 K H W.

    Where the view resized the image or it was seen in tiles, the probabilities are brought back and given as their
    logarithm, whose softmax they are: boundaries then fall where the classes are equally likely.
    """
    height, width = image.shape[:2]
    if view.tiled(height, width):
        tiles_a_pass = 1 if device.type == "cpu" else max(1, _PIXELS_A_PASS // view.tiling.side**2)
        found = predict_whole(image, view, probabilities_of(model, device), batch_size=tiles_a_pass)
        full = torch.from_numpy(found).to(device)
        return full.clamp_min_(1e-7).log_().unsqueeze(0)
    inner = np.ascontiguousarray(shrink_to(image, *view.inner_size(height, width)))
    logits = model(torch.from_numpy(inner).to(device).permute(2, 0, 1).unsqueeze(0))
    if logits.shape[-2:] == (height, width):
        return logits
    # planes, not channels last: the CPU's bilinear kernel for few channels is much faster on them
    planes = logits.softmax(dim=1).contiguous()
    full = functional.interpolate(planes, size=(height, width), mode="bilinear", align_corners=False)
    return full.clamp_min(1e-7).log()


def probabilities_of(model: nn.Module, device: torch.device) -> Forward:
    """A network as tiles ask for it. N h w C uint8 → N K h w float32"""

    def forward(images: np.ndarray) -> np.ndarray:
        logits = model(torch.from_numpy(images).to(device).permute(0, 3, 1, 2))
        return _planes(logits).softmax(dim=1).cpu().numpy()

    return forward


def _planes(logits: torch.Tensor) -> torch.Tensor:
    """`contiguous()` of channels last, image by image as the turn of a matrix: a third of its time on a CPU. N K h w"""
    if logits.is_contiguous():
        return logits
    planes = torch.empty(logits.shape, dtype=logits.dtype, device=logits.device)
    for whole, image in zip(planes, logits, strict=True):
        whole.flatten(1).copy_(image.permute(1, 2, 0).reshape(-1, len(image)).t())
    return planes


def labels_from_logits(logits: torch.Tensor, threshold: float = EVEN) -> torch.Tensor:
    """The most likely class of each pixel, the first of equals. N K H W → N H W uint8.

    Of two classes a pixel is foreground above the probability `threshold`.
    Two classes need one comparison. For more, `argmax` over planes visits each pixel's classes far apart in memory.
    Pooling over classes, with the pixels as its channels, takes the same maximum many pixels at a time: 1/25 of the
    time on a CPU. Where classes lie next to each other (channels last) `max` over them is a quarter faster than
    `argmax`.
    """
    num, num_classes, height, width = logits.shape
    if num_classes == 2:
        return is_foreground(logits if threshold == EVEN else logits.softmax(dim=1), threshold).to(torch.uint8)
    if logits.device.type == "cpu" and logits.is_contiguous():
        planes = logits.view(num, num_classes, 1, height * width).permute(0, 3, 1, 2)  # N HW K 1
        found = functional.max_pool2d(planes, (num_classes, 1), return_indices=True)[1]
        return found.view(num, height, width).to(torch.uint8)
    return logits.permute(0, 2, 3, 1).contiguous().max(dim=-1).indices.to(torch.uint8)


def subsampling_first(net: nn.Module) -> nn.Module:
    """The network, whose 1×1 convolutions with a stride and few channels take every second pixel themselves.

    The same numbers. On a CPU, oneDNN's gradient of such a convolution writes beyond its memory where images are
    channels last (uxlfoundation/oneDNN#6035): a process dies in RepVGG's and MobileOne's first layer, or later.
    """
    for module in net.modules():
        if isinstance(module, nn.Conv2d) and type(module) is nn.Conv2d and _overruns(module):
            module.__class__ = _SubsamplingConv2d
    return net


def _overruns(conv: nn.Conv2d) -> bool:
    pointwise = conv.kernel_size == (1, 1) and conv.groups == 1 and not any(conv.padding)
    return pointwise and max(conv.stride) > 1 and conv.in_channels < _ONEDNN_BLOCK


class _SubsamplingConv2d(nn.Conv2d):
    def _conv_forward(self, input: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        down, right = self.stride
        return functional.conv2d(input[..., ::down, ::right], weight, bias)
