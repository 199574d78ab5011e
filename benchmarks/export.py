"""An exported network beside eager torch as it is usually written: a 512² image, batch 1, all sides in one run.

    python benchmarks/export.py                       # U-Net/ResNet34 and DeepLabV3+/ResNet50, random weights
    python benchmarks/export.py --run runs/first      # the network of a run: with the IoU that each export lost on val

Random weights tell the speed; what int8 costs in IoU is known of a trained run alone.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch

from common import WITH_BYTECODE, Figure, interleaved, publish
from maskwright import runtime
from maskwright.config.files import load_config
from maskwright.config.flags import parse_overrides
from maskwright.data.dataset import ClassMap
from maskwright.export import export_run
from maskwright.export.graph import export_program, write_onnx, write_openvino
from maskwright.export.quantise import quantise_onnx, quantise_openvino
from maskwright.models import Segmenter, build_model
from maskwright.prediction.bundle import load_forward
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run

SIDE = 512
TARGETS = {  # of processors that multiply matrices (AMX); others do without, and their figures are told
    "unet/resnet34": {"openvino bf16": 4.4, "openvino int8": 6.5},
    "deeplabv3plus/resnet50": {"openvino bf16": 4.4, "openvino int8": 5.5},
}
SIDES = {  # name: format, precision, int8
    "onnx fp32": ("onnx", "fp32", False),
    "onnx int8": ("onnx", "fp32", True),
    "openvino fp32": ("openvino", "fp32", False),
    "openvino bf16": ("openvino", "bf16", False),
    "openvino int8": ("openvino", "fp32", True),
    "openvino int8 bf16": ("openvino", "bf16", True),
}


def has_amx() -> bool:
    """Whether the processor has instructions that multiply matrices of bf16 and int8 (as far as Linux says)."""
    path = Path("/proc/cpuinfo")
    return path.exists() and "amx_tile" in path.read_text()


def network(name: str) -> Segmenter:
    config = load_config(None, parse_overrides(["--model", name, "--model.weights", "none"]))
    return build_model(config.model, ClassMap(("background", "foreground"), (0, 1))).eval()


def measure(name: str, model: Segmenter, folder: Path, drops: dict[str, float], repeats: int) -> list[Figure]:
    """How many times faster than eager each side is."""
    image = np.random.default_rng(0).integers(0, 256, (1, SIDE, SIDE, 3), np.uint8)
    planes = torch.from_numpy(image).permute(0, 3, 1, 2).contiguous()
    model = model.float().cpu().to(memory_format=torch.contiguous_format)
    sides = {"eager": lambda: model.net((planes - model.mean) / model.std)}  # gradients on, as in most scripts
    for side, (format, precision, int8) in SIDES.items():
        forward = load_forward(folder / f"{format}{'-int8' if int8 else ''}", format, precision)
        sides[side] = lambda forward=forward: forward(image)
    found = interleaved(sides, repeats)
    figures = []
    for side, (format, _, int8) in SIDES.items():
        target = TARGETS.get(name, {}).get(side, 0.0)
        ratio, drop = found["eager"] / found[side], drops.get(f"{format}{'-int8' if int8 else ''}")
        milliseconds = {"milliseconds": round(1000 * found[side], 1), "eager": round(1000 * found["eager"], 1)}
        aim = f">= {target}" if target and has_amx() else f">= {target} with AMX; none here" if target else "told"
        holds = ratio >= target or not has_amx()
        told = f"{name}, {side}: times eager"
        figures.append(Figure(told, round(ratio, 2), aim, holds, {**milliseconds, "iou_drop": drop}))
    return figures


def of_random_weights(name: str, folder: Path) -> Segmenter:
    model = network(name)
    program = export_program(model, 3)
    tiles = [np.random.default_rng(seed).integers(0, 256, (1, 3, 256, 256), np.uint8) for seed in range(4)]
    for int8 in ("", "-int8"):
        for format in ("onnx", "openvino"):
            (folder / f"{format}{int8}").mkdir(parents=True)
        write_onnx(program, folder / f"onnx{int8}" / "model.onnx", {})
        write_openvino(folder / f"onnx{int8}" / "model.onnx", folder / f"openvino{int8}" / "model.xml")
    quantise_onnx(folder / "onnx-int8" / "model.onnx", tiles)
    quantise_openvino(folder / "openvino-int8" / "model.xml", tiles)
    return model


def of_run(run: Run, folder: Path) -> tuple[Segmenter, dict[str, float]]:
    drops = {}
    for int8 in (False, True):
        for format in ("onnx", "openvino"):
            name = f"{format}{'-int8' if int8 else ''}"
            drops[name] = round(export_run(run, format, int8, 1.0, folder / name).verification.drop, 4)
    return Predictor.from_run(run).model, drops


def starting(folder: Path) -> list[Figure]:
    """The whole of `maskwright predict BUNDLE` on one small image, beside `python -c pass`."""
    cv2.imwrite(str(folder / "image.png"), np.zeros((32, 32, 3), np.uint8))
    command = Path(sys.executable).with_name("maskwright")

    def predict(name: str) -> None:
        words = ["predict", folder / name, folder / "image.png", "--out", folder / "predictions"]
        quiet = subprocess.DEVNULL
        subprocess.run([command, *words], env=WITH_BYTECODE, stdout=quiet, stderr=quiet, check=True)

    names = ("onnx", "openvino")
    sides = {name: lambda name=name: predict(name) for name in names}
    found = interleaved({**sides, "python": lambda: subprocess.run([sys.executable, "-c", "pass"], check=True)}, 7)
    detail = {"python_ms": round(1000 * found["python"])}
    return [
        Figure(f"predict BUNDLE, {name}: seconds", found[name], "< 0.6", found[name] < 0.6, detail) for name in names
    ]


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run")
    parser.add_argument("--networks", nargs="*", default=list(TARGETS))
    parser.add_argument("--repeats", type=int, default=7)
    given = parser.parse_args()
    runtime.tune_allocator()
    figures: list[Figure] = []
    with tempfile.TemporaryDirectory() as place:
        if given.run:
            run = Run.open(given.run)
            model, drops = of_run(run, Path(place))
            figures += measure(run.name, model, Path(place), drops, given.repeats)
            figures += starting(Path(place))
        else:
            for name in given.networks:
                folder = Path(place) / name.replace("/", "-")
                figures += measure(name, of_random_weights(name, folder), folder, {}, given.repeats)
    return publish("export", figures)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
