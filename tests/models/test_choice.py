"""`model: auto` and `weights: auto`: which network, from what, and what is left as it was named."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from maskwright.config.models import AutoModelConfig, Resnet34UnetConfig, SmpConfig, TorchvisionConfig, UnetConfig
from maskwright.models.choice import ENCODERS, choose_model, choose_weights
from maskwright.models.hub import answers


@pytest.fixture(autouse=True)
def no_network(monkeypatch, tmp_path):
    """No hub, and an empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr("huggingface_hub.file_download.HF_HUB_CACHE", str(tmp_path / "hub"), raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr("maskwright.models.choice.answers", lambda url: False)


@pytest.mark.parametrize("device", ["cpu", "gpu"])
def test_a_network_is_named_for_the_device_and_told(device):
    model, reasons = choose_model(AutoModelConfig(), device)
    assert isinstance(model, SmpConfig) and model.encoder == ENCODERS[device]
    assert model.weights == "none"
    assert set(reasons) == {"model", "model.weights"} and "not in the cache" in reasons["model.weights"]


def test_what_is_named_stays_as_it_is():
    for named in (UnetConfig(), SmpConfig(encoder="resnet34"), Resnet34UnetConfig(weights="none")):
        assert choose_model(named, "cpu") == (named, {})


def test_weights_none_is_heeded_and_outputs_go_along():
    model, reasons = choose_model(AutoModelConfig(weights="none", outputs="sigmoid"), "cpu")
    assert (model.weights, model.outputs) == ("none", "sigmoid") and "model.weights" not in reasons


def test_weights_auto_falls_back_to_none_for_every_family():
    for named in (SmpConfig(weights="auto"), Resnet34UnetConfig(weights="auto"), TorchvisionConfig(weights="auto"),
                  UnetConfig(weights="auto")):  # fmt: skip
        weights, why = choose_weights(named)
        assert weights == "none" and why.startswith("random: ")


def test_weights_in_torch_s_cache_are_taken(tmp_path):
    from torchvision.models import get_weight

    name = get_weight("ResNet34_Weights.IMAGENET1K_V1").url.rpartition("/")[2]
    path = tmp_path / "torch" / "hub" / "checkpoints" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    assert choose_weights(Resnet34UnetConfig(weights="auto")) == (
        "imagenet",
        "ResNet34_Weights.IMAGENET1K_V1, from the cache",
    )


def test_a_host_that_is_not_there_does_not_answer():
    assert not answers("https://weights.invalid/file")
    assert not answers((Path(__file__).parent / "nothing").as_uri().replace("file", "http"))


class Answers(BaseHTTPRequestHandler):
    """A hub that has one file."""

    def do_HEAD(self):
        self.send_response(200 if self.path == "/there" else 404)
        self.end_headers()

    def log_message(self, *_):
        pass


def test_a_host_answers_for_what_it_has():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        assert answers(f"{address}/there") and not answers(f"{address}/elsewhere")
    finally:
        server.shutdown()
        server.server_close()


def test_weights_in_the_hub_s_cache_are_taken_with_their_licence(tmp_path, monkeypatch):
    import segmentation_models_pytorch as smp

    settings = smp.encoders.encoders["resnet18"]["pretrained_settings"]["imagenet"]
    folder = tmp_path / "hub" / f"models--{settings['repo_id'].replace('/', '--')}" / "snapshots" / settings["revision"]
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(b"")
    weights, why = choose_weights(SmpConfig(encoder="resnet18", weights="auto"))
    assert weights == "imagenet" and why.startswith("ImageNet's, from the cache (licence ")
