"""Parts of a network that do not learn, for good or at first; their batch-norm statistics stand still too."""

from __future__ import annotations

import sys

from torch import nn

from maskwright.config import Config
from maskwright.config.optim import PARTS, OptimConfig
from maskwright.errors import ConfigError, counted, listed, must
from maskwright.models import Segmenter
from maskwright.models.weights import own_weights

ALWAYS = sys.maxsize  # an epoch that no training reaches


def frozen_until(config: OptimConfig) -> dict[str, int]:
    """Each frozen part, and the epoch (counted from 0) from which on it learns.

    >>> frozen_until(OptimConfig(freeze={"encoder": 5, "head": "always"})) == {"encoder": 5, "head": ALWAYS}
    True
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
        self.until = frozen_until(config)
        self._modules = {part: model.part(part) for part in self.until}
        # what the network itself holds still is not woken by a thaw
        self._learning = {
            part: [p for module in found for p in module.parameters() if p.requires_grad]
            for part, found in self._modules.items()
        }

    def at(self, epoch: int) -> None:
        """Put every named part into the state it has in this epoch."""
        for learns in (True, False):  # frozen last, because a part may lie within another
            for part, until in self.until.items():
                if (epoch >= until) == learns:
                    self._set(part, learns)

    def at_the_end(self) -> None:
        """Freeze only what never learns."""
        self.at(ALWAYS - 1)

    def frozen(self, epoch: int) -> set[nn.Module]:
        """All modules within the parts that are frozen in an epoch."""
        parts = [part for part, until in self.until.items() if epoch < until]
        return {inner for part in parts for module in self._modules[part] for inner in module.modules()}

    def _set(self, part: str, learns: bool) -> None:
        for parameter in self._learning[part]:
            parameter.requires_grad_(learns)
        for module in self._modules[part]:
            module.train(learns)


def validate_freeze(model: Segmenter, config: OptimConfig) -> None:
    """Parts that this network does not have, and a freeze that leaves nothing to learn; the model is left as it was."""
    wanted = [*frozen_until(config), *(["encoder"] if config.encoder_share != 1 else [])]
    empty = [part for part in wanted if not any(True for module in model.part(part) for _ in module.parameters())]
    if empty:
        key = "freeze" if empty[0] in frozen_until(config) else "encoder_scale"
        has = listed([part for part in PARTS if any(True for module in model.part(part) for _ in module.parameters())])
        raise ConfigError(
            [must(f"optim.{key}", "about a part with weights", f"{empty[0]}, and this network's are {has}")]
        )
    held = {id(p) for part in frozen_until(config) for module in model.part(part) for p in module.parameters()}
    if all(id(p) in held for p in model.parameters() if p.requires_grad):
        got = listed(frozen_until(config))
        fix = "Leave a part out; what thaws later cannot learn alone before."
        raise ConfigError(
            [must("optim.freeze", "such that something learns from the start", f"{got}, all there is", fix)]
        )


def notes(config: Config) -> list[str]:
    """What a person who freezes should know: random weights that are held, and thaws that never come."""
    until = frozen_until(config.optim)
    lines: list[str] = []
    random = [part for part in until if part in random_parts(config)]
    if random:
        lines.append(
            f"optim.freeze holds {listed(random)} at random weights, as model.weights is {config.model.weights}"
        )
    epochs = config.train.epochs
    if epochs != "auto":
        late = [part for part, number in until.items() if epochs <= number < ALWAYS]
        lines += [
            f"optim.freeze {part}: {counted(until[part], 'epoch')}: it never thaws, training has {epochs}"
            for part in late
        ]
    if config.optim.encoder_share != 1 and until.get("encoder") == ALWAYS:
        lines.append("optim.encoder_scale has no effect: the encoder is frozen")
    return lines


def random_parts(config: Config) -> set[str]:
    """The parts that training begins with random weights in; a file or run is trusted to fill all it can."""
    model = config.model
    if model.weights == "none":
        return set(PARTS)
    if own_weights(model.weights) or model.weights == "given":
        return set()
    whole = model.name == "hf" or (model.name == "torchvision" and model.weights.startswith("COCO"))
    return {"head"} if whole else {"decoder", "head"}  # by name, a trained network less its head, or an encoder
