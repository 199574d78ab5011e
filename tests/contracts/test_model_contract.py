"""What every network must do, once inside the wrapper: each entry of MODELS, in each form of output."""

from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from maskwright.config.models import (
    CustomModelConfig,
    HfConfig,
    Resnet34UnetConfig,
    SmpConfig,
    TorchvisionConfig,
    UnetConfig,
)
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models import MODELS, Segmenter, build_model
from maskwright.training.average import update_bn_stats

TWO = ClassMap(("background", "piece"), (0, 255))
FIVE = ClassMap(tuple("abcde"), tuple(range(5)))
# a small one of each entry; a new entry needs a line here, else the first test fails
SMALL: dict[str, Any] = {
    "unet": UnetConfig(width=4, depth=3),
    "resnet34_unet": Resnet34UnetConfig(width=4),
    "smp": SmpConfig(arch="unet", encoder="resnet18", weights="none"),
    "torchvision": TorchvisionConfig(arch="deeplabv3_mobilenet_v3_large", weights="none"),
    "hf": HfConfig(arch="segformer", size="b0"),
    "custom": CustomModelConfig(source=f"{Path(__file__).parents[1] / 'own_code.py'}:Net", options={"width": 6}),
}
_BUILT: dict[tuple[str, str, int], Segmenter] = {}


def built(name: str, outputs: str = "softmax", classes: ClassMap = TWO) -> Segmenter:
    """Built once and in eval mode, with statistics of batch-norm under which answers differ; tests that train copy
    it.
    """
    key = (name, outputs, classes.num_classes)
    if key not in _BUILT:
        torch.manual_seed(0)
        model = build_model(SMALL[name].model_copy(update={"outputs": outputs}), classes)
        update_bn_stats(model, [images(4, 3, 64, 64, seed=2)])
        _BUILT[key] = model.eval()
    return _BUILT[key]


