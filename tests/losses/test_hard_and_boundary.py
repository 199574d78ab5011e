"""topk and boundary against numpy and scikit-learn, and by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss
from torch.nn import functional

from maskwright.data.dataset import IGNORE
from maskwright.losses.pixelwise import boundary, cross_entropy, topk
from maskwright.losses.targets import hardest_first, nearness


def batch(num_classes: int = 4, ignored: float = 0.3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(2, num_classes, 11, 9, generator=generator)
    blocks = torch.randint(0, num_classes, (2, 4, 3), generator=generator, dtype=torch.uint8)
    masks = blocks.repeat_interleave(3, 1).repeat_interleave(3, 2)[:, :11, :9].contiguous()
    return logits, masks.masked_fill(torch.rand(masks.shape, generator=generator) < ignored, IGNORE)


def entropies(logits: torch.Tensor, masks: torch.Tensor) -> np.ndarray:
    """−log p of the true class of labelled pixels, in double precision."""
    of_all = -logits.double().log_softmax(1).numpy().transpose(0, 2, 3, 1)
    labelled = (masks != IGNORE).numpy()
    return of_all[labelled][np.arange(labelled.sum()), masks.numpy()[labelled]]


# ------------------------------------------------------------------ topk


@pytest.mark.parametrize("share", [0.001, 0.05, 0.2, 0.3, 0.5, 0.999, 1.0])
def test_topk_is_the_mean_of_numpys_largest(share: float) -> None:
    for seed in range(4):
        logits, masks = batch(seed=seed)
        worst = np.sort(entropies(logits, masks))[::-1]
        expected = worst[: math.ceil(round(share * len(worst), 6))].mean()
        assert topk(logits, masks, share=share).item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("threshold", [0.1, 0.5, 0.9])
def test_topk_takes_all_below_the_threshold_and_the_share_at_least(threshold: float) -> None:
    logits, masks = batch()
    worst = np.sort(entropies(logits, masks))[::-1]
    num = max(math.ceil(0.2 * len(worst)), int((worst > -math.log(threshold)).sum()))
    assert topk(logits, masks, share=0.2, threshold=threshold).item() == pytest.approx(worst[:num].mean(), rel=1e-5)


def test_topk_chooses_by_weight_and_is_a_weighted_mean() -> None:
    logits, masks = batch()
    weights = np.array([0.5, 1.0, 4.0, 0.0])
    found, own = entropies(logits, masks), weights[masks.numpy()[(masks != IGNORE).numpy()]]
    order = np.argsort(-found * own)[: math.ceil(0.2 * (own > 0).sum())]
    expected = (found * own)[order].sum() / own[order].sum()
    assert topk(logits, masks, weights.tolist(), share=0.2).item() == pytest.approx(expected, rel=1e-5)


def test_pixels_that_are_alike_are_chosen_alike() -> None:
    """An untrained network that says the same everywhere learns from every pixel, wherever it lies."""
    logits = torch.zeros(1, 3, 6, 6, requires_grad=True)
    (found,) = torch.autograd.grad(topk(logits, torch.ones(1, 6, 6, dtype=torch.uint8), share=0.1), logits)
    assert torch.allclose(found, found[..., :1, :1].expand_as(found)) and found.abs().max() > 0


def test_only_the_chosen_learn() -> None:
    logits, masks = batch(ignored=0.0)
    logits.requires_grad_()
    (found,) = torch.autograd.grad(topk(logits, masks, share=0.25), logits)
    assert (found.abs().amax(1) > 0).sum() == math.ceil(0.25 * masks.numel())


def test_hardest_first_is_numpys_order() -> None:
    """Also for floats far apart, below the smallest normal number, and zeros of either sign."""
    values = torch.cat(
        [torch.rand(500), torch.rand(50) * 1e-40, torch.rand(50) * 1e30, torch.zeros(3), -torch.zeros(3)]
    )
    values = values[torch.randperm(len(values), generator=torch.Generator().manual_seed(0))]
    valid = torch.rand(len(values), generator=torch.Generator().manual_seed(1)) < 0.7
    order = hardest_first(values, valid)
    assert sorted(order.tolist()) == list(range(len(values)))
    num = int(valid.sum())
    assert valid[order[:num]].all()
    assert np.array_equal(values[order[:num]].numpy(), np.sort(values[valid].numpy())[::-1])
    assert torch.equal(values[hardest_first(values.double(), valid)[:num]].abs(), values[order[:num]].abs())


# ------------------------------------------------------------------ boundary


def by_definition(mask: np.ndarray, width: int) -> np.ndarray:
    """Nearness, pixel by pixel: king's moves to the nearest pixel that touches one of another class."""
    height, across = mask.shape
    border = [
        (y, x)
        for y in range(height)
        for x in range(across)
        if mask[y, x] != IGNORE
        and any(
            mask[b, a] not in (IGNORE, mask[y, x])
            for b in range(max(0, y - 1), min(height, y + 2))
            for a in range(max(0, x - 1), min(across, x + 2))
        )
    ]
    near = np.zeros(mask.shape)
    for y in range(height):
        for x in range(across):
            distance = min((max(abs(y - b), abs(x - a)) for b, a in border), default=width)
            near[y, x] = max(0, width - distance) / width
    return near


