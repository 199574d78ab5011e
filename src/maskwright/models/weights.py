"""What a network starts from: a library's pretrained weights, a file, or an own run; which tensors were taken, with
what licence.

    model = build_model(config, classes)
    model.loaded.sentences()     # ["weights imagenet of resnet34 (smp-hub/resnet34.imagenet); 218 tensors …", …]

Names are matched whatever stands before them (`net.`, `model.`, `module.`, `encoder.`): a file may hold a
whole run, a plain state dict, or an encoder alone. A head of other classes stays fresh; a first convolution
of other bands takes the file's bands in turns, scaled so that the sums stay, as SMP and timm do.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, load_file
from torch import nn

from maskwright.config.models import AnyModelConfig
from maskwright.data.dataset import ClassMap
from maskwright.data.record import class_map
from maskwright.errors import ModelError, RunError, as_typed, listed, must
from maskwright.models.hub import why
from maskwright.runs import Run

SUFFIXES = (".safetensors", ".pt", ".pth", ".ckpt", ".bin")
DRAWN = "maskwright"  # as `model.weights`: the start that comes along, learned from drawn pictures (recipes/pretrain)
DRAWN_FILE = Path(__file__).with_name("unet-resnet18-drawn.safetensors")
UNKNOWN = "unknown: its source names none; ask there before you share or sell what you train"
# where checkpoints of others keep their tensors
_WRAPPED = ("state_dict", "model_state_dict", "model", "net", "weights")
_LEAST_SHARE = 0.5  # of the encoder's tensors must be found, else it is another network's file


@dataclass(frozen=True)
class Loaded:
    """Which weights a network started from, and what became of each tensor."""

    source: str
    licence: str
    loaded: int
    adapted: tuple[str, ...] = ()
    skipped: tuple[str, ...] = ()
    fresh: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def sentences(self) -> list[str]:
        """What a person is shown: source, licence, counts, and what was not simply taken."""
        counts = f"{self.loaded} tensors loaded, {len(self.skipped)} skipped, {len(self.fresh)} fresh"
        lines = [f"{self.source}; {counts}; licence {self.licence}"]
        lines += [f"adapted {one}" for one in self.adapted]
        lines += [f"skipped, of no place here: {_grouped(self.skipped)}"] if self.skipped else []
        lines += [f"fresh, not from these weights: {_grouped(self.fresh)}"] if self.fresh else []
        return [*lines, *self.notes]


def own_weights(weights: str) -> Path | None:
    """The file or run folder that `model.weights` names; None when it is the name of a set or of a hub's model, or
    none.

    >>> own_weights("imagenet") is None, own_weights("old/model.safetensors")
    (True, PosixPath('old/model.safetensors'))
    """
    if weights == DRAWN:
        return DRAWN_FILE
    path = Path(weights)
    return path if path.suffix.lower() in SUFFIXES or path.is_file() or (path / "config.yaml").is_file() else None


def load_own(model: nn.Module, path: Path, classes: ClassMap, num_channels: int) -> Loaded:
    """Take a file's or run's tensors into a `Segmenter`; what cannot fit is reported, what must not differ is
    refused.
    """
    run = _run_of(path)
    tensors = read_tensors(run.weights if run else path)
    return take_tensors(model, tensors, path, classes, num_channels, run)


def take_tensors(
    model: nn.Module, tensors: dict[str, torch.Tensor], path: Path, classes: ClassMap, num_channels: int,
    run: Run | None = None,
) -> Loaded:  # fmt: skip
    """Take what a file or run held into a `Segmenter`."""
    head = names_of(model, "head")
    other_classes = ""
    if run is not None:
        names = class_map(run.data).names
        if names != classes.names:
            there, here = listed(names, "and", 4), listed(classes.names, "and", 4)
            other_classes = f"its classes are {there}, here they are {here}: a new head"
    found = matched(tensors, model.state_dict())
    _refuse_another_network(path, model, found, run)
    return _take(model, tensors, found, _Plan(path, run, head, other_classes, num_channels))


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors file, or of a torch file that holds tensors alone."""
    if not path.is_file():
        what = "is a folder without config.yaml" if path.is_dir() else "is not there"
        fix = "Check the path, or start from scratch with --weights none."
        wanted = "none, a set of the model's, a weights file or a run folder"
        raise ModelError(must("model.weights", wanted, f"{path}, which {what}", fix))
    try:
        if path.suffix.lower() == ".safetensors":
            return _load_safetensors(path)
        tree: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (SafetensorError, OSError) as error:
        got = f"{path} ({why(error, 120)})"
        raise ModelError(must("model.weights", "a whole weights file", got, "Copy it anew.")) from None
    except Exception as error:  # noqa: BLE001 - torch raises whatever its unpickler stumbles over
        fix = "Save it with torch.save(model.state_dict(), …) or as safetensors."
        raise ModelError(
            must("model.weights", "a whole file of tensors alone", f"{path} ({why(error, 120)})", fix)
        ) from None
    if isinstance(tree, Mapping):
        tree = next((tree[key] for key in _WRAPPED if isinstance(tree.get(key), Mapping)), tree)
        tensors = {str(name): value for name, value in tree.items() if isinstance(value, torch.Tensor)}
        strange = next((name for name, value in tensors.items() if not _is_plain(value)), None)
        if strange:
            fix = "Save them as dense numbers."
            got = f"{path}, where {strange} is sparse, quantised, complex or empty"
            raise ModelError(must("model.weights", "a file of plain tensors", got, fix))
        if tensors:
            return tensors
    raise ModelError(
        must("model.weights", "a file that holds named tensors", f"{path}, which holds none", "Check the path.")
    )


