"""Parts of a network that do not learn, for good or for the first epochs; their batch-norm statistics stand still too."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from torch import nn

from maskwright.config import AnyModelConfig, Config, OptimConfig
from maskwright.errors import ConfigError, listed, must
from maskwright.models import Segmenter

ALWAYS = float("inf")


def frozen_until(config: OptimConfig) -> dict[str, float]:
    """Each frozen part and the epoch, counted from 0, it learns from.

    >>> frozen_until(OptimConfig(freeze={"encoder": 5, "head": "always"}))
    {'encoder': 5, 'head': inf}
    """
    if not isinstance(config.freeze, dict):
        return dict.fromkeys(config.freeze, ALWAYS)
    return {part: ALWAYS if until == "always" else until for part, until in config.freeze.items()}


class Freezer:
    """Freezes and thaws the parts of one model.

    freezer = Freezer(model, config.optim)
    freezer.at(epoch)               # before each epoch, and whenever something put the model into training mode
    """

    def __init__(self, model: Segmenter, config: OptimConfig) -> None:
        self._until = frozen_until(config)
        self._modules = {part: _modules(model, part) for part in self._until}
        # a parameter that the network itself holds still is not woken by a thaw
        self._learning = {part: [p for m in found for p in m.parameters() if p.requires_grad] for part, found in self._modules.items()}

    @property
    def parts(self) -> Sequence[str]:
        return list(self._until)

    def at(self, epoch: float) -> None:
        """Put every named part into the state it has in this epoch (`ALWAYS`: what never learns stays frozen)."""
        for learns in (True, False):  # frozen last: a part may lie within another
            for part, until in self._until.items():
                if (epoch >= until) == learns and not (learns and until == ALWAYS):
                    self._set(part, learns)

    def for_good(self) -> None:
        """Freeze what never learns, and only that."""
        for part, until in self._until.items():
            self._set(part, until != ALWAYS)
        self.at_last()

    def at_last(self) -> None:
        for part, until in self._until.items():
            if until == ALWAYS:
                self._set(part, False)

    def frozen(self, epoch: float) -> set[nn.Module]:
        """All modules within the parts that are frozen in an epoch."""
        parts = [part for part, until in self._until.items() if epoch < until]
        return {inner for part in parts for module in self._modules[part] for inner in module.modules()}

    def _set(self, part: str, learns: bool) -> None:
        for parameter in self._learning[part]:
            parameter.requires_grad_(learns)
        for module in self._modules[part]:
            module.train(learns)
