"""Which keys a configuration has, and what each may hold, read from its sections."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any, get_args, get_origin

from pydantic import BaseModel

from maskwright.config import Config
from maskwright.config.models import AnyModelConfig

MODEL_SECTIONS: dict[str, type[BaseModel]] = {
    section.model_fields["name"].default: section for section in get_args(AnyModelConfig)
}
# mappings whose keys the sections do not list
FREE = ("optim.options", "optim.freeze", "model.pixels", "model.options")


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """All dotted keys, those of every model included.

    >>> "optim.lr" in known_keys()
    True
    """
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for inner in sections_of(field.annotation):
            keys += known_keys(inner, f"{prefix}{name}.")
    return list(dict.fromkeys(keys))


def sections_of(annotation: Any, lists: bool = False) -> list[type[BaseModel]]:
    """The sections that a key may hold; those of a list's items with `lists` alone."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if not lists and get_origin(annotation) is list:
        return []
    parts = [part for part in get_args(annotation) if not isinstance(part, str)]
    return [
        section
        for part in parts
        if lists or getattr(part, "__name__", "") != "list"
        for section in sections_of(part, lists)
    ]


@functools.cache
def holds_text(key: str) -> bool:
    """Whether every section that knows the key takes any text there."""
    *parents, last = key.split(".")
    sections: list[type[BaseModel]] = [Config]
    for part in parents:
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        sections = [inner for field in fields for inner in sections_of(field.annotation)]
    kinds = [section.model_fields[last].annotation for section in sections if last in section.model_fields]
    return bool(kinds) and all(kind in (str, str | None) for kind in kinds)


def flat_keys(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """The dotted keys of a tree with their values.

    >>> flat_keys({"train": {"epochs": 3}, "log": []})
    {'train.epochs': 3, 'log': []}
    """
    found: dict[str, Any] = {}
    for key, value in tree.items():
        inner = isinstance(value, dict) and value
        found |= flat_keys(value, f"{prefix}{key}.") if inner else {f"{prefix}{key}": value}
    return found
