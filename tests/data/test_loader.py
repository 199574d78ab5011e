"""Batches: each sample once an epoch, another look each epoch, and workers that change nothing."""

from __future__ import annotations

import warnings
from collections import Counter

import cv2
import pytest
import torch

from maskwright import runtime
from maskwright.config.data import DataConfig
from maskwright.data.augment import resolve
from maskwright.data.geometry import View
from maskwright.data.loader import Batch, EpochKeys, TrainSamples, train_loader
from maskwright.data.opening import Opened, open_dataset
from maskwright.errors import DataError

VIEW = View("whole", 16)


@pytest.fixture(scope="module")
def opened(tiny_set) -> Opened:
    return open_dataset(DataConfig(root=str(tiny_set)))


@pytest.fixture(autouse=True)
def _threads_as_before():
    """train_loader takes OpenCV's threads away from the whole process; other tests get them back."""
    before = cv2.getNumThreads()
    yield
    cv2.setNumThreads(before)


def samples(opened: Opened, seed: int = 0, repeats: int = 2) -> TrainSamples:
    return TrainSamples(opened.store, opened.dataset.split("train"), VIEW, resolve("heavy"), seed, repeats)


@pytest.mark.parametrize(("count", "batch"), [(10, 4), (12, 4), (1, 4), (7, 1), (5, 64), (33, 8)])
def test_each_sample_comes_exactly_once_in_even_batches(count: int, batch: int) -> None:
    batches = list(EpochKeys(count, batch, 0))
    assert sorted(number for one in batches for _, number in one) == list(range(count))
    lengths = [len(one) for one in batches]
    assert max(lengths) <= batch
    assert max(lengths) - min(lengths) <= 1
    assert len(batches) == len(EpochKeys(count, batch, 0))


def test_several_processes_share_each_batch(opened: Opened) -> None:
    whole, parts = samples(opened), [samples(opened) for _ in range(3)]
    for rank, part in enumerate(parts):
        part.rank, part.world = rank, 3
    for keys in EpochKeys(len(whole), 6, 0):
        batch, dealt = whole.__getitems__(keys), [part.__getitems__(keys) for part in parts]
        assert isinstance(batch, Batch)
        for rank, part in enumerate(dealt):
            assert isinstance(part, Batch) and torch.equal(part.images, batch.images[rank::3])
        assert sum(len(part.items) for part in dealt if isinstance(part, Batch)) == len(batch.items)


def test_ten_at_most_four_a_batch_are_four_three_three() -> None:
    assert [len(one) for one in EpochKeys(10, 4, 0)] == [4, 3, 3]


def test_order_hangs_on_seed_and_epoch() -> None:
    def order(seed: int, epoch: int) -> list[int]:
        keys = EpochKeys(20, 4, seed)
        keys.set_epoch(epoch)
        assert {key[0] for one in keys for key in one} == {epoch}
        return [number for one in keys for _, number in one]

    assert order(0, 3) == order(0, 3)
    assert len({tuple(order(0, 3)), tuple(order(0, 4)), tuple(order(1, 3))}) == 3


def test_a_batch_holds_what_its_keys_say(opened: Opened) -> None:
    source = samples(opened)
    assert len(source) == 2 * len(opened.dataset.split("train"))
    batch = source.batch([(1, 5), (1, 0)])
    assert batch.images.shape == (2, 3, 16, 16) and batch.masks.shape == (2, 16, 16)
    assert batch.images.dtype == batch.masks.dtype == torch.uint8
    assert batch.images.is_contiguous(memory_format=torch.channels_last)
    assert batch.items == (opened.dataset.split("train")[2], opened.dataset.split("train")[0])
    for place, key in enumerate([(1, 5), (1, 0)]):
        image, mask = source[key]
        assert (batch.images[place].permute(1, 2, 0).numpy() == image).all()
        assert (batch.masks[place].numpy() == mask).all()
    moved = batch.to(torch.device("cpu"))
    assert (moved.images == batch.images).all() and moved.items == batch.items


def test_repeats_of_an_image_differ(opened: Opened) -> None:
    source = samples(opened)
    assert source.items(0)[0] == source.items(0)[1]
    assert (source[(0, 0)][0] != source[(0, 1)][0]).any()


def batches(opened: Opened, workers: int, epoch: int) -> list[Batch]:
    source = samples(opened)
    keys = EpochKeys(len(source), 5, 0)
    keys.set_epoch(epoch)
    return list(train_loader(source, keys, workers, pin=False))


def test_workers_change_nothing(opened: Opened) -> None:
    for one, two in zip(batches(opened, 0, 3), batches(opened, 2, 3), strict=True):
        assert one.items == two.items
        assert torch.equal(one.images, two.images)
        assert torch.equal(one.masks, two.masks)


def test_the_order_of_work_changes_nothing(opened: Opened) -> None:
    source, again = samples(opened), samples(opened)
    forwards = {number: source[(2, number)][0].tobytes() for number in range(len(source))}
    backwards = {number: again[(2, number)][0].tobytes() for number in reversed(range(len(again)))}
    assert forwards == backwards


def test_pixels_in_the_store_are_never_written_to(opened: Opened) -> None:
    before = [opened.store.get(index)[0].copy() for index in range(10)]
    list(train_loader(samples(opened), EpochKeys(12, 4, 0), 0, pin=False))
    assert all((opened.store.get(index)[0] == image).all() for index, image in enumerate(before))


def test_every_epoch_of_a_training_shows_other_inputs(opened: Opened) -> None:
    """Lightning must tell the keys which epoch it is; else augmentation repeats the first one for ever."""
    runtime.ensure_torchvision()
    import lightning.pytorch as pl

    seen: list[tuple[int, bytes]] = []

    class Watch(pl.LightningModule):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.zeros(1))

        def training_step(self, batch: Batch, _: int) -> torch.Tensor:
            seen.append((self.current_epoch, batch.images.numpy().tobytes()))
            return self.weight.sum()

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.1)

    source = samples(opened)
    trainer = pl.Trainer(
        max_epochs=3, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False, use_distributed_sampler=False,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Lightning's own remarks; training silences them too
        trainer.fit(Watch(), train_loader(source, EpochKeys(len(source), 6, 0), 0, pin=False))
    assert Counter(epoch for epoch, _ in seen) == {0: 2, 1: 2, 2: 2}
    assert len({pixels for _, pixels in seen}) == 6


def test_what_a_worker_finds_wrong_is_raised_as_one_sentence(make_set) -> None:
    """A file spoilt after it was looked at, decoded anew for each input: from a worker as from this process."""
    root = make_set(6)
    spoilt = open_dataset(DataConfig(root=str(root), cache="none"))
    for path in (root / "images").iterdir():
        path.write_bytes(b"no picture")
    for workers in (0, 1):
        with pytest.raises(DataError) as refused:
            list(train_loader(samples(spoilt), EpochKeys(4, 2, 0), workers, pin=False))
        assert "images/" in str(refused.value) and "Traceback" not in str(refused.value)
