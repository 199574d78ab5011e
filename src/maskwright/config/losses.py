"""`loss:` – one section a loss, with its parameters."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
    model_validator,
)

from maskwright.config.base import Auto, Fraction, Section


def _class_weights(value: object) -> object:
    """One sentence for what is no form of weights, and for nothing but zeros: a loss that teaches nothing."""
    if value is not None and value != "auto" and not isinstance(value, list | dict):
        raise ValueError(f"must be auto, a list of numbers in the classes' order, or {{class: number}}; got {value!r}")
    if isinstance(value, list) and not any(value):
        raise ValueError(f"must hold a weight above 0; got {value!r}")
    return value


_Weight = Annotated[float, Field(ge=0)]
TermWeight = Annotated[PositiveFloat, Field(description="share of this term in the mix")]
ClassWeights = Annotated[
    Auto | list[_Weight] | dict[str, _Weight] | None,
    BeforeValidator(_class_weights, json_schema_input_type=Auto | list[float] | dict[str, float] | None),
    Field(
        description="how much each class counts: numbers in the classes' order, name: number (others 1), or auto, from the "
        "training pixels; null: alike"
    ),
]
Smoothing = Annotated[Fraction, Field(description="share of the target spread evenly over all classes")]


class CeTerm(Section):
    """Cross-entropy: −log of the true class's probability, a mean over pixels."""

    name: Literal["ce"] = "ce"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    smoothing: Smoothing = 0.0


class BceTerm(Section):
    """Binary cross-entropy: foreground against background, or each class against the rest."""

    name: Literal["bce"] = "bce"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    smoothing: Smoothing = 0.0


class DiceTerm(Section):
    """1 − soft Dice of the batch, over the classes it holds; foreground alone when there are two."""

    name: Literal["dice"] = "dice"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class JaccardTerm(Section):
    """1 − soft IoU of the batch, over the classes it holds; foreground alone when there are two."""

    name: Literal["jaccard"] = "jaccard"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class TverskyTerm(Section):
    """As dice, with false positives and misses weighed apart."""

    name: Literal["tversky"] = "tversky"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    alpha: Annotated[float, Field(ge=0, description="weight of false positives; 0.5 and 0.5 are dice, 1 and 1 jaccard")] = 0.3
    beta: Annotated[float, Field(ge=0, description="weight of missed pixels; above alpha it favours recall")] = 0.7

    @model_validator(mode="after")
    def _some_error_counts(self) -> TverskyTerm:
        if self.alpha + self.beta == 0:
            raise ValueError("alpha or beta must be above 0; got 0 for both")
        return self


class FocalTerm(Section):
    """Cross-entropy in which pixels already right count little: times (1 − probability)^gamma."""

    name: Literal["focal"] = "focal"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    gamma: Annotated[float, Field(ge=0, le=10, description="how little they count; 0 is ce")] = 2.0


class LovaszTerm(Section):
    """Lovász-softmax: the IoU itself, made differentiable; foreground alone when there are two classes."""

    name: Literal["lovasz"] = "lovasz"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class TopkTerm(Section):
    """Cross-entropy of the batch's hardest pixels alone (OHEM)."""

    name: Literal["topk"] = "topk"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    share: Annotated[float, Field(gt=0, le=1, description="share of the labelled pixels that count, the worst first")] = 0.2
    threshold: Annotated[
        Annotated[float, Field(gt=0, lt=1)] | None,
        Field(description="pixels whose true class has a probability below this count as well"),
    ] = None


class BoundaryTerm(Section):
    """Cross-entropy in which pixels near the border of two classes count more."""

    name: Literal["boundary"] = "boundary"
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None
    width: Annotated[int, Field(ge=1, le=64, description="how far near is, in pixels of the input")] = 3
    strength: Annotated[float, Field(gt=0, description="at the border a pixel counts 1 + strength times")] = 4.0


_Term = BceTerm | CeTerm | DiceTerm | JaccardTerm | TverskyTerm | FocalTerm | LovaszTerm | TopkTerm | BoundaryTerm
LossTerm = Annotated[_Term, Field(discriminator="name")]
LOSS_SECTIONS: dict[str, type[_Term]] = {
    "bce": BceTerm, "ce": CeTerm, "dice": DiceTerm, "jaccard": JaccardTerm, "tversky": TverskyTerm, "focal": FocalTerm,
    "lovasz": LovaszTerm, "topk": TopkTerm, "boundary": BoundaryTerm,
}  # fmt: skip
LossName = Literal["bce", "ce", "dice", "jaccard", "tversky", "focal", "lovasz", "topk", "boundary"]


def loss_shorthand(value: object) -> object:
    """`dice` → [{name: dice}]; auto and lists are left as they are."""
    if isinstance(value, str):
        return value if value == "auto" else [{"name": value}]
    if not isinstance(value, list):
        raise ValueError(f"must be auto, the name of a loss, or a list of {{name: …}}; got {value!r}")
    if not value:
        raise ValueError("must have at least one term; got an empty list. Write auto, ce, dice, …")
    return value
