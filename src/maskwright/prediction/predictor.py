"""`Predictor`: a run's network, ready for images of any size.

predictor = Predictor.from_run(Run.open("runs/first"))
predictor.predict("photo.jpg").labels          # H W uint8
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from maskwright import runtime
from maskwright.config import Config
from maskwright.config.augment import AugmentOp
from maskwright.data.augment import PRESETS
from maskwright.data.dataset import Bands, ClassMap
from maskwright.data.record import bands_of, class_map
from maskwright.data.tiles import Forward
from maskwright.errors import MaskwrightError, RunError, as_typed, must
from maskwright.files import file_digest
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
from maskwright.models.wrapper import labels_from_logits, logits_at_own_size, probabilities_of
from maskwright.prediction.network import FLIPS, Network
from maskwright.prediction.threshold import read_settled
from maskwright.runs import Run, refuse_unfinished
from maskwright.training.resolve import view_of


@dataclass(frozen=True, kw_only=True)
class Predictor(Network):
    """A run's network on its device."""

    model: Segmenter = field(repr=False)
    device: torch.device
    precision: str
    root: Path | None = None  # the run's folder
    weights: str = field(default="", repr=False)  # the hash of the file
    # settled.json, where it is of these weights and val images
    settled: dict[str, Any] | None = field(default=None, repr=False)

    @classmethod
    def from_run(cls, run: Run, device: str | None = None, precision: str | None = None) -> Predictor:
        """Load the best weights of a finished run; nothing outside its folder is needed.

        `device` is cpu or gpu; without one a GPU if there is one, but for runs that were trained on a CPU. `precision`
        is that of training where this machine has it, if not given.
        """
        config, document = run.resolved_config(), run.data
        classes, bands = class_map(document), bands_of(document)
        refuse_unfinished(run)
        runtime.tune_allocator()
        # what the run holds is loaded into it
        multiscale = config.data.multiscale is True
        model = build_model(config.model, classes, bands.num_channels, start=False, multiscale=multiscale)
        load_weights(run.weights, model)
        loaded = cls.of(config, model, classes, bands, device, precision)
        weights = file_digest(run.weights)
        settled = read_settled(run, document, weights)
        temperature, tuned = ((settled or {}).get(key) or {} for key in ("temperature", "threshold"))
        temperature = temperature.get("value")
        identity = f"{weights} {loaded.device.type} {loaded.precision} {temperature} {multiscale}"
        return replace(loaded, identity=identity, temperature=temperature, tuned=tuned.get("value"), root=run.root,
                       name=run.name, data=(document,), weights=weights, settled=settled)  # fmt: skip

    @classmethod
    def of(
        cls, config: Config, model: Segmenter, classes: ClassMap, bands: Bands, device_name: str | None = None,
        precision: str | None = None,
    ) -> Predictor:  # fmt: skip
        """A network that holds its weights, with what a resolved configuration says of predicting."""
        device_name = device_name or ("cpu" if config.train.devices == "cpu" else choose_device()[0])
        validate_device(device_name)
        device = torch_device(device_name)
        # the arithmetic it was validated with, where this machine has it
        trained, fast = config.train.precision, choose_precision(device_name)[0]
        if precision is None:
            # a run may have been trained on another machine
            precision = fast if trained in ("bf16", "fp16") else "fp32"
        validate_precision(precision, device_name)
        model = model.to(device).to(memory_format=torch.channels_last).eval()  # pyright: ignore[reportCallIssue]
        return cls(
            forward=_forward(model, device, precision), view=view_of(config), classes=classes, bands=bands,
            any_depth=config.data.tones is not None, threshold=config.train.mask_threshold, on_gpu=device.type != "cpu",
            flips=_flips(config.augment), model=model, device=device, precision=precision,
        )  # fmt: skip

    def _untuned(self) -> MaskwrightError:
        if self.root is None:
            return super()._untuned()
        fix = f"Tune it first: maskwright evaluate {as_typed(self.root)} --mask-threshold tuned"
        return RunError(
            must("--mask-threshold tuned", "tuned on val before", f"{self.root} without one for its weights", fix)
        )

    @torch.inference_mode()
    def logits(self, pixels: np.ndarray) -> torch.Tensor:
        """Logits at the image's own size. H W C uint8 → 1 K H W"""
        with autocast(self.device, self.precision):
            logits = logits_at_own_size(self.model, pixels, self.view, self.device)
        _refuse_spoilt(bool(logits.isfinite().all()))
        return logits

    def labels(self, logits: torch.Tensor, threshold: float | None = None) -> np.ndarray:
        """Class numbers from logits. 1 K H W → H W uint8"""
        return labels_from_logits(logits, self.threshold if threshold is None else threshold)[0].cpu().numpy()


def _flips(augment: Any) -> tuple[str, ...]:
    """The mirror images that training drew; all, where nobody knows: somebody else's step may have drawn any."""
    if augment == "auto" or not (isinstance(augment, str) or all(isinstance(step, AugmentOp) for step in augment)):
        return FLIPS
    preset = isinstance(augment, str)
    drawn = {name for name, _ in PRESETS[augment]} if preset else {step.name for step in augment if step.p != 0}
    if {"rot90", "hflip"} <= drawn:
        return FLIPS
    return tuple(flip for flip in FLIPS if flip in drawn)


def _forward(model: Segmenter, device: torch.device, precision: str) -> Forward:
    """Probabilities of tiles, or of images of one size, as `data/tiles` asks for them."""
    inner = probabilities_of(model, device)

    @torch.inference_mode()
    def forward(images: np.ndarray) -> np.ndarray:
        with autocast(device, precision):
            found = inner(images)
        _refuse_spoilt(bool(np.isfinite(found[:, 0]).all()))  # one class that is no number makes all so
        return found

    return forward


def _refuse_spoilt(finite: bool) -> None:
    if not finite:
        fix = "Restore its folder, or train anew."
        raise RunError(
            f"the network's outputs must be finite numbers; they are not: the run's weights are spoilt. {fix}"
        )