def _is_plain(tensor: torch.Tensor) -> bool:
    return tensor.layout is torch.strided and not (tensor.is_meta or tensor.is_quantized or tensor.is_complex())


def can_be_mapped(path: Path) -> bool:
    """Whether torch and safetensors open the file by its name: not if that is in an old encoding."""
    return str(path).isascii() or os.fsencode(path).decode(errors="ignore") == str(path)


def _load_safetensors(path: Path) -> dict[str, torch.Tensor]:
    return load_file(path) if can_be_mapped(path) else load(path.read_bytes())


def load_weights(path: Path, model: nn.Module) -> None:
    """Load a run's own .safetensors into its network; what isn't this network's, or no finite number, is refused."""
    try:
        tensors = _load_safetensors(path)
        differs = first_difference(tensors, model.state_dict())
    except (SafetensorError, OSError) as error:
        tensors, differs = {}, why(error, 120)
    if differs:
        raise RunError(f"`{path}` must hold the weights of this run's model; {differs}. Restore the run folder.")
    model.load_state_dict(tensors)


def first_difference(theirs: Mapping[str, Any], mine: Mapping[str, torch.Tensor]) -> str | None:
    """What first tells tensors from those a network should have; None where names and shapes are the same and all is
    finite.

    >>> first_difference({"head.weight": torch.zeros(5, 8)}, {"head.weight": torch.zeros(2, 8)})
    'head.weight is 5×8 and not 2×8'
    """
    for name, value in mine.items():
        other = theirs.get(name)
        if not isinstance(other, torch.Tensor):
            return f"{name} is missing"
        if other.shape != value.shape:
            return f"{name} is {shape_text(other)} and not {shape_text(value)}"
        if not _is_plain(other):
            return f"{name} is sparse, quantised, complex or empty"
        if not other.isfinite().all():
            return f"{name} holds values that are not finite"
    return next((f"{name} has no place in it" for name in theirs if name not in mine), None)


def pretrained(
    net: nn.Module, source: str, licence: str, parts: Sequence[str] = ("encoder",), **names: Iterable[str]
) -> Loaded:
    """The record of a library's own weights, which fill these parts; the rest is fresh."""
    kept = {id(value) for part in parts for module in _part(net, part) for value in _tensors_of(module)}
    state = net.state_dict(keep_vars=True)
    fresh = tuple(name for name, value in state.items() if id(value) not in kept)
    names = {key: tuple(values) for key, values in names.items()}
    return Loaded(source, licence, len(state) - len(fresh), fresh=fresh, **names)  # pyright: ignore[reportArgumentType]


def _tensors_of(module: nn.Module) -> Iterable[Any]:
    return module.state_dict(keep_vars=True).values()


@dataclass(frozen=True)
class _Plan:
    """What `_take` needs to know of where tensors come from."""

    path: Path
    run: Run | None
    head: set[str]
    other_classes: str
    num_channels: int


