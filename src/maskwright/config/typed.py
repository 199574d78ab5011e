"""Data keys as a person types them: flags for a line that can be pasted."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection
from typing import Any

import yaml

from maskwright.config.data import DataConfig


def flags_of(config: DataConfig, only: Collection[str] | None = None) -> str:
    """The data keys somebody set, as they are typed; of `only` these where named.

    >>> flags_of(DataConfig.model_validate({"root": "x", "ignore_index": 11, "split": {"seed": 3}}))
    ' --data.ignore_index 11 --data.split.seed 3'
    """
    found: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json", exclude_unset=True, include=None if only is None else set(only)).items():
        if key == "split":
            found |= {f"split.{inner}": part for inner, part in value.items()}
        elif key != "root":
            found[key] = value
    return "".join(f" --data.{key} {shlex.quote(as_yaml(value))}" for key, value in found.items())


def as_yaml(value: Any) -> str:
    """A value as YAML in one line, quoted only where it has to be."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_word(str(key))}: {as_yaml(part)}" for key, part in value.items()) + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(as_yaml(part) for part in value) + "]"
    return _word(value) if isinstance(value, str) else json.dumps(value)


def _word(text: str) -> str:
    """
    >>> _word("road"), _word("#ff0000"), _word("no")
    ('road', '"#ff0000"', '"no"')
    """
    plain = re.fullmatch(r"[\w.-]+(?: [\w.-]+)*", text) is not None and yaml.safe_load(text) == text
    return text if plain else json.dumps(text, ensure_ascii=False)
