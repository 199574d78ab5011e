"""Every encoder that can be named, its sets of weights and their licences; kept between calls.

[encoder.name for encoder in all_encoders() if "convnext" in encoder.name]
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskwright import runtime
from maskwright.config.models import SmpConfig
from maskwright.models.licences import licence_of
from maskwright.models.sizing import Size, Sizes, cache_folder, read_cache, write_cache
from maskwright.models.smp import TIMM, encoder_names, weight_sets


@dataclass(frozen=True)
class Encoder:
    """An encoder's name and the licence of each of its sets of weights, `imagenet` first."""

    name: str
    licences: dict[str, str]

    @property
    def source(self) -> str:
        return "timm" if self.name.startswith(TIMM) else "smp"


def all_encoders(folder: Path | None = None) -> list[Encoder]:
    """SMP's encoders and timm's; read from the cache when the libraries are the ones it was made with."""
    path = (folder or cache_folder()) / "encoders.json"
    if kept := read_cache(path, "encoders"):
        return [Encoder(name, dict(licences)) for name, licences in kept.items()]
    found = _looked_up()
    write_cache(path, "encoders", {one.name: one.licences for one in found})
    return found


def _looked_up() -> list[Encoder]:
    runtime.ensure_timm()
    import timm

    tags: dict[str, list[str]] = {}
    for name in timm.list_pretrained():
        base, _, tag = name.partition(".")
        tags.setdefault(base, []).append(tag)
    found: list[Encoder] = []
    for name in encoder_names():
        base = name.removeprefix(TIMM)
        sets = weight_sets(name) if base == name else ["imagenet", *filter(None, tags[base])] if base in tags else []
        found.append(Encoder(name, {one: licence_of(name, one) for one in sets}))
    return found


def size_with(encoder: str, sizes: Sizes, side: int) -> tuple[str, Size | str]:
    """The size of unet on an encoder, or of dpt on one that unet can't use; the model's name with it."""
    answer: Size | str = ""
    for arch in ("unet", "dpt"):
        name = f"{arch}/{encoder}"
        answer = sizes.of(name, SmpConfig(arch=arch, encoder=encoder, weights="none"), side)
        if not isinstance(answer, str) or "--model dpt/" not in answer:
            return name, answer
    return f"dpt/{encoder}", answer
