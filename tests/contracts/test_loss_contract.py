"""What every loss must do: each entry of LOSSES, the auto mix and a weighted one."""

from __future__ import annotations

import math

import pytest
import torch

from maskwright.config import LossTerm
from maskwright.data.dataset import IGNORE
from maskwright.errors import ConfigError
from maskwright.losses import LOSSES, Loss, build_loss

MIXED = [LossTerm(name="ce", weight=0.5), LossTerm(name="dice", weight=2.0)]
ALL: dict[str, Loss] = {**LOSSES, "auto": build_loss("auto"), "mix": build_loss(MIXED)}
CLASSES = (2, 3, 5)


def masks(num_classes: int, ignored: float = 0.0, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    found = torch.randint(0, num_classes, (2, 7, 9), generator=generator, dtype=torch.uint8)
    return found.masked_fill(torch.rand(found.shape, generator=generator) < ignored, IGNORE)


def random_logits(num_classes: int, seed: int = 1) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, num_classes, 7, 9, generator=generator).requires_grad_()


def sure(labels: torch.Tensor, num_classes: int) -> torch.Tensor:
    """Logits that say these labels with great certainty; ignored pixels say class 0."""
    known = labels.long().masked_fill(labels == IGNORE, 0)
    return 20 * torch.nn.functional.one_hot(known, num_classes).permute(0, 3, 1, 2).float() - 10


def gradient(loss: Loss, logits: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    (found,) = torch.autograd.grad(loss(logits, truth), logits)
    return found


@pytest.mark.parametrize("num_classes", CLASSES)
@pytest.mark.parametrize("name", ALL)
class TestLoss:
    def test_one_number_that_can_be_learned_from(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        value = ALL[name](logits, truth)
        assert value.shape == () and value.dtype == torch.float32
        assert 0 < value.item() < math.inf
        found = gradient(ALL[name], logits, truth)
        assert torch.isfinite(found).all()
        assert found.abs().max() > 0

    def test_perfect_is_better_than_unsure_is_better_than_wrong(self, name: str, num_classes: int) -> None:
        truth = masks(num_classes, 0.2)
        wrong = torch.where(truth == IGNORE, truth, (truth + 1) % num_classes)
        perfect = ALL[name](sure(truth, num_classes), truth).item()
        unsure = ALL[name](torch.zeros(2, num_classes, 7, 9), truth).item()
        assert perfect < unsure < ALL[name](sure(wrong, num_classes), truth).item()
        assert perfect < 0.01

    def test_going_down_the_gradient_helps(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        found = gradient(ALL[name], logits, truth)
        with torch.no_grad():
            assert ALL[name](logits - 0.1 * found / found.norm(), truth) < ALL[name](logits, truth)

    def test_ignored_pixels_have_no_say(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.4)
        ignored = (truth == IGNORE).unsqueeze(1).expand_as(logits)
        found = gradient(ALL[name], logits, truth)
        assert (found[ignored] == 0).all()
        assert found[~ignored].abs().min() > 0
        elsewhere = torch.where(ignored, torch.full_like(logits, 7.0), logits)
        assert torch.equal(ALL[name](elsewhere, truth), ALL[name](logits, truth))

    def test_nothing_labelled_is_finite_and_teaches_nothing(self, name: str, num_classes: int) -> None:
        logits = random_logits(num_classes)
        nothing = torch.full((2, 7, 9), IGNORE, dtype=torch.uint8)
        assert torch.isfinite(ALL[name](logits, nothing))
        assert (gradient(ALL[name], logits, nothing) == 0).all()

    def test_absent_classes_are_finite(self, name: str, num_classes: int) -> None:
        logits = random_logits(num_classes)
        for only in range(num_classes):
            truth = torch.full((2, 7, 9), only, dtype=torch.uint8)
            assert torch.isfinite(ALL[name](logits, truth))
            assert torch.isfinite(gradient(ALL[name], logits, truth)).all()
            assert ALL[name](sure(truth, num_classes), truth) < 0.01

    def test_extreme_logits_are_finite(self, name: str, num_classes: int) -> None:
        truth = masks(num_classes, 0.2)
        for scale in (1e4, -1e4):
            logits = (sure(truth, num_classes) * scale).requires_grad_()
            assert torch.isfinite(ALL[name](logits, truth))
            assert torch.isfinite(gradient(ALL[name], logits, truth)).all()

    def test_inputs_are_left_alone(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        before = logits.detach().clone(), truth.clone()
        ALL[name](logits, truth).backward()
        assert torch.equal(logits, before[0]) and torch.equal(truth, before[1])


@pytest.mark.parametrize("name", LOSSES)
def test_a_name_builds_the_loss_itself(name: str) -> None:
    logits, truth = random_logits(3), masks(3)
    assert torch.equal(build_loss(name)(logits, truth), LOSSES[name](logits, truth))


def test_a_mix_is_its_weighted_sum() -> None:
    logits, truth = random_logits(3), masks(3)
    expected = 0.5 * LOSSES["ce"](logits, truth) + 2.0 * LOSSES["dice"](logits, truth)
    assert torch.allclose(build_loss(MIXED)(logits, truth), expected)
    assert torch.allclose(build_loss("auto")(logits, truth), LOSSES["ce"](logits, truth) + LOSSES["dice"](logits, truth))


def test_names_that_are_not_known_are_told_together() -> None:
    with pytest.raises(ConfigError) as refused:
        build_loss([LossTerm(name="dise"), LossTerm(name="ce"), LossTerm(name="bcee")])
    assert len(refused.value.problems) == 2
    assert "Did you mean dice" in refused.value.problems[0]
    with pytest.raises(ConfigError, match="at least one term"):
        build_loss([])
