"""What a run starts from, kept with it until it is finished: a resume needs neither the hub nor the file again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from maskwright.config import Config
from maskwright.config.models import MASK2FORMER_RATE, HfConfig, is_transformer
from maskwright.errors import RunError
from maskwright.files import validate_document
from maskwright.models import Segmenter
from maskwright.models.weights import DRAWN, can_be_mapped, first_difference, load_weights, own_weights
from maskwright.runs import START, Run
from maskwright.schemas import BestEpoch
from maskwright.training.freeze import ALWAYS, frozen_until

_MUCH = 5e-4  # of a rate that wants to be about 1e-4


def resolve_paths_and_pixels(config: Config, model: Segmenter) -> tuple[Config, dict[str, str]]:
    """The paths and normalisation a run keeps: a path valid from any folder, and the pixels' mean and deviation."""
    changes: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    own = own_weights(config.model.weights)
    if own is not None and config.model.weights != DRAWN:
        changes["model.weights"] = str(own.absolute())
    if getattr(config.model, "pixels", None) == "auto":
        mean, std = model.pixels
        changes["model.pixels"] = {"mean": mean, "std": std}
        reasons["model.pixels"] = _why_pixels(model)
    return (config.replace(changes) if changes else config), reasons


def _why_pixels(model: Segmenter) -> str:
    if model.loaded is None:
        return "ImageNet's: no weights ask for others"
    if model.loaded.source.startswith("file "):
        return "ImageNet's: a file of weights does not say what it expects; give model.pixels if they are others"
    return f"as {model.loaded.source} expects"


def rate_notes(config: Config) -> list[str]:
    """What a person should know who trains a transformer at a rate that suits convolutions."""
    rate, model = config.optim.lr, config.model
    if rate == "auto" or not is_transformer(model):
        return []
    if isinstance(model, HfConfig) and model.arch == "mask2former":
        if rate == MASK2FORMER_RATE:
            return [
                f"optim.lr is {rate:g} with mask2former, as in its paper: at the others' 0.002 it may make one map of "
                "all images"
            ]
        return (
            [f"optim.lr {rate:g} is much for mask2former, whose paper takes {MASK2FORMER_RATE:g}"]
            if rate >= _MUCH
            else []
        )
    learned = model.weights != "none" and frozen_until(config.optim).get("encoder") != ALWAYS
    if not learned or rate * config.optim.encoder_share < _MUCH:
        return []
    instead = "--lr 1e-4, or --optim.encoder_scale 0.05 for the encoder alone; --lr auto finds one by a test"
    return [f"optim.lr {rate:g} is much for a pretrained transformer, whose papers take 6e-5 to 1e-4: try {instead}"]


def describe_initial_weights(model: Segmenter) -> dict[str, Any]:
    """The entry of environment.json; empty for a network from scratch."""
    return {"weights": asdict(model.loaded)} if model.loaded else {}


def save_initial_weights(run: Run, model: Segmenter, config: Config) -> None:
    """Keep the first weights where they came from somewhere; random ones follow from the seed."""
    if config.model.weights == "none":
        return
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}

    def write(path: Path) -> None:
        save_file(tensors, path)

    run.write(f"checkpoints/{START}", write)


def load_initial_weights(run: Run, model: Segmenter, config: Config) -> None:
    """Put the kept first weights into a network built without them."""
    path = run.checkpoints / START
    if path.is_file():
        load_weights(path, model)
    elif config.model.weights != "none":
        fix = "Train a new run."
        raise RunError(
            f"`RUN` must hold its first weights until its first checkpoint; {run.root} has no {path.name}. {fix}"
        )


def validate_checkpoints(run: Run, model: Segmenter) -> int:
    """Stop where a checkpoint in the run's folder is of another network than its configuration and data make.

    Gives the step that last.ckpt was written after.
    """
    step = 0
    for path, prefix in ((run.checkpoints / "last.ckpt", "model."), (run.checkpoints / "best.ckpt", "")):
        state = torch.load(path, map_location="cpu", mmap=can_be_mapped(path), weights_only=True)
        tensors = state.get("state_dict", {}) if isinstance(state, dict) else {}
        named = {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}
        differs = first_difference(named, model.state_dict())
        if differs:
            fix = "Restore it, or remove last.ckpt to train the run from its start."
            raise RunError(f"`{path}` must be a checkpoint of this run's model; in it {differs}. {fix}")
        validate_document(path, {key: value for key, value in state.items() if key != "state_dict"}, BestEpoch)
        step = max(step, int(state.get("global_step", 0)))
    return step


def delete_initial_weights(run: Run) -> None:
    """Remove the first weights of a finished run."""
    (run.checkpoints / START).unlink(missing_ok=True)
