"""A budget of time: kept by the clock whatever the machine does, written down, and replayed to the same bits."""

from __future__ import annotations

import json
import math
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from maskwright.config.base import seconds_of
from maskwright.data.record import class_map
from maskwright.models import build_model
from maskwright.runs import Run
from maskwright.training.callbacks import EndWhenFlat
from maskwright.training.forecast import is_flat
from maskwright.training.pace import Pace, PacedKeys, Portion, Stretch, takes_last
from support import TINY, Outcome, columns, data, finished, maskwright, rows, start, wait_until

FULL, SMALL = Portion(4, 4 * 512**2), Portion(8, 8 * 256**2)
STEADY: Callable[[float], float] = lambda share: 1.0  # noqa: E731


@dataclass
class Spent:
    """What a simulated training came to."""

    share: float  # of the budget, validation and all
    stretches: list[Stretch]
    shown: list[bool]  # of each step, whether its inputs were small
    schedule: list[float]  # how much of it was over at each step
    epochs: int


def steps_of(pace: Pace) -> Iterator[Stretch]:
    while stretch := pace.next():
        yield from [stretch] * stretch.steps


def simulate(
    budget: float, step: float, validation: float, speed: Callable[[float], float] = STEADY, flat_from: float = math.inf
) -> Spent:
    """Train by a clock of our own: a step at full size takes `step` seconds times `speed` of the share that is over.

    The first step takes eight times as long, the first validation half as long again. Keys are asked for one step
    ahead, as Lightning does. From the first validation beyond `flat_from` on, half of what is left is enough.
    """
    now = 1.0
    val_pixels = round(validation / step * 4 * FULL.pixels)
    pace = Pace(budget, now, 0.7, {False: FULL, True: SMALL}, val_pixels, clock=lambda: now)
    pace._zero = 0.0
    spent, epoch = Spent(0.0, pace.stretches, [], [], 0), 0
    while not pace.done:
        pace.begin_epoch()
        steps = steps_of(pace)
        coming = next(steps, None)
        while coming:
            stretch, coming = coming, next(steps, None)
            spent.schedule.append(pace.share(len(spent.shown)))
            now += (
                step
                * (SMALL if stretch.small else FULL).pixels
                / FULL.pixels
                * speed(now / budget)
                * (1 if spent.shown else 8)
            )
            spent.shown.append(stretch.small)
            pace.ran_step()
        now += validation * speed(now / budget) * (1 if epoch else 1.5)
        epoch += 1
        if now / budget > flat_from:
            pace.end_sooner(0.5)
            flat_from = math.inf
    now += min(1.0, 0.02 * budget)  # weights are written and the process ends
    spent.share, spent.epochs = now / budget, epoch
    return spent


@pytest.mark.parametrize("step", [0.1, 0.8])
@pytest.mark.parametrize("budget", [60, 300, 1200])
@pytest.mark.parametrize(
    "speed",
    [STEADY, lambda share: 2.0 if share > 0.5 else 1.0, lambda share: 0.5 if share > 0.5 else 1.0,
     lambda share: 2.0 if int(share * 40) % 2 else 1.0],
    ids=["steady", "slower from half-way", "faster from half-way", "uneven"],
)  # fmt: skip
def test_a_budget_is_kept_by_the_clock_and_its_schedule_completed(budget, step, speed):
    spent = simulate(budget, step, budget / 60, speed)
    assert 0.97 - 2 * step / budget <= spent.share <= 1.03  # what does not fit any more, a long step, is left
    assert spent.schedule[-1] > 0.95 and spent.schedule == sorted(spent.schedule)
    halves = sum(spent.shown) * SMALL.pixels / sum((SMALL if small else FULL).pixels for small in spent.shown)
    assert 0.4 < halves < 0.9 and spent.shown == sorted(spent.shown, reverse=True)  # small ones first


@pytest.mark.parametrize("step", [0.1, 0.8])
def test_a_flat_curve_ends_sooner_and_its_schedule_is_completed(step):
    spent = simulate(600, step, validation=2.0, flat_from=0.5)
    assert 0.74 < spent.share < 0.79  # half of what is left after 0.5 to 0.55
    assert spent.schedule == sorted(spent.schedule) and spent.schedule[-1] > 0.98


