"""Load and augment a 512×512 pair from the cache, beside albumentations' four usual steps, on one core.

python benchmarks/augmentation.py
"""

from __future__ import annotations

import itertools
import sys
import warnings

import cv2
import numpy as np

from common import Figure, interleaved, publish
from maskwright.data.augment import augment, resolve, sample_rng
from maskwright.data.geometry import View
from maskwright.data.synthetic import GENERATORS


def main() -> bool:
    warnings.simplefilter("ignore")
    import albumentations as A
    import torch

    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    image, mask = GENERATORS["landcover"].draw(np.random.default_rng(0), 512, 512)
    pipeline = A.Compose([A.HorizontalFlip(p=0.5), A.ShiftScaleRotate(p=1.0), A.ColorJitter(p=1.0), A.Normalize()])
    view, plan, numbers = View("crop", 512), resolve("standard"), itertools.count()
    mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])

    def ours() -> object:
        # the batch's normalisation is counted in, though a GPU would do it
        pixels, labels = augment(image, mask, view, plan, sample_rng(0, 0, next(numbers)))
        return (torch.from_numpy(pixels) - mean) / std, labels

    times = interleaved({"ours": ours, "albumentations": lambda: pipeline(image=image, mask=mask)}, repeats=200)
    ratio = times["ours"] / times["albumentations"]
    detail = {"ours_ms": 1000 * times["ours"], "albumentations_ms": 1000 * times["albumentations"]}
    return publish("augmentation", [Figure("augment, ours / albumentations", ratio, "<= 0.5", ratio <= 0.5, detail)])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
