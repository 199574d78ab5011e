"""`augment:` – one step each, ours or Albumentations'."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Discriminator,
    Field,
    Tag,
)

from maskwright.config.base import Probability, Section


class AugmentOp(Section):
    """One named augmentation: its strength and how often it is applied (both have defaults)."""

    name: str
    amount: Annotated[float, Field(ge=0)] | None = None
    p: Probability | None = None


def _transforms(value: object) -> object:
    """The shape alone: names and arguments are the business of the installed Albumentations."""
    for one in value if isinstance(value, list) and value else [value]:
        if not isinstance(one, dict) or not isinstance(one.get("name"), str) or not all(isinstance(key, str) for key in one):
            raise ValueError(f"must be {{name: …}} with the transform's arguments, or a list of them; got {one!r}")
        if "transforms" in one:  # OneOf and its like
            _transforms(one["transforms"])
    return value


class AlbumentationsOp(Section):
    """One transform of Albumentations with its arguments, or a list of them; applied after all operations of ours."""

    albumentations: Annotated[
        dict[str, Any] | list[dict[str, Any]],
        BeforeValidator(_transforms),
        Field(description="{name: ShiftScaleRotate, shift_limit: 0.1, p: 0.5}, or a list (extra albumentations)"),
    ]


def kind_of_step(value: object) -> str:
    """Which form of step is meant, by its keys: so that errors tell of that one alone."""
    foreign = isinstance(value, dict) and any(str(key).startswith("albument") for key in value)
    return "AlbumentationsOp" if foreign or isinstance(value, AlbumentationsOp) else "AugmentOp"


AugmentStep = Annotated[
    Annotated[AugmentOp, Tag("AugmentOp")] | Annotated[AlbumentationsOp, Tag("AlbumentationsOp")], Discriminator(kind_of_step)
]

AugmentPreset = Literal["auto", "none", "light", "standard", "heavy"]
