"""TensorBoard: losses, IoUs and rates each epoch, and panels of image, truth and prediction."""

from __future__ import annotations

import os
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.config import Config
from maskwright.files import writing
from maskwright.runs import GOES_ON, Run
from maskwright.training.loggers.base import Ending, Epoch, Logger


class EventFile:
    """An event file, written at once and in this thread: a full disk is then reported as for any other file.

    TensorBoard's own writer hands events to a thread, which prints a traceback when the disk refuses them.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        with _without_tensorflow():
            from tensorboard.compat.proto import event_pb2
            from tensorboard.summary.writer.record_writer import RecordWriter
            from torch.utils.tensorboard import summary

        self._event, self._summary = event_pb2, summary
        # read in this order
        self.path = folder / f"events.out.tfevents.{time.time():.6f}.{socket.gethostname()}.{os.getpid()}"
        with writing(self.path, "write", GOES_ON):
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
        with writing(self.path, "write", GOES_ON):
            self._records.write(self._event.Event(wall_time=time.time(), step=epoch, **content).SerializeToString())


@contextmanager
def _without_tensorflow() -> Iterator[None]:
    """Importing the writer must not start TensorFlow where it is installed; others may import it afterwards."""
    if "tensorflow" in sys.modules:
        yield
        return
    modules: dict[str, Any] = sys.modules
    modules["tensorflow"] = None
    try:
        from tensorboard import compat

        _ = compat.tf.__version__  # it decides once, for good, to do without
        yield
    finally:
        del modules["tensorflow"]


class TensorBoardLog(Logger):
    """Writes event files into RUN/tensorboard; a resumed run hides the epochs it trains again.

    What is no curve has no place there.
    """

    def __init__(self, folder: Path, first_epoch: int) -> None:
        self.place = str(folder)
        self.recorded = first_epoch - 1  # earlier ones stand in earlier files, which are written without a buffer
        self._events = EventFile(folder, first_epoch)

    def epoch(self, epoch: Epoch) -> None:
        for panel in epoch.panels:
            self._events.image(f"val/{panel.name}", panel.strip, epoch.number)
        for tag, value in epoch.scalars.items():
            self._events.scalar(tag, value, epoch.number)

    def close(self, ending: Ending) -> None:
        self._events.close()


def open_tensorboard(run: Run, config: Config, options: object, first_epoch: int | None) -> TensorBoardLog | None:
    """A new event file from this epoch on; none after training, which has nothing for it."""
    return None if first_epoch is None else TensorBoardLog(run.root / "tensorboard", first_epoch)
