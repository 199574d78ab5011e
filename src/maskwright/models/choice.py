"""Which network where none is named, and what it starts from: `model: auto`, `weights: auto`.

config, reasons = choose_model(AutoModelConfig(), "cpu")
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from maskwright import runtime
from maskwright.config.models import AnyModelConfig, AutoModelConfig, Resnet34UnetConfig, SmpConfig, TorchvisionConfig
from maskwright.models import drawn
from maskwright.models.hub import answers
from maskwright.models.smp import weights_at_hand
from maskwright.models.torchvision import BACKBONES
from maskwright.models.weights import DRAWN, own_weights
from maskwright.runs import Run

AUTO = "auto"
ENCODERS = {"cpu": "resnet18", "gpu": "resnet34"}
# without ResNet's last stage, which holds three quarters of its parameters, and with a third of SMP's decoder
SLIM = {"encoder_depth": 4, "decoder_channels": [96, 64, 32, 16]}
_IMAGENET = "imagenet"


def choose_model(model: AnyModelConfig, device: str, seldom: bool = False) -> tuple[AnyModelConfig, dict[str, str]]:
    """A network in place of `auto`, weights in place of its `auto`, and the reasons; what is named stays as it is.

    `seldom`: the training will see its images so few times that maskwright's own start is worth it.
    """
    reasons: dict[str, str] = {}
    if isinstance(model, AutoModelConfig):
        model, reasons["model"] = _network(model, device)
    if model.weights == AUTO:
        weights, reasons["model.weights"] = choose_weights(model, seldom)
        model = model.model_copy(update={"weights": weights})
    return model, reasons


def choose_weights(model: AnyModelConfig, seldom: bool = False) -> tuple[str, str]:
    """Pretrained weights where they can be had now, else maskwright's own or none; and why."""
    if isinstance(model, SmpConfig):
        weights, why = weights_at_hand(model.encoder)
        if weights == "none" and seldom and _is_slim(model):
            reason = why.removeprefix("random: ")
            return DRAWN, f"maskwright's own, learned from drawn pictures (licence {drawn.LICENCE}); {reason}"
        return weights, why
    if isinstance(model, Resnet34UnetConfig):
        return _of_torchvision("ResNet34_Weights.IMAGENET1K_V1", _IMAGENET)
    if isinstance(model, TorchvisionConfig):
        backbone = next(name for name in BACKBONES if model.arch.endswith(name))
        return _of_torchvision(BACKBONES[backbone], "imagenet-backbone")
    return "none", f"random: {model.name} has no weights of its own; name some of the hub to start from them"


def _is_slim(model: SmpConfig) -> bool:
    """Whether a network is the one that maskwright's own start was learned with."""
    named = (model.arch, model.encoder) == ("unet", drawn.ENCODER)
    return named and all(getattr(model, key) == value for key, value in SLIM.items())


def _network(auto: AutoModelConfig, device: str) -> tuple[AnyModelConfig, str]:
    own = own_weights(auto.weights)
    if own is not None and (own / "config.yaml").is_file():
        found = Run.open(own).config.model
        return found.model_copy(
            update={"weights": auto.weights}
        ), f"the network of {Path(own)}, whose weights it starts from"
    encoder = ENCODERS[device]
    start: dict[str, Any] = {"weights": auto.weights, "pixels": auto.pixels, "outputs": auto.outputs}
    if auto.weights == DRAWN:
        message = f"the U-Net on {drawn.ENCODER} that maskwright's own start was learned with"
        return SmpConfig(arch="unet", encoder=drawn.ENCODER, **SLIM, **start), message
    if device == "gpu":
        return SmpConfig(arch="unet", encoder=encoder, **start), f"a U-Net on {encoder}, which a GPU trains in minutes"
    message = f"a U-Net on {encoder} without its last stage and with a slim decoder learns most a minute on a CPU"
    return SmpConfig(arch="unet", encoder=encoder, **SLIM, **start), message


def _of_torchvision(name: str, wanted: str) -> tuple[str, str]:
    """A set of torchvision's, where its file lies in torch.hub's cache or its server answers."""
    runtime.ensure_torchvision()
    from torchvision.models import get_weight

    url: Any = get_weight(name).url
    if (Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]).is_file():
        return wanted, f"{name}, from the cache"
    if answers(url):
        return wanted, f"{name}, from {url}"
    return "none", f"random: {name} is not in the cache, and its server does not answer"
