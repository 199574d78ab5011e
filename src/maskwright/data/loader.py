"""Batches of training inputs: which samples an epoch has, and how they become one uint8 tensor.

A sample is named by (epoch, number); everything random about it follows from that and the seed, so
the number of workers, a resume, and the order of work change nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler, get_worker_info
from torch.utils.data import Dataset as TorchDataset

from maskwright.data.augment import Op, augment, sample_rng
from maskwright.data.geometry import Aim, View
from maskwright.data.sampling import Aimer, draw_images
from maskwright.data.store import PixelStore
from maskwright.errors import DataError, MaskwrightError, TrainingError

# epoch, number of the sample within it; perhaps whether it has half the size
Key = tuple[int, int] | tuple[int, int, bool]


@dataclass(frozen=True)
class Batch:
    """Training inputs of one step.

    images N C H W uint8 (channels last in memory), masks N H W uint8, items: which records they show
    """

    images: torch.Tensor
    masks: torch.Tensor
    items: tuple[int, ...]

    def pin_memory(self) -> Batch:
        return Batch(self.images.pin_memory(), self.masks.pin_memory(), self.items)

    def to(self, device: torch.device) -> Batch:
        # Apple's GPUs read memory that isn't pinned after it may have been given back
        non_blocking = device.type == "cuda"
        images = self.images.to(device, non_blocking=non_blocking)
        return Batch(images, self.masks.to(device, non_blocking=non_blocking), self.items)


@dataclass(frozen=True)
class Draw:
    """Everything random about one input but its augmentation: the image it shows, and what its window is aimed at."""

    item: int
    image: np.ndarray
    mask: np.ndarray
    label: int | None  # the class aimed at
    aim: Aim | None
    rng: np.random.Generator  # gives the rest of the input's random numbers


class TrainSamples(TorchDataset[Any]):
    """Augmented inputs by key; a list of keys gives a whole batch, filled in place.

    `weights` says how often each of `indices` is drawn (None: alike), `aimer` where windows are aimed (None: nowhere).
    The first `small_epochs` epochs show inputs of half the size: most is learned there, at a quarter of the cost.
    """

    def __init__(
        self, store: PixelStore, indices: Sequence[int], view: View, plan: Sequence[Op], seed: int, repeats: int,
        weights: Sequence[float] | None = None, aimer: Aimer | None = None, small_epochs: int = 0,
    ) -> None:  # fmt: skip
        self.store, self.view, self.plan, self.seed = store, view, tuple(plan), seed
        self.indices, self.weights, self.aimer = list(indices), weights, aimer
        self.small_epochs = small_epochs
        self.rank, self.world = 0, 1  # of the processes that share each batch, and which part of it is this one's
        self._uniform = [index for index in indices for _ in range(repeats)]
        self._drawn: tuple[int, list[int]] = (-1, [])

    def __len__(self) -> int:
        return len(self._uniform)

    def items(self, epoch: int) -> list[int]:
        """The record each of an epoch's inputs shows, by the input's number."""
        if self.weights is None:
            return self._uniform
        if self._drawn[0] != epoch:
            places = draw_images(self.weights, len(self), self.seed, epoch)
            self._drawn = (epoch, [self.indices[place] for place in places])
        return self._drawn[1]

    def view_at(self, key: Key) -> View:
        """What an input shows: half the size where its key or its epoch says so."""
        small = key[2] if len(key) == 3 else key[0] < self.small_epochs
        return self.view.halved() if small else self.view

    def draw(self, key: Key) -> Draw:
        """The pixels an input is made from, and where its window is aimed."""
        epoch, number = key[:2]
        item = self.items(epoch)[number]
        image, mask = self.store.get(item)
        rng = sample_rng(self.seed, epoch, number)
        found = self.aimer.aim(item, mask, rng) if self.aimer else None
        label, aim = found or (None, None)
        return Draw(item, image, mask, label, aim, rng)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        drawn = self.draw(key)
        return augment(drawn.image, drawn.mask, self.view_at(key), self.plan, drawn.rng, drawn.aim)

    def __getitems__(self, keys: Sequence[Key]) -> Batch | DataError:
        """The batch; from a worker process also the error why there is none, to be raised where it can be reported."""
        try:
            return self.batch(keys[self.rank :: self.world])
        except MaskwrightError as error:
            if get_worker_info() is None:
                raise
            return DataError(str(error))  # raised in a worker, torch would wrap it into the text of a traceback

    def batch(self, keys: Sequence[Key]) -> Batch:
        """The inputs of these keys, side by side."""
        shape = self.view_at(keys[0]).shape
        images = torch.empty((len(keys), *shape, self.store.bands.num_channels), dtype=torch.uint8)
        masks = torch.empty((len(keys), *shape), dtype=torch.uint8)
        for place, key in enumerate(keys):
            image, mask = self[key]
            images[place] = torch.from_numpy(image)
            masks[place] = torch.from_numpy(mask)
        return Batch(images.permute(0, 3, 1, 2), masks, tuple(self.items(key[0])[key[1]] for key in keys))


def epoch_order(seed: int, epoch: int, num_samples: int) -> np.ndarray:
    """The order in which an epoch, a pass over all samples, takes them."""
    return np.random.default_rng((seed, epoch, 1 << 40)).permutation(num_samples)


class EpochKeys(Sampler[list[Key]]):
    """The keys of each batch of an epoch, shuffled by (seed, epoch); every sample comes exactly once.

    Batches are as even as can be: 10 samples at most 4 a batch become 4, 3 and 3, so no batch is a lone leftover.
    With `accumulate`, steps are given as batches of so many times the size would be, and each is cut into
    `batches_a_step` (fewer than `accumulate` where samples are few): large batches, seen piece by piece.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int, accumulate: int = 1) -> None:
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self.epoch, self.accumulate = 0, accumulate
        self.num_steps = max(1, -(-num_samples // (batch_size * accumulate)))
        largest = -(-num_samples // self.num_steps)
        self.batches_a_step = max(1, -(-largest // batch_size))
        self._sizes = [len(step) for step in self._steps(np.arange(num_samples))]
        self.sampler = (
            self  # Lightning calls set_epoch on a loader's batch_sampler.sampler, not on the batch sampler itself
        )

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(max(1, min(self.batches_a_step, size)) for size in self._sizes)

    def __iter__(self) -> Iterator[list[Key]]:
        for step in self._steps(epoch_order(self.seed, self.epoch, self.num_samples)):
            for batch in self._batches(step):
                yield [(self.epoch, int(number)) for number in batch]

    def share_of(self, batch: int) -> float:
        """What a batch's mean weighs in its step against an even share: samples, not batches, have the same say."""
        step, place = divmod(batch, self.batches_a_step)
        size = self._sizes[step]
        return len(self._batches(np.arange(size))[place]) * self.batches_a_step / size

    def _steps(self, order: np.ndarray) -> list[np.ndarray]:
        steps = np.array_split(order, self.num_steps)
        # single samples that don't come out even: the last step is smaller
        if 1 < self.batches_a_step > len(steps[-1]):
            steps = np.split(order, range(self.batches_a_step, len(order), self.batches_a_step))
        return steps

    def _batches(self, step: np.ndarray) -> list[np.ndarray]:
        return np.array_split(step, max(1, min(self.batches_a_step, len(step))))


class _Loader(DataLoader[Batch]):
    """A loader that raises what its workers found wrong."""

    def __iter__(self) -> Iterator[Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        try:
            for batch in super().__iter__():
                if isinstance(batch, MaskwrightError):
                    raise batch
                yield batch
        except RuntimeError as error:
            if not re.search("DataLoader worker.* (exited unexpectedly|killed)|/torch_.*: No space", str(error)):
                raise
            fix = "Lower --train.workers (0: no process of its own), --batch-size or --size."
            detail = "a process that prepares inputs was ended by the system, most likely for want of memory"
            raise TrainingError(f"training must have memory for its workers; {detail}. {fix}") from error


def train_loader(samples: TrainSamples, keys: Sampler[list[Key]], workers: int, pin: bool) -> DataLoader[Batch]:
    """A loader over whole batches; without workers the batch is made in this process."""
    cv2.setNumThreads(1)  # one sample is too small a job to share; the network needs the cores
    return _Loader(
        samples,
        batch_sampler=keys,
        num_workers=workers,
        collate_fn=_as_it_is,
        pin_memory=pin,
        persistent_workers=workers > 0,
        worker_init_fn=_quiet_worker if workers else None,
    )


def _as_it_is(batch: Any) -> Any:
    return batch


def _quiet_worker(_: int) -> None:
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
