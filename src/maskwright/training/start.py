"""What a run starts from, kept with it until it is finished: a resume needs neither the hub nor the file again."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file

from maskwright.config import Config
from maskwright.errors import RunError
from maskwright.models import Segmenter
from maskwright.models.weights import own_weights
from maskwright.runs import START, Run


def settle_start(config: Config, model: Segmenter) -> tuple[Config, dict[str, str]]:
    """The paths and normalisation a run keeps: a path that holds from any folder, and the pixels' mean and deviation."""
    changes: dict[str, Any] = {}
    reasons: dict[str, str] = {}
    own = own_weights(config.model.weights)
    if own is not None:
        changes["model.weights"] = str(own.absolute())
    if getattr(config.model, "pixels", None) == "auto":
        mean, std = model.pixels
        changes["model.pixels"] = {"mean": mean, "std": std}
        source = model.loaded.source if model.loaded else None
        reasons["model.pixels"] = f"as {source} expects" if source else "ImageNet's: no weights ask for others"
    return (config.replace(changes) if changes else config), reasons


def told_start(model: Segmenter) -> dict[str, Any]:
    """The entry of environment.json; empty for a network from scratch."""
    return {"weights": asdict(model.loaded)} if model.loaded else {}


def write_start(run: Run, model: Segmenter, config: Config) -> None:
    """Keep the first weights where they came from somewhere; random ones follow from the seed."""
    if config.model.weights == "none":
        return
    tensors = {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}

    def write(path: Path) -> None:
        save_file(tensors, path)

    run.write(f"checkpoints/{START}", write)


def lay_start(run: Run, model: Segmenter, config: Config) -> None:
    """Put the kept first weights into a network built without them."""
    path = run.checkpoints / START
    if path.is_file():
        model.load_state_dict(load_file(path))
    elif config.model.weights != "none":
        fix = "Train a new run."
        raise RunError(f"`RUN` must hold its first weights until its first checkpoint; {run.root} has no {path.name}. {fix}")


def forget_start(run: Run) -> None:
    """Remove the first weights of a finished run."""
    (run.checkpoints / START).unlink(missing_ok=True)
