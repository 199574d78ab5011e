"""Networks and what surrounds each: normalisation, padding to the stride, one form of logits.

To add one: a file with `build_x(config, num_channels, num_outputs) -> nn.Module` having `stride` and `parts`, its
config section, and a line in `MODELS`. The contract tests pick it up. A network may also have `smallest` (the least
side it takes), `mean` and `std` (of the bands, 0 to 255) and `loaded` (a `Loaded`: the weights it came with); weights
from a file or an own run are loaded into it here, whatever the network.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from maskwright import runtime
from maskwright.config.models import AnyModelConfig, PixelsConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError, must
from maskwright.models.custom import build_custom
from maskwright.models.drawn import load_drawn
from maskwright.models.hf import build_hf
from maskwright.models.resnet34_unet import build_resnet34_unet
from maskwright.models.smp import build_smp
from maskwright.models.torchvision import build_torchvision
from maskwright.models.unet import build_unet
from maskwright.models.weights import DRAWN, SUFFIXES, adopt_pixels, load_own, own_weights, without_weights
from maskwright.models.wrapper import Segmenter

MODELS: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "unet": build_unet,
    "resnet34_unet": build_resnet34_unet,
    "smp": build_smp,
    "torchvision": build_torchvision,
    "hf": build_hf,
    "custom": build_custom,
}


def build_model(
    config: AnyModelConfig, classes: ClassMap, num_channels: int = 3, start: bool = True, multiscale: bool = False
) -> Segmenter:
    """The network a configuration asks for, ready to take uint8 images of any size.

    `start=False` leaves `model.weights` out: for a run's own weights, which are loaded anyway.
    """
    runtime.tune_allocator()
    if config.outputs == "sigmoid" and not classes.is_binary:
        fix = "Set model.outputs: softmax."
        raise ModelError(
            f"`model.outputs` must be softmax for more than two classes; got sigmoid and {classes.num_classes}. {fix}"
        )
    num_outputs = 1 if config.outputs == "sigmoid" else classes.num_classes
    pixels = getattr(config, "pixels", "auto")
    if start:
        validate_bands(config, num_channels)
    own = _own_weights(config) if start else None
    net = MODELS[config.name](config if start and own is None else without_weights(config), num_channels, num_outputs)
    if own is not None:
        adopt_pixels(net, own, config, num_channels)
    if isinstance(pixels, PixelsConfig):
        net.mean, net.std = tuple(pixels.mean), tuple(pixels.std)  # pyright: ignore[reportArgumentType]
    model = Segmenter(net, num_channels, multiscale)
    if own is not None and config.weights == DRAWN:
        model.loaded = load_drawn(model, config, classes, num_channels)
    elif own is not None:
        model.loaded = load_own(model, own, classes, num_channels)
    return model


def validate_bands(config: AnyModelConfig, num_channels: int) -> None:
    """Stop where `model.pixels` normalises another number of bands than there are."""
    pixels = getattr(config, "pixels", "auto")
    if isinstance(pixels, PixelsConfig) and {len(pixels.mean), len(pixels.std)} != {num_channels}:
        got = f"{len(pixels.mean)} means and {len(pixels.std)} deviations"
        raise ModelError(
            must("model.pixels", f"a mean and a std for each of {num_channels} bands", got, "Or set it to auto.")
        )


def _own_weights(config: AnyModelConfig) -> Path | None:
    """The file or run `model.weights` names; hf reads a model of the hub and a folder of save_pretrained itself."""
    own = own_weights(config.weights)
    if own is None or config.name != "hf" or own.suffix.lower() in SUFFIXES or (own / "config.yaml").is_file():
        return own
    return None


__all__ = ["MODELS", "Segmenter", "build_model"]
