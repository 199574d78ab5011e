"""The learning rate over time, against torch's own schedulers and by hand; plateau through training and a resume."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.optim import lr_scheduler

from maskwright.config.optim import OptimConfig
from maskwright.training.schedules import (
    Plateau,
    ignored_by_schedule,
    learning_rate_factor,
    resolve_schedule_keys,
    too_late,
)
from support import TINY, columns, copy_of, data, maskwright

LR, STEPS, AN_EPOCH = 0.3, 60, 6
EPOCHS = STEPS // AN_EPOCH
SCHEDULES = ("constant", "step", "exponential", "cyclic", "cosine", "one-cycle", "poly", "plateau")
Make = Callable[[torch.optim.Optimizer], Any]


def configured(schedule: Any, **keys: Any) -> OptimConfig:
    """With every `auto` of the schedule settled for ten epochs."""
    config = OptimConfig(schedule=schedule, **keys)
    changes, _ = resolve_schedule_keys(config, EPOCHS)
    return config.model_copy(update={key.split(".")[1]: value for key, value in changes.items()})


def mine(config: OptimConfig) -> list[float]:
    return [LR * learning_rate_factor(step, STEPS, config, AN_EPOCH) for step in range(STEPS)]


def torchs(make: Make, every: int) -> list[float]:
    """The rate of each step by a scheduler of torch that is stepped every so many steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=LR)
    scheduler = make(optimizer)
    found = []
    for step in range(STEPS):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if (step + 1) % every == 0:
            scheduler.step()
    return found


# ------------------------------------------------------------------ against torch


@pytest.mark.parametrize(
    ("config", "make", "every"),
    [
        (configured("constant", warmup=0), lambda o: lr_scheduler.ConstantLR(o, 1.0), 1),
        (configured("step", warmup=0, every=3, gamma=0.4), lambda o: lr_scheduler.StepLR(o, 3, 0.4), AN_EPOCH),
        (configured("exponential", warmup=0, gamma=0.8), lambda o: lr_scheduler.ExponentialLR(o, 0.8), AN_EPOCH),
        (configured("cosine", warmup=0), lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS), 1),
        (configured("poly", warmup=0, power=0.9), lambda o: lr_scheduler.PolynomialLR(o, STEPS, 0.9), 1),
        (configured("poly", warmup=0, power=2), lambda o: lr_scheduler.PolynomialLR(o, STEPS, 2), 1),
        (configured("one-cycle", warmup=0.3), lambda o: lr_scheduler.OneCycleLR(o, LR, STEPS, cycle_momentum=False), 1),
        (
            configured("one-cycle", warmup=0.1),
            lambda o: lr_scheduler.OneCycleLR(o, LR, STEPS, pct_start=0.1, cycle_momentum=False),
            1,
        ),
        (
            configured("cyclic", warmup=0, period=4, low=0.2),
            lambda o: lr_scheduler.CyclicLR(o, 0.2 * LR, LR, step_size_up=2 * AN_EPOCH, cycle_momentum=False),
            1,
        ),
    ],
    ids=["constant", "step", "exponential", "cosine", "poly", "poly 2", "one-cycle", "one-cycle 0.1", "cyclic"],
)
def test_rates_are_those_of_torch(config: OptimConfig, make: Make, every: int) -> None:
    assert mine(config) == pytest.approx(torchs(make, every), rel=1e-6, abs=1e-12)
    assert len(set(mine(config))) > 1 or config.schedule == "constant"


