"""The loggers in training: panels show the labels that validation counted, and are given to all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

from maskwright.data.opening import Opened
from maskwright.runs import plain_name
from maskwright.training.callbacks import History
from maskwright.training.lightning import pl
from maskwright.training.loggers.base import Epoch, Panel, panel_keys
from maskwright.training.loggers.collection import LoggerCollection
from maskwright.training.module import SegmentationTraining
from maskwright.training.ranks import Ranks

_NUM_PANELS = 4
_PANELS_SHOWN = 12  # times over a run; more would only fill the disk
PanelSample = tuple[str, np.ndarray, np.ndarray]  # name, image H W C, mask H W


def panel_samples(opened: Opened, ranks: Ranks = Ranks()) -> list[PanelSample]:  # noqa: B008
    """The first images that this process validates, which panels show; their names are unique, as panels are told
    apart by them.
    """
    indices = opened.dataset.split("val")[ranks.rank :: ranks.world][:_NUM_PANELS]
    records = [opened.dataset.items[index].record for index in indices]
    names = [record.image.stem for record in records]
    if len(set(names)) < len(names):
        names = [record.id for record in records]
    return [(name, *opened.store.get(index)) for name, index in zip(names, indices, strict=True)]


class Logging(pl.Callback):
    """Gives each epoch's row and panels to the loggers; stands after the history, whose rows it reads."""

    def __init__(
        self, loggers: LoggerCollection, history: History, samples: Sequence[PanelSample], num_epochs: int
    ) -> None:
        self.loggers, self.history, self.samples = loggers, history, samples
        self.keys = panel_keys([name for name, _, _ in samples])
        self.every = max(1, num_epochs // _PANELS_SHOWN)
        self._labels: list[np.ndarray] = []  # of the samples
        self._panels: tuple[Panel, ...] = ()

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        self.loggers.open(len(self.history.rows), self.history.rows)

    def on_validation_batch_end(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, outputs: Any, batch: Any, batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:  # fmt: skip
        if len(self._labels) < len(self.samples):
            self._labels.append(outputs["labels"].astype(np.uint8))

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        epoch = trainer.current_epoch
        shown = epoch % self.every == 0 or epoch + 1 == trainer.max_epochs or trainer.should_stop
        samples = zip(self.samples, self.keys, self._labels, strict=True)
        self._panels = tuple(
            Panel(name, key, image, mask, labels, pl_module.num_classes)
            for (name, image, mask), key, labels in samples
            if shown and self.loggers.wants(epoch)
        )
        self._labels = []

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        for panel in self._panels:  # the newest, for whoever looks at the folder
            strip = Image.fromarray(panel.strip)
            self.loggers.run.write(f"panels/{plain_name(panel.key)}.png", lambda path, strip=strip: strip.save(path))
        self.loggers.epoch(Epoch(self.history.rows[-1], self._panels))
        self._panels = ()
