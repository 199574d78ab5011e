"""`Predictor`: a run's network, ready for images of any size; `Prediction`: what it says of one.

    predictor = Predictor.from_run(Run.open("runs/first"))
    predictor.predict("photo.jpg").labels          # H W uint8

One image at a time, so that no other image, batch size or padding can change a result.
"""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from maskwright import runtime
from maskwright.config import Config
from maskwright.data.dataset import IGNORE, Bands, ClassMap
from maskwright.data.decoding import read_bytes, refuse_beyond_memory
from maskwright.data.geometry import View
from maskwright.data.images import decode_raw, finite_pixels, to_uint8
from maskwright.data.pictures import contrasting, overlay, palette, shown
from maskwright.data.rasters import Georeference, georeferenced, raster_pixels, read_georeference
from maskwright.data.record import bands_of, class_map
from maskwright.errors import DataError, RunError, UsageError, as_typed, must
from maskwright.models import Segmenter, build_model
from maskwright.models.devices import autocast, choose_device, choose_precision, torch_device
from maskwright.models.weights import load_weights
from maskwright.models.wrapper import EVEN, labels_from_logits, logits_at_own_size
from maskwright.prediction.threshold import foreground, read_threshold
from maskwright.runs import Run
from maskwright.training.resolve import view_of

_ONE_BY_ONE = "Predict its images one by one, or have them written to files: maskwright predict RUN FOLDER --out DIR."
_GREY = (0, 0, 0)  # the bands chosen where every image of a data set is grey


@dataclass(frozen=True)
class Prediction:
    """Labels and probabilities of one image at its own size.

    image H W 3 uint8, labels H W uint8 (IGNORE where there are no data: a raster's nodata, NaN), probabilities K H W float32;
    `georeference` says where a georeferenced raster lies.
    """

    image: np.ndarray = field(repr=False)
    labels: np.ndarray = field(repr=False)
    probabilities: np.ndarray = field(repr=False)
    classes: tuple[str, ...]
    georeference: Georeference | None = None

    @property
    def shares(self) -> dict[str, float]:
        """Share of the labelled pixels each class has."""
        counts = np.bincount(self.labels.ravel(), minlength=len(self.classes))
        return {name: float(counts[index] / max(1, counts[: len(self.classes)].sum())) for index, name in enumerate(self.classes)}

    def overlay(self) -> np.ndarray:
        """The image with its classes tinted and outlined; of two classes in a colour that the image has little of. H W 3 uint8"""
        image, colours = shown(self.image), palette(len(self.classes))
        return overlay(image, self.labels, contrasting(image, colours) if len(self.classes) == 2 else colours)

    def __str__(self) -> str:
        height, width = self.labels.shape
        told = ", ".join(f"{name} {share:.1%}" for name, share in self.shares.items())
        return f"Prediction {width}x{height}: {told}"

    __repr__ = __str__

    def _repr_png_(self) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(self.overlay()).save(buffer, "PNG")
        return buffer.getvalue()


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

    @classmethod
    def from_run(cls, run: Run) -> Predictor:
        """Load the best weights of a finished run; nothing outside its folder is needed."""
        config, classes, bands = run.resolved_config(), class_map(run.data), bands_of(run.data)
        if not run.weights.is_file():
            fix = f"Finish it first: maskwright train --resume {as_typed(run.root)}"
            raise RunError(f"`RUN` must be a finished run; {run.root} has no {run.weights.name} yet. {fix}")
        runtime.tune_allocator()
        model = build_model(config.model, classes, bands.num_channels, start=False)  # what the run holds is laid over it
        load_weights(run.weights, model)
        return cls.of(config, model, classes, bands)

    @classmethod
    def of(cls, config: Config, model: Segmenter, classes: ClassMap, bands: Bands) -> Predictor:
        """A network that holds its weights, with what a resolved configuration says of predicting."""
        device_name = "cpu" if config.train.devices == "cpu" else choose_device()[0]
        device = torch_device(device_name)
        # the arithmetic it was validated with, where this machine has it
        trained, fast = config.train.precision, choose_precision(device_name)[0]
        precision = fast if trained in ("bf16", "fp16") else "fp32"  # a run may have been trained on another machine
        model = model.to(device).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        threshold, any_depth = config.train.mask_threshold, config.data.tones is not None
        return cls(model.eval(), view_of(config), classes, bands, device, precision, threshold, any_depth)

    def predict(self, image: np.ndarray | str | Path, threshold: float | None = None) -> Prediction:
        """Predict one image (a path, or H W 3 uint8 RGB); `threshold` is the foreground's, the run's own when not given."""
        pixels, valid, place = read_pixels(image, self.bands, self.any_depth)
        name = image if isinstance(image, str | Path) else "image"
        refuse_beyond_memory(name, (self.classes.num_classes, *pixels.shape[:2]), 4)  # its probabilities
        logits = self.logits(pixels)
        probabilities = logits.softmax(dim=1)[0].cpu().numpy()
        labels = self.labels(logits, threshold)
        if valid is not None:
            labels[~valid] = IGNORE
        return Prediction(pixels, labels, probabilities, self.classes.names, place)

    def refuse_threshold(self, threshold: float | None) -> None:
        """Stop when a threshold means nothing here."""
        read_threshold(threshold, self.classes.num_classes)

    @torch.inference_mode()
    def logits(self, pixels: np.ndarray) -> torch.Tensor:
        """Logits at the image's own size. H W 3 uint8 → 1 K H W"""
        with autocast(self.device, self.precision):
            logits = logits_at_own_size(self.model, pixels, self.view, self.device)
        if not logits.isfinite().all():
            fix = "Restore its folder, or train anew."
            raise RunError(f"the network's outputs must be finite numbers; they are not: the run's weights are spoilt. {fix}")
        return logits

    def labels(self, logits: torch.Tensor, threshold: float | None = None) -> np.ndarray:
        """Class numbers from logits. 1 K H W → H W uint8"""
        if threshold is None:
            return labels_from_logits(logits, self.threshold)[0].cpu().numpy()
        self.refuse_threshold(threshold)
        return (foreground(logits) >= threshold).to(torch.uint8).cpu().numpy()