def test_only_a_curve_that_stays_where_it_is_is_flat():
    assert is_flat([{"seconds": 10.0, "val_iou": 0.7}] * 10)
    assert not is_flat([{"seconds": 10.0, "val_iou": 0.5 + 0.03 * epoch} for epoch in range(10)])
    assert not is_flat([{"seconds": 10.0, "val_iou": 0.7}] * 2)


def test_a_training_that_nobody_gave_a_budget_ends_sooner_where_it_is_flat():
    """A curve of our own, as a real one that is flat takes minutes; the callback and the pace are the real ones."""
    history, said = SimpleNamespace(rows=[{"seconds": 30.0, "val_iou": 0.7}] * 10), []
    pace = Pace(600.0, 300.0, 0.7, {False: FULL, True: SMALL}, clock=lambda: 0.0)
    callback = EndWhenFlat(history, pace, said.append)  # type: ignore[arg-type]
    callback.on_train_epoch_end(None, None)  # type: ignore[arg-type]
    assert 300 < pace.budget < 450 and len(said) == 1
    resumed = Pace(600.0, 300.0, 0.7, {False: FULL, True: SMALL}, clock=lambda: 0.0)
    EndWhenFlat(history, resumed, said.append).load_state_dict(callback.state_dict())  # type: ignore[arg-type]
    assert resumed.budget == pace.budget


def test_validation_is_as_frequent_as_it_is_cheap():
    assert simulate(300, 0.1, 0.2).epochs >= 15
    assert simulate(300, 0.1, 12).epochs <= 4


