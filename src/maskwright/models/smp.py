"""Any architecture of segmentation-models-pytorch with any of its encoders, or any of timm's as `tu-NAME`."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from maskwright import runtime
from maskwright.config.models import SMP_OPTIONS, SmpConfig
from maskwright.errors import ModelError, listed, must, unknown
from maskwright.models.hub import answers, asking_hub, why
from maskwright.models.licences import licence_of
from maskwright.models.unused import Unused, find_unused, prune_unused
from maskwright.models.weights import DRAWN, pretrained

# least side in strides: PAN halves its deepest map three times more
_LEAST_STRIDES = {"pan": 8}
TIMM = "tu-"
_TRIED: dict[tuple[str, ...], int] = {}  # arch, encoder and options → the side found, tried once a process
_IDLE: dict[tuple[str, ...], Unused] = {}  # likewise what it never uses
_VIT = "tu-vit_small_patch16_224"
# what SMP and timm raise for a combination they don't have, not for weights they can't get
_CANNOT_BE_BUILT = (ValueError, TypeError, AssertionError, NotImplementedError, AttributeError)


def build_smp(config: SmpConfig, num_channels: int, num_outputs: int) -> nn.Module:
    """Build `arch` on `encoder`; without a network, pretrained weights must be in the cache."""
    encoder, weights = refuse_unknown(config)
    import segmentation_models_pytorch as smp

    arch, architectures = config.arch.lower(), dict(smp.MODEL_ARCHITECTURES_MAPPING)
    own = _own_options(config)
    asked = weights is not None if encoder.startswith(TIMM) else weights  # of timm's the name says which set
    options = {
        "encoder_name": encoder,
        "encoder_weights": asked or None,
        "in_channels": num_channels,
        "classes": num_outputs,
    }
    options |= own
    try:
        with warnings.catch_warnings(), asking_hub() if weights else contextlib.nullcontext():
            warnings.filterwarnings("ignore", message=".*timm-.*deprecated", category=DeprecationWarning)
            # dpt warns of encoders without class tokens; it is built as they need below
            warnings.filterwarnings("ignore", message="Encoder does not have prefix tokens")
            model = _flexible(architectures[arch], options)
            if arch == "dpt" and not model.encoder.has_prefix_tokens and "decoder_readout" not in own:
                model = _flexible(architectures[arch], {**options, "decoder_readout": "ignore"})
    except Exception as error:
        raise ModelError(_sentence(config, encoder, weights, error)) from error
    model.parts = {"encoder": [model.encoder], "decoder": [model.decoder], "head": [model.segmentation_head]}
    model.stride, model.smallest = _sides(config, model, num_channels)
    if own and (refused := _refusal(model, model.stride, model.smallest // model.stride, num_channels)):
        raise ModelError(_unfit_options(config, own, refused))
    built = (arch, encoder, repr(own))
    if built not in _IDLE:
        _IDLE[built] = find_unused(model, _picture(num_channels, model.smallest))
    model.gone = gone = prune_unused(model, _IDLE[built])
    if weights is not None:
        _note_weights(config, model, encoder, num_channels, gone)
    return model


def refuse_unknown(config: SmpConfig) -> tuple[str, str | None]:
    """Stop at an architecture, encoder or set of weights that there is not; the encoder and set as they are built."""
    runtime.ensure_timm()
    import segmentation_models_pytorch as smp

    architectures = dict(smp.MODEL_ARCHITECTURES_MAPPING)
    if config.arch.lower() not in architectures:
        raise ModelError(unknown("architecture", config.arch, architectures, key="model.arch"))
    _own_options(config)
    return _named(config)


def _own_options(config: SmpConfig) -> dict[str, Any]:
    """The architecture's own arguments that were given, each held against its signature."""
    import segmentation_models_pytorch as smp

    arch = config.arch.lower()
    takes = {name: inspect.signature(build).parameters for name, build in smp.MODEL_ARCHITECTURES_MAPPING.items()}
    given = {name: value for name in SMP_OPTIONS if (value := getattr(config, name)) is not None}
    for name, value in given.items():
        if name not in takes[arch]:
            others = [other for other in takes if name in takes[other]]
            mine = listed([one for one in SMP_OPTIONS if one in takes[arch]], "and", 12)
            message = f"{listed(others, 'and', 12)} {'takes' if len(others) == 1 else 'take'} it"
            raise ModelError(f"`model.{name}` must be left out for {arch}: {message}. {arch} takes {mine}.")
        try:
            TypeAdapter(takes[arch][name].annotation).validate_python(value)
        except ValidationError as error:
            found = error.errors()[0]
            words = {"is_instance_of": "a list of numbers", "int_type": "a whole number"}
            wish = words.get(found["type"], found["msg"].removeprefix("Input should be "))
            raise ModelError(must(f"model.{name}", f"{wish} for {arch}", value)) from None
    return given


