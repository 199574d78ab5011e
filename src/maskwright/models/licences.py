"""Under which licence an encoder's pretrained weights stand.

timm keeps the licence of each set with its model. For SMP's mirrors the licence is that of the weights' origin,
which the mirror cannot widen.
"""

from __future__ import annotations

from maskwright import runtime
from maskwright.models.weights import UNKNOWN

TORCHVISION = (  # torchvision's README, "Pre-trained Model License"
    "BSD-3-Clause, as timm says of those of ImageNet-1k; torchvision itself states none: "
    "terms may follow from the images, ImageNet-1k, they were trained on"
)
_ORIGINS: tuple[tuple[str, str], ...] = (  # beginning of the encoder's name, licence of the weights' origin
    ("resnet", TORCHVISION),
    ("resnext50", TORCHVISION),
    ("vgg", TORCHVISION),
    ("densenet", TORCHVISION),
    ("mobilenet", TORCHVISION),
    ("resnext101_32x8d", TORCHVISION),
    ("efficientnet", "Apache-2.0 (EfficientNet-PyTorch)"),
    ("timm-", "Apache-2.0 (timm)"),
    ("mit_b", "NVIDIA Source Code License for SegFormer: non-commercial"),
    ("mobileone", "Apple's licence of ml-mobileone"),
)
_SETS = {
    "ssl": "CC-BY-NC-4.0 (semi-supervised ImageNet models of Facebook): non-commercial",
    "swsl": "CC-BY-NC-4.0 (semi-supervised ImageNet models of Facebook): non-commercial",
    "instagram": "CC-BY-NC-4.0 (WSL images models of Facebook): non-commercial",
}


def licence_of(encoder: str, weights: str) -> str:
    """The licence of an encoder's set of weights, `unknown` where its source names none.

    >>> licence_of("resnet18", "swsl").split()[0]
    'CC-BY-NC-4.0'
    """
    if encoder.startswith("tu-"):
        return _of_timm(encoder.removeprefix("tu-"), weights)
    if weights in _SETS:
        return _SETS[weights]
    return next((licence for start, licence in _ORIGINS if encoder.startswith(start)), UNKNOWN)


def _of_timm(name: str, weights: str) -> str:
    runtime.ensure_timm()
    import timm

    tagged = name if "." in name or weights in ("imagenet", "none") else f"{name}.{weights}"
    entry = timm.models.get_pretrained_cfg(tagged, allow_unregistered=True)
    licence = entry.license if entry is not None else None
    return str(licence) if licence and licence != "unknown" else UNKNOWN
