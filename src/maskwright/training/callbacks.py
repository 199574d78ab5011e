"""What happens beside the steps: the history, the checkpoints, early stopping."""

from __future__ import annotations

import json
import math
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from maskwright.config import TrainConfig
from maskwright.config.base import higher_is_better
from maskwright.models.weights import can_be_mapped
from maskwright.runs import Run
from maskwright.training.forecast import is_flat
from maskwright.training.lightning import pl
from maskwright.training.module import SegmentationTraining
from maskwright.training.optim import rates
from maskwright.training.pace import Pace
from maskwright.training.ranks import Ranks

AfterEpoch = Callable[[int, int, dict[str, float]], bool]
_NEXT = "checkpoints/best-next.ckpt"  # new best weights, until last.ckpt tells of them
_FLAT_FROM, _FLAT_REST = 0.4, 0.35  # of a budget from where on it may be cut, and what is left then of its rest
_STATE_KEY = "Keeper"  # what checkpoints have always called their manager
_SAVE_SHARE = 0.03  # of the time may go into last.ckpt; an epoch of seconds isn't worth half a gigabyte each


class History(pl.Callback):
    """One row an epoch, kept with the checkpoint, so that a resumed run's history is the uninterrupted one's."""

    def __init__(self, run: Run, world: int = 1) -> None:
        self.run, self.world = run, world
        self.rows: list[dict[str, Any]] = []
        self._images = 0
        self._seconds = 0.0

    def on_train_epoch_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._started = self._since = time.perf_counter()
        self._images, self._seconds = 0, 0.0

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        self._images += len(batch.items) * self.world
        now = time.perf_counter()
        self._seconds += now - self._since
        self._since = now

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._since = time.perf_counter()  # images/s is of training alone

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        self.rows.append(
            {
                "epoch": trainer.current_epoch,
                **pl_module.epoch_scores,
                **rates(trainer.optimizers[0]),
                "seconds": round(time.perf_counter() - self._started, 3),
                "images_per_second": round(self._images / max(1e-9, self._seconds), 3),
            }
        )
        self.write()

    def write(self) -> None:
        """Write history.csv as of now."""
        self.run.write_rows("history.csv", self.rows)

    def state_dict(self) -> dict[str, Any]:
        return {"rows": self.rows}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.rows = list(state_dict["rows"])
        self.write()  # rows after the checkpoint belong to epochs that will be trained again


class CheckpointManager(pl.Callback):
    """Best and last checkpoints, and early stopping.

    best.ckpt holds the weights that were validated (averaged, statistics measured); last.ckpt holds
    everything a resume needs. Both are written every `train.save_every` epochs, without it when writing
    takes little of the time since the last, and at the end. A run killed in between is trained again
    from last.ckpt, to the same bits. With `takes_last` the newest weights count as the best.
    """

    def __init__(self, run: Run, config: TrainConfig, takes_last: bool = False) -> None:
        self.takes_last = takes_last
        self.run, self.monitor, self.patience, self.every = run, config.monitor, config.early_stop, config.save_every
        self.best: dict[str, Any] = {"score": None, "epoch": None}
        self.stale = 0
        self.stopped_early = False
        self._unsaved = False
        self._saved_at, self._save_took = time.perf_counter(), 0.0

    @property
    def state_key(self) -> str:
        return _STATE_KEY

    def is_better(self, scores: dict[str, float]) -> bool:
        """Whether these scores beat the best so far (a NaN never does, but anything beats none)."""
        score = scores[self.monitor]
        best = self.best["score"]
        if best is None or self.takes_last:
            return True
        if math.isnan(score) or math.isnan(best):
            return math.isnan(best) and not math.isnan(score)
        return score > best if higher_is_better(self.monitor) else score < best

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        if self.is_better(pl_module.epoch_scores):
            self.best = {
                "score": pl_module.epoch_scores[self.monitor],
                "epoch": trainer.current_epoch,
                **pl_module.epoch_scores,
            }
            self.stale, self._unsaved = 0, True
        else:
            self.stale += 1
        if self.patience is not None and self.stale >= self.patience:
            trainer.should_stop = self.stopped_early = True

    def maybe_save(self, trainer: pl.Trainer, module: SegmentationTraining) -> None:
        """Save when its epoch has come, or when it costs little time. Called after all others have seen the epoch."""
        since = time.perf_counter() - self._saved_at
        due = (
            since * _SAVE_SHARE >= self._save_took
            if self.every is None
            else (trainer.current_epoch + 1) % self.every == 0
        )
        if due:
            self.save(trainer, module)

    def save(self, trainer: pl.Trainer, module: SegmentationTraining) -> None:
        """Write last.ckpt and, if it is new, best.ckpt, which takes its place only after the last that tells of it.

        Killed between the two, a run would keep a best of an epoch that it trains again, perhaps to another score.
        """
        started = time.perf_counter()
        if self._unsaved and module.best_weights is not None:
            best = {"state_dict": module.best_weights, **self.best}
            self.run.write(_NEXT, lambda path: torch.save(best, path))
            self._unsaved = False
        self.run.write("checkpoints/last.ckpt", lambda path: trainer.save_checkpoint(path, weights_only=False))
        if (self.run.root / _NEXT).is_file():
            (self.run.root / _NEXT).replace(self.run.checkpoints / "best.ckpt")
        self._saved_at = time.perf_counter()
        self._save_took = self._saved_at - started

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.patience is not None and self.stale >= self.patience:  # killed after stopping early
            trainer.should_stop = self.stopped_early = True

    def state_dict(self) -> dict[str, Any]:
        return {"best": self.best, "stale": self.stale}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.best, self.stale = state_dict["best"], state_dict["stale"]


