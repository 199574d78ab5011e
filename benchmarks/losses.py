"""Milliseconds of each loss, forward and backward, on 4×3×256²: beside cross-entropy, and beside SMP's where it has
one.

python benchmarks/losses.py
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from common import Figure, interleaved, publish
from maskwright import runtime

REPEATS = 15
MOST = 1.0  # times SMP's own


def main() -> bool:
    runtime.tune_allocator()
    runtime.ensure_torchvision()
    import torch
    from segmentation_models_pytorch import losses as smp

    from maskwright.losses import LOSSES

    generator = torch.Generator().manual_seed(0)
    logits = (
        torch.randn(4, 3, 256, 256, generator=generator).contiguous(memory_format=torch.channels_last).requires_grad_()
    )
    blocks = torch.randint(0, 3, (4, 16, 16), generator=generator, dtype=torch.uint8)
    masks = blocks.repeat_interleave(16, 1).repeat_interleave(16, 2)
    masks[:, :8] = 255
    theirs: dict[str, Any] = {
        "ce": smp.SoftCrossEntropyLoss(smooth_factor=0.0, ignore_index=255),
        "dice": smp.DiceLoss("multiclass", ignore_index=255),
        "jaccard": smp.JaccardLoss("multiclass", ignore_index=255),
        "tversky": smp.TverskyLoss("multiclass", ignore_index=255),
        "focal": smp.FocalLoss("multiclass", ignore_index=255),
        "lovasz": smp.LovaszLoss("multiclass", ignore_index=255),
    }

    def step(loss: Callable[..., torch.Tensor], *arguments: Any) -> Callable[[], object]:
        return lambda: torch.autograd.grad(loss(logits, *arguments), logits)

    sides = {name: step(loss, masks) for name, loss in LOSSES.items()}
    sides |= {f"{name}, class weights": step(LOSSES[name], masks, [0.5, 1.0, 4.0]) for name in ("ce", "dice")}
    # SMP wants numbers of 64 bits, which a loader of bytes has to make each step
    sides |= {
        f"{name}, SMP": step(lambda given, truth, loss=loss: loss(given, truth.long()), masks)
        for name, loss in theirs.items()
    }
    times = interleaved(sides, REPEATS)
    print(f"{'loss':<22}{'ms':>8}{'/ ce':>8}{'SMP ms':>9}")
    for name in [name for name in sides if not name.endswith("SMP")]:
        beside = f"{1000 * times[f'{name}, SMP']:>9.1f}" if f"{name}, SMP" in times else ""
        print(f"{name:<22}{1000 * times[name]:>8.1f}{times[name] / times['ce']:>8.1f}{beside}")
    figures = []
    for name in theirs:
        ratio, detail = (
            times[name] / times[f"{name}, SMP"],
            {"ours_ms": 1000 * times[name], "smp_ms": 1000 * times[f"{name}, SMP"]},
        )
        figures.append(
            Figure(
                f"{name}, ours / SMP's",
                ratio,
                f"<= {MOST:g}",
                ratio <= MOST,
                {**detail, "threads": torch.get_num_threads()},
            )
        )
    alone = {f"{name}_ms": 1000 * times[name] for name in ("bce", "topk", "boundary")}
    worst = max(times[name] for name in ("bce", "topk", "boundary")) / times["ce"]
    figures.append(Figure("bce, topk, boundary, the slowest / ce", worst, "<= 4", worst <= 4, dict(alone)))
    return publish("losses", figures)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
