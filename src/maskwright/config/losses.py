"""`loss:` – one section a loss, with its parameters."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, PositiveFloat, model_validator

from maskwright.config.base import Auto, CustomCode, Fraction, Section, option
from maskwright.custom import is_source


def _class_weights(value: object) -> object:
    """One sentence for what is no form of weights, and for nothing but zeros: a loss that teaches nothing."""
    if value is not None and value != "auto" and not isinstance(value, list | dict):
        raise ValueError(f"must be auto, a list of numbers in the classes' order, or {{class: number}}; got {value!r}")
    if isinstance(value, list) and not any(value):
        raise ValueError(f"must hold a weight above 0; got {value!r}")
    # a class may be called 1, which YAML reads as a number
    return {str(name): weight for name, weight in value.items()} if isinstance(value, dict) else value


_Weight = Annotated[float, Field(ge=0)]
TermWeight = Annotated[PositiveFloat, Field(description="share of this term in the mix")]
ClassWeights = Annotated[
    Auto | list[_Weight] | dict[str, _Weight] | None,
    BeforeValidator(_class_weights, json_schema_input_type=Auto | list[float] | dict[str, float] | None),
    Field(
        description="how much each class counts: numbers in the classes' order, name: number (others 1), or auto, from "
        "the training pixels; null: alike"
    ),
]
Smoothing = Annotated[Fraction, Field(description="share of the target spread evenly over all classes")]


class _Term(Section):
    """What every term of a mix has."""

    name: Any  # each term's own; stated here so that it stands first
    weight: TermWeight = 1.0
    class_weights: ClassWeights = None


class CeTerm(_Term):
    """Cross-entropy: −log of the true class's probability, a mean over pixels."""

    name: Literal["ce"] = "ce"
    smoothing: Smoothing = 0.0


class BceTerm(_Term):
    """Binary cross-entropy: foreground against background, or each class against the rest."""

    name: Literal["bce"] = "bce"
    smoothing: Smoothing = 0.0


class DiceTerm(_Term):
    """1 − soft Dice of the batch, over the classes it holds; foreground alone when there are two."""

    name: Literal["dice"] = "dice"


class JaccardTerm(_Term):
    """1 − soft IoU of the batch, over the classes it holds; foreground alone when there are two."""

    name: Literal["jaccard"] = "jaccard"


class TverskyTerm(_Term):
    """As dice, with false positives and misses weighed apart."""

    name: Literal["tversky"] = "tversky"
    alpha: float = option(0.3, "weight of false positives; 0.5 and 0.5 are dice, 1 and 1 jaccard", ge=0)
    beta: float = option(0.7, "weight of missed pixels; above alpha it favours recall", ge=0)

    @model_validator(mode="after")
    def _some_error_counts(self) -> TverskyTerm:
        if self.alpha + self.beta == 0:
            raise ValueError("alpha or beta must be above 0; got 0 for both")
        return self


class FocalTerm(_Term):
    """Cross-entropy in which pixels already right count little: times (1 − probability)^gamma."""

    name: Literal["focal"] = "focal"
    gamma: float = option(2.0, "how little they count; 0 is ce", ge=0, le=10)


class LovaszTerm(_Term):
    """Lovász-softmax: the IoU itself, made differentiable; foreground alone when there are two classes."""

    name: Literal["lovasz"] = "lovasz"


class TopkTerm(_Term):
    """Cross-entropy of the batch's hardest pixels alone (OHEM)."""

    name: Literal["topk"] = "topk"
    share: float = option(0.2, "share of the labelled pixels that count, the worst first", gt=0, le=1)
    threshold: Annotated[float, Field(gt=0, lt=1)] | None = option(
        None, "pixels whose true class has a probability below this count as well"
    )


class BoundaryTerm(_Term):
    """Cross-entropy in which pixels near the border of two classes count more."""

    name: Literal["boundary"] = "boundary"
    width: int = option(3, "how far near is, in pixels of the input", ge=1, le=64)
    strength: float = option(4.0, "at the border a pixel counts 1 + strength times", gt=0)


class CustomTerm(CustomCode):
    """A loss of your own: a function of (logits N K H W, masks N H W of int64, 255 ignored), or an nn.Module."""

    name: Literal["custom"] = "custom"
    weight: TermWeight = 1.0


AnyTerm = BceTerm | CeTerm | DiceTerm | JaccardTerm | TverskyTerm | FocalTerm | LovaszTerm | TopkTerm | BoundaryTerm
LossTerm = Annotated[AnyTerm | CustomTerm, Field(discriminator="name")]
LOSS_SECTIONS: dict[str, type[AnyTerm]] = {
    "bce": BceTerm, "ce": CeTerm, "dice": DiceTerm, "jaccard": JaccardTerm, "tversky": TverskyTerm, "focal": FocalTerm,
    "lovasz": LovaszTerm, "topk": TopkTerm, "boundary": BoundaryTerm,
}  # fmt: skip
LossName = Literal["bce", "ce", "dice", "jaccard", "tversky", "focal", "lovasz", "topk", "boundary"]


def loss_shorthand(value: object) -> object:
    """`dice` → [{name: dice}], also within a list; auto is left as it is.

    >>> loss_shorthand(["ce", {"name": "dice", "weight": 2}])
    [{'name': 'ce'}, {'name': 'dice', 'weight': 2}]
    """
    if isinstance(value, str):
        return value if value == "auto" else [_named(value)]
    if isinstance(value, dict) and "source" in value:
        return [_named(value)]
    if not isinstance(value, list):
        raise ValueError(f"must be auto, the name of a loss, or a list of names and {{name: …}}; got {value!r}")
    if not value:
        raise ValueError("must have at least one term; got an empty list. Write auto, ce, dice, …")
    return [_named(term) for term in value]


def _named(term: object) -> object:
    if is_source(term):
        return {"name": "custom", "source": term}
    if isinstance(term, dict) and "source" in term:
        return {"name": "custom", **term}
    return {"name": term} if isinstance(term, str) else term