@pytest.mark.parametrize("width", [1, 2, 3, 7, 64])
def test_nearness_is_what_it_says(width: int) -> None:
    for seed in range(3):
        _, masks = batch(seed=seed, ignored=0.3 * seed / 2)
        expected = np.stack([by_definition(mask, width) for mask in masks.numpy()])
        assert np.allclose(nearness(masks, width).numpy(), expected)


def test_nearness_by_hand() -> None:
    """Left and right halves: the two middle columns are the border."""
    mask = torch.tensor([[0, 0, 0, 0, 1, 1, 1, 1]] * 3, dtype=torch.uint8)[None]
    assert nearness(mask, 2)[0, 1].tolist() == [0, 0, 0.5, 1, 1, 0.5, 0, 0]
    assert nearness(mask, 1)[0, 0].tolist() == [0, 0, 0, 1, 1, 0, 0, 0]
    assert nearness(mask.masked_fill(mask == 1, IGNORE), 3).max() == 0  # where labels end is no border of classes
    assert nearness(torch.full((1, 4, 4), 254, dtype=torch.uint8), 3).max() == 0


def test_boundary_is_the_weighted_log_loss_of_scikit_learn() -> None:
    logits, masks = batch()
    labelled = (masks != IGNORE).numpy()
    weights = np.stack([1 + 4 * by_definition(mask, 3) for mask in masks.numpy()])[labelled]
    probabilities = logits.double().softmax(1).numpy().transpose(0, 2, 3, 1)[labelled]
    truth = masks.numpy()[labelled]
    expected = log_loss(truth, probabilities, sample_weight=weights, labels=range(4))
    assert boundary(logits, masks).item() == pytest.approx(expected, rel=1e-5)
    of_class = np.array([0.5, 2, 1, 0])
    expected = log_loss(truth, probabilities, sample_weight=weights * of_class[truth], labels=range(4))
    assert boundary(logits, masks, of_class.tolist()).item() == pytest.approx(expected, rel=1e-5)


def test_without_a_border_it_is_cross_entropy() -> None:
    logits, _ = batch()
    masks = torch.ones(2, 11, 9, dtype=torch.uint8)
    assert torch.allclose(boundary(logits, masks), cross_entropy(logits, masks), rtol=1e-6)


# ------------------------------------------------------------------ class weights of ce, beside torch and scikit-learn


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_weighted_and_smoothed_ce_is_torchs(smoothing: float) -> None:
    logits, masks = batch()
    weights = [0.5, 1.0, 4.0, 0.0]
    expected = functional.cross_entropy(
        logits, masks.long(), weight=torch.tensor(weights), ignore_index=IGNORE, label_smoothing=smoothing
    )
    assert torch.allclose(cross_entropy(logits, masks, weights, smoothing), expected)


def test_weighted_ce_is_the_log_loss_of_scikit_learn() -> None:
    logits, masks = batch()
    labelled = (masks != IGNORE).numpy()
    truth, weights = masks.numpy()[labelled], np.array([0.5, 1.0, 4.0, 2.0])
    probabilities = logits.double().softmax(1).numpy().transpose(0, 2, 3, 1)[labelled]
    expected = log_loss(truth, probabilities, sample_weight=weights[truth], labels=range(4))
    assert cross_entropy(logits, masks, weights.tolist()).item() == pytest.approx(expected, rel=1e-5)
