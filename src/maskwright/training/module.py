"""The LightningModule: one step, one validation image, the epoch's scores. Lightning owns the loop."""

from __future__ import annotations

import contextlib
import math
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from maskwright.config.optim import OptimConfig
from maskwright.data.dataset import IGNORE
from maskwright.data.geometry import View
from maskwright.data.loader import Batch
from maskwright.data.tiles import EVEN
from maskwright.errors import TrainingError, listed
from maskwright.losses import Loss
from maskwright.metrics.counts import confusion
from maskwright.metrics.scores import accuracy, headline_dice, headline_iou
from maskwright.models import Segmenter
from maskwright.models.wrapper import labels_from_logits, logits_at_own_size
from maskwright.training.average import Average, update_bn_stats
from maskwright.training.freeze import Freezer
from maskwright.training.lightning import pl
from maskwright.training.optim import build_optimizer, clip_gradients
from maskwright.training.pace import Pace
from maskwright.training.ranks import Ranks
from maskwright.training.schedules import BUDGET_EPOCHS, Plateau, learning_rate_factor

ValItem = tuple[np.ndarray, np.ndarray]
ShareOf = Callable[[int], float]  # number of a batch in the epoch → what its mean loss weighs in the step it is part of
_LOOK_BACK = 20  # on a GPU the loss is looked at every so many steps: each look waits for the device


