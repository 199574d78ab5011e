"""What every loss must do: each entry of LOSSES as it is and with other parameters, the auto mix and a weighted one."""

from __future__ import annotations

import inspect
import itertools
import math
from pathlib import Path
from typing import get_args

import pytest
import torch

from maskwright.config import Config
from maskwright.config.losses import LOSS_SECTIONS, CeTerm, DiceTerm, LossName
from maskwright.data.dataset import IGNORE
from maskwright.errors import ConfigError
from maskwright.losses import LOSSES, Loss, build_loss

MIXED = [CeTerm(weight=0.5), DiceTerm(weight=2.0)]
# parameters far from the defaults; a perfect prediction costs what smoothing asks for, so that is left out here
OTHERS = {
    "tversky-recall": {"name": "tversky", "alpha": 0.1, "beta": 2.0},
    "focal-half": {"name": "focal", "gamma": 0.5},
    "focal-zero": {"name": "focal", "gamma": 0.0},
    "topk-few": {"name": "topk", "share": 0.05},
    "topk-all": {"name": "topk", "share": 1.0},
    "topk-ohem": {"name": "topk", "share": 0.05, "threshold": 0.7},
    "own": f"{Path(__file__).parents[1] / 'own_code.py'}:loss",
    "boundary-wide": {"name": "boundary", "width": 12, "strength": 0.5},
}
SMOOTHED = {f"{name}-smoothed": {"name": name, "smoothing": 0.2} for name in ("ce", "bce")}


def of(*terms: object) -> Loss:
    """The loss of terms written as in YAML."""
    loss = Config.model_validate({"loss": list(terms)}).loss
    return build_loss(loss)


