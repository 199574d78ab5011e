"""The start from drawn pictures: an endless stream with masks that fit, a training of it, and weights that are taken
up.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from maskwright.config.models import SmpConfig
from maskwright.data.dataset import ClassMap
from maskwright.models import build_model
from maskwright.models.choice import SLIM

FOLDER = Path(__file__).parents[2] / "recipes" / "pretrain"
TWO = ClassMap(("background", "foreground"), (0, 1))


@pytest.fixture(scope="module")
def scenes():
    sys.path.insert(0, str(FOLDER))
    try:
        import scenes

        yield scenes
    finally:
        sys.path.remove(str(FOLDER))


def test_the_same_seed_draws_the_same_and_another_something_else(scenes):
    one, same, other = (scenes.Scenes(np.random.default_rng(seed)).draw(48) for seed in (3, 3, 4))
    assert all((a == b).all() for a, b in zip(one, same, strict=True))
    assert (one[0] != other[0]).any()


def test_all_shapes_materials_and_edges_are_drawn_and_nothing_fills_all(scenes):
    stream = scenes.Scenes(np.random.default_rng(0))
    seen = [np.zeros(num, int) for num in scenes.SCHEMES.values()]
    for _ in range(120):
        image, labels = stream.draw(64)
        assert image.shape == (64, 64, 3) and image.dtype == np.uint8
        for counts, scheme in zip(seen, labels, strict=True):
            counts += np.bincount(scheme.ravel(), minlength=len(counts))
    for counts in seen:
        share = counts / counts.sum()
        assert (share > 0.0005).all() and share.max() < 0.95


def test_an_edge_runs_where_one_thing_ends(scenes):
    thing = np.zeros((9, 9), np.int32)
    thing[:, 5:] = 1
    edge = scenes._edges(thing)
    assert edge[:, 4:7].any(axis=1).all() and not edge[:, :4].any() and not edge[:, 7:].any()


def test_what_the_recipe_learns_is_a_start_for_the_network_that_auto_chooses(scenes, tmp_path, monkeypatch):
    """Begun in this process, to save the seconds, and gone on with as it is typed."""
    import pretrain  # beside the module of the fixture

    out = tmp_path / "weights.safetensors"
    words = ["--pictures", "8", "--size", "32", "--batch", "2", "--workers", "0", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["pretrain.py", *words])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as where a script runs alone: they are told, and end nothing
        pretrain.main()
    words[1] = "12"
    went_on = subprocess.run([sys.executable, FOLDER / "pretrain.py", *words, "--resume"], check=True, timeout=120,
                             capture_output=True, text=True)  # fmt: skip
    assert went_on.stdout.endswith("12 pictures\n")
    with safe_open(out, "pt") as file:
        assert file.metadata()["licence"] == "Apache-2.0"
    model = build_model(SmpConfig(encoder="resnet18", weights=str(out), **SLIM), TWO)
    assert model.loaded is not None and {name.split(".")[1] for name in model.loaded.fresh} == {"segmentation_head"}
