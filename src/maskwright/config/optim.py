"""`optim:` – the optimiser, the rate over time, what is frozen."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, Field, PositiveFloat

from maskwright.config.base import Auto, Count, Fraction, Probability, Section, option

Part = Literal["encoder", "decoder", "head"]
Schedule = Literal["constant", "step", "exponential", "cyclic", "cosine", "one-cycle", "poly", "plateau"]
PARTS = get_args(Part)
_Period = Annotated[float, Field(ge=0.01, le=1_000_000)]
_THAW = "an epoch to thaw after (5, or 5 epochs), always or never"


def _freeze(value: object) -> object:
    """`[encoder]` as it is; in `{encoder: 5 epochs}` the number alone, and what is never frozen left out."""
    named = value if isinstance(value, list | tuple | dict) else [value]
    strange = [name for name in named if name not in PARTS]
    if strange:
        raise ValueError(f"must name encoder, decoder or head; got {strange[0]!r}")
    if not isinstance(value, dict):
        return list(dict.fromkeys(named))
    parts = {part: _epochs_frozen(part, until) for part, until in value.items()}
    frozen = {part: until for part, until in parts.items() if until != "never"}
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

    name: str = option(
        "auto", "muon, adamw, adam, sgd, or any other of torch.optim; auto: muon or adamw, by the network"
    )
    options: Annotated[dict[str, Any], BeforeValidator(_arguments)] = option({}, "further ones: {betas: [0.9, 0.98]}")
    lr: PositiveFloat | Auto = option(2e-3, "the highest learning rate, of mask2former 1e-4; auto: by a range test")
    encoder_scale: PositiveFloat | Auto = option("auto", "the encoder's rate is lr times this; auto: 1, or less")
    weight_decay: float = option(0.02, "on weight matrices only", ge=0)
    momentum: Fraction = option(0.9, "sgd: share of the last step that is kept")
    nesterov: bool = option(True, "sgd: look ahead along the momentum")
    schedule: Schedule = option("cosine", "how the rate changes; cosine always reaches its end")
    warmup: Fraction = option(0.1, "share of the steps over which the rate rises; one-cycle: usually 0.3")
    every: Count | Auto = option("auto", "step: epochs from one drop to the next")
    gamma: Annotated[float, Field(gt=0, le=1)] | Auto = option(
        "auto", "the rate's factor. step: a drop; exponential: an epoch"
    )
    period: _Period | Auto = option("auto", "cyclic: epochs from one low to the next")
    low: Probability = option(0.1, "cyclic: the lowest rate, as a share of lr")
    power: float = option(0.9, "poly: the rate falls as this power of what is left", gt=0, le=100)
    patience: Count = option(5, "plateau: epochs without a better one before the rate drops")
    factor: float = option(0.5, "plateau: what a drop multiplies the rate by", gt=0, lt=1)
    clip: PositiveFloat | None = option(1.0, "largest norm of the gradient; null: any")
    freeze: Annotated[
        list[Part] | dict[Part, Count | Literal["always"]],
        BeforeValidator(_freeze, json_schema_input_type=list[Part] | dict[Part, int | str] | Part),
    ] = option([], "parts that do not learn: [encoder, decoder, head], or {encoder: 5 epochs} to thaw later")

    @property
    def encoder_share(self) -> float:
        """`encoder_scale` as a number: `auto` is 1."""
        return 1.0 if self.encoder_scale == "auto" else self.encoder_scale
