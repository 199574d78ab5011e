"""Comparisons of tiny networks, made once a session; not to be changed."""

from __future__ import annotations

import functools
import json
from pathlib import Path
from typing import Any

import yaml

from support import Outcome, data, maskwright, session_folder

SEEDS = (0, 1)
BASE: dict[str, Any] = {
    "data": {"view": "whole", "size": 32},
    "model": {"width": 2, "depth": 2},
    "optim": {"lr": 0.01},
    "train": {"epochs": 2, "repeats": 2, "batch_size": 4, "precision": "fp32", "devices": "cpu"},
    "log": ["csv"],
}
FAR = 1.0e30  # a learning rate no loss stays finite at


def base(**sections: dict[str, Any]) -> dict[str, Any]:
    """The base with some keys of its sections changed, and the data named."""
    tree = {key: dict(value) if isinstance(value, dict) else value for key, value in BASE.items()}
    tree["data"]["root"] = str(data())
    for name, keys in sections.items():
        tree[name] = {**tree.get(name, {}), **keys}
    return tree


def written(
    path: Path, matrix: dict[str, Any] | None = None, cells: list[Any] | None = None, **sections: dict[str, Any]
) -> Path:
    """A CONFIG of a comparison."""
    tree = {"base": base(**sections), **({"matrix": matrix} if matrix else {}), **({"cells": cells} if cells else {})}
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(tree, sort_keys=False))
    return path


@functools.cache
def outcome() -> Outcome:
    """What `maskwright compare CONFIG` said of two ways of up-sampling × two seeds."""
    config = written(session_folder() / "two.yaml", {"model.up": ["transposed", "bilinear"], "seed": list(SEEDS)})
    return maskwright("compare", config, "--out", session_folder() / "two")


def compared() -> Path:
    """The folder of that comparison."""
    assert outcome().code == 0, outcome().err
    return session_folder() / "two"


def states(root: Path) -> dict[str, dict[str, Any]]:
    """cells.json."""
    return json.loads((root / "cells.json").read_text())
