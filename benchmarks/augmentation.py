"""Load and augment a 512×512 pair from the cache, beside albumentations' four usual steps, on one core.

python benchmarks/augmentation.py
"""

from __future__ import annotations

import itertools
import sys
import warnings

import cv2
import numpy as np

from common import Figure, interleaved, publish, seconds
from maskwright import runtime
from maskwright.config.augment import AugmentOp
from maskwright.data.augment import augment, resolve, sample_rng
from maskwright.data.geometry import View
from maskwright.data.synthetic import GENERATORS


def main() -> bool:
    warnings.simplefilter("ignore")
    import albumentations as A
    import torch

    runtime.tune_allocator()
    from maskwright.models import Segmenter
    from maskwright.models.unet import Unet

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    image, mask = GENERATORS["landcover"].draw(np.random.default_rng(0), 512, 512)
    pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.ShiftScaleRotate(p=1.0), A.ColorJitter(p=1.0), A.Normalize()])
    view, numbers = View("crop", 512), itertools.count()
    # like ColorJitter: brightness, contrast, saturation and hue, every time; normalisation is on the batch, timed
    # beside
    plan = resolve([*(AugmentOp(name=op.name, amount=op.amount) for op in resolve("standard")),
                    AugmentOp(name="saturation", p=1), AugmentOp(name="hue", p=1)])  # fmt: skip
    batch, segmenter = torch.zeros(8, 512, 512, 3, dtype=torch.uint8).permute(0, 3, 1, 2), Segmenter(Unet(3, 2, 2, 1))

    def ours() -> object:
        return augment(image, mask, view, plan, sample_rng(0, 0, next(numbers)))

    normalising = min(seconds(lambda: segmenter.normalise(batch), 5)) / 8
    times = interleaved({"ours": ours, "albumentations": lambda: pipeline(image=image, mask=mask)}, repeats=200)
    ratio = times["ours"] / times["albumentations"]
    detail: dict[str, object] = {"ours_ms": 1000 * times["ours"], "albumentations_ms": 1000 * times["albumentations"]}
    detail["normalising_on_the_batch_ms_an_image"] = 1000 * normalising
    return publish("augmentation", [Figure("augment, ours / albumentations", ratio, "<= 0.5", ratio <= 0.5, detail)])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
