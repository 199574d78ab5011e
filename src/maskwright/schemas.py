"""What the JSON files of runs and comparisons hold, for pydantic: read from disk, where anything may have become of
them.

Keys that came later than the first runs are `NotRequired`; others than these may stand beside them.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NotRequired

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

# halves of letters, less the bytes that names in an old encoding hold
_STRANGE = re.compile("[\ud800-\udc7f\udd00-\udfff]")


def _is_text(value: Any) -> str:
    if not isinstance(value, str) or _STRANGE.search(value):
        raise PydanticCustomError("text", "a string")
    return value


def _is_path(value: Any) -> str:
    if not 0 < len(_is_text(value)) <= 4096 or "\0" in value:
        raise PydanticCustomError("path", "a path")
    return value


def _is_shown(value: Any) -> str:
    if re.search("[\ud800-\udfff]", _is_text(value)):
        raise PydanticCustomError("shown", "text that can be shown")
    return value


# numbers are no text and no truth values; pydantic's own text holds no names in an old encoding
_Text = Annotated[Any, AfterValidator(_is_text)]
_Path = Annotated[Any, AfterValidator(_is_path)]
_Shown = Annotated[Any, AfterValidator(_is_shown)]  # in plots, too, which take no names in an old encoding
_Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]  # part of file names and of questions to a store
_Number = Annotated[float, Field(strict=True, ge=-1e30, le=1e30)]
_Tone = Annotated[float, Field(strict=True, allow_inf_nan=False)]  # of an image of floats, which may have any
_Score = _Number | None
_Natural = Annotated[int, Field(strict=True, ge=0, le=2**53)]
_Side = Annotated[int, Field(strict=True, gt=0, le=2**31)]
_Share = Annotated[float, Field(strict=True, ge=0, le=1)]
_Warmth = Annotated[float, Field(strict=True, gt=0, le=1e6)]
_Level = Annotated[int, Field(strict=True, ge=0, le=0xFFFFFF)]  # of a mask: a number of 16 bits, or a colour
_Time = Annotated[str, Field(pattern=r"^[\d.]{1,20}[smhd]$")]
_Split = Literal["train", "val", "test"]


def _as_many(first: str, *others: str) -> Any:
    def refuse_unequal(tree: Any) -> Any:
        for other in others:
            if len(tree[other]) not in ((len(tree[first]),) if other == "values" else (0, len(tree[first]))):
                raise PydanticCustomError("many", "{as_many}", {"as_many": f"as many {other} as {first}"})
        return tree

    return AfterValidator(refuse_unequal)


def _refuse_equal_ids(files: Any) -> Any:
    if len({one["id"] for one in files}) < len(files):
        raise PydanticCustomError("equal", "files of different ids")
    return files


class _Classes(TypedDict):
    names: Annotated[list[_Text], Field(min_length=1, max_length=255)]
    values: list[_Level]
    ignore_values: list[_Level]
    foreground_from: Annotated[int, Field(strict=True, ge=1, le=65535)] | None
    reason: _Text
    colours: NotRequired[bool]


class _Bands(TypedDict):
    chosen: Annotated[list[_Level], Field(min_length=1)]
    low: list[_Tone]
    high: list[_Tone]
    reason: _Text


class _File(TypedDict):
    id: _Path
    image: _Path
    mask: _Path
    form: tuple[_Text, _Text, list[tuple[_Level, Annotated[int, Field(strict=True, ge=0, le=0xFFFF)]]]]
    window: tuple[_Natural, _Natural, _Side, _Side] | None
    group: _Text | None
    size: tuple[_Side, _Side]
    image_sha256: _Text
    mask_sha256: _Text


class Data(TypedDict):
    """data.json: where the data were, what their values mean, and the files of each split."""

    root: _Path
    fingerprint: _Text
    reader: _Text
    reason: _Text
    notes: list[_Text]
    classes: Annotated[_Classes, _as_many("names", "values")]
    bands: NotRequired[Annotated[_Bands, _as_many("chosen", "low", "high")]]
    split: NotRequired[dict[_Text, Any]]
    class_shares: list[_Share]
    splits: dict[_Split, Annotated[list[_File], AfterValidator(_refuse_equal_ids)]]


class _Machine(TypedDict):
    system: _Text
    processor: _Text
    cores: _Natural


class _Git(TypedDict):
    commit: _Text


class _Finding(TypedDict):
    code: _Text
    evidence: NotRequired[_Text]


class _Weights(TypedDict):
    source: _Text
    licence: _Text


class Environment(TypedDict):
    """environment.json: how and on what a run or comparison was made."""

    command: list[_Text]
    started: _Text
    python: _Text
    packages: dict[_Text, _Text]
    machine: _Machine
    git: _Git | None
    auto: dict[_Text, _Text]
    allowed: NotRequired[list[_Finding]]
    findings: NotRequired[list[_Finding]]
    weights: NotRequired[_Weights]


class _Bin(TypedDict):
    low: _Share
    high: _Share
    confidence: _Share | None
    accuracy: _Share | None
    pixels: _Natural


class _Calibration(TypedDict):
    ece: _Share | None
    bins: list[_Bin]
    temperature: _Warmth | None
    ece_after: _Share | None
    reason: _Text | None


class _Objects(TypedDict):
    size: _Text
    objects: _Natural
    found: _Natural
    pixels: NotRequired[_Natural]
    recall: _Share | None
    interval: NotRequired[tuple[_Score, _Score] | None]


class _Threshold(TypedDict):
    value: _Share
    how: Literal["fixed", "tuned"]
    on: Literal["val"] | None
    val_iou: NotRequired[_Score]
    val_iou_at_half: NotRequired[_Score]
    interval: NotRequired[tuple[_Share, _Share] | None]


class _Cost(TypedDict):
    milliseconds_an_image: NotRequired[_Score]
    milliseconds_low: NotRequired[_Score]
    milliseconds_high: NotRequired[_Score]
    peak_memory_mib: NotRequired[_Score]
    parameters: NotRequired[_Natural]
    multiply_adds: NotRequired[_Natural | None]
    input: NotRequired[tuple[_Natural, _Natural]]
    device: NotRequired[_Text]
    precision: NotRequired[_Text]


class Evaluation(TypedDict):
    """evaluation/SPLIT.json: the scores of a split."""

    images: _Natural
    classes: Annotated[list[_Text], Field(min_length=1, max_length=255)]
    metrics: dict[_Text, _Score]
    per_class: dict[_Text, dict[_Text, _Score]]
    averages: dict[_Text, dict[_Text, _Score]]
    intervals: dict[_Text, tuple[_Score, _Score]]
    loss: _Score
    policy: NotRequired[_Text]
    units: NotRequired[_Natural | None]
    spread: NotRequired[_Text]
    boundary: NotRequired[dict[_Text, _Score]]
    objects: NotRequired[dict[_Text, list[_Objects]] | None]
    calibration: NotRequired[_Calibration | None]
    threshold: NotRequired[_Threshold | None]
    cost: NotRequired[_Cost | None]


class _Temperature(TypedDict):
    value: _Warmth | None
    reason: _Text | None
    images: _Natural
    pixels: _Natural
    loss: _Score
    loss_after: _Score
    error: _Share | None
    error_after: _Share | None
    seed: _Natural


class _Best(TypedDict):
    value: _Share
    iou: _Share
    iou_at_half: _Share
    interval: tuple[_Share, _Share] | None
    curve: list[_Share]


class Settled(TypedDict):
    """evaluation/settled.json: what val decided."""

    fingerprint: _Text
    weights_sha256: _Text
    temperature: _Temperature
    threshold: _Best | None


class FailureReason(TypedDict):
    """failure.json: why training ended before its end."""

    reason: _Text


class _Wandb(TypedDict):
    id: _Name
    project: _Text
    entity: _Text | None


class _Mlflow(TypedDict):
    key: _Name
    run: _Name | None
    uri: _Text | None


class Ledger(TypedDict):
    """loggers.json: under which names a run is known to other programs."""

    wandb: NotRequired[_Wandb]
    mlflow: NotRequired[_Mlflow]


class BestEpoch(TypedDict):
    """What model.safetensors and best.ckpt tell of the epoch their weights are from."""

    epoch: _Natural


class Stretch(TypedDict):
    """An entry of pace.json: steps of a budget that were decided on together."""

    epoch: _Natural
    step: _Natural
    steps: _Natural
    seen: _Natural
    batch: Annotated[int, Field(strict=True, gt=0, le=2**20)]
    small: Annotated[bool, Field(strict=True)]
    start: _Share
    end: _Share
    seconds: Annotated[float, Field(strict=True, ge=0, le=1e9)]
    planned: NotRequired[_Natural | None]
    threads: NotRequired[Annotated[int, Field(strict=True, gt=0, le=4096)] | None]


class _Place(TypedDict):
    name: _Shown
    entry: _Shown
    run: _Path
    settings: dict[_Text, Any]


class ComparisonPlan(TypedDict):
    """plan.json of a comparison: its cells and runs, and what each may spend."""

    split: _Split
    budget: dict[
        Literal["epochs", "repeats", "budget"], Annotated[int, Field(strict=True, gt=0, le=10**6)] | _Time | None
    ]
    cells: list[_Place]


class CellState(TypedDict):
    """An entry of cells.json: how far a cell has come."""

    state: Literal["waiting", "running", "done", "failed"]
    seconds: NotRequired[Annotated[float, Field(strict=True, ge=0, le=1e12)]]
    reason: NotRequired[_Text | None]
    trace: NotRequired[_Text | None]
