"""Several devices, tried with processes on the CPU: the steps of one device with the whole batch, and an end when one
is gone.
"""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
import torch

from maskwright.runs import Run
from maskwright.training.pace import Pace, Portion
from maskwright.training.ranks import Ranks
from support import PROGRAM, TINY, data, environment, maskwright

# without batch-norm, which each process computes on its own part, or augmentation of a part by another's random numbers
PLAIN = ("--data", data(), *TINY, "--model.norm", "none", "--loss", "ce", "--data.ignore_index", "null",
         "--train.repeats", 5, "--batch-size", 8, "--log", "[csv]")  # fmt: skip


def train(out: Path, *words: object) -> Run:
    outcome = maskwright("train", *PLAIN, *words, "--out", out)
    assert outcome.code == 0, outcome.err
    return Run.open(out)


def same(one: Run, two: Run) -> None:
    mine, theirs = (torch.load(run.checkpoints / "last.ckpt", weights_only=True) for run in (one, two))
    assert mine["global_step"] == theirs["global_step"]
    for name, value in theirs["state_dict"].items():
        torch.testing.assert_close(mine["state_dict"][name], value, rtol=2e-3, atol=2e-5, msg=name)
    for weight, other in zip(mine["average"]["weights"], theirs["average"]["weights"], strict=True):
        torch.testing.assert_close(weight, other, rtol=2e-3, atol=2e-5)
    assert len(one.history) == len(two.history)
    for row, other in zip(one.history, two.history, strict=True):
        for key in ("train_iou", "train_loss", "val_loss", "val_iou", "val_accuracy"):
            assert row[key] == pytest.approx(other[key], rel=5e-3), key


def test_two_processes_train_as_one_does(tmp_path: Path) -> None:
    """20 inputs in steps of 7, 7 and 6, cut into batches of 4 and 3: parts are uneven, and each input must weigh the
    same.
    """
    words = ("--epochs", 3, "--batch-size", 4, "--train.accumulate", 2, "--train.workers", 1)
    whole = train(tmp_path / "whole", *words)
    shared = train(tmp_path / "shared", *words, "--train.num_devices", 2)
    same(shared, whole)
    assert sorted(path.name for path in shared.root.iterdir()) == sorted(path.name for path in whole.root.iterdir())
    assert "num_devices: 2" in (shared.root / "config.yaml").read_text()


def started(out: Path, *words: object) -> subprocess.Popen[str]:
    """A training on two processes, once it has taken some steps."""
    command = [PROGRAM, "train", *PLAIN, "--train.num_devices", 2, "--train.save_every", 1, *words, "--out", out]
    process = subprocess.Popen([str(word) for word in command], stderr=subprocess.PIPE, text=True, env=environment())
    deadline = time.monotonic() + 120
    while not (out / "checkpoints" / "last.ckpt").is_file():
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()
        time.sleep(0.05)
    return process


def others(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [child for child in psutil.Process(process.pid).children() if "training.ranks" in " ".join(child.cmdline())]


@pytest.mark.slow
def test_a_process_that_is_gone_ends_the_training_and_a_resume_goes_on(tmp_path: Path) -> None:
    out = tmp_path / "run"
    process = started(out, "--epochs", 40)
    (other,) = others(process)
    other.kill()
    said = process.communicate(timeout=120)[1]
    assert "the process of another device ended with code -9" in said and "Traceback" not in said, said
    assert process.returncode == 2 and 1 <= len(Run.open(out).history) < 40
    assert maskwright("train", "--resume", out).code == 0
    assert [row["epoch"] for row in Run.open(out).history] == list(range(40))


@pytest.mark.slow
def test_the_others_end_with_rank_0(tmp_path: Path) -> None:
    process = started(tmp_path / "run", "--epochs", 100_000)
    (other,) = others(process)
    process.kill()
    process.communicate()
    other.wait(60)


@pytest.mark.slow
def test_a_budget_is_kept_by_rank_0(tmp_path: Path) -> None:
    began = time.monotonic()
    run = train(tmp_path / "run", "--budget", "60s", "--train.num_devices", 2)
    assert time.monotonic() - began < 66 and len(run.history) > 1
    assert run.read_json("pace.json", list)[-1]["steps"] == 0


def test_what_is_wrong_with_one_part_is_told_as_one_sentence(tmp_path: Path) -> None:
    """A rate at which the loss is soon no number: whichever process sees it first."""
    outcome = maskwright("train", *PLAIN, "--lr", 1e30, "--optim.clip", "null", "--epochs", 9, "--train.num_devices", 2,
                         "--out", tmp_path / "run")  # fmt: skip
    assert outcome.code == 2 and "the loss must stay a finite number" in outcome.sentence


class Others(Ranks):
    """A process whose rank 0 is in this one: what that decides is handed over here."""

    said: ClassVar[list[Any]] = []

    def agree(self, decide: Callable[[], Any]) -> Any:
        if self.rank == 0:
            self.said.append(decide())
            return self.said[-1]
        return self.said.pop(0)


def test_a_budgets_decisions_are_rank_0s() -> None:
    written: list[int] = []
    portions = {False: Portion(4, 4 * 32**2), True: Portion(8, 8 * 16**2)}
    now = iter(range(1000))
    paces = [
        Pace(
            20.0,
            0.0,
            0.7,
            portions,
            keep=lambda stretches: written.append(len(stretches)),
            clock=lambda: next(now) / 10,
            ranks=Others(),
        ),
        Pace(20.0, 0.0, 0.7, portions, clock=lambda: 1e9, ranks=Others(1, 2)),  # by its own clock it would be over
    ]
    for _ in range(30):
        for pace in paces:
            pace.begin_epoch()
        while stretch := paces[0].next():
            assert paces[1].next() == stretch
            for _ in range(stretch.steps):
                assert [pace.share(stretch.step) for pace in paces] == [stretch.start] * 2
                for pace in paces:
                    pace.ran_step()
        assert paces[1].next() is None and paces[1].done == paces[0].done
        if paces[0].done:
            break
    assert (
        paces[0].done
        and paces[0].stretches == paces[1].stretches
        and written == list(range(1, len(paces[0].stretches) + 1))
    )


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--train.num_devices", 9), "`train.num_devices` must be at most the 6 inputs of the smallest batch; got 9"),
        (("--train.num_devices", 0), "train.num_devices"),
    ],
)
def test_more_processes_than_inputs(tmp_path: Path, words: tuple[object, ...], told: str) -> None:
    outcome = maskwright("train", *PLAIN, "--epochs", 1, *words, "--out", tmp_path / "run")
    assert outcome.code == 2 and told in outcome.sentence
    assert not (tmp_path / "run").exists()