class SegmentationTraining(pl.LightningModule):
    """Trains a `Segmenter`; `epoch_scores` holds the finished epoch's losses, IoUs, Dice and accuracy."""

    def __init__(
        self, model: Segmenter, loss: Loss, optim: OptimConfig, view: View, num_classes: int, total_steps: int,
        average: bool, seed: int, bn_batches: Callable[[], Iterable[Batch]], name_of: Callable[[int], str],
        steps_an_epoch: int = 1, share_of: ShareOf | None = None, monitor: str = "val_iou",
        mask_threshold: float = EVEN, pace: Pace | None = None, compiled: bool = False,
        ranks: Ranks = Ranks(),  # noqa: B008
    ) -> None:  # fmt: skip
        super().__init__()
        self.has_begun = False
        self.model, self.loss, self.optim, self.view = model, loss, optim, view
        self.num_classes, self.total_steps, self.seed = num_classes, total_steps, seed
        self.steps_an_epoch, self.share_of, self.pace = steps_an_epoch, share_of, pace
        self.mask_threshold, self.compiled, self.ranks = mask_threshold, compiled, ranks
        self._is_step, self._weight = True, 0
        self._launched: Any = None  # the event behind the last step that a GPU was given
        self.freezer = Freezer(model, optim)
        plateau = Plateau(monitor, optim.patience, optim.factor)
        self.plateau = plateau if optim.schedule == "plateau" else None
        self.average = Average(model, total_steps) if average else None
        self.bn_batches, self.name_of = bn_batches, name_of
        self.epoch_scores: dict[str, float] = {}
        self.best_weights: dict[str, torch.Tensor] | None = None
        self.is_better: Callable[[dict[str, float]], bool] = lambda scores: True
        self._unseen: list[tuple[torch.Tensor, tuple[int, ...]]] = []
        self._swap = contextlib.ExitStack()
        self._forget()

    def configure_optimizers(self) -> Any:
        # what thaws later is in the optimiser from the start, and begins its own state at the thaw
        self.freezer.at_the_end()
        # a fused step would take gradients that are still scaled, past the clipping
        is_scaled = self._trainer is not None and str(self.trainer.precision).startswith("16")
        optimizer = build_optimizer(self.model, self.optim, fused=not is_scaled)
        self._freeze()
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: self.rate_factor(step))
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def rate_factor(self, step: int) -> float:
        """Share of the highest rate at a step."""
        if self.pace:
            step = round(self.pace.share(step) * self.total_steps)
        share = learning_rate_factor(step, self.total_steps, self.optim, self.steps_an_epoch)
        return share * self.plateau.share if self.plateau else share

    def set_rate(self) -> None:
        """Set the next step's rate anew, where what it was foreseen from has changed since."""
        for group in self.trainer.optimizers[0].param_groups:
            group["lr"] = group["initial_lr"] * self.rate_factor(self.global_step)

    def configure_gradient_clipping(self, optimizer: Any, *_: Any, **__: Any) -> None:
        # not left to Lightning, which refuses to clip for fused optimisers; fp16's gradients are unscaled by now
        clip_gradients(self.model, self.optim)

    def on_train_start(self) -> None:
        if self.compiled:
            torch._dynamo.config.suppress_errors = True  # what can't be compiled runs as it is
            net: Any = self.model.net
            if hasattr(net, "training_outputs"):  # called by name in training, where `compile` would not be heeded
                net.training_outputs = torch.compile(net.training_outputs)
            else:
                net.compile()  # in place, so that weights keep their names

    def on_train_epoch_start(self) -> None:
        # dropout and the like draw from torch; a seed an epoch makes a resumed epoch draw the same
        torch.manual_seed(self.seed * 1_000_003 + self.current_epoch)
        self._freeze()  # thaws; and Lightning has put everything into training mode
        self._forget()

    def on_train_batch_start(self, batch: Any, batch_idx: int) -> None:
        self._is_step = (batch_idx + 1) % self.trainer.accumulate_grad_batches == 0 or self.trainer.is_last_batch
        if self.pace and self._counted_epoch() != self._frozen_at:  # a budget has few validations, or one
            self._freeze()

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        self.has_begun = True
        loss, logits = training_loss(self.model, self.loss, batch)
        self._unseen.append((loss.detach(), batch.items))
        self._train_losses.append(loss.detach())
        self._train_counts += self._confusion(logits.detach(), batch.masks)
        if loss.device.type == "cpu" or len(self._unseen) >= _LOOK_BACK:
            self.validate_losses()
        # batches of one step, and their parts, may differ in size by one; each image has the same say, as in one large
        # batch
        if self.ranks.world > 1:
            self._weight += len(batch.items)
            return loss * len(batch.items)
        return loss * self.share_of(batch_idx) if self.share_of else loss

    def on_after_backward(self) -> None:
        # before fp16's gradients are unscaled, so that all processes find the same overflows
        if self.ranks.world > 1 and self._is_step:
            self.ranks.average_gradients(self.model.parameters(), self._weight, self.trainer.accumulate_grad_batches)
            self._weight = 0

    def on_train_batch_end(self, outputs: Any, batch: Any, batch_idx: int) -> None:
        if not self._is_step:
            return
        if self.device.type == "cuda":  # one step ahead at the most, so that clocks see steps that were made
            before, self._launched = self._launched, torch.cuda.Event(blocking=True)
            self._launched.record()
            if before is not None:
                before.synchronize()
        if self.pace:
            self.pace.ran_step()
        if self.average:
            self.average.update(self.pace.num_steps(self.global_step) if self.pace else None)

    def validate_losses(self) -> None:
        """Stop when a loss since the last look was not a number, naming the images of its batch."""
        seen, self._unseen = self._unseen, []
        for loss, items in seen:
            if not bool(torch.isfinite(loss)):
                files = listed(sorted({self.name_of(item) for item in items}), "and", 8)
                raise TrainingError(
                    f"the loss must stay a finite number; got {loss.item()} at step {self.global_step} on {files}. "
                    "Look at these images and masks, or lower --lr; the last checkpoint is from before."
                )

    def on_validation_epoch_start(self) -> None:
        self.validate_losses()
        # validation images have many sizes, for each of which it would be compiled, and cuDNN's way searched for, anew
        self._searches, torch.backends.cudnn.benchmark = torch.backends.cudnn.benchmark, False
        self._compiled_call, self.model.net._compiled_call_impl = self.model.net._compiled_call_impl, None
        self._val_losses: list[torch.Tensor] = []
        self._val_counts = np.zeros((self.num_classes, self.num_classes), np.int64)
        self.ranks.average_buffers(self.model)
        if self.average:
            self._swap.enter_context(self.average.in_place(self._update_bn_stats))
        self.model.eval()

    def validation_step(self, item: ValItem | None, _: int) -> dict[str, Any] | None:
        if item is None:  # of fewer images than processes
            return None
        image, mask = item
        logits = logits_at_own_size(self.model, image, self.view, self.device)
        truth = torch.from_numpy(mask).to(self.device).unsqueeze(0)
        if (mask != IGNORE).any():  # where nothing is labelled there is no loss, and its zero would flatter the mean
            self._val_losses.append(self.loss(logits, truth))
        labels = labels_from_logits(logits, self.mask_threshold)[0].cpu().numpy()
        self._val_counts += confusion(mask, labels, self.num_classes)
        return {"labels": labels}

    def on_validation_epoch_end(self) -> None:
        val_counts = torch.from_numpy(self._val_counts)
        train_counts = torch.as_tensor(self._train_counts).cpu().expand(val_counts.shape)
        train, val = self.ranks.total(torch.stack([train_counts, val_counts])).numpy()
        self.epoch_scores = {
            "train_loss": self._mean(self._train_losses), "val_loss": self._mean(self._val_losses),
            **epoch_metrics(train, val),
        }  # fmt: skip
        if self.is_better(self.epoch_scores):
            self.best_weights = {name: value.detach().clone() for name, value in self.model.state_dict().items()}
        if self.plateau:
            self._heed_plateau(self.plateau)

    def on_validation_end(self) -> None:
        # loggers and panels have seen the averaged weights by now; training goes on with the raw ones
        self._swap.close()
        self.model.net._compiled_call_impl = self._compiled_call
        torch.backends.cudnn.benchmark = self._searches
        self.model.train()
        self._freeze()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["average"] = self.average.state_dict() if self.average else None
        if self.plateau:
            checkpoint["plateau"] = self.plateau.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        if self.average:
            self.average.load_state_dict(checkpoint["average"])
        if self.plateau:
            self.plateau.load_state_dict(checkpoint["plateau"])

    def _counted_epoch(self) -> int:
        """The epoch that schedules and thaws count: of a budget, the part of it."""
        return int(self.pace.share(self.global_step) * BUDGET_EPOCHS) if self.pace else self.current_epoch

    def _freeze(self) -> None:
        self._frozen_at = self._counted_epoch()
        self.freezer.at(self._frozen_at)

    def _forget(self) -> None:
        self._train_losses: list[torch.Tensor] = []
        self._train_counts: Any = 0

    def _update_bn_stats(self) -> None:
        precision = self.trainer.precision_plugin if self._trainer else None
        with precision.forward_context() if precision else contextlib.nullcontext():
            batches = (batch.images.to(self.device) for batch in self.bn_batches())
            update_bn_stats(self.model, batches, self.freezer.frozen(self._counted_epoch()))

    def _heed_plateau(self, plateau: Plateau) -> None:
        """Drop the rate when validation has stood still; while it still rises, standing still means nothing."""
        share = self.pace.share(self.global_step) if self.pace else self.global_step / self.total_steps
        if share < self.optim.warmup or not plateau.update(self.epoch_scores[plateau.monitor]):
            return
        self.set_rate()

    def _mean(self, losses: list[torch.Tensor]) -> float:
        """Of all processes."""
        # in Python's numbers: Apple's GPUs have no float64
        values = self.ranks.gather(torch.stack(losses).tolist() if losses else [])
        return statistics.fmean(values) if values else math.nan

    def _confusion(self, logits: torch.Tensor, masks: torch.Tensor) -> Any:
        labels = labels_from_logits(logits, self.mask_threshold)
        if labels.device.type == "cpu":
            return confusion(masks.numpy(), labels.numpy(), self.num_classes)
        return confusion_on_device(masks, labels, self.num_classes)