SHARP: dict[str, Loss] = {
    **LOSSES,
    "auto": build_loss("auto"),
    "mix": build_loss(MIXED),
    **{k: of(v) for k, v in OTHERS.items()},
}
ALL: dict[str, Loss] = {**SHARP, **{name: of(term) for name, term in SMOOTHED.items()}}
# easy pixels may have no gradient: that is their point
SELECTIVE = {name for name in ALL if name.startswith(("topk", "lovasz"))}
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
        bad = ALL[name](sure(wrong, num_classes), truth).item()
        assert perfect < bad
        if name not in SMOOTHED:  # which punish certainty, too
            assert perfect < 0.01 and perfect < unsure < bad

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
        assert name in SELECTIVE or found[~ignored].abs().min() > 0
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
            assert name in SMOOTHED or ALL[name](sure(truth, num_classes), truth) < 0.01

    def test_extreme_logits_are_finite(self, name: str, num_classes: int) -> None:
        truth = masks(num_classes, 0.2)
        for scale in (1e4, -1e4):
            logits = (sure(truth, num_classes) * scale).requires_grad_()
            assert torch.isfinite(ALL[name](logits, truth))
            assert torch.isfinite(gradient(ALL[name], logits, truth)).all()

    def test_it_is_of_the_probabilities(self, name: str, num_classes: int) -> None:
        """Validation and evaluation have only the logarithm of probabilities, where an image was resized."""
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        value = ALL[name](logits, truth)
        assert torch.allclose(ALL[name](logits.log_softmax(dim=1), truth), value, rtol=1e-5)
        assert torch.allclose(ALL[name](logits + torch.randn(2, 1, 7, 9), truth), value, rtol=1e-4)

    def test_one_pixel_is_enough(self, name: str, num_classes: int) -> None:
        truth = torch.ones(1, 1, 1, dtype=torch.uint8)
        logits = random_logits(num_classes).detach()[:1, :, :1, :1].requires_grad_()
        assert torch.isfinite(ALL[name](logits, truth)) and torch.isfinite(gradient(ALL[name], logits, truth)).all()
        assert ALL[name](sure(truth, num_classes), truth) < ALL[name](sure(0 * truth, num_classes), truth)
        nothing = torch.full_like(truth, IGNORE)
        assert torch.isfinite(ALL[name](logits, nothing)) and (gradient(ALL[name], logits, nothing) == 0).all()

    def test_what_is_not_a_number_shows(self, name: str, num_classes: int) -> None:
        """Training stops at a loss that is not finite; a loss that hid one pixel's would let the weights be spoilt."""
        logits, truth = random_logits(num_classes).detach(), masks(num_classes)
        logits[1, 1, 3, 4] = math.nan
        assert torch.isnan(ALL[name](logits, truth))

    def test_inputs_are_left_alone(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        before = logits.detach().clone(), truth.clone()
        ALL[name](logits, truth).backward()
        assert torch.equal(logits, before[0]) and torch.equal(truth, before[1])

    def test_the_order_of_images_and_the_layout_in_memory_change_nothing(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        value, found = ALL[name](logits, truth), gradient(ALL[name], logits, truth)
        turned = logits.detach().flip(0).requires_grad_()
        assert torch.allclose(ALL[name](turned, truth.flip(0)), value, rtol=1e-5)
        assert torch.allclose(gradient(ALL[name], turned, truth.flip(0)).flip(0), found, atol=1e-7)
        last = logits.detach().contiguous(memory_format=torch.channels_last).requires_grad_()
        assert torch.allclose(ALL[name](last, truth), value, rtol=1e-5)
        assert torch.allclose(gradient(ALL[name], last, truth), found, atol=1e-7)

    def test_its_gradient_is_that_of_finite_differences(self, name: str, num_classes: int) -> None:
        logits = random_logits(num_classes).detach()[:, :, :3, :4].double().requires_grad_()
        truth = masks(num_classes, 0.2)[:, :3, :4].contiguous()
        assert torch.autograd.gradcheck(lambda given: ALL[name](given, truth), (logits,))

    def test_arithmetic_of_bf16_around_it_changes_nothing(self, name: str, num_classes: int) -> None:
        """Training calls the loss under autocast, with float32 logits."""
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        with torch.autocast("cpu", torch.bfloat16):
            under = ALL[name](logits, truth)
        assert under.dtype == torch.float32 and torch.equal(under, ALL[name](logits, truth))

    def test_nothing_is_fetched_from_the_device(self, name: str, num_classes: int) -> None:
        """On the meta device a tensor has no values: whoever asks for one fails, as a GPU would be waited for."""
        logits = torch.empty(2, num_classes, 7, 9, device="meta", requires_grad=True)
        ALL[name](logits, torch.empty(2, 7, 9, dtype=torch.uint8, device="meta")).backward()
        assert logits.grad is not None and logits.grad.shape == logits.shape


@pytest.mark.parametrize("name", ALL)
def test_a_sigmoid_network_sees_the_same(name: str) -> None:
    """One channel z comes as (0, z); any two logits z apart are the same prediction."""
    z = torch.randn(2, 1, 7, 9, generator=torch.Generator().manual_seed(3)).requires_grad_()
    truth = masks(2, 0.2)
    one = ALL[name](torch.cat([torch.zeros_like(z), z], dim=1), truth)
    two = ALL[name](torch.cat([-z / 2, z / 2], dim=1), truth)
    assert torch.allclose(one, two, rtol=1e-5)
    (of_one,), (of_two,) = torch.autograd.grad(one, z), torch.autograd.grad(two, z)
    assert torch.allclose(of_one, of_two, atol=1e-7)


# ------------------------------------------------------------------ class weights


WEIGHTED = [name for name in LOSSES if "class_weights" in LOSS_SECTIONS[name].model_fields]


@pytest.mark.parametrize("num_classes", [3, 5])
@pytest.mark.parametrize("name", WEIGHTED)
class TestClassWeights:
    def test_equal_weights_are_none(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        alike = of({"name": name, "class_weights": [2.5] * num_classes})
        assert torch.allclose(alike(logits, truth), LOSSES[name](logits, truth), rtol=1e-5)

    def test_a_heavier_class_pulls_the_loss_towards_its_own(self, name: str, num_classes: int) -> None:
        """Class 0 is right and class 1 wrong: the more class 1 counts, the worse."""
        truth = (torch.arange(2 * 7 * 9).view(2, 7, 9) % 2).to(torch.uint8)
        logits = sure(torch.zeros_like(truth), num_classes) / 4
        found = []
        for weight in (0.0, 0.5, 1.0, 3.0):
            loss = of({"name": name, "class_weights": [1.0, weight, *[1.0] * (num_classes - 2)]})
            found.append(loss(logits, truth).item())
        # topk's worst are of class 1 throughout
        assert all(more >= less - 1e-5 for less, more in itertools.pairwise(found))
        assert found[0] < found[-1]

    def test_what_weighs_nothing_is_finite(self, name: str, num_classes: int) -> None:
        """A batch of the one class that weighs nothing."""
        logits, truth = random_logits(num_classes), torch.zeros(2, 7, 9, dtype=torch.uint8)
        loss = of({"name": name, "class_weights": [0.0, *[1.0] * (num_classes - 1)]})
        assert torch.isfinite(loss(logits, truth))
        assert (gradient(loss, logits, truth) == 0).all()

    def test_ignored_pixels_have_no_say_here_either(self, name: str, num_classes: int) -> None:
        logits, truth = random_logits(num_classes), masks(num_classes, 0.4)
        loss = of({"name": name, "class_weights": [0.5, 2.0, *[1.0] * (num_classes - 2)]})
        assert (gradient(loss, logits, truth)[(truth == IGNORE).unsqueeze(1).expand_as(logits)] == 0).all()

    def test_their_gradient_is_that_of_finite_differences(self, name: str, num_classes: int) -> None:
        logits = random_logits(num_classes).detach()[:, :, :3, :4].double().requires_grad_()
        truth = masks(num_classes, 0.2)[:, :3, :4].contiguous()
        loss = of({"name": name, "class_weights": [0.5, 2.0, *[1.0] * (num_classes - 2)]})
        assert torch.autograd.gradcheck(lambda given: loss(given, truth), (logits,))

    def test_weights_first_used_while_evaluating_serve_training(self, name: str, num_classes: int) -> None:
        """Tensors made in inference mode can't be trained with, and weights are kept from call to call."""
        logits, truth = random_logits(num_classes), masks(num_classes, 0.2)
        loss = of({"name": name, "class_weights": [0.123, *[1.0] * (num_classes - 1)]})
        with torch.inference_mode():
            loss(logits.detach().clone(), truth)
        assert torch.isfinite(gradient(loss, logits, truth)).all()


@pytest.mark.parametrize("name", ["dice", "jaccard", "tversky", "lovasz"])
def test_overlap_of_two_classes_is_that_of_the_foreground_as_if_weighed_0_and_1(name: str) -> None:
    for truth in (masks(2, 0.2), torch.zeros(2, 7, 9, dtype=torch.uint8)):  # foreground present or not
        logits = random_logits(2)
        assert torch.allclose(of({"name": name, "class_weights": [0, 1]})(logits, truth), LOSSES[name](logits, truth))
        swapped = torch.where(truth == IGNORE, truth, 1 - truth)
        assert torch.allclose(
            of({"name": name, "class_weights": [1, 0]})(logits, truth), LOSSES[name](logits.flip(1), swapped)
        )


# ------------------------------------------------------------------ names and parameters


def test_sections_functions_and_names_are_of_one_mind() -> None:
    """What the configuration takes is what the function takes, to the defaults."""
    assert list(LOSSES) == list(LOSS_SECTIONS) == list(get_args(LossName))
    for name, section in LOSS_SECTIONS.items():
        parameters = list(inspect.signature(LOSSES[name]).parameters.values())[2:]
        fields = {key: field.default for key, field in section.model_fields.items() if key not in ("name", "weight")}
        assert {one.name: one.default for one in parameters} == fields
        assert section.model_fields["name"].default == name and (section.__doc__ or "").strip()
        assert list(section.model_fields)[:3] == ["name", "weight", "class_weights"]  # as a run writes them down


@pytest.mark.parametrize("name", LOSSES)
def test_a_name_builds_the_loss_itself(name: str) -> None:
    logits, truth = random_logits(3), masks(3)
    for built in (build_loss(name), build_loss(Config.model_validate({"loss": name}).loss)):
        assert torch.equal(built(logits, truth), LOSSES[name](logits, truth))


def test_a_mix_is_its_weighted_sum() -> None:
    logits, truth = random_logits(3), masks(3)
    expected = 0.5 * LOSSES["ce"](logits, truth) + 2.0 * LOSSES["dice"](logits, truth)
    assert torch.allclose(build_loss(MIXED)(logits, truth), expected)
    assert torch.allclose(
        build_loss("auto")(logits, truth), LOSSES["ce"](logits, truth) + LOSSES["dice"](logits, truth)
    )


def test_parameters_reach_the_function() -> None:
    logits, truth = random_logits(3), masks(3)
    found = of({"name": "tversky", "alpha": 1.0, "beta": 1.0})(logits, truth)
    assert torch.allclose(found, LOSSES["jaccard"](logits, truth))
    for term in (term for term in (*OTHERS.values(), *SMOOTHED.values()) if isinstance(term, dict)):
        assert not torch.allclose(of(term)(logits, truth), LOSSES[str(term["name"])](logits, truth))


def test_a_name_that_is_not_known_is_refused() -> None:
    with pytest.raises(ConfigError, match="Did you mean 'dice'"):
        build_loss("dise")
