"""Somebody's own weights, whole: every tensor finds its place in a network, or one sentence says what differs.

    config = config_for(UnetConfig(), tensors)             # width, depth, … where the file shows them and nobody said
    notes = take_whole(model, tensors, "my.pth")
    notes += fit_statistics(model, images, view)           # normalisation and order of joining, where nobody said

Tensors are found by name, whatever stands before it. Where the layers of the same network have other names they are
matched by order and shapes: a layer whose shape no other has is an anchor, and those after it follow in order.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from maskwright.config.models import AnyModelConfig, Resnet34UnetConfig, TorchvisionConfig, UnetConfig
from maskwright.data.geometry import View
from maskwright.errors import ModelError, counted, listed
from maskwright.models.weights import matched, model_words, shape_text
from maskwright.models.wrapper import Segmenter, logits_at_own_size

Tensors = Mapping[str, torch.Tensor]
_OWN = UnetConfig | Resnet34UnetConfig  # whose layers may have other names elsewhere
# what the libraries call the last convolution
_HEADS = ("segmentation_head.0.weight", "classifier.4.weight", "low_classifier.weight", "decode_head.classifier.weight")
_COUNTER = "num_batches_tracked"  # older files hold none, and it plays no part in predicting
_CLEAR = 0.5  # of the next best distance: statistics that fit less clearly decide nothing
_LEAST = 64  # values of a channel that statistics are taken of; the deepest maps of small images have fewer
# how people bring 0 to 255 into range: mean and deviation of each band
_PIXELS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "0 to 1": ((0.0,) * 3, (255.0,) * 3),
    "-1 to 1": ((127.5,) * 3, (127.5,) * 3),
    "0 to 255": ((0.0,) * 3, (1.0,) * 3),
}


def num_outputs(config: AnyModelConfig, tensors: Tensors) -> int | None:
    """Channels a file's network gives: a class each, or one for the foreground; None where its head is not found."""
    for name, value in tensors.items():
        if name.endswith(_HEADS):
            return int(value.shape[0])
    points = [value for value in tensors.values() if value.shape[2:] == (1, 1)]
    if not isinstance(config, _OWN) or not points:
        return None
    return int(min(points, key=lambda kernel: kernel.shape[1]).shape[0])  # shortcuts are of more channels


def config_for(config: AnyModelConfig, tensors: Tensors, num_channels: int) -> AnyModelConfig:
    """The model section with what the tensors show of it, where it was not given."""
    outputs = num_outputs(config, tensors)
    seen: dict[str, Any] = {} if outputs is None else {"outputs": "sigmoid" if outputs == 1 else "softmax"}
    kernels = [value for value in tensors.values() if value.ndim == 4]
    firsts = [kernel for kernel in kernels if kernel.shape[1] == num_channels and kernel.shape[2] > 1]
    if isinstance(config, _OWN) and firsts:
        doubles = any(kernel.shape[0] == 2 * kernel.shape[1] and kernel.shape[2:] == (2, 2) for kernel in kernels)
        seen |= {"width": int(firsts[0].shape[0]), "up": "transposed" if doubles else "bilinear"}
    elif isinstance(config, UnetConfig):
        seen["width"] = 64  # the lab's: such a file fits no width
    if isinstance(config, UnetConfig) and firsts:
        depth = math.log2(max(kernel.shape[0] for kernel in kernels) / seen["width"])
        seen |= {"depth": int(depth)} if depth.is_integer() and 1 <= depth <= 8 else {}
        seen["norm"] = "batch" if any(name.endswith("running_mean") for name in tensors) else "none"
    if isinstance(config, TorchvisionConfig):  # whose own default depends on the architecture
        config = config.model_copy(
            update={"aux_weight": 0.4 if any("aux_classifier" in name for name in tensors) else 0.0}
        )
    given = {name for name in config.model_fields_set if getattr(config, name) != "auto"}
    return config.model_copy(update={name: value for name, value in seen.items() if name not in given})


