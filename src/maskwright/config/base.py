"""What every section of a configuration is made of."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from maskwright import custom
from maskwright.custom import is_source

Fraction = Annotated[float, Field(ge=0, lt=1)]
Probability = Annotated[float, Field(ge=0, le=1)]
Auto = Literal["auto"]
Monitor = Literal["val_iou", "val_loss", "val_dice", "val_accuracy"]
MONITORS: dict[str, str] = {"val_iou": "IoU", "val_loss": "loss", "val_dice": "Dice", "val_accuracy": "accuracy"}


def higher_is_better(monitor: str) -> bool:
    """Whether a monitored score is good when it is high: all but the loss.

    >>> higher_is_better("val_dice"), higher_is_better("val_loss")
    (True, False)
    """
    return monitor != "val_loss"


def best_index(scores: Sequence[float], monitor: str) -> int | None:
    """The first of the best monitored scores, as training picks it; None where none is finite.

    >>> best_index([0.5, 0.7, 0.7], "val_iou")
    1
    """
    known = [index for index, score in enumerate(scores) if math.isfinite(score)]
    pick = max if higher_is_better(monitor) else min
    return pick(known, key=scores.__getitem__, default=None)


Count = Annotated[int, Field(gt=0, le=1_000_000)]
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def seconds_of(budget: str) -> float:
    """A time with its unit, in seconds.

    >>> seconds_of("90s"), seconds_of("1.5h")
    (90.0, 5400.0)
    """
    return float(budget[:-1]) * _UNITS[budget[-1]]


def _is_budget(value: Any) -> Any:
    """A time with a unit, from a second to a hundred days."""
    text = str(value).replace(" ", "").lower()
    if not re.fullmatch(r"\d{1,12}(\.\d{1,12})?[smhd]", text) or not 1 <= seconds_of(text) <= 8_640_000:
        raise ValueError(f"must be a time with its unit, such as 30s, 5m, 2h or 1d, from 1s to 100d; got {text[:40]}")
    return text


Budget = Annotated[str, BeforeValidator(_is_budget)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what every generator of random numbers takes


def option(default: Any, about: str, **limits: Any) -> Any:
    """A key of a section: its default, what it is, and which values it takes (as pydantic's Field has them)."""
    return Field(default=default, description=about, **limits)


class Section(BaseModel):
    """A frozen part of the configuration that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


def _is_source(value: object) -> object:
    if not is_source(value):
        raise ValueError(f"must be FILE.py:NAME or package.module:NAME; got {value!r}")
    return value


class CustomCode(Section):
    """What names code of a person's own."""

    source: Annotated[str, BeforeValidator(_is_source), Field(description="FILE.py:NAME or package.module:NAME")]
    options: dict[str, Any] = option({}, "arguments it is called with")
    hash: str | None = option(None, "of the file's text; a run writes it down")

    def load(self, key: str) -> Any:
        """The object itself, imported."""
        return custom.load(key, self.source, self.options, self.hash).value
