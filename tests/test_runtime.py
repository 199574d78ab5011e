"""What is set right in the process before torch's family is at work."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from maskwright.runtime import tune_allocator
from support import environment


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_the_allocator_takes_every_setting():
    assert tune_allocator() is True


def test_elsewhere_the_allocator_is_left_alone(monkeypatch):
    """The platform's name is set by hand: there is one system here."""
    monkeypatch.setattr(sys, "platform", "darwin")
    assert tune_allocator.__wrapped__() is False


def test_torchvision_works_on_this_torch():
    """In a process of its own, as the import can only be mended before it happened."""
    program = """
from maskwright import runtime
how = runtime.ensure_torchvision()
assert how in ("whole", "without compiled operators"), how
assert runtime.ensure_torchvision() == how
import torch, torchvision
from torchvision.transforms import functional
model = torchvision.models.resnet18(weights=None).eval()
with torch.no_grad():
    print(tuple(model(torch.zeros(1, 3, 32, 32)).shape), tuple(functional.resize(torch.zeros(3, 8, 8), [4, 4]).shape))
import lightning.pytorch, segmentation_models_pytorch
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "(1, 1000) (3, 4, 4)"


def test_an_error_of_another_kind_is_not_hidden():
    """A torchvision that fails for a reason of its own is put in its place, to see that the reason comes through."""
    program = """
import sys, types, pathlib, tempfile
folder = pathlib.Path(tempfile.mkdtemp()); (folder / "torchvision.py").write_text("raise RuntimeError('quite another')")
sys.path.insert(0, str(folder))
from maskwright import runtime
runtime.ensure_torchvision()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 1 and "RuntimeError: quite another" in done.stderr