def take_whole(model: Segmenter, tensors: Tensors, source: object, config: AnyModelConfig) -> tuple[list[str], bool]:
    """Copy every tensor to its place; what a person should know of it, and whether the layers had names of their own.

    Refuses a file that lacks a tensor, holds one too many or has another shape, in one sentence that names them.
    """
    broken = [name for name, value in tensors.items() if not value.isfinite().all()]
    if broken:
        fix = "Take a checkpoint from before its training went astray."
        raise ModelError(f"`{source}` must hold finite numbers; {listed(broken, 'and', 3)} hold others. {fix}")
    mine = model.state_dict()
    found = matched(tensors, mine)
    inside = _prefix(found)
    aside = [name for name in tensors if not name.startswith(inside)]
    idle = {f"{inside}{name}" for name in getattr(model.net, "gone", ())}
    used = set(found.values())
    missing = [name for name in mine if name not in found and not name.endswith(_COUNTER)]
    extra = [name for name in tensors if name not in used and name not in idle and name not in aside]
    other = [name for name, theirs in found.items() if tensors[theirs].shape != mine[name].shape]
    if not (missing or extra or other):
        model.load_state_dict({name: tensors[theirs] for name, theirs in found.items()}, strict=False)
        left = f"; left aside, as no part of it: {listed(aside)}" if aside else ""
        return [f"{source}: all {counted(len(used), 'tensor')} by name{left}"], False
    renamed = _by_shape(tensors, mine) if hasattr(model.net, "ups") else None
    if renamed is None:
        shapes = [
            f"{name} is {shape_text(tensors[found[name]])} and not {shape_text(mine[name])}" for name in other[:2]
        ]
        lines = [f"{len(missing)} of its {len(mine)} are missing ({listed(_short(missing))})"] if missing else []
        lines += [f"{counted(len(extra), 'tensor')} of the file {'has' if len(extra) == 1 else 'have'} no place in it "
                 f"({listed(extra, 'and', 3)})"] if extra else []  # fmt: skip
        lines += (
            [f"{listed(shapes)}{f', and {len(other) - 2} more shapes differ' if len(other) > 2 else ''}"]
            if shapes
            else []
        )
        fix = "Name the model it was trained as, with --model and its keys, such as --model.width."
        raise ModelError(
            f"`{source}` must hold exactly the tensors of this network ({model_words(config)}), under whatever names; "
            f"{listed(lines)}. {fix}"
        )
    state, folded = renamed
    model.load_state_dict(state)
    notes = [
        f"{source}: its layers have names of their own ({next(iter(tensors))}, …); all were matched by order and shapes"
    ]
    if folded:
        notes.append(
            f"{counted(folded, 'bias', 'biases')} before batch-norm went into its running mean, which gives the same"
        )
    return notes, True


def fit_statistics(
    model: Segmenter, images: Sequence[np.ndarray], view: View, pixels_given: bool, renamed: bool
) -> list[str]:
    """Normalise, and join the decoder's maps, as batch-norm's own statistics ask for: what a state dict does not say.

    On images like those it was trained on, a network meets means in its layers that lie near the running ones. The
    normalisation is decided where it was not given, the order of joining where the layers have names of their own.
    """
    own = tuple(model.pixels[0]), tuple(model.pixels[1])
    ways = {"": own} if pixels_given or len(own[0]) != 3 else {"as expected": own} | _PIXELS
    joins = list(_joins(model.net)) if renamed else []
    orders = [[convolution.weight.data for convolution, _ in joins]]
    if joins:
        orders.append(
            [torch.cat([kernel[:, num:], kernel[:, :num]], dim=1) for (_, num), kernel in zip(joins, orders[0])]
        )
    distances: dict[tuple[str, int], float] = {}
    for way, (mean, std) in ways.items():
        _normalise(model, mean, std)
        for order, kernels in enumerate(orders):
            _join(joins, kernels)
            distances[way, order] = _distance(model, images, view)
    first = next(iter(ways))
    best_way, best_order = min(distances, key=lambda key: distances[key])
    by_order = [distances[best_way, order] for order in range(len(orders))]
    order_decides = min(by_order) < _CLEAR * max(by_order)
    way_decides = distances[best_way, best_order] < _CLEAR * distances[first, best_order]
    way = best_way if way_decides else first
    _normalise(model, *ways[way])
    _join(joins, orders[best_order if order_decides else 0])
    notes: list[str] = []
    if len(ways) > 1:
        why = f"brought to {way}: its batch-norm statistics fit that" if way_decides else "normalised as for ImageNet"
        example = "'{mean: [0, 0, 0], std: [255, 255, 255]}'"
        notes.append(f"pixels are {why}; --model.pixels says otherwise, such as {example} for 0 to 1")
    if joins:
        word = "the up-sampled map" if order_decides and best_order else "the encoder's map"
        why = "its batch-norm statistics fit that" if order_decides else "as here; nothing in the file tells"
        notes.append(f"its decoder joins {word} first: {why}")
    return notes


@dataclass(frozen=True)
class _Layer:
    """The tensors of one module, by their last names."""

    name: str
    tensors: dict[str, torch.Tensor]

    @property
    def is_norm(self) -> bool:
        return "running_mean" in self.tensors

    @property
    def signature(self) -> tuple[Any, ...]:
        """Shapes, without the bias of a convolution: it may stand in for nothing, and batch-norm takes it away."""
        skipped = {_COUNTER} if self.is_norm else {"bias"}
        return tuple(sorted((name, tuple(value.shape)) for name, value in self.tensors.items() if name not in skipped))


_Chains = dict[tuple[Any, ...], list[_Layer]]


def _layers(tensors: Tensors) -> list[_Layer]:
    found: dict[str, dict[str, torch.Tensor]] = {}
    for name, value in tensors.items():
        module, _, last = name.rpartition(".")
        found.setdefault(module, {})[last] = value
    return [_Layer(name, held) for name, held in found.items()]


