"""A file of weights made by a test, where torch.hub looks before it goes to the network."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch


def cached(home: Path, monkeypatch: pytest.MonkeyPatch, weights: Any, state: Mapping[str, torch.Tensor]) -> Path:
    """Save `state` as the file of a set of torchvision's weights, and make `home` torch's cache.

    The name of such a file ends in the first digits of its hash, which a made file cannot share; so the address of the
    set is replaced by one that ends in this file's own. All else is the real loading code.
    """
    folder = home / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(dict(state), folder / "made.pth")
    digest = hashlib.sha256((folder / "made.pth").read_bytes()).hexdigest()[:8]
    file = (folder / "made.pth").rename(folder / f"made-{digest}.pth")
    monkeypatch.setenv("TORCH_HOME", str(home))
    monkeypatch.setattr(weights.value, "url", f"https://weights.invalid/{file.name}")
    return file