def confusion_on_device(masks: torch.Tensor, labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Counts K K, truth by prediction, without a wait for a GPU: bincount would read its largest value back."""
    codes = masks.long() * num_classes + labels
    codes = torch.where(masks < num_classes, codes, num_classes**2).flatten()
    bins = num_classes**2 + 1
    # neighbours mostly have one code, and additions to one place wait for each other: they are spread over 256 tables
    codes += torch.arange(len(codes), device=codes.device) % 256 * bins
    counts = torch.zeros(256 * bins, dtype=torch.long, device=codes.device)
    counts.scatter_add_(0, codes, torch.ones_like(codes))
    return counts.view(256, bins).sum(0)[:-1].view(num_classes, -1)


def training_loss(model: Segmenter, loss: Loss, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """The loss of a batch, auxiliary heads' shares included, and the network's own logits."""
    (_, logits), *auxiliary = model.training_logits(batch.images)
    value = loss(logits, batch.masks)
    for weight, others in auxiliary:
        value = value + weight * loss(others, batch.masks)
    return value, logits


def epoch_metrics(train: np.ndarray, val: np.ndarray) -> dict[str, float]:
    """IoU, Dice and accuracy of an epoch, from the counts K K of its training inputs and of its validation images."""
    metrics = {"iou": headline_iou, "dice": headline_dice, "accuracy": lambda counts: float(accuracy(counts))}
    splits = {"train": train, "val": val}
    return {f"{split}_{name}": metric(counts) for name, metric in metrics.items() for split, counts in splits.items()}
