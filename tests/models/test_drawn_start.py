"""The start that comes with the package: which networks take it, what of it they take, and what trains them."""

from __future__ import annotations

import pytest
import torch
from safetensors import safe_open

from maskwright.config import Config
from maskwright.config.models import AutoModelConfig, SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.errors import ModelError
from maskwright.models import build_model
from maskwright.models.choice import ENCODERS, SLIM, choose_model, choose_weights
from maskwright.models.drawn import ENCODER as DRAWN_ENCODER
from maskwright.models.weights import DRAWN, DRAWN_FILE, read_tensors
from maskwright.training.optim import choose_optimizer
from support import data, maskwright

TWO = ClassMap(("background", "foreground"), (0, 1))


def test_it_fills_encoder_and_decoder_of_the_network_that_auto_chooses():
    assert ENCODERS["cpu"] == DRAWN_ENCODER
    torch.manual_seed(3)
    random = build_model(SmpConfig(encoder=DRAWN_ENCODER, weights="none", **SLIM), TWO).state_dict()
    torch.manual_seed(3)
    model = build_model(SmpConfig(encoder=DRAWN_ENCODER, weights=DRAWN, **SLIM), TWO)
    assert model.loaded is not None and model.loaded.licence == "Apache-2.0"
    assert {name.split(".")[1] for name in model.loaded.fresh} == {"segmentation_head"}
    state, kept = model.state_dict(), read_tensors(DRAWN_FILE)
    assert kept
    for name, value in kept.items():
        if value.is_floating_point():
            torch.testing.assert_close(2 * state[name] - random[name], value.float())


def test_it_is_small_and_says_its_licence_and_how_it_was_made():
    assert DRAWN_FILE.stat().st_size < 20e6
    with safe_open(DRAWN_FILE, "pt") as file:
        assert file.metadata()["licence"] == "Apache-2.0" and '"pictures": ' in file.metadata()["made"]


def test_a_decoder_of_other_widths_begins_at_random_and_the_encoder_does_not():
    model = build_model(SmpConfig(encoder=DRAWN_ENCODER, weights=DRAWN), TWO)
    assert model.loaded is not None
    fresh = {".".join(name.split(".")[1:3]) for name in model.loaded.fresh}
    assert "encoder.layer4" in fresh and "encoder.layer3" not in fresh
    assert any(name.startswith("decoder") for name in fresh)


def test_other_bands_take_the_first_convolution_in_turns():
    model = build_model(SmpConfig(encoder=DRAWN_ENCODER, weights=DRAWN, **SLIM), TWO, num_channels=5)
    assert model.loaded is not None and len(model.loaded.adapted) == 1


def test_auto_takes_it_where_the_hub_gives_nothing_and_an_image_will_be_seen_seldom(monkeypatch):
    monkeypatch.setattr("maskwright.models.choice.weights_at_hand", lambda encoder: ("none", "random: no hub"))
    slim = SmpConfig(encoder=DRAWN_ENCODER, weights="auto", **SLIM)
    weights, why = choose_weights(slim, seldom=True)
    assert weights == DRAWN
    assert why == "maskwright's own, learned from drawn pictures (licence Apache-2.0); no hub"
    assert choose_weights(slim) == ("none", "random: no hub")
    assert choose_weights(SmpConfig(encoder=DRAWN_ENCODER, weights="auto"), seldom=True)[0] == "none"  # another decoder
    assert choose_weights(SmpConfig(encoder="resnet34", weights="auto"), seldom=True)[0] == "none"


@pytest.mark.parametrize(
    ("words", "many", "weights"),
    [
        (("--budget", "20s"), 4, DRAWN),
        (("--budget", "21s"), 4, "none"),
        (("--budget", "6s"), 5, "none"),
        (("--budget", "5s"), 5, DRAWN),
        ((), 4, "none"),
    ],
)
def test_a_training_counts_its_budget_and_its_images(words, many, weights, monkeypatch):
    """Four training images of 32 × 40 pixels, 0.00512 megapixels; a minute of so few where no budget is given."""
    monkeypatch.setattr("maskwright.models.choice.weights_at_hand", lambda encoder: ("none", "random: no hub"))
    for name, value in {"SELDOM": 4000.0, "SELDOM_OF_FEW": 1000.0, "MANY": many}.items():
        monkeypatch.setattr(f"maskwright.training.resolve.{name}", value)
    told = maskwright("train", "--data", data(), *words, "--plan", "--json").json
    assert told["config"]["model"]["weights"] == weights


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_asked_for_by_name_it_brings_its_network(device):
    model, _ = choose_model(AutoModelConfig(weights=DRAWN), device)
    loaded = build_model(model, TWO).loaded
    assert loaded is not None and {name.split(".")[1] for name in loaded.fresh} == {"segmentation_head"}


def test_another_network_is_refused():
    with pytest.raises(ModelError, match=r"got maskwright, which is resnet18's\. Write --model unet/resnet18"):
        build_model(SmpConfig(encoder="resnet34", weights=DRAWN), TWO)


def test_it_is_trained_by_the_optimiser_that_made_it():
    drawn = {"name": "smp", "encoder": DRAWN_ENCODER, "weights": DRAWN}
    assert choose_optimizer(Config().replace({"model": drawn}))[0] == "muon"


def test_a_slip_of_the_pen_is_answered_with_its_name():
    with pytest.raises(ModelError, match="Did you mean 'maskwright'"):
        build_model(SmpConfig(encoder=DRAWN_ENCODER, weights="maskwrigth"), TWO)
