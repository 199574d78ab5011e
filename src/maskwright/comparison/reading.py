"""CONFIG of `maskwright compare` and `search` while it is read: its tree, where its keys stand, and what is wrong."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from maskwright.config import Config
from maskwright.config.files import Override, apply_override, make_root_absolute, read_yaml, refuse_anothers, validated
from maskwright.config.flags import SHORT_NAMES
from maskwright.config.keys import FREE, known_keys
from maskwright.config.sentences import Sources
from maskwright.config.yaml_text import flag_value
from maskwright.errors import ConfigError, closest, listed, unknown

# one test for all, and one budget: only then does a difference come from what is compared
SHARED = ("data.root", "data.images", "data.masks", "data.reader", "data.target", "data.boundary", "data.window",
          "data.classes", "data.ignore_index", "data.foreground_from", "data.split")  # fmt: skip
BUDGET = ("train.epochs", "train.budget")
Where = tuple[str | int, ...]


@dataclass(frozen=True)
class Value:
    """One value of one key, and where it stands in the file."""

    key: str
    value: Any
    source: str
    inner: Sources


@dataclass
class Reading:
    """A CONFIG while it is read: its tree, where its keys stand, and what is wrong with it."""

    path: Path
    tree: dict[str, Any]
    sources: Sources
    problems: list[str]

    @classmethod
    def of(cls, path: str | Path) -> Reading:
        """A file's tree, with nothing wrong in it so far."""
        return cls(Path(path), *read_yaml(Path(path)), [])

    def complain(self, at: Where, what: str) -> None:
        place = next(
            (self.sources[at[:end]] for end in range(len(at), 0, -1) if at[:end] in self.sources), str(self.path)
        )
        self.problems.append(f"{place}: {what}")

    def value(self, key: str, value: Any, at: Where) -> Value:
        """A value with the places of what is in it; text is read as YAML, which makes 1e-3 a number."""
        depth = len(at)
        inner = {
            where[depth:]: source
            for where, source in self.sources.items()
            if where[:depth] == at and len(where) > depth
        }
        if isinstance(value, str):
            with contextlib.suppress(yaml.YAMLError):  # apply_override tells of it
                value = flag_value(value)
        return Value(key, rooted(key, value), self.sources[at], inner)

    def refuse_unknown_parts(self, whole: str, parts: Mapping[str, tuple[type, str] | None]) -> None:
        """Complain of outermost keys that are none of the parts, and of parts of another kind than theirs."""
        refuse_anothers(self.path, self.tree, "compare" if "matrix" in parts else "search")
        for key in [key for key in self.tree if key not in parts]:
            near = closest(str(key), parts, limit=1)
            hint = "" if near else f"A {whole} has {listed(parts, 'and', len(parts))}."
            if key in Config.model_fields:
                near, hint = [], f"Write it below `base:`, as `base.{key}`."
            self.complain((str(key),), unknown("key", key, near, hint))
        for key, kind in parts.items():
            if kind and key in self.tree and not isinstance(self.tree[key], kind[0]):
                self.complain((key,), f"`{key}` must be {kind[1]}; got {self.tree[key]!r}.")
                del self.tree[key]

    def key(self, at: Where) -> str | None:
        """The dotted key that the name at a place stands for; None, and a complaint, where there is none."""
        name, known = str(at[-1]), known_keys()
        key = key_of(name)
        if key in known or key.startswith(tuple(f"{free}." for free in FREE)):
            return key
        near = closest(name, [*SHORT_NAMES, *known], limit=1)
        same = [one for one in known if one.split(".")[-1] == name]
        near = (near or same)[:1]
        hint = "" if near else "maskwright config show lists all keys."
        self.complain(at, unknown("key", ".".join(map(str, at)), near, hint))
        return None

    def base(
        self, overrides: Iterable[Override], varied: Collection[str]
    ) -> tuple[dict[str, Any], Sources, list[Value]]:
        """The keys of `base:` under the flags, and where they stand; apart, flags below what the file varies."""
        base = {key: value for key, value in (self.tree.get("base") or {}).items() if value is not None}
        sources = {at[1:]: source for at, source in self.sources.items() if at[0] == "base" and len(at) > 1}
        if isinstance(base.get("model"), dict):
            base["model"] = rooted("model", base["model"])
        self.problems += make_root_absolute(base, sources, self.path, overrides)
        below: list[Value] = []
        for key, value, source in sorted(overrides, key=lambda override: override[0].count(".")):
            if key in varied:
                fix = "Leave the flag out, or take the key out of the file."
                self.problems.append(f"{source} cannot be given: {self.path} varies `{key}`. {fix}")
            elif any(key.startswith(f"{one}.") for one in varied):
                below.append(Value(key, value, source, {}))
            else:
                problem = apply_override(base, sources, key, rooted(key, value), source)
                self.problems += [problem] if problem else []
        data = base.get("data")
        # so that what is written down goes on from any folder
        if isinstance(data, dict) and isinstance(data.get("root"), str):
            data["root"] = str(Path(data["root"]).absolute())
        return base, sources, below

    def validated(self, base: dict[str, Any], sources: Sources) -> Config:
        """The base's configuration, the defaults where something is wrong with it, which is complained of."""
        try:
            return validated(copy.deepcopy(base), dict(sources))
        except ConfigError as error:
            self.problems += error.problems
            return Config()


def key_of(name: str) -> str:
    """The dotted key of a short name, or the name itself.

    >>> key_of("batch-size"), key_of("optim.lr")
    ('train.batch_size', 'optim.lr')
    """
    return SHORT_NAMES.get(name.replace("-", "_"), name)


def held(key: str) -> Literal["budget", "images"] | None:
    """What all runs must have in common for which a key may not differ between them; None where it may."""
    if key in BUDGET:
        return "budget"
    return "images" if key == "data" or any(key == one or key.startswith(f"{one}.") for one in SHARED) else None


def rooted(key: str, value: Any) -> Any:
    """A path of weights that is there, made to hold from any folder; all else as it is."""
    if key == "model" and isinstance(value, dict) and "weights" in value:
        return {**value, "weights": rooted("model.weights", value["weights"])}
    if key != "model.weights" or not isinstance(value, str):
        return value
    path = Path(value)
    return str(path.absolute()) if path.is_file() or (path / "config.yaml").is_file() else value