def read_pixels(
    image: np.ndarray | str | Path, bands: Bands, any_depth: bool
) -> tuple[np.ndarray, np.ndarray | None, Georeference | None]:
    """The image as the network sees it, where it holds data (None: everywhere), and where it lies if it says so."""
    if isinstance(image, np.ndarray):
        channels = bands.num_channels
        if image.ndim == 2 and image.dtype == np.uint8 and channels == 3:
            return np.repeat(image[..., None], 3, axis=2), None, None
        if image.ndim != 3 or image.shape[2] != channels or image.dtype != np.uint8 or 0 in image.shape:
            got = f"shape {image.shape} of {image.dtype}"
            kind = "RGB" if channels == 3 else "the run's bands"
            raise DataError(must("image", f"height × width × {channels} of uint8 ({kind})", got, "Convert it first."))
        return image, None, None
    if not isinstance(image, str | Path):
        raise UsageError(must("image", "the path of one image, or an array of its pixels", type(image).__name__, _ONE_BY_ONE))
    path = Path(image)
    if path.is_dir():
        raise DataError(f"`{path}` must be a file; it is a folder. {_ONE_BY_ONE}")
    if georeferenced(path):
        raw, valid = raster_pixels(path)
        place = read_georeference(path)
    else:
        raw, place = decode_raw(read_bytes(path), path), None
        valid = finite_pixels(raw)
    if not any_depth:
        _refuse_other_kind(raw, bands, path)
    return to_uint8(raw, bands, path), valid, place


def _refuse_other_kind(raw: np.ndarray, bands: Bands, path: Path) -> None:
    """Tones settled on 16-bit files make an 8-bit one black; 16 bits cut to 8, or one of three colours, would be a guess."""
    wish = "an image of more than 8 bits" if bands.low else "an 8-bit image"
    if (raw.dtype == np.uint8) == bool(bands.low):
        raise DataError(f"`{path}` must be {wish}, as those the run was trained on; got {raw.dtype}. Convert it first.")
    if bands.chosen == _GREY and raw.shape[2] == 3 and not (raw == raw[..., :1]).all():
        raise DataError(f"`{path}` must be a grey image, as those the run was trained on; got colours. Convert it first.")
