"""TensorBoard: losses, IoUs and rate each epoch, and panels of image, truth and prediction."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import lightning.pytorch as pl
import numpy as np
import torch

from maskwright.data.geometry import shrink_to
from maskwright.data.pictures import colourise, palette
from maskwright.models.wrapper import labels_from_logits, logits_at_own_size
from maskwright.training.module import SegmentationTraining

_PANEL_HEIGHT = 256
_NUM_PANELS = 4
_PANELS_SHOWN = 12  # times over a run; more would only fill the disk


class TensorBoardLog(pl.Callback):
    """Writes event files into RUN/tensorboard; a resumed run hides the epochs it trains again."""

    def __init__(
        self, folder: Path, samples: Sequence[tuple[str, np.ndarray, np.ndarray]], num_classes: int, epochs: int
    ) -> None:
        self.folder, self.samples = folder, list(samples[:_NUM_PANELS])
        self.colours = palette(num_classes)
        self.every = max(1, epochs // _PANELS_SHOWN)
        self._writer: Any = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        # importing the writer must not start TensorFlow where it happens to be installed
        sys.modules.setdefault("tensorflow", None)  # type: ignore[arg-type]
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.folder), purge_step=trainer.current_epoch or None)

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Panels are drawn while the averaged weights are still in place."""
        assert isinstance(pl_module, SegmentationTraining)
        epoch = trainer.current_epoch
        if epoch % self.every == 0 or epoch + 1 == trainer.max_epochs:
            for name, image, mask in self.samples:
                self._writer.add_image(f"val/{name}", self._panel(pl_module, image, mask), epoch, dataformats="HWC")

    def on_train_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        assert isinstance(pl_module, SegmentationTraining)
        epoch, scores = trainer.current_epoch, pl_module.epoch_scores
        for kind in ("loss", "iou"):
            for split in ("train", "val"):
                self._writer.add_scalar(f"{kind}/{split}", scores[f"{split}_{kind}"], epoch)
        self._writer.add_scalar("lr", trainer.optimizers[0].param_groups[0]["lr"], epoch)
        self._writer.flush()

    def teardown(self, trainer: pl.Trainer, pl_module: pl.LightningModule, stage: str) -> None:
        if self._writer:
            self._writer.close()
            self._writer = None

    @torch.no_grad()
    def _panel(self, module: SegmentationTraining, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Image, truth and prediction side by side."""
        labels = labels_from_logits(logits_at_own_size(module.model, image, module.view, module.device))[0].cpu().numpy()
        height, width = mask.shape
        size = (min(_PANEL_HEIGHT, height), max(1, round(width * min(_PANEL_HEIGHT, height) / height)))
        pictures = [image, colourise(mask, self.colours), colourise(labels, self.colours)]
        gap = np.full((size[0], 4, 3), 255, np.uint8)
        shown = [shrink_to(picture, *size) for picture in pictures]
        return np.concatenate([shown[0], gap, shown[1], gap, shown[2]], axis=1)
