"""What a person is told of the rate a transformer is trained at, and of pixels that a file of weights does not tell."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.config.models import HfConfig, SmpConfig, UnetConfig
from maskwright.models import build_model
from maskwright.runs import Run
from maskwright.training.initial_weights import rate_notes
from support import data, maskwright

MIT = SmpConfig(encoder="mit_b0")
MASK2FORMER = HfConfig(arch="mask2former")


@pytest.mark.parametrize(
    ("model", "optim", "told"),
    [
        (MIT, {}, "optim.lr 0.002 is much for a pretrained transformer"),
        (SmpConfig(arch="dpt", encoder="tu-vit_tiny_patch16_224"), {}, "a pretrained transformer"),
        (HfConfig(weights="nvidia/mit-b0"), {"lr": 1e-3}, "optim.lr 0.001 is much for a pretrained transformer"),
        (MASK2FORMER, {}, "optim.lr is 0.0001 with mask2former, as in its paper"),
        (MASK2FORMER, {"lr": 2e-3}, "optim.lr 0.002 is much for mask2former, whose paper takes 0.0001"),
        (MASK2FORMER, {"lr": 3e-4}, None),
        # from scratch, SegFormer and unet/mit_b0 learn better at 2e-3 than at 1e-4
        (HfConfig(), {}, None),
        (MIT.model_copy(update={"weights": "none"}), {}, None),
        (MIT, {"lr": 1e-4}, None),
        (MIT, {"lr": "auto"}, None),
        (MIT, {"encoder_scale": 0.05}, None),
        (MIT, {"freeze": ["encoder"]}, None),
        (MIT, {"freeze": {"encoder": 2}}, "a pretrained transformer"),
        (SmpConfig(encoder="resnet34"), {}, None),
        (UnetConfig(), {}, None),
    ],
)
def test_a_rate_that_is_much_for_a_transformer_is_told(model: Any, optim: dict[str, Any], told: str | None) -> None:
    notes = rate_notes(Config.model_validate({"model": model, "optim": optim}))
    assert [told in note for note in notes] == [True] if told else not notes


def test_mask2former_has_its_papers_rate_where_none_is_given() -> None:
    def rate(*keys: tuple[str, Any]) -> Any:
        return load_config(None, [(key, value, key) for key, value in keys]).optim.lr

    assert rate(("model", "mask2former")) == rate(("model.arch", "mask2former")) == 1e-4
    assert rate(("optim.name", "sgd"), ("model", "mask2former/small")) == 1e-4
    assert rate(("model", "mask2former"), ("optim.lr", "3e-4")) == 3e-4
    assert rate(("model", "mask2former"), ("optim.lr", "auto")) == "auto"
    assert rate(("model", "segformer")) == rate(("model", "unet/mit_b0")) == rate() == 2e-3
    assert Config(model=MASK2FORMER).optim.lr == 1e-4 and Config().replace({"train.epochs": 2}).optim.lr == 2e-3


def test_the_note_is_printed_and_kept(tmp_path: Path) -> None:
    """Of weights in a file here: what pixels they expect, a file does not say."""
    config = SmpConfig(encoder="mit_b0", weights="none")
    from maskwright.data.dataset import ClassMap

    tensors = build_model(config, ClassMap(("a", "b"), (0, 255))).state_dict()
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "mit.safetensors")
    assert load_file(tmp_path / "mit.safetensors")
    keys = ("--model", "unet/mit_b0", "--weights", tmp_path / "mit.safetensors", "--size", 32, "--batch-size", 4,
            "--epochs", 1, "--train.repeats", 1)  # fmt: skip
    outcome = maskwright("train", "--data", data(), *keys, "--out", tmp_path / "run")
    assert outcome.code == 0, outcome.err
    assert "note    optim.lr 0.002 is much for a pretrained transformer" in outcome.err
    run = Run.open(tmp_path / "run")
    assert any("optim.lr 0.002 is much" in note for note in run.data["notes"])
    assert run.environment["auto"]["model.pixels"].startswith(
        "ImageNet's: a file of weights does not say what it expects"
    )
