"""torchvision's networks: their own answers, heads replaced, auxiliary loss, weights from the cache, one sentence
without.
"""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pytest
import torch
from resuming import resumed_like_uninterrupted
from torch_cache import cached

from maskwright import runtime
from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.models import PixelsConfig, TorchvisionArch, TorchvisionConfig, UnetConfig
from maskwright.data.dataset import ClassMap
from maskwright.data.loader import Batch
from maskwright.errors import ConfigError, ModelError
from maskwright.losses import build_loss
from maskwright.models import Segmenter, build_model
from maskwright.models.torchvision import LICENCES, WEIGHTS, build_torchvision
from maskwright.models.wrapper import MEAN, STD
from maskwright.training.module import training_loss

THREE = ClassMap(("a", "b", "c"), (0, 1, 2))
LRASPP, MOBILE = "lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large"


def wish(arch: str, **keys: Any) -> TorchvisionConfig:
    return TorchvisionConfig.model_validate({"arch": arch, "weights": "none", **keys})


@functools.cache
def coco(arch: str) -> Any:
    """The network as torchvision builds it for its COCO weights, with numbers of its own."""
    runtime.ensure_torchvision()
    from torchvision.models import get_model

    torch.manual_seed(3)
    options = {} if arch == LRASPP else {"aux_loss": True}
    return get_model(arch, weights=None, weights_backbone=None, num_classes=21, **options).eval()


@functools.cache
def built(arch: str) -> Segmenter:
    return build_model(wish(arch), THREE).eval()


def images(*shape: int) -> torch.Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def coco_weights(arch: str) -> Any:
    from torchvision.models import get_model_weights

    return get_model_weights(arch)["COCO_WITH_VOC_LABELS_V1"]


@pytest.mark.parametrize("arch", [LRASPP, MOBILE, "deeplabv3_resnet50"])
@torch.no_grad()
def test_logits_are_torchvisions_own(arch: str) -> None:
    """The same tensors in torchvision's network, whose forward is its own code; its heads take ours."""
    ours, theirs = built(arch), coco(arch)
    from torchvision.models import get_model

    options = {} if arch == LRASPP else {"aux_loss": True}
    theirs = get_model(arch, weights=None, weights_backbone=None, num_classes=3, **options).eval()
    theirs.load_state_dict(ours.net.state_dict())
    x = ours.normalise(images(2, 3, 48, 64))
    expected = theirs(x)
    found = ours.net.training_outputs(x)
    assert torch.equal(found[0][1], expected["out"]) and torch.equal(ours.net(x), expected["out"])
    if arch != LRASPP:
        assert found[1][0] == 0.4 and torch.equal(found[1][1], expected["aux"])


@pytest.mark.parametrize("arch", TorchvisionArch.__args__)
def test_every_architecture_is_built_with_new_heads(arch: str) -> None:
    """On paper: shapes alone."""
    with torch.device("meta"):
        net = build_torchvision(wish(arch), 4, 5)
        logits = net.eval()(torch.zeros(1, 4, 64, 96))
    assert logits.shape == (1, 5, 64, 96)
    assert all(layer.out_channels == 5 for layer in net.parts["head"])
    assert len(net.parts["head"]) == 2  # LR-ASPP has two; else the classifier's and the auxiliary head's
    inside = [id(p) for modules in net.parts.values() for module in modules for p in module.parameters()]
    assert len(inside) == len(set(inside)) and set(inside) == {id(p) for p in net.parameters()}


