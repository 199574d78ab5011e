"""Any architecture of segmentation-models-pytorch with any of its encoders."""

from __future__ import annotations

from typing import Any

from torch import nn

from maskwright import runtime
from maskwright.config import SmpConfig
from maskwright.errors import ModelError, unknown


def build_smp(config: SmpConfig, num_channels: int, num_outputs: int) -> nn.Module:
    """Build `arch` on `encoder`; without a network, pretrained weights must be in the cache."""
    runtime.ensure_torchvision()
    import segmentation_models_pytorch as smp

    architectures: dict[str, Any] = dict(smp.MODEL_ARCHITECTURES_MAPPING)
    if config.arch.lower() not in architectures:
        raise ModelError(unknown("model.arch", config.arch, architectures))
    encoders = smp.encoders.get_encoder_names()
    if config.encoder not in encoders and not config.encoder.startswith("tu-"):
        raise ModelError(unknown("model.encoder", config.encoder, encoders, "Any timm encoder is tu-NAME."))
    weights = None if config.weights == "none" else config.weights
    offered = list(smp.encoders.encoders.get(config.encoder, {}).get("pretrained_settings", {}))
    if weights and offered and weights not in offered:
        raise ModelError(unknown("model.weights", weights, [*offered, "none"]))
    try:
        model = architectures[config.arch.lower()](
            encoder_name=config.encoder, encoder_weights=weights, in_channels=num_channels, classes=num_outputs
        )
    except Exception as error:
        raise ModelError(_sentence(config, weights, error)) from error
    # strides differ by architecture and encoder; 32 divides into all but a few, which say their own
    model.stride = max(32, int(getattr(model.encoder, "output_stride", 32)))
    model.parts = {"encoder": [model.encoder], "decoder": [model.decoder], "head": [model.segmentation_head]}
    return model


def _sentence(config: SmpConfig, weights: str | None, error: Exception) -> str:
    name = f"{config.arch}/{config.encoder}"
    if weights is None:
        return f"`model` must be a combination that can be built; {name} cannot ({error}). Choose another encoder."
    return (
        f"`model.weights` must be at hand or within reach; {weights} of {config.encoder} could not be loaded "
        f"({_first_line(error)}). Go online once to fill the cache, or start from scratch with --weights none."
    )


def _first_line(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error).__name__