def _unfit_options(config: SmpConfig, own: dict[str, Any], refused: str) -> str:
    """The sentence for options that build no network, or one whose answer has another size than its input."""
    given = ", ".join(f"{name} {value}" for name, value in own.items())
    return must(
        "model", f"options that fit together for {config.arch}", f"{given} ({refused})", "Change one, or leave it out."
    )


def weights_at_hand(encoder: str) -> tuple[str, str]:
    """`imagenet` where an encoder's weights lie in the cache or the hub answers, else `none`; and why."""
    from huggingface_hub import constants, try_to_load_from_cache

    offered = weight_sets(encoder)
    if "imagenet" not in offered:
        return "none", f"random: {encoder} has no pretrained weights"
    repo, _ = _wanted(encoder, "imagenet")
    licence = licence_of(encoder, "imagenet")
    revision = None
    if not encoder.startswith(TIMM):
        import segmentation_models_pytorch as smp

        revision = smp.encoders.encoders[encoder]["pretrained_settings"]["imagenet"].get("revision")
    if isinstance(try_to_load_from_cache(repo, "model.safetensors", revision=revision), str):
        return "imagenet", f"ImageNet's, from the cache (licence {licence})"
    if not constants.HF_HUB_OFFLINE and answers(
        f"{constants.ENDPOINT}/{repo}/resolve/{revision or 'main'}/model.safetensors"
    ):
        return "imagenet", f"ImageNet's, from {constants.ENDPOINT}/{repo} (licence {licence})"
    return "none", f"random: {repo} is not in the cache, and the hub does not answer"


def weight_sets(encoder: str) -> list[str]:
    """The sets of pretrained weights an encoder offers, best known first; empty when it has none.

    >>> weight_sets("resnet18")
    ['imagenet', 'ssl', 'swsl']
    """
    runtime.ensure_timm()
    if not encoder.startswith(TIMM):
        import segmentation_models_pytorch as smp

        return list(smp.encoders.encoders[encoder]["pretrained_settings"])
    import timm

    base = encoder.removeprefix(TIMM).partition(".")[0]
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{base}.*")]
    return ["imagenet", *tags] if tags or timm.models.is_model_pretrained(base) else []


def encoder_names() -> list[str]:
    """SMP's own encoders and timm's, as they are written in `model.encoder`."""
    runtime.ensure_timm()
    import segmentation_models_pytorch as smp
    import timm

    return [*smp.encoders.get_encoder_names(), *(TIMM + name for name in timm.list_models())]


def _named(config: SmpConfig) -> tuple[str, str | None]:
    """The encoder and its set, checked; a tag of timm's becomes part of the name."""
    import segmentation_models_pytorch as smp
    import timm

    encoder, weights = config.encoder, None if config.weights in ("none", "auto") else config.weights
    if encoder.startswith(TIMM):
        base, _, tag = encoder.removeprefix(TIMM).partition(".")
        if not timm.is_model(base):
            fix = "maskwright encoders --match TEXT lists them."
            raise ModelError(unknown("encoder", encoder, encoder_names(), fix, "model.encoder"))
        offered = weight_sets(TIMM + base)
        if tag and tag not in offered:
            known = [f"{TIMM}{base}.{one}" for one in offered[1:]]
            raise ModelError(unknown("encoder", encoder, known, key="model.encoder"))
        if tag:
            offered = ["imagenet", tag]
        elif weights in offered[1:]:
            encoder = f"{encoder}.{weights}"
    elif encoder in smp.encoders.encoders:
        offered = weight_sets(encoder)
    else:
        fix = "Any of timm's is tu-NAME; maskwright encoders --match TEXT lists them."
        raise ModelError(unknown("encoder", encoder, encoder_names(), fix, "model.encoder"))
    if weights is not None and weights not in offered:
        raise ModelError(_unknown_set(config, offered))
    return encoder, weights


