"""Each loss against torch's own, or against arithmetic done by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from maskwright.data.dataset import IGNORE
from maskwright.losses import binary_cross_entropy, cross_entropy, dice
from maskwright.losses.targets import one_hot


def batch(num_classes: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(num_classes)
    logits = torch.randn(3, num_classes, 6, 5, generator=generator)
    masks = torch.randint(0, num_classes, (3, 6, 5), generator=generator, dtype=torch.uint8)
    return logits, masks.masked_fill(torch.rand(masks.shape, generator=generator) < 0.3, IGNORE)


@pytest.mark.parametrize("num_classes", [2, 3, 9])
def test_ce_is_torchs(num_classes: int) -> None:
    logits, masks = batch(num_classes)
    assert torch.allclose(
        cross_entropy(logits, masks), functional.cross_entropy(logits, masks.long(), ignore_index=IGNORE)
    )


def test_bce_of_two_classes_is_torchs_on_the_difference() -> None:
    logits, masks = batch(2)
    valid = masks != IGNORE
    difference = (logits[:, 1] - logits[:, 0])[valid]
    expected = functional.binary_cross_entropy_with_logits(difference, masks[valid].float())
    assert torch.allclose(binary_cross_entropy(logits, masks), expected)


def test_bce_of_a_single_channel_is_that_of_its_sigmoid() -> None:
    """The form a sigmoid network's output takes: (0, z)."""
    z = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    masks = torch.randint(0, 2, (2, 4, 4), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    expected = functional.binary_cross_entropy(z[:, 0].sigmoid(), masks.float())
    assert torch.allclose(binary_cross_entropy(torch.cat([torch.zeros_like(z), z], dim=1), masks), expected)


@pytest.mark.parametrize("smoothing", [0.0, 0.2])
@pytest.mark.parametrize("weights", [None, [0.5, 1.0, 4.0, 0.0]], ids=["alike", "weighted"])
def test_bce_of_more_classes_is_torchs_on_the_softmax_one_against_the_rest(
    weights: list[float] | None, smoothing: float
) -> None:
    """In double precision; a pixel counts what its class does, as in ce."""
    logits, masks = batch(4)
    valid = masks != IGNORE
    truth = masks[valid].long()
    probabilities = logits.double().softmax(dim=1).permute(0, 2, 3, 1)[valid]
    target = functional.one_hot(truth, 4) * (1 - smoothing) + smoothing / 2
    pixels = functional.binary_cross_entropy(probabilities, target.double(), reduction="none").mean(dim=1)
    counts = torch.tensor(weights or [1.0] * 4, dtype=torch.float64)[truth]
    expected = (pixels * counts).sum() / counts.sum()
    assert binary_cross_entropy(logits, masks, weights, smoothing).item() == pytest.approx(expected.item(), rel=1e-5)


def test_bce_of_more_classes_by_hand_where_probabilities_round_to_one() -> None:
    """Sure of class 0 by 30 and wrong: −log p₁ = 30, −log(1 − p₀) = 30, −log(1 − p₂) = 0."""
    logits = torch.tensor([30.0, 0.0, -30.0]).view(1, 3, 1, 1)
    assert binary_cross_entropy(logits, row(1)).item() == pytest.approx(20)
    assert binary_cross_entropy(logits, row(0)).item() == pytest.approx(0, abs=1e-9)


def test_bce_of_more_classes_treats_two_as_bce_of_two_does() -> None:
    """A third class that is never there and never predicted adds a question that is always answered right."""
    logits, masks = batch(2)
    never = torch.full_like(logits[:, :1], -1e4)
    three = binary_cross_entropy(torch.cat([logits, never], dim=1), masks)
    assert three.item() == pytest.approx(2 / 3 * binary_cross_entropy(logits, masks).item(), rel=1e-5)


def log(*probabilities: float) -> torch.Tensor:
    """Logits of pixels in a row with these probabilities of class 1. → 1 2 1 W"""
    one = torch.tensor(probabilities)
    return torch.stack([(1 - one).log(), one.log()])[None, :, None]


def row(*labels: int) -> torch.Tensor:
    return torch.tensor(labels, dtype=torch.uint8)[None, None]


def test_dice_by_hand() -> None:
    """Class 1: overlap 0.9 + 0.6 = 1.5, predicted 0.9 + 0.2 + 0.6 = 1.7, truth 2. With + 1: (3 + 1) / (1.7 + 2 + 1) =
    4/4.7.
    """
    assert dice(log(0.9, 0.2, 0.6), row(1, 0, 1)).item() == pytest.approx(1 - 4 / 4.7)


def test_dice_by_hand_with_an_ignored_pixel() -> None:
    """Without the middle pixel: overlap 1.5, predicted 1.5, truth 2: (3 + 1) / (1.5 + 2 + 1) = 4/4.5."""
    assert dice(log(0.9, 0.2, 0.6), row(1, IGNORE, 1)).item() == pytest.approx(1 - 4 / 4.5)


def test_dice_by_hand_without_foreground() -> None:
    """Overlap 0, predicted 0.3, truth 0: (0 + 1) / (0.3 + 0 + 1)."""
    assert dice(log(0.1, 0.2), row(0, 0)).item() == pytest.approx(1 - 1 / 1.3)


def test_dice_is_over_the_batch_not_the_image() -> None:
    """Two images of a pixel, foreground in the first: overlap 0.8, predicted 0.8 + 0.4, truth 1: 2.6 / 3.2."""
    logits = torch.cat([log(0.8), log(0.4)])
    masks = torch.cat([row(1), row(0)])
    assert dice(logits, masks).item() == pytest.approx(1 - 2.6 / 3.2)


def test_dice_of_three_classes_by_hand() -> None:
    """Three pixels, truth 0 0 2, each with probabilities (.5 .25 .25), (.5 .25 .25), (.25 .25 .5); class 1 is absent.

    class 0: overlap 1, predicted 1.25, truth 2: (2 + 1) / (1.25 + 2 + 1) = 3/4.25
    class 2: overlap .5, predicted 1, truth 1: (1 + 1) / (1 + 1 + 1) = 2/3
    """
    pixels = torch.tensor([[0.5, 0.25, 0.25], [0.5, 0.25, 0.25], [0.25, 0.25, 0.5]])
    found = dice(pixels.log().T[None, :, None], row(0, 0, 2))
    assert found.item() == pytest.approx(((1 - 3 / 4.25) + (1 - 2 / 3)) / 2)


def test_one_hot() -> None:
    assert one_hot(row(0, 2, IGNORE), 3)[0, :, 0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
