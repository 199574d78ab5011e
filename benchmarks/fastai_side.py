"""fastai as its course teaches segmentation, for a given time: unet_learner on ResNet34, its augmentation, one cycle.

Called by quality_per_minute.py; random weights, as on all sides. A few batches are timed first; as many epochs as fit
make the cycle, and where less than one fits, one of fewer images.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from pathlib import Path
from typing import ClassVar

import numpy as np

from maskwright import runtime

runtime.ensure_torchvision()
from PIL import Image  # noqa: E402

from quality_per_minute import IGNORE, LABELS, pairs  # noqa: E402

SIZES = {"puzzle": (512, 512), "camvid": (352, 480), "pets128": (128, 128), "nuclei": (256, 256), "cracks": (320, 480),
         "tiles": (320, 320), "skin": (288, 384)}  # fmt: skip
CLASSES = {"camvid": 11}


def main() -> None:
    from fastai.vision import all as fastai

    parser = argparse.ArgumentParser()
    for name in ("--data", "--root", "--out"):
        parser.add_argument(name)
    parser.add_argument("--budget", type=float)
    parser.add_argument("--seed", type=int)
    asked = parser.parse_args()
    began, out, data = time.perf_counter(), Path(asked.out), asked.data
    fastai.set_seed(asked.seed)
    masks = out / "masks"  # with labels as fastai wants them
    masks.mkdir(parents=True)
    found = {split: list(pairs(data, split)) for split in ("train", "val", "test")}
    if not found["val"]:
        found["val"], found["train"] = found["train"][::10], [one for n, one in enumerate(found["train"]) if n % 10]
    truth: dict[Path, Path] = {}
    for split in ("train", "val"):
        for image, mask in found[split]:
            truth[image] = masks / f"{split}-{image.stem}.png"
            Image.fromarray(
                np.asarray(LABELS.get(data, np.asarray)(np.asarray(Image.open(mask)))).astype(np.uint8)
            ).save(truth[image])
    val = {image for image, _ in found["val"]}
    block = fastai.DataBlock(
        blocks=(fastai.ImageBlock, fastai.MaskBlock(codes=[str(n) for n in range(CLASSES.get(data, 2))])),
        get_items=list, get_y=lambda image: truth[image],
        splitter=fastai.FuncSplitter(lambda image: image in val), item_tfms=fastai.Resize(SIZES[data], method="squish"),
        batch_tfms=[*fastai.aug_transforms(), fastai.Normalize.from_stats(*fastai.imagenet_stats)],
    )  # fmt: skip
    size = 16 if data == "pets128" else 4
    loaders = block.dataloaders(list(truth), bs=size, num_workers=0)
    loss = fastai.CrossEntropyLossFlat(axis=1, ignore_index=IGNORE)
    learner = fastai.unet_learner(
        loaders, fastai.resnet34, pretrained=False, loss_func=loss, n_out=CLASSES.get(data, 2)
    )

    class Timed(fastai.Callback):
        times: ClassVar[list[float]] = []

        def after_batch(self) -> None:
            self.times.append(time.perf_counter())
            if len(self.times) == 4:
                raise fastai.CancelFitException

    with learner.no_bar(), learner.no_logging():
        learner.fit(1, 1e-4, cbs=Timed())
        batch = (Timed.times[-1] - Timed.times[0]) / (len(Timed.times) - 1)
        epoch = batch * (len(loaders.train) + 0.5 * len(loaders.valid))
        left = asked.budget - (time.perf_counter() - began)
        if left < epoch:
            fitting = max(1, int(left / batch)) * size
            train = [image for image in truth if image not in val]
            chosen = random.Random(asked.seed).sample(train, min(fitting, len(train)))
            learner.dls = block.dataloaders([*chosen, *list(val)[:1]], bs=size, num_workers=0)
        learner.fit_one_cycle(max(1, int(left / epoch)), 1e-3)
        took = time.perf_counter() - began
        probabilities, _ = learner.get_preds(dl=learner.dls.test_dl([image for image, _ in found["test"]]))
    (out / "pred_test").mkdir()
    for (image, _), one in zip(found["test"], probabilities, strict=True):
        labels = Image.fromarray(one.argmax(0).numpy().astype(np.uint8))
        labels.resize(Image.open(image).size, Image.Resampling.NEAREST).save(out / "pred_test" / f"{image.stem}.png")
    (out / "result.json").write_text(json.dumps({"seconds": took}))


if __name__ == "__main__":
    main()
