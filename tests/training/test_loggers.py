"""The loggers together: how they are chosen, what is imported, and what becomes of one that fails."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.log import LogName, MlflowLog, WandbLog
from maskwright.errors import ConfigError, RunError, install_command
from maskwright.metrics.counts import Counts
from maskwright.runs import Run
from maskwright.training.loggers import LOGGERS, TITLES, collection
from maskwright.training.loggers.base import Epoch, Panel, panel_keys, scored
from maskwright.training.loggers.choice import resolve_log
from maskwright.training.loggers.collection import LoggerCollection, best_scores, log_evaluation, log_report
from maskwright.training.loggers.environment import Environment, quiet
from support import SCORES, TINY, data, evaluated, finished, maskwright

PACKAGES = ("wandb", "mlflow", "sqlalchemy", "alembic", "tensorboard", "torch.utils.tensorboard")


def chosen(*values: Any) -> list[Any]:
    """The `log` that flags make."""
    from maskwright.config.flags import parse_overrides

    words = [word for value in values for word in ("--log", value)]
    return load_config(None, parse_overrides(words)).log


# ------------------------------------------------------------------ choosing


@pytest.mark.parametrize(
    ("values", "log"),
    [
        (["wandb"], [WandbLog()]),
        (["csv,wandb"], ["csv", WandbLog()]),
        (["csv, mlflow"], ["csv", MlflowLog()]),
        (["tensorboard", "wandb", "mlflow"], ["tensorboard", WandbLog(), MlflowLog()]),
        (["[csv, tensorboard]"], ["csv", "tensorboard"]),
        (["{name: wandb, project: puzzle, mode: offline}"], [WandbLog(project="puzzle", mode="offline")]),
        (["csv", "{name: mlflow, uri: 'sqlite:///a.db'}"], ["csv", MlflowLog(uri="sqlite:///a.db")]),
        (["[csv, {name: csv}, {name: wandb}]", "wandb"], ["csv", WandbLog()]),
    ],
)
def test_flags_name_loggers_with_commas_or_one_after_the_other(values, log):
    assert chosen(*values) == log


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("wnadb", "`log`: Unknown logger 'wnadb'. Did you mean 'wandb'?"),
        ("[csv, 3]", "`log`: Unknown logger '3'. Did you mean 'csv', 'tensorboard', 'wandb' or 'mlflow'?"),
        ("{mode: offline}", "which has no name"),
        ("{name: csv, mode: offline}", "got mode for csv, which has none"),
        ("[{name: wandb, tags: [a]}, wandb]", "must name each logger once; got wandb with two sets of options"),
        ("{name: wandb, projekt: x}", "Unknown key 'log.0.projekt'. Did you mean 'log.0.project'?"),
        (
            "[csv, {name: mlflow, experimant: x}]",
            "Unknown key 'log.1.experimant'. Did you mean 'log.1.experiment'?",
        ),
        ("{name: wandb, mode: on}", "`log.0.mode` must be auto, offline or online; got 'on'"),
    ],
)
def test_what_is_no_logger_is_told_with_the_nearest(text, told):
    with pytest.raises(ConfigError) as caught:
        chosen(text)
    assert told in str(caught.value) and len(caught.value.problems) == 1


def test_every_name_has_a_builder_but_csv_which_training_writes_itself():
    assert {*LOGGERS, "csv"} == set(get_args(LogName)) and TITLES.keys() == LOGGERS.keys()


def test_a_logger_s_options_survive_the_run_s_configuration(tmp_path):
    run = Run.create(tmp_path / "run")
    log = ["csv", {"name": "wandb", "tags": ["a: b"], "mode": "offline"}, {"name": "mlflow", "uri": "http://x:5000"}]
    config = Config.model_validate({"log": log})
    run.write_config(config, {})
    assert run.config == config


def test_what_is_settled_is_written_with_its_reason(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    config = Config.model_validate({"log": ["csv", "wandb", {"name": "mlflow", "uri": "sqlite:///store/all.db"}]})
    for mode, settled in ((None, "offline"), ("online", "online"), ("disabled", "offline")):
        monkeypatch.setenv("WANDB_MODE", mode) if mode else monkeypatch.delenv("WANDB_MODE", raising=False)
        reasons: dict[str, str] = {}
        log = resolve_log(config, reasons).log
        assert log == ["csv", WandbLog(mode=settled), MlflowLog(uri=f"sqlite:///{tmp_path}/store/all.db")]
        assert (f"WANDB_MODE is {mode}" if mode else "nothing is sent") in reasons["log.wandb.mode"]


@pytest.mark.parametrize(
    ("log", "absent", "extra"),
    [("wandb", "wandb", "wandb"), ("mlflow", "mlflow", "mlflow"), ("csv,mlflow", "alembic", "mlflow")],
)
def test_a_package_that_is_missing_is_told_with_its_extra_before_anything_is_written(
    monkeypatch, tmp_path, log, absent, extra
):
    """The look for packages is a mock: they are installed here."""
    whole = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == absent else whole(name, *rest))
    outcome = maskwright("train", "--data", data(), *TINY, "--log", log, "--out", tmp_path / "run")
    assert outcome.code == 2 and not (tmp_path / "run").exists()
    assert install_command(extra) in outcome.sentence and f"needs {absent}" in outcome.sentence


def test_nothing_is_imported_that_was_not_chosen(tmp_path):
    """Training, evaluating and reporting with `log: csv`, in a process of its own."""
    words = [
        str(word)
        for word in ("train", "--data", data(), *TINY, "--epochs", 1, "--log", "csv", "--out", tmp_path / "run")
    ]
    program = f"""
