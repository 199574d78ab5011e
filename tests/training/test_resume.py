"""A run killed anywhere goes on to the same bits: killed with SIGKILL, in processes of its own."""

from __future__ import annotations

import functools
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.files import temporary_beside
from maskwright.models.devices import choose_precision
from maskwright.runs import Run
from maskwright.training import fit, module
from maskwright.training.callbacks import read_best
from support import (
    EPOCHS,
    TINY,
    columns,
    copy_of,
    data,
    finished,
    leftovers,
    maskwright,
    rows,
    session_folder,
    start,
    wait_until,
)

pytestmark = pytest.mark.xdist_group("resume")

NUM_EPOCHS = 14
BF16 = pytest.param(
    "bf16", marks=pytest.mark.skipif(choose_precision("cpu")[0] != "bf16", reason="this processor has no bf16")
)


def command(out: Path, precision: str) -> list[object]:
    """Epochs of eight steps, so that there is an inside to be killed in."""
    return [
        "train",
        "--data",
        data(),
        *TINY,
        "--train.repeats",
        8,
        "--epochs",
        NUM_EPOCHS,
        "--train.grow",  # so that runs are killed among small and among full inputs
        0.5,
        "--precision",
        precision,
        "--out",
        out,
    ]


@functools.cache
def uninterrupted(precision: str) -> Path:
    run = session_folder() / f"uninterrupted-{precision}"
    outcome = maskwright(*command(run, precision))
    assert outcome.code == 0, outcome.err
    return run


def kill(run: Path, when: Callable[[], bool], delay: float, *words: object) -> None:
    """Start a command and kill it so many seconds after something has become so."""
    child = start(run.with_name("log"), *words)
    wait_until(when, child.is_alive)
    time.sleep(delay)
    child.kill()
    child.join()
    assert child.exitcode == -signal.SIGKILL, "it was too quick to be killed"
    assert not (run / "model.safetensors").exists()
    time.sleep(1.001 - time.time() % 1)  # TensorBoard orders event files by the second they were begun in


def resumed(run: Path) -> Path:
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 0, outcome.err
    return run


def scalars(run: Path) -> dict[str, list[tuple[int, float]]]:
    accumulator = EventAccumulator(str(run / "tensorboard"), size_guidance={"scalars": 0})
    accumulator.Reload()
    return {
        tag: [(event.step, event.value) for event in accumulator.Scalars(tag)] for tag in accumulator.Tags()["scalars"]
    }


def tensors(tree: object) -> list[torch.Tensor]:
    """All tensors in a checkpoint, in order."""
    if isinstance(tree, torch.Tensor):
        return [tree]
    inner = tree.values() if isinstance(tree, dict) else tree if isinstance(tree, list | tuple) else ()
    return [tensor for item in inner for tensor in tensors(item)]


def assert_same(run: Path, other: Path) -> None:
    """Weights, history, checkpoints and curves are equal, bit for bit."""
    assert columns(run) == columns(other)
    assert (run / "model.safetensors").read_bytes() == (other / "model.safetensors").read_bytes()
    for name in ("best.ckpt", "last.ckpt"):
        ours, theirs = (torch.load(folder / "checkpoints" / name, weights_only=True) for folder in (run, other))
        assert ours.keys() == theirs.keys()
        one, two = tensors(ours), tensors(theirs)
        assert len(one) == len(two) > 0
        assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True)), name
        if name == "best.ckpt":
            assert {k: v for k, v in ours.items() if k != "state_dict"} == {
                k: v for k, v in theirs.items() if k != "state_dict"
            }
    assert scalars(run) == scalars(other)
    assert (run / "data.json").read_bytes() == (other / "data.json").read_bytes()
    assert Run.open(run).config == Run.open(other).config


def test_two_uninterrupted_runs_are_the_same(tmp_path):
    """Without this the tests below could not tell a resume that differs from training that does."""
    run = tmp_path / "run"
    assert maskwright(*command(run, "fp32")).code == 0
    assert_same(run, uninterrupted("fp32"))


@pytest.mark.parametrize(("every", "saved"), [(2, 3), (3, 2), (9, None)])  # epochs are counted from 0
def test_checkpoints_are_written_every_so_many_epochs_and_a_resume_goes_on_from_there(tmp_path, every, saved):
    """Stopped within the sixth epoch; what was trained since the checkpoint is trained again, to the same bits."""
    words = [
        *command(tmp_path / "run", "fp32")[1:-2],
        "--train.repeats",
        "2",
        "--epochs",
        "7",
        "--train.save_every",
        str(every),
    ]
    whole, run = tmp_path / "whole", tmp_path / "run"
    assert maskwright("train", *words, "--out", whole).code == 0

    def stop(done: int, *_: object) -> bool:
        if done == 5:
            raise KeyboardInterrupt
        return False

    with pytest.raises(KeyboardInterrupt):
        fit.train(load_config(None, parse_overrides([str(word) for word in words])), run, after_epoch=stop)
    last = run / "checkpoints" / "last.ckpt"
    assert (torch.load(last, weights_only=True)["epoch"] if last.exists() else None) == saved
    assert rows(run) == 5
    assert_same(resumed(run), whole)


