"""TensorBoard: losses, IoUs and rate each epoch, and panels of image, truth and prediction."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from maskwright.data.geometry import shrink_to
from maskwright.data.pictures import colourise, palette, shown
from maskwright.models.wrapper import labels_from_logits, logits_at_own_size
from maskwright.runs import writing
from maskwright.training.module import SegmentationTraining
from maskwright.training.optim import rates

_PANEL_HEIGHT = 256
_NUM_PANELS = 4
_PANELS_SHOWN = 12  # times over a run; more would only fill the disk


class EventFile:
    """An event file, written at once and in this thread: a full disk is then told as for any other file.

    TensorBoard's own writer hands events to a thread, which prints a traceback when the disk refuses them.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        # importing the writer must not start TensorFlow where it happens to be installed
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter
        from torch.utils.tensorboard import summary

        self._event, self._summary = event_pb2, summary
        self.path = folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"  # read in this order
        with writing(self.path, "write"):
            folder.mkdir(parents=True, exist_ok=True)
            self._file = self.path.open("wb", buffering=0)
        self._records = RecordWriter(self._file)
        self._write(first_epoch, file_version="brain.Event:2")
        # what a killed process drew of these epochs is hidden
        log: Any = vars(event_pb2)["SessionLog"]  # protobuf makes it when it is imported
        self._write(first_epoch, session_log=log(status=log.START))

    def scalar(self, tag: str, value: float, epoch: int) -> None:
        self._write(epoch, summary=self._summary.scalar(tag, value))

    def image(self, tag: str, pixels: np.ndarray, epoch: int) -> None:
        self._write(epoch, summary=self._summary.image(tag, pixels, dataformats="HWC"))

    def close(self) -> None:
        self._file.close()

    def _write(self, epoch: int, **content: Any) -> None:
        with writing(self.path, "write"):
            self._records.write(self._event.Event(wall_time=time.time(), step=epoch, **content).SerializeToString())


class TensorBoardLog(pl.Callback):
    """Writes event files into RUN/tensorboard; a resumed run hides the epochs it trains again."""

    def __init__(
        self, folder: Path, samples: Sequence[tuple[str, np.ndarray, np.ndarray]], num_classes: int, epochs: int
    ) -> None:
        self.folder, self.samples = folder, list(samples[:_NUM_PANELS])
        self.colours = palette(num_classes)
        self.every = max(1, epochs // _PANELS_SHOWN)
        self._events: EventFile | None = None

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self._events = EventFile(self.folder, trainer.current_epoch)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Panels are drawn while the averaged weights are still in place."""
        assert isinstance(pl_module, SegmentationTraining) and self._events
        epoch = trainer.current_epoch
        if epoch % self.every == 0 or epoch + 1 == trainer.max_epochs:
            for name, image, mask in self.samples:
                self._events.image(f"val/{name}", self._panel(pl_module, image, mask), epoch)

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining) and self._events
        epoch, scores = trainer.current_epoch, pl_module.epoch_scores
        for kind in ("loss", "iou"):
            for split in ("train", "val"):
                self._events.scalar(f"{kind}/{split}", scores[f"{split}_{kind}"], epoch)
        for name, rate in rates(trainer.optimizers[0]).items():
            self._events.scalar(name, rate, epoch)

    def on_exception(self, trainer: pl.Trainer, pl_module: pl.LightningModule, exception: BaseException) -> None:
        self.teardown(trainer, pl_module, "fit")  # which Lightning leaves out then

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._events:
            self._events.close()
            self._events = None

    @torch.no_grad()
    def _panel(self, module: SegmentationTraining, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Image, truth and prediction side by side."""
        labels = labels_from_logits(logits_at_own_size(module.model, image, module.view, module.device))[0].cpu().numpy()
        height, width = mask.shape
        size = (min(_PANEL_HEIGHT, height), max(1, round(width * min(_PANEL_HEIGHT, height) / height)))
        pictures = [shown(image), colourise(mask, self.colours), colourise(labels, self.colours)]
        gap = np.full((size[0], 4, 3), 255, np.uint8)
        small = [shrink_to(picture, *size) for picture in pictures]
        return np.concatenate([small[0], gap, small[1], gap, small[2]], axis=1)
