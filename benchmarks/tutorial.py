"""The loop most tutorials show, kept as an honest opponent: PIL, albumentations, DataLoader, torchmetrics, fp32.

Nothing is made slower than its authors would write it; a U-Net-ResNet34 or our scratch U-Net is trained by it.
"""

from __future__ import annotations

import csv
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from maskwright import runtime

runtime.ensure_torchvision()  # on a CPU-only torch, torchmetrics could not be imported otherwise


def build(model: str, num_classes: int) -> Any:
    """The network, as both sides use it."""
    if model == "unet":
        from maskwright.models.unet import Unet

        return Unet(3, num_classes)
    import segmentation_models_pytorch as smp

    return smp.Unet("resnet34", encoder_weights=None, classes=num_classes)


def dataset(root: Path, train: bool) -> Any:
    """A Dataset that opens both files for each item."""
    warnings.simplefilter("ignore")
    import albumentations as A
    from albumentations.pytorch import ToTensorV2
    from PIL import Image
    from torch.utils.data import Dataset

    steps: list[Any] = [A.RandomCrop(256, 256)] if train else [A.CenterCrop(256, 256)]
    if train:
        steps += [A.HorizontalFlip(p=0.5), A.ShiftScaleRotate(p=0.5), A.ColorJitter(p=0.5)]
    pipeline = A.Compose([*steps, A.Normalize(), ToTensorV2()])
    rows = list(csv.DictReader((root / "pairs.csv").open()))

    class Pairs(Dataset[Any]):
        def __len__(self) -> int:
            return len(rows)

        def __getitem__(self, index: int) -> Any:
            image = np.array(Image.open(root / rows[index]["image"]).convert("RGB"))
            mask = np.array(Image.open(root / rows[index]["mask"]))
            done = pipeline(image=image, mask=mask)
            return done["image"], done["mask"].long()

    return Pairs()


def train_rate(root: Path, model: str, batch_size: int, num_classes: int, steps: int) -> float:
    """Images a second over `steps` steps after two of warm-up."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchmetrics.classification import MulticlassJaccardIndex

    net = build(model, num_classes).train()
    optimizer, loss, metric = (
        torch.optim.Adam(net.parameters(), 1e-3),
        nn.CrossEntropyLoss(),
        MulticlassJaccardIndex(num_classes),
    )
    # workers make it no faster where two cores do everything (0, 1 and 2 were tried)
    loader = DataLoader(dataset(root, True), batch_size, shuffle=True, drop_last=True)
    times: list[float] = []
    while len(times) < steps + 2:
        before = time.perf_counter()
        for images, masks in loader:
            logits = net(images)
            value = loss(logits, masks)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            metric.update(logits.argmax(1), masks)
            value.item()
            times.append(time.perf_counter() - before)
            before = time.perf_counter()
            if len(times) == steps + 2:
                break
    return batch_size / float(np.median(times[2:]))


def val_rate(root: Path, model: str, batch_size: int, num_classes: int) -> float:
    """Images a second of a validation pass over the whole set, the first batch left out."""
    import torch
    from torch import nn
    from torch.utils.data import DataLoader
    from torchmetrics.classification import MulticlassJaccardIndex

    net, loss, metric = build(model, num_classes).eval(), nn.CrossEntropyLoss(), MulticlassJaccardIndex(num_classes)
    times: list[float] = []
    with torch.no_grad():
        before = time.perf_counter()
        for images, masks in DataLoader(dataset(root, False), batch_size, drop_last=True):
            logits = net(images)
            loss(logits, masks).item()
            metric.update(logits.argmax(1), masks)
            times.append(time.perf_counter() - before)
            before = time.perf_counter()
    return batch_size / float(np.median(times[1:]))
