"""The losses of 20 fixed steps: what training computes, down to the last digits.

`trace.json` holds them. A refactoring must reproduce it; a deliberate change writes it anew with

    python -m tests.golden.make_trace

run from the repository's root, and says why in docs/log.md. The steps go through everything a
training goes through but Lightning: reading, dealing, augmenting, batching, network, loss and optimiser.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

import torch

from maskwright.config import Config, UnetConfig
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


def losses(folder: Path) -> list[float]:
    """The loss before each of 20 steps, in float32 on one core; `folder` takes the data."""
    make("puzzle", folder, count=10, size=(48, 64), seed=0)
    config = Config()
    opened = open_dataset(config.data.model_copy(update={"root": str(folder), "cache": "ram"}))
    samples = TrainSamples(opened.store, opened.dataset.split("train"), View("whole", 32), resolve("standard"), 0, 2)
    keys = EpochKeys(len(samples), 4, seed=0)
    torch.manual_seed(0)
    model = build_model(UnetConfig(width=4, depth=2), opened.dataset.classes).train()
    optimizer, loss = build_optimizer(model, config.optim), build_loss("auto")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: list[float] = []
        epoch = 0
        while len(found) < STEPS:
            keys.set_epoch(epoch)
            for batch_keys in list(keys)[: STEPS - len(found)]:
                batch = samples.__getitems__(batch_keys)
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
