"""Weights & Biases: offline files read back with its own reader and uploaded by its own client to a loopback server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import numpy as np
import psutil
import pytest
from logged import WANDB, elsewhere, epochs_of, histories, inspected, logged, trained
from PIL import Image
from wandb_server import KEY, serving

from maskwright.config.log import WandbLog
from maskwright.runs import Run
from maskwright.training.loggers.choice import wandb_mode
from maskwright.training.loggers.wandb_files import held, records
from support import EPOCHS, SCORES, TAGS, TINY, data, maskwright, rows, start, wait_until

pytestmark = pytest.mark.xdist_group("loggers")
OFFLINE = "{name: wandb, mode: offline}"  # the child has not this process's environment


def wandb_id(run: Path) -> str:
    return json.loads((run / "loggers.json").read_text())["wandb"]["id"]


def nested(flat: dict) -> dict:
    """{"a.b": 1} as {"a": {"b": 1}}."""
    tree: dict = {}
    for key, value in flat.items():
        *parents, last = key.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[last] = value
    return tree


def media(run: Path, name: str) -> Path:
    (found,) = (run / "wandb").glob(f"*run-*/files/{name}")
    return found


# ------------------------------------------------------------------ what its own reader finds


def test_every_epoch_stands_there_once_with_the_history_s_numbers():
    found = [row for row in histories(logged()) if "epoch" in row]
    assert [row["epoch"] for row in found] == [row["_step"] for row in found] == list(range(EPOCHS))
    for row, ours in zip(found, Run.open(logged()).history, strict=True):
        assert {tag: row[tag] for tag in TAGS} == {tag: ours[column] for tag, column in TAGS.items()}


def test_the_configuration_is_the_run_s_own_less_where_it_is_logged():
    training = inspected(logged())[0]
    given = next(record["run"]["config"]["update"] for record in training if record["type"] == "run")
    config = Run.open(logged()).config.model_dump(mode="json")
    assert {key: given[key] for key in config if key != "log"} == {key: config[key] for key in config if key != "log"}
    assert "log" not in given


def test_panels_are_images_with_truth_and_prediction_as_masks():
    run = Run.open(logged())
    last = nested([row for row in histories(logged()) if "epoch" in row][-1])
    for entry in run.data["splits"]["val"]:
        panel = last["panels/" + Path(entry["image"]).stem]
        source = Path(run.data["root"])
        image = np.asarray(Image.open(media(run.root, panel["path"])).convert("RGB"))
        assert (image == np.asarray(Image.open(source / entry["image"]).convert("RGB"))).all()
        truth = np.asarray(Image.open(media(run.root, panel["masks"]["truth"]["path"])))
        assert (truth == (np.asarray(Image.open(source / entry["mask"])) > 0)).all()
        assert set(np.unique(Image.open(media(run.root, panel["masks"]["prediction"]["path"])))) <= {0, 1}


def test_best_scores_are_in_the_summary_and_curves_are_tables_of_the_history():
    training = inspected(logged())[0]
    summary = {
        key: value
        for record in training
        if record["type"] == "summary"
        for key, value in record["summary"].get("update", {}).items()
    }
    history = Run.open(logged()).history
    best = max(history, key=lambda row: row["val_iou"])
    names = ("epoch", *SCORES)
    assert {name: summary[f"best/{name}"] for name in names} == {name: best[name] for name in names}
    for kind in ("loss", "iou", "dice", "accuracy"):
        (table,) = (logged() / "wandb").glob(f"*run-*/files/media/table/curves/{kind}_table*.json")
        drawn = json.loads(table.read_text())
        lines = {
            (row[drawn["columns"].index("step")], row[drawn["columns"].index("lineKey")]): row for row in drawn["data"]
        }
        for row in history:
            for split in ("train", "val"):
                assert lines[row["epoch"], split][drawn["columns"].index("lineVal")] == pytest.approx(
                    row[f"{split}_{kind}"]
                )


def test_an_evaluation_adds_its_tables_and_scores_to_the_same_run():
    training, evaluation = inspected(logged())
    ids = {record["run"]["run_id"] for part in (training, evaluation) for record in part if record["type"] == "run"}
    assert ids == {wandb_id(logged())}
    document = Run.open(logged()).read_json("evaluation/test.json")
    summary = {
        key: value
        for record in evaluation
        if record["type"] == "summary"
        for key, value in record["summary"].get("update", {}).items()
    }
    assert {name: summary.get(f"test/{name}") for name in document["metrics"]} == document["metrics"]
    row = nested(next(record["history"]["item"] for record in evaluation if record["type"] == "history"))
    assert row["_step"] == EPOCHS + 1, "a step of its own, after the curves'"
    table = json.loads(media(logged(), row["test/per_class"]["path"]).read_text())
    for title, *cells in table["data"]:
        assert dict(zip(table["columns"][1:], cells, strict=True)) == document["per_class"][title]
    images = json.loads(media(logged(), row["test/per_image"]["path"]).read_text())
    assert len(images["data"]) == document["images"]
    at = images["columns"].index("iou")
    assert np.mean([cells[at] for cells in images["data"]]) == pytest.approx(document["averages"]["imagewise"]["iou"])


# ------------------------------------------------------------------ how it behaves


def test_it_is_told_where_it_logs_and_nothing_else_is_said():
    _, training, evaluation, _ = trained()
    said = [line for line in training.err.splitlines() if line.startswith(("log ", "warning", "wandb", "note"))]
    folder = logged() / "wandb"
    assert said[0] == f"log     Weights & Biases: offline in {folder}; wandb sync {folder} would send it"
    assert len(said) == 2 and said[1].startswith("log     MLflow: ")
    assert evaluation.err == ""
    assert "log.wandb.mode was auto: nothing is sent unless" in (logged() / "config.yaml").read_text()


def test_nothing_is_left_running_or_lying_about():
    run, _, _, left = trained()
    assert left == []
    assert list((run.parent / "here").iterdir()) == []
    assert [path for path in (run.parent / "home").rglob("*") if "wandb" in path.parts or "mlflow" in path.parts] == []


def test_its_own_client_uploads_the_files_as_one_run(tmp_path):
    with serving() as server, elsewhere(tmp_path, WANDB_BASE_URL=server.address, WANDB_API_KEY=KEY):
        words = [WANDB, "sync", "--include-synced", str(logged() / "wandb")]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    run = wandb_id(logged())
    assert epochs_of(server.history(run)) == list(range(EPOCHS))
    steps = [row["_step"] for row in server.history(run)]
    assert steps == list(range(EPOCHS + 2))
    assert {"best/val_iou", "test/iou", "test/per_class", "iou/val"} <= server.summary(run).keys()
    assert any("per_image" in name for name in server.files)


def test_our_reader_agrees_with_theirs_and_stands_a_torn_file(tmp_path):
    run = wandb_id(logged())
    found = held(logged() / "wandb", run)
    assert (found.epoch, found.step) == (EPOCHS - 1, EPOCHS + 1)
    assert found.summary["best/epoch"] in range(EPOCHS) and "test/iou" in found.summary
    (file, *_) = sorted((logged() / "wandb").glob(f"offline-run-*-{run}/*.wandb"))
    whole = [record.WhichOneof("record_type") for record in records(file)]
    assert whole == [record["type"] for record in inspected(logged())[0]]
    content = file.read_bytes()
    for length in (0, 3, 7, 8, 100, len(content) // 2, len(content) - 1):
        (tmp_path / "torn").write_bytes(content[:length])
        part = [record.WhichOneof("record_type") for record in records(tmp_path / "torn")]
        assert part == whole[: len(part)] and len(part) < len(whole)


@pytest.fixture(scope="module")
def online(tmp_path_factory):
    """A run trained and evaluated online, against a loopback server."""
    folder = tmp_path_factory.mktemp("online")
    with serving() as server:
        with elsewhere(folder, WANDB_BASE_URL=server.address, WANDB_API_KEY=KEY, WANDB_MODE="online"):
            outcome = maskwright(
                "train", "--data", data(), *TINY, "--epochs", 3, "--log", "wandb", "--out", folder / "run"
            )
            assert maskwright("evaluate", folder / "run").code in (0, None)
        yield folder / "run", server, outcome


def test_online_it_sends_each_epoch_once_and_the_tables(online):
    run, server, outcome = online
    assert f"log     Weights & Biases: online, {server.address}/me/maskwright/runs/{wandb_id(run)}" in outcome.err
    sent = server.history(wandb_id(run))
    assert epochs_of(sent) == [0, 1, 2]
    assert [row["iou/val"] for row in sent if "epoch" in row] == [row["val_iou"] for row in Run.open(run).history]
    assert any("test/per_image" in row for row in sent)
    document = Run.open(run).read_json("evaluation/test.json")
    assert server.summary(wandb_id(run))["test/iou"] == document["metrics"]["iou"]


def test_what_goes_offline_after_having_been_online_reports_nothing(online):
    """WANDB_MODE=offline forbids what the configuration allows."""
    run, server, _ = online
    before = len(server.asked)
    with elsewhere(run.parent, WANDB_BASE_URL=server.address, WANDB_API_KEY=KEY, WANDB_MODE="offline"):
        assert maskwright("evaluate", run, "--split", "val").code in (0, None)
    assert len(server.asked) == before
    assert len(list((run / "wandb").glob("offline-run-*"))) == 1


def test_a_server_that_refuses_leaves_the_run_offline_and_complete(tmp_path):
    """Told of before the first epoch; later, with no key at all, an evaluation asks for none."""
    run = tmp_path / "run"
    with (
        serving() as server,
        elsewhere(tmp_path, WANDB_BASE_URL=server.address, WANDB_API_KEY=KEY, WANDB_MODE="online"),
    ):
        server.refuses = True
        outcome = maskwright("train", "--data", data(), *TINY, "--epochs", 2, "--log", "wandb", "--out", run)
    (told,) = [line for line in outcome.err.splitlines() if line.startswith("log ")]
    assert outcome.code in (0, None) and "not reached (" in told and "so offline in" in told
    with elsewhere(tmp_path, WANDB_BASE_URL=server.address, WANDB_MODE="online"):
        evaluation = maskwright("evaluate", run)
    assert evaluation.code in (0, None) and "not reached (no key is known)" in evaluation.err
    assert epochs_of(histories(run)) == [0, 1]


@pytest.mark.parametrize(
    ("configured", "environment", "mode"),
    [
        ("auto", None, "offline"),
        ("auto", "online", "online"),
        ("auto", "offline", "offline"),
        ("auto", "disabled", "disabled"),
        ("offline", "online", "offline"),
        ("online", None, "online"),
        ("online", "online", "online"),
        ("online", "offline", "offline"),
        ("online", "dryrun", "offline"),
        ("online", "disabled", "disabled"),
    ],
)
def test_the_stricter_of_configuration_and_environment_holds(monkeypatch, configured, environment, mode):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    if environment:
        monkeypatch.setenv("WANDB_MODE", environment)
    assert wandb_mode(WandbLog(mode=configured)) == mode


def test_online_without_a_key_is_refused_before_anything_is_asked_or_written(tmp_path):
    with elsewhere(tmp_path, WANDB_MODE="online"):
        outcome = maskwright("train", "--data", data(), *TINY, "--log", "wandb", "--out", tmp_path / "run")
    assert outcome.code == 2 and not (tmp_path / "run").exists()
    assert "wandb login" in outcome.sentence and "offline" in outcome.sentence


def test_disabled_means_nothing_at_all(tmp_path):
    with elsewhere(tmp_path, WANDB_MODE="disabled"):
        outcome = maskwright(
            "train", "--data", data(), *TINY, "--epochs", 1, "--log", "wandb", "--out", tmp_path / "run"
        )
    assert outcome.code in (0, None) and not (tmp_path / "run" / "wandb").exists()


def test_its_process_killed_in_mid_training_costs_no_more_than_a_line(tmp_path):
    """What it lost is added by the evaluation."""
    run = tmp_path / "run"
    words = ("--data", data(), *TINY, "--train.repeats", 8, "--epochs", 6, "--log", OFFLINE, "--out", run)
    child = start(tmp_path / "log", "train", *words)
    wait_until(lambda: rows(run) >= 2, child.is_alive)
    (core,) = [one for one in psutil.Process(child.pid).children(recursive=True) if "wandb-core" in one.name()]
    core.kill()
    child.join(60)
    said = (tmp_path / "log").read_text()
    assert child.exitcode == 0, said
    warnings = [line for line in said.splitlines() if line.startswith("warning Weights")]
    assert len(warnings) == 1 and "training goes on without it" in warnings[0] and "Traceback" not in said
    assert rows(run) == 6 and (run / "model.safetensors").is_file()
    with elsewhere(tmp_path):
        assert maskwright("evaluate", run).code in (0, None)
    assert epochs_of(histories(run)) == list(range(6))
