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

from maskwright import schemas
from maskwright.data.dataset import IGNORE, Bands, ClassMap
from maskwright.data.decoding import validate_fits_memory
from maskwright.data.geometry import Tiling, View
from maskwright.data.tiles import Forward, predict_bands
from maskwright.errors import ModelError, RunError, install_command, must
from maskwright.files import read_json
from maskwright.prediction.prediction import Prediction, read_pixels
from maskwright.prediction.settled import calibrated
from maskwright.prediction.threshold import labels_from_probabilities, read_threshold
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
    document = read_bundle(root)
    view = dict(document["view"], tiling=Tiling(**document["view"]["tiling"]))
    names = tuple(document["classes"])
    classes = ClassMap(names, tuple(range(len(names))))
    return Bundle(root, document, runner(root, document), View(**view), classes, Bands.from_json(document["bands"]))


def read_bundle(root: Path) -> dict[str, Any]:
    """bundle.json of a folder all of whose files are as they were written."""
    missing = f"`BUNDLE` must be a folder made by `maskwright export`; {root} holds no {FILE}. Check the path."
    document = read_json(root / FILE, missing, schemas.Bundle)
    fix = "Export it anew."
    if document["digest"] != digest_of((root / FILE).read_text(encoding="utf-8"), document["digest"]):
        raise RunError(f"`{root / FILE}` must be as it was written; its content changed. {fix}")
    for name, digest in document["files"].items():
        path = root / name
        if not path.is_file():
            raise RunError(f"`{root}` must be complete; {name} is missing. {fix}")
        if file_digest(path) != digest:
            raise RunError(f"`{path}` must be the file that was exported; its content changed. {fix}")
    return document


def file_digest(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(text: str, digest: str = "") -> str:
    """A hash of the text of bundle.json, less the hash that stands in it."""
    return hashlib.sha256((text.replace(digest, "") if digest else text).encode()).hexdigest()


def runner(root: Path, document: dict[str, Any]) -> Forward:
    """What runs the model of a bundle's folder."""
    format = document["format"]
    return _RUNNERS[format](root / MODELS[format], document["precision"])


@dataclass(frozen=True)
class Bundle:
    """An exported model with all that predicting takes; it predicts as the `Predictor` of its run does."""

    root: Path
    document: dict[str, Any] = field(repr=False)  # bundle.json
    forward: Forward = field(repr=False)
    view: View
    classes: ClassMap
    bands: Bands

    @property
    def threshold(self) -> float:
        """The probability from which a pixel of two classes is foreground."""
        return self.document["threshold"]["default"]

    def predict(self, image: np.ndarray | str | Path, threshold: str | float | None = None) -> Prediction:
        """Predict one image (a path, or H W C uint8); `threshold` as for a run: a number, "fixed" or "tuned"."""
        pixels, valid, place = read_pixels(image, self.bands, self.any_depth)
        height, width = pixels.shape[:2]
        used = self.threshold_for(threshold)
        name = image if isinstance(image, str | Path) else "image"
        validate_fits_memory(name, (self.classes.num_classes, height, width), 4)
        probabilities = np.empty((self.classes.num_classes, height, width), np.float32)
        for top, band in predict_bands(lambda first, last: pixels[first:last], height, width, self.view, self.forward):
            probabilities[:, top : top + band.shape[1]] = band
        labels = self.labels_of(probabilities, used)
        if valid is not None:
            labels[~valid] = IGNORE
        probabilities = calibrated(probabilities, self.temperature)
        return Prediction(pixels, labels, probabilities, self.classes.names, place, self.temperature)

    def threshold_for(self, wish: str | float | None) -> float:
        """The threshold that a wish comes to; stops when it means nothing here."""
        read = read_threshold(wish, self.classes.num_classes)
        if read != "tuned":
            return self.threshold if read is None else read
        tuned = self.document["threshold"]["tuned"]
        if tuned is None:
            fix = "Tune it on the run (maskwright evaluate RUN --mask-threshold tuned), and export it anew."
            raise RunError(must("--mask-threshold tuned", "tuned before the export", f"{self.root} without one", fix))
        return tuned

    validate_threshold = threshold_for

    @property
    def temperature(self) -> float | None:
        """Of the probabilities, fitted on the run's val."""
        return self.document["temperature"]

    @property
    def any_depth(self) -> bool:
        """Whether files of any depth are taken: data.tones say what black and white are."""
        return self.document["any_depth"]

    @property
    def identity(self) -> str:
        """Another where the model is another."""
        return self.document["digest"]

    def labels_of(self, probabilities: np.ndarray, threshold: float | None = None) -> np.ndarray:
        """Class numbers from probabilities. K H W → H W uint8"""
        return labels_from_probabilities(probabilities, None, self.threshold if threshold is None else threshold)

    def __str__(self) -> str:
        told = self.document
        return f"Bundle {self.root}: {told['run']} as {told['format']}{' int8' if told['int8'] else ''}"

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
