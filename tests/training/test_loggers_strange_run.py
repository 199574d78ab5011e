"""A run that came from somebody else: whatever its folder names, nothing is sent, and nothing is written outside it."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import json
import shutil
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from logged import elsewhere, logged
from mlflow_store import metric

from maskwright.comparison.spec import read_matrix
from support import TINY, copy_of, data, finished, maskwright, noise, picture

pytestmark = pytest.mark.xdist_group("loggers")
SECRETS = {"MLFLOW_TRACKING_TOKEN": "secret", "WANDB_API_KEY": "0123456789" * 4, "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0"}


@contextmanager
def listening() -> Iterator[tuple[str, list[str]]]:
    """A server's address, and what it was asked for."""
    asked: list[str] = []

    class Answers(http.server.BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _note(self) -> None:
            asked.append(f"{self.command} {self.path} {self.headers.get('Authorization')}")
            self.send_error(403)

        do_GET = do_POST = do_PUT = _note

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def with_log(run: Path, *log: Any, **ledger: Any) -> Path:
    """The run with another `log` in its configuration, and other names noted."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    (run / "config.yaml").write_text(yaml.safe_dump({**config, "log": list(log)}))
    if ledger:
        (run / "loggers.json").write_text(json.dumps(ledger))
    return run


def digests(folder: Path) -> dict[Path, str]:
    return {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("*") if path.is_file()}


MLFLOW = {"key": "k", "run": "0" * 32}


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "configured"])
def test_no_command_sends_anything_where_the_run_says(tmp_path, noted):
    image = picture(tmp_path / "image.png", noise(32, 40))
    with listening() as (address, asked), elsewhere(tmp_path, WANDB_BASE_URL=address, **SECRETS):
        wandb = {"name": "wandb", "mode": "online", "entity": "another"}
        log = (wandb, {"name": "mlflow", "uri": None if noted else address})
        ledger = {"mlflow": {**MLFLOW, "uri": address}} if noted else {}
        run = with_log(copy_of(finished(), tmp_path / "run"), *log, **ledger)
        other = with_log(copy_of(finished(), tmp_path / "other"), *log, **ledger)
        said = maskwright("evaluate", run)
        for words in (["report", run], ["predict", run, image], ["diagnose", run], ["compare", run, other]):
            assert maskwright(*words).code in (0, None), words
        (run / "model.safetensors").unlink()
        resumed = maskwright("train", "--resume", run)
    assert said.code in (0, None) and resumed.code in (0, None), resumed.err
    assert asked == []
    for outcome in (said, resumed):
        told = f"WANDB_MODE=online WANDB_ENTITY=another MLFLOW_TRACKING_URI={address} before the command allows it"
        assert told in outcome.err


def test_no_file_outside_the_run_is_written_to(tmp_path):
    store = tmp_path / "any.db"
    store.write_bytes(b"")
    with elsewhere(tmp_path):
        run = with_log(copy_of(finished(), tmp_path / "run"), {"name": "mlflow", "uri": f"sqlite:///{store}"})
        assert maskwright("evaluate", run).code in (0, None)
    assert store.read_bytes() == b"" and not (tmp_path / "artifacts").exists()


def test_what_the_environment_names_is_used(tmp_path):
    """A store that runs share: an evaluation reaches it when this call says so, and only then."""
    uri = f"sqlite:///{tmp_path / 'all.db'}"
    run = tmp_path / "run"
    with elsewhere(tmp_path):
        log = f"{{name: mlflow, uri: '{uri}'}}"
        assert maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--log", log, "--out", run).code in (0, None)
        assert maskwright("evaluate", run).code in (0, None)
    assert metric(run, "val/iou", uri) == metric(run, "test/iou", uri) == []
    with elsewhere(tmp_path, MLFLOW_TRACKING_URI=uri):
        assert maskwright("evaluate", run).code in (0, None)
    assert len(metric(run, "test/iou", uri)) == 1


def test_a_moved_run_leaves_the_place_it_was_in_alone(tmp_path):
    """Its store names where files were kept, as one made by another might name any place."""
    before = digests(logged())
    run = tmp_path / "run"
    shutil.copytree(logged(), run, symlinks=True)
    with elsewhere(tmp_path):
        assert maskwright("evaluate", run, "--split", "val").code in (0, None)
    assert digests(logged()) == before
    assert len(metric(run, "val/iou")) == 1


@pytest.mark.parametrize("folder", ["evaluation", "wandb", "checkpoints"])
def test_a_folder_of_the_run_that_leads_elsewhere_is_refused(tmp_path, folder):
    run = copy_of(finished(), tmp_path / "run")
    shutil.rmtree(run / folder, ignore_errors=True)
    (tmp_path / "mine").mkdir()
    (run / folder).symlink_to(tmp_path / "mine")
    outcome = maskwright("evaluate", run)
    assert outcome.code == 2 and str(run / folder) in outcome.sentence
    assert list((tmp_path / "mine").iterdir()) == []


def test_a_store_that_is_a_link_is_left_alone(tmp_path):
    (tmp_path / "any.db").write_bytes(b"")
    run = with_log(copy_of(finished(), tmp_path / "run"), {"name": "mlflow"})
    (run / "mlflow").mkdir()
    (run / "mlflow" / "mlflow.db").symlink_to(tmp_path / "any.db")
    with elsewhere(tmp_path):
        outcome = maskwright("evaluate", run)
    assert outcome.code in (0, None) and "it is a link" in outcome.err
    assert (tmp_path / "any.db").read_bytes() == b""


@pytest.mark.parametrize("kept", ["on a server", "in another folder", "by a link"])
def test_a_store_that_keeps_files_elsewhere_is_given_none(tmp_path, kept):
    """Where MLflow keeps a run's files stands in the store, which came with the run."""
    mine = tmp_path / "mine" / "history.csv"
    picture(mine.with_suffix(".png"), noise(4, 4))
    mine.write_text("mine")
    with listening() as (address, asked), elsewhere(tmp_path, **SECRETS):
        run = with_log(copy_of(finished(), tmp_path / "run"), {"name": "mlflow"})
        assert maskwright("evaluate", run).code in (0, None)
        if kept == "by a link":
            (link,) = (run / "mlflow" / "artifacts").rglob("history.csv")
            link.unlink()
            link.symlink_to(mine)
            (run / "loggers.json").write_text(
                (run / "loggers.json").read_text().replace('"finished": true', '"finished": false')
            )
        else:
            (run / "loggers.json").unlink()
            place = f"{address}/x" if kept == "on a server" else (tmp_path / "mine").as_uri()
            with contextlib.closing(sqlite3.connect(run / "mlflow" / "mlflow.db")) as store, store:
                store.execute("update experiments set artifact_location = ?", (place,))
                store.execute("delete from tags")
        assert maskwright("evaluate", run).code in (0, None)
    assert asked == []
    assert mine.read_text() == "mine" and len(list((tmp_path / "mine").iterdir())) == 2
    assert len(metric(run, "test/iou")) == (2 if kept == "by a link" else 1)


@pytest.mark.parametrize(
    "ledger",
    [
        {"wandb": {"id": "x/../../../mine", "project": "p", "entity": None}},
        {"wandb": {"id": "*", "project": "p", "entity": None}},
        {"wandb": 1},
        {"mlflow": {"key": "' OR 1=1", "run": None, "uri": None}},
        ["wandb"],
    ],
)
def test_names_that_would_lead_out_of_the_run_are_refused(tmp_path, ledger):
    (tmp_path / "mine").mkdir()
    run = with_log(copy_of(finished(), tmp_path / "run"), {"name": "wandb"}, {"name": "mlflow"})
    (run / "loggers.json").write_text(json.dumps(ledger))
    (run / "wandb" / "offline-run-1-x").mkdir(parents=True)
    with elsewhere(tmp_path):
        outcome = maskwright("evaluate", run)
    assert outcome.code == 2 and "loggers.json` must be as it was written" in outcome.sentence
    assert (tmp_path / "mine").is_dir() and (run / "wandb" / "offline-run-1-x").is_dir()


def test_the_address_of_wandb_is_not_taken_from_the_current_folder(tmp_path):
    with listening() as (theirs, asked), elsewhere(tmp_path, WANDB_BASE_URL="", WANDB_MODE="online", **SECRETS):
        import os

        del os.environ["WANDB_BASE_URL"]
        Path("wandb").mkdir()
        Path("wandb/settings").write_text(f"[default]\nbase_url = {theirs}\n")
        mine = tmp_path / "home" / ".config" / "wandb" / "settings"
        with listening() as (ours, mine_asked):
            mine.parent.mkdir(parents=True)
            mine.write_text(f"[default]\nbase_url = {ours}\n")
            words = ("--data", data(), *TINY, "--epochs", 1, "--log", "wandb", "--out", tmp_path / "run")
            outcome = maskwright("train", *words)
    assert outcome.code in (0, None) and asked == [] and mine_asked


def test_a_comparison_s_folder_does_not_say_where_its_cells_are_logged(tmp_path):
    document = {"base": {"data": {"root": str(data())}, "log": [{"name": "mlflow", "uri": "http://a.example"}]}}
    text = yaml.safe_dump({**document, "matrix": {"seed": [0, 1]}})
    (tmp_path / "comparison.yaml").write_text(text)
    (tmp_path / "mine.yaml").write_text(text)
    strange, mine = (read_matrix(tmp_path / name) for name in ("comparison.yaml", "mine.yaml"))
    assert [cell.config.log for cell in strange.cells] == [[], []]
    assert "MLFLOW_TRACKING_URI=http://a.example" in " ".join(strange.notes) and not mine.notes
    assert all(cell.config.log[0].uri == "http://a.example" for cell in mine.cells)
