"""Beside segmentation-models-pytorch's losses: equal where SMP's are right, and how SMP's differ where they are not.

These differences are why `maskwright.losses` has its own: a release of SMP that mends one fails the test that shows it.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch

from maskwright import runtime
from maskwright.data.dataset import IGNORE
from maskwright.losses import LOSSES
from maskwright.losses.overlap import dice, jaccard, lovasz, tversky
from maskwright.losses.pixelwise import binary_cross_entropy, cross_entropy, focal

runtime.ensure_torchvision()
from segmentation_models_pytorch import losses as smp  # noqa: E402
from segmentation_models_pytorch.losses._functional import softmax_focal_loss_with_logits  # noqa: E402

K = 5


def batch(num_classes: int = K, ignored: float = 0.3, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randn(3, num_classes, 8, 7, generator=generator).requires_grad_()
    masks = torch.randint(0, num_classes, (3, 8, 7), generator=generator, dtype=torch.uint8)
    return logits, masks.masked_fill(torch.rand(masks.shape, generator=generator) < ignored, IGNORE)


def agree(ours: torch.Tensor, theirs: torch.Tensor, logits: torch.Tensor) -> bool:
    """Whether they are equal in value and in gradient."""
    (of_ours,), (of_theirs,) = torch.autograd.grad(ours, logits), torch.autograd.grad(theirs, logits)
    return torch.allclose(ours, theirs, rtol=1e-5) and torch.allclose(of_ours, of_theirs, atol=1e-7)


def theirs_of(name: str, mode: str, **more: Any) -> Any:
    made = {"dice": smp.DiceLoss, "jaccard": smp.JaccardLoss, "tversky": smp.TverskyLoss}[name]
    if name == "tversky":
        more.update(alpha=0.3, beta=0.7)
    return made(mode, smooth=0.5, ignore_index=IGNORE, **more)


OVERLAP = {"dice": dice, "jaccard": jaccard, "tversky": tversky}


@pytest.mark.parametrize("name", OVERLAP)
class TestOverlap:
    def test_equal_when_every_class_is_there(self, name: str) -> None:
        logits, masks = batch()
        assert agree(OVERLAP[name](logits, masks), theirs_of(name, "multiclass")(logits, masks.long()), logits)

    def test_equal_with_class_weights(self, name: str) -> None:
        logits, masks = batch()
        weights = [0.5, 1.0, 2.0, 0.0, 3.0]
        theirs = theirs_of(name, "multiclass", class_weights=weights)(logits, masks.long())
        assert agree(OVERLAP[name](logits, masks, weights), theirs, logits)

    def test_equal_on_one_channel_with_foreground(self, name: str) -> None:
        z, masks = batch(2)[0].detach()[:, :1].requires_grad_(), batch(2)[1]
        ours = OVERLAP[name](torch.cat([torch.zeros_like(z), z], dim=1), masks)
        assert agree(ours, theirs_of(name, "binary")(z, masks.long().unsqueeze(1)), z)

    def test_theirs_counts_absent_classes_as_perfect(self, name: str) -> None:
        """Two of five classes there: theirs, and its gradient, is two fifths of ours."""
        logits, masks = batch()
        masks = torch.where(masks == IGNORE, masks, masks % 2)
        theirs = theirs_of(name, "multiclass")(logits, masks.long())
        assert agree(OVERLAP[name](logits, masks), theirs * K / 2, logits)

    def test_theirs_lets_false_positives_pass_where_there_is_no_foreground(self, name: str) -> None:
        logits, _ = batch(2)
        nothing = torch.zeros(3, 8, 7, dtype=torch.uint8)
        z = (logits[:, 1:] - logits[:, :1]).detach().requires_grad_()
        theirs = theirs_of(name, "binary")(z, nothing.long().unsqueeze(1))
        assert theirs == 0 and (torch.autograd.grad(theirs, z)[0] == 0).all()
        (found,) = torch.autograd.grad(OVERLAP[name](logits, nothing), logits)
        assert (found[:, 1] > 0).all()  # down the gradient, foreground goes


def test_lovasz_is_equal_with_ignored_pixels_and_absent_classes() -> None:
    for seed in range(5):
        logits, masks = batch(seed=seed)
        if seed % 2:
            masks = torch.where(masks == IGNORE, masks, masks % 3)
        assert agree(
            lovasz(logits, masks), smp.LovaszLoss("multiclass", ignore_index=IGNORE)(logits, masks.long()), logits
        )


def test_theirs_lovasz_is_no_number_when_nothing_is_labelled() -> None:
    logits, masks = batch()
    nothing = torch.full_like(masks, IGNORE)
    assert smp.LovaszLoss("multiclass", ignore_index=IGNORE)(logits, nothing.long()).shape != ()
    assert lovasz(logits, nothing) == 0


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_equal_on_one_channel(gamma: float) -> None:
    z, masks = batch(2)[0].detach()[:, :1].requires_grad_(), batch(2)[1]
    theirs = smp.FocalLoss("binary", gamma=gamma, ignore_index=IGNORE)(z, masks.long().unsqueeze(1))
    assert agree(focal(torch.cat([torch.zeros_like(z), z], dim=1), masks, gamma=gamma), theirs, z)


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_is_theirs_of_a_softmax_on_labelled_pixels(gamma: float) -> None:
    logits, masks = batch()
    labelled = masks != IGNORE
    pixels, truth = logits.permute(0, 2, 3, 1)[labelled], masks[labelled].long()
    assert agree(focal(logits, masks, gamma=gamma), softmax_focal_loss_with_logits(pixels, truth, gamma=gamma), logits)


def test_theirs_focal_of_classes_is_of_sigmoids_and_not_a_number_when_nothing_is_labelled() -> None:
    """A shift of all logits changes no prediction of a softmax; theirs changes with it."""
    logits, masks = batch()
    theirs = smp.FocalLoss("multiclass", ignore_index=IGNORE)
    assert not torch.allclose(theirs(logits, masks.long()), theirs(logits + 3, masks.long()))
    assert torch.allclose(focal(logits, masks), focal(logits + 3, masks), rtol=1e-5)
    assert torch.isnan(theirs(logits, torch.full_like(masks, IGNORE).long()))


def test_smoothed_ce_is_equal_without_ignored_pixels_and_theirs_shrinks_with_them() -> None:
    theirs = smp.SoftCrossEntropyLoss(smooth_factor=0.1, ignore_index=IGNORE)
    logits, masks = batch(ignored=0.0)
    assert agree(cross_entropy(logits, masks, smoothing=0.1), theirs(logits, masks.long()), logits)
    logits, masks = batch(ignored=0.5)
    labelled = (masks != IGNORE).float().mean()
    assert agree(cross_entropy(logits, masks, smoothing=0.1) * labelled, theirs(logits, masks.long()), logits)


def test_bce_of_one_channel_is_equal_without_ignored_pixels_and_theirs_shrinks_with_them() -> None:
    theirs = smp.SoftBCEWithLogitsLoss(ignore_index=IGNORE, smooth_factor=0.05)  # of each answer, so half of our share
    for ignored in (0.0, 0.5):
        z, masks = batch(2)[0].detach()[:, :1].requires_grad_(), batch(2, ignored)[1]
        ours = binary_cross_entropy(torch.cat([torch.zeros_like(z), z], dim=1), masks, smoothing=0.1)
        labelled = (masks != IGNORE).float().mean()
        assert agree(ours * labelled, theirs(z, masks.float().unsqueeze(1)), z)


def test_every_loss_is_beside_another() -> None:
    """Those not here are held against torch, numpy and scikit-learn in the files beside."""
    here = {"dice", "jaccard", "tversky", "lovasz", "focal", "ce", "bce"}
    assert set(LOSSES) - here == {"topk", "boundary"}
