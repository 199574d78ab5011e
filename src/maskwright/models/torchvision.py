"""Segmentation networks of torchvision: DeepLabV3, FCN and LR-ASPP, with their pretrained weights.

The last convolution of the classifier is always new, for the classes at hand. DeepLabV3 and FCN have an auxiliary head
on an earlier map; its loss joins the network's own in training with `aux_weight`, and prediction does not run it.
"""

from __future__ import annotations

import contextlib
import pickle
import sys
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn import functional

from maskwright import runtime
from maskwright.config.models import TorchvisionConfig
from maskwright.errors import ModelError, unknown
from maskwright.models.hub import why
from maskwright.models.licences import TORCHVISION
from maskwright.models.weights import Loaded, bands_note, convolution_for, pretrained

WEIGHTS = ("COCO_WITH_VOC_LABELS_V1", "imagenet-backbone", "none")
BACKBONES = {
    "resnet50": "ResNet50_Weights.IMAGENET1K_V1",
    "resnet101": "ResNet101_Weights.IMAGENET1K_V1",
    "mobilenet_v3_large": "MobileNet_V3_Large_Weights.IMAGENET1K_V1",
}
_NOT_LOADED = (OSError, RuntimeError, EOFError, pickle.UnpicklingError)  # out of reach, or a file that is not whole
# set of weights → where it is from and on what terms it may be used
LICENCES = {
    "COCO_WITH_VOC_LABELS_V1": "none stated by torchvision, whose code is BSD-3-Clause; terms may follow from the "
    "images, part of COCO, they were trained on with the 20 classes of Pascal VOC",
    "imagenet-backbone": TORCHVISION,
    "imagenet": TORCHVISION,
}


class TorchvisionNet(nn.Module):
    """A network of torchvision that gives plain logits: N C H W → N out H W."""

    loaded: Loaded | None = None

    def __init__(self, net: Any, aux_weight: float, stride: int) -> None:
        super().__init__()
        self.backbone, self.classifier = net.backbone, net.classifier
        self.aux_classifier = net.aux_classifier if aux_weight else None
        self.aux_weight, self.stride = aux_weight, stride
        heads = [self.classifier, *([self.aux_classifier] if self.aux_classifier is not None else [])]
        self.parts: dict[str, list[nn.Module]] = {"encoder": [self.backbone], "decoder": [], "head": []}
        for head in heads:
            last = _last_layers(head)
            self.parts["head"] += [getattr(head, name) for name in last]
            self.parts["decoder"] += [module for name, module in head.named_children() if name not in last]

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self._classified(self.backbone(x), x)

    def training_outputs(self, x: torch.Tensor) -> list[tuple[float, torch.Tensor]]:
        """(weight, logits) of the network and of its auxiliary head."""
        features = self.backbone(x)
        outputs = [(1.0, self._classified(features, x))]
        if self.aux_classifier is not None:
            outputs.append((self.aux_weight, _enlarged(self.aux_classifier(features["aux"]), x)))
        return outputs

    def _classified(self, features: dict[str, torch.Tensor], x: torch.Tensor) -> torch.Tensor:
        # LR-ASPP's head takes two maps, the others' one
        return _enlarged(self.classifier(features.get("out", features)), x)


def build_torchvision(config: TorchvisionConfig, num_channels: int, num_outputs: int) -> TorchvisionNet:
    """Build `arch` with its weights; without a network, they must be in the cache of torch.hub."""
    runtime.ensure_torchvision()
    from torchvision import models

    if config.weights not in WEIGHTS:
        raise ModelError(unknown("weights", config.weights, WEIGHTS, key="model.weights"))
    backbone = next(name for name in BACKBONES if config.arch.endswith(name))
    wanted = {"COCO_WITH_VOC_LABELS_V1": _coco_weights(config.arch), "imagenet-backbone": BACKBONES[backbone]}.get(
        config.weights
    )
    net = _bare(models.get_model_builder(config.arch), config, wanted)
    aux_weight = config.aux_weight or 0.0
    for head in (net.classifier, getattr(net, "aux_classifier", None)):
        for name in _last_layers(head):
            setattr(head, name, nn.Conv2d(getattr(head, name).in_channels, num_outputs, kernel_size=1))
    # the first convolution, and what it is called there
    module, name = (net.backbone, "conv1") if "resnet" in backbone else (net.backbone["0"], "0")
    setattr(module, name, convolution_for(getattr(module, name), num_channels, learned=wanted is not None))
    # dilated, so that the last map is an eighth (ResNet) or a sixteenth (MobileNetV3) of the input
    made = TorchvisionNet(net, aux_weight, stride=8 if "resnet" in backbone else 16)
    if wanted is not None:
        parts = ("encoder", "decoder") if config.weights.startswith("COCO") else ("encoder",)
        licence = LICENCES[config.weights]
        made.loaded = pretrained(made, f"weights {wanted}", licence, parts, adapted=bands_note(num_channels))
    return made


def fetched(weights: str, message: str) -> dict[str, torch.Tensor]:
    """The state dict of a set of torchvision's weights, from the cache of torch.hub or its server."""
    runtime.ensure_torchvision()
    from torchvision.models import get_weight

    try:
        with contextlib.redirect_stdout(sys.stderr):  # torch.hub tells of a download on stdout, which may be JSON's
            return get_weight(weights).get_state_dict(progress=True, check_hash=True)
    except _NOT_LOADED as error:
        raise ModelError(_out_of_reach(weights, message, error)) from error


def _bare(builder: Any, config: TorchvisionConfig, wanted: str | None) -> Any:
    """The network as torchvision builds it, its weights loaded."""
    from torchvision.models import get_weight

    pretrained = get_weight(wanted) if wanted else None
    whole, backbone = (pretrained, None) if config.weights.startswith("COCO") else (None, pretrained)
    auxiliary = {} if config.arch.startswith("lraspp") else {"aux_loss": whole is not None or bool(config.aux_weight)}
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return builder(weights=whole, weights_backbone=backbone, **auxiliary)
    except _NOT_LOADED as error:
        if wanted is None:
            raise
        raise ModelError(_out_of_reach(wanted, f"{config.weights} of {config.arch}", error)) from error


def _out_of_reach(weights: str, message: str, error: Exception) -> str:
    from torchvision.models import get_weight

    url = get_weight(weights).url
    folder = Path(torch.hub.get_dir()) / "checkpoints"
    return (
        f"`model.weights` must be at hand or within reach; {message} could not be loaded ({why(error)}). "
        f"Put {url.rpartition('/')[2]} (from {url}) into {folder}, go online once, or start from scratch with "
        "--weights none."
    )


def _coco_weights(arch: str) -> str:
    """torchvision's full name of an architecture's weights: `DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1`."""
    from torchvision.models import get_model_weights

    return f"{cast(Any, get_model_weights(arch)).__name__}.COCO_WITH_VOC_LABELS_V1"


def _last_layers(head: nn.Module | None) -> list[str]:
    """Names of the convolutions that give a channel a class."""
    if head is None:
        return []
    return [str(len(head) - 1)] if isinstance(head, nn.Sequential) else ["low_classifier", "high_classifier"]


def _enlarged(logits: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return functional.interpolate(logits.float(), size=x.shape[-2:], mode="bilinear", align_corners=False)
