"""Networks and what surrounds each: normalisation, padding to the stride, one form of logits.

To add one: a file with `build_x(config, num_channels, num_outputs) -> nn.Module` having `stride` and `parts`, its
config section, and a line in `MODELS`. The contract tests pick it up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from maskwright import runtime
from maskwright.config import SmpConfig, UnetConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models.smp import build_smp
from maskwright.models.unet import build_unet
from maskwright.models.wrapper import Segmenter

MODELS: dict[str, Callable[[Any, int, int], nn.Module]] = {
    "unet": build_unet,
    "smp": build_smp,
}


def build_model(config: UnetConfig | SmpConfig, classes: ClassMap, num_channels: int = 3) -> Segmenter:
    """The network a configuration asks for, ready to take uint8 images of any size."""
    runtime.tune_allocator()
    if config.outputs == "sigmoid" and not classes.is_binary:
        fix = "Set model.outputs: softmax."
        raise ModelError(
            f"`model.outputs` must be softmax for more than two classes; got sigmoid and {classes.num_classes}. {fix}"
        )
    num_outputs = 1 if config.outputs == "sigmoid" else classes.num_classes
    return Segmenter(MODELS[config.name](config, num_channels, num_outputs), num_channels)


__all__ = ["MODELS", "Segmenter", "build_model"]