def _chains(layers: Sequence[_Layer]) -> _Chains:
    """The layers from each anchor to the next, by the anchor's signature."""
    times = Counter(layer.signature for layer in layers)
    chains: _Chains = {}
    here: tuple[Any, ...] = ()
    for layer in layers:
        if times[layer.signature] == 1 and not layer.is_norm:
            here = layer.signature
        chains.setdefault(here, []).append(layer)
    return chains


def _by_shape(tensors: Tensors, mine: Tensors) -> tuple[dict[str, torch.Tensor], int] | None:
    """A state dict under the names here, and how many biases were folded; None where layers are not the same.

    Ours are tried as they are kept, in lists, and as they are used, each doubling before its convolutions.
    """
    theirs = _chains(_layers(tensors))
    for names in (list(mine), sorted(mine, key=_use)):
        found = _along(theirs, _chains(_layers({name: mine[name] for name in names})))
        if found is not None:
            return found
    return None


def _use(name: str) -> tuple[int, int, int]:
    """Where a tensor of our networks is used: encoder, then doubling and convolutions of each level, then the head."""
    found = re.match(r"net\.(ups|decoder)\.(\d+)\.", name)
    return (1, int(found[2]), int(found[1] == "decoder")) if found else (2 if name.startswith("net.head.") else 0, 0, 0)


def _along(theirs: _Chains, ours: _Chains) -> tuple[dict[str, torch.Tensor], int] | None:
    """The state dict that two sets of chains make, where each has its equal."""
    if theirs.keys() != ours.keys():
        return None
    state: dict[str, torch.Tensor] = {}
    folded = 0
    for anchor, chain in ours.items():
        if [layer.signature for layer in theirs[anchor]] != [layer.signature for layer in chain]:
            return None
        bias: torch.Tensor | None = None  # of a convolution there that has none here
        for layer, other in zip(chain, theirs[anchor], strict=True):
            if bias is not None and not layer.is_norm:
                return None
            held = dict(other.tensors)
            if layer.is_norm and bias is not None:
                held["running_mean"] = held["running_mean"] - bias
                folded += 1
            bias = None if layer.is_norm or "bias" in layer.tensors else held.pop("bias", None)
            state |= {
                f"{layer.name}.{name}": held.get(name, torch.zeros_like(value)) for name, value in layer.tensors.items()
            }
        if bias is not None:
            return None
    return state, folded


def _joins(net: Any) -> Iterator[tuple[nn.Conv2d, int]]:
    """Each convolution that takes two joined maps, and how many channels the up-sampled one has."""
    for double, block in zip(getattr(net, "ups", ()), getattr(net, "decoder", ()), strict=True):
        last = double if isinstance(double, nn.ConvTranspose2d) else double[-1]
        if block[0].in_channels > last.out_channels:
            yield block[0], last.out_channels


def _join(joins: Sequence[tuple[nn.Conv2d, int]], kernels: Sequence[torch.Tensor]) -> None:
    for (convolution, _), kernel in zip(joins, kernels, strict=True):
        convolution.weight.data = kernel


def _normalise(model: Segmenter, mean: Sequence[float], std: Sequence[float]) -> None:
    model.pixels = (list(mean), list(std))
    model.mean.copy_(torch.tensor(mean).view(1, -1, 1, 1))
    model.std.copy_(torch.tensor(std).view(1, -1, 1, 1))


@torch.no_grad()
def _distance(model: Segmenter, images: Sequence[np.ndarray], view: View) -> float:
    """How far what batch-norms meet lies from their running mean and variance: the divergence of two normal
    distributions, the mean over layers and channels; infinite where too little is met."""
    met: dict[nn.BatchNorm2d, torch.Tensor] = {}  # sums of ones, values and squares. 3 C

    def look(norm: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        assert isinstance(norm, nn.BatchNorm2d)
        x = inputs[0].double()
        met[norm] = met.get(norm, 0) + torch.stack(
            [part.sum(dim=(0, 2, 3)) for part in (torch.ones_like(x), x, x.square())]
        )

    hooks = [module.register_forward_pre_hook(look) for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    try:
        for image in images:
            logits_at_own_size(model, image, view, model.mean.device)
    finally:
        for hook in hooks:
            hook.remove()
    found: list[float] = []
    for norm, (num, total, squares) in met.items():
        assert norm.running_mean is not None and norm.running_var is not None
        if num[0] < _LEAST:
            continue
        mean, own = total / num, norm.running_var + norm.eps
        ratio = ((squares / num - mean.square()).clamp_min(0) + norm.eps) / own
        apart = ratio - 1 - ratio.log() + (mean - norm.running_mean).square() / own
        found.append(float(apart.clamp(max=1).mean()))  # one channel that is dead on these images must not decide
    return sum(found) / len(found) if found else math.inf


def _prefix(found: Mapping[str, str]) -> str:
    """What stands before the names there and not here."""
    name, full = next(iter(found.items()), ("", ""))
    here, there = name.split("."), full.split(".")
    while here and there and here[-1] == there[-1]:
        here.pop()
        there.pop()
    return "".join(f"{part}." for part in there)


def _short(names: Sequence[str]) -> list[str]:
    return [name.removeprefix("net.") for name in names]
