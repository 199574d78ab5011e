"""SegFormer and Mask2Former of transformers (extra hf), giving plain logits at the input's size.

SegFormer's logits, a quarter of the input's side, are enlarged bilinearly. Mask2Former gives queries, each with
a mask and class probabilities; the sum over queries of class × mask probability, the class "nothing" left out, is
how its authors make a semantic map, and its logarithm is what we call its logits. Both are trained with our losses
on these logits: Mask2Former's own matching of queries to objects, and the losses of its earlier decoder layers, are
not used. It wants small steps (its paper's rate is 1e-4): at ten times as much it may end at one map for all images.
Enlarging a hundred masks takes memory: about 0.1 GB an image of 512 × 512 and tensor.

Weights come from the hub (its own cache) or from a folder made by `save_pretrained`; the layer that tells
classes apart is always new. Both architectures expect ImageNet's normalisation, which is the wrapper's.

Legend: N batch, K classes, Q queries, H W sides; H and W must be multiples of 32 (the wrapper pads).
"""

from __future__ import annotations

import contextlib
import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from torch import nn
from torch.nn import functional

from maskwright import runtime
from maskwright.config.models import HfConfig
from maskwright.errors import ModelError, install_command, must
from maskwright.models.hub import asking_hub, why
from maskwright.models.weights import Loaded, bands_note, convolution_for, pretrained
from maskwright.models.wrapper import MEAN, STD

_WIDE, _B2 = (64, 128, 320, 512), 768
# Table 6 of the SegFormer paper: channels and layers of the four stages, channels of the decoder
SEGFORMER: dict[str, dict[str, Any]] = {
    "b0": {"hidden_sizes": (32, 64, 160, 256), "depths": (2, 2, 2, 2), "decoder_hidden_size": 256},
    "b1": {"hidden_sizes": _WIDE, "depths": (2, 2, 2, 2), "decoder_hidden_size": 256},
    "b2": {"hidden_sizes": _WIDE, "depths": (3, 4, 6, 3), "decoder_hidden_size": _B2},
    "b3": {"hidden_sizes": _WIDE, "depths": (3, 4, 18, 3), "decoder_hidden_size": _B2},
    "b4": {"hidden_sizes": _WIDE, "depths": (3, 8, 27, 3), "decoder_hidden_size": _B2},
    "b5": {"hidden_sizes": _WIDE, "depths": (3, 6, 40, 3), "decoder_hidden_size": _B2},
}
# Mask2Former's backbones: the Swin transformers
SWIN: dict[str, dict[str, Any]] = {
    "tiny": {"embed_dim": 96, "depths": (2, 2, 6, 2), "num_heads": (3, 6, 12, 24), "window_size": 7},
    "small": {"embed_dim": 96, "depths": (2, 2, 18, 2), "num_heads": (3, 6, 12, 24), "window_size": 7},
    "base": {"embed_dim": 128, "depths": (2, 2, 18, 2), "num_heads": (4, 8, 16, 32), "window_size": 12},
    "large": {"embed_dim": 192, "depths": (2, 2, 18, 2), "num_heads": (6, 12, 24, 48), "window_size": 12},
}
# Mask2Former above its backbone, as in its paper
MASK2FORMER: dict[str, Any] = {
    "feature_size": 256, "mask_feature_size": 256, "hidden_dim": 256, "encoder_feedforward_dim": 1024,
    "dim_feedforward": 2048, "encoder_layers": 6, "decoder_layers": 10, "num_attention_heads": 8, "num_queries": 100,
}  # fmt: skip
# who published → on what terms the weights may be used
LICENCES = {
    "nvidia/": "NVIDIA Source Code License for SegFormer: for research and evaluation, not for commercial use",
    "": "as their card says, at https://huggingface.co/{}",
}
_LEAST = 1e-7  # of a probability, before its logarithm


