"""The optimiser: any of torch.optim by name, weight decay where it belongs and the encoder's own rate."""

from __future__ import annotations

import inspect
from typing import Any, cast

import torch
from torch import nn

from maskwright.config import Config
from maskwright.config.models import is_transformer
from maskwright.config.optim import OptimConfig
from maskwright.errors import ConfigError, must, unknown
from maskwright.models.drawn import learns_as_from_nothing
from maskwright.training.muon import Muon

_OWN_KEYS = ("params", "lr", "weight_decay")  # arguments that have keys of their own
_SGD_KEYS = ("momentum", "nesterov")
_UNFIT = {"SparseAdam": "takes sparse gradients alone"}
_HEEDS_FIRST_RATE = "Rprop"  # its steps grow and shrink by the signs of gradients from then on


def clip_gradients(model: nn.Module, optim: OptimConfig) -> None:
    """Scale the gradients down to a norm of `optim.clip`, all at once where the device has operations for that."""
    if optim.clip is not None:
        nn.utils.clip_grad_norm_(model.parameters(), optim.clip)


def build_optimizer(model: nn.Module, config: OptimConfig, fused: bool = True) -> torch.optim.Optimizer:
    """Weight decay goes to matrices and kernels only: on biases and norms it only does harm.

    Takes the parameters that require gradients; those of the encoder learn at `lr` × `encoder_scale`, in groups with
    `part`.
    """
    assert config.lr != "auto", "auto is resolved before training"
    kind = optimizer_class(config.name)
    encoder = _encoder(model) if config.encoder_share != 1 else set()
    groups: list[dict[str, Any]] = []
    for mine in (False, True):
        learning = [p for p in model.parameters() if p.requires_grad and (id(p) in encoder) == mine]
        for is_matrix in (True, False):
            parameters = [p for p in learning if (p.ndim >= 2) == is_matrix]
            group: dict[str, Any] = {"params": parameters}
            if "weight_decay" in arguments(kind):
                group["weight_decay"] = config.weight_decay if is_matrix else 0.0
            if mine:
                group |= {"lr": config.lr * config.encoder_share, "part": "encoder"}
            groups += [group] if parameters else []
    device = next(model.parameters()).device.type
    return cast(Any, kind)(groups, lr=config.lr, **_options(kind, config, device, fused))


def choose_optimizer(config: Config) -> tuple[str, str]:
    """Muon for convolutions that learn from nothing; AdamW for what AdamW made, attention, and its own arguments."""
    if config.optim.options:
        return "adamw", "optim.options are AdamW's"
    if is_transformer(config.model):
        return "adamw", "what transformers are trained with"
    if not learns_as_from_nothing(config.model.weights):
        return "adamw", "the weights it starts from were made with it or its like"
    return "muon", "it learns more a step than AdamW, above all in few steps"


def rates(optimizer: torch.optim.Optimizer) -> dict[str, float]:
    """The learning rates of now: `lr`, and `encoder_lr` where the encoder has its own."""
    found = {("encoder_lr" if group.get("part") else "lr"): float(group["lr"]) for group in optimizer.param_groups}
    # where the encoder alone learns, its rate is the rate
    return {"lr": found.get("lr", found.get("encoder_lr", 0.0)), **found}


def optimizer_class(name: str) -> type[torch.optim.Optimizer]:
    """The class of torch.optim by its name in any case.

    >>> optimizer_class("radam").__name__
    'RAdam'
    """
    known = {
        key: kind
        for key, kind in vars(torch.optim).items()
        if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer) and kind is not torch.optim.Optimizer
    }
    # torch's own Muon takes matrices alone; auto that nobody resolved is AdamW
    known |= {"Muon": Muon, "auto": torch.optim.AdamW}
    usable = {key: kind for key, kind in known.items() if not why_unfit(kind)}
    found = next((kind for key, kind in known.items() if key.lower() == name.lower()), None)
    if found is None:
        raise ConfigError([unknown("optimizer", name, sorted(key.lower() for key in usable), key="optim.name")])
    why = why_unfit(found)
    if why:
        raise ConfigError(
            [must("optim.name", "one that steps by a batch's gradients", f"{name}, which {why}", "Use adamw.")]
        )
    return found


