"""MLflow: parameters, an epoch's numbers by step, panels, and the run's files, by way of `MlflowClient` alone."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from pydantic import BaseModel

from maskwright.config import Config
from maskwright.config.log import MlflowLog
from maskwright.files import write_atomically
from maskwright.runs import Run
from maskwright.training.loggers.base import Ending, Epoch, Logger, Scored
from maskwright.training.loggers.environment import Environment, without_password
from maskwright.training.loggers.run_ids import new_run_id, note, read_run_ids

_SQLITE, _KEY = "sqlite:///", "maskwright.key"
_PARAMS_AT_ONCE, _PARAM_LENGTH = 100, 6000  # MLflow's limits
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "interrupted": "KILLED"}


class MlflowRun(Logger):
    """The MLflow run of a run folder, begun or gone on with."""

    def __init__(self, run: Run, config: Config, options: MlflowLog, training: bool) -> None:
        self._environment = Environment(
            {
                "MLFLOW_DISABLE_TELEMETRY": "true",
                # seven, each later than the last, would hold training up for minutes
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
                "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
            }
        )
        self._weights, self._training = options.weights, training
        self._client: Any = None
        try:
            self._open(run, config, options)
        except BaseException:
            self._leave()
            raise

    def epoch(self, epoch: Epoch) -> None:
        for panel in epoch.panels:
            self._keep("log_image", panel.strip, key=f"panels/{panel.key}", step=epoch.number)
        self._log(epoch.scalars, epoch.number)  # last: an epoch is there when its numbers are, all at once

    def best(self, scores: Mapping[str, float], run: Run) -> None:
        """The best epoch's scores, the history, and the weights where asked for."""
        self._log({f"best/{name}": value for name, value in scores.items()}, max(0, self.recorded_now()))
        self.file(run.root / "history.csv")
        if self._weights:
            self.file(run.weights)

    def evaluation(self, scored: Scored) -> None:
        self._log(scored.scores, max(0, self.recorded_now()))
        self._keep("log_dict", dict(scored.document), f"evaluation/{scored.split}.json")
        for name, table in (("per-class", scored.per_class), ("per-image", scored.per_image)):
            self._keep("log_text", table.as_csv(), f"evaluation/{scored.split}-{name}.csv")

    def file(self, path: Path) -> None:
        self._keep("log_artifact", str(path))

    def _keep(self, call: str, *words: Any, **named: Any) -> None:
        """Give it a file, unless a store in the run folder would have it elsewhere: made by another, or moved since."""
        if self._keeps_files:
            getattr(self._client, call)(self.id, *words, **named)

    def _would_keep(self, inside: Path) -> bool:
        """Whether the store keeps the run's files in this folder, and none of them by way of a link."""
        uri = urlsplit(self._client.get_run(self.id).info.artifact_uri)
        place = Path(unquote(uri.path))
        if uri.scheme != "file" or uri.netloc or not place.resolve().is_relative_to(inside.resolve()):
            return False
        return not any(path.is_symlink() for path in place.rglob("*"))

    def close(self, ending: Ending) -> None:
        try:
            if self._training:  # an evaluation later leaves the run as it ended
                self._client.set_terminated(self.id, _STATUS[ending])
        finally:
            self._leave()

    def recorded_now(self) -> int:
        """The last epoch the run holds, -1 for none."""
        return max((int(metric.step) for metric in self._client.get_metric_history(self.id, "loss/val")), default=-1)

    def _open(self, run: Run, config: Config, options: MlflowLog) -> None:
        from mlflow.tracking import MlflowClient

        entry = read_run_ids(run).get("mlflow") or {"key": new_run_id(), "run": None, "uri": None}
        given = _address(options, entry)
        uri = given or f"{_SQLITE}{run.root.absolute() / 'mlflow' / 'mlflow.db'}"
        entry = {**entry, "uri": without_password(given) if given else None}
        note(run, "mlflow", entry)
        if uri.startswith(_SQLITE):
            path = Path(uri.removeprefix(_SQLITE))
            if given is None and path.is_symlink():
                raise ConnectionError(f"{path} must be a file of the run; it is a link")
            _prepare(path)
        self._client = MlflowClient(tracking_uri=uri)
        self.id = entry["run"] or self._begun(run, options, str(entry["key"]), uri)
        self._keeps_files = given is not None or self._would_keep(run.root / "mlflow")
        if not entry["run"]:
            self._set_note(run, config)
        note(run, "mlflow", {**entry, "run": self.id})
        if self._training:
            self._client.update_run(self.id, status="RUNNING")
        self.recorded = self.recorded_now()
        self.place = f"run {self.id} in {without_password(uri)}"

    def _begun(self, run: Run, options: MlflowLog, key: str, uri: str) -> str:
        """The id of the run that bears our key: one that a killed process began, or a new one."""
        experiment = self._experiment(
            options.experiment or os.environ.get("MLFLOW_EXPERIMENT_NAME") or "maskwright", uri, run
        )
        found = self._client.search_runs([experiment], f"tags.`{_KEY}` = '{key}'")
        tags = {_KEY: key, "mlflow.source.name": "maskwright", "mlflow.source.type": "LOCAL"}
        return (
            found[0].info.run_id
            if found
            else self._client.create_run(experiment, tags=tags, run_name=run.name).info.run_id
        )

    def _set_note(self, run: Run, config: Config) -> None:
        """The configuration, as parameters and as a file, and the environment."""
        from mlflow.entities import Param

        params = [Param(name, value) for name, value in _flat(config)]
        for start in range(0, len(params), _PARAMS_AT_ONCE):
            self._client.log_batch(self.id, params=params[start : start + _PARAMS_AT_ONCE])
        for name in ("config.yaml", "environment.json"):
            self.file(run.root / name)

    def _experiment(self, name: str, uri: str, run: Run) -> str:
        from mlflow.exceptions import MlflowException

        found = self._client.get_experiment_by_name(name)
        if found:
            return found.experiment_id
        try:
            return self._client.create_experiment(name, artifact_location=_artifacts(uri, run))
        except MlflowException:
            found = self._client.get_experiment_by_name(name)  # another run was quicker
            if not found:
                raise
            return found.experiment_id

    def _log(self, scalars: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        self._client.log_batch(
            self.id, metrics=[Metric(name, float(value), now, step) for name, value in scalars.items()]
        )

    def _leave(self) -> None:
        _close(self._client)
        self._environment.restore()


def _close(client: Any) -> None:
    """Close the file of a SQLite store, which MLflow keeps open."""
    engine = getattr(getattr(getattr(client, "_tracking_client", None), "store", None), "engine", None)
    if engine is not None:
        engine.dispose()


def _address(options: MlflowLog, entry: Mapping[str, Any]) -> str | None:
    """Where the run is logged to; None: the run folder. What was begun elsewhere goes on there, if named now."""
    asked = [place for place in (options.uri, os.environ.get("MLFLOW_TRACKING_URI")) if place]
    if entry["run"]:
        if entry["uri"] is None:
            return None
        asked = [place for place in asked if without_password(place) == entry["uri"]]
        if not asked:
            raise ConnectionError(f"it was begun elsewhere; to go on there, set MLFLOW_TRACKING_URI={entry['uri']}")
    return next(iter(asked), None)


def _prepare(path: Path) -> None:
    """Make a SQLite store that isn't there yet: whole or not at all, and in memory where that can be.

    MLflow makes one by some seventy steps that each wait for the disk; killed among them it could not be opened again.
    """
    if path.exists():
        return
    from mlflow.tracking import MlflowClient

    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        made = Path(folder) / "mlflow.db"
        _close(MlflowClient(tracking_uri=f"{_SQLITE}{made}"))
        if not path.exists():
            write_atomically(path, lambda temporary: shutil.copyfile(made, temporary))


def _artifacts(uri: str, run: Run) -> str | None:
    """Where a new experiment keeps files; MLflow's own choice would be a folder where the command was typed."""
    if uri.startswith(_SQLITE):
        return (Path(uri.removeprefix(_SQLITE)).parent / "artifacts").absolute().as_uri()
    served = uri.partition(":")[0] in ("http", "https", "databricks", "file")
    return None if served else (run.root.absolute().parent / "mlflow-artifacts").as_uri()


def _flat(section: BaseModel, prefix: str = "") -> Iterable[tuple[str, str]]:
    """Dotted keys, values as text: lists and mappings as JSON, what is too long for MLflow by where it stands."""
    written = section.model_dump(mode="json")
    for key in type(section).model_fields:
        value = getattr(section, key)
        if isinstance(value, BaseModel):
            yield from _flat(value, f"{prefix}{key}.")
        elif f"{prefix}{key}" != "log":  # which may hold a server's password
            text = written[key] if isinstance(value, str) else json.dumps(written[key], ensure_ascii=False)
            yield f"{prefix}{key}", text if len(text) <= _PARAM_LENGTH else "see config.yaml"


def open_mlflow(run: Run, config: Config, options: MlflowLog, first_epoch: int | None) -> MlflowRun:
    """The run's MLflow run; no epoch stands for after training."""
    return MlflowRun(run, config, options, first_epoch is not None)