def _take(model: nn.Module, tensors: dict[str, torch.Tensor], found: dict[str, str], plan: _Plan) -> Loaded:
    """Copy each matched tensor; `found` says for a name here the name there."""
    taken: dict[str, torch.Tensor] = {}
    adapted: list[str] = []
    left: list[str] = []
    heads: list[str] = []
    for name, mine in model.state_dict().items():
        if name not in found:
            continue
        theirs = tensors[found[name]]
        if not theirs.isfinite().all():
            got = f"{plan.path}, where {found[name]} holds values that are not finite"
            raise ModelError(must("model.weights", "finite", got, "Take an earlier checkpoint."))
        if name in plan.head and (plan.other_classes or theirs.shape != mine.shape):
            left.append(found[name])
            if theirs.shape != mine.shape and not heads:
                heads.append(f"the head gives {theirs.shape[0]} outputs there and {mine.shape[0]} here: a new head")
        elif theirs.shape == mine.shape:
            taken[name] = theirs
        elif _only_bands_differ(theirs, mine, plan.num_channels):
            taken[name] = bands_in_turn(theirs, plan.num_channels)
            adapted.append(
                f"{name}: {theirs.shape[1]} bands there, {plan.num_channels} here, taken in turns and scaled"
            )
        else:
            raise ModelError(_other_shape(plan, name, theirs, mine))
    model.load_state_dict(taken, strict=False)
    used = {found[name] for name in taken}
    skipped = tuple(name for name in tensors if name not in used)
    fresh = tuple(name for name in model.state_dict() if name not in taken)
    notes = [plan.other_classes] if plan.other_classes else heads
    licence = UNKNOWN
    source = f"file {plan.path}"
    if plan.run is not None:
        licence = str(
            (plan.run.environment.get("weights") or {}).get("licence", "yours: the run started from nothing of others")
        )
        source = f"run {plan.run.root}"
    return Loaded(source, licence, len(taken), tuple(adapted), skipped, fresh, tuple(notes))


def bands_in_turn(weight: torch.Tensor, num_channels: int) -> torch.Tensor:
    """A first convolution for other bands: band i takes the kernel of band i mod n, and sums stay as they were.

    >>> bands_in_turn(torch.ones(1, 3, 1, 1), 4).flatten().tolist()
    [0.75, 0.75, 0.75, 0.75]
    """
    num_before = weight.shape[1]
    if num_channels == 1:
        return weight.sum(dim=1, keepdim=True)
    return weight[:, [band % num_before for band in range(num_channels)]] * (num_before / num_channels)


def matched(tensors: Mapping[str, torch.Tensor], mine: Mapping[str, torch.Tensor]) -> dict[str, str]:
    """Name here → name there, by the pair of prefixes under which most names agree, and of equal ones most shapes."""
    best: tuple[int, int] = (0, 0)
    found: dict[str, str] = {}
    for there in _prefixes(tensors):
        rest = {name[len(there) :]: name for name in tensors if name.startswith(there)}
        for here in _prefixes(mine):
            pairs = {here + name: full for name, full in rest.items() if here + name in mine}
            fitting = sum(mine[name].shape == tensors[full].shape for name, full in pairs.items())
            if (len(pairs), fitting) > best:
                best, found = (len(pairs), fitting), pairs
    return found


def _prefixes(names: Iterable[str]) -> list[str]:
    """What many names begin with, up to four parts, shortest first."""
    names = list(names)
    count: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        count.update(".".join(parts[:length]) + "." for length in range(1, min(5, len(parts))))
    return ["", *sorted((prefix for prefix, times in count.items() if times >= 0.2 * len(names)), key=len)]


def _refuse_another_network(path: Path, model: nn.Module, found: dict[str, str], run: Run | None) -> None:
    encoder = names_of(model, "encoder")
    inside = len(encoder & found.keys())
    if inside < _LEAST_SHARE * len(encoder):
        made = f"; it was trained as {model_words(run.config.model)}" if run else ""
        fix = "Name the model it belongs to with --model, or start from scratch with --weights none."
        got = f"{path}, in which {inside} of the encoder's {len(encoder)} tensors are found{made}"
        raise ModelError(must("model.weights", "weights of this model", got, fix))


