"""YAML read as a person means it, in files and in flags.

    load_yaml("{no: 0, on: 1}")     # {'no': 0, 'on': 1}
    flag_value("#9b9b9b")           # '#9b9b9b'

Of what YAML 1.1 makes of plain text, numbers in decimals, true, false and null are kept: `no` is a name, 010 no octal
and 1:30 no number to base 60. All of it is a part of YAML 1.1, so whatever PyYAML writes is read as it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable
from typing import Any

import yaml

_TAG = "tag:yaml.org,2002:"
MERGE = f"{_TAG}merge"
_NUMBER = re.compile(r"[-+]?(?:\d{1,100}+\.?\d{0,100}|\.\d{1,100})(?:[eE][-+]?\d{1,9})?")


_LONGEST, _MOST = 2_000_000, 200_000  # characters, and values where each alias stands for all that it names


class RepeatedKeyError(yaml.MarkedYAMLError):
    """A key that stands twice, of which YAML would silently keep the last."""


class PlainLoader(yaml.SafeLoader):
    """YAML without its surprises: keys are text as they stand, each of them once, and no more than a person writes."""

    def __init__(self, text: str) -> None:
        if len(text) > _LONGEST:
            raise yaml.MarkedYAMLError(problem=f"it is {len(text):,} characters long, over {_LONGEST:,}")
        super().__init__(text)

    def get_single_node(self) -> yaml.Node | None:
        try:
            node = super().get_single_node()
            if node is not None and _num_values(node, {}) > _MOST:
                raise yaml.MarkedYAMLError(problem=f"with its aliases it holds over {_MOST:,} values")
        except RecursionError:
            raise yaml.MarkedYAMLError(problem="it is nested too deeply") from None
        return node

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Hashable, Any]:
        refuse_repeated_keys(node)
        self.flatten_mapping(node)
        found: dict[Hashable, Any] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be text", key.start_mark)
            found[key.value] = self.construct_object(value, deep=deep)
        return found


def _num_values(node: yaml.Node, known: dict[int, float]) -> float:
    """How many values a node holds, aliases followed; endlessly many where one holds itself."""
    if id(node) not in known:
        known[id(node)] = math.inf
        inner = [one for pair in node.value for one in pair] if isinstance(node, yaml.MappingNode) else node.value
        inner = [] if isinstance(node, yaml.ScalarNode) else inner
        known[id(node)] = 1 + sum(_num_values(one, known) for one in inner)
    return known[id(node)]


PlainLoader.yaml_implicit_resolvers = {}
for _kind, _pattern in {
    "null": "~|null|Null|NULL|",
    "bool": "true|True|TRUE|false|False|FALSE",
    "int": "[-+]?(?:0|[1-9][0-9]{0,99})",
    "float": r"[-+]?(?:[0-9]+\.[0-9]*|\.[0-9]+)(?:[eE][-+][0-9]+)?",
    "merge": "<<",
}.items():
    PlainLoader.add_implicit_resolver(f"{_TAG}{_kind}", re.compile(rf"^(?:{_pattern})$"), None)


def refuse_repeated_keys(node: yaml.MappingNode) -> None:
    """Stop at a key that stands twice, with what it stands for both times."""
    first: dict[str, Any] = {}
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode) and key.value in first:
            values = " and with ".join(_shown(one) for one in (first[key.value], value))
            problem = f"`{key.value}` must stand once; it stands with {values}"
            raise RepeatedKeyError(None, None, problem, key.start_mark)
        if isinstance(key, yaml.ScalarNode) and key.tag != MERGE:
            first[key.value] = value


def _shown(node: yaml.Node) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else "keys of its own"


def load_yaml(text: str) -> Any:
    """
    >>> load_yaml("{on: 1, size: 010, path: no}")
    {'on': 1, 'size': '010', 'path': 'no'}
    """
    return yaml.load(text, PlainLoader)


def flag_value(text: str) -> Any:
    """A flag's text: lists, mappings and quoted text as YAML has them, any other text as it was typed.

    >>> flag_value("[0, 255]"), flag_value("1e-3"), flag_value("#9b9b9b"), flag_value("0x10"), flag_value("null")
    ([0, 255], 0.001, '#9b9b9b', '0x10', None)
    """
    text = text.strip()
    try:
        node = yaml.compose(text, PlainLoader)
    except yaml.YAMLError:
        if text[:1] in "[{\"'":
            raise
        return text
    if isinstance(node, yaml.CollectionNode):
        return load_yaml(text)
    if isinstance(node, yaml.ScalarNode) and node.style:  # quoted
        return node.value
    if text in ("null", "true", "false"):
        return {"null": None, "true": True, "false": False}[text]
    if _NUMBER.fullmatch(text):
        return int(text) if re.fullmatch(r"[-+]?\d+", text) else float(text)
    return text
