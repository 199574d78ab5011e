"""Reliability, calibration error and temperature: by hand, and beside torchmetrics, scikit-learn and scipy."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from sklearn.calibration import calibration_curve

from maskwright import runtime
from maskwright.evaluation.calibration import (
    BINS,
    COOLEST,
    LEVELS,
    WARMEST,
    Calibrator,
    Reliability,
    confidence,
    fit_temperature,
    likelihood_loss,
)

runtime.ensure_torchvision()  # torchmetrics imports it
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error  # noqa: E402

RESOLUTION = 1 / LEVELS  # a pixel's confidence is known to within half of this


def random_logits(
    num_classes: int, height: int = 40, width: int = 56, seed: int = 0, scale: float = 2.0
) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, num_classes, height, width, generator=generator) * scale


def truth_of(logits: torch.Tensor, temperature: float, seed: int = 0, ignored: float = 0.0) -> np.ndarray:
    """Masks drawn from the probabilities at a temperature: calibrated there, and nowhere else."""
    rng = np.random.default_rng(seed)
    chances = (logits[0].double() / temperature).softmax(0).numpy()
    mask = (
        (np.cumsum(chances, 0) < rng.uniform(size=chances.shape[1:])).sum(0).clip(0, len(chances) - 1).astype(np.uint8)
    )
    mask[rng.uniform(size=mask.shape) < ignored] = 255
    return mask


def two_logits(probabilities: list[float]) -> torch.Tensor:
    """Logits 1 2 1 W whose foreground has these probabilities."""
    p = torch.tensor(probabilities, dtype=torch.float64)
    return torch.stack([torch.zeros_like(p), (p / (1 - p)).log()]).float().view(1, 2, 1, -1)


def measured(logits: torch.Tensor, truth: np.ndarray, temperature: float | None = None):
    calibrator = Calibrator(temperature)
    calibrator.add(logits, truth)
    return calibrator.result()


# ------------------------------------------------------------------ by hand


def test_calibration_error_by_hand():
    """Foreground probabilities 0.9 0.9 0.9 0.1 0.6: confidences 0.9 ×4 (bin 13), three right, and 0.6 (bin 9),
    wrong.
    """
    found = measured(two_logits([0.9, 0.9, 0.9, 0.1, 0.62]), np.array([[1, 1, 0, 0, 0]], np.uint8))
    filled = {place: each for place, each in enumerate(found.bins) if each.pixels}
    assert set(filled) == {9, 13}
    assert (filled[13].pixels, filled[9].pixels) == (4, 1)
    assert filled[13].confidence == pytest.approx(0.9, abs=RESOLUTION) and filled[13].accuracy == 0.75
    assert filled[9].confidence == pytest.approx(0.62, abs=RESOLUTION) and filled[9].accuracy == 0.0
    assert found.error == pytest.approx((4 * 0.15 + 1 * 0.62) / 5, abs=RESOLUTION)


def test_a_temperature_by_hand():
    """At temperature 2 the odds 9 : 1 become 3 : 1."""
    found = measured(two_logits([0.9] * 4), np.array([[1, 1, 1, 0]], np.uint8), temperature=2.0)
    assert found.error == pytest.approx(0.15, abs=RESOLUTION)
    assert found.error_after == pytest.approx(0.0, abs=RESOLUTION)


def test_ignored_pixels_are_left_out_and_nothing_left_has_no_error():
    logits = two_logits([0.9, 0.9, 0.2])
    ignoring = measured(logits, np.array([[1, 255, 255]], np.uint8), 3.0)
    assert ignoring.bins == measured(logits[..., :1], np.array([[1]], np.uint8), 3.0).bins
    nothing = measured(logits, np.full((1, 3), 255, np.uint8), 3.0)
    told = nothing.to_json()
    assert math.isnan(nothing.error) and told["ece"] is None and told["ece_after"] is None
    assert {each["pixels"] for each in told["bins"]} == {0} and told["bins"][0]["accuracy"] is None


def test_certain_and_even_pixels_fall_into_the_last_and_the_middle_bin():
    logits = torch.tensor([[[[0.0, 0.0]], [[100.0, 0.0]]]])
    filled = [place for place, each in enumerate(measured(logits, np.array([[1, 0]], np.uint8)).bins) if each.pixels]
    assert filled == [BINS // 2, BINS - 1]


def test_bins_tile_zero_to_one():
    bins = Reliability().bins
    assert (bins[0].low, bins[-1].high) == (0.0, 1.0)
    assert [each.high for each in bins[:-1]] == [each.low for each in bins[1:]]


@pytest.mark.parametrize("num_classes", [2, 5])
def test_images_add_up(num_classes):
    """Two images one after the other are one image of both."""
    logits = random_logits(num_classes)
    truth = truth_of(logits, 3.0, ignored=0.1)
    parts = Calibrator(1.5)
    for half in (slice(0, 13), slice(13, None)):
        parts.add(logits[:, :, half], truth[half])
    assert parts.result() == measured(logits, truth, 1.5)


# ------------------------------------------------------------------ oracles


@pytest.mark.parametrize("num_classes", [2, 3, 19])
@pytest.mark.parametrize("temperature", [1.0, 0.4, 2.5])
@pytest.mark.parametrize("channels_last", [False, True])
def test_agrees_with_torchmetrics(num_classes, temperature, channels_last):
    logits = random_logits(num_classes)
    truth = truth_of(logits, 2.0, ignored=0.2)
    if channels_last:
        logits = logits.contiguous(memory_format=torch.channels_last)
    flat = (logits[0].flatten(1).T / temperature).softmax(1)
    theirs = multiclass_calibration_error(
        flat, torch.from_numpy(truth).flatten().long(), num_classes, n_bins=BINS, norm="l1", ignore_index=255
    )
    assert measured(logits, truth, temperature).error_after == pytest.approx(float(theirs), abs=2e-5)
    assert float(theirs) > 0.005  # there is something to find


def test_torchmetrics_binary_means_another_thing():
    """Theirs bins the foreground's probability and its frequency; ours the confidence of the class predicted, as for
    many.
    """
    logits = two_logits([0.9, 0.2])
    truth = np.array([[1, 1]], np.uint8)
    theirs = binary_calibration_error(torch.tensor([0.9, 0.2]), torch.tensor([1, 1]), n_bins=BINS, norm="l1")
    assert float(theirs) == pytest.approx((0.1 + 0.8) / 2, abs=1e-6)
    assert measured(logits, truth).error == pytest.approx((0.1 + 0.8) / 2, abs=RESOLUTION)
    both_ways = torch.tensor([0.9, 0.1]), torch.tensor([1, 1])  # to us two pixels of confidence 0.9, one of them right
    assert float(binary_calibration_error(*both_ways, n_bins=BINS, norm="l1")) == pytest.approx(0.5, abs=1e-6)
    assert measured(two_logits([0.9, 0.1]), truth).error == pytest.approx(0.4, abs=RESOLUTION)


@pytest.mark.parametrize("num_classes", [2, 4])
def test_the_curve_agrees_with_scikit_learn(num_classes):
    logits = random_logits(num_classes)
    truth = truth_of(logits, 2.0)
    shares, top = logits[0].double().softmax(0).max(0)
    right = (top.numpy() == truth).ravel()
    accuracy, mean = calibration_curve(right, shares.numpy().ravel(), n_bins=BINS, strategy="uniform")
    filled = [each for each in measured(logits, truth).bins if each.pixels]
    # a pixel on an edge may change bins
    np.testing.assert_allclose([each.accuracy for each in filled], accuracy, atol=2e-3)
    np.testing.assert_allclose([each.confidence for each in filled], mean, atol=1e-4)


@pytest.mark.parametrize("num_classes", [2, 7])
@pytest.mark.parametrize("drawn_at", [0.3, 1.0, 4.0])
def test_the_temperature_is_scipys(num_classes, drawn_at):
    logits = random_logits(num_classes)
    flat, truth = logits[0].flatten(1).T.numpy(), truth_of(logits, drawn_at).ravel().astype(np.int64)
    ours = fit_temperature(flat, truth)
    assert ours is not None
    theirs: Any = minimize_scalar(lambda t: likelihood_loss(flat, truth, t), bounds=(COOLEST, WARMEST),
                             method="bounded", options={"xatol": 1e-7})  # fmt: skip
    assert ours == pytest.approx(theirs.x, rel=1e-4)
    assert ours == pytest.approx(drawn_at, rel=0.1)  # and the one the masks were drawn at
    reference = torch.nn.functional.cross_entropy(torch.from_numpy(flat).double() / ours, torch.from_numpy(truth))
    assert likelihood_loss(flat, truth, ours) == pytest.approx(float(reference), abs=1e-9)


def test_a_fitted_temperature_mends_the_error():
    logits = random_logits(3, 128, 128)
    truth = truth_of(logits, 3.0)
    fitted = fit_temperature(logits[0].flatten(1).T.numpy(), truth.ravel().astype(np.int64))
    found = measured(logits, truth, fitted)
    assert found.error_after is not None and found.error > 0.15 and found.error_after < 0.02


def test_no_temperature_where_all_is_right_or_all_is_wrong():
    logits = np.array([[0.0, 3.0], [0.0, -1.0]], np.float32)
    assert fit_temperature(logits, np.array([1, 0])) is None
    assert fit_temperature(logits, np.array([0, 1])) is None
    assert fit_temperature(np.zeros((3, 4), np.float32), np.array([0, 1, 2])) is None  # and where nothing is known


def test_extreme_logits_are_finite():
    rng = np.random.default_rng(0)
    logits = (rng.normal(size=(2000, 3)) * 1e4).astype(np.float32)
    truth = np.where(rng.uniform(size=2000) < 0.9, logits.argmax(1), rng.integers(0, 3, 2000))
    assert fit_temperature(logits, truth) is None  # it would lie far above 20
    assert math.isfinite(likelihood_loss(logits, truth))
    logits /= 1e3
    found = fit_temperature(logits, truth)
    assert found is not None and likelihood_loss(logits, truth, found) < likelihood_loss(logits, truth)


# ------------------------------------------------------------------ bounded cost


def test_a_lattice_of_many_classes_tells_nearly_the_same():
    """640 × 800 of 19 classes is looked at in every third pixel of every third row; the error hardly differs."""
    smooth = torch.nn.functional.interpolate(random_logits(19, 80, 100), size=(640, 800), mode="bilinear") * 2
    truth = truth_of(smooth, 2.0, ignored=0.05)
    found = measured(smooth, truth)
    assert all(each.pixels % 9 == 0 for each in found.bins)  # so it was sampled
    flat = smooth[0].flatten(1).T.softmax(1)
    exact = multiclass_calibration_error(
        flat, torch.from_numpy(truth).flatten().long(), 19, BINS, "l1", ignore_index=255
    )
    assert found.error == pytest.approx(float(exact), abs=0.01)
    labelled = int((truth != 255).sum())
    # each stands for its neighbours
    assert sum(each.pixels for each in found.bins) == pytest.approx(labelled, rel=0.01)


def test_two_classes_are_never_sampled():
    logits = random_logits(2, 1100, 1000)
    assert sum(each.pixels for each in measured(logits, np.zeros((1100, 1000), np.uint8)).bins) == 1_100_000


def test_a_network_that_gives_nan_does_not_stop_the_counting():
    logits = torch.full((1, 3, 4, 4), math.nan)
    assert sum(each.pixels for each in measured(logits, np.zeros((4, 4), np.uint8)).bins) == 16


def test_confidence_is_the_largest_probability():
    for num_classes in (2, 6):
        logits = random_logits(num_classes)[0]
        for temperature in (1.0, 0.5, 3.0):
            expected = (logits.double() / temperature).softmax(0).amax(0)
            np.testing.assert_allclose(confidence(logits, temperature), expected, atol=1e-6)
