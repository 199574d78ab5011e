"""The learning rate over time: each schedule a pure function of the step, plateau aside, which answers to validation.

The warm-up multiplies any schedule by a rise from nothing to one. Cosine and poly span the steps after it; step,
exponential and cyclic count epochs from the first on; one-cycle's own rise takes the warm-up's place.
"""

from __future__ import annotations

import math
from typing import Any

from maskwright.config.base import Auto, higher_is_better
from maskwright.config.optim import OptimConfig
from maskwright.errors import counted, listed

# keys that only some schedules look at
USES = {"every": ("step",), "gamma": ("step", "exponential"), "period": ("cyclic",), "low": ("cyclic",),
        "power": ("poly",), "patience": ("plateau",), "factor": ("plateau",)}  # fmt: skip
_FIRST, _LAST = 1 / 25, 1 / 25e4  # one-cycle's first and last share of the rate, as its author and torch have them
_NO_BETTER = 1e-4  # plateau: a relative gain below this is none
_END = 0.01  # exponential auto: share of the rate in the last epoch
_DROPS, _CYCLES = 3, 4
BUDGET_EPOCHS = 30  # parts of a budget of time that count as epochs, in schedules and thaws


def learning_rate_factor(step: int, total_steps: int, config: OptimConfig, steps_an_epoch: int = 1) -> float:
    """Share of the highest rate at a step, counted from 0; of plateau, the warm-up alone.

    >>> learning_rate_factor(100, 100, OptimConfig())
    0.0
    >>> learning_rate_factor(50, 100, OptimConfig(schedule="step", every=20, gamma=0.5, warmup=0))
    0.25
    """
    warm = config.warmup * total_steps
    if config.schedule == "one-cycle":
        return _one_cycle(step, total_steps, warm)
    rise = (step + 1) / (warm + 1) if step < warm else 1.0
    left = 1 - min(1.0, max(0.0, step - warm) / max(1.0, total_steps - warm))
    return rise * _shape(left, step / steps_an_epoch, config)


def _shape(left: float, epochs: float, config: OptimConfig) -> float:
    """The schedule without its warm-up, by the share of the steps that is left, or by the epochs that are over."""
    schedule = config.schedule
    if schedule == "cosine":
        return 0.5 * (1 + math.cos(math.pi * (1 - left)))
    if schedule == "poly":
        return left**config.power
    if schedule == "step":
        assert config.every != "auto" and config.gamma != "auto", "auto is resolved before training"
        return config.gamma ** (math.floor(epochs) // config.every)
    if schedule == "exponential":
        assert config.gamma != "auto", "auto is resolved before training"
        return config.gamma ** math.floor(epochs)
    if schedule == "cyclic":
        assert config.period != "auto", "auto is resolved before training"
        place = epochs / config.period % 1
        return config.low + (1 - config.low) * (1 - abs(2 * place - 1))
    return 1.0  # constant, and plateau between its drops


def _one_cycle(step: int, total_steps: int, warm: float) -> float:
    """From a small rate up to the highest within the warm-up, then down to almost nothing, both along a cosine."""
    top, end = warm - 1, total_steps - 1
    if step <= top:
        return _between(_FIRST, 1.0, step / max(top, 1e-9))
    return _between(1.0, _LAST, min(1.0, (step - top) / max(end - top, 1e-9)))


def _between(start: float, end: float, done: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * done))


class Plateau:
    """A share of the rate that drops when the monitored score has not become better for `patience` epochs.

    >>> plateau = Plateau("val_loss", patience=2, factor=0.5)
    >>> [plateau.update(loss) for loss in (3.0, 2.0, 2.0, 2.1)], plateau.share
    ([False, False, False, True], 0.5)
    """

    def __init__(self, monitor: str, patience: int, factor: float) -> None:
        self.monitor, self.patience, self.factor = monitor, patience, factor
        self.share, self.stale = 1.0, 0
        self.best: float | None = None

    def update(self, score: float) -> bool:
        """Take an epoch's score in; whether the share has dropped."""
        if self._is_better(score):
            self.best, self.stale = score, 0
            return False
        self.stale += 1
        if self.stale < self.patience:
            return False
        self.share, self.stale = self.share * self.factor, 0
        return True

    def _is_better(self, score: float) -> bool:
        if math.isnan(score):
            return False
        if self.best is None:
            return True
        gain = _NO_BETTER * abs(self.best)
        return score > self.best + gain if higher_is_better(self.monitor) else score < self.best - gain

    def state_dict(self) -> dict[str, Any]:
        return {"share": self.share, "stale": self.stale, "best": self.best}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.share, self.stale, self.best = state["share"], state["stale"], state["best"]


def resolve_schedule_keys(config: OptimConfig, epochs: int) -> tuple[dict[str, Any], dict[str, str]]:
    """The chosen schedule's own `auto` keys for so many epochs, and why; those of others stay as they are.

    >>> resolve_schedule_keys(OptimConfig(schedule="step"), 30)[0]
    {'optim.every': 10, 'optim.gamma': 0.1}
    """
    found: dict[str, tuple[Any, str]] = {}
    if config.schedule == "step":
        found["every"] = max(1, math.ceil(epochs / _DROPS)), f"a third of {counted(epochs, 'epoch')}"
        found["gamma"] = 0.1, "the usual drop"
    elif config.schedule == "exponential":
        gamma = round(_END ** (1 / max(1, epochs - 1)), 6)
        found["gamma"] = gamma, f"leaves a hundredth of the rate in the last of {counted(epochs, 'epoch')}"
    elif config.schedule == "cyclic":
        cycles = max(1, min(_CYCLES, epochs // 2))  # a cycle of one epoch of one step would never leave its low
        why = f"whole cycles in {counted(epochs, 'epoch')} ({cycles}), so that training ends at a low"
        found["period"] = epochs / cycles, why
    found = {key: value for key, value in found.items() if getattr(config, key) == "auto"}
    return {f"optim.{key}": value for key, (value, _) in found.items()}, {
        f"optim.{key}": why for key, (_, why) in found.items()
    }


def ignored_by_schedule(config: OptimConfig) -> list[str]:
    """Notes on keys that were changed and that the chosen schedule does not look at."""
    plain = OptimConfig()
    idle = [
        key
        for key, users in USES.items()
        if config.schedule not in users and getattr(config, key) != getattr(plain, key)
    ]
    users = {key: f"{listed(USES[key])} {'uses' if len(USES[key]) == 1 else 'use'} it" for key in idle}
    return [f"optim.{key} has no effect with schedule {config.schedule}; {users[key]}" for key in idle]


def too_late(config: OptimConfig, epochs: int | Auto, early_stop: int | None) -> list[str]:
    """Notes on drops that so short a training never comes to.

    >>> too_late(OptimConfig(schedule="plateau", patience=5), 6, None)
    ['optim.patience 5: the rate never drops, training has 6 epochs']
    """
    if config.schedule == "plateau":
        key, last = "patience", config.patience + 1  # the first epoch has none to be better than
    elif config.schedule == "step" and config.every != "auto":
        key, last = "every", config.every
    else:
        return []
    if epochs != "auto" and 1 < epochs <= last:
        return [f"optim.{key} {getattr(config, key)}: the rate never drops, training has {epochs} epochs"]
    if config.schedule == "plateau" and early_stop is not None and early_stop <= config.patience:
        return [
            f"optim.patience {config.patience}: train.early_stop {early_stop} mostly ends the training before the rate "
            "drops"
        ]
    return []
