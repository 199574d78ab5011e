"""`augment:` – one step each, ours or Albumentations'."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Discriminator, Field, Tag

from maskwright.config.base import CustomCode, Probability, Section
from maskwright.custom import is_source


class AugmentOp(Section):
    """One named augmentation: its strength and how often it is applied (both have defaults)."""

    name: str
    amount: Annotated[float, Field(ge=0)] | None = None
    p: Probability | None = None


def _transforms(value: object) -> object:
    """The shape alone: names and arguments are the business of the installed Albumentations."""
    for one in value if isinstance(value, list) and value else [value]:
        if (
            not isinstance(one, dict)
            or not isinstance(one.get("name"), str)
            or not all(isinstance(key, str) for key in one)
        ):
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


class CustomOp(CustomCode):
    """A step of your own: a function of (image H W C, mask H W) uint8 that gives both, or an Albumentations Compose."""


def augment_shorthand(value: object) -> object:
    """`my.py:jitter` → [{source: my.py:jitter}], also within a list.

    >>> augment_shorthand([{"name": "hflip"}, "my.py:jitter"])
    [{'name': 'hflip'}, {'source': 'my.py:jitter'}]
    """
    if is_source(value) or (isinstance(value, dict) and "source" in value):
        value = [value]
    return [{"source": step} if is_source(step) else step for step in value] if isinstance(value, list) else value


def kind_of_step(value: object) -> str:
    """Which form of step is meant, by its keys: so that errors tell of that one alone."""
    if isinstance(value, CustomOp) or (isinstance(value, dict) and "source" in value):
        return "CustomOp"
    foreign = isinstance(value, dict) and any(str(key).startswith("albument") for key in value)
    return "AlbumentationsOp" if foreign or isinstance(value, AlbumentationsOp) else "AugmentOp"


AugmentStep = Annotated[
    Annotated[AugmentOp, Tag("AugmentOp")]
    | Annotated[AlbumentationsOp, Tag("AlbumentationsOp")]
    | Annotated[CustomOp, Tag("CustomOp")],
    Discriminator(kind_of_step),
]

AugmentPreset = Literal["auto", "none", "light", "standard", "heavy"]
