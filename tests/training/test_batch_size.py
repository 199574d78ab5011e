"""Batch size and workers from measured steps: what is done on a GPU, run on the CPU, where nothing but its memory is
unknown.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from maskwright.config.files import load_config
from maskwright.runs import Run
from maskwright.training import batch_size, build, resolve
from maskwright.training.batch_size import MEMORY_SHARE, Trial, choose_batch_size, choose_workers, measure_batch
from maskwright.training.plan import Plan, prepare
from support import TINY, data, maskwright


def device(seconds: Callable[[int], float], memory: float, room: int = 1 << 30) -> Callable[[int], Trial | None]:
    """A fake measuring function: a GPU whose step of n inputs takes seconds(n), each input a share of its memory."""
    return lambda size: None if size > room else Trial(seconds(size), 0.01 * size, memory * size)


@pytest.mark.parametrize(
    ("tried", "num_inputs", "size", "told"),
    [
        (device(lambda n: 1.0, 0.001), 1000, 64, "64 inputs take 6% of the free memory, and more would make few steps"),
        (device(lambda n: 1.0, 0.001), 20, 16, "few steps of 20 inputs an epoch"),
        (device(lambda n: 1.0, 0.03), 1000, 16, "16 inputs take 48% of the free memory, and 32 would take 96%"),
        (device(lambda n: 1.0, 0.01, room=40), 1000, 32, "32 inputs take 32% of the free memory, and 64 do not fit"),
        (device(lambda n: 0.1 * max(n, 8), 0.001), 1000, 8, "16 would bring 0% more images a second"),
        (device(lambda n: 0.1 * n, 0.001), 1000, 2, "4 would bring 0% more images a second"),
        (device(lambda n: 1.0, 0.5), 1000, 2, "2 inputs take 100% of the free memory, and 4 would take 200%"),
        (device(lambda n: 1.0, 0.5, room=1), 1000, 2, "no more fit into the GPU's memory"),
        (device(lambda n: 1.0, 0.001), 1, 2, "of 1 inputs an epoch"),
    ],
)
def test_a_batch_is_doubled_while_it_fits_and_more_images_a_second_come_of_it(
    tried: Callable[[int], Trial | None], num_inputs: int, size: int, told: str
) -> None:
    found, why, trial = choose_batch_size(tried, num_inputs)
    assert found == size and told in why
    assert trial == tried(size)
    assert trial is None or trial.memory <= max(MEMORY_SHARE, 2 * 0.5)


def test_the_search_ends_with_its_time() -> None:
    now = iter(range(100))
    found, why, _ = choose_batch_size(device(lambda n: 1.0, 0.001), 1000, seconds=2, clock=lambda: next(now))
    assert found == 8 and "16 were not tried for want of time" in why
    for memory, size in ((0.001, 16), (0.1, 8), (0.5, 2)):
        clock = itertools.count().__next__
        found, why, _ = choose_batch_size(device(lambda n: 1.0, memory), 1000, 1, 0.5, clock, usual=16)
        assert found == size and ("is usual" in why) == (size > 2), (memory, why)


@pytest.mark.parametrize(
    ("step", "make", "cores", "workers", "waits"),
    [(0.1, 0.01, 8, 1, None), (0.1, 0.2, 8, 3, None), (0.1, 0.6, 8, 7, None), (0.1, 1.4, 8, 7, "50%"),
     (0.1, 0.4, 2, 1, "75%"),
     (0.1, 0.05, 1, 1, None), (0.1, 0.2, 1, 1, "50%")],
)  # fmt: skip
def test_workers_are_as_many_as_keep_the_device_fed(
    step: float, make: float, cores: int, workers: int, waits: str | None
) -> None:
    found, why = choose_workers(Trial(step, make, 0.1), cores)
    assert found == workers and f"{make:.2g} s to make and {step:.2g} s" in why
    assert (f"the GPU will wait {waits} of the time" in why) if waits else ("wait" not in why)


def planned(*words: tuple[str, str]) -> Plan:
    keys = dict(zip(TINY[::2], TINY[1::2], strict=True))
    keys |= {"--data.root": str(data()), "--batch-size": "auto", "--train.epochs": "2", **dict(words)}
    names = {"--size": "data.size", "--batch-size": "train.batch_size", "--precision": "train.precision",
             "--devices": "train.devices", "--lr": "optim.lr"}  # fmt: skip
    return prepare(
        load_config(None, [(names.get(key, key.removeprefix("--")), value, key) for key, value in keys.items()])
    )


def measured(plan: Plan) -> Plan:
    """As on a GPU, by real steps of this machine's processor."""
    samples, _ = build.training_inputs(plan.config, plan.opened)
    return measure_batch(plan, build.seeded_model(plan.config, plan.opened), samples, torch.device("cpu"))


