"""`Network`: what predicts (a run's `Predictor`, a `Bundle`, several of them together), and images predicted with it.

network = open_network("runs/first")           # or the folder of a bundle, which needs no torch
network.predict("photo.jpg").labels            # H W uint8
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from maskwright.data.dataset import IGNORE, Bands, ClassMap
from maskwright.data.decoding import validate_fits_memory
from maskwright.data.geometry import View
from maskwright.data.tiles import EVEN, Forward, predict_whole
from maskwright.errors import MaskwrightError, UsageError, must
from maskwright.prediction.prediction import Prediction, is_image, read_pixels
from maskwright.prediction.threshold import calibrated, labels_from_probabilities, read_threshold

if TYPE_CHECKING:
    from PIL import Image

    Picture = str | Path | np.ndarray | Image.Image  # or a tensor C H W


FLIPS = ("hflip", "vflip")


@dataclass(frozen=True, kw_only=True)
class Network:
    """A trained network with all that predicting takes; one image at a time, so that no other can change a result."""

    # of several runs that predict together a further plane may tell their disagreement
    forward: Forward = field(repr=False)
    view: View
    classes: ClassMap
    bands: Bands
    any_depth: bool = False  # data.tones say what black and white are, whatever the depth of a file
    threshold: float = EVEN  # of two classes: above which probability a pixel is foreground
    tuned: float | None = None  # the threshold found on val, where it was asked for
    temperature: float | None = None  # fitted on val, of runs that were evaluated; labels and thresholds go by none
    flips: tuple[str, ...] = field(default=FLIPS, repr=False)  # that training saw
    identity: str = field(default="", repr=False)  # another where it may predict otherwise
    name: str = ""
    on_gpu: bool = False
    # data.json of its run, or of each that predicts with it
    data: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @overload
    def predict(self, image: Picture, threshold: str | float | None = None) -> Prediction: ...
    @overload
    def predict(self, image: Iterable[Picture], threshold: str | float | None = None) -> Iterator[Prediction]: ...
    def predict(self, image: Any, threshold: str | float | None = None) -> Prediction | Iterator[Prediction]:
        """Predict an image: a path, a PIL image, an array H W C or tensor C H W of uint8.

        Of an iterable of such each is predicted when it is asked for. `threshold` is the foreground's of two classes: a
        number, "fixed" (the run's own), or "tuned".
        """
        used = self.threshold_for(threshold)
        if is_image(image) or not isinstance(image, Iterable):
            return self._predict(image, used)
        return (self._predict(one, used) for one in image)

    def _predict(self, image: Picture, threshold: float | None) -> Prediction:
        pixels, valid, place = read_pixels(image, self.bands, self.any_depth)
        name = image if isinstance(image, str | Path) else "image"
        validate_fits_memory(name, (self.classes.num_classes, *pixels.shape[:2]), 4)
        probabilities = predict_whole(pixels, self.view, self.forward)
        labels = labels_from_probabilities(probabilities, threshold)
        if valid is not None:
            labels[~valid] = IGNORE
        probabilities = calibrated(probabilities, self.temperature)
        return Prediction(pixels, labels, probabilities, self.classes.names, place, self.temperature)

    def threshold_for(self, wish: str | float | None) -> float | None:
        """The foreground threshold that a wish comes to; None for more than two classes, which have none."""
        read = read_threshold(wish, self.classes.num_classes)
        if read == "tuned":
            if self.tuned is None:
                raise self._untuned()
            return self.tuned
        if self.classes.num_classes != 2:
            return None
        return self.threshold if read is None else read

    def _untuned(self) -> MaskwrightError:
        return UsageError(
            must("--mask-threshold", "a number for weights without a run", "tuned", "Give one, such as 0.5.")
        )


def open_network(
    path: str | Path, device: str | None = None, precision: str | None = None, threshold: str | float | None = None
) -> Network:
    """Open a run's or a bundle's folder; of a bundle no torch is imported, and it runs as it was exported.

    `device` is cpu, gpu or mps, `precision` bf16, fp16 or fp32; those of training without them. `threshold` is the
    foreground's from here on.
    """
    from maskwright.prediction.bundle import is_bundle, load_bundle

    if is_bundle(path):
        if device not in (None, "cpu") or precision:
            flag = "--precision" if precision else "--device"
            raise UsageError(must(flag, "left out with a bundle, which runs as it was exported", precision or device))
        network: Network = load_bundle(path)
    else:
        from maskwright.models.devices import named_device  # late: it imports torch
        from maskwright.prediction.predictor import Predictor
        from maskwright.runs import Run

        place = named_device(device)
        if precision not in (None, "bf16", "fp16", "fp32"):
            raise UsageError(must("--precision", "bf16, fp16 or fp32", precision))
        network = Predictor.from_run(Run.open(path), place, precision)
    used = network.threshold_for(threshold)
    return network if used is None else replace(network, threshold=used)
