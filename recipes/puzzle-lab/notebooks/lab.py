"""What the four notebooks share: where data and runs are, how large a run is, and how its pictures are drawn.

MASKWRIGHT_DATA    your folder of images and masks, split 10/4/4; without it photographs are drawn by a program
MASKWRIGHT_SIZE    full, laptop or tiny, as of recipes/run.py (default: full with a GPU, else laptop)
MASKWRIGHT_FLAGS   what else run.py would be given, such as "--weights none --log csv,tensorboard,wandb"
MASKWRIGHT_RUNS    where runs go, or where recipes/run.py left them (default: runs/puzzle-lab-DATA-SIZE, beside recipes/)
"""

from __future__ import annotations

import functools
import io
import json
import math
import os
import shlex
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from IPython.display import Image as Picture
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image

import maskwright as mw
from maskwright.config.flags import parse_overrides
from maskwright.data.augment import augment, resolve, sample_rng
from maskwright.data.geometry import View
from maskwright.data.pictures import error_picture, palette
from maskwright.data.record import read_split

DATA = os.environ.get("MASKWRIGHT_DATA")  # or write your folder here: "/home/me/my_puzzle"
SIZE = os.environ.get("MASKWRIGHT_SIZE") or ("full" if torch.cuda.is_available() else "laptop")
RECIPE = Path(__file__).resolve().parents[1]
_HOME = RECIPE.parents[1] / "runs" / f"puzzle-lab-{Path(DATA).resolve().name if DATA else 'drawn'}-{SIZE}"
RUNS = Path(os.environ.get("MASKWRIGHT_RUNS") or _HOME).resolve()
warnings.filterwarnings("ignore", message="IProgress not found")  # a bar of a library that needs ipywidgets
LINES = {"train": "#6b7683", "val": "#2f55c8"}


def data() -> Path:
    """The folder of the photographs: yours, else what the runs here were made with, else one that is drawn now."""
    if DATA:
        return Path(DATA).resolve()
    made = next(RUNS.glob("variants/cells/*/data.json"), None)
    if made:
        return _root(made)
    if not (RUNS / "data").exists():
        mw.make_data("puzzle", RUNS / "data", size=(48, 64) if SIZE == "tiny" else None)
    return RUNS / "data"


def settings(name: str) -> dict[str, Any]:
    """What recipe.yaml adds to NAME.yaml at this size, then MASKWRIGHT_FLAGS, as keys for `mw.compare`."""
    steps = yaml.safe_load((RECIPE / "recipe.yaml").read_text(encoding="utf-8"))["steps"]
    step = next(step for step in steps if isinstance(step, dict) and f"/{name}.yaml" in step["run"])
    words = shlex.split(step.get(SIZE, "")) + shlex.split(os.environ.get("MASKWRIGHT_FLAGS", ""))
    return {key: value for key, value, _ in parse_overrides(words)}


def begun(name: str) -> bool:
    """Whether RUNS/NAME is a comparison already, made with these photographs."""
    if not (RUNS / name / "comparison.yaml").is_file():
        return False
    for document in (RUNS / name).glob("cells/*/data.json"):
        if _root(document) != data():
            made = f"{RUNS / name} was made with {_root(document)}"
            raise SystemExit(f"MASKWRIGHT_RUNS must hold runs made with {data()}; {made}. Choose another folder.")
    return True


def _root(document: Path) -> Path:
    return Path(json.loads(document.read_text(encoding="utf-8"))["root"])


@functools.cache
def compared(name: str) -> mw.Comparison:
    """The comparison RUNS/NAME: begun, gone on with, or read if it is finished."""
    if begun(name):
        return mw.compare(RUNS / name)
    return mw.compare(RECIPE / f"{name}.yaml", data=data(), out=RUNS / name, **settings(name))


@functools.cache
def all_compared() -> mw.Comparison:
    """All eight runs on the same test images, in RUNS/all."""
    if begun("all"):
        return mw.compare(RUNS / "all")
    roots = [run.root for name in ("variants", "backbones") for run in runs_of(compared(name)).values()]
    return mw.compare(*roots, out=RUNS / "all")


