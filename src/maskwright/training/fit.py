"""From a configuration to a trained run: open the data, resolve every `auto`, let Lightning train, keep the best.

result = train(load_config("my.yaml"), out="runs/first")
result.run.weights
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from maskwright import runtime
from maskwright.config import Config
from maskwright.config.log import LogEntry
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.record import data_document, validate_outside_data
from maskwright.errors import DataError, RunError, TrainingError, UsageError, as_typed, is_out_of_memory
from maskwright.files import refuse_no_file
from maskwright.folders import lock_folder, new_folder
from maskwright.losses import build_loss
from maskwright.models.devices import validate_device
from maskwright.models.weights import can_be_mapped
from maskwright.runs import MADE, Run, provenance
from maskwright.terminal import print_on_stderr
from maskwright.training.build import (
    build_training,
    effort_of,
    num_epochs,
    training_inputs,
    with_model,
)
from maskwright.training.callbacks import (
    AfterEpoch,
    EndWhenFlat,
    EpochEnd,
    History,
    SaveOnInterrupt,
    read_best,
    recover_best,
    write_weights,
)
from maskwright.training.diagnose_evidence import FAILURE
from maskwright.training.gate import OpenData, open_checked
from maskwright.training.initial_weights import (
    delete_initial_weights,
    describe_initial_weights,
    resolve_paths_and_pixels,
    save_initial_weights,
)
from maskwright.training.lightning import pl
from maskwright.training.loggers.callback import Logging, panel_samples
from maskwright.training.loggers.choice import resolve_log, validate_loggers
from maskwright.training.loggers.collection import LoggerCollection, Print, best_scores
from maskwright.training.loggers.environment import first_line
from maskwright.training.pace import drop_unfinished, takes_last
from maskwright.training.plan import Plan, prepare, reading
from maskwright.training.progress import TrainingProgress
from maskwright.training.range_test import STEPS as RANGE_STEPS
from maskwright.training.range_test import RangeTest, range_test
from maskwright.training.range_test import write as write_range_test
from maskwright.training.ranks import Ranks, start_ranks
from maskwright.training.threads import ComputeThreads
from maskwright.training.trainer import build_trainer, quiet_lightning, run_to_the_end, val_loader


@dataclass(frozen=True)
class TrainResult:
    """What training came to."""

    run: Run
    best_epoch: int
    best_scores: dict[str, float]
    seconds: float
    stopped_early: bool


def train(
    config: Config, out: str | Path, console: Console | None = None, on_plan: Callable[[Plan], None] | None = None,
    after_epoch: AfterEpoch | None = None, every_epoch: bool = True, began: float | None = None,
    open_data: OpenData = open_checked,
) -> TrainResult:  # fmt: skip
    """Train a new run in the folder `out`; `tell` is called with the plan before the first step.

    A budget of time is spent from `began` on, a moment of time.perf_counter; without it from now on.

    `after_epoch` is called with (epochs done, epochs planned, the epoch's scores) and may end the training by answering
    True. Without `every_epoch` no line stays of each: where one training is one of many.
    """
    began = time.perf_counter() if began is None else began
    runtime.tune_allocator()
    out = Path(out)
    with new_folder(out, partial(Run.refuse_taken, out), "config.yaml", MADE):
        plan = prepare(config, out / "cache", console, open_data)
        try:
            validate_outside_data(out, plan.opened.dataset)
            return _train_new(plan, out, console, on_plan, after_epoch, every_epoch, began)
        finally:
            plan.opened.store.close()


def resume(
    root: str | Path, console: Console | None = None, data: Path | None = None, log: Sequence[LogEntry] | None = None,
    every_epoch: bool = True, opened: Opened | None = None,
) -> TrainResult:  # fmt: skip
    """Go on with a run that was stopped, to the same weights it would have reached uninterrupted.

    `data` says where the data set is now, when it has moved; its files must be what they were. `log` is where this
    call's configuration logs to; without one, where the run's own does, as far as the environment names it too.
    `opened` are the data, where they are open already.
    """
    runtime.tune_allocator()
    run = Run.open(root)
    config = run.resolved_config()
    if run.weights.is_file():
        if console:
            console.print(f"{run.root} is finished already; nothing was changed", soft_wrap=True)
        return _finished(run)
    validate_loggers(config)
    validate_device(config.train.devices, config.train.num_devices)
    config = _where_data_are(config, data)
    with lock_folder(run.root, "--resume"):
        return _resume(run, config, console, log, every_epoch, opened)


def continuation(root: str | Path, budget: str, moved: str | None = None) -> Config:
    """The configuration of a new run that goes on from a finished one's weights for another budget.

    Inputs stay at their full size, and the learning rate rises to half of what it was: the weights are good already.
    """
    run = Run.open(root)
    if not run.weights.is_file():
        fix = f"Go on with it first: maskwright train --resume {as_typed(root)}"
        raise UsageError(f"`--budget` must be left out for a run that is not finished; {run.root} is not. {fix}")
    config = _where_data_are(run.resolved_config(), Path(moved) if moved else None)
    assert config.optim.lr != "auto"
    changes = {
        "model.weights": str(run.root.absolute()), "train.budget": budget, "train.epochs": "auto", "train.grow": 0.0,
        "optim.lr": config.optim.lr / 2,
    }  # fmt: skip
    return config.replace(changes)


def _resume(
    run: Run, config: Config, console: Console | None, log: Sequence[LogEntry] | None, every_epoch: bool,
    opened: Opened | None,
) -> TrainResult:  # fmt: skip
    shutil.rmtree(run.root / "cache", ignore_errors=True)  # of a process that was killed
    if opened is None:
        with reading(console) as progress:
            opened = open_dataset(config.data, run.root / "cache", progress)
    plan = Plan(config, {}, opened)
    try:
        known, now = run.data["fingerprint"], plan.opened.dataset.fingerprint
        if known != now:
            fix = "Put the files back as they were, or train a new run."
            raise DataError(
                f"the data must be what the run began with; files, labels or splits under {config.data.root} changed. "
                f"{fix}"
            )
        last = run.checkpoints / "last.ckpt"
        if console and not last.is_file():
            console.print(f"nothing was saved before {run.root} stopped: it begins anew", soft_wrap=True)
        if last.is_file():
            _refuse_spoilt(last)
            recover_best(run)
            _refuse_spoilt(run.checkpoints / "best.ckpt")
        else:
            drop_unfinished(run)
        return _fit(run, plan, last if last.is_file() else None, console, log=log, every_epoch=every_epoch)
    finally:
        plan.opened.store.close()


def _train_new(
    plan: Plan, out: Path, console: Console | None, on_plan: Callable[[Plan], None] | None,
    after_epoch: AfterEpoch | None, every_epoch: bool, began: float,
) -> TrainResult:  # fmt: skip
    config, reasons = plan.config, dict(plan.reasons)
    if config.data.root is not None:  # so that a resume from another folder finds it
        config = config.replace({"data.root": str(Path(config.data.root).absolute())})
    config = resolve_log(config, reasons)
    # built here too, so that what cannot be trained leaves no folder behind
    plan, model = with_model(replace(plan, config=config, reasons=reasons))
    config, reasons = plan.config, dict(plan.reasons)
    config, why_start = resolve_paths_and_pixels(config, model)
    reasons |= why_start
    tested = None
    if config.optim.lr == "auto":
        tested = _range_test(config, model, plan.opened, console)
        config = config.replace({"optim.lr": tested.chosen})
        reasons["optim.lr"] = tested.why
    run = Run.create(out)
    if tested:
        write_range_test(run, tested)
    allowed = [{"code": one.code, "files": list(one.files), "evidence": one.evidence} for one in plan.passed.allowed]
    findings = [{"code": one.code, "severity": one.severity, "files": len(one.files), "evidence": one.evidence}
                for one in plan.passed.findings]  # fmt: skip
    seen = {"allowed": allowed, "findings": findings}
    run.write_json("environment.json", {**provenance(reasons), **seen, **describe_initial_weights(model)})
    run.write_json("data.json", data_document(plan.opened.dataset))
    save_initial_weights(run, model, config)
    run.write_config(config, reasons)
    plan = replace(plan, config=config, reasons=reasons, loaded=model.loaded)
    del model
    if on_plan:
        on_plan(plan)
    try:
        return _fit(run, plan, None, console, after_epoch, config.log, every_epoch, began)
    except Exception as error:
        if not isinstance(error, TrainingError | RunError) and not (run.checkpoints / "last.ckpt").is_file():
            (run.root / "config.yaml").unlink()  # so that nothing stays of it: there is nothing to go on with
        raise


def _range_test(config: Config, model: Any, opened: Opened, console: Console | None) -> RangeTest:
    if console:
        console.print(f"looking for the learning rate: {RANGE_STEPS} steps at rising rates", highlight=False)
    # all at the size that training begins with, however short it is
    samples, keys = training_inputs(config.replace({"train.epochs": 1_000_000, "train.budget": None}), opened)
    return range_test(config, model, build_loss(config.loss), samples, keys)


def _fit(
    run: Run, plan: Plan, checkpoint: Path | None, console: Console | None, after_epoch: AfterEpoch | None = None,
    log: Sequence[LogEntry] | None = None, every_epoch: bool = True, began: float | None = None,
) -> TrainResult:  # fmt: skip
    started = time.perf_counter()
    began = started if began is None else began
    config, opened = plan.config, plan.opened
    with start_ranks(run, plan, checkpoint) as ranks:
        pace, module, checkpoints, loader, batches_a_step = build_training(run, plan, checkpoint, began, ranks)
        with quiet_lightning(), LoggerCollection(run, _printer(console), log=log) as loggers:
            history = History(run, ranks.world)
            interrupt = SaveOnInterrupt(run, pace, _printer(console)) if pace and ranks.world == 1 else None
            callbacks: list[pl.Callback] = [
                history,
                checkpoints,
                Logging(loggers, history, panel_samples(opened, ranks), num_epochs(config)),
            ]
            if console:
                effort = pace or effort_of(config, opened, training_inputs(config, opened)[1])
                callbacks.append(TrainingProgress(console, effort, every_epoch))
            nobody_asked = "train.budget" in (run.environment.get("auto") or {})
            if pace and nobody_asked and not takes_last(config, len(opened.dataset.split("val"))):
                callbacks.append(EndWhenFlat(history, pace, _printer(console)))
            callbacks += [interrupt] if interrupt else []
            callbacks += [ComputeThreads(pace, _printer(console))] if pace and ranks.world == 1 else []
            callbacks += [EpochEnd(checkpoints, ranks, pace, after_epoch, num_epochs(config))]
            trainer = build_trainer(config, callbacks, batches_a_step)
            (run.root / FAILURE).unlink(missing_ok=True)
            try:
                run_to_the_end(trainer, module, loader, val_loader(opened, ranks), checkpoint)
            except TrainingError as error:
                run.write_json(FAILURE, {"reason": str(error)})  # for a diagnosis
                raise
            except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
                if checkpoint is None or module.has_begun or is_out_of_memory(error):
                    raise
                fix = "Restore it, or remove it to train the run from its start."
                message = f"{type(error).__name__}: {first_line(error)}"
                raise RunError(
                    f"`{checkpoint}` must be a whole checkpoint of this run; going on from it fails with {message}. "
                    f"{fix}"
                ) from error
            if interrupt and interrupt.was_interrupted:
                raise KeyboardInterrupt
            checkpoints.save(trainer, module)
            best = read_best(run)
            write_weights(run, best)
            delete_initial_weights(run)
            scores = {key: value for key, value in best.items() if key not in ("state_dict", "epoch", "score")}
            loggers.best({"epoch": best["epoch"], **scores})
    return TrainResult(run, int(best["epoch"]), scores, time.perf_counter() - started, checkpoints.stopped_early)


def fit_rank(run: Run, plan: Plan, checkpoint: Path | None, ranks: Ranks) -> None:
    """What a process that is not rank 0 does of a training on several devices: its part of each step and validation."""
    pace, module, checkpoints, loader, batches_a_step = build_training(
        run, plan, checkpoint, time.perf_counter(), ranks
    )
    callbacks: list[pl.Callback] = [checkpoints, EpochEnd(checkpoints, ranks, pace)]
    with quiet_lightning():
        trainer = build_trainer(plan.config, callbacks, batches_a_step, ranks.rank)
        run_to_the_end(trainer, module, loader, val_loader(plan.opened, ranks), checkpoint)


def _printer(console: Console | None) -> Print:
    """How loggers tell where they are, and that one failed."""
    if console is None:
        return print_on_stderr
    return lambda sentence: console.print(sentence, soft_wrap=True, markup=False, highlight=False)


def _refuse_spoilt(checkpoint: Path) -> None:
    """A checkpoint that can't be read, reported before anything begins."""
    refuse_no_file(checkpoint)
    try:
        torch.load(checkpoint, map_location="cpu", mmap=can_be_mapped(checkpoint), weights_only=True)
    except Exception as error:  # noqa: BLE001 - torch raises whatever its unpickler stumbles over
        fix = "Restore it, or remove last.ckpt to train the run from its start."
        reason = str(error).splitlines()[0][:120] or "it is not"
        raise RunError(f"`{checkpoint}` must be a whole checkpoint; {reason}. {fix}") from None


def _finished(run: Run) -> TrainResult:
    """What a finished run came to; its checkpoints may have been removed to save room."""
    scores = best_scores(run)
    return TrainResult(run, int(scores.pop("epoch")), scores, 0.0, False)


def _where_data_are(config: Config, moved: Path | None) -> Config:
    if moved is not None:
        return config.replace({"data.root": str(moved.absolute())})
    if config.data.root is not None and not Path(config.data.root).exists():
        fix = "Pass --data FOLDER with where it is now."
        raise DataError(f"`{config.data.root}` must be the folder of the run's data; it is not there. {fix}")
    return config
