"""Data keys as a person types them: flags for a line that can be pasted."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Sequence
from typing import Any

import yaml

from maskwright.config.data import DataConfig
from maskwright.config.yaml_text import flag_value
from maskwright.errors import as_typed


def flags_of(config: DataConfig) -> str:
    """The data keys somebody set, as they are typed.

    >>> flags_of(DataConfig.model_validate({"root": "x", "ignore_index": 11, "split": {"seed": 3}}))
    ' --data.ignore_index 11 --data.split.seed 3'
    """
    found: dict[str, Any] = {}
    for key, value in config.model_dump(mode="json", exclude_unset=True).items():
        if key == "split":
            found |= {f"split.{inner}": part for inner, part in value.items()}
        elif key != "root":
            found[key] = value
    return "".join(f" --data.{key} {shlex.quote(_as_flag(value))}" for key, value in found.items())


def command_on(config: DataConfig, command: str = "check", more: Sequence[object] = (), **changes: Any) -> str:
    """A whole command on a data set, ready to be pasted: with the data keys somebody set, changes to them, and more
    words.

    >>> command_on(DataConfig(root="my set", ignore_index=11), classes={"road": 0, "sky": 2})
    "maskwright check 'my set' --data.classes '{road: 0, sky: 2}' --data.ignore_index 11"
    """
    changed = DataConfig.model_validate({**config.model_dump(exclude_unset=True), **changes})
    root = as_typed(*(["--data"] if command == "train" else []), config.root or "DATA")
    return f"maskwright {command} {root}{flags_of(changed)}{f' {as_typed(*more)}' if more else ''}"


def _as_flag(value: Any) -> str:
    """A value as a flag's text: plain where it is read back as it is.

    >>> _as_flag("#9b9b9b"), _as_flag("2024"), _as_flag(["#9b9b9b"])
    ('#9b9b9b', '"2024"', '["#9b9b9b"]')
    """
    if not isinstance(value, str) or value in ("", "null"):
        return as_yaml(value)
    try:
        return value if flag_value(value) == value else json.dumps(value, ensure_ascii=False)
    except yaml.YAMLError:
        return json.dumps(value, ensure_ascii=False)


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
