"""What a GPU does otherwise: fp16, compiling, counting on the device. `benchmarks/gpu.py` runs all of it on one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from maskwright.config.optim import OptimConfig
from maskwright.data.dataset import IGNORE
from maskwright.errors import UsageError
from maskwright.metrics.counts import confusion
from maskwright.models.devices import choose_device, torch_device
from maskwright.training import optim
from maskwright.training.module import confusion_on_device
from maskwright.training.optim import build_optimizer, clip_gradients
from support import TINY, copy_of, data, finished, maskwright


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
    outcome = maskwright(
        "train", "--data", data(), *TINY, "--epochs", 1, "--precision", "fp16", "--out", tmp_path / "run"
    )
    assert outcome.code == 2 and "`train.precision` must be bf16 or fp32 without an NVIDIA GPU" in outcome.sentence
    assert not (tmp_path / "run").exists()


def test_scaled_gradients_are_stepped_after_they_are_clipped():
    """A fused step unscales by itself, after the clipping; so there is none where the loss is scaled."""
    model = nn.Conv2d(1, 1, 1)
    model.part = lambda name: []  # pyright: ignore[reportAttributeAccessIssue]
    config = OptimConfig(name="adamw")
    assert (
        build_optimizer(model, config).defaults["fused"]
        and not build_optimizer(model, config, fused=False).defaults["fused"]
    )


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_a_compiled_network_keeps_its_names_and_learns_alike(tmp_path):
    weights = {}
    for name, words in (("plain", ()), ("compiled", ("--train.compile", "true"))):
        out = tmp_path / name
        plain = (
            "--epochs",
            2,
            "--train.grow",
            0,
            "--optim.name",
            "sgd",
        )  # which makes no large step of a small difference
        outcome = maskwright("train", "--data", data(), *TINY, *plain, *words, "--out", out)
        assert outcome.code == 0, outcome.err
        weights[name] = load_file(out / "model.safetensors")
    assert weights["plain"].keys() == weights["compiled"].keys()
    assert all(torch.allclose(one, weights["compiled"][key], atol=1e-3) for key, one in weights["plain"].items())


class NoDouble(TorchDispatchMode):
    """A device that has no float64, as Apple's GPUs."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        assert not any(isinstance(one, torch.Tensor) and one.dtype == torch.float64 for one in tree_leaves(found)), func
        return found


def test_nothing_is_computed_in_float64_which_apples_gpus_do_not_have(tmp_path):
    with NoDouble():
        words = ("--data", data(), *TINY, "--lr", "auto", "--epochs", 1, "--out", tmp_path / "run")
        for command in (
            ("train", *words),
            ("evaluate", tmp_path / "run"),
            ("predict", tmp_path / "run", data() / "images"),
        ):
            outcome = maskwright(*command, *(["--out", tmp_path / "labels"] if command[0] == "predict" else []))
            assert outcome.code in (0, None), outcome.err


def test_gradients_are_clipped_where_a_device_has_no_operations_on_lists():
    """As Apple's GPUs, and torch's own device without memory."""
    model = nn.Linear(2, 1, device="meta")
    model(torch.ones(1, 2, device="meta")).sum().backward()
    clip_gradients(model, OptimConfig(clip=1.0))
    ours = nn.Linear(2, 1)
    ours(1e3 * torch.ones(1, 2)).sum().backward()
    clip_gradients(ours, OptimConfig(clip=0.5))
    norms = [parameter.grad.norm() for parameter in ours.parameters() if parameter.grad is not None]
    assert torch.stack(norms).norm().item() == pytest.approx(0.5, rel=1e-4)
    clipping = [path.name for path in Path(optim.__file__).parent.glob("*.py") if "clip_grad_norm_" in path.read_text()]
    assert clipping == ["optim.py"], "all steps clip by the one function"


@pytest.mark.skipif(choose_device()[0] == "gpu", reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told_in_a_sentence(tmp_path):
    with pytest.raises(UsageError, match=r"no GPU was found\. Choose cpu"):
        torch_device("gpu")
    outcome = maskwright("evaluate", finished(), "--device", "gpu")
    assert outcome.code == 2 and "no GPU was found" in outcome.sentence
    outcome = maskwright("evaluate", finished(), "--device", "cup")
    assert outcome.code == 2 and "must be cpu, gpu or mps" in outcome.sentence
    run = copy_of(finished(), tmp_path / "run")  # of another machine, which had one
    config = run / "config.yaml"
    config.write_text(config.read_text().replace("devices: cpu", "devices: gpu"))
    assert "devices: gpu" in config.read_text()
    outcome = maskwright("evaluate", run, "--device", "cpu", "--json")
    assert outcome.code in (0, None) and outcome.json["cost"]["device"].startswith("cpu")
    assert maskwright("evaluate", run).code in (0, None), "without a wish it takes what there is"
    (run / "model.safetensors").unlink()
    outcome = maskwright("train", "--resume", run)
    assert outcome.code == 2 and "no GPU was found" in outcome.sentence and "for a new run" in outcome.sentence