def runs_of(comparison: mw.Comparison) -> dict[str, mw.TrainedRun]:
    """The comparison's runs by name."""
    return {entry.name: mw.load_run(entry.runs[0].root) for entry in comparison.entries}


def chosen(comparison: mw.Comparison) -> mw.TrainedRun:
    """The run that validation chose."""
    assert comparison.standings.chosen is not None
    return runs_of(comparison)[comparison.standings.chosen.name]


def curves(runs: dict[str, mw.TrainedRun], quantity: str) -> Picture:
    """The loss or the IoU of each run, training and validation, with the epoch whose weights were kept."""
    columns = min(3, len(runs))
    rows = math.ceil(len(runs) / columns)
    figure = Figure(figsize=(4 * columns, 2.6 * rows + 0.3), layout="constrained")
    panels = np.atleast_1d(figure.subplots(rows, columns, sharey=True)).ravel()
    for axes, (name, run) in zip(panels, runs.items(), strict=False):
        history, monitor = run.history, run.config.train.monitor
        epochs = [int(row["epoch"]) + 1 for row in history]
        for split, colour in LINES.items():
            axes.plot(epochs, [row[f"{split}_{quantity}"] for row in history], color=colour, marker=".", label=split)
        best = (max if monitor == "val_iou" else min)(history, key=lambda row: row[monitor])
        axes.axvline(best["epoch"] + 1, color="#4b5563", linestyle=":", label="kept")
        axes.set(title=name, xlabel="epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.grid(axis="y", alpha=0.3)
        if quantity == "iou":
            axes.set_ylim(0, 1)
    panels[0].set_ylabel("IoU" if quantity == "iou" else quantity)
    panels[0].legend(fontsize="small")
    for axes in panels[len(runs) :]:
        axes.set_axis_off()
    return _picture(figure)


def dashboard(runs: dict[str, mw.TrainedRun]) -> Picture:
    """Loss and IoU of training and validation: a panel each, all runs in it, as W&B shows a project."""
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    for axes, key in zip(figure.subplots(2, 2).ravel(), ("train_loss", "val_loss", "train_iou", "val_iou"), strict=True):
        for name, run in runs.items():
            history = run.history
            axes.plot([int(row["epoch"]) + 1 for row in history], [row[key] for row in history], label=name, linewidth=1.5)
        axes.set_title(key.replace("_", "/"), fontsize="medium")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True, min_n_ticks=1))
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="y", alpha=0.3)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=4, fontsize="small", frameon=False)
    return _picture(figure)


