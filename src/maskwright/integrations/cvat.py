"""An auto-annotation function for CVAT: masks of a run or a bundle for every image of a task.

    cvat-cli task auto-annotate 7 --function-module maskwright.integrations.cvat -p model=str:runs/first

https://docs.cvat.ai/docs/api_sdk/sdk/auto-annotation/
"""

from __future__ import annotations

from pathlib import Path

import cvat_sdk.auto_annotation as cvataa
import numpy as np
from cvat_sdk import models
from cvat_sdk.masks import encode_mask
from PIL import Image

from maskwright.data.tiles import predict_whole
from maskwright.prediction.network import Network, open_network
from maskwright.prediction.outlines import drawn_classes, outlines
from maskwright.prediction.prediction import as_seen, decoded_pixels
from maskwright.prediction.threshold import labels_from_probabilities


class AutoAnnotation:
    """What CVAT asks for: `spec`, the labels there are, and `detect`."""

    def __init__(self, network: Network) -> None:
        self._network, names = network, network.classes.names
        self._classes = drawn_classes(names)
        labels = [cvataa.label_spec(names[index], index, type="mask") for index in self._classes]
        self.spec = cvataa.DetectionFunctionSpec(labels=labels)

    def detect(self, context: cvataa.DetectionFunctionContext, image: Image.Image) -> list[models.LabeledShapeRequest]:
        """A mask for each class in the image, or a polygon for each of its regions where CVAT wants polygons.

        CVAT's threshold is that of two classes' foreground; of more, a pixel has the likeliest class.
        """
        labels = self._labels(image, Path(context.frame_name), context.conf_threshold)
        if context.conv_mask_to_poly:
            # a polygon of CVAT has no holes: those of a region are filled
            return [
                cvataa.polygon(index, rings[0][:-1].ravel().tolist())
                for index, rings in outlines(labels, self._classes)
            ]
        found = {index: labels == index for index in self._classes}
        return [cvataa.mask(index, encode_mask(inside)) for index, inside in found.items() if inside.any()]

    def _labels(self, image: Image.Image, name: Path, threshold: float | None) -> np.ndarray:
        network = self._network
        pixels = as_seen(decoded_pixels(image), network.bands, name, network.any_depth)
        used = threshold or network.threshold
        return predict_whole(
            pixels, network.view, network.forward, lambda block: labels_from_probabilities(block, used)
        )


def create(model: str, mask_threshold: str | float | None = None) -> AutoAnnotation:
    """The function of a run's or a bundle's folder, as CVAT's `-p model=str:FOLDER` names it."""
    return AutoAnnotation(open_network(model, threshold=mask_threshold))