def _other_shape(plan: _Plan, name: str, theirs: torch.Tensor, mine: torch.Tensor) -> str:
    made = f"; it was trained as {model_words(plan.run.config.model)}" if plan.run else ""
    got = f"{plan.path}, where {name} is {shape_text(theirs)} and not {shape_text(mine)}{made}"
    fix = "Name the model it belongs to, width and depth included, or start from scratch with --weights none."
    return must("model.weights", "weights of this model", got, fix)


def model_words(config: AnyModelConfig) -> str:
    """A model section in words: name unet, up transposed, width 64, …"""
    keys = config.model_dump(exclude={"weights", "pixels", "outputs", "hash"}, exclude_none=True)
    return ", ".join(f"{key} {value}" for key, value in keys.items())


def _run_of(path: Path) -> Run | None:
    folder = path.parent if path.name == "model.safetensors" else path
    if not (folder / "config.yaml").is_file():
        return None
    run = Run.open(folder)
    if not run.weights.is_file():
        fix = f"Finish it first: maskwright train --resume {as_typed(folder)}"
        raise ModelError(must("model.weights", "a finished run", f"{folder}, which has no {run.weights.name} yet", fix))
    return run


def _only_bands_differ(theirs: torch.Tensor, mine: torch.Tensor, num_channels: int) -> bool:
    same = theirs.ndim == mine.ndim == 4 and theirs.shape[0] == mine.shape[0] and theirs.shape[2:] == mine.shape[2:]
    return same and mine.shape[1] == num_channels and theirs.shape[1] <= 64


def names_of(model: nn.Module, part: str) -> set[str]:
    """The state's names that belong to a part; the model is a `Segmenter`, its network in `net`."""
    net = model.get_submodule("net")
    wanted = {id(value) for module in _part(net, part) for value in _tensors_of(module)}
    return {name for name, value in model.state_dict(keep_vars=True).items() if id(value) in wanted}


def adopt_pixels(net: nn.Module, path: Path, config: Any, num_channels: int) -> None:
    """Normalise as the run did that the weights come from, unless `model.pixels` says how."""
    run = _run_of(path)
    if getattr(config, "pixels", None) != "auto" or run is None:
        return
    theirs: Any = getattr(run.config.model, "pixels", "auto")
    if theirs == "auto":
        return
    mean, std = tuple(theirs.mean), tuple(theirs.std)
    if len(mean) != num_channels:
        mean, std = ((sum(values) / len(values),) * num_channels for values in (mean, std))
    net.mean, net.std = mean, std  # pyright: ignore[reportArgumentType]


def _part(net: nn.Module, part: str) -> list[nn.Module]:
    parts: Any = net.parts
    return parts[part]


def _grouped(names: Iterable[str]) -> str:
    """Tensor names by the module they are in: decoder (24), head (2)."""
    groups = Counter(".".join([part for part in name.split(".") if part not in ("net", "model")][:1]) for name in names)
    return listed([f"{group} ({times})" for group, times in groups.items()], "and", 6)


def shape_text(tensor: torch.Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "a single number"


def without_weights(config: Any) -> Any:
    """The same model section, starting from nothing: what a finished run is loaded into.

    >>> from maskwright.config.models import SmpConfig
    >>> without_weights(SmpConfig()).weights
    'none'
    """
    return config.model_copy(update={"weights": "none"}) if "weights" in type(config).model_fields else config


def convolution_for(layer: nn.Conv2d, num_channels: int, learned: bool) -> nn.Conv2d:
    """The layer itself, or one like it for another number of bands; its kernels follow from the learned, or are new."""
    if num_channels == layer.in_channels:
        return layer
    assert not isinstance(layer.padding, str)
    other = nn.Conv2d(
        num_channels, layer.out_channels, (layer.kernel_size[0], layer.kernel_size[1]),
        (layer.stride[0], layer.stride[1]), (layer.padding[0], layer.padding[1]), bias=layer.bias is not None,
    )  # fmt: skip
    with torch.no_grad():
        if learned:
            other.weight.copy_(bands_in_turn(layer.weight, num_channels))
        else:
            nn.init.kaiming_normal_(other.weight, mode="fan_out", nonlinearity="relu")
        if layer.bias is not None and other.bias is not None:
            other.bias.copy_(layer.bias)
    return other


def bands_note(num_channels: int) -> tuple[str, ...]:
    """What a person is reported when the first convolution was made for other bands than its 3."""
    same = num_channels == 3
    return () if same else (f"the first convolution: 3 bands there, {num_channels} here, taken in turns and scaled",)
