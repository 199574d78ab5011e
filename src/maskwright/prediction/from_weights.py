"""A person's own weights with a configuration: a network to predict with, though no run was ever made of it.

    config = load_config(None, parse_overrides(["--model", "unet", "--weights", "my.pth"]))
    predictor, notes = predictor_for(config, images)

What a file of weights does not say comes from the configuration, else from a default that the notes tell.
"""

from __future__ import annotations

import hashlib
import statistics
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from maskwright.config import Config
from maskwright.config.models import AutoModelConfig
from maskwright.data.dataset import RGB, Bands, ClassMap
from maskwright.data.geometry import Size, size_text
from maskwright.data.masks import named_values
from maskwright.errors import ConfigError, DataError, ModelError, counted, listed, must
from maskwright.files import file_digest
from maskwright.models import Segmenter, build_model, validate_bands
from maskwright.models.devices import choose_device, choose_precision
from maskwright.models.weights import SUFFIXES, own_weights, read_tensors
from maskwright.models.whole import Tensors, config_for, fit_statistics, num_outputs, take_whole
from maskwright.prediction.prediction import read_pixels
from maskwright.prediction.predictor import Predictor
from maskwright.training.resolve import Resolver, resolve_view, view_of

_LOOKED_AT = 4  # images whose pass through the network tells how it wants its pixels


def read_weights(config: Config) -> tuple[Path, Tensors]:
    """The weights file a configuration names, and its tensors."""
    path = own_weights(config.model.weights)
    if path is None:
        fix = "Name it with --weights FILE, or name a run folder alone."
        raise ConfigError(
            [must("model.weights", f"a weights file ({listed(SUFFIXES, 'or')})", config.model.weights, fix)]
        )
    if isinstance(config.model, AutoModelConfig):
        fix = "Name what the weights are of with --model: unet, unet/resnet34, deeplabv3_resnet50, …"
        raise ConfigError([must("model", "a network by name beside weights of your own", "auto", fix)])
    path = path / "model.safetensors" if path.is_dir() else path
    return path, read_tensors(path)


def load_network(
    config: Config, path: Path, tensors: Tensors, classes: ClassMap, num_channels: int, images: Sequence[np.ndarray]
) -> tuple[Segmenter, list[str]]:
    """The network of a resolved configuration with the file's tensors, and what one should know of how they fit."""
    outputs = num_outputs(config.model, tensors)
    if outputs not in (None, classes.num_classes, 1 if classes.is_binary else None):
        names = listed(classes.names, "and", 4)
        fix = "Name as many with --data.classes '{background: 0, NAME: 1, …}', or the model it was trained as."
        raise ModelError(
            f"`{path}` must give a channel for each class; it gives {outputs} and the classes are {names}. {fix}"
        )
    validate_bands(config.model, num_channels)
    model = build_model(config.model, classes, num_channels, False, config.data.multiscale is True)
    notes, renamed = take_whole(model, tensors, path, config.model)
    model.eval()
    given = getattr(config.model, "pixels", "auto") != "auto"
    return model, notes + fit_statistics(model, images[:_LOOKED_AT], view_of(config), given, renamed)


def predictor_for(config: Config, files: Sequence[Path]) -> tuple[Predictor, list[str]]:
    """What predicts with a configuration's weights, and what one should know of it; `files` are to be predicted."""
    path, tensors = read_weights(config)
    bands = _bands(config)
    config = config.model_copy(update={"model": config_for(config.model, tensors, bands.num_channels)})
    classes, notes = _classes(config, tensors)
    images = _readable(files, bands, config.data.tones is not None)
    to = Resolver(config)
    device = to.decide("train.devices", choose_device)
    to.decide("train.precision", lambda: choose_precision(device))
    longest = statistics.median(max(image.shape[:2]) for image in images) if images else 512
    kind, size, _ = resolve_view(to, longest, device)
    config = config.replace(to.changes)
    if "data.size" in to.reasons:
        notes.append(view_note(kind, size))
    model, remarks = load_network(config, path, tensors, classes, bands.num_channels, images)
    predictor = Predictor.of(config, model, classes, bands)
    used = [file_digest(path), config.model.model_dump_json(), config.data.model_dump_json(), remarks, device]
    identity = hashlib.sha256(repr([*used, predictor.precision]).encode()).hexdigest()
    return replace(predictor, identity=identity, name=path.stem), remarks + notes


def view_note(kind: str, size: Size) -> str:
    """How a network sees images where nobody said it."""
    sides = size_text(size)
    seen = f"whole, resized to {sides}" if kind == "whole" else f"in windows of {sides} at their own scale"
    return f"images are seen {seen}: if it was trained otherwise, give --size and --data.view"


def _classes(config: Config, tensors: Tensors) -> tuple[ClassMap, list[str]]:
    """The classes a configuration names, else as many as the file gives."""
    if config.data.classes is not None:
        names = tuple(named_values(config.data.classes))
        return ClassMap(names, tuple(range(len(names)))), []
    outputs = num_outputs(config.model, tensors) or 2
    names = ("background", "foreground") if outputs <= 2 else tuple(f"class {number}" for number in range(outputs))
    message = f"the file gives {counted(outputs, 'channel')}: classes are called {listed(names, 'and', 4)}"
    return ClassMap(names, tuple(range(len(names)))), [f"{message}; name them with --data.classes"]


def _bands(config: Config) -> Bands:
    data = config.data
    chosen = tuple(band - 1 for band in data.bands) if data.bands else RGB.chosen
    low, high = data.tones or (None, None)
    if low is None or high is None:
        return Bands(chosen)
    return Bands(chosen, (low,) * len(chosen), (high,) * len(chosen), "data.tones")


def _readable(files: Sequence[Path], bands: Bands, any_depth: bool) -> list[np.ndarray]:
    """The first images that can be read: one that can't is reported when its turn comes."""
    found: list[np.ndarray] = []
    for file in files:
        if len(found) == _LOOKED_AT:
            break
        try:
            found.append(read_pixels(file, bands, any_depth)[0])
        except DataError:
            continue
    return found