def test_every_sample_is_seen_once_a_pass_and_a_batch_may_span_two():
    stretches = [Stretch(0, 0, 5, 0, 4, True, 0.0, 0.5, 0.0), Stretch(0, 5, 1, 20, 2, False, 0.5, 1.0, 1.0)]
    pace = Pace(
        10, 0, 0.7, {False: FULL, True: SMALL}, kept=[*stretches, Stretch(0, 6, 0, 22, 2, False, 1.0, 1.0, 2.0)]
    )
    keys = list(PacedKeys(7, 3, pace))
    assert [len(batch) for batch in keys] == [4] * 5 + [2] and pace.done
    flat = [key for batch in keys for key in batch]
    assert [key[0] for key in flat] == [place // 7 for place in range(22)]
    for over in range(3):
        assert sorted(number for epoch, number, _ in flat if epoch == over) == list(range(7))
    assert [small for *_, small in flat] == [True] * 20 + [False] * 2


@pytest.fixture(scope="module")
def budgeted(tmp_path_factory) -> tuple[Path, float, str]:
    """A run of six seconds, the seconds it took, and what was said."""
    out = tmp_path_factory.mktemp("budget") / "run"
    finished()  # everything is imported
    words = ("--data.size", 32, "--train.grow", 0.5, "--budget", "6s")
    began = time.perf_counter()
    outcome = maskwright("train", "--data", data(), *TINY, *words, "--out", out)
    assert outcome.code == 0, outcome.err
    return out, time.perf_counter() - began, outcome.err


def test_a_run_ends_with_its_budget(budgeted):
    out, seconds, _ = budgeted
    assert 4.5 < seconds < 10  # beside other tests; the simulations hold 3 %
    run = Run.open(out)
    stretches = run.read_json("pace.json")
    assert stretches[-1]["steps"] == 0 and run.config.train.budget == "6s" and run.config.train.epochs == "auto"
    assert stretches[0]["small"] and not stretches[-2]["small"]
    assert run.history[-1]["lr"] < 0.02 * run.config.optim.lr
    assert len(run.history) == stretches[-1]["epoch"] + 1


@pytest.mark.parametrize("kept", ["nothing", "a checkpoint"])
def test_a_resume_replays_what_was_decided(budgeted, tmp_path, kept):
    """However fast the machine is by then: the same steps at the same sizes and rates, and so the same bits."""
    out = budgeted[0]
    root = shutil.copytree(out, tmp_path / "run")
    (root / "model.safetensors").unlink()
    if kept == "nothing":
        shutil.rmtree(root / "checkpoints")
    outcome = maskwright("train", "--resume", root)
    assert outcome.code == 0, outcome.err
    assert (root / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()
    assert (root / "pace.json").read_bytes() == (out / "pace.json").read_bytes() and columns(root) == columns(out)


def test_killed_it_goes_on_to_the_end_of_its_budget_and_that_is_replayed_too(tmp_path):
    """Killed with SIGKILL after a checkpoint; then everything but what was decided is taken away, and trained again."""
    root = tmp_path / "run"
    words = ("--data.size", 32, "--train.grow", 0.5, "--train.save_every", 1, "--budget", "6s", "--out", root)
    child = start(tmp_path / "log", "train", "--data", data(), *TINY, *words)
    wait_until(lambda: rows(root) >= 1 and (root / "checkpoints/last.ckpt").exists(), child.is_alive)
    child.kill()
    child.join()
    decided = json.loads((root / "pace.json").read_text())
    time.sleep(0.5)  # no time of this training
    assert maskwright("train", "--resume", root).code == 0
    whole = json.loads((root / "pace.json").read_text())
    assert whole[: len(decided)] == decided and whole[-1]["steps"] == 0 and 4.8 < whole[-1]["seconds"] < 6.6
    weights = (root / "model.safetensors").read_bytes()
    (root / "model.safetensors").unlink()
    shutil.rmtree(root / "checkpoints")
    before = columns(root)
    assert maskwright("train", "--resume", root).code == 0
    assert (root / "model.safetensors").read_bytes() == weights and columns(root) == before


def interrupted(*words: object, when: Callable[[], bool]) -> Outcome:
    """A command that gets an interrupt as from a terminal, once something is so."""

    def interrupt() -> None:
        wait_until(when, threading.main_thread().is_alive)
        os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        threading.Thread(target=interrupt, daemon=True).start()
        return maskwright(*words)
    finally:
        signal.signal(signal.SIGINT, before)


def test_interrupted_before_its_first_validation_it_keeps_a_checkpoint_and_goes_on_from_there(tmp_path):
    """The steps that were run count, whatever was decided beyond them; all of it is replayed to the same bits."""
    root = tmp_path / "run"

    def decided() -> list[dict[str, Any]]:
        return json.loads((root / "pace.json").read_text()) if (root / "pace.json").is_file() else []

    words = ("--data", data(), *TINY, "--train.grow", 0.5, "--budget", "5s", "--out", root)
    outcome = interrupted("train", *words, when=lambda: len(decided()) > 6)
    assert outcome.code == 130 and f"go on with: maskwright train --resume {root}" in outcome.err
    assert (
        "another interrupt stops at once" in outcome.err
        and rows(root) == 1
        and not (root / "model.safetensors").exists()
    )
    run = decided()
    step = torch.load(root / "checkpoints/last.ckpt", weights_only=True)["global_step"]
    assert (
        step == run[-1]["step"] + run[-1]["steps"] and {one["epoch"] for one in run} == {0} and run[-1]["seconds"] < 3
    )
    assert maskwright("train", "--resume", root).code == 0
    whole = decided()
    assert whole[: len(run)] == run and whole[len(run)]["step"] == step and 4 < whole[-1]["seconds"] < 5.5
    assert whole[len(run)]["start"] < 0.9 and sorted(one["start"] for one in whole) == [one["start"] for one in whole]
    weights, before = (root / "model.safetensors").read_bytes(), columns(root)
    (root / "model.safetensors").unlink()
    shutil.rmtree(root / "checkpoints")
    assert maskwright("train", "--resume", root).code == 0
    assert (root / "model.safetensors").read_bytes() == weights and columns(root) == before


def test_what_stopped_before_anything_was_saved_begins_anew_by_the_clock(budgeted, tmp_path):
    """Not by the steps that were decided on before, which a slower machine would take longer for."""
    root = shutil.copytree(budgeted[0], tmp_path / "run")
    (root / "model.safetensors").unlink()
    shutil.rmtree(root / "checkpoints")
    rows = json.loads((root / "pace.json").read_text())
    assert not rows[-1]["steps"]
    fake = [
        {**row, "steps": 100 * row["steps"], "step": 100 * row["step"], "seen": 100 * row["seen"]} for row in rows[:-1]
    ]
    (root / "pace.json").write_text(json.dumps(fake))
    config = (root / "config.yaml").read_text()
    assert "budget: 6s" in config
    (root / "config.yaml").write_text(config.replace("budget: 6s", "budget: 4s"))
    outcome = maskwright("train", "--resume", root)
    assert outcome.code == 0 and outcome.out.startswith("weights of the end: val IoU "), outcome.err
    now = json.loads((root / "pace.json").read_text())
    budget = seconds_of(Run.open(root).config.train.budget)
    assert now[-1]["seconds"] < 1.2 * budget and not now[-1]["steps"] and now[1]["step"] == now[0]["steps"] < 100


@pytest.mark.parametrize(
    ("spoilt", "told"),
    [
        ("[", "must be valid JSON"),
        ("{}", "must be as it was written"),
        ('[{"epoch": 0}]', "`0.step` is missing"),
        (lambda rows: [*rows[:3], *rows[4:]], "does not go on from the one before"),
        (lambda rows: [*rows, rows[-1]], "does not go on from the one before"),
        (lambda rows: [{**rows[0], "batch": -1}, *rows[1:]], "must be as it was written"),
        (lambda rows: [{**rows[0], "seconds": 1e300}, *rows[1:]], "must be as it was written"),
    ],
)
def test_decisions_that_are_none_are_refused(budgeted, tmp_path, spoilt, told):
    root = shutil.copytree(budgeted[0], tmp_path / "run")
    (root / "model.safetensors").unlink()
    rows = json.loads((root / "pace.json").read_text())
    (root / "pace.json").write_text(spoilt if isinstance(spoilt, str) else json.dumps(spoilt(rows)))
    outcome = maskwright("train", "--resume", root)
    assert outcome.code == 2 and "pace.json" in outcome.sentence and told in outcome.sentence


@pytest.mark.parametrize(("until", "learns"), [("15 epochs", True), ("always", False)])
def test_a_part_thaws_within_a_budget_of_one_validation(tmp_path, until, learns):
    """Epochs that a thaw counts are thirtieths of the budget, not its few validations."""
    words = ("--optim.freeze.encoder", until, "--budget", "3s", "--train.average", "none", "--out", tmp_path / "run")
    outcome = maskwright("train", "--data", data(), *TINY, *words)
    assert outcome.code == 0, outcome.err
    run = Run.open(tmp_path / "run")
    torch.manual_seed(run.config.train.seed)
    start = build_model(run.config.model, class_map(run.data), 3).state_dict()
    end = load_file(run.weights)
    moved = [
        name
        for name in start
        if name.endswith("weight") and ".encoder." in name and not torch.equal(start[name], end[name])
    ]
    assert bool(moved) == learns


def test_few_validation_images_keep_the_weights_of_the_end_and_it_is_said(budgeted):
    out, _, said = budgeted
    run = Run.open(out)
    best = torch.load(out / "checkpoints/best.ckpt", weights_only=True)
    assert best["epoch"] == len(run.history) - 1 and takes_last(run.config, 2) and not takes_last(run.config, 20)
    assert "kept    the weights of the end: 2 validation images cannot tell which epoch was better; --folds 5" in said


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--budget", "5"), "must be a time with its unit, such as 30s, 5m, 2h or 1d"),
        (("--budget", "5m", "--epochs", 3), "budget and epochs must not be given together"),
        (("--budget", "0.5s"), "from 1s to 100d"),
        (("--minutes", 5), "Unknown flag '--minutes'"),
    ],
)
def test_a_budget_that_is_none_is_one_sentence(tmp_path, words, told):
    outcome = maskwright("train", "--data", data(), *TINY, *words, "--out", tmp_path / "run")
    assert outcome.code == 2 and told in outcome.sentence and not (tmp_path / "run").exists()
