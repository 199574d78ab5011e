"""A run's MLflow store, read with MLflow's own client."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskwright.training.loggers.environment import quiet


@contextlib.contextmanager
def client(run: Path, uri: str | None = None) -> Iterator[tuple[Any, str]]:
    """MlflowClient on the store in the run folder (or at `uri`), and the run's id there."""
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    with quiet():  # an import of MLflow warns of SQLAlchemy's next version
        from mlflow.tracking import MlflowClient

        store = MlflowClient(tracking_uri=uri or f"sqlite:///{run / 'mlflow' / 'mlflow.db'}")
        try:
            yield store, json.loads((run / "loggers.json").read_text())["mlflow"]["run"]
        finally:
            store._tracking_client.store.engine.dispose()


def metric(run: Path, name: str, uri: str | None = None) -> list[tuple[int, float]]:
    """Steps and values of a metric, in order."""
    with client(run, uri) as (store, id):
        return [(found.step, found.value) for found in store.get_metric_history(id, name)]
