"""Networks of each family as a graph: any batch and size, the same probabilities as the network itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.data.dataset import ClassMap
from maskwright.export.graph import ExportedSegmenter, export_program, write_onnx, write_openvino, write_torch
from maskwright.export.quantise import quantise_onnx, quantise_openvino
from maskwright.models import Segmenter, build_model
from maskwright.prediction.bundle import least_side, load_forward

SIZES = ((1, 64, 96), (2, 50, 37), (3, 1, 1))
SMP = (
    "unet",
    "unetplusplus",
    "manet",
    "linknet",
    "fpn",
    "pspnet",
    "deeplabv3",
    "deeplabv3plus",
    "pan",
    "upernet",
    "segformer",
)
SLOW = [f"{arch}/resnet18" for arch in SMP] + ["unet/tu-convnext_atto", "fcn_resnet50", "resnet34_unet"]


def network(name: str, *flags: str) -> Segmenter:
    """Of three classes, with small outputs, so that no probability is 0 or 1 to the bit."""
    torch.manual_seed(0)
    config = load_config(None, parse_overrides(["--model", name, *flags]))
    model = build_model(config.model, ClassMap(("a", "b", "c"), (0, 1, 2)), start=False).eval()
    with torch.no_grad():
        for module in model.part("head"):
            for parameter in module.parameters():
                parameter.mul_(0.1)
    return model


@pytest.mark.parametrize(("outputs", "multiscale"), [("softmax", True), ("sigmoid", True), ("sigmoid", False)])
def test_a_small_network_in_each_format(outputs, multiscale, tmp_path):
    config = load_config(None, parse_overrides(["--model", "unet", "--model.width", "4", "--model.outputs", outputs]))
    names = ("background", "foreground")
    check(build_model(config.model, ClassMap(names, (0, 1)), start=False, multiscale=multiscale).eval(), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", SLOW)
def test_networks_of_each_family(name, tmp_path):
    check(network(name), tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["deeplabv3plus/resnet18", "unet/mobilenet_v2"])
def test_depthwise_convolutions_run_in_int8(name, tmp_path):
    """ONNX Runtime takes one range for the whole input of a convolution, and says so only when it runs."""
    model = network(name, "--model.weights", "none")
    write_onnx(export_program(model, 3), tmp_path / "model.onnx", {})
    write_openvino(tmp_path / "model.onnx", tmp_path / "model.xml")
    tiles = [np.random.default_rng(seed).integers(0, 256, (1, 3, 96, 96), np.uint8) for seed in range(2)]
    quantise_onnx(tmp_path / "model.onnx", tiles)
    quantise_openvino(tmp_path / "model.xml", tiles)
    for format in ("onnx", "openvino"):
        found = load_forward(tmp_path, format, "fp32")(tiles[0].transpose(0, 2, 3, 1))
        assert found.shape == (1, 3, 96, 96) and np.isfinite(found).all()


def check(model: Segmenter, folder: Path) -> None:
    program = export_program(model, 3)
    write_torch(program, folder / "model.pt2")
    write_onnx(program, folder / "model.onnx", {})
    write_openvino(folder / "model.onnx", folder / "model.xml")
    forwards = {name: load_forward(folder, name, "fp32") for name in ("torch", "onnx", "openvino")}
    graph = ExportedSegmenter(model)
    for batch, height, width in SIZES:
        images = np.random.default_rng(height).integers(0, 256, (batch, height, width, 3), np.uint8)
        with torch.inference_mode():
            planes = torch.from_numpy(images).permute(0, 3, 1, 2)
            wanted = model(planes).softmax(dim=1).numpy()
            assert np.allclose(graph(planes).numpy(), wanted, atol=1e-5)
        for name, forward in forwards.items():
            found = forward(images)
            assert found.shape == wanted.shape, name
            # smaller ones are seen with a wider border
            if name != "torch" or min(height, width) >= least_side(program):
                assert np.allclose(found, wanted, atol=1e-4), (name, height, width)