def test_real_steps_are_tried_and_what_was_chosen_by_hand_stays() -> None:
    plan = planned(("--train.repeats", "5"))
    found = measured(plan)
    train = found.config.train
    assert train.batch_size in (2, 4, 8, 16) and train.workers != "auto" and train.workers >= 1  # of 20 inputs
    assert "0% of the free memory" in found.reasons["train.batch_size"]
    assert "s to learn from" in found.reasons["train.workers"]
    by_hand = measured(planned(("--batch-size", "3"), ("--train.workers", "0"), ("--optim.lr", "auto")))
    assert (by_hand.config.train.batch_size, by_hand.config.train.workers) == (3, 0)
    assert not {"train.batch_size", "train.workers"} & by_hand.reasons.keys()


def test_a_step_that_does_not_fit_is_no_failure_and_another_error_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Steps that fail as torch's do on a GPU: faked, as no machine should run out of memory for a test."""
    plan = planned(("--train.repeats", "5"))
    steps = batch_size.step_seconds

    def failing(error: Exception) -> None:
        def step_seconds(config, model, batch, *rest) -> list[float]:
            if len(batch.images) > 4:
                raise error
            return [len(batch.images) ** 0.5 * one / one for one in steps(config, model, batch, *rest)]

        monkeypatch.setattr(batch_size, "step_seconds", step_seconds)

    failing(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"))
    found = measured(plan)
    assert found.config.train.batch_size == 4 and "8 do not fit" in found.reasons["train.batch_size"]
    failing(RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        measured(plan)


def test_what_is_measured_is_told_trained_with_written_and_replayed(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The measuring of a GPU, on the processor in its place: by `--plan` and `train` alike, and never by a resume."""
    calls: list[str] = []

    def resolve_batch_size(plan, model, samples) -> Plan:
        calls.append("measured")
        return measure_batch(plan, model, samples, torch.device("cpu"))

    monkeypatch.setattr(build, "resolve_batch_size", resolve_batch_size)
    words = ("train", "--data", data(), *TINY, "--batch-size", "auto", "--epochs", 2, "--log", "[csv]")
    told = maskwright(*words, "--plan", "--json").json
    assert (
        "of the free memory" in told["reasons"]["train.batch_size"] and "to learn" in told["reasons"]["train.workers"]
    )
    trained = maskwright(*words, "--out", tmp_path / "run")
    assert trained.code == 0, trained.err
    run = Run.open(tmp_path / "run")
    size, text = run.config.train.batch_size, (tmp_path / "run" / "config.yaml").read_text()
    assert f"batch_size: {size}" in text and "of the free memory" in text and "to learn from" in text
    assert calls == ["measured"] * 2
    run.weights.unlink()
    assert maskwright("train", "--resume", run.root).code == 0
    assert calls == ["measured"] * 2 and (tmp_path / "run" / "config.yaml").read_text() == text


def test_a_plan_with_a_rate_to_be_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("train", "--data", data(), *TINY, "--lr", "auto", "--epochs", 2, "--plan")
    assert outcome.code == 0 and "steps   4 in about" in outcome.out, outcome.err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("cores", [1, 2, 3, 4])
def test_a_gpu_is_fed_by_a_process_of_its_own_however_few_cores_there_are(
    cores: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resolve, "usable_cores", lambda: cores)
    workers, why = resolve._workers("gpu", 1)
    assert 1 <= workers <= cores and "keep" in why and "the GPU fed" in why