def why_unfit(kind: type[torch.optim.Optimizer]) -> str | None:
    """Why an optimiser can't be used here, or None."""
    if inspect.signature(kind.step).parameters["closure"].default is inspect.Parameter.empty:
        return "must compute the loss several times a step (it needs a closure)"
    return _UNFIT.get(kind.__name__)


def arguments(kind: type[torch.optim.Optimizer]) -> list[str]:
    """The names an optimiser's constructor takes."""
    return [name for name in inspect.signature(kind).parameters if name != "params"]


def validate_optimizer(config: OptimConfig) -> None:
    """A name that isn't known, arguments it doesn't take, and values it won't have: reported before anything begins."""
    kind = optimizer_class(config.name)
    problems = _strange_options(kind, config)
    if kind.__name__ == _HEEDS_FIRST_RATE and config.lr == "auto":
        got, fix = f"auto and {kind.__name__}, which heeds the rate of its first step alone", "Give --lr a number."
        problems.append(must("optim.lr", "a number where no range test can tell rates apart", got, fix))
    if problems:
        raise ConfigError(problems)
    trial = nn.Conv2d(1, 1, 1)
    for parameter in trial.parameters():
        parameter.grad = torch.ones_like(parameter)
    plain = config.model_copy(update={"lr": 1e-3 if config.lr == "auto" else config.lr, "encoder_scale": 1.0})
    try:
        build_optimizer(trial, plain).step()
    except Exception as error:  # whatever torch says of the values
        got = ", ".join(f"{key}: {value}" for key, value in config.options.items()) or "none"
        said = str(error).strip().partition("\n")[0][:160]
        raise ConfigError(
            [must("optim.options", f"arguments that {kind.__name__} can work with", f"{got} ({said})")]
        ) from error


def _strange_options(kind: type[torch.optim.Optimizer], config: OptimConfig) -> list[str]:
    own = (*_OWN_KEYS, *(_SGD_KEYS if kind is torch.optim.SGD else ()))
    known = [name for name in arguments(kind) if name not in own]
    problems: list[str] = []
    for name in config.options:
        if name in own and name != "params":
            problems.append(f"`optim.options.{name}` must be left out; it is a key of its own. Write optim.{name}.")
        elif name not in known:
            problems.append(unknown(f"{kind.__name__} option", name, known, key="optim.options"))
    return problems


def ignored_by_optimizer(config: OptimConfig) -> list[str]:
    """Notes on keys that were changed and that the chosen optimiser does not look at."""
    kind, plain = optimizer_class(config.name), OptimConfig()
    keys = () if kind is torch.optim.SGD else _SGD_KEYS
    keys = (*keys, "weight_decay") if "weight_decay" not in arguments(kind) else keys
    idle = [key for key in keys if getattr(config, key) != getattr(plain, key)]
    notes = [f"optim.{key} has no effect with {kind.__name__}{_instead(key, kind)}" for key in idle]
    if kind.__name__ == _HEEDS_FIRST_RATE and (config.schedule, config.warmup) != ("constant", 0):
        message = "heeds the rate of its first step alone; with optim.schedule constant and optim.warmup 0 that is lr"
        notes.append(f"{kind.__name__} {message}")
    return notes


def _instead(key: str, kind: type[torch.optim.Optimizer]) -> str:
    return f"; write optim.options.{key}" if key in arguments(kind) else ""


def _options(kind: type[torch.optim.Optimizer], config: OptimConfig, device: str, fused: bool) -> dict[str, Any]:
    """Arguments beside the rate: those given, SGD's own, and the fused kernels where torch has them."""
    given = {key: tuple(value) if isinstance(value, list) else value for key, value in config.options.items()}
    if kind is torch.optim.SGD:
        given |= {"momentum": config.momentum, "nesterov": config.nesterov and config.momentum > 0}
    # Adagrad's came to GPUs later, and not to all of them
    has_kernel = kind is not torch.optim.Adagrad or device == "cpu"
    if (
        fused
        and "fused" in arguments(kind)
        and has_kernel
        and not {"fused", "foreach", "differentiable"} & given.keys()
    ):
        given["fused"] = True
    return given


def _encoder(model: nn.Module) -> set[int]:
    part = cast(Any, model).part
    return {id(parameter) for module in part("encoder") for parameter in module.parameters()}