def images(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def test_every_model_has_a_small_one_here() -> None:
    assert SMALL.keys() == MODELS.keys()


@pytest.mark.parametrize("name", MODELS)
class TestModel:
    @pytest.mark.parametrize("size", [(1, 1), (17, 33), (40, 64), (64, 32)])
    @pytest.mark.parametrize(("outputs", "classes"), [("softmax", TWO), ("softmax", FIVE), ("sigmoid", TWO)])
    @torch.no_grad()
    def test_any_size_comes_back_as_logits_of_that_size(
        self, name: str, outputs: str, classes: ClassMap, size: tuple[int, int]
    ) -> None:
        logits = built(name, outputs, classes)(images(1, 3, *size))
        assert logits.shape == (1, classes.num_classes, *size)
        assert logits.dtype == torch.float32
        assert torch.isfinite(logits).all()
        assert torch.allclose(logits.softmax(dim=1).sum(dim=1), torch.ones(1, *size))

    @torch.no_grad()
    def test_an_image_that_fits_is_not_padded(self, name: str) -> None:
        model = built(name)
        image = images(1, 3, 2 * model.stride, model.stride)
        assert torch.equal(model(image), model.net(model.normalise(image)))

    @torch.no_grad()
    def test_padding_repeats_the_border(self, name: str) -> None:
        """As if the image had been continued by hand, then cut."""
        model = built(name)
        side = model.stride
        image = images(1, 3, side - 3, side - 5)
        by_hand = torch.nn.functional.pad(image.float(), (0, 5, 0, 3), mode="replicate").to(torch.uint8)
        assert torch.allclose(model(image), model(by_hand)[..., : side - 3, : side - 5], atol=1e-5)

    @torch.no_grad()
    def test_a_single_output_is_two_logits(self, name: str) -> None:
        model = built(name, "sigmoid")
        image = images(1, 3, model.stride, model.stride)
        z = model.net(model.normalise(image))
        logits = model(image)
        assert z.shape[1] == 1
        assert (logits[:, :1] == 0).all()
        assert torch.allclose(logits.softmax(dim=1)[:, 1:], z.sigmoid(), atol=1e-6)

    @torch.no_grad()
    def test_no_image_sees_another_of_its_batch(self, name: str) -> None:
        model = built(name)
        both = images(2, 3, 32, 32)
        assert torch.allclose(model(both)[1:], model(both[1:]), atol=1e-4)

    @torch.no_grad()
    def test_the_form_in_memory_changes_nothing(self, name: str) -> None:
        model = built(name)
        image = images(1, 3, 32, 32)
        assert torch.equal(model(image), model(image.contiguous(memory_format=torch.channels_last)))

    def test_gradients_reach_every_part(self, name: str) -> None:
        torch.manual_seed(0)
        model = build_model(SMALL[name], TWO).train()
        outputs = model.training_logits(images(2, 3, 64, 64))
        torch.stack([weight * logits.pow(2).mean() for weight, logits in outputs]).sum().backward()
        for part in ("encoder", "decoder", "head"):
            found = [parameter.grad for module in model.part(part) for parameter in module.parameters()]
            assert found and all(gradient is not None and torch.isfinite(gradient).all() for gradient in found)
            assert any(gradient.abs().sum() > 0 for gradient in found)

    def test_parts_are_all_there_is_and_each_parameter_is_in_one(self, name: str) -> None:
        model = built(name)
        inside = [
            id(p) for part in ("encoder", "decoder", "head") for module in model.part(part) for p in module.parameters()
        ]
        assert len(inside) == len(set(inside))
        assert set(inside) == {id(parameter) for parameter in model.parameters()}

    @pytest.mark.parametrize("frozen", ["encoder", "decoder", "head"])
    def test_gradients_reach_all_that_is_not_frozen_and_nothing_else(self, name: str, frozen: str) -> None:
        model = copy.deepcopy(built(name)).train()
        for module in model.part(frozen):
            module.requires_grad_(False)
        outputs = model.training_logits(images(2, 3, 64, 64))
        torch.stack([weight * logits.pow(2).mean() for weight, logits in outputs]).sum().backward()
        still = {id(parameter) for module in model.part(frozen) for parameter in module.parameters()}
        assert still
        for label, parameter in model.named_parameters():
            assert (parameter.grad is None) == (id(parameter) in still), label

    def test_logits_of_training_begin_with_the_networks_own(self, name: str) -> None:
        """In eval mode nothing is random, and they are those of prediction."""
        model, batch = built(name), images(2, 3, 64, 64)
        with torch.no_grad():
            (weight, logits), *others = model.training_logits(batch)
            assert weight == 1
            assert torch.equal(logits, model(batch))
        assert all(weight > 0 and found.shape == logits.shape for weight, found in others)

    @pytest.mark.parametrize("num_channels", [1, 2, 5])
    @torch.no_grad()
    def test_any_number_of_bands(self, name: str, num_channels: int) -> None:
        model = build_model(SMALL[name], FIVE, num_channels).eval()
        logits = model(images(1, num_channels, 33, 47))
        assert logits.shape == (1, 5, 33, 47) and torch.isfinite(logits).all()

    @torch.no_grad()
    def test_bf16_is_close_to_fp32(self, name: str) -> None:
        """Far closer than two images' answers are to each other."""
        model, image, other = built(name, "softmax", FIVE), images(1, 3, 64, 64), images(1, 3, 64, 64, seed=1)
        with torch.autocast("cpu", torch.bfloat16):
            logits = model(image)
        assert logits.dtype == torch.float32
        apart = (model(other) - model(image)).abs().mean()
        assert apart > 0.001 and (logits - model(image)).abs().mean() < 0.2 * apart

    @torch.no_grad()
    def test_weights_are_all_a_network_is(self, name: str) -> None:
        model = built(name)
        torch.manual_seed(99)
        other = build_model(SMALL[name], TWO).eval()
        image = images(1, 3, 32, 32)
        assert not torch.equal(other(image), model(image))
        other.load_state_dict(model.state_dict())
        assert torch.equal(other(image), model(image))
        assert not {"mean", "std"} & model.state_dict().keys()

    @torch.no_grad()
    def test_it_can_be_exported(self, name: str) -> None:
        """As a graph without Python, which answers other images of that size alike."""
        model, image = built(name), images(1, 3, 64, 64)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch's own: tracing is deprecated, and shapes are taken as constants
            traced = torch.jit.trace(model, image, check_trace=False)
        other = images(1, 3, 64, 64, seed=1)
        assert torch.allclose(traced(other), model(other), atol=1e-4)
        assert not torch.allclose(traced(other), model(image), atol=1e-4)

    def test_sigmoid_is_for_two_classes(self, name: str) -> None:
        with pytest.raises(ModelError, match="must be softmax for more than two classes; got sigmoid and 5"):
            build_model(SMALL[name].model_copy(update={"outputs": "sigmoid"}), FIVE)