@pytest.mark.parametrize("num_channels", [3, 1, 5])
@pytest.mark.parametrize("arch", [LRASPP, MOBILE])
def test_coco_weights_come_from_the_cache(
    arch: str, num_channels: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through torchvision's loading code, hash and all; only the address is replaced (see torch_cache)."""
    state = coco(arch).state_dict()
    cached(tmp_path, monkeypatch, coco_weights(arch), state)
    model = build_model(wish(arch, weights="COCO_WITH_VOC_LABELS_V1"), THREE, num_channels)
    found = model.net.state_dict()
    assert found.keys() == state.keys()
    heads = {name for name in state if found[name].shape != state[name].shape and "backbone" not in name}
    assert all(found[name].shape[0] == 3 and state[name].shape[0] == 21 for name in heads)
    assert len(heads) == 4  # two heads, a weight and a bias each
    first = "backbone.0.0.weight"
    for name in state.keys() - heads - {first}:
        assert torch.equal(found[name], state[name]), name
    kernels = state[first]
    expected = {3: kernels, 1: kernels.sum(1, keepdim=True), 5: torch.cat([kernels, kernels[:, :2]], 1) * 0.6}[
        num_channels
    ]
    assert torch.allclose(found[first], expected)
    assert model.loaded is not None
    assert model.loaded.loaded == len(state) - 4 and set(model.loaded.fresh) == heads
    assert bool(model.loaded.adapted) == (num_channels != 3) and "COCO" in model.loaded.licence


def test_a_backbone_alone_comes_from_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    runtime.ensure_torchvision()
    from torchvision.models import MobileNet_V3_Large_Weights, mobilenet_v3_large

    torch.manual_seed(4)
    theirs = mobilenet_v3_large(weights=None, dilated=True)
    cached(tmp_path, monkeypatch, MobileNet_V3_Large_Weights.IMAGENET1K_V1, theirs.state_dict())
    model = build_model(wish(LRASPP, weights="imagenet-backbone"), THREE)
    backbone = model.net.get_submodule("backbone").state_dict()
    for name, value in theirs.features.state_dict().items():
        if name in backbone:
            assert torch.equal(backbone[name], value)
    assert model.loaded and "ImageNet" in model.loaded.licence and model.loaded.loaded == len(backbone)
    assert all(name.startswith("classifier.") for name in model.loaded.fresh)


def test_a_spoilt_file_and_none_at_all_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No network: the address leads nowhere, by its reserved ending."""
    file = cached(tmp_path, monkeypatch, coco_weights(LRASPP), {})
    file.unlink()
    with pytest.raises(ModelError) as refused:
        build_torchvision(wish(LRASPP, weights="COCO_WITH_VOC_LABELS_V1"), 3, 2)
    told = str(refused.value)
    assert told.startswith(
        "`model.weights` must be at hand or within reach; COCO_WITH_VOC_LABELS_V1 of lraspp_mobilenet_v3"
    )
    assert f"Put {file.name}" in told and str(file.parent) in told and "--weights none" in told
    assert len(told.splitlines()) == 1
    assert capsys.readouterr().out == ""  # torch.hub's remark on the download would spoil JSON
    file.write_bytes(b"half a file")
    with pytest.raises(ModelError, match="--weights none") as refused:
        build_torchvision(wish(LRASPP, weights="COCO_WITH_VOC_LABELS_V1"), 3, 2)
    assert len(str(refused.value).splitlines()) == 1


def test_weights_of_a_wrong_name_are_told_with_near_ones() -> None:
    with pytest.raises(ModelError, match=r"Unknown weights 'imagenet' in `model\.weights`\. Did you mean 'imagenet-b"):
        build_torchvision(wish(LRASPP, weights="imagenet"), 3, 2)
    assert set(WEIGHTS) - {"none"} <= LICENCES.keys()


def test_pixels_are_normalised_as_the_weights_were_trained() -> None:
    runtime.ensure_torchvision()
    for arch in TorchvisionArch.__args__:
        preset = coco_weights(arch).transforms()
        assert [255 * value for value in preset.mean] == pytest.approx(MEAN)
        assert [255 * value for value in preset.std] == pytest.approx(STD)


class TestAuxiliaryHead:
    def batch(self) -> Batch:
        masks = torch.randint(0, 3, (2, 32, 48), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
        return Batch(images(2, 3, 32, 48), masks, (0, 1))

    @torch.no_grad()
    def test_it_is_in_the_training_loss_with_its_weight_and_not_in_prediction(self) -> None:
        model, batch, loss = built(MOBILE), self.batch(), build_loss("ce")
        value, logits = training_loss(model, loss, batch)
        (_, own), (weight, auxiliary) = model.training_logits(batch.images)
        assert torch.equal(logits, own) and torch.equal(model(batch.images), own)
        assert value.item() == pytest.approx((loss(own, batch.masks) + 0.4 * loss(auxiliary, batch.masks)).item())
        assert weight == 0.4 and not torch.equal(auxiliary, own)
        ran: list[int] = []
        hook = model.net.get_submodule("aux_classifier").register_forward_hook(lambda *_: ran.append(1))
        model(batch.images)
        hook.remove()
        assert not ran

    @torch.no_grad()
    def test_without_one_the_loss_is_the_plain_one(self) -> None:
        batch, loss = self.batch(), build_loss("ce")
        for config in (wish(MOBILE, aux_weight=0), wish(LRASPP), UnetConfig(width=4, depth=2)):
            model = build_model(config, THREE).eval()
            assert len(model.training_logits(batch.images)) == 1
            assert not any("aux" in name for name, _ in model.named_parameters())
            assert torch.equal(training_loss(model, loss, batch)[0], loss(model(batch.images), batch.masks))

    def test_its_weight_is_settled_by_the_architecture(self) -> None:
        assert wish(MOBILE).aux_weight == 0.4 and wish(LRASPP).aux_weight == 0
        assert wish(MOBILE, aux_weight=0.25).aux_weight == 0.25
        assert Config.model_validate({"model": wish(LRASPP).model_dump()}).model == wish(LRASPP)
        with pytest.raises(
            ConfigError, match="aux_weight must be 0 for lraspp_mobilenet_v3_large, which has no auxiliary head"
        ):
            load_config(None, [("model", LRASPP, "--model"), ("model.aux_weight", "0.4", "--model.aux_weight")])


def test_the_shorthand_names_the_architecture() -> None:
    config = load_config(
        None, [("model", "deeplabv3_resnet50", "--model"), ("model.weights", "none", "--weights")]
    ).model
    assert config == TorchvisionConfig(arch="deeplabv3_resnet50", weights="none")
    with pytest.raises(ConfigError, match=r"Unknown model 'deeplabv3_resnet51'\. Did you mean 'deeplabv3_resnet50'"):
        load_config(None, [("model", "deeplabv3_resnet51", "--model")])


def test_a_batch_of_one_is_told_in_a_sentence() -> None:
    """DeepLabV3 pools its map to 1 × 1, and batch-norm has nothing to measure there."""
    model = build_model(wish(MOBILE), THREE).train()
    with pytest.raises(
        ModelError, match=r"`train\.batch_size` must leave batch-norm more than one value; got 1 of 32 × 32"
    ):
        model.training_logits(images(1, 3, 32, 32))


@pytest.mark.parametrize("arch", [MOBILE])
def test_trained_resumed_and_opened_again(arch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = resumed_like_uninterrupted(tmp_path, monkeypatch, "--model", arch, "--weights", "none")
    assert isinstance(run.config.model.pixels, PixelsConfig)  # kept with what normalised them
    assert run.config.model.model_copy(update={"pixels": "auto"}) == wish(arch)
