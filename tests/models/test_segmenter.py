"""The wrapper, and logits at an image's own size for each view."""

from __future__ import annotations

import copy
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from maskwright.config.models import UnetConfig
from maskwright.data.dataset import ClassMap
from maskwright.data.geometry import Tiling, View
from maskwright.models import build_model
from maskwright.models.wrapper import MEAN, STD, Segmenter, labels_from_logits, logits_at_own_size, subsampling_first
from support import environment

CPU = torch.device("cpu")


class Brightness(nn.Module):
    """A network whose answer is known: the logit of class 1 is the normalised red channel, of class 0 its negative."""

    stride = 8

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[int, ...]] = []
        self.parts = {"encoder": [], "decoder": [], "head": []}

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(tuple(x.shape))
        assert x.shape[-2] % self.stride == 0 and x.shape[-1] % self.stride == 0
        return torch.cat([-x[:, :1], x[:, :1]], dim=1)


def test_pixels_are_normalised_as_imagenet() -> None:
    model = Segmenter(Brightness())
    image = torch.tensor([10, 128, 255], dtype=torch.uint8).view(1, 3, 1, 1)
    expected = [(value - mean) / std for value, mean, std in zip([10, 128, 255], MEAN, STD, strict=True)]
    assert model.normalise(image).flatten().tolist() == pytest.approx(expected)
    assert [value / 255 for value in MEAN] == pytest.approx([0.485, 0.456, 0.406])
    assert [value / 255 for value in STD] == pytest.approx([0.229, 0.224, 0.225])


def test_networks_see_multiples_of_their_stride() -> None:
    model = Segmenter(Brightness())
    for height, width in ((1, 1), (8, 8), (9, 23)):
        assert model(torch.zeros(2, 3, height, width, dtype=torch.uint8)).shape == (2, 2, height, width)
    assert model.net.seen == [(2, 3, 8, 8), (2, 3, 8, 8), (2, 3, 16, 24)]