@pytest.mark.parametrize("renamed", ["last.ckpt", "best.ckpt"])
def test_killed_between_its_two_checkpoints_a_run_ships_a_best_of_its_own_history(tmp_path, monkeypatch, renamed):
    """Where arithmetic is not bit-exact: the third epoch scored higher than it, or any other, will when it is trained
    again.
    """
    words = [
        *command(tmp_path / "run", "fp32")[1:-2],
        "--train.repeats",
        "2",
        "--epochs",
        "5",
        "--train.save_every",
        "1",
    ]
    run, replace, metrics = tmp_path / "run", Path.replace, module.epoch_metrics

    def lucky(*counts: Any) -> dict[str, float]:
        return metrics(*counts) | {0: {"val_iou": 0.98}, 2: {"val_iou": 0.99}}.get(rows(run), {})

    def kill_before(path: Path, target: Path) -> Path:
        if rows(run) == 3 and Path(target).name == renamed:
            raise KeyboardInterrupt
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(module, "epoch_metrics", lucky)
        patch.setattr(Path, "replace", kill_before)
        with pytest.raises(KeyboardInterrupt):
            fit.train(load_config(None, parse_overrides([str(word) for word in words])), run)
    last = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    assert last["epoch"] == (1 if renamed == "last.ckpt" else 2)
    resumed(run)
    best, history = read_best(Run.open(run)), Run.open(run).history
    assert best["val_iou"] == history[int(best["epoch"])]["val_iou"] == max(row["val_iou"] for row in history)
    assert best["val_iou"] == (0.98 if renamed == "last.ckpt" else 0.99)
    assert {path.name for path in (run / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}


def test_killed_before_the_first_checkpoint(tmp_path):
    run, whole = tmp_path / "run", uninterrupted("fp32")
    kill(run, (run / "config.yaml").is_file, 0, *command(run, "fp32"))
    assert not (run / "checkpoints" / "last.ckpt").exists()
    assert_same(resumed(run), whole)


def test_killed_in_the_first_epoch_after_its_curves_were_drawn(tmp_path):
    """A checkpoint that was never written is taken away, as if the kill had come just before it."""
    run, whole = tmp_path / "run", uninterrupted("fp32")
    kill(run, lambda: rows(run) >= 2, 0, *command(run, "fp32"))
    for path in (run / "checkpoints").iterdir():
        path.unlink()
    assert_same(resumed(run), whole)


def test_killed_between_epochs_with_best_newer_than_last(tmp_path):
    """The best checkpoint of the end is put in place: a kill between the two writes leaves such a pair."""
    run, whole = tmp_path / "run", uninterrupted("fp32")
    kill(run, lambda: rows(run) >= 3, 0, *command(run, "fp32"))
    shutil.copy(whole / "checkpoints" / "best.ckpt", run / "checkpoints" / "best.ckpt")
    assert_same(resumed(run), whole)


@pytest.mark.parametrize("precision", ["fp32", BF16])
def test_killed_inside_epochs_three_times(tmp_path, precision):
    run, whole = tmp_path / "run", uninterrupted(precision)
    chance = random.Random(precision)
    words = command(run, precision)
    for _ in range(3):
        before = rows(run)
        kill(run, lambda before=before: rows(run) >= before + 2, chance.uniform(0, 0.08), *words)
        assert rows(run) < NUM_EPOCHS
        words = ["train", "--resume", run]
    assert_same(resumed(run), whole)


def test_killed_after_the_last_epoch(tmp_path):
    """The weights file is taken away, as if the kill had come just before it was written."""
    run = copy_of(finished(), tmp_path / "run")
    (run / "model.safetensors").unlink()
    assert_same(resumed(run), finished())


def test_killed_after_stopping_early(tmp_path):
    """Stopped for want of a better epoch: going on must not train another."""
    whole = tmp_path / "whole"
    words = (
        "--epochs",
        20,
        "--train.early_stop",
        2,
        "--lr",
        "1e-30",
        "--train.average",
        "none",
        "--model.norm",
        "none",
    )
    assert maskwright("train", "--data", data(), *TINY, *words, "--out", whole).code == 0
    run = copy_of(whole, tmp_path / "run")
    (run / "model.safetensors").unlink()
    assert rows(resumed(run)) == rows(whole) == 3
    assert_same(run, whole)


def test_a_resume_from_elsewhere_finds_the_data(tmp_path, monkeypatch):
    """The data were named by a path relative to the folder the training began in."""
    copy_of(data(), tmp_path / "a" / "data")
    monkeypatch.chdir(tmp_path / "a")
    assert maskwright("train", "--data", "data", *TINY, "--epochs", EPOCHS, "--out", "run").code == 0
    before = (tmp_path / "a" / "run" / "model.safetensors").read_bytes()
    (tmp_path / "a" / "run" / "model.safetensors").unlink()
    monkeypatch.chdir(tmp_path)
    resumed(tmp_path / "a" / "run")
    assert (tmp_path / "a" / "run" / "model.safetensors").read_bytes() == before


def test_temporaries_of_a_killed_process_are_swept_up(tmp_path):
    run = copy_of(finished(), tmp_path / "run")
    (run / "model.safetensors").unlink()
    (run / "checkpoints" / temporary_beside(Path("a.ckpt")).name.replace(f"-{os.getpid()}-", "-4194999-")).write_bytes(
        b"half"
    )
    (run / "cache").mkdir()
    (run / "cache" / "pixels.u8").write_bytes(b"half")
    resumed(run)
    assert leftovers(run) == [] and not (run / "cache").exists()


@pytest.mark.parametrize("change", ["pixels", "mask", "split", "fewer"])
def test_a_resume_on_changed_data_is_refused(tmp_path, change):
    root, config = copy_of(data(), tmp_path / "data"), copy_of(finished(), tmp_path / "run") / "config.yaml"
    assert f"root: {data()}\n" in config.read_text()
    config.write_text(config.read_text().replace(f"root: {data()}\n", f"root: {root}\n"))
    (tmp_path / "run" / "model.safetensors").unlink()
    pairs = (root / "pairs.csv").read_text()
    if change in ("pixels", "mask"):
        kind = {"pixels": "image", "mask": "mask"}[change]
        shutil.copy(root / f"{kind}s" / f"{kind}-0.png", root / f"{kind}s" / f"{kind}-1.png")
    elif change == "split":
        (root / "pairs.csv").write_text(pairs.replace("train", "test", 1))
    else:
        (root / "pairs.csv").write_text("\n".join(pairs.splitlines()[:-1]) + "\n")
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    outcome = maskwright("train", "--resume", tmp_path / "run")
    assert outcome.code == 2 and outcome.out == ""
    assert "the data must be what the run began with" in outcome.sentence and str(root) in outcome.sentence
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("spoil", ["missing", "half"])
def test_a_best_checkpoint_that_is_spoilt_is_told_before_training(tmp_path, spoil):
    run = copy_of(finished(), tmp_path / "run")
    (run / "model.safetensors").unlink()
    best = run / "checkpoints" / "best.ckpt"
    best.write_bytes(best.read_bytes()[:1000]) if spoil == "half" else best.unlink()
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 2 and outcome.out == ""
    assert f"`{best}` must be a whole checkpoint" in outcome.sentence


def test_a_finished_run_needs_no_checkpoints(tmp_path):
    """Somebody removed them to save room."""
    run = copy_of(finished(), tmp_path / "run")
    shutil.rmtree(run / "checkpoints")
    again = maskwright("train", "--resume", run, "--json")
    assert (
        again.code == 0 and again.json["scores"] == maskwright("train", "--resume", finished(), "--json").json["scores"]
    )
    (run / "model.safetensors").write_bytes(b"spoilt")
    assert "must be a whole weights file" in maskwright("train", "--resume", run).sentence


def test_data_that_moved_are_named_and_the_run_goes_on_to_the_same_bits(tmp_path):
    root, run = copy_of(data(), tmp_path / "data"), tmp_path / "run"
    assert maskwright("train", "--data", root, *TINY, "--epochs", EPOCHS, "--out", run).code == 0
    before = (run / "model.safetensors").read_bytes()
    (run / "model.safetensors").unlink()
    (run / "checkpoints" / "last.ckpt").unlink()
    root.rename(moved := tmp_path / "elsewhere")
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 2
    assert f"`{root}` must be the folder of the run's data; it is not there. Pass --data" in outcome.sentence
    assert maskwright("train", "--resume", run, "--data", moved).code == 0
    assert (run / "model.safetensors").read_bytes() == before
    assert maskwright("evaluate", run, "--data", moved / "pairs.csv").code == 0  # the CSV stands for its folder
