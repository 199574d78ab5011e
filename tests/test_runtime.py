"""What is set right in the process before torch's family is at work."""

from __future__ import annotations

import importlib
import platform
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from maskwright.runtime import deferred, tune_allocator
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


def test_what_a_name_was_taken_from_comes_when_the_name_is_used():
    """In a process of its own: torchvision's and timm's names of the compiler, and torchmetrics' of transformers."""
    program = """
import sys
from maskwright import runtime
def come():
    roots = ("torch._dynamo", "transformers", "scipy.signal", "wandb")
    return [root for root in roots if any(f"{name}.".startswith(f"{root}.") for name in sys.modules)]
runtime.ensure_timm()
import torch, segmentation_models_pytorch
net = segmentation_models_pytorch.Unet("resnet18", encoder_weights=None).eval()
with torch.no_grad():
    net(torch.zeros(1, 3, 32, 32))
assert come() == [], come()
from torchvision.ops.roi_align import is_compile_supported
assert is_compile_supported("cpu") is torch._dynamo.utils.is_compile_supported("cpu")
assert come() == ["torch._dynamo"], come()
from maskwright.training.lightning import pl
import torchmetrics
assert come() == ["torch._dynamo"], come()
assert torchmetrics.functional.text.bert.AutoModel.from_pretrained.__self__.__module__.startswith("transformers.")
import scipy.signal
assert scipy.signal.convolve([1, 2], [1]).tolist() == [1, 2]
layer = torch.nn.Linear(2, 2)
assert torch.compile(layer, backend="eager")(torch.ones(1, 2)).shape == (1, 2)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("name", ["a_package_that_there_is_not", "a_package_that_there_is_not.part"])
def test_what_is_not_installed_is_missed_as_ever(name):
    with deferred(name), pytest.raises(ModuleNotFoundError):
        importlib.import_module(name)


def test_a_class_taken_early_is_one_in_every_use(tmp_path, monkeypatch):
    (tmp_path / "a_class_for_later.py").write_text("class Answer(int): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with deferred("a_class_for_later"):
        early = importlib.import_module("a_class_for_later").Answer
    real = importlib.import_module("a_class_for_later").Answer

    class Better(early):
        pass

    assert Better.__mro__[1] is real
    assert isinstance(real(1), early) and not isinstance(1, early)
    assert early | None == real | None


def test_another_thread_is_given_the_module_itself(tmp_path, monkeypatch):
    (tmp_path / "wanted_later.py").write_text("class Answer(int): pass\n")
    monkeypatch.syspath_prepend(tmp_path)
    with ThreadPoolExecutor(1) as pool, deferred("wanted_later"):
        mine = importlib.import_module("wanted_later").Answer
        assert not isinstance(mine, type)
        theirs = pool.submit(lambda: importlib.import_module("wanted_later").Answer).result()
        assert isinstance(theirs, type)
    assert mine(42) == 42 and type(mine(42)) is theirs


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
