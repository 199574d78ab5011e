"""Which loggers a configuration asks for, chosen or refused before training; which of a run's own are used."""

from __future__ import annotations

import importlib.util
import netrc
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from maskwright.config import Config
from maskwright.config.log import LogEntry, MlflowLog, WandbLog, entry_name
from maskwright.errors import UsageError, as_typed, install_command, must
from maskwright.training.loggers.environment import without_password

_SQLITE = "sqlite:///"


def resolve_log(config: Config, reasons: dict[str, str]) -> Config:
    """Decide W&B's mode, and make the path of a SQLite store one that holds from any folder."""
    entries = []
    for entry in config.log:
        if isinstance(entry, WandbLog) and entry.mode == "auto":
            asked = os.environ.get("WANDB_MODE", "")
            online = asked in ("online", "run", "shared")
            why = f"WANDB_MODE is {asked}" if asked else "nothing is sent unless log or WANDB_MODE says online"
            reasons["log.wandb.mode"] = why
            entries.append(entry.model_copy(update={"mode": "online" if online else "offline"}))
        elif isinstance(entry, MlflowLog) and entry.uri and entry.uri.startswith(_SQLITE):
            entries.append(
                entry.model_copy(update={"uri": _SQLITE + str(Path(entry.uri.removeprefix(_SQLITE)).absolute())})
            )
        else:
            entries.append(entry)
    return config.model_copy(update={"log": entries})


def wandb_mode(options: WandbLog) -> str:
    """online, offline or disabled: what was decided, unless WANDB_MODE forbids more.

    >>> wandb_mode(WandbLog(mode="offline"))
    'offline'
    """
    asked = os.environ.get("WANDB_MODE", "")
    if asked == "disabled":
        return "disabled"
    sends = options.mode == "online" or (options.mode == "auto" and asked in ("online", "run", "shared"))
    return "online" if sends and asked not in ("offline", "dryrun") else "offline"


def without_addresses(log: Sequence[LogEntry], ledger: Mapping[str, Mapping[str, Any]]) -> tuple[list[LogEntry], str]:
    """A folder's own loggers as far as the environment names the same places, and the variables that would name the
    rest.

    A run may come from anybody: a person's token and results go to no server, account or file because its folder says
    so. What a logger keeps in the run folder itself goes on.
    """
    entries: list[LogEntry] = []
    unnamed: dict[str, str] = {}
    for entry in log:
        noted = ledger.get(entry_name(entry), {})
        places: list[tuple[str, str | None]] = []
        if isinstance(entry, WandbLog) and wandb_mode(entry) == "online":
            mode = os.environ.get("WANDB_MODE") or "online"
            places = [("WANDB_MODE", mode), ("WANDB_ENTITY", entry.entity), ("WANDB_ENTITY", noted.get("entity"))]
        elif isinstance(entry, MlflowLog):
            places = [("MLFLOW_TRACKING_URI", entry.uri), ("MLFLOW_TRACKING_URI", noted.get("uri"))]
        missing = {name: without_password(place) for name, place in places if place and not _names(name, place)}
        unnamed |= missing
        if isinstance(entry, WandbLog):
            entries.append(entry.model_copy(update={"mode": "offline"}) if missing else entry)
        elif isinstance(entry, MlflowLog):
            entries += [] if missing else [entry.model_copy(update={"uri": None})]  # as the environment writes it
        else:
            entries.append(entry)
    return entries, " ".join(f"{name}={as_typed(place)}" for name, place in unnamed.items())


def _names(variable: str, place: str) -> bool:
    return without_password(os.environ.get(variable, "")) == without_password(place)


def validate_loggers(config: Config) -> None:
    """Stop before anything is read when a chosen logger is not installed, or would have to ask for a key."""
    for entry in config.log:
        absent = [package for package in _packages(entry) if importlib.util.find_spec(package) is None]
        if absent:
            fix = f"Leave it out of log, or install it: {install_command(entry_name(entry))}"
            raise UsageError(must("log", f"made of loggers that are installed ({entry_name(entry)} needs {absent[0]})",
                                  entry_name(entry), fix))  # fmt: skip
        if isinstance(entry, WandbLog) and wandb_mode(entry) == "online" and not has_key():
            fix = "Run wandb login, or choose mode offline and send the run later with wandb sync."
            raise UsageError(
                f"`log` must find a key for W&B in mode online; WANDB_API_KEY and ~/.netrc hold none. {fix}"
            )


def _packages(entry: str | WandbLog | MlflowLog) -> tuple[str, ...]:
    if isinstance(entry, WandbLog):
        return ("wandb",)
    if isinstance(entry, MlflowLog):
        served = (entry.uri or os.environ.get("MLFLOW_TRACKING_URI") or "").partition(":")[0] in (
            "http",
            "https",
            "databricks",
        )
        return ("mlflow",) if served else ("mlflow", "sqlalchemy", "alembic")
    return ()


def has_key() -> bool:
    """Whether W&B could sign in without asking: looked for where it looks, without starting it."""
    if any(os.environ.get(name) for name in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE")):
        return True
    host = urlsplit(os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai")).netloc
    files = (
        [os.environ["NETRC"]]
        if "NETRC" in os.environ
        else [Path("~/.netrc").expanduser(), Path("~/_netrc").expanduser()]
    )
    for file in files:
        try:
            if netrc.netrc(file).authenticators(host):
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False
