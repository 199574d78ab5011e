"""A killed run goes on in the W&B and MLflow runs it began: no epoch is missing there, none stands twice."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from logged import elsewhere, histories
from mlflow_store import client, metric

from maskwright.runs import Run
from maskwright.training.loggers.wandb_files import held
from support import TINY, copy_of, data, maskwright, rows, session_folder, start, wait_until

pytestmark = pytest.mark.xdist_group("loggers")
NUM_EPOCHS = 6
LOG = "[{name: wandb, mode: offline}, {name: mlflow}]"


@pytest.fixture(scope="module")
def killed() -> Path:
    """A run killed when it had trained two epochs or more."""
    run = session_folder() / "killed-while-logging" / "run"
    words = ("--data", data(), *TINY, "--train.repeats", 8, "--epochs", NUM_EPOCHS, "--log", LOG, "--out", run)
    run.parent.mkdir()
    child = start(run.parent / "log", "train", *words)
    wait_until(lambda: rows(run) >= 2, child.is_alive)
    child.kill()
    child.join()
    assert not (run / "model.safetensors").exists(), "it was too quick to be killed"
    return run


def ledger(run: Path) -> dict:
    return json.loads((run / "loggers.json").read_text())


def cut(run: Path, share: float) -> int:
    """Shorten W&B's file, as a kill at another moment would have; the last epoch it still holds."""
    id = ledger(run)["wandb"]["id"]
    (file,) = (run / "wandb").glob(f"offline-run-*-{id}/*.wandb")
    content = file.read_bytes()
    file.write_bytes(content[: max(7, int(len(content) * share))])
    return held(run / "wandb", id).epoch


@pytest.mark.parametrize("share", [0, 0.5, 1], ids=["nothing flushed", "a torn record", "as it was"])
def test_no_epoch_is_missing_and_none_is_there_twice(killed, tmp_path, share):
    run = copy_of(killed, tmp_path / "run")
    ids, recorded = ledger(run), cut(run, share)
    assert recorded == -1 if share == 0 else recorded < NUM_EPOCHS - 1
    with elsewhere(tmp_path):
        outcome = maskwright("train", "--resume", run)
        assert outcome.code in (0, None) and "failed" not in outcome.err, outcome.err
    after = ledger(run)
    assert after["wandb"]["id"] == ids["wandb"]["id"] and after["mlflow"]["key"] == ids["mlflow"]["key"]
    history = Run.open(run).history
    assert len(history) == NUM_EPOCHS
    found = [row for row in histories(run) if "epoch" in row]
    assert [(row["_step"], row["iou/val"]) for row in found] == [(row["epoch"], row["val_iou"]) for row in history]
    assert metric(run, "iou/val") == [(int(row["epoch"]), row["val_iou"]) for row in history]
    with client(run) as (store, id):
        assert store.get_run(id).info.status == "FINISHED"
        assert len(store.search_runs([store.get_run(id).info.experiment_id])) == 1


def test_an_mlflow_run_begun_but_not_noted_is_found_by_its_key(killed, tmp_path):
    """As a kill between the two leaves it."""
    run = copy_of(killed, tmp_path / "run")
    entry = ledger(run)
    if entry["mlflow"]["run"] is None:
        pytest.fail("the run was killed before MLflow had begun")
    known = entry["mlflow"]["run"]
    entry["mlflow"]["run"] = None
    (run / "loggers.json").write_text(json.dumps(entry))
    with elsewhere(tmp_path):
        assert maskwright("train", "--resume", run).code in (0, None)
    assert ledger(run)["mlflow"]["run"] == known
