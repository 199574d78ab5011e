"""`log:` – where an epoch's numbers and panels go; a section for each logger that has options."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, get_args

from pydantic import Discriminator, Tag

from maskwright.config.base import Section, option
from maskwright.errors import listed, unknown

PlainLog = Literal["csv", "tensorboard"]
LogName = Literal["csv", "tensorboard", "wandb", "mlflow"]


class WandbLog(Section):
    """Weights & Biases; nothing is sent unless `mode` or WANDB_MODE asks for it."""

    name: Literal["wandb"] = "wandb"
    mode: Literal["auto", "offline", "online"] = option(
        "auto", "offline writes below the run folder and sends nothing; auto: as WANDB_MODE says, else offline"
    )
    project: str | None = option(None, "null: WANDB_PROJECT, else maskwright", min_length=1)
    entity: str | None = option(None, "team or user; null: WANDB_ENTITY, else the account's own", min_length=1)
    group: str | None = option(None, "name under which runs are shown together")
    tags: list[str] = option([], "words to find the run by")


class MlflowLog(Section):
    """MLflow: a store in the run folder, a SQLite file that runs share, or a tracking server."""

    name: Literal["mlflow"] = "mlflow"
    uri: str | None = option(
        None, "sqlite:///FILE or http://…; null: MLFLOW_TRACKING_URI, else a store in the run folder", min_length=1
    )
    experiment: str | None = option(None, "null: MLFLOW_EXPERIMENT_NAME, else maskwright", min_length=1)
    weights: bool = option(False, "keep the best weights there as well")


def _kind(entry: object) -> str:
    """The branch an entry belongs to, as it was given or as it is."""
    name = entry.get("name") if isinstance(entry, dict) else getattr(entry, "name", "plain")
    return name if name in LOG_SECTIONS else "plain"


LogEntry = Annotated[
    Annotated[PlainLog, Tag("plain")] | Annotated[WandbLog, Tag("wandb")] | Annotated[MlflowLog, Tag("mlflow")],
    Discriminator(_kind),
]
LOG_SECTIONS: dict[str, type[WandbLog] | type[MlflowLog]] = {"wandb": WandbLog, "mlflow": MlflowLog}
LogInput = LogName | list[LogName | WandbLog | MlflowLog]


def log_entries(value: object) -> list[Any]:
    """What was written, as one flat list: `csv,wandb` is two entries, a mapping is one.

    >>> log_entries(["csv,wandb", {"name": "mlflow"}])
    ['csv', 'wandb', {'name': 'mlflow'}]
    """
    if isinstance(value, str):
        return [part.strip() for part in value.split(",") if part.strip()]
    if isinstance(value, list | tuple):
        return [entry for one in value for entry in log_entries(one)]
    return [value]


def log_shorthand(value: object) -> object:
    """`wandb` → {name: wandb} and {name: csv} → csv; what is no logger is refused with the nearest name."""
    entries: list[Any] = []
    for given in log_entries(value):
        entry = _entry(given)
        if entry not in entries:
            entries.append(entry)
    names = [entry if isinstance(entry, str) else entry["name"] for entry in map(_as_written, entries)]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ValueError(f"must name each logger once; got {twice} with two sets of options")
    return entries


def _entry(given: Any) -> Any:
    written = _as_written(given)
    if not isinstance(written, dict):
        written = {"name": written}
    if "name" not in written:
        raise ValueError(f"must be names or {{name: wandb, …}}; got {given!r}, which has no name")
    name = written["name"]
    if name not in get_args(LogName):
        raise ValueError(unknown("logger", name, get_args(LogName)))
    if name in LOG_SECTIONS:
        return written
    if len(written) > 1:
        keys = listed(key for key in written if key != "name")
        raise ValueError(f"must give options to wandb and mlflow alone; got {keys} for {name}, which has none")
    return name


def _as_written(entry: Any) -> Any:
    return entry.model_dump() if isinstance(entry, Section) else entry


def entry_name(entry: str | WandbLog | MlflowLog) -> str:
    """The name of a logger, whether it has options or not."""
    return entry if isinstance(entry, str) else entry.name


def section_at(written: object, index: int) -> type[WandbLog] | type[MlflowLog]:
    """The section an entry of a written list belongs to, for the words of an error."""
    entries: Sequence[Any] = log_entries(written)
    entry = entries[index] if index < len(entries) else None
    return LOG_SECTIONS.get(str(entry.get("name")), WandbLog) if isinstance(entry, dict) else WandbLog