def _unknown_set(config: SmpConfig, offered: list[str]) -> str:
    name = repr(config.weights)
    if not offered:
        return must(
            "model.weights",
            "none, a weights file or a run folder",
            name,
            f"{config.encoder} has no pretrained weights.",
        )
    fix = (
        f"{config.encoder} offers {listed(offered, 'and', 8)}; a weights file or a run folder must be there to be "
        "taken."
    )
    return unknown("weights", config.weights, [*offered, DRAWN, "none"], fix, "model.weights")


def _flexible(build: Any, options: dict[str, Any]) -> Any:
    """Build; transformers of a fixed input size are asked to take any, in the words their family has for it."""
    import timm

    name = str(options["encoder_name"])
    if not name.startswith(TIMM):
        return build(**options)
    entry = timm.models.get_pretrained_cfg(name.removeprefix(TIMM), allow_unregistered=True)
    wants = (
        [{"dynamic_img_size": True}, {"strict_img_size": False}] if entry is not None and entry.fixed_input_size else []
    )
    for words in wants:
        try:
            return build(**options, **words)
        except TypeError as error:
            # not this family's words; reported while the arguments are taken, before any weights
            if next(iter(words)) not in str(error):
                raise
    return build(**options)


def _sides(config: SmpConfig, model: Any, num_channels: int) -> tuple[int, int]:
    """The side that inputs must be a multiple of, and the least they must have.

    Known for SMP's own encoders; for timm's, whose windows and patches have sides of their own, it is tried.
    """
    arch = config.arch.lower()
    stride = int(model.encoder.output_stride)
    least = _LEAST_STRIDES.get(arch, 1)
    if not config.encoder.startswith((TIMM, "mit_b")):
        return stride, stride * least
    strides = getattr(model.encoder, "output_strides", [stride])
    if len(set(strides)) > 1:
        fix = _what_works(config, ValueError())
        raise ModelError(must("model", "a combination that can be built", f"{config.arch}/{config.encoder}", fix))
    named = (arch, config.encoder, repr(_own_options(config)))
    if named in _TRIED:
        return _TRIED[named], _TRIED[named] * least
    fixed = _input_size(config.encoder)
    # a transformer of a fixed input size may need whole windows: 7 × 32 = 224 of maxvit's
    why = ""
    for side in dict.fromkeys([stride, 2 * stride, 4 * stride, fixed]):
        why = _refusal(model, side, least, num_channels)
        if not why:
            _TRIED[named] = side
            return side, side * least
    fix = f"Tried were multiples of {stride} to {4 * stride} and of {fixed} ({why}); tu-convnext_tiny takes any size."
    raise ModelError(must("model.encoder", "one that takes images of any size", config.encoder, fix))


@torch.no_grad()
def _refusal(model: Any, side: int, least: int, num_channels: int) -> str:
    """Why the network takes no inputs of odd and unequal multiples of a side; empty when it does."""
    was_training = model.training
    model.eval()
    try:
        shape = (1, num_channels, side * least, side * (least + 2))
        if tuple(model(torch.zeros(shape)).shape[-2:]) != shape[-2:]:
            return f"{shape[-2]} × {shape[-1]} comes back in another size"
    except Exception as error:  # noqa: BLE001 - each family has its own way to refuse
        return why(error)
    finally:
        model.train(was_training)
    return ""


def _input_size(encoder: str) -> int:
    """The side of the images a timm encoder was pretrained on."""
    import timm

    entry = timm.models.get_pretrained_cfg(encoder.removeprefix(TIMM), allow_unregistered=True)
    return int(entry.input_size[-1]) if entry is not None else 224


def _picture(num_channels: int, side: int) -> torch.Tensor:
    """An image that is not the same everywhere, made without random numbers. → 1 C side side"""
    return torch.linspace(-1, 1, num_channels * side * side).view(1, num_channels, side, side)


