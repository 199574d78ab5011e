"""Lightning's Trainer as we use it: its settings, how an interrupt leaves it, and its remarks held back."""

from __future__ import annotations

import logging
import signal
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset

from maskwright.config import Config
from maskwright.data.opening import Opened
from maskwright.models.devices import torch_device, tune_gpu
from maskwright.training.lightning import TorchCheckpointIO, pl
from maskwright.training.module import ValItem
from maskwright.training.ranks import Ranks


class _CheckpointFiles(TorchCheckpointIO):
    """Checkpoints are files: Lightning would take a path for an address where it begins with ~ or holds ::."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        torch.save(checkpoint, path)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = None) -> dict[str, Any]:
        return torch.load(path, map_location, weights_only=weights_only)


_PRECISIONS: dict[str, Any] = {"bf16": "bf16-mixed", "fp16": "16-mixed"}


def build_trainer(config: Config, callbacks: Sequence[pl.Callback], batches_a_step: int, rank: int = 0) -> pl.Trainer:
    """The Trainer of a resolved configuration."""
    device = torch_device(config.train.devices)
    tune_gpu(device)
    return pl.Trainer(
        accelerator={"cpu": "cpu", "cuda": "cuda", "mps": "mps"}[device.type],
        devices=[rank] if device.type == "cuda" else 1,
        precision=_PRECISIONS.get(config.train.precision, "32-true"),
        max_epochs=-1 if config.train.epochs == "auto" else config.train.epochs,  # a budget ends by its pace
        accumulate_grad_batches=batches_a_step,
        callbacks=list(callbacks),
        plugins=[_CheckpointFiles()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        use_distributed_sampler=False,
        inference_mode=False,  # averaged weights are swapped in while validating; inference tensors couldn't be
    )


def run_to_the_end(trainer: pl.Trainer, module: Any, loader: Any, val: Any, checkpoint: Path | None) -> None:
    """Train; an interrupt is reported as one."""
    handler = signal.getsignal(signal.SIGINT)
    try:
        trainer.fit(module, loader, val, ckpt_path=checkpoint, weights_only=True)
    except SystemExit as stop:  # how Lightning answers an interrupt
        raise KeyboardInterrupt from stop
    finally:
        torch.backends.cudnn.benchmark = False  # what follows in this process sees images of many sizes
        if handler is not None and signal.getsignal(signal.SIGINT) is not handler:
            # Lightning leaves interrupts ignored, which a notebook would go on doing
            signal.signal(signal.SIGINT, handler)
    if trainer.interrupted:
        raise KeyboardInterrupt


def val_loader(opened: Opened, ranks: Ranks = Ranks()) -> DataLoader[ValItem | None]:  # noqa: B008
    """Validation images and masks, one at a time, at their own size: of several processes' this one's."""
    return DataLoader(_ValItems(opened, ranks), batch_size=None, collate_fn=_same)


class _ValItems(Dataset[ValItem | None]):
    def __init__(self, opened: Opened, ranks: Ranks) -> None:
        self.store, self.indices = opened.store, opened.dataset.split("val")[ranks.rank :: ranks.world]

    def __len__(self) -> int:
        return max(1, len(self.indices))  # without any, Lightning would leave validation out, and others wait for ever

    def __getitem__(self, index: int) -> ValItem | None:
        return self.store.get(self.indices[index]) if self.indices else None


def _same(item: Any) -> Any:
    return item


@contextmanager
def quiet_lightning() -> Iterator[None]:
    """Lightning's remarks on devices, workers and loggers say nothing we haven't said or decided."""
    logger = logging.getLogger("lightning.pytorch")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", module="lightning")
            warnings.filterwarnings("ignore", message=".*lr_scheduler.step.*")
            yield
    finally:
        logger.setLevel(level)
