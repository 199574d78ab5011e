"""MLflow without the full package: its SQLite store written by the run and read back with MlflowClient."""

from __future__ import annotations

import csv
import json
import math
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from logged import elsewhere, logged, trained
from mlflow_store import client, metric
from PIL import Image

from maskwright.config import Config
from maskwright.config.log import MlflowLog
from maskwright.runs import Run
from maskwright.training.loggers.environment import without_password
from maskwright.training.loggers.mlflow import _address, _flat
from support import EPOCHS, TAGS, TINY, data, maskwright, rows

pytestmark = pytest.mark.xdist_group("loggers")


def test_the_skinny_package_is_what_is_tested():
    names = {found.metadata["Name"].lower() for found in metadata.distributions()}
    assert "mlflow-skinny" in names and "mlflow" not in names


@pytest.mark.parametrize("tag", TAGS)
def test_metrics_by_step_are_those_of_the_history(tag):
    assert metric(logged(), tag) == [(int(row["epoch"]), row[TAGS[tag]]) for row in Run.open(logged()).history]


def test_parameters_are_the_configuration_s_keys():
    with client(logged()) as (store, id):
        run = store.get_run(id)
    assert run.info.run_name == "run" and run.info.status == "FINISHED"
    assert run.data.params["model.name"] == "unet" and run.data.params["model.width"] == "2"
    assert run.data.params["optim.lr"] == "0.01" and run.data.params["train.epochs"] == str(EPOCHS)
    assert json.loads(run.data.params["loss"])[0]["name"] == "ce"
    assert not [name for name in run.data.params if name.startswith("log")]


def test_panels_and_files_are_artifacts():
    with client(logged()) as (store, id):
        found = {item.path for item in store.list_artifacts(id)}
        panels = [item.path for item in store.list_artifacts(id, "images") if item.path.endswith(".png")]
        folder = Path(store.get_run(id).info.artifact_uri.removeprefix("file://"))
    assert {"config.yaml", "environment.json", "history.csv", "images", "evaluation"} <= found
    assert folder.is_relative_to(logged())
    names = [Path(entry["image"]).stem for entry in Run.open(logged()).data["splits"]["val"]]
    assert len(panels) == EPOCHS * len(names)
    for name in names:
        assert sum(f"panels~{name}+step+" in panel for panel in panels) == EPOCHS
    assert np.asarray(Image.open(folder / panels[0])).shape == (32, 3 * 40 + 2 * 4, 3)
    assert (folder / "history.csv").read_bytes() == (logged() / "history.csv").read_bytes()


def test_best_scores_and_an_evaluation_reach_the_same_run():
    history = Run.open(logged()).history
    best = max(history, key=lambda row: row["val_iou"])
    document = Run.open(logged()).read_json("evaluation/test.json")
    with client(logged()) as (store, id):
        found = store.get_run(id).data.metrics
        folder = Path(store.get_run(id).info.artifact_uri.removeprefix("file://")) / "evaluation"
    assert found["best/val_iou"] == best["val_iou"] and found["best/epoch"] == best["epoch"]
    known = {name: value for name, value in document["metrics"].items() if value is not None}
    assert {name: found[f"test/{name}"] for name in known} == known
    assert json.loads((folder / "test.json").read_text()) == document
    with (folder / "test-per-class.csv").open(newline="") as file:
        table = {row.pop("class"): row for row in csv.DictReader(file)}
    assert table.keys() == document["per_class"].keys()
    for title, scores in document["per_class"].items():
        assert {name: float(value) if value else None for name, value in table[title].items()} == scores


def test_a_store_that_runs_share_and_the_weights_where_asked_for(tmp_path, monkeypatch):
    """Named by a path relative to where the first run was begun; a score that is no number is kept as one."""
    from maskwright.training.module import SegmentationTraining

    whole = SegmentationTraining.on_validation_epoch_end

    def without_train_iou(self: SegmentationTraining) -> None:
        whole(self)
        self.epoch_scores["train_iou"] = math.nan

    monkeypatch.setattr(SegmentationTraining, "on_validation_epoch_end", without_train_iou)
    log = "{name: mlflow, uri: 'sqlite:///all.db', experiment: pieces, weights: true}"
    with elsewhere(tmp_path):
        for name in ("a", "b"):
            words = ("--data", data(), *TINY, "--epochs", 1, "--log", log, "--out", tmp_path / name)
            outcome = maskwright("train", *words)
            assert outcome.code in (0, None) and "warning MLflow" not in outcome.err, outcome.err
    uri = f"sqlite:///{tmp_path / 'here' / 'all.db'}"
    assert Run.open(tmp_path / "a").config.log[0].uri == uri
    assert {path.name for path in (tmp_path / "here").iterdir()} == {"all.db", "artifacts"}
    with client(tmp_path / "a", uri) as (store, id):
        experiment = store.get_experiment_by_name("pieces")
        assert {run.info.run_name for run in store.search_runs([experiment.experiment_id])} == {"a", "b"}
        assert "model.safetensors" in {item.path for item in store.list_artifacts(id)}
        (found,) = store.get_metric_history(id, "iou/train")
        assert math.isnan(found.value)


def test_a_server_that_is_not_there_is_told_of_once_and_training_goes_on(tmp_path):
    with elsewhere(tmp_path, MLFLOW_TRACKING_URI="http://me:secret@127.0.0.1:9", MLFLOW_HTTP_REQUEST_MAX_RETRIES="0"):
        words = ("--data", data(), *TINY, "--epochs", 2, "--log", "mlflow", "--out", tmp_path / "run")
        outcome = maskwright("train", *words)
    assert outcome.code in (0, None) and rows(tmp_path / "run") == 2
    told = [line for line in outcome.err.splitlines() if line.startswith("warning MLflow failed")]
    assert len(told) == 1 and "training goes on without it" in told[0]
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_file() and b"secret" in path.read_bytes()]


def test_nothing_of_it_is_said_but_where_it_logs():
    run, training, _, _ = trained()
    said = [line for line in training.err.splitlines() if "mlflow" in line.lower()]
    with client(run) as (_, id):
        assert said == [f"log     MLflow: run {id} in sqlite:///{run / 'mlflow' / 'mlflow.db'}"]


def test_what_was_begun_somewhere_goes_on_there_if_this_call_names_it(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    begun, new = {"run": "1", "uri": "https://a.example"}, {"run": None, "uri": None}
    assert _address(MlflowLog(), new) is None
    assert _address(MlflowLog(uri="https://b.example"), new) == "https://b.example"
    assert _address(MlflowLog(uri="https://a.example"), begun) == "https://a.example"
    for options in (MlflowLog(), MlflowLog(uri="https://b.example")):
        with pytest.raises(ConnectionError, match=r"MLFLOW_TRACKING_URI=https://a\.example"):
            _address(options, begun)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://me:word@a.example")
    assert _address(MlflowLog(), new) == _address(MlflowLog(), begun) == "https://me:word@a.example"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://c.example")
    with pytest.raises(ConnectionError):
        _address(MlflowLog(), begun)
    assert _address(MlflowLog(), {"run": "1", "uri": None}) is None, "it was begun in the run folder"


def test_a_parameter_too_long_for_it_says_where_it_stands():
    config = Config.model_validate(
        {"data": {"classes": {f"a class of a long name {index}": index for index in range(250)}}}
    )
    flat = dict(_flat(config))
    assert flat["data.classes"] == "see config.yaml" and flat["data.split.val"] == "0.2"
    assert without_password("sqlite:////tmp/a@b.db") == "sqlite:////tmp/a@b.db"
