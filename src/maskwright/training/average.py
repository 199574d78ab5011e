"""Averaged weights, with batch-norm statistics that belong to them.

Two things make validation jump from epoch to epoch when steps are few: the raw weights still move a
lot with each step, and batch-norm's running statistics lag behind them. So the weights that are
validated, saved and used are an exponential average over the last steps, and before each use their
batch-norm statistics are measured afresh on training inputs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from maskwright.config import Config
from maskwright.training.resolve import both_sizes

WINDOW = 0.04  # the average reaches back over about this share of all steps
_BATCH_NORM = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)


class Average:
    """Exponential average of a model's parameters.

    average = Average(model, total_steps=1000)
    average.update()                      # after each step
    with average.in_place(update_bn_stats): ...    # the model holds the average in here
    """

    def __init__(self, model: nn.Module, total_steps: int) -> None:
        self.model, self.total_steps = model, total_steps
        self.steps = 0
        self.weights = [parameter.detach().clone() for parameter in model.parameters()]

    @torch.no_grad()
    def update(self, total_steps: float | None = None) -> None:
        """Move the average towards the weights of now; early on it follows them closely."""
        self._follow()
        self.steps += 1
        decay = min(1 - 1 / max(4.0, WINDOW * (total_steps or self.total_steps)), self.steps / (self.steps + 4))
        torch._foreach_lerp_(self.weights, [parameter.detach() for parameter in self.model.parameters()], 1 - decay)

    @contextmanager
    def in_place(self, update_bn_stats: Callable[[], None]) -> Iterator[None]:
        """Put the average into the model, update its batch-norm statistics, and put everything back afterwards."""
        self._follow()
        parameters = list(self.model.parameters())
        raw = [parameter.data for parameter in parameters]
        statistics = [buffer.clone() for buffer in self.model.buffers()]
        try:
            for parameter, mean in zip(parameters, self.weights, strict=True):
                parameter.data = mean
            update_bn_stats()
            yield
        finally:
            for parameter, weight in zip(parameters, raw, strict=True):
                parameter.data = weight
            for buffer, kept in zip(self.model.buffers(), statistics, strict=True):
                buffer.data.copy_(kept)

    def state_dict(self) -> dict[str, Any]:
        return {"steps": self.steps, "weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.steps = state["steps"]
        for mine, saved in zip(self.weights, state["weights"], strict=True):
            mine.copy_(saved)

    def _follow(self) -> None:
        """Go where the model was taken: it is made on the CPU, and Lightning moves it, but not this, to its device."""
        self.weights = [
            mean.to(parameter) for mean, parameter in zip(self.weights, self.model.parameters(), strict=True)
        ]


def num_bn_batches(batches_an_epoch: int) -> int:
    """How many batches measure the statistics: enough to be steady, at most a tenth of an epoch's work."""
    return max(1, min(8, batches_an_epoch // 4))


def bn_passes(config: Config, batches_an_epoch: int) -> float:
    """What measuring them costs, in passes of a batch at the full size."""
    return both_sizes(config) * num_bn_batches(batches_an_epoch) if config.train.average == "ema" else 0.0


@torch.no_grad()
def update_bn_stats(model: nn.Module, batches: Iterable[torch.Tensor], still: Collection[nn.Module] = ()) -> None:
    """Measure batch-norm statistics as the plain mean over some batches of training inputs (N 3 H W each).

    The model passes them as it predicts, at both sizes where it does that: a mean over both is no worse than
    statistics of the full size, or of each size its own (docs/log).
    Modules in `still`, and norms whose own weights are frozen, keep theirs.
    """
    norms = [module for module in model.modules() if isinstance(module, _BATCH_NORM) and module.track_running_stats]
    frozen = [
        module
        for module in norms
        if not any(p.requires_grad for p in module.parameters(recurse=False)) and module.affine
    ]
    norms = [module for module in norms if module not in frozen and module not in still]
    if not norms:
        return
    was_training = model.training
    momenta = [module.momentum for module in norms]
    model.eval()  # so that dropout stays out of the statistics
    for module in norms:
        module.reset_running_stats()
        module.momentum = None  # cumulative mean
        module.train()
    try:
        for images in batches:
            model(images)
    finally:
        for module, momentum in zip(norms, momenta, strict=True):
            module.momentum = momentum
        model.train(was_training)
