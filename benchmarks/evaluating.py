"""Evaluating beside pure prediction of the same images, and the bootstrap behind the intervals.

python benchmarks/evaluating.py

Both sides load the weights, read every image and predict it. Evaluating also reads the masks and checks the hashes,
counts confusion, outlines and objects, takes loss and calibration, writes the labels, counts the multiply-adds and
resamples. What val settles (the temperature) is settled before, as in every evaluation of a run but the first.

Nothing is trained: the network runs with random weights for its time, and on both sides what it says is exchanged for
the truth with smooth doubts, so that there are outlines to compare such as a prediction has.
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from common import Figure, interleaved, made, publish

SIDE = 512
NUM_IMAGES = 16
MODEL = "unet/resnet34"
SETS = {"puzzle": 2, "landcover": 5}  # procedural images and their classes


def main() -> bool:
    figures = [_bootstrap()]
    for kind, num_classes in SETS.items():
        folder = Path(tempfile.mkdtemp(prefix="maskwright-bench-"))
        figures.append(_beside_prediction(f"{kind} of {num_classes} classes, {MODEL}", _run(kind, folder)))
        shutil.rmtree(folder)
    return publish("evaluating", figures)


def _bootstrap() -> Figure:
    from maskwright.evaluation.intervals import intervals
    from maskwright.metrics.counts import Counts

    rng = np.random.default_rng(0)
    images, classes = 1000, 20
    pixels = [rng.integers(0, 10_000, (images, classes, *shape)) for shape in ((classes,), (), (), (2,), (2,), (3, 4))]
    counts = Counts(
        tuple(map(str, range(images))), *pixels, hd95=rng.uniform(0, 50, (images, classes)), boundary_width=3
    )
    seconds = interleaved({"intervals": lambda: intervals(counts)}, repeats=9)["intervals"]
    return Figure(
        "intervals of 1,000 images × 20 classes, 2,000 resamples, seconds", seconds, "< 0.3", seconds < 0.3, {}
    )


def _run(kind: str, folder: Path) -> Path:
    """A finished run with random weights."""
    from safetensors.torch import save_file

    from maskwright.config.files import load_config
    from maskwright.data.opening import open_dataset
    from maskwright.data.record import data_document
    from maskwright.models import build_model
    from maskwright.runs import Run

    keys = {"data.root": str(made(kind, NUM_IMAGES, SIDE, SIDE)), "model": MODEL, "model.weights": "none",
            "data.view": "whole", "data.size": SIDE, "data.scale": 1.0, "train.precision": "fp32",
            "train.devices": "cpu"}  # fmt: skip
    config = load_config(None, [(key, value, key) for key, value in keys.items()])
    dataset = open_dataset(config.data).dataset
    run = Run.create(folder / "run")
    run.write_config(config, {})
    document = data_document(dataset)
    splits = document["splits"]
    document["splits"] = {"train": [], "val": splits["val"], "test": splits["train"] + splits["test"]}
    run.write_json("data.json", document)
    model = build_model(config.model, dataset.classes, 3, start=False)
    save_file(model.state_dict(), run.weights)
    return run.root


def _beside_prediction(name: str, folder: Path) -> Figure:
    from maskwright.evaluation import evaluate
    from maskwright.prediction.predictor import Predictor
    from maskwright.runs import Run

    run = Run(folder)
    root = Path(run.data["root"])
    paths = [root / entry["image"] for entry in run.data["splits"]["test"]]
    plain = Predictor.logits
    Predictor.logits = _with_doubts(run, plain)

    def predict() -> None:
        predictor = Predictor.from_run(run)
        for path in paths:
            predictor.predict(path)

    times = interleaved({"evaluate": lambda: evaluate(run), "predict": predict}, repeats=3)
    iou = evaluate(run).metrics["iou"]
    Predictor.logits = plain
    ratio = times["evaluate"] / times["predict"]
    detail: dict[str, object] = {f"{side}_ms_an_image": 1000 * seconds / len(paths) for side, seconds in times.items()}
    detail |= {"images": len(paths), "iou": iou}
    return Figure(f"evaluate / predict, {name}, {SIDE}²", ratio, "<= 1.1", ratio <= 1.1, detail)


def _with_doubts(run, logits: Callable) -> Callable:
    """Logits that cost what the network costs and say the truth with smooth doubts."""
    import cv2
    import torch

    from maskwright.data.record import read_split

    rng, num_classes = np.random.default_rng(0), len(run.data["classes"]["names"])
    said = {}
    for split in ("val", "test"):
        for _, image, mask in read_split(run.data, split):
            planes = np.eye(num_classes, dtype=np.float32)[np.minimum(mask, num_classes - 1)]
            doubts = rng.normal(0, 8, planes.shape).astype(np.float32)
            blurred = [cv2.GaussianBlur(plane, (0, 0), sigma) for plane, sigma in ((planes, 3), (doubts, 8))]
            said[image[::16, ::16].tobytes()] = (
                torch.from_numpy(8 * (blurred[0] + blurred[1])).permute(2, 0, 1)[None].contiguous()
            )

    def likely(self, pixels: np.ndarray):
        logits(self, pixels)
        return said[pixels[::16, ::16].tobytes()].clone()

    return likely


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
