"""The losses of 20 fixed steps: what training computes, down to the last digits.

`trace.json` holds them. A refactoring must reproduce it; a deliberate change writes it anew with

    python -m tests.golden.make_trace

run from the repository's root, and says why in docs/log.md. The steps go through everything a
training goes through but Lightning: reading, dealing, augmenting, batching, network, loss and optimiser.
All numbers are named here, so that a better default doesn't look like a change of what is computed.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from maskwright.config.augment import AugmentOp
from maskwright.config.data import DataConfig, SplitConfig
from maskwright.config.losses import CeTerm, DiceTerm
from maskwright.config.models import UnetConfig
from maskwright.config.optim import OptimConfig
from maskwright.data.augment import resolve
from maskwright.data.geometry import View
from maskwright.data.loader import EpochKeys, TrainSamples
from maskwright.data.opening import open_dataset
from maskwright.data.synthetic import make
from maskwright.losses import build_loss
from maskwright.models import build_model
from maskwright.training.optim import build_optimizer

TRACE = Path(__file__).with_name("trace.json")
STEPS = 20
SPLIT = SplitConfig(val=0.2, test=0.2, seed=0, stratify=True)
OPTIM = OptimConfig(name="adamw", lr=2e-3, weight_decay=0.02)
LOSS = [CeTerm(), DiceTerm()]
AMOUNTS = {
    "hflip": 1.0, "rotate": 15.0, "scale": 0.25, "shift": 0.05, "perspective": 0.05, "brightness": 0.15,
    "contrast": 0.2, "gamma": 0.2, "channel_shift": 0.03, "saturation": 0.25, "hue": 10.0, "blur": 1.0,
}  # fmt: skip
AUGMENT = [AugmentOp(name=name, amount=amount, p=0.5) for name, amount in AMOUNTS.items()]


def losses(folder: Path) -> list[float]:
    """The loss before each of 20 steps, in float32 on one core; `folder` takes the data."""
    make("puzzle", folder, count=10, size=(48, 64), seed=0)
    opened = open_dataset(DataConfig(root=str(folder), cache="ram", split=SPLIT))
    samples = TrainSamples(opened.store, opened.dataset.split("train"), View("whole", 32), resolve(AUGMENT), 0, 2)
    keys = EpochKeys(len(samples), 4, seed=0)
    torch.manual_seed(0)
    model = build_model(
        UnetConfig(up="transposed", width=4, depth=2, outputs="softmax", norm="batch"), opened.dataset.classes
    ).train()
    optimizer, loss = build_optimizer(model, OPTIM), build_loss(LOSS)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: list[float] = []
        epoch = 0
        while len(found) < STEPS:
            keys.set_epoch(epoch)
            for batch_keys in list(keys)[: STEPS - len(found)]:
                batch = samples.batch(batch_keys)
                value = loss(model(batch.images), batch.masks)
                optimizer.zero_grad()
                value.backward()
                optimizer.step()
                found.append(value.item())
            epoch += 1
    finally:
        torch.set_num_threads(threads)
    return found


def main() -> None:
    """Write trace.json anew."""
    with tempfile.TemporaryDirectory() as folder:
        TRACE.write_text(json.dumps(losses(Path(folder) / "data"), indent=1) + "\n", encoding="utf-8")
    sys.stdout.write(f"{TRACE} written; say why in docs/log.md\n")


if __name__ == "__main__":
    main()
