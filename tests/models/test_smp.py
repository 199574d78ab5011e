"""Architectures of segmentation-models-pytorch: built by name, and refused in one sentence."""

from __future__ import annotations

import pytest
import torch

from maskwright.config import Config, SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models import build_model
from maskwright.models.smp import build_smp

TWO = ClassMap(("a", "b"), (0, 1))


def smp(**options: object) -> SmpConfig:
    return SmpConfig.model_validate({"encoder": "resnet18", "weights": "none", **options})


@pytest.mark.parametrize("arch", ["unet", "DeepLabV3Plus", "fpn"])
@torch.no_grad()
def test_architectures_take_any_size(arch: str) -> None:
    model = build_model(smp(arch=arch), TWO).eval()
    assert model(torch.zeros(1, 3, 33, 65, dtype=torch.uint8)).shape == (1, 2, 33, 65)


def test_the_shorthand_names_both() -> None:
    config = Config.model_validate({"model": "unet/resnet18"}).model
    assert isinstance(config, SmpConfig)
    assert (config.arch, config.encoder, config.weights) == ("unet", "resnet18", "imagenet")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"arch": "unett"}, r"`model\.arch`.*'unett'.*unet"),
        ({"encoder": "resnet43"}, r"`model\.encoder`.*'resnet43'.*resnet34.*tu-NAME"),
        ({"encoder": "tu-nothing_of_that_name"}, "unet/tu-nothing_of_that_name"),
    ],
)
def test_unknown_names_are_told_with_near_ones(options: dict[str, str], words: str) -> None:
    with pytest.raises(ModelError, match=words) as refused:
        build_smp(smp(**options), 3, 2)
    assert len(str(refused.value).splitlines()) == 1
    assert len(str(refused.value)) < 400


def test_weights_out_of_reach_are_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    """No network: the hub is told to stay offline, and its cache is an empty folder."""
    import huggingface_hub.constants as hub

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(ModelError) as refused:
        build_smp(smp(weights="imagenet"), 3, 2)
    told = str(refused.value)
    assert told.startswith("`model.weights` must be at hand or within reach; imagenet of resnet18 could not be loaded")
    assert "--weights none" in told
    assert len(told.splitlines()) == 1


def test_weights_of_a_wrong_name_are_not_blamed_on_the_network() -> None:
    """resnet18 has imagenet, ssl and swsl; going online would not help with `imagenett`."""
    with pytest.raises(ModelError, match="imagenett") as refused:
        build_smp(smp(weights="imagenett"), 3, 2)
    assert "Go online" not in str(refused.value)
    assert "imagenet" in str(refused.value).replace("imagenett", "")