@pytest.mark.parametrize("monitor", ["val_iou", "val_loss", "val_dice", "val_accuracy"])
def test_plateau_drops_when_torchs_does(monitor: str) -> None:
    """torch's patience counts the epochs it still bears, ours those after which it acts."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    theirs = lr_scheduler.ReduceLROnPlateau(
        optimizer, "min" if monitor == "val_loss" else "max", factor=0.5, patience=2
    )
    ours = Plateau(monitor, patience=3, factor=0.5)
    generator = torch.Generator().manual_seed(3)
    for score in (torch.rand(60, generator=generator) * 0.2 + 0.5).round(decimals=2).tolist():
        theirs.step(score)
        ours.update(score)
        assert ours.share == optimizer.param_groups[0]["lr"]
    assert ours.share < 0.1


def test_plateau_survives_scores_that_are_not_numbers() -> None:
    plateau = Plateau("val_iou", patience=2, factor=0.1)
    assert [plateau.update(score) for score in (math.nan, math.nan, 0.5, math.nan, 0.4)] == [
        False,
        True,
        False,
        False,
        True,
    ]
    assert plateau.best == 0.5 and plateau.share == pytest.approx(0.01)


# ------------------------------------------------------------------ warm-up


def test_warm_up_then_cosine_to_nothing() -> None:
    """Twenty steps, a tenth of them warm-up: computed by hand."""
    config = OptimConfig(warmup=0.1)
    factors = [learning_rate_factor(step, 20, config) for step in range(21)]
    assert factors[:3] == pytest.approx([1 / 3, 2 / 3, 1.0])
    for step in range(2, 21):
        assert factors[step] == pytest.approx(0.5 * (1 + math.cos(math.pi * (step - 2) / 18)))
    assert factors[20] == 0.0
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert factors[11] == pytest.approx(0.5)


def test_constant_holds_after_the_warm_up() -> None:
    config = OptimConfig(schedule="constant", warmup=0.5)
    assert [learning_rate_factor(step, 4, config) for step in range(5)] == pytest.approx([1 / 3, 2 / 3, 1, 1, 1])
    flat = OptimConfig(schedule="constant", warmup=0)
    assert [learning_rate_factor(step, 4, flat) for step in range(4)] == [1.0] * 4


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_warm_up_rises_under_every_schedule(schedule: str) -> None:
    config = configured(schedule, warmup=0.2, **({"every": 8} if schedule == "step" else {}))
    warm, cold = mine(config), mine(config.model_copy(update={"warmup": 0.0}))
    assert warm[0] < 0.1 * LR
    assert all(0 < rate <= LR + 1e-12 for rate in warm[:-1]) and warm[-1] >= 0
    if schedule not in ("exponential", "cyclic"):  # these fall meanwhile
        assert warm[:12] == sorted(warm[:12])
    if schedule in ("constant", "step", "exponential", "cyclic", "plateau"):
        assert warm[12:] == cold[12:]  # epochs are counted from the first on, whatever the warm-up
        assert warm[:12] == pytest.approx([cold[step] * (step + 1) / 13 for step in range(12)])


@pytest.mark.parametrize("total", [1, 2, 3])
@pytest.mark.parametrize("warmup", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_shortest_trainings_learn_at_a_rate_above_nothing(schedule: str, total: int, warmup: float) -> None:
    config = configured(schedule, warmup=warmup)
    factors = [learning_rate_factor(step, total, config) for step in range(total + 1)]
    assert all(0 < factor <= 1 for factor in factors[:-1]) and 0 <= factors[-1] <= 1


# ------------------------------------------------------------------ auto, and keys without effect


def test_auto_is_settled_for_the_chosen_schedule_alone() -> None:
    assert resolve_schedule_keys(OptimConfig(), 30) == ({}, {})
    assert resolve_schedule_keys(OptimConfig(schedule="step", every=4), 30)[0] == {"optim.gamma": 0.1}
    gamma = resolve_schedule_keys(OptimConfig(schedule="exponential"), 30)[0]["optim.gamma"]
    assert gamma**29 == pytest.approx(0.01, rel=1e-3)
    changes, reasons = resolve_schedule_keys(OptimConfig(schedule="cyclic"), 30)
    assert changes == {"optim.period": 7.5} and "whole cycles in 30 epochs (4)" in reasons["optim.period"]
    for name in ("step", "exponential", "cyclic"):
        reasons = " ".join(resolve_schedule_keys(OptimConfig(schedule=name), 1)[1].values())
        assert "1 epoch" in reasons and "1 epochs" not in reasons


@pytest.mark.parametrize("epochs", [2, 3, 4, 5, 8, 30])
def test_cycles_reach_their_height_where_an_epoch_is_a_single_step(epochs: int) -> None:
    changes, _ = resolve_schedule_keys(OptimConfig(schedule="cyclic"), epochs)
    config = OptimConfig(schedule="cyclic", warmup=0, period=changes["optim.period"])
    rates = [learning_rate_factor(step, epochs, config) for step in range(epochs)]
    assert rates[0] == config.low and max(rates) > 0.65


@pytest.mark.parametrize(
    ("keys", "idle"),
    [
        ({}, []),
        ({"schedule": "step", "every": 3, "gamma": 0.5}, []),
        ({"every": 3, "gamma": 0.5}, ["optim.every", "optim.gamma"]),
        ({"schedule": "exponential", "every": 3, "gamma": 0.5}, ["optim.every"]),
        ({"schedule": "constant", "power": 2, "low": 0.5, "period": 2}, ["optim.period", "optim.low", "optim.power"]),
        ({"patience": 2, "factor": 0.1}, ["optim.patience", "optim.factor"]),
        ({"schedule": "plateau", "patience": 2, "factor": 0.1, "warmup": 0.5}, []),
    ],
)
def test_keys_without_effect_are_noted(keys: dict[str, Any], idle: list[str]) -> None:
    notes = ignored_by_schedule(OptimConfig(**keys))
    assert [note.split(" has no effect with schedule ")[0] for note in notes] == idle


@pytest.mark.parametrize(
    ("keys", "epochs", "early_stop", "told"),
    [
        ({"schedule": "step", "every": 6}, 6, None, "optim.every 6: the rate never drops, training has 6 epochs"),
        ({"schedule": "step", "every": 5}, 6, None, None),
        ({"schedule": "plateau"}, 6, None, "optim.patience 5: the rate never drops, training has 6 epochs"),
        ({"schedule": "plateau"}, 7, None, None),
        (
            {"schedule": "plateau"},
            40,
            5,
            "optim.patience 5: train.early_stop 5 mostly ends the training before the rate drops",
        ),
        ({"schedule": "plateau"}, 40, 6, None),
        ({"schedule": "plateau"}, "auto", None, None),
        ({"schedule": "plateau"}, 1, None, None),  # nor does any other schedule change anything then
        ({}, 2, 1, None),
    ],
)
def test_a_drop_that_comes_too_late_is_noted(
    keys: dict[str, Any], epochs: Any, early_stop: Any, told: str | None
) -> None:
    assert too_late(OptimConfig(**keys), epochs, early_stop) == ([told] if told else [])


def test_plateau_in_so_short_a_training_never_changes_a_rate() -> None:
    """What the note says: six epochs, none better than the first; the drop that comes after the last is for nobody."""
    plateau = Plateau("val_loss", patience=5, factor=0.5)
    assert [plateau.update(1.0) for _ in range(6)] == [False] * 5 + [True]


def test_notes_and_settled_keys_reach_the_person_and_the_run(tmp_path: Any) -> None:
    words = ("--epochs", 6, "--optim.schedule", "step", "--optim.power", 2, "--optim.warmup", 0, "--log", "[csv]")
    outcome = maskwright("train", "--data", data(), *TINY, *words, "--out", tmp_path / "run")
    assert outcome.code == 0
    assert "note    optim.power has no effect with schedule step; poly uses it" in outcome.err
    outcome = maskwright("config", "check", "--data", data(), *TINY, "--epochs", 4, "--optim.schedule", "plateau")
    assert "optim.patience 5: the rate never drops, training has 4 epochs" in outcome.err
    assert "# optim.every was auto: a third of 6 epochs" in (tmp_path / "run" / "config.yaml").read_text()
    # the rate told is that of the step to come, as for every schedule
    assert [float(row["lr"]) for row in columns(tmp_path / "run")] == pytest.approx(
        [0.01, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5]
    )


# ------------------------------------------------------------------ plateau in training


def test_plateau_drops_in_training_and_resumes_to_the_same_bits(tmp_path: Any) -> None:
    """At such a rate nothing gets better, so the rate is halved every two epochs; a run cut after epoch 3 goes on
    alike.
    """
    words = ("--data", data(), *TINY, "--lr", "1e-30", "--optim.schedule", "plateau", "--optim.patience", 2,
             "--optim.warmup", 0, "--train.average", "none", "--model.norm", "none", "--log", "[csv]")  # fmt: skip
    whole = tmp_path / "whole"
    assert maskwright("train", *words, "--epochs", 7, "--out", whole).code == 0
    rates = [float(row["lr"]) / 1e-30 for row in columns(whole)]
    assert rates == pytest.approx([1, 1, 0.5, 0.5, 0.25, 0.25, 0.125])
    short = tmp_path / "short"
    assert maskwright("train", *words, "--epochs", 4, "--out", short).code == 0
    run = go_on(short, tmp_path / "run", 7)
    assert columns(run) == columns(whole)
    assert_same_last(run, whole)


def go_on(short: Any, run: Any, epochs: int) -> Any:
    """A run cut short, as if it had been killed after its last epoch: it is told that it has more, and resumed."""
    copy_of(short, run)
    (run / "model.safetensors").unlink()
    text = (run / "config.yaml").read_text()
    assert text.count("\n  epochs: ") == 1
    lines = [f"  epochs: {epochs}" if line.startswith("  epochs: ") else line for line in text.splitlines()]
    (run / "config.yaml").write_text("\n".join(lines) + "\n")
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 0, outcome.err
    return run


def assert_same_last(run: Any, other: Any) -> None:
    one, two = (torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True) for folder in (run, other))
    assert one["plateau"] == two["plateau"] and one["plateau"]["share"] == 0.125
    assert one["optimizer_states"][0]["param_groups"] == two["optimizer_states"][0]["param_groups"]
    assert all(torch.equal(value, two["state_dict"][name]) for name, value in one["state_dict"].items())
