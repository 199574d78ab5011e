"""`Bundle`: an exported model, its folder and what runs it; without torch but where it is torch's own format.

bundle = load_bundle("bundles/first")
bundle.predict("photo.jpg").labels             # H W uint8
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.data.dataset import Bands, ClassMap
from maskwright.data.geometry import Tiling, View
from maskwright.data.tiles import Forward
from maskwright.errors import MaskwrightError, ModelError, RunError, install_command, must
from maskwright.files import file_digest, read_json
from maskwright.prediction.network import FLIPS, Network
from maskwright.runs import usable_cores

FILE = "bundle.json"
MODELS = {"onnx": "model.onnx", "openvino": "model.xml", "torch": "model.pt2"}  # the file that each format is opened by


def is_bundle(path: str | Path) -> bool:
    """Whether a path is a bundle's folder."""
    return (Path(path) / FILE).is_file()


def load_bundle(path: str | Path) -> Bundle:
    """Open an exported model; nothing outside its folder is needed, and no file of it may have changed.

    >>> load_bundle("bundles/first").predict("photo.jpg").labels  # doctest: +SKIP
    """
    root = Path(path)
    return bundle_of(root, read_bundle(root))


def bundle_of(root: Path, document: dict[str, Any]) -> Bundle:
    """The bundle of a folder that holds the model's files, as bundle.json describes it."""
    size, tiling = document["view"]["size"], Tiling(**document["view"]["tiling"])
    view = {**document["view"], "size": tuple(size) if isinstance(size, list) else size, "tiling": tiling}
    names = tuple(document["classes"])
    return Bundle(
        forward=load_forward(root, document["format"], document["precision"]),
        view=View(**view), classes=ClassMap(names, tuple(range(len(names)))), bands=Bands.from_json(document["bands"]),
        any_depth=document["any_depth"], flips=tuple(document.get("flips", FLIPS)),
        threshold=document["threshold"]["default"], tuned=document["threshold"]["tuned"],
        temperature=document["temperature"], identity=document["digest"], name=document["run"], root=root,
        document=document,
    )  # fmt: skip


def load_forward(root: Path, format: str, precision: str) -> Forward:
    """What runs the model of a bundle's folder."""
    return _RUNNERS[format](root / MODELS[format], precision)


def read_bundle(root: Path) -> dict[str, Any]:
    """bundle.json of a folder all of whose files are as they were written."""
    missing = f"`BUNDLE` must be a folder made by `maskwright export`; {root} holds no {FILE}. Check the path."
    path = root / FILE
    document = read_json(path, missing)
    fix = "Export it anew."
    stated = document.get("digest") if isinstance(document, dict) else None
    if not isinstance(stated, str) or stated != digest_of(path.read_text(encoding="utf-8"), stated):
        raise RunError(f"`{path}` must be as it was written; its content changed. {fix}")
    for name, digest in document["files"].items():
        path = root / name
        if not path.is_file():
            raise RunError(f"`{root}` must be complete; {name} is missing. {fix}")
        if file_digest(path) != digest:
            raise RunError(f"`{path}` must be the file that was exported; its content changed. {fix}")
    return document


def digest_of(text: str, digest: str = "") -> str:
    """A hash of the text of bundle.json, less the hash that stands in it."""
    return hashlib.sha256((text.replace(digest, "") if digest else text).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Bundle(Network):
    """An exported model with all that predicting takes; it predicts as the `Predictor` of its run does."""

    root: Path
    document: dict[str, Any] = field(repr=False)  # bundle.json

    def _untuned(self) -> MaskwrightError:
        fix = "Tune it on the run (maskwright evaluate RUN --mask-threshold tuned), and export it anew."
        return RunError(must("--mask-threshold tuned", "tuned before the export", f"{self.root} without one", fix))

    def __str__(self) -> str:
        int8 = " int8" if self.document["int8"] else ""
        return f"Bundle {self.root}: {self.name} as {self.document['format']}{int8}"

    __repr__ = __str__


def _needed(package: str) -> ModelError:
    return ModelError(f"`BUNDLE` must be run by {package}; it is not installed. Run: {install_command('export')}")


def _onnx(path: Path, precision: str) -> Forward:
    try:
        import onnxruntime
    except ImportError:
        raise _needed("onnxruntime") from None
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = _threads()
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return lambda tiles: np.asarray(session.run(None, {"images": _planes(tiles)})[0])


def _openvino(path: Path, precision: str) -> Forward:
    try:
        import openvino
    except ImportError:
        raise _needed("openvino") from None
    hints = {"PERFORMANCE_HINT": "LATENCY", "INFERENCE_NUM_THREADS": _threads()}
    if precision == "fp32":  # else OpenVINO takes bf16 where the processor multiplies it
        hints["INFERENCE_PRECISION_HINT"] = "f32"
    request = openvino.Core().compile_model(path, "CPU", hints).create_infer_request()
    return lambda tiles: np.asarray(request.infer({0: _planes(tiles)}, share_inputs=True)[0])


def _torch(path: Path, precision: str) -> Forward:
    import torch

    program = torch.export.load(path)
    network = program.module(check_guards=False)  # they refuse maps of one pixel, which are predicted as well
    least = least_side(program)

    @torch.inference_mode()
    def forward(tiles: np.ndarray) -> np.ndarray:
        height, width = tiles.shape[1:3]
        below = [(0, max(0, least - side)) for side in (height, width)]
        tiles = np.pad(tiles, ((0, 0), *below, (0, 0)), mode="edge") if any(map(any, below)) else tiles
        return network(torch.from_numpy(_planes(tiles))).numpy()[..., :height, :width]

    return forward


def least_side(program: Any) -> int:
    """The least height and width that an exported program of torch was found to hold for."""
    return max((int(bounds.lower) for bounds in program.range_constraints.values()), default=1)


def _planes(tiles: np.ndarray) -> np.ndarray:
    """N H W C → N C H W"""
    return np.ascontiguousarray(tiles.transpose(0, 3, 1, 2))


def _threads() -> int:
    """Cores that may be used, fewer where OMP_NUM_THREADS says so, as for torch."""
    wished = os.environ.get("OMP_NUM_THREADS", "")
    return min(usable_cores(), int(wished)) if wished.isdecimal() and int(wished) else usable_cores()


_RUNNERS: dict[str, Callable[[Path, str], Forward]] = {"onnx": _onnx, "openvino": _openvino, "torch": _torch}
