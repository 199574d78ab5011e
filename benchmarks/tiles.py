"""Prediction of images of any size: tiles beside the network alone and beside a plain loop, folders, memory.

python benchmarks/tiles.py
python benchmarks/tiles.py --raster 20000     # the large raster alone, of so many rows and columns

Nothing is trained: networks run with random weights for their time. Memory is what a process takes beyond what it held
when the network had seen one tile, watched every 10 ms.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from common import Figure, part, publish

if TYPE_CHECKING:
    from maskwright.data.tiles import Forward
    from maskwright.prediction.predictor import Predictor

SIDE, TILE, OVERLAP, CLASSES = 4096, 512, 64, 19
NUM_IMAGES = 200
RASTER, RASTER_CLASSES = 20_000, 5


def main() -> bool:
    options = argparse.ArgumentParser()
    options.add_argument("--raster", type=int)
    options.add_argument("--side", choices=["tiles", "folder", "raster"], help="one part, in this process")
    options.add_argument("--size", type=int, default=SIDE)
    given = options.parse_args()
    if given.side:
        found = {"tiles": tiles, "folder": folder, "raster": raster}[given.side](given.size)
        print(json.dumps(found))
        return True
    if given.raster:
        return publish("tiles_raster", [_raster(given.raster)])
    one = part(__file__, "--side", "tiles", "--size", str(given.size))
    ratio = one["ours"] / one["network"]
    faster = {side: one["loop"] / one[side] for side in ("ours", "bf16", "int8")}
    told = f"{given.size}², {CLASSES} classes, tiles of {TILE}, overlap {OVERLAP}, unet/resnet34"
    figures = [
        Figure(f"tiled / the network on its tiles, {told}", ratio, "<= 1.05", ratio <= 1.05, {**one}),
        Figure("plain loop in numpy / tiled, a run", faster["ours"], "told", True, {}),
        Figure("plain loop in numpy / tiled, its OpenVINO bundle", faster["bf16"], "told", True, {}),
        Figure("plain loop in numpy / tiled, its int8 bundle", faster["int8"], ">= 4", faster["int8"] >= 4, {}),
        Figure("memory of tiling, MiB", one["mib"], "<= 200", one["mib"] <= 200, {}),
    ]
    many = part(__file__, "--side", "folder", "--size", str(NUM_IMAGES))
    share = many["network"] / many["predict"]
    told = f"predict's rate / the network's, {NUM_IMAGES} JPEG of 512²"
    figures.append(Figure(told, share, ">= 0.95", share >= 0.95, {**many}))
    return publish("tiles", [*figures, _raster(RASTER)])


def _raster(size: int) -> Figure:
    found = part(__file__, "--side", "raster", "--size", str(size))
    told = f"memory of predicting a raster of {size}², {RASTER_CLASSES} classes, MiB"
    return Figure(told, found["mib"], "<= 1024", found["mib"] <= 1024, {**found})


def _predictor(model: str, num_classes: int, **keys: object) -> Predictor:
    from maskwright import runtime
    from maskwright.config.files import load_config
    from maskwright.data.dataset import Bands, ClassMap
    from maskwright.models import build_model
    from maskwright.prediction.predictor import Predictor

    runtime.tune_allocator()
    given = {"model": model, "data.view": "crop", "data.size": TILE, "data.scale": 1.0, "train.precision": "bf16",
             "train.devices": "cpu", "data.tiles.side": TILE, "data.tiles.overlap": OVERLAP, **keys}  # fmt: skip
    config = load_config(None, [(key, value, key) for key, value in given.items()])
    classes = ClassMap(tuple(f"class {index}" for index in range(num_classes)), tuple(range(num_classes)))
    return Predictor.of(config, build_model(config.model, classes, 3, start=False), classes, Bands((0, 1, 2)))


def _exported(predictor: Predictor) -> dict[str, Forward]:
    """The network as `maskwright export --format openvino` makes it run, in bf16 and as --int8."""
    from maskwright.export.graph import export_program, write_onnx, write_openvino
    from maskwright.export.quantise import quantise_openvino
    from maskwright.prediction.bundle import load_forward

    folder = Path(tempfile.mkdtemp(prefix="maskwright-bench-"))
    write_onnx(export_program(predictor.model, 3), folder / "model.onnx", {})
    write_openvino(folder / "model.onnx", folder / "model.xml")
    found = {"bf16": load_forward(folder, "openvino", "bf16")}
    quantise_openvino(folder / "model.xml", [np.random.default_rng(0).integers(0, 256, (1, 3, TILE, TILE), np.uint8)])
    found["int8"] = load_forward(folder, "openvino", "bf16")
    shutil.rmtree(folder)
    return found


@contextmanager
def _watched(found: dict[str, float]) -> Iterator[None]:
    """The largest memory of this process beyond what it has now, in MiB."""
    import psutil

    process, ended = psutil.Process(), threading.Event()
    before = process.memory_info().rss
    peak = [before]

    def watch() -> None:
        while not ended.wait(0.01):
            peak[0] = max(peak[0], process.memory_info().rss)

    watching = threading.Thread(target=watch)
    watching.start()
    yield
    ended.set()
    watching.join()
    found["mib"] = (peak[0] - before) / 2**20


def _timed(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def tiles(size: int) -> dict[str, float]:
    """Seconds of ours, of the network alone on the same tiles, of a loop as it is usually written, of bundles."""
    import torch

    from maskwright.data.tiles import predict_bands
    from maskwright.models.devices import autocast
    from maskwright.prediction.outputs import Wanted

    predictor = _predictor("unet/resnet34", CLASSES, **{"model.weights": "none"})
    rng = np.random.default_rng(0)
    image = np.repeat(np.repeat(rng.integers(0, 256, (size // 8, size // 8, 3), np.uint8), 8, axis=0), 8, axis=1)
    starts = predictor.view.tiling.starts(size)
    cut = [np.ascontiguousarray(image[y : y + TILE, x : x + TILE]) for y in starts for x in starts]
    labels = np.empty((size, size), np.uint8)

    def ours(forward: Forward = predictor.forward) -> None:
        keep = Wanted(kinds=("labels",)).reduce(predictor)
        bands = predict_bands(lambda top, bottom: image[top:bottom], size, size, predictor.view, forward, 1, keep)
        for top, band in bands:
            labels[top : top + band.shape[1]] = band[0]

    @torch.inference_mode()
    def network() -> None:
        with autocast(predictor.device, predictor.precision):
            for tile in cut:
                predictor.model(torch.from_numpy(tile).permute(2, 0, 1).unsqueeze(0))

    def loop() -> None:
        total, weights = np.zeros((CLASSES, size, size), np.float32), np.zeros((size, size), np.float32)
        for y in starts:
            for x in starts:
                tile = torch.from_numpy(image[y : y + TILE, x : x + TILE].copy()).permute(2, 0, 1).unsqueeze(0)
                with torch.no_grad():
                    found = torch.softmax(predictor.model(tile), dim=1)[0].numpy()
                total[:, y : y + TILE, x : x + TILE] += found
                weights[y : y + TILE, x : x + TILE] += 1
        total /= weights
        total.argmax(axis=0)

    for _ in range(3):
        predictor.forward(cut[0][np.newaxis])
    memory: dict[str, float] = {}
    with _watched(memory):
        ours()
    bundles = _exported(predictor)
    times: dict[str, list[float]] = {"ours": [], "network": [], **{side: [] for side in bundles}}
    for _ in range(3):
        times["network"].append(_timed(network))
        times["ours"].append(_timed(ours))
        for side, forward in bundles.items():
            times[side].append(_timed(lambda forward=forward: ours(forward)))
    medians = {side: statistics.median(found) for side, found in times.items()}
    return {
        **medians,
        "loop": _timed(loop),
        **memory,
        "tiles": float(len(cut)),
    }


def folder(count: int) -> dict[str, float]:
    """Seconds of predicting a folder, decoding and writing included, and of the network on as many images."""
    from PIL import Image

    from maskwright.prediction.writers import predict_files

    predictor = _predictor("unet/resnet34", 2, **{"model.weights": "none", "data.view": "whole"})
    root = Path(tempfile.mkdtemp(prefix="maskwright-bench-"))
    (root / "in").mkdir()
    rng = np.random.default_rng(0)
    for index in range(count):
        small = rng.integers(0, 256, (16, 16, 3), np.uint8)
        Image.fromarray(small).resize((TILE, TILE), Image.Resampling.BICUBIC).save(
            root / "in" / f"{index:03d}.jpg", quality=92
        )
    images = [np.asarray(Image.open(path))[None].copy() for path in sorted((root / "in").iterdir())]
    half = count // 2
    times: dict[str, list[float]] = {"network": [], "predict": []}
    for number in range(4):  # the network before and after: a machine that grows slower or faster is on neither side
        before = _timed(lambda: [predictor.forward(image) for image in images[:half]])
        took = _timed(lambda number=number: predict_files(predictor, [root / "in"], root / f"out{number}"))
        after = _timed(lambda: [predictor.forward(image) for image in images[half:]])
        if number:  # the first warms up
            times["network"].append(before + after)
            times["predict"].append(took)
    shutil.rmtree(root)
    return {side: statistics.median(found) for side, found in times.items()}


def raster(size: int) -> dict[str, float]:
    """Memory and seconds of a georeferenced raster, labels and overlay written; the network is small, for its time."""
    import rasterio

    from maskwright.prediction.writers import predict_files

    predictor = _predictor("unet", RASTER_CLASSES, **{"model.width": 4, "model.depth": 2})
    root = Path(tempfile.mkdtemp(prefix="maskwright-bench-"))
    (root / "in").mkdir()
    rng = np.random.default_rng(0)
    coarse = np.repeat(np.repeat(rng.integers(0, 256, (3, 16, size // 64 + 1), np.uint8), 64, axis=2), 64, axis=1)[
        ..., :size
    ]
    with rasterio.open(
        root / "in" / "scene.tif", "w", driver="GTiff", height=size, width=size, count=3, dtype="uint8", tiled=True,
        compress="deflate", crs="EPSG:32633", transform=rasterio.Affine(0.2, 0, 500_000, 0, -0.2, 4_000_000),
    ) as file:  # fmt: skip
        for top in range(0, size, 1024):
            rows = min(1024, size - top)
            file.write(np.roll(coarse, top // 7, axis=2)[:, :rows], window=((top, top + rows), (0, size)))
    predictor.forward(np.zeros((1, TILE, TILE, 3), np.uint8))
    found: dict[str, float] = {}
    with _watched(found):
        found["seconds"] = _timed(lambda: predict_files(predictor, [root / "in"], root / "out"))
    shutil.rmtree(root)
    return found


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
