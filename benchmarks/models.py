"""Building a model beside its library's own constructor, and the scratch U-Net's training beside a loop written by
hand.

python benchmarks/models.py [ROUNDS]          both, interleaved
python benchmarks/models.py part SIDE ROOT    one side of the training
"""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from common import Figure, interleaved, made, part, publish

WIDTH, SIZE, BATCH = 32, 128, 8
NUM_IMAGES, NUM_CLASSES = 32, 5
SIDES = ("train", "by hand")


def main(rounds: int = 3) -> bool:
    return publish("models", [*building(rounds), training(rounds)])


def building(rounds: int) -> list[Figure]:
    """Each default model that a library has a constructor of, from scratch, on both sides."""
    figures: list[Figure] = []
    for name, (ours, theirs) in _constructors().items():
        took = interleaved({"ours": ours, "library": theirs}, repeats=2 * rounds + 1)
        ratio = took["ours"] / took["library"]
        detail = {f"{side}_ms": 1000 * seconds for side, seconds in took.items()}
        figures.append(Figure(f"{name}: building / the library's constructor", ratio, "<= 1.2", ratio <= 1.2, detail))
    return figures


def _constructors() -> dict[str, tuple[Callable[[], object], Callable[[], object]]]:
    from maskwright import runtime
    from maskwright.config.models import HfConfig, SmpConfig, TorchvisionConfig
    from maskwright.data.dataset import ClassMap
    from maskwright.models import build_model

    runtime.ensure_torchvision()
    import segmentation_models_pytorch as smp
    from torchvision.models import segmentation

    classes = ClassMap(tuple("abcde"), tuple(range(NUM_CLASSES)))
    found: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "unet/resnet34": (
            lambda: build_model(SmpConfig(weights="none"), classes),
            lambda: smp.Unet("resnet34", encoder_weights=None, classes=NUM_CLASSES),
        ),
        "unet/tu-convnext_tiny": (
            lambda: build_model(SmpConfig(encoder="tu-convnext_tiny", weights="none"), classes),
            lambda: smp.Unet("tu-convnext_tiny", encoder_weights=None, classes=NUM_CLASSES),
        ),
        "deeplabv3_resnet50": (
            lambda: build_model(TorchvisionConfig(weights="none"), classes),
            lambda: segmentation.deeplabv3_resnet50(
                weights=None, weights_backbone=None, num_classes=NUM_CLASSES, aux_loss=True
            ),
        ),
    }
    try:
        from transformers import SegformerConfig, SegformerForSemanticSegmentation
    except ImportError:
        return found
    found["segformer b0"] = (
        lambda: build_model(HfConfig(), classes),
        lambda: SegformerForSemanticSegmentation(SegformerConfig(num_labels=NUM_CLASSES)),
    )
    return found


def training(rounds: int) -> Figure:
    """Images a second of `maskwright train` and of the same steps in a plain loop."""
    root = made("landcover", NUM_IMAGES, 256, 256)
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(rounds):
        for side in SIDES:
            found[side].append(part(__file__, "part", side, str(root))["rate"])
            print(f"  unet {side} {found[side][-1]:.3f} images/s", flush=True)
    shutil.rmtree(root.parent)
    rate = {side: statistics.median(rates) for side, rates in found.items()}
    ratio = rate["train"] / rate["by hand"]
    detail = {f"{side}_images_per_s": rate[side] for side in SIDES}
    return Figure("unet: train / a loop by hand", ratio, ">= 0.97", ratio >= 0.97, detail)


def one_side(side: str, root: Path) -> dict[str, float]:
    return {"rate": {"train": train_rate, "by hand": hand_rate}[side](root)}


def config(root: Path) -> Any:
    from maskwright.config.files import load_config

    keys = {"data.root": str(root), "data.view": "crop", "data.size": SIZE, "model.width": WIDTH,
            "train.batch_size": BATCH, "train.repeats": 4, "train.epochs": 3, "train.grow": 0, "data.split.val": 0.1,
            "data.split.test": 0, "data.sampling": "uniform", "data.crop_focus": 0, "optim.lr": 1e-3}  # fmt: skip
    return load_config(None, [(key, value, "benchmark") for key, value in keys.items()])


def train_rate(root: Path) -> float:
    """As history.csv tells it, the first epoch left out."""
    from maskwright.training.fit import train

    out = Path(tempfile.mkdtemp()) / "run"
    rows = train(config(root), out).run.history
    shutil.rmtree(out)
    return statistics.median(row["images_per_second"] for row in rows[1:])


def hand_rate(root: Path) -> float:
    """The same inputs, precision, loss, optimiser, clipping and averaging; network and loop as one would write them
    down.
    """
    import torch

    from maskwright import runtime
    from maskwright.losses import build_loss
    from maskwright.models.devices import autocast, torch_device
    from maskwright.models.wrapper import MEAN, STD
    from maskwright.training.build import training_inputs
    from maskwright.training.plan import prepare

    runtime.tune_allocator()
    plan = prepare(config(root))
    settled = plan.config
    samples, keys = training_inputs(settled, plan.opened)
    device = torch_device(settled.train.devices)
    net: Any = hand_unet().to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3, weight_decay=0.02, fused=True)
    average = [parameter.detach().clone() for parameter in net.parameters()]
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN, STD))
    loss_of = build_loss(settled.loss)
    times: list[float] = []
    for epoch in itertools.count():
        keys.set_epoch(epoch)
        for batch_keys in keys:
            started = time.perf_counter()
            batch = samples.batch(batch_keys).to(device)
            with autocast(device, settled.train.precision):
                x = ((batch.images - mean) / std).contiguous(memory_format=torch.channels_last)
                logits = net(x).float()
            loss = loss_of(logits, batch.masks)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(net.parameters(), 1.0, foreach=True)
            optimizer.step()
            torch._foreach_lerp_(average, [parameter.detach() for parameter in net.parameters()], 0.1)
            loss.item()
            times.append((time.perf_counter() - started) / len(batch.items))
            if len(times) == 3 * len(keys):
                return 1 / statistics.median(times[len(keys) :])
    raise AssertionError


def hand_unet() -> Any:
    """A U-Net written down plainly: what our scratch U-Net is, layer for layer."""
    import torch
    from torch import nn

    def block(before: int, after: int) -> nn.Sequential:
        layers = []
        for channels in (before, after):
            layers += [
                nn.Conv2d(channels, after, 3, padding=1, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        return nn.Sequential(*layers)

    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            c = [WIDTH * 2**level for level in range(5)]
            self.down = nn.ModuleList(block(before, after) for before, after in zip([3, *c[:-1]], c, strict=True))
            self.up = nn.ModuleList(nn.ConvTranspose2d(c[i], c[i - 1], 2, 2) for i in (4, 3, 2, 1))
            self.join = nn.ModuleList(block(c[i], c[i - 1]) for i in (4, 3, 2, 1))
            self.last = nn.Conv2d(WIDTH, NUM_CLASSES, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            kept = []
            for level, down in enumerate(self.down):
                x = down(nn.functional.max_pool2d(x, 2) if level else x)
                kept.append(x)
            for up, join, skip in zip(self.up, self.join, kept[-2::-1], strict=True):
                x = join(torch.cat([skip, up(x)], dim=1))
            return self.last(x)

    return Plain()


if __name__ == "__main__":
    if sys.argv[1:2] == ["part"]:
        print(json.dumps(one_side(sys.argv[2], Path(sys.argv[3]))))
    else:
        sys.exit(0 if main(int(sys.argv[1]) if sys.argv[1:] else 3) else 1)
