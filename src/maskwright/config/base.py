"""What every section of a configuration is made of."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
)

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


Count = Annotated[int, Field(gt=0, le=1_000_000)]
Minutes = Annotated[float, Field(gt=0, le=1_000_000)]
Seed = Annotated[int, Field(ge=0, le=2**32 - 1)]  # what every generator of random numbers takes


class Section(BaseModel):
    """A frozen part of the configuration that knows all its keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
