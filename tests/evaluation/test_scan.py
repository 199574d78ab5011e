"""The pass over a split: what runs beside what, in which order results come, and what is timed.

The predictor is a stand-in: only so can a test hold a GPU's way of working without one, and know when predictions run.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from maskwright.data.dataset import IGNORE
from maskwright.errors import DataError
from maskwright.evaluation import scan as scan_module
from maskwright.evaluation.calibration import Calibrator
from maskwright.evaluation.costs import PASSES, measure_latency
from maskwright.evaluation.scan import Scan
from maskwright.prediction.predictor import Predictor

SIDE = 8


class StandIn:
    """Predicts the image's first channel; notes whether anything was counted while it predicted."""

    def __init__(self, device: str, seconds: float = 0.0) -> None:
        self.device = SimpleNamespace(type=device)
        self.classes = SimpleNamespace(num_classes=2)
        self.seconds, self.busy, self.disturbed = seconds, 0, []

    def logits(self, pixels: np.ndarray) -> torch.Tensor:
        disturbed = self.busy > 0
        time.sleep(self.seconds)
        self.disturbed.append(disturbed or self.busy > 0)
        labels = torch.from_numpy(pixels[..., 0].astype(np.float32))
        return torch.stack([1 - labels, labels])[None]

    def labels(self, logits: torch.Tensor, threshold: float | None = None) -> np.ndarray:
        return logits.argmax(1)[0].numpy().astype(np.uint8)


def images(num: int) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Image n has n pixels of class 1, all of them predicted."""
    for index in range(num):
        mask = (np.arange(SIDE * SIDE) < index).reshape(SIDE, SIDE).astype(np.uint8)
        yield str(index), np.repeat(mask[..., None], 3, axis=2), mask


def scan_of(predictor: StandIn, folder: Path) -> Scan:
    def loss(logits: torch.Tensor, masks: torch.Tensor) -> torch.Tensor:
        return masks.float().sum()

    return Scan(cast(Predictor, predictor), loss, Calibrator(None, "none"), folder, None, 3)


@pytest.fixture
def slow_counting(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Counting that takes longer for earlier images, and says when it runs."""
    count, running = scan_module.count_image, []

    def slowly(name: str, *rest: Any) -> Any:
        for each in running:
            each.busy += 1
        time.sleep(0.03 if int(name) % 3 == 0 else 0.002)
        found = count(name, *rest)
        for each in running:
            each.busy -= 1
        return found

    monkeypatch.setattr(scan_module, "count_image", slowly)
    return running


@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_results_come_in_the_order_of_the_images(tmp_path: Path, slow_counting: list[Any], device: str) -> None:
    scan, told = scan_of(StandIn(device), tmp_path), []
    scan.look(images(30), 30, lambda done, total: told.append((done, total)))
    assert [found.images[0] for found in scan.counts] == [str(index) for index in range(30)]
    assert (
        [int(found.matrix[0, 1, 1]) for found in scan.counts] == list(range(30)) == [int(loss) for loss in scan.losses]
    )
    assert told == [(index + 1, 30) for index in range(30)]
    assert sorted(int(path.stem) for path in tmp_path.glob("*.png")) == list(range(30))


def test_an_image_without_labels_has_no_loss(tmp_path: Path) -> None:
    """By hand: pixels of class 1 are the loss here, so images 2 and 4 have a mean of 3, whatever lies between them."""
    found = list(images(5))
    name, pixels, mask = found[3]
    found[3] = (name, pixels, np.full_like(mask, IGNORE))
    scan = scan_of(StandIn("cpu"), tmp_path)
    scan.look(iter(found[2:]), 3)
    assert scan.losses == [2, None, 4] and scan.mean_loss == 3
    alone = scan_of(StandIn("cpu"), tmp_path)
    alone.look(iter(found[3:4]), 1)
    assert math.isnan(alone.mean_loss)


def test_on_a_cpu_nothing_runs_beside_a_prediction(tmp_path: Path, slow_counting: list[Any]) -> None:
    predictor = StandIn("cpu", 0.004)
    slow_counting.append(predictor)
    scan = scan_of(predictor, tmp_path)
    scan.look(images(14), 14)
    assert not any(predictor.disturbed)
    assert scan.last is not None and scan.last[..., 0].sum() == 13  # the last image is the one that is timed afterwards


def test_a_gpu_predicts_on_while_images_are_counted(tmp_path: Path, slow_counting: list[Any]) -> None:
    predictor = StandIn("cuda", 0.004)
    slow_counting.append(predictor)
    scan_of(predictor, tmp_path).look(images(40), 40)
    assert any(predictor.disturbed)


def test_the_next_image_is_read_in_another_thread_one_ahead(tmp_path: Path) -> None:
    reading: list[tuple[str, bool]] = []
    predictor = StandIn("cpu")

    def noted() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        for image in images(5):
            reading.append((image[0], threading.current_thread() is threading.main_thread()))
            assert int(image[0]) <= len(predictor.disturbed)
            yield image

    scan_of(predictor, tmp_path).look(noted(), 5)
    assert reading == [(str(index), False) for index in range(5)]


def test_an_image_that_cannot_be_read_is_told_as_it_is(tmp_path: Path) -> None:
    def broken() -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
        yield from images(2)
        raise DataError("`x` must be there; it is missing.")

    with pytest.raises(DataError, match="`x` must be there"):
        scan_of(StandIn("cpu"), tmp_path).look(broken(), 3)


@pytest.mark.parametrize(("seconds", "passes"), [(0.0, PASSES), (0.6, 2)])
def test_the_time_of_an_image_is_taken_in_a_few_bounded_passes(seconds: float, passes: int) -> None:
    """Fast networks are timed five times; of slow ones no pass is begun after half a second, but two are made."""
    predictor = StandIn("cpu", seconds)
    median, low, high = measure_latency(cast(Predictor, predictor), next(images(1))[1])
    assert len(predictor.disturbed) == passes
    assert 1000 * seconds <= low <= median <= high
