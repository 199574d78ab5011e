"""`optim:` – the optimiser, the rate over time, what is frozen."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import (
    BeforeValidator,
    Field,
    PositiveFloat,
)

from maskwright.config.base import Auto, Count, Fraction, Probability, Section

Part = Literal["encoder", "decoder", "head"]
Schedule = Literal["constant", "step", "exponential", "cyclic", "cosine", "one-cycle", "poly", "plateau"]
PARTS = get_args(Part)
_Epochs = Annotated[float, Field(ge=0.01, le=1_000_000)]
_THAW = "an epoch to thaw after (5, or 5 epochs), always or never"


def _freeze(value: object) -> object:
    """`[encoder]` as it is; in `{encoder: 5 epochs}` the number alone, and what is never frozen left out."""
    named = value if isinstance(value, list | tuple | dict) else [value]
    strange = [name for name in named if name not in PARTS]
    if strange:
        raise ValueError(f"must name encoder, decoder or head; got {strange[0]!r}")
    if not isinstance(value, dict):
        return list(dict.fromkeys(named))
    told = {part: _epochs_frozen(part, until) for part, until in value.items()}
    frozen = {part: until for part, until in told.items() if until != "never"}
    return list(frozen) if all(until == "always" for until in frozen.values()) else frozen


def _epochs_frozen(part: str, until: object) -> object:
    found = re.fullmatch(r"(\d+)( epochs?)?", until.strip()) if isinstance(until, str) else None
    number = int(found[1]) if found else until
    if until in ("always", "never") or (type(number) is int and 0 < number <= 1_000_000):
        return number
    raise ValueError(f"must give {part} {_THAW}; got {until!r}")


def _numbers(value: object) -> object:
    """Texts that are numbers as numbers: YAML 1.1 reads 1e-8 as text."""
    if isinstance(value, dict):
        return {key: _numbers(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_numbers(inner) for inner in value]
    if isinstance(value, str) and re.fullmatch(r"[-+]?(\d++\.?\d*|\.\d+)([eE][-+]?\d+)?", value):
        return float(value)
    return value


def _arguments(value: object) -> object:
    if not isinstance(value, dict):
        raise ValueError(f"must be arguments by name, such as {{betas: [0.9, 0.98]}}; got {value!r}")
    return _numbers(value)


class OptimConfig(Section):
    """The optimiser and the learning rate over time."""

    name: Annotated[
        str, Field(description="auto: muon or adamw, by the network; muon, adamw, adam, sgd, or any other of torch.optim")
    ] = "auto"
    options: Annotated[
        dict[str, Any],
        BeforeValidator(_arguments),
        Field(description="further arguments of the optimiser, such as {betas: [0.9, 0.98]}"),
    ] = Field(default_factory=dict)
    lr: Annotated[
        PositiveFloat | Auto, Field(description="the highest learning rate, of mask2former 1e-4; auto: found by a range test")
    ] = 2e-3
    encoder_scale: Annotated[
        PositiveFloat | Auto,
        Field(description="the encoder's rate is lr times this; 0.1 spares it; auto: 1, less for model auto"),
    ] = "auto"
    weight_decay: Annotated[float, Field(ge=0, description="on weight matrices only")] = 0.02
    momentum: Annotated[Fraction, Field(description="sgd: share of the last step that is kept")] = 0.9
    nesterov: Annotated[bool, Field(description="sgd: look ahead along the momentum")] = True
    schedule: Annotated[Schedule, Field(description="how the rate changes; cosine always reaches its end")] = "cosine"
    warmup: Annotated[Fraction, Field(description="share of the steps over which the rate rises; one-cycle: usually 0.3")] = 0.1
    every: Annotated[Count | Auto, Field(description="step: epochs from one drop to the next")] = "auto"
    gamma: Annotated[
        Annotated[float, Field(gt=0, le=1)] | Auto,
        Field(description="step: what each drop multiplies the rate by; exponential: what each epoch does"),
    ] = "auto"
    period: Annotated[
        Annotated[float, Field(ge=0.01, le=1_000_000)] | Auto, Field(description="cyclic: epochs from one low to the next")
    ] = "auto"
    low: Annotated[Probability, Field(description="cyclic: the lowest rate, as a share of lr")] = 0.1
    power: Annotated[float, Field(gt=0, le=100, description="poly: the rate falls as this power of what is left")] = 0.9
    patience: Annotated[Count, Field(description="plateau: epochs without a better one before the rate drops")] = 5
    factor: Annotated[float, Field(gt=0, lt=1, description="plateau: what a drop multiplies the rate by")] = 0.5
    clip: Annotated[PositiveFloat | None, Field(description="largest norm of the gradient; null: any")] = 1.0
    freeze: Annotated[
        list[Part] | dict[Part, Count | Literal["always"]],
        BeforeValidator(_freeze, json_schema_input_type=list[Part] | dict[Part, int | str] | Part),
        Field(description="parts that do not learn: [encoder, decoder, head], or {encoder: 5 epochs} to thaw later"),
    ] = Field(default_factory=list)

    @property
    def encoder_share(self) -> float:
        """`encoder_scale` as a number: what nobody settled is 1."""
        return 1.0 if self.encoder_scale == "auto" else self.encoder_scale