class SegformerNet(nn.Module):
    """SegFormer: N C H W → N K H W logits."""

    stride = 32

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        head = model.decode_head
        self.parts = {
            "encoder": [model.segformer],
            "decoder": [head.linear_projections, head.linear_fuse, head.batch_norm],
            "head": [head.classifier],
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits = self.model(pixel_values=x).logits.float()  # N K H/4 W/4
        return functional.interpolate(logits, size=x.shape[-2:], mode="bilinear", align_corners=False)


class Mask2formerNet(nn.Module):
    """Mask2Former as a semantic network: N C H W → N K H W logits."""

    stride = 32

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model
        inner = model.model
        model.criterion = None  # its own losses
        # of the backbone's last map, which nobody reads
        inner.pixel_level_module.encoder.swin.layernorm = nn.Identity()
        self.parts = {
            "encoder": [inner.pixel_level_module.encoder],
            "decoder": [inner.pixel_level_module.decoder, inner.transformer_module],
            "head": [model.class_predictor],
        }

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        outputs = self.model(pixel_values=x)
        return semantic_logits(outputs.class_queries_logits, outputs.masks_queries_logits, (x.shape[-2], x.shape[-1]))


def semantic_logits(classes: torch.Tensor, masks: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """log Σ_q class × mask probability. N Q K+1 (the last is "nothing") and N Q h w → N K H W.

    >>> semantic_logits(torch.zeros(1, 1, 3), torch.full((1, 1, 1, 1), 99.0), (1, 1)).exp().flatten()  # 1/3 × 1
    tensor([0.3333, 0.3333])
    """
    with torch.autocast(classes.device.type, enabled=False):  # the sum over queries is taken in fp32
        chance = classes.float().softmax(dim=-1)[..., :-1]
        covered = functional.interpolate(masks.float(), size=size, mode="bilinear", align_corners=False).sigmoid()
        return torch.einsum("nqk,nqhw->nkhw", chance, covered).clamp_min(_LEAST).log()


def build_hf(config: HfConfig, num_channels: int, num_outputs: int) -> nn.Module:
    """Build the architecture at its size; `weights` are a folder, or a model of the hub."""
    _refuse_missing(config)
    runtime.ensure_torchvision()
    with _quiet():
        if config.weights == "none":
            net = _classes(config)[1](_settings(config, num_channels, num_outputs))
            return _wrapped(config, net)
        with asking_hub():
            net, note = _pretrained(config)
        for module, name, last in _last_layers(config, net):
            fresh = type(last)(*_size_of(last, num_outputs))
            nn.init.normal_(fresh.weight, std=0.02)
            nn.init.zeros_(fresh.bias)
            setattr(module, name, fresh)
        module, name = _first_layer(config, net)
        setattr(module, name, convolution_for(getattr(module, name), num_channels, learned=True))
    net.config.num_labels = num_outputs
    wrapped = cast(Any, _wrapped(config, net))
    wrapped.loaded = _loaded(config, wrapped, num_channels, note)
    return wrapped


def _wrapped(config: HfConfig, net: Any) -> nn.Module:
    return SegformerNet(net) if config.arch == "segformer" else Mask2formerNet(net)


def _classes(config: HfConfig) -> tuple[Any, Any]:
    """The configuration's class and the model's, of the one architecture that was chosen."""
    import transformers

    if config.arch == "segformer":
        return transformers.SegformerConfig, transformers.SegformerForSemanticSegmentation
    return transformers.Mask2FormerConfig, transformers.Mask2FormerForUniversalSegmentation


def _settings(config: HfConfig, num_channels: int, num_labels: int) -> Any:
    """transformers' configuration of an architecture at its size."""
    size = str(config.size)
    if config.arch == "segformer":
        return _classes(config)[0](**SEGFORMER[size], num_channels=num_channels, num_labels=num_labels)
    from transformers import SwinConfig

    stages = [f"stage{number}" for number in range(1, 5)]
    swin = {**SWIN[size], "num_channels": num_channels, "drop_path_rate": 0.3, "out_features": stages}
    return _classes(config)[0](**MASK2FORMER, backbone_config=SwinConfig(**swin), num_labels=num_labels)


def _pretrained(config: HfConfig) -> tuple[Any, str]:
    """The network with its weights as they are, and what of it was not in them."""
    from transformers import AutoConfig

    source = _source(config.weights)
    kind, model = _classes(config)
    try:
        theirs: Any = AutoConfig.from_pretrained(source)
        if not isinstance(theirs, kind):
            got = f"{source}, of {theirs.model_type}"
            raise ModelError(must("model.weights", f"weights of {config.arch}", got, "Check --model."))
        _refuse_other_size(config, theirs)
        _refuse_other_pixels(source)
        settings = _settings(config, _channels(config, theirs), theirs.num_labels)
        net, info = model.from_pretrained(source, config=settings, output_loading_info=True)
        for parameter in net.parameters():  # out of the file's own memory, whose odd addresses change sums' last bits
            parameter.data = parameter.data.clone()
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise ModelError(_out_of_reach(source, error)) from error
    encoder = ("segformer.", "model.pixel_level_module.encoder.")
    fresh = [name for name in info["missing_keys"] if not name.startswith("criterion.")]
    missing = [name for name in fresh if name.startswith(encoder) and ".swin.layernorm." not in name]
    if missing:
        got = f"{source}, which lacks {len(missing)} tensors of the encoder, {missing[0]} first"
        raise ModelError(
            must("model.weights", f"weights of {config.arch}", got, "Start from scratch with --weights none.")
        )
    return net, f"{len(fresh)} tensors of the decoder and head are not in these weights, and fresh" if fresh else ""


def _refuse_missing(config: HfConfig) -> None:
    for package in ("transformers", *(["scipy"] if config.arch == "mask2former" else [])):
        if importlib.util.find_spec(package) is None:
            raise ModelError(
                f"`model.name: hf` must have the package {package}; it is not installed. Run: {install_command('hf')}"
            )


def _source(weights: str) -> str:
    """The folder or the hub's name that is meant; a folder that cannot be one is refused."""
    folder = Path(weights).expanduser()
    if folder.is_dir() and not (folder / "config.json").is_file():
        fix = "Write one with save_pretrained, or start from scratch with --weights none."
        raise ModelError(
            must("model.weights", "a folder with config.json and model.safetensors", f"{folder}, without", fix)
        )
    if not folder.is_dir() and (folder.is_absolute() or weights.startswith((".", "~")) or weights.count("/") != 1):
        fix = "Check the path, or start from scratch with --weights none."
        raise ModelError(
            must("model.weights", "a folder, OWNER/NAME of the hub or none", f"{weights}, which is not there", fix)
        )
    return str(folder) if folder.is_dir() else weights


def _refuse_other_size(config: HfConfig, theirs: Any) -> None:
    """A run is opened again by its size alone, so weights must be of the architecture that the size names."""

    def differing(size: str) -> list[str]:
        ours = _settings(config.model_copy(update={"size": size}), 3, 2)
        keys = [
            "hidden_sizes",
            "depths",
            "decoder_hidden_size",
            "num_attention_heads",
            "sr_ratios",
            "mlp_ratios",
            "hidden_act",
        ]
        pairs = [(ours, theirs, key) for key in keys]
        if config.arch == "mask2former":
            pairs = [(ours.backbone_config, theirs.backbone_config, key) for key in SWIN["tiny"]]
            pairs += [(ours, theirs, key) for key in (*MASK2FORMER, "pre_norm")]
        return [key for mine, other, key in pairs if _plain(getattr(mine, key)) != _plain(getattr(other, key, None))]

    sizes = SEGFORMER if config.arch == "segformer" else SWIN
    found = differing(str(config.size))
    if found:
        fitting = [size for size in sizes if not differing(size)]
        fix = (
            f"Set model.size: {fitting[0]}." if fitting else "Weights of another shape cannot be used; --weights none."
        )
        got = f"{config.weights}, where {found[0]} differs"
        raise ModelError(must("model.weights", f"of {config.arch} {config.size}", got, fix))


def _refuse_other_pixels(source: str) -> None:
    """What pixels the weights expect, where they say so: ImageNet's normalisation is the one there is."""
    from transformers.utils.hub import cached_file

    file = cached_file(source, "preprocessor_config.json", _raise_exceptions_for_missing_entries=False)
    document = json.loads(Path(file).read_text(encoding="utf-8")) if file else {}
    for key, wanted in (("image_mean", MEAN), ("image_std", STD)):
        values = document.get(key)
        if values and any(abs(255 * value - ours) > 0.5 for value, ours in zip(values, wanted, strict=False)):
            shares = [round(value / 255, 3) for value in wanted]
            got = f"{source}, whose preprocessor_config.json has {key} {values} and not {shares}"
            raise ModelError(
                must("model.weights", "trained with ImageNet's normalisation", got, "Choose other weights.")
            )


def _out_of_reach(source: str, error: Exception) -> str:
    reason = why(error)
    files = "config.json and model.safetensors"
    if Path(source).is_dir():
        return must(
            "model.weights", f"a folder with whole {files}", f"{source} ({reason})", "Copy it anew, or --weights none."
        )
    from huggingface_hub import constants

    return (
        f"`model.weights` must be at hand or within reach; {source} could not be loaded ({reason}). Put its {files} "
        f"into a folder and name that with --weights, go online once to fill the cache {constants.HF_HUB_CACHE}, or "
        "start with --weights none."
    )


def _loaded(config: HfConfig, net: Any, num_channels: int, note: str) -> Loaded:
    owner = next(owner for owner in LICENCES if config.weights.startswith(owner))
    licence = LICENCES[owner].format(config.weights)
    if Path(config.weights).expanduser().is_dir():
        licence = "unknown: a folder names none; ask where it is from before you share or sell what you train"
    notes = (note,) if note else ()
    parts, source = ("encoder", "decoder"), f"weights {config.weights}"
    return pretrained(net, source, licence, parts, adapted=bands_note(num_channels), notes=notes)


def _first_layer(config: HfConfig, net: Any) -> tuple[nn.Module, str]:
    if config.arch == "segformer":
        return net.segformer.stages[0].patch_embeddings, "proj"
    return net.model.pixel_level_module.encoder.swin.embeddings.patch_embeddings, "projection"


def _last_layers(config: HfConfig, net: Any) -> list[tuple[nn.Module, str, Any]]:
    """Where the layers stand that tell classes apart."""
    if config.arch == "segformer":
        return [(net.decode_head, "classifier", net.decode_head.classifier)]
    return [(net, "class_predictor", net.class_predictor)]


def _size_of(layer: Any, num_outputs: int) -> tuple[int, ...]:
    """What to make a like layer with; Mask2Former has one class more, "nothing"."""
    return (layer.in_channels, num_outputs, 1) if isinstance(layer, nn.Conv2d) else (layer.in_features, num_outputs + 1)


def _channels(config: HfConfig, theirs: Any) -> int:
    return int(theirs.num_channels if config.arch == "segformer" else theirs.backbone_config.num_channels)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, list | tuple) else value


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """transformers' own reports of what was loaded; ours says it in one line."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