import sys
from maskwright.cli import main
for words in ({words!r}, ["evaluate", {str(tmp_path / "run")!r}]):
    try:
        main(words)
    except SystemExit as stop:
        assert not stop.code
sys.stderr.write("IMPORTED " + " ".join(name for name in {PACKAGES!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.rpartition("IMPORTED ")[2].split() == []
    assert not (tmp_path / "run" / "loggers.json").exists() and not (tmp_path / "run" / "tensorboard").exists()


# ------------------------------------------------------------------ the collection


class Taker:
    """A logger that remembers, and fails where it is told to."""

    def __init__(self, recorded: int = -1, fails_at: int | None = None, error: Exception | None = None) -> None:
        self.place, self.astray, self.recorded, self.fails_at = "memory", False, recorded, fails_at
        self.error = error or ConnectionError("the line is dead\nand more")
        self.epochs: list[Epoch] = []
        self.closed: list[str] = []

    def epoch(self, epoch: Epoch) -> None:
        if epoch.number == self.fails_at:
            raise self.error
        self.epochs.append(epoch)

    def best(self, scores: Any, run: Run) -> None: ...

    def evaluation(self, scored: Any) -> None: ...

    def file(self, path: Path) -> None: ...

    def close(self, ending: str) -> None:
        self.closed.append(ending)


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """A collection over takers, in the place of W&B and MLflow."""

    def make(wandb: Taker, mlflow: Taker, said: list[str], rows: int = 0) -> LoggerCollection:
        run = Run.create(tmp_path / "run")
        run.write_config(Config.model_validate({"log": ["wandb", "mlflow"]}), {})
        monkeypatch.setattr(collection, "LOGGERS", {"wandb": lambda *_: wandb, "mlflow": lambda *_: mlflow})
        made = LoggerCollection(run, said.append, ("wandb", "mlflow"))
        made.open(rows, [{"epoch": number} for number in range(rows)])
        return made

    return make


def numbers(taker: Taker) -> list[int]:
    return [epoch.number for epoch in taker.epochs]


def test_each_is_given_what_it_lacks_and_nothing_twice(opened):
    ahead, behind = Taker(recorded=4), Taker(recorded=0)
    with opened(ahead, behind, [], rows=3) as made:
        for number in range(3, 7):
            assert made.wants(number)
            made.epoch(Epoch({"epoch": number}))
        assert not made.wants(6)
    assert numbers(ahead) == [5, 6] and numbers(behind) == [1, 2, 3, 4, 5, 6]
    assert ahead.closed == behind.closed == ["finished"]


def test_panels_are_the_same_objects_for_all(opened):
    one, other = Taker(), Taker()
    panel = Panel("a", "a", np.zeros((4, 4, 3), np.uint8), *[np.zeros((4, 4), np.uint8)] * 2, 2)
    with opened(one, other, []) as made:
        made.epoch(Epoch({"epoch": 0}, (panel,)))
    assert one.epochs[0].panels[0] is other.epochs[0].panels[0] is panel
    assert panel.strip is panel.strip and panel.strip.shape == (4, 3 * 4 + 2 * 4, 3)


def test_one_that_fails_is_told_of_once_and_the_others_go_on(opened):
    bad, good, said = Taker(fails_at=1), Taker(), []
    with opened(bad, good, said) as made:
        for number in range(4):
            made.epoch(Epoch({"epoch": number}))
    assert numbers(bad) == [0] and numbers(good) == [0, 1, 2, 3]
    assert bad.closed == ["failed"] and good.closed == ["finished"]
    told = [line for line in said if line.startswith("warning")]
    assert len(told) == 1 and told[0].startswith(
        "warning Weights & Biases failed: the line is dead; training goes on without it"
    )


def test_a_full_disk_ends_the_training_as_before(opened):
    bad, good = Taker(fails_at=0, error=RunError("could not write x: No space left on device.")), Taker()
    with pytest.raises(RunError, match="No space left"), opened(bad, good, []) as made:
        made.epoch(Epoch({"epoch": 0}))
    assert bad.closed == good.closed == ["failed"]


def test_an_interrupt_is_told_to_the_loggers_as_one(opened):
    one, other = Taker(), Taker()
    with pytest.raises(KeyboardInterrupt), opened(one, other, []):
        raise KeyboardInterrupt
    assert one.closed == other.closed == ["interrupted"]


# ------------------------------------------------------------------ parts


def test_a_run_without_such_loggers_is_left_alone(monkeypatch):
    """TensorBoard has no place for an evaluation; nothing is opened."""
    run = Run.open(finished())
    monkeypatch.setattr(collection, "LOGGERS", {})
    document = evaluated().json
    counts = Counts.load(finished() / "evaluation" / "test-counts.npz")
    before = {path: path.stat().st_mtime_ns for path in run.root.rglob("*")}
    log_evaluation(run, document, counts)
    log_report(run, finished() / "report.html")
    assert {path: path.stat().st_mtime_ns for path in run.root.rglob("*")} == before


def test_the_best_scores_are_told_by_the_weights_themselves():
    run = Run.open(finished())
    best = max(run.history, key=lambda row: row["val_iou"])
    names = ("epoch", *SCORES)
    assert best_scores(run) == {name: best[name] for name in names}


def test_the_tables_hold_a_row_a_class_and_a_row_an_image_the_worst_first():
    document = {**evaluated().json, "loss": None}
    document["metrics"] = {**document["metrics"], "iou": None}
    counts = Counts.load(finished() / "evaluation" / "test-counts.npz")
    found = scored(document, counts)
    assert "test/iou" not in found.scores and "test/loss" not in found.scores
    assert found.scores["test/accuracy"] == document["metrics"]["accuracy"]
    assert [row[0] for row in found.per_class.rows] == list(document["per_class"])
    at = found.per_image.columns.index("iou")
    assert sorted(row[0] for row in found.per_image.rows) == sorted(counts.images)
    hits = {name: m[1, 1] / (m[1, 1] + m[0, 1] + m[1, 0]) for name, m in zip(counts.images, counts.matrix, strict=True)}
    assert {row[0]: row[at] for row in found.per_image.rows} == pytest.approx(hits)
    assert [row[at] for row in found.per_image.rows] == sorted(row[at] for row in found.per_image.rows)
    assert json.dumps(found.per_image.rows, allow_nan=False)


def test_names_of_panels_are_plain_and_never_alike():
    names = ["a", "a", "ä b", "ö b", "…", "x" * 40, "a-2"]
    keys = panel_keys(names)
    assert len(set(keys)) == len(names) and all(key.replace("_", "").replace("-", "").isalnum() for key in keys)
    assert all(key.isascii() for key in keys)


def test_a_small_panel_keeps_labels_labels():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, (700, 500)).astype(np.uint8) * 7
    panel = Panel("a", "a", rng.integers(0, 255, (700, 500, 4), np.uint8), truth, 7 - truth, 8)
    image, small, labels = panel.small
    assert image.shape == (256, 183, 3) and small.shape == labels.shape == (256, 183)
    assert set(np.unique(small)) == set(np.unique(labels)) == {0, 7} and (small + labels == 7).all()


def test_the_environment_is_given_back_and_the_user_s_own_left_alone(monkeypatch):
    import os

    monkeypatch.setenv("WANDB_SILENT", "false")
    monkeypatch.delenv("WANDB_DATA_DIR", raising=False)
    environment = Environment({"WANDB_SILENT": "true", "WANDB_DATA_DIR": "here"})
    assert os.environ["WANDB_SILENT"] == "false" and os.environ["WANDB_DATA_DIR"] == "here"
    environment.restore()
    assert os.environ["WANDB_SILENT"] == "false" and "WANDB_DATA_DIR" not in os.environ


def test_remarks_are_held_back_only_inside(caplog):
    import logging

    with quiet():
        logging.getLogger("mlflow.store").critical("inside")
    logging.getLogger("mlflow.store").critical("outside")
    assert [record.message for record in caplog.records] == ["outside"]


def test_tensorflow_can_be_imported_by_others_after_tensorboard_was_used():
    """It was held back from TensorBoard alone, which would start it."""
    finished()
    assert sys.modules.get("tensorflow", "absent") is not None
