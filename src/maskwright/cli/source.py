"""What evaluate and predict are given: a run, or a configuration with a person's own weights."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskwright.config import Config
    from maskwright.config.files import Override

_YAML = (".yaml", ".yml")


def read_source(words: Sequence[str], data: str | None = None) -> tuple[Config | None, list[str]]:
    """The configuration of `[CONFIG.yaml] --model … --weights …`, None where a run is named; and the other names.

    >>> read_source(["runs/first", "photo.jpg"])
    (None, ['runs/first', 'photo.jpg'])
    """
    if not any(word.startswith("--") or word.lower().endswith(_YAML) for word in words):
        return None, list(words)  # without the configuration's keys, which a bundle needs none of

    from maskwright.config.files import load_config
    from maskwright.config.flags import FREEZE, parse_overrides

    names: list[str] = []
    flags: list[str] = []
    left = list(words)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            names.append(word)
            continue
        flags.append(word)
        if "=" not in word and word not in FREEZE and left:
            flags.append(left.pop(0))
    path = names.pop(0) if names and names[0].lower().endswith(_YAML) else None
    overrides = parse_overrides(flags)
    if path is None and not overrides:
        return None, names
    given = [("data.root", data, "--data")] if data is not None else []
    return load_config(path, [*overrides, *given]), names


def path_and_overrides(config: str | None, keys: Sequence[str]) -> tuple[str | None, list[Override]]:
    """What is named in `[CONFIG.yaml] --key value …` (or data in its place), None without it, and the flags."""
    from maskwright.config.flags import parse_overrides

    words = [*([config] if config else []), *keys]
    path = words.pop(0) if words and not words[0].startswith("-") else None
    return path, parse_overrides(words)
