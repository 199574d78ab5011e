"""`Predictor`: a run's network, ready for images of any size.

    predictor = Predictor.from_run(Run.open("runs/first"))
    predictor.predict("photo.jpg").labels          # H W uint8

One image at a time, so that no other image, batch size or padding can change a result.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from maskwright import runtime
from maskwright.config import Config
from maskwright.data.dataset import IGNORE, Bands, ClassMap
from maskwright.data.decoding import validate_fits_memory
from maskwright.data.geometry import View
from maskwright.data.record import bands_of, class_map
from maskwright.errors import RunError, UsageError, as_typed, must
from maskwright.models import Segmenter, build_model
from maskwright.models.devices import (
    autocast,
    choose_device,
    choose_precision,
    torch_device,
    validate_device,
    validate_precision,
)
from maskwright.models.weights import load_weights
from maskwright.models.wrapper import EVEN, labels_from_logits, logits_at_own_size, probabilities_of
from maskwright.prediction.ledger import file_digest
from maskwright.prediction.prediction import Prediction, read_pixels
from maskwright.prediction.settled import calibrated, fingerprint_of, read_settled
from maskwright.prediction.threshold import foreground, labels_from_probabilities, read_threshold
from maskwright.runs import Run
from maskwright.training.resolve import view_of


@dataclass(frozen=True)
class Predictor:
    """A trained network with its view and classes; of two classes, `threshold` is the foreground's it was trained with."""

    model: Segmenter
    view: View
    classes: ClassMap
    bands: Bands
    device: torch.device
    precision: str
    threshold: float = EVEN
    any_depth: bool = False  # data.tones say what black and white are, whatever the depth of a file
    identity: str = ""  # another where weights, arithmetic or temperature are others
    temperature: float | None = None  # fitted on val, of runs that were evaluated; labels and thresholds go by none
    tuned: float | None = None  # the threshold found on val, where it was asked for
    source: Path | None = None  # the run's folder

    @classmethod
    def from_run(cls, run: Run, device: str | None = None, precision: str | None = None) -> Predictor:
        """Load the best weights of a finished run; nothing outside its folder is needed.

        `device` is cpu or gpu; without one a GPU if there is one, but for runs that were trained on a CPU. `precision` is that
        of training where this machine has it, if not given.
        """
        config, classes, bands = run.resolved_config(), class_map(run.data), bands_of(run.data)
        if not run.weights.is_file():
            fix = f"Finish it first: maskwright train --resume {as_typed(run.root)}"
            raise RunError(f"`RUN` must be a finished run; {run.root} has no {run.weights.name} yet. {fix}")
        runtime.tune_allocator()
        model = build_model(config.model, classes, bands.num_channels, start=False)  # what the run holds is laid over it
        load_weights(run.weights, model)
        weights = file_digest(run.weights)
        loaded = cls.of(config, model, classes, bands, device, precision, weights)
        settled = read_settled(run, fingerprint_of(run.data["splits"].get("val", [])), weights) or {}
        temperature, tuned = (settled.get(key) or {} for key in ("temperature", "threshold"))
        temperature = temperature.get("value")
        identity = f"{loaded.identity} {temperature}"
        return replace(loaded, identity=identity, temperature=temperature, tuned=tuned.get("value"), source=run.root)

    @classmethod
    def of(
        cls, config: Config, model: Segmenter, classes: ClassMap, bands: Bands, device_name: str | None = None,
        precision: str | None = None, weights: str = "",
    ) -> Predictor:  # fmt: skip
        """A network that holds its weights, with what a resolved configuration says of predicting."""
        device_name = device_name or ("cpu" if config.train.devices == "cpu" else choose_device()[0])
        validate_device(device_name)
        device = torch_device(device_name)
        # the arithmetic it was validated with, where this machine has it
        trained, fast = config.train.precision, choose_precision(device_name)[0]
        if precision is None:
            precision = fast if trained in ("bf16", "fp16") else "fp32"  # a run may have been trained on another machine
        validate_precision(precision, device_name)
        model = model.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        threshold, any_depth = config.train.mask_threshold, config.data.tones is not None
        identity = f"{weights} {device.type} {precision}"
        return cls(model.eval(), view_of(config), classes, bands, device, precision, threshold, any_depth, identity)

    def predict(self, image: np.ndarray | str | Path, threshold: str | float | None = None) -> Prediction:
        """Predict one image (a path, or H W 3 uint8 RGB).

        `threshold` is the foreground's: a number, "tuned", or without one the run's own.
        """
        used = self.threshold_for(threshold)
        pixels, valid, place = read_pixels(image, self.bands, self.any_depth)
        name = image if isinstance(image, str | Path) else "image"
        validate_fits_memory(name, (self.classes.num_classes, *pixels.shape[:2]), 4)  # its probabilities
        logits = self.logits(pixels)
        probabilities = logits.softmax(dim=1)[0].cpu().numpy()
        labels = self.labels(logits, used)
        if valid is not None:
            labels[~valid] = IGNORE
        probabilities = calibrated(probabilities, self.temperature)
        return Prediction(pixels, labels, probabilities, self.classes.names, place, self.temperature)

    def threshold_for(self, wish: str | float | None) -> float | None:
        """The threshold that a wish comes to when no mask is at hand, None for the run's own; `tuned` was tuned before."""
        read = read_threshold(wish, self.classes.num_classes)
        if read != "tuned":
            return read
        if self.source is None:
            raise UsageError(must("--mask-threshold", "a number for weights without a run", "tuned", "Give one, such as 0.5."))
        if self.tuned is None:
            fix = f"Tune it first: maskwright evaluate {as_typed(self.source)} --mask-threshold tuned"
            got = f"{self.source} without a threshold for its weights"
            raise RunError(must("--mask-threshold tuned", "tuned on val before", got, fix))
        return self.tuned

    def validate_threshold(self, threshold: float | None) -> None:
        """Stop when a threshold means nothing here."""
        read_threshold(threshold, self.classes.num_classes)

    @torch.inference_mode()
    def forward(self, images: np.ndarray) -> np.ndarray:
        """Probabilities of tiles, or of images of one size, as `data/tiles` asks for them. N h w C uint8 → N K h w float32"""
        with autocast(self.device, self.precision):
            found = probabilities_of(self.model, self.device)(images)
        _refuse_spoilt(bool(np.isfinite(found[:, 0]).all()))  # one class that is no number makes all so
        return found

    def labels_of(self, probabilities: np.ndarray, threshold: float | None = None) -> np.ndarray:
        """Class numbers from probabilities. K H W → H W uint8"""
        return labels_from_probabilities(probabilities, threshold, self.threshold)

    @torch.inference_mode()
    def logits(self, pixels: np.ndarray) -> torch.Tensor:
        """Logits at the image's own size. H W 3 uint8 → 1 K H W"""
        with autocast(self.device, self.precision):
            logits = logits_at_own_size(self.model, pixels, self.view, self.device)
        _refuse_spoilt(bool(logits.isfinite().all()))
        return logits

    def labels(self, logits: torch.Tensor, threshold: float | None = None) -> np.ndarray:
        """Class numbers from logits. 1 K H W → H W uint8"""
        if threshold is None:
            return labels_from_logits(logits, self.threshold)[0].cpu().numpy()
        self.validate_threshold(threshold)
        return (foreground(logits) >= threshold).to(torch.uint8).cpu().numpy()


def _refuse_spoilt(finite: bool) -> None:
    if not finite:
        fix = "Restore its folder, or train anew."
        raise RunError(f"the network's outputs must be finite numbers; they are not: the run's weights are spoilt. {fix}")
