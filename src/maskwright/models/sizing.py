"""How large a network is: parameters, multiply-adds at a size, stride, and seconds an image here.

    measure(SmpConfig(arch="fpn", encoder="resnet18"), side=512)

Multiply-adds are torch's own count (`torch.utils.flop_counter`, half its floating-point operations): convolutions,
matrix products and attention; activations, norms and resizing are not in it. The count is made on tensors without
data, so a large network costs no more than a small one.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

import torch

from maskwright import runtime
from maskwright.config.models import (
    HF_SIZES,
    HfConfig,
    Resnet34UnetConfig,
    SmpConfig,
    TorchvisionArch,
    TorchvisionConfig,
    UnetConfig,
)
from maskwright.data.dataset import ClassMap
from maskwright.errors import MaskwrightError
from maskwright.files import write_text
from maskwright.models import build_model
from maskwright.models.wrapper import Segmenter

_VERSIONED = ("maskwright", "torch", "torchvision", "segmentation-models-pytorch", "timm", "transformers")


@dataclass(frozen=True)
class Size:
    """What a network takes. `multiply_adds` is for one image of `side` × `side`; None where it could not be counted."""

    parameters: int
    multiply_adds: int | None
    stride: int
    side: int


def measure(config: Any, num_classes: int = 2, num_channels: int = 3, side: int = 512) -> Size:
    """Build a model section from scratch and count.

    >>> from maskwright.config.models import UnetConfig
    >>> measure(UnetConfig(width=4, depth=1), side=8).stride
    2
    """
    model = _built(config, num_classes, num_channels)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    return Size(parameters, multiply_adds(model, num_channels, side), model.stride, side)


def _built(config: Any, num_classes: int, num_channels: int) -> Segmenter:
    classes = ClassMap(tuple(f"class {index}" for index in range(num_classes)), tuple(range(num_classes)))
    return build_model(config, classes, num_channels, start=False).eval()


def multiply_adds(model: Segmenter, num_channels: int, side: int, width: int | None = None) -> int | None:
    """Multiply-adds of one image of side × width (as wide as high when not given).

    None for a network that cannot run on tensors without data.
    """
    from torch._subclasses.fake_tensor import FakeTensorMode
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    counter = FlopCounterMode(display=False)
    try:
        # attention as plain products: the counter knows no fused kernel of a CPU
        with torch.no_grad(), FakeTensorMode(allow_non_fake_inputs=True), sdpa_kernel(SDPBackend.MATH), counter:
            model(torch.empty(1, num_channels, side, width or side, dtype=torch.uint8, device=model.mean.device))
    except Exception:  # noqa: BLE001 - some networks ask tensors for their values, each in its own way
        return None
    return counter.get_total_flops() // 2


@torch.no_grad()
def seconds_an_image(
    config: Any, num_classes: int = 2, num_channels: int = 3, side: int = 512, repeats: int = 3
) -> float:
    """Seconds of one image through the network on this machine's device, the fastest of a few, after one of warm-up."""
    from maskwright.models.devices import autocast, choose_device, choose_precision, torch_device

    name = choose_device()[0]
    device, precision = torch_device(name), choose_precision(name)[0]
    model = _built(config, num_classes, num_channels).to(device)
    model = model.to(memory_format=torch.channels_last)  # pyright: ignore
    image = torch.zeros(1, num_channels, side, side, dtype=torch.uint8, device=device)
    times: list[float] = []
    with autocast(device, precision):
        for _ in range(repeats + 1):
            started = time.perf_counter()
            model(image).sum().item()  # .item() waits for the device
            times.append(time.perf_counter() - started)
    return min(times[1:])


@dataclass
class Sizes:
    """Sizes kept between calls, for the versions of the libraries installed; what could not be built is kept as its
    sentence.

    with Sizes.opened() as sizes:
        sizes.of("unet/resnet34", config, side=512)
    """

    path: Path
    known: dict[str, dict[str, Any]]
    changed: bool = False

    @classmethod
    @contextlib.contextmanager
    def opened(cls, folder: Path | None = None) -> Iterator[Sizes]:
        """Read the kept sizes, write the new ones at the end; a cache that can't be read or written is done without."""
        path = (folder or cache_folder()) / "sizes.json"
        sizes = cls(path, read_cache(path, "sizes"))
        try:
            yield sizes
        finally:
            if sizes.changed:
                write_cache(path, "sizes", sizes.known)

    def of(self, name: str, config: Any, side: int) -> Size | str:
        """The size of a model, or the sentence that says why it can't be built."""
        key = f"{name} {side}"
        if key not in self.known:
            try:
                self.known[key] = asdict(measure(config, side=side))
            except MaskwrightError as error:
                self.known[key] = {"cannot": str(error)}
            self.changed = True
        kept = self.known[key]
        return str(kept["cannot"]) if "cannot" in kept else Size(**kept)


@dataclass(frozen=True)
class Named:
    """A model as it can be named, its section, and the licence of the weights it comes with."""

    name: str
    config: Any
    licence: str


def architectures() -> list[Named]:
    """One of each architecture: SMP's on resnet34, the others as they come."""
    runtime.ensure_timm()
    import segmentation_models_pytorch as smp

    from maskwright.models.hf import LICENCES as HF
    from maskwright.models.licences import licence_of
    from maskwright.models.torchvision import LICENCES as TORCHVISION

    own = "none come with it"
    found = [
        Named("unet (width 64)", UnetConfig(width=64), own),
        Named("unet (width 32)", UnetConfig(width=32), own),
        Named("resnet34_unet", Resnet34UnetConfig(), TORCHVISION["imagenet"]),
    ]
    for arch in smp.MODEL_ARCHITECTURES_MAPPING:
        encoder = "tu-vit_small_patch16_224" if arch == "dpt" else "resnet34"
        found.append(Named(f"{arch}/{encoder}", SmpConfig(arch=arch, encoder=encoder), licence_of(encoder, "imagenet")))
    for arch in get_args(TorchvisionArch):
        config = TorchvisionConfig(arch=arch)
        found.append(Named(arch, config, TORCHVISION[config.weights]))
    for arch, sizes in HF_SIZES.items():
        licence = HF["nvidia/"] if arch == "segformer" else "as the card of the model on the hub says"
        configs = [HfConfig.model_validate({"arch": arch, "size": size}) for size in sizes]
        found += [Named(f"{arch}/{config.size}", config, licence) for config in configs]
    return found


def cache_folder() -> Path:
    """Where what can be found out again is kept: XDG_CACHE_HOME/maskwright."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "maskwright"


def read_cache(path: Path, key: str) -> dict[str, Any]:
    """What was found out with the libraries of now; empty where nothing was."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(path.read_text(encoding="utf-8"))
        return dict(kept[key]) if kept["versions"] == versions() else {}
    return {}


def write_cache(path: Path, key: str, found: dict[str, Any]) -> None:
    """Keep what was found out; a cache that can't be written is done without."""
    with contextlib.suppress(OSError, MaskwrightError):
        write_text(path, json.dumps({"versions": versions(), key: found}, indent=1))


def versions() -> dict[str, str]:
    """The versions a size or a list of encoders holds for."""
    found: dict[str, str] = {}
    for name in _VERSIONED:
        with contextlib.suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found
