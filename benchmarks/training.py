"""Training and validation images/s: `train` beside its own step on resident tensors, and beside the tutorial loop.

python benchmarks/training.py [ROUNDS]        all sides, interleaved, each in a process of its own
python benchmarks/training.py part SIDE MODEL ROOT     one side
"""

from __future__ import annotations

import json
import shutil
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

from common import Figure, made, part, publish

MODELS = {"unet": ("unet", 2), "unet-resnet34": ("unet/resnet34", 8)}
NUM_CLASSES = 5
STEPS = 6  # timed steps a side, after two of warm-up
NUM_IMAGES = 36


def main(rounds: int = 1) -> bool:
    root = made("landcover", NUM_IMAGES, 512, 512)
    small = made("landcover", NUM_IMAGES, 256, 256)
    figures: list[Figure] = []
    for name in MODELS:
        sides = ("train", "resident", "tutorial", "train-val", "tutorial-val")
        found: dict[str, list[dict[str, float]]] = {side: [] for side in sides}
        for _ in range(rounds):
            for side in sides:
                where = small if side.endswith("val") else root
                found[side].append(part(__file__, "part", side, name, str(where)))
                print(f"  {name} {side} {found[side][-1]}", flush=True)
        rate = {side: statistics.median(row["rate"] for row in rows) for side, rows in found.items()}
        peak = {side: statistics.median(row["peak_gib"] for row in rows) for side, rows in found.items()}
        detail = {f"{side}_images_per_s": rate[side] for side in sides[:3]} | {
            f"{side}_peak_gib": peak[side] for side in sides[:3]
        }
        own, gain = rate["train"] / rate["resident"], rate["train"] / rate["tutorial"]
        figures.append(Figure(f"{name}: train / resident step", own, ">= 0.95", own >= 0.95, detail))
        figures.append(Figure(f"{name}: train / tutorial loop", gain, ">= 2.5", gain >= 2.5, detail))
        val = rate["train-val"] / rate["tutorial-val"]
        told = {f"{side}_images_per_s": rate[side] for side in sides[3:]}
        figures.append(Figure(f"{name}: validation / tutorial's", val, ">= 3", val >= 3, told))
    shutil.rmtree(root.parent)
    shutil.rmtree(small.parent)
    return publish("training", figures)


def one_side(side: str, name: str, root: Path) -> dict[str, float]:
    model, batch_size = MODELS[name]
    if side == "tutorial":
        import tutorial

        return {"rate": tutorial.train_rate(root, name, batch_size, NUM_CLASSES, STEPS)}
    if side == "tutorial-val":
        import tutorial

        return {"rate": tutorial.val_rate(root, name, 8, NUM_CLASSES)}
    return {
        "rate": {"train": train_rate, "resident": resident_rate, "train-val": our_val_rate}[side](
            model, batch_size, root
        )
    }


def our_config(model: str, batch_size: int, root: Path) -> Any:
    from maskwright.config.files import load_config

    keys = {"data.root": str(root), "data.view": "crop", "data.size": 256, "train.grow": 0, "model": model,
            "train.batch_size": batch_size, "train.epochs": 3, "train.repeats": 1, "data.split.val": 0.1}  # fmt: skip
    keys |= {"model.weights": "none"} if "/" in model else {"model.width": 64}
    return load_config(None, [(key, value, "benchmark") for key, value in keys.items()])


def train_rate(model: str, batch_size: int, root: Path) -> float:
    """The product's own `train`, as history.csv tells it, the first epoch left out."""
    from maskwright.training.fit import train

    out = Path(tempfile.mkdtemp()) / "run"
    rows = train(our_config(model, batch_size, root), out).run.history
    shutil.rmtree(out)
    return statistics.median(row["images_per_second"] for row in rows[1:])


def resident_rate(model: str, batch_size: int, root: Path) -> float:
    """The same step (network, precision, loss, clipping, optimiser, average) on tensors that are there already."""
    import torch

    from maskwright.data.augment import resolve
    from maskwright.data.loader import EpochKeys, TrainSamples
    from maskwright.models import build_model
    from maskwright.training.plan import prepare
    from maskwright.training.resolve import view_of
    from maskwright.training.timing import step_seconds

    plan = prepare(our_config(model, batch_size, root))
    samples = TrainSamples(
        plan.opened.store, plan.opened.dataset.split("train"), view_of(plan.config), resolve("standard"), 0, 1
    )
    batch = samples.__getitems__(next(iter(EpochKeys(len(samples), batch_size, 0))))
    net = build_model(plan.config.model, plan.opened.dataset.classes).to(memory_format=torch.channels_last)
    return len(batch.items) / statistics.median(step_seconds(plan.config, net, batch, STEPS + 2)[2:])


def our_val_rate(model: str, batch_size: int, root: Path) -> float:
    """The validation step of `train`: logits, loss, labels, counts, an image at a time."""
    import time

    import torch

    from maskwright.losses import build_loss
    from maskwright.metrics.counts import confusion
    from maskwright.models import build_model
    from maskwright.models.devices import autocast
    from maskwright.models.wrapper import labels_from_logits, logits_at_own_size
    from maskwright.training.plan import prepare
    from maskwright.training.resolve import view_of

    plan = prepare(our_config(model, batch_size, root))
    net = build_model(plan.config.model, plan.opened.dataset.classes).to(memory_format=torch.channels_last).eval()
    view, loss, device = view_of(plan.config), build_loss(plan.config.loss), torch.device("cpu")
    times: list[float] = []
    with torch.no_grad(), autocast(device, plan.config.train.precision):
        for index in range(len(plan.opened.dataset.items)):
            started = time.perf_counter()
            image, mask = plan.opened.store.get(index)
            logits = logits_at_own_size(net, image, view, device)
            loss(logits, torch.from_numpy(mask).unsqueeze(0)).item()
            confusion(mask, labels_from_logits(logits)[0].numpy(), NUM_CLASSES)
            times.append(time.perf_counter() - started)
    return 1 / statistics.median(times[4:])


if __name__ == "__main__":
    if sys.argv[1:2] == ["part"]:
        print(json.dumps(one_side(sys.argv[2], sys.argv[3], Path(sys.argv[4]))))
    else:
        sys.exit(0 if main(int(sys.argv[1]) if sys.argv[1:] else 1) else 1)
