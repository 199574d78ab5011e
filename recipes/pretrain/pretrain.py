"""Teach the network that `model: auto` chooses to see, on made-up pictures alone, and keep its weights.

python recipes/pretrain/pretrain.py --pictures 200000 --out weights.safetensors

One network, three heads in one (shape, material, edge: see scenes.py). What is kept is the encoder and the decoder in
half precision; the head is every data set's own. Stopped with Ctrl-C or killed it goes on from what it kept: the same
command
with --resume.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from scenes import SCHEMES, Scenes
from torch.nn import functional
from torch.utils.data import DataLoader, IterableDataset

from maskwright import runtime
from maskwright.config.models import SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.models import Segmenter, build_model
from maskwright.models.choice import ENCODERS, SLIM
from maskwright.training.muon import Muon

WEIGHTS = {"shape": 1.0, "material": 0.5, "edge": 0.5}
WARMUP, COOLING = 0.03, 0.35  # shares of the pictures: the rate rises, stays, and falls to nothing
CLIP, SAY, KEEP = 1.0, 100, 500  # steps between two lines, and between two states kept
LICENCE = "Apache-2.0"


class Stream(IterableDataset[tuple[np.ndarray, np.ndarray]]):
    """Pictures without end, others in each worker."""

    def __init__(self, seed: tuple[int, int], size: int) -> None:
        self.seed, self.size = seed, size

    def __iter__(self) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        info = torch.utils.data.get_worker_info()
        scenes = Scenes(np.random.default_rng((*self.seed, info.id if info else 0)))
        while True:
            image, labels = scenes.draw(self.size)
            yield image.transpose(2, 0, 1).copy(), labels


def main() -> None:
    options = _options()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(options.seed)
    model = build(options.encoder).to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    matrices = [one for one in model.parameters() if one.ndim >= 2]
    others = [one for one in model.parameters() if one.ndim < 2]
    groups = [{"params": matrices}, {"params": others, "weight_decay": 0.0}]
    optimizer = Muon(groups, lr=options.lr, weight_decay=options.weight_decay)
    steps = resume(model, optimizer, options) if options.resume else 0
    loader = DataLoader(Stream((options.seed, steps), options.size), options.batch, num_workers=options.workers)
    began, first, said = time.monotonic(), steps, np.zeros(4)
    try:
        for images, labels in loader:
            done = steps * options.batch / options.pictures
            if done >= 1:
                break
            for group in optimizer.param_groups:
                group["lr"] = options.lr * min((done + 1e-4) / WARMUP, 1.0, (1 - done) / COOLING)
            with torch.autocast(device.type, torch.bfloat16):
                logits = model(images.to(device))
            loss, parts = _loss(logits, labels.to(device).long())
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
            optimizer.step()
            steps += 1
            said += parts
            if steps % SAY == 0:
                told = ", ".join(f"{name} {value / SAY:.3f}"
                 for name, value in zip((*SCHEMES, "shape IoU"), said, strict=True))
                rate = (steps - first) * options.batch / (time.monotonic() - began)
                print(f"{done:4.0%}  {steps * options.batch} pictures  {rate:.0f}/s  {told}", flush=True)
                said[:] = 0
            if steps % KEEP == 0:
                keep(model, optimizer, options, steps)
    except KeyboardInterrupt:
        print("stopped; the same command with --resume goes on")
    keep(model, optimizer, options, steps)


def build(encoder: str) -> Segmenter:
    """The network of `model: auto`, with one output for each class of each scheme."""
    slim = SLIM if encoder == ENCODERS["cpu"] else {}
    config = SmpConfig(arch="unet", encoder=encoder, weights="none", **slim)
    names = tuple(f"{scheme} {index}" for scheme, num in SCHEMES.items() for index in range(num))
    return build_model(config, ClassMap(names, tuple(range(len(names)))))


def keep(model: Segmenter, optimizer: Muon, options: argparse.Namespace, steps: int) -> None:
    """Write encoder and decoder in half precision, with what they were made by; and beside them all that --resume
    needs.
    """
    head = {id(value) for module in model.part("head") for value in module.state_dict(keep_vars=True).values()}
    state = model.state_dict(keep_vars=True)
    tensors = {name: _half(value.detach().cpu()) for name, value in state.items() if id(value) not in head}
    made = {"encoder": options.encoder, "pictures": steps * options.batch, "size": options.size, "seed": options.seed}
    save_file(tensors, options.out, {"licence": LICENCE, "made": json.dumps(made)})
    new = _state(options).with_suffix(".new")  # killed while writing, the last one is still there
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict(), "steps": steps}, new)
    new.replace(_state(options))
    print(f"{options.out}: {options.out.stat().st_size / 1e6:.1f} MB, {steps * options.batch} pictures", flush=True)


def resume(model: Segmenter, optimizer: Muon, options: argparse.Namespace) -> int:
    """Take up what was kept. → steps"""
    kept = torch.load(_state(options), weights_only=True)
    model.load_state_dict(kept["model"])
    optimizer.load_state_dict(kept["optimizer"])
    return kept["steps"]


def _state(options: argparse.Namespace) -> Path:
    return options.out.with_suffix(".resume.pt")


def _half(value: torch.Tensor) -> torch.Tensor:
    return value.half().contiguous() if value.is_floating_point() else value.contiguous()


def _loss(logits: torch.Tensor, labels: torch.Tensor) -> tuple[torch.Tensor, np.ndarray]:
    """Cross entropy of every scheme, and Dice of the shapes; each part beside the mean IoU of the shapes."""
    parts = []
    total = logits.new_zeros(())
    for place, (name, scheme) in enumerate(zip(SCHEMES, logits.split(list(SCHEMES.values()), dim=1), strict=True)):
        entropy = functional.cross_entropy(scheme, labels[:, place])
        total = total + WEIGHTS[name] * entropy
        parts.append(float(entropy.detach()))
        if name == "shape":
            wanted = functional.one_hot(labels[:, place], SCHEMES[name]).movedim(-1, 1).to(scheme.dtype)
            found = scheme.softmax(dim=1)
            both, each = (found * wanted).sum((0, 2, 3)), (found + wanted).sum((0, 2, 3))
            there = wanted.sum((0, 2, 3)) > 0
            total = total + 1 - (2 * both[there] / each[there]).mean()
            parts.append(float((both[there] / (each - both)[there]).mean().detach()))
    parts.append(parts.pop(1))
    return total, np.array(parts)


def _options() -> argparse.Namespace:
    runtime.tune_allocator()
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=200_000, help="how many to draw and learn from")
    parser.add_argument("--out", type=Path, default=Path("weights.safetensors"))
    parser.add_argument("--encoder", default=ENCODERS["cpu"])
    parser.add_argument("--size", type=int, default=144, help="pixels a side of a picture")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--weight-decay", type=float, default=0.02)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--resume", action="store_true", help="go on from what was kept beside --out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