def batch(folder: Path, count: int, size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The first training images and masks, resized: what a step of training is given. → N C H W, N H W"""
    audit = mw.check(folder)
    pairs = [pair for pair in audit.pairs if pair["split"] == "train"][:count]
    images, masks = [], []
    for pair in pairs:
        with Image.open(Path(audit.root) / pair["image"]) as picture:
            images.append(np.asarray(picture.convert("RGB").resize((size, size))))
        with Image.open(Path(audit.root) / pair["mask"]) as picture:
            masks.append(np.asarray(picture.convert("L").resize((size, size), Image.Resampling.NEAREST)) > 0)
    return torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255, torch.from_numpy(np.stack(masks)).long()


def masks(runs: dict[str, mw.TrainedRun], split: str = "test") -> Picture:
    """A row an image: image, truth, and each run's mistakes (missed in blue, added in orange) with its IoU."""
    first = next(iter(runs.values()))
    pairs = list(read_split(first.data, split))
    columns = 2 + len(runs)
    figure = Figure(figsize=(1.9 * columns, 1.75 * len(pairs) + 0.4), layout="constrained")
    grid = figure.subplots(len(pairs), columns, squeeze=False)
    for row, (name, image, truth) in zip(grid, pairs, strict=True):
        colours = palette(256)
        shown = [("image", image), ("truth", colours[truth])]
        for title, run in runs.items():
            labels = scored_labels(run, split, name)
            shown.append((f"{title}\nIoU {iou(truth, labels):.3f}", error_picture(image, truth, labels, 2)))
        for axes, (title, picture) in zip(row, shown, strict=True):
            axes.imshow(picture)
            axes.set_title(title.replace("/", "/\n"), fontsize=7)
            axes.set_xticks([])
            axes.set_yticks([])
        row[0].set_ylabel(name.split("/")[-1], fontsize=8)
    return _picture(figure)


def _picture(figure: Figure) -> Picture:
    """A figure as a notebook shows it."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return Picture(buffer.getvalue())


def scored_labels(run: mw.TrainedRun, split: str, name: str) -> np.ndarray:
    """The predicted mask of an image, as `evaluate` scored it. → H W"""
    with Image.open(run.root / "evaluation" / "predictions" / split / f"{name}.png") as picture:
        return np.asarray(picture)


def iou(truth: np.ndarray, labels: np.ndarray) -> float:
    """The foreground's IoU in one image; NaN where it is in neither."""
    both, either = np.sum((truth == 1) & (labels == 1)), np.sum((truth == 1) | (labels == 1))
    return float(both / either) if either else math.nan


def moved_together(folder: Path, preset: str = "standard", draws: int = 20) -> tuple[float, float]:
    """How well picture and mask still agree after augmentation: moved by one matrix, and each by its own.

    The picture is the mask itself, painted black and white, so that agreement can be measured; 1 is perfect.
    """
    audit = mw.check(folder)
    root = Path(audit.root)
    with Image.open(root / next(pair["mask"] for pair in audit.pairs)) as picture:
        mask = (np.asarray(picture.convert("L")) > 0).astype(np.uint8)
    painted, view, plan = np.repeat(mask[..., None] * 255, 3, axis=2), View("whole", 256), resolve(preset)
    drawn = [augment(painted, mask, view, plan, sample_rng(0, 0, number)) for number in range(draws)]
    # brightness and contrast are drawn too: white stays brighter than the middle of black and white
    seen = [(image[..., 0] > (float(image.min()) + float(image.max())) / 2).astype(np.uint8) for image, _ in drawn]
    together = [iou(labels, picture) for picture, (_, labels) in zip(seen, drawn, strict=True)]
    apart = [iou(drawn[number - 1][1], picture) for number, picture in enumerate(seen)]
    return float(np.nanmean(together)), float(np.nanmean(apart))


def border_share(run: mw.TrainedRun, split: str = "test", share: float = 0.01) -> float:
    """Which part of the wrong pixels lies near an outline of truth: within `share` of the image's diagonal; NaN for none."""
    import cv2

    near_wrong = all_wrong = 0
    for name, _, truth in read_split(run.data, split):
        wrong = scored_labels(run, split, name) != truth
        width = max(1, round(share * math.hypot(*truth.shape)))
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * width + 1, 2 * width + 1))
        near = cv2.dilate(truth, kernel) != cv2.erode(truth, kernel)
        near_wrong, all_wrong = near_wrong + int((wrong & near).sum()), all_wrong + int(wrong.sum())
    return near_wrong / all_wrong if all_wrong else math.nan


def like_background(run: mw.TrainedRun, split: str = "test") -> tuple[float, float]:
    """The part of foreground pixels whose colour is nearer to the image's mean background than to its mean foreground.

    First of the pixels that were missed, then of all; NaN where there are none.
    """
    alike = {"missed": 0, "all": 0}
    number = {"missed": 0, "all": 0}
    for name, image, truth in read_split(run.data, split):
        pixels = image.astype(float)
        front, back = pixels[truth == 1].mean(0), pixels[truth == 0].mean(0)
        nearer = np.linalg.norm(pixels - back, axis=2) < np.linalg.norm(pixels - front, axis=2)
        for kind, where in (("all", truth == 1), ("missed", (truth == 1) & (scored_labels(run, split, name) != 1))):
            alike[kind] += int((nearer & where).sum())
            number[kind] += int(where.sum())
    missed, every = (alike[kind] / number[kind] if number[kind] else math.nan for kind in ("missed", "all"))
    return missed, every
