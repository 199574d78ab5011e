"""Batches of training inputs: which samples an epoch has, and how they become one uint8 tensor.

A sample is named by (epoch, number); everything random about it follows from that and the seed, so
the number of workers, a resume, and the order of work change nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import torch
from torch.utils.data import DataLoader, Sampler
from torch.utils.data import Dataset as TorchDataset

from maskwright.data.augment import Op, augment, sample_rng
from maskwright.data.geometry import View
from maskwright.data.store import PixelStore

Key = tuple[int, int]  # epoch, number of the sample within it


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

    def to(self, device: torch.device, non_blocking: bool = True) -> Batch:
        images = self.images.to(device, non_blocking=non_blocking)
        return Batch(images, self.masks.to(device, non_blocking=non_blocking), self.items)


class TrainSamples(TorchDataset[Any]):
    """Augmented inputs by key; a list of keys gives a whole batch, filled in place."""

    def __init__(
        self, store: PixelStore, indices: Sequence[int], view: View, plan: Sequence[Op], seed: int, repeats: int
    ) -> None:
        self.store, self.view, self.plan, self.seed = store, view, tuple(plan), seed
        self.numbers = [index for index in indices for _ in range(repeats)]

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, key: Key) -> tuple[np.ndarray, np.ndarray]:
        epoch, number = key
        image, mask = self.store.get(self.numbers[number])
        return augment(image, mask, self.view, self.plan, sample_rng(self.seed, epoch, number))

    def __getitems__(self, keys: Sequence[Key]) -> Batch:
        size = self.view.size
        images = torch.empty((len(keys), size, size, self.store.bands.num_channels), dtype=torch.uint8)
        masks = torch.empty((len(keys), size, size), dtype=torch.uint8)
        for place, key in enumerate(keys):
            image, mask = self[key]
            images[place] = torch.from_numpy(image)
            masks[place] = torch.from_numpy(mask)
        return Batch(images.permute(0, 3, 1, 2), masks, tuple(self.numbers[number] for _, number in keys))


class EpochKeys(Sampler[list[Key]]):
    """The keys of each batch of an epoch, shuffled by (seed, epoch); every sample comes exactly once.

    Batches are as even as can be: 10 samples at most 4 a batch become 4, 3 and 3, so no batch is a lone leftover.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int, rank: int = 0, world: int = 1) -> None:
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self.rank, self.world, self.epoch = rank, world, 0
        self.sampler = self  # Lightning calls set_epoch on a loader's batch_sampler.sampler, not on the batch sampler itself

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def __len__(self) -> int:
        return max(1, -(-self.num_samples // (self.batch_size * self.world)))

    def __iter__(self) -> Iterator[list[Key]]:
        order = np.random.default_rng((self.seed, self.epoch, 1 << 40)).permutation(self.num_samples)
        for chunk in np.array_split(order, len(self) * self.world)[self.rank :: self.world]:
            yield [(self.epoch, int(number)) for number in chunk]


def train_loader(samples: TrainSamples, keys: EpochKeys, workers: int, pin: bool) -> DataLoader[Batch]:
    """A loader over whole batches; without workers the batch is made in this process."""
    cv2.setNumThreads(1)  # one sample is too small a job to share; the network needs the cores
    return DataLoader(
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
