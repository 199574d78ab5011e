"""Logits → counts for 8×19×512², ours beside argmax on NCHW + torchmetrics.

python benchmarks/counting.py
"""

from __future__ import annotations

import sys

from common import Figure, interleaved, publish
from maskwright import runtime


def main() -> bool:
    runtime.tune_allocator()
    runtime.ensure_torchvision()
    import torch
    from torchmetrics.classification import MulticlassJaccardIndex

    from maskwright.metrics.counts import confusion
    from maskwright.models.wrapper import labels_from_logits

    planes = torch.randn(8, 19, 512, 512)
    ours = planes.contiguous(memory_format=torch.channels_last)  # as a channels_last network gives them
    truth = torch.randint(0, 19, (8, 512, 512), dtype=torch.uint8)
    long_truth, metric = truth.long(), MulticlassJaccardIndex(19, ignore_index=255)
    times = interleaved(
        {
            "ours": lambda: confusion(truth.numpy(), labels_from_logits(planes).numpy(), 19),
            "ours, channels last": lambda: confusion(truth.numpy(), labels_from_logits(ours).numpy(), 19),
            "usual": lambda: metric.update(planes.argmax(1), long_truth),
        },
        repeats=9,
    )
    figures = []
    # planes are what resizing to the image's own size gives; channels last what the network gives where nothing is
    # resized
    for side, bar in (("ours", 1 / 20), ("ours, channels last", 1 / 8)):
        ratio = times[side] / times["usual"]
        detail = {"ours_ms": 1000 * times[side], "usual_ms": 1000 * times["usual"]}
        figures.append(Figure(f"logits to counts, {side} / usual", ratio, f"<= {bar}", ratio <= bar, detail))
    return publish("counting", figures)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