@pytest.mark.parametrize(("height", "width"), [(32, 48), (9, 23), (1, 1)])
def test_at_both_sizes_it_is_the_mean_of_two_predictions(height: int, width: int) -> None:
    """That of the image and that of the image at half its size, brought back; in training only the image's."""
    model = Segmenter(Brightness(), multiscale=True).eval()
    images = torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pad_h, pad_w = -height % 16, -width % 16  # half of each side is a multiple of the stride of 8
    x = functional.pad(model.normalise(images), (0, pad_w, 0, pad_h), mode="replicate")
    half = functional.interpolate(x, scale_factor=0.5, mode="area")
    answers = [torch.cat([-one[:, :1], one[:, :1]], dim=1).softmax(dim=1) for one in (x, half)]
    answers[1] = functional.interpolate(answers[1], size=x.shape[-2:], mode="bilinear")
    mean = sum(answers)[..., :height, :width] / 2
    torch.testing.assert_close(model(images).softmax(dim=1), mean, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(model(images).exp(), mean, rtol=1e-4, atol=1e-6)
    assert len(model.train()(images)) == 2 and model.net.seen[-1][-2:] == (-(-height // 8) * 8, -(-width // 8) * 8)


@pytest.mark.parametrize("num_classes", [2, 3, 21])
def test_labels_are_the_argmax(num_classes: int) -> None:
    logits = torch.randn(2, num_classes, 13, 17, generator=torch.Generator().manual_seed(0))
    for form in (logits, logits.contiguous(memory_format=torch.channels_last)):
        labels = labels_from_logits(form)
        assert labels.dtype == torch.uint8
        assert torch.equal(labels, logits.argmax(dim=1).to(torch.uint8))


def test_a_tie_is_the_first_class() -> None:
    assert (labels_from_logits(torch.zeros(1, 2, 3, 3)) == 0).all()
    assert (labels_from_logits(torch.zeros(1, 4, 3, 3)) == 0).all()


def halves(height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """An image whose right half is bright, and its labels."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 2 :] = 1
    return np.repeat((labels * 255)[..., None], 3, axis=2), labels


# view, what the network sees of 60 × 100
VIEWS = {
    "whole": (View("whole", 32), (32, 32)),
    "letterbox": (View("whole", 32, letterbox=True), (19, 32)),
    "crop": (View("crop", 32), (60, 100)),
    "crop, half": (View("crop", 32, 0.5), (30, 50)),
    "whole, larger": (View("whole", 128), (128, 128)),
}


@pytest.mark.parametrize("name", VIEWS)
@torch.no_grad()
def test_logits_come_back_at_the_images_own_size(name: str) -> None:
    view, inner = VIEWS[name]
    model = Segmenter(Brightness())
    image, labels = halves(60, 100)
    logits = logits_at_own_size(model, image, view, CPU)
    assert logits.shape == (1, 2, 60, 100)
    assert torch.isfinite(logits).all()
    padded = tuple(-(-side // 8) * 8 for side in inner)
    assert model.net.seen == [(1, 3, *padded)]
    wrong = labels_from_logits(logits)[0].numpy() != labels
    assert not wrong[:, np.abs(np.arange(100) - 49.5) > 2].any()
    probabilities = logits.softmax(dim=1)
    assert torch.allclose(probabilities.sum(dim=1), torch.ones(1, 60, 100))


@torch.no_grad()
def test_an_unresized_image_keeps_its_logits() -> None:
    model = Segmenter(Brightness())
    image, _ = halves(24, 40)
    expected = model(torch.from_numpy(image).permute(2, 0, 1)[None])
    assert torch.equal(logits_at_own_size(model, image, View("crop", 32), CPU), expected)


@torch.no_grad()
def test_resized_answers_are_probabilities_brought_back() -> None:
    """A flat image: whatever the size, each pixel has the probabilities it had."""
    model = Segmenter(Brightness())
    image = np.full((50, 70, 3), 140, np.uint8)
    z = 2 * (140 - MEAN[0]) / STD[0]  # the difference of the two logits
    found = logits_at_own_size(model, image, View("whole", 32), CPU).softmax(dim=1)[0, 1]
    assert torch.allclose(found, torch.full((50, 70), 1 / (1 + np.exp(-z)), dtype=torch.float32), atol=1e-5)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (1, 300), (200, 3)])
@torch.no_grad()
def test_odd_images_go_through_a_real_network(height: int, width: int) -> None:
    model = build_model(UnetConfig(width=4, depth=3), ClassMap(("a", "b", "c"), (0, 1, 2))).eval()
    for view, _ in VIEWS.values():
        logits = logits_at_own_size(model, np.full((height, width, 3), 9, np.uint8), view, CPU)
        assert logits.shape == (1, 3, height, width) and torch.isfinite(logits).all()


@pytest.mark.parametrize("scale", [1.0, 0.5])
def test_what_is_too_large_for_one_pass_is_seen_in_tiles(scale: float) -> None:
    image, labels = halves(333, 500)
    tiled, one = (View("crop", 32, scale, tiling=Tiling(64, 16, whole)) for whole in (2000, 1 << 30))
    model = Segmenter(Brightness())
    with torch.no_grad():
        logits = logits_at_own_size(model, image, tiled, CPU)
        assert set(model.net.seen) == {(1, 3, 64, 64)}
        whole = logits_at_own_size(model, image, one, CPU)
    assert logits.shape == (1, 2, 333, 500) and (labels_from_logits(logits)[0].numpy() == labels).all()
    assert (logits.softmax(1) - whole.softmax(1)).abs().max() < 1e-3


@pytest.mark.parametrize(("channels", "stride", "bias"), [(3, 2, False), (12, (2, 3), True)])
def test_a_strided_1x1_convolution_of_few_channels_gives_the_same_numbers(channels, stride, bias):
    plain = nn.Conv2d(channels, 8, 1, stride=stride, bias=bias)
    ours = copy.deepcopy(plain)
    subsampling_first(nn.Sequential(ours))
    assert type(ours) is not nn.Conv2d and ours.state_dict().keys() == plain.state_dict().keys()
    images = torch.rand(2, channels, 13, 14, requires_grad=True)
    again = images.detach().clone().requires_grad_()
    expected, found = plain(images), ours(again)
    torch.testing.assert_close(found, expected)
    expected.square().sum().backward()
    found.square().sum().backward()
    torch.testing.assert_close(again.grad, images.grad)
    torch.testing.assert_close(ours.weight.grad, plain.weight.grad)


def test_its_gradient_does_not_write_beyond_its_memory():
    """In a process of its own, which without it dies of a heap that is overwritten (oneDNN 3.x; see the function)."""
    program = """
import torch
from torch import nn
from maskwright.models.wrapper import subsampling_first
net = subsampling_first(nn.Conv2d(3, 48, 1, stride=2)).to(memory_format=torch.channels_last)
for _ in range(5):
    images = torch.rand(6, 3, 288, 320).contiguous(memory_format=torch.channels_last)
    net(images).square().mean().backward()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment(), check=False
    )
    assert done.returncode == 0, done.stderr