def _note_weights(config: SmpConfig, model: Any, encoder: str, num_channels: int, gone: tuple[str, ...]) -> None:
    """Normalise as the weights expect, and record what they are and under which licence."""
    import segmentation_models_pytorch as smp
    import timm

    assert config.weights != "none"
    if encoder.startswith(TIMM):
        entry = timm.models.get_pretrained_cfg(encoder.removeprefix(TIMM))
        assert entry is not None
        expected: dict[str, Any] = {"mean": entry.mean, "std": entry.std, "input_range": (0, 1), "input_space": "RGB"}
        where = f"timm {entry.architecture}.{entry.tag}" if entry.tag else f"timm {entry.architecture}"
    else:
        with asking_hub():
            expected = smp.encoders.get_preprocessing_params(encoder, config.weights)
        where = smp.encoders.encoders[encoder]["pretrained_settings"][config.weights]["repo_id"]
    model.mean, model.std = pixels_of(expected, num_channels)
    notes: list[str] = []
    if expected["input_space"] == "BGR" and num_channels == 3:
        first = next(
            module for module in model.encoder.modules() if isinstance(module, nn.Conv2d) and module.in_channels == 3
        )
        first.weight.data = first.weight.data.flip(1)
        notes.append("the first convolution's bands were turned around: these weights know blue first")
    if num_channels != 3:
        notes.append(
            f"the first convolution takes its 3 bands in turns for the {num_channels} here, scaled so that sums stay"
        )
    source = f"weights {config.weights} of {config.encoder} ({where})"
    skipped = [name for name in gone if name.startswith("encoder.")]
    licence = licence_of(config.encoder, config.weights)
    model.loaded = pretrained(model, source, licence, notes=notes, skipped=skipped)


def pixels_of(expected: dict[str, Any], num_channels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation on the scale of 0 to 255, in the order red, green, blue; of other bands, their mean.

    >>> pixels_of({"mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "input_range": [0, 1], "input_space": "RGB"}, 1)
    ((127.5,), (127.5,))
    """
    scale = 255.0 if expected["input_range"][1] == 1 else 1.0
    mean, std = (tuple(scale * float(value) for value in expected[key]) for key in ("mean", "std"))
    if expected["input_space"] == "BGR":
        mean, std = mean[::-1], std[::-1]
    if num_channels != len(mean):
        mean, std = ((sum(values) / len(values),) * num_channels for values in (mean, std))
    return mean, std


def _sentence(config: SmpConfig, encoder: str, weights: str | None, error: Exception) -> str:
    own = _own_options(config)
    if own and (weights is None or isinstance(error, _CANNOT_BE_BUILT)):
        return _unfit_options(config, own, why(error))
    if weights is None or isinstance(error, _CANNOT_BE_BUILT):
        got = f"{config.arch}/{config.encoder} ({why(error)})"
        return must("model", "a combination that can be built", got, _what_works(config, error))
    from huggingface_hub import constants

    repo, files = _wanted(encoder, weights)
    return (
        f"`model.weights` must be at hand or within reach; {weights} of {config.encoder} could not be loaded "
        f"({why(error)}). Wanted: {files} of huggingface.co/{repo}. Go online once to fill the cache, or copy the "
        f"folder models--{repo.replace('/', '--')} of a machine that has it into {constants.HF_HUB_CACHE}, or start "
        "from scratch with weights: none (--weights none)."
    )


def _what_works(config: SmpConfig, error: Exception) -> str:
    if config.arch.lower() == "dpt":
        return f"dpt works with plain vision transformers, such as {_VIT}; for this encoder take unet or fpn."
    if "downsampling pattern" in str(error) or "vit" in config.encoder:
        return f"An encoder whose maps are all of one size works with dpt alone: --model dpt/{config.encoder}."
    return f"unet/{config.encoder} and fpn/{config.encoder} may work; {config.arch}/resnet34 does."


def _wanted(encoder: str, weights: str) -> tuple[str, str]:
    """The hub's repository and its files that a set of weights is."""
    if encoder.startswith(TIMM):
        import timm

        entry = timm.models.get_pretrained_cfg(encoder.removeprefix(TIMM))
        repo = entry.hf_hub_id if entry is not None and entry.hf_hub_id else f"timm/{encoder.removeprefix(TIMM)}"
        return repo, "model.safetensors"
    import segmentation_models_pytorch as smp

    return smp.encoders.encoders[encoder]["pretrained_settings"][weights][
        "repo_id"
    ], "config.json and model.safetensors"
