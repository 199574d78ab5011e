"""Names of entries and cells: readable in a table, safe as a folder.

unet/resnet34 · seed 1     unet-resnet34_seed-1
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from maskwright.config.models import AnyModelConfig

SEED = "train.seed"
BETWEEN = " · "
_LONGEST = 80  # characters of a folder's name


def model_name(config: AnyModelConfig) -> str:
    """A model as it is named in one word: unet/resnet34, segformer/b0, unet.

    >>> from maskwright.config.models import SmpConfig
    >>> model_name(SmpConfig(arch="fpn", encoder="resnet18"))
    'fpn/resnet18'
    """
    parts = [getattr(config, key, None) for key in ("arch", "encoder", "size")]
    return "/".join(str(part) for part in parts if part) or config.name


def setting_name(settings: Mapping[str, Any], varying: Sequence[str], model: AnyModelConfig) -> str:
    """What sets one setting apart: the values of the keys that vary, the model's alone when none does.

    >>> from maskwright.config.models import UnetConfig
    >>> setting_name({"model": "unet", "optim.lr": 0.001}, ["model", "optim.lr"], UnetConfig())
    'unet · lr 0.001'
    """
    parts = [_part(key, settings[key], varying, model) for key in varying if key in settings]
    return BETWEEN.join(parts) or model_name(model)


def with_seed(name: str, seed: int | None) -> str:
    """A cell's name: its setting's, and its seed where the seeds vary."""
    return name if seed is None else f"{name}{BETWEEN}seed {seed}"


def unlike(names: Iterable[str]) -> list[str]:
    """Names made unlike one another by a number.

    >>> unlike(["unet", "fpn", "unet"])
    ['unet', 'fpn', 'unet (2)']
    """
    found: list[str] = []
    for name in names:
        number, free = 2, name
        while free.lower() in (known.lower() for known in found):
            number, free = number + 1, f"{name} ({number})"
        found.append(free)
    return found


def folder_names(names: Iterable[str]) -> list[str]:
    """A folder's name for each cell, all different on any file system.

    >>> folder_names(["unet/resnet34 · seed 1", "müll"])
    ['unet-resnet34_seed-1', 'm-ll']
    """
    words = [[re.sub(r"[^A-Za-z0-9.]+", "-", word).strip("-.") for word in name.split(BETWEEN)] for name in names]
    plain = ["_".join(filter(None, parts))[:_LONGEST] or "cell" for parts in words]
    return [name.replace(" (", "-").rstrip(")") for name in unlike(plain)]


def value_name(value: Any) -> str:
    """A value in a few characters.

    >>> value_name([{"name": "ce"}, {"name": "dice", "weight": 2}]), value_name(True), value_name(1e-3)
    ('ce + 2 dice', 'yes', '0.001')
    """
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None:
        return "none"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        name = value.get("name")
        rest = [f"{key} {value_name(inner)}" for key, inner in value.items() if key not in ("name", "weight")]
        weight = f"{value_name(value['weight'])} " if name and value.get("weight", 1) != 1 else ""
        options = f" ({', '.join(rest)})" if name and rest else ", ".join(rest)
        return f"{weight}{name}{options}" if name else options
    if isinstance(value, list | tuple):
        named = any(isinstance(one, dict) for one in value)
        return (" + " if named else ", ").join(map(value_name, value)) or "none"
    text = str(value)
    return Path(text).name if Path(text).is_absolute() else text


def _part(key: str, value: Any, varying: Sequence[str], model: AnyModelConfig) -> str:
    if key != "model":
        return f"{_short(key, varying)} {value_name(value)}"
    if not isinstance(value, dict):
        return value_name(value)
    more = [
        f"{name} {value_name(one)}" for name, one in value.items() if name not in ("name", "arch", "encoder", "size")
    ]
    return f"{model_name(model)} ({', '.join(more)})" if more else model_name(model)


def _short(key: str, varying: Sequence[str]) -> str:
    """The last word of a key, more of it where that says too little or stands for two."""
    *parents, last = key.split(".")
    alone = sum(other.split(".")[-1] == last for other in varying) < 2
    if last == "name" and parents and alone:
        return parents[-1]
    return last if alone else key
