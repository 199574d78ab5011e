"""What a GPU does otherwise: fp16, compiling, counting on the device. `benchmarks/gpu.py` runs all of it on one."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from maskwright.config.optim import OptimConfig
from maskwright.data.dataset import IGNORE
from maskwright.metrics.counts import confusion
from maskwright.training.module import confusion_on_device
from maskwright.training.optim import build_optimizer
from support import TINY, data, maskwright


@pytest.mark.parametrize("num_classes", [2, 5, 19])
def test_counting_on_a_device_is_counting(num_classes):
    rng = np.random.default_rng(0)
    masks = rng.integers(0, num_classes, (2, 9, 7)).astype(np.uint8)
    masks[rng.random(masks.shape) < 0.2] = IGNORE
    labels = rng.integers(0, num_classes, masks.shape).astype(np.uint8)
    found = confusion_on_device(torch.from_numpy(masks), torch.from_numpy(labels), num_classes)
    assert (found.numpy() == confusion(masks, labels, num_classes)).all()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_fp16_is_refused_where_nothing_multiplies_it(tmp_path):
    outcome = maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--precision", "fp16", "--out", tmp_path / "run")
    assert outcome.code == 2 and "`train.precision` must be bf16 or fp32 without an NVIDIA GPU" in outcome.sentence
    assert not (tmp_path / "run").exists()


def test_scaled_gradients_are_stepped_after_they_are_clipped():
    """A fused step unscales by itself, after the clipping; so there is none where the loss is scaled."""
    model = nn.Conv2d(1, 1, 1)
    model.part = lambda name: []  # pyright: ignore[reportAttributeAccessIssue]
    config = OptimConfig(name="adamw")
    assert build_optimizer(model, config).defaults["fused"] and not build_optimizer(model, config, fused=False).defaults["fused"]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_network_keeps_its_names_and_learns_alike(tmp_path):
    weights = {}
    for name, words in (("plain", ()), ("compiled", ("--train.compile", "true"))):
        out = tmp_path / name
        plain = ("--epochs", 2, "--train.grow", 0, "--optim.name", "sgd")  # which makes no large step of a small difference
        outcome = maskwright("train", "--data", data(), *TINY, *plain, *words, "--out", out)
        assert outcome.code == 0, outcome.err
        weights[name] = load_file(out / "model.safetensors")
    assert weights["plain"].keys() == weights["compiled"].keys()
    assert all(torch.allclose(one, weights["compiled"][key], atol=1e-3) for key, one in weights["plain"].items())