class EndWhenFlat(pl.Callback):
    """Of a budget that nobody asked for: where validation has stopped improving, what is left of it is cut short."""

    def __init__(self, history: History, pace: Pace, print_line: Callable[[str], None]) -> None:
        self.history, self.pace, self.print_line = history, pace, print_line
        self.end: float | None = None  # seconds

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        whole = self.pace.budget
        if self.end is None and _FLAT_FROM * whole < self.pace.now() < whole and is_flat(self.history.rows):
            self.end = self.pace.end_sooner(_FLAT_REST)
            self.print_line(
                f"flat    validation has stopped improving: ends after {self.end:.0f} s of {whole:.0f}; --budget asks "
                "for more"
            )

    def state_dict(self) -> dict[str, Any]:
        return {"end": self.end}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.end = state_dict["end"]
        self.pace.budget = self.end or self.pace.budget


class SaveOnInterrupt(pl.Callback):
    """Where nothing was saved yet of a budget, the first interrupt ends the epoch after the step it comes in.

    It is validated and saved as any other, so that a resume goes on from there. A second interrupt is not waited for.
    """

    def __init__(self, run: Run, pace: Pace, print_line: Callable[[str], None]) -> None:
        self.run, self.pace, self.print_line = run, pace, print_line
        self.was_interrupted = False
        self._handler: Any = signal.getsignal(signal.SIGINT)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # where interrupts are ignored they stay so
        if (
            threading.current_thread() is threading.main_thread()
            and callable(self._handler)
            and not trainer.should_stop
        ):
            signal.signal(signal.SIGINT, partial(self._on_interrupt, trainer))

    def _on_interrupt(self, trainer: pl.Trainer, number: int, frame: Any) -> None:
        is_saved = (self.run.checkpoints / "last.ckpt").is_file()
        if self.was_interrupted or is_saved or not trainer.global_step:
            signal.signal(signal.SIGINT, self._handler)
            return signal.raise_signal(number)
        self.was_interrupted = True
        return self.print_line(
            "saving  a checkpoint after this step and a validation; another interrupt stops at once, without it"
        )

    def on_train_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if self.was_interrupted and (batch_idx + 1) % trainer.accumulate_grad_batches == 0 and not trainer.should_stop:
            assert isinstance(pl_module, SegmentationTraining)
            self.pace.end_epoch(trainer.global_step)
            pl_module.set_rate()  # a replay will not know of the stretch that was taken back
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        trainer.should_stop = trainer.should_stop or self.was_interrupted


class EpochEnd(pl.Callback):
    """The last callback: ends a training where its budget or somebody watching does, in all processes, and saves."""

    def __init__(
        self, manager: CheckpointManager, ranks: Ranks, pace: Pace | None, after_epoch: AfterEpoch | None = None,
        num_epochs: int = 0,
    ) -> None:  # fmt: skip
        self.manager, self.ranks, self.pace = manager, ranks, pace
        self.after_epoch, self.num_epochs = after_epoch, num_epochs

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        if self.pace and self.pace.is_over:  # killed between its last epoch and the writing of its weights
            trainer.should_stop = True

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        is_over = trainer.should_stop or (self.pace is not None and self.pace.done)
        if self.after_epoch:
            done = trainer.current_epoch + 1
            if self.pace:
                done = max(1, round(self.pace.share(trainer.global_step) * self.num_epochs))
            is_over |= self.after_epoch(done, self.num_epochs, pl_module.epoch_scores)
        trainer.should_stop = self.ranks.agree(lambda: is_over)
        if self.ranks.rank == 0:
            self.manager.maybe_save(trainer, pl_module)


def recover_best(run: Run) -> None:
    """After a kill: new best weights take their place if last.ckpt knows their epoch, else they go."""
    path = run.root / _NEXT
    if path.is_file():
        last = torch.load(
            run.checkpoints / "last.ckpt", map_location="cpu", mmap=can_be_mapped(path), weights_only=True
        )
        best = torch.load(path, map_location="cpu", mmap=can_be_mapped(path), weights_only=True)
        if last["callbacks"][_STATE_KEY]["best"]["epoch"] == best["epoch"]:
            path.replace(run.checkpoints / "best.ckpt")
        else:
            path.unlink()


def read_best(run: Run) -> dict[str, Any]:
    """The best epoch's weights and scores."""
    return torch.load(run.checkpoints / "best.ckpt", map_location="cpu", weights_only=True)


def write_weights(run: Run, best: dict[str, Any]) -> Path:
    """model.safetensors: the best weights, for use and sharing, with how good they were."""
    weights = {name: value.contiguous() for name, value in best["state_dict"].items()}
    # one entry: safetensors writes several in random order, and equal runs must give equal files
    metadata = {"maskwright": json.dumps({key: value for key, value in best.items() if key != "state_dict"})}

    def write(path: Path) -> None:
        save_file(weights, path, metadata=metadata)
        path.chmod(0o644)  # safetensors writes for the owner alone; a run is meant to be shared

    return run.write("model.safetensors", write)
