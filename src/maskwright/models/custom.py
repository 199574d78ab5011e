"""A network of a person's own: any `nn.Module` of image N C H W → logits N K h w.

What it gives may be a tensor, a dict with `out` (torchvision) or an object with `logits` (transformers); smaller than
the image, it is enlarged. The sides it takes are found by trying. Parts that can be frozen are there where it names
them.
"""

from __future__ import annotations

import copy
import inspect
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from maskwright.config.models import CustomModelConfig
from maskwright.errors import ModelError, must
from maskwright.models.hub import why

STRIDES = (1, 2, 4, 8, 16, 32, 64, 128)
_LEAST_STRIDES = (1, 2, 4, 8)  # how many of them the least side has: U-Nets normalise or pool their deepest map
_PARTS = {
    "encoder": ("encoder", "backbone"),
    "decoder": ("decoder",),
    "head": ("segmentation_head", "head", "classifier"),
}
# what constructors call the numbers of bands and of outputs
_CHANNELS = ("num_channels", "in_channels", "in_chans")
_OUTPUTS = ("num_classes", "num_outputs", "classes", "out_channels")


class CustomNet(nn.Module):
    """Somebody's network, giving logits of its input's size."""

    def __init__(self, net: nn.Module, num_channels: int, num_outputs: int) -> None:
        super().__init__()
        self.net = net
        found = {part: next((getattr(net, name) for name in names if isinstance(getattr(net, name, None), nn.Module)),
                            None)
                 for part, names in _PARTS.items()}  # fmt: skip
        self.parts = {part: [module] if module is not None else [] for part, module in found.items()}
        self.stride, self.smallest = _sides(self, num_channels, num_outputs)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = logits_of(self.net(x))
        if logits.shape[-2:] == x.shape[-2:]:
            return logits
        return functional.interpolate(logits.float(), size=x.shape[-2:], mode="bilinear", align_corners=False)


def build_custom(config: CustomModelConfig, num_channels: int, num_outputs: int) -> nn.Module:
    """Import what `source` names and, where it is no network, call it with `options` and the numbers it asks for."""
    made = config.load("model")
    if isinstance(made, nn.Module):
        made = copy.deepcopy(made)  # each training begins with the weights it was given with
    elif callable(made):
        made = _called(made, config, num_channels, num_outputs)
    if not isinstance(made, nn.Module):
        got = f"{type(made).__name__} from {config.source}"
        raise ModelError(must("model", "an nn.Module, or a class or function that gives one", got))
    return CustomNet(made, num_channels, num_outputs)


def logits_of(answer: Any) -> torch.Tensor:
    """The logits in whatever a network gives."""
    if isinstance(answer, dict):  # transformers' outputs are dicts, too
        answer = answer.get("out", answer.get("logits"))
    answer = getattr(answer, "logits", answer)
    if not isinstance(answer, torch.Tensor) or answer.ndim != 4:
        got = f"a tensor of {tuple(answer.shape)}" if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise ModelError(
            must("model", "a network that gives logits N K H W (a tensor, or a dict that holds them as out)", got)
        )
    return answer


def _called(build: Any, config: CustomModelConfig, num_channels: int, num_outputs: int) -> Any:
    try:
        takes = inspect.signature(build).parameters
    except (TypeError, ValueError):
        takes = {}
    counts = ((_CHANNELS, num_channels), (_OUTPUTS, num_outputs))
    asked = {name: count for names, count in counts for name in names if name in takes}
    try:
        return build(**{**asked, **config.options})
    except Exception as error:
        given = f"{config.options} ({type(error).__name__}: {why(error)})"
        raise ModelError(must("model.options", f"arguments that {config.arch} takes", given)) from error


def _sides(net: CustomNet, num_channels: int, num_outputs: int) -> tuple[int, int]:
    """The least side that inputs must be a multiple of, and the least they must have, found by trying odd multiples."""
    message = ""
    for least in _LEAST_STRIDES:
        for stride in STRIDES:
            large = max(least, 32 // stride) | 1  # an odd multiple beyond 32: what small maps forgive shows there
            shapes = [(num_channels, stride * times, stride * (times + 2)) for times in (least, large)]
            message = next(filter(None, (_refusal(net, shape, num_outputs) for shape in shapes)), "")
            if not message:
                return stride, stride * least
    largest = STRIDES[-1] * _LEAST_STRIDES[-1]
    got = f"{type(net.net).__name__}, which refuses all sides up to {largest} ({message})"
    raise ModelError(must("model", "a network that takes images of any size", got))


@torch.no_grad()
def _refusal(net: CustomNet, shape: tuple[int, int, int], num_outputs: int) -> str:
    """Why the network takes no inputs of this shape; empty where it does. Unwanted outputs are refused for good."""
    was_training = net.training
    net.eval()
    parameter = next(net.parameters(), torch.empty(0))
    try:
        x = torch.zeros(2, *shape, dtype=torch.float32, device=parameter.device)
        logits = logits_of(net.net(x))
    except ModelError:
        raise
    except Exception as error:  # noqa: BLE001 - each network has its own way to refuse
        return why(error)
    finally:
        net.train(was_training)
    if logits.shape[1] != num_outputs and not (logits.shape[1] == 1 and num_outputs == 2):
        fix = "Give it an argument num_classes, or set model.options."
        raise ModelError(must("model", f"a network with {num_outputs} outputs, one a class", f"{logits.shape[1]}", fix))
    (height, width), (high, wide) = shape[1:], logits.shape[-2:]
    if not high or not wide or height % high or width % wide or height // high != width // wide:
        return f"{height} × {width} comes back as {high} × {wide}"
    return ""
