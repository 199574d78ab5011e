"""From YAML text and flags to a `Config`, with errors that name key, file, line and nearest key."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from maskwright.config import Config
from maskwright.config.data import DataConfig
from maskwright.config.keys import MODEL_SECTIONS, holds_text
from maskwright.config.models import model_shorthand
from maskwright.config.sentences import Sources, sentences_of
from maskwright.config.yaml_text import MERGE, PlainLoader, RepeatedKeyError, flag_value, load_yaml
from maskwright.custom import absolute, is_source
from maskwright.errors import ConfigError, as_typed, check_path, listed, one_line

Override = tuple[str, Any, str]  # dotted key, value (text is read as YAML), where it was given


def load_config(path: str | Path | None = None, overrides: Iterable[Override] = ()) -> Config:
    """Read a YAML file (or none), override it by flags, and validate everything at once.

    >>> load_config(None, [("model", "unet/resnet18", "--model")]).model.encoder
    'resnet18'
    """
    tree, sources = read_yaml(Path(path)) if path is not None else ({}, {})
    refuse_anothers(path, tree, "train")
    if path is not None:
        _refuse_yolo(Path(path), tree)
    overrides = list(overrides)
    problems = make_root_absolute(tree, sources, path, overrides) if path is not None else []
    # whole sections first: `--model.width 16 --model unet` and the other order mean the same, and no key is lost
    for key, value, source in sorted(overrides, key=lambda override: override[0].count(".")):
        problem = apply_override(tree, sources, key, value, source)
        problems += [problem] if problem else []
    return validated(tree, sources, problems)


def make_root_absolute(
    tree: dict[str, Any], sources: Sources, path: str | Path, overrides: Iterable[Override] = ()
) -> list[str]:
    """Make `data.root` of a file absolute, in place: it is relative to the file. → problems"""
    root = tree["data"].get("root") if isinstance(tree.get("data"), dict) else None
    if not isinstance(root, str) or not root or Path(root).is_absolute():
        return []
    place = os.path.normpath(Path(path).resolve().parent / root)
    tree["data"]["root"] = place
    if Path(place).exists() or not Path(root).exists() or any(key in ("data", "data.root") for key, _, _ in overrides):
        return []
    meant = os.path.relpath(Path(root).resolve(), Path(path).resolve().parent)
    fix = f"Write `root: {meant}`, or add --data {as_typed(root)}"
    found = f"{place} is not there, but {Path(root).absolute()} in the current folder is"
    return [f"{sources[('data', 'root')]}: `data.root` must be relative to the file it stands in; {found}. {fix}"]


def validated(tree: dict[str, Any], sources: Sources, problems: Iterable[str] = ()) -> Config:
    """The configuration a tree of keys makes; all that is wrong with it is one error, with the known problems."""
    found = list(problems)
    config = Config()
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        found += sentences_of(error.errors(), tree, sources)
    if found:
        raise ConfigError(list(dict.fromkeys(found)))
    return config


def read_keys(path: Path) -> dict[str, int]:
    """The outermost keys of a YAML file and the line each stands on."""
    tree, sources = read_yaml(path)
    return {str(key): int(sources[(str(key),)].rpartition(" ")[2]) for key in tree}


def refuse_anothers(path: str | Path | None, tree: Mapping[str, Any], command: str) -> None:
    """Stop at a CONFIG whose outermost keys are those of another command, before each of its keys is complained of."""
    meant = "search" if "search" in tree else "compare" if {"matrix", "cells"} & tree.keys() else command
    if meant != command:
        keys = listed([key for key in ("base", "matrix", "cells", "search") if key in tree])
        fix = f"It is for: maskwright {meant} {as_typed(path or 'CONFIG')}"
        raise ConfigError([f"`CONFIG` must be one for maskwright {command}; got {path}, which holds {keys}. {fix}"])


def _refuse_yolo(path: Path, tree: Mapping[str, Any]) -> None:
    """Stop at the data.yaml of a YOLO set, before each of its keys is complained of."""
    if "names" in tree and any(isinstance(tree.get(split), str) for split in ("train", "val")):
        fix = f"Name the folder of the data set: --data {as_typed(path.parent)}"
        what = f"got {path}, which describes a YOLO data set"
        raise ConfigError([f"`CONFIG` must be a configuration of Maskwright; {what}. {fix}"])


def load_data_keys(path: Path) -> DataConfig:
    """A YAML file of `data:` keys, without the `data:` over them."""
    tree, sources = read_yaml(path)
    try:
        return Config.model_validate({"data": tree}).data
    except ValidationError as error:
        below = {("data", *at): source for at, source in sources.items()}
        problems = sentences_of(error.errors(), {"data": tree}, below)
        raise ConfigError([re.sub("([`'])data\\.", r"\1", problem) for problem in dict.fromkeys(problems)]) from None


def to_yaml(config: Config, reasons: Mapping[str, str] | None = None) -> str:
    """The configuration as YAML; each resolved `auto` has a comment with its reason."""
    head = "".join(f"# {key} was auto: {one_line(why)}\n" for key, why in (reasons or {}).items())
    body = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return head + body


def read_yaml(path: Path) -> tuple[dict[str, Any], Sources]:
    """The tree of keys a YAML file holds, and where each stands."""
    if not path.is_file():
        fix = f"Did you mean --data {as_typed(path)}?" if path.is_dir() or not path.suffix else check_path(path)
        what = "a folder" if path.is_dir() else "no file to be read" if path.exists() else "not there"
        raise ConfigError([f"`CONFIG` must be a YAML file; got {path}, which is {what}. {fix}"])
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, PlainLoader)
        sources: Sources = {}
        _note_lines(node, (), path, text.splitlines(), sources)
        tree = load_yaml(text)
    except OSError as error:
        why = f"got {path}: {error.strerror}. Check its permissions."
        raise ConfigError([f"`CONFIG` must be readable; {why}"]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"`CONFIG` must be text; got {path}, which is not UTF-8. Save it as UTF-8."]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it could not be parsed"
        raise ConfigError([f"{path}{line}: must be valid YAML; {problem}. Check indentation and quotes."]) from None
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: must hold keys such as `data:` and `model:`; got a {type(tree).__name__}."])
    # `optim:` with nothing below is its defaults; `ignore_index: null` in a data set's description: nothing is ignored
    tree = _with_code_below(tree, path.resolve().parent)
    return {key: value for key, value in tree.items() if value is not None or key == "ignore_index"}, sources


def _with_code_below(value: Any, folder: Path) -> Any:
    """Each FILE.py:NAME with its absolute path: it is relative to its YAML file, on the command line to the folder."""
    if isinstance(value, dict):
        return {key: _with_code_below(inner, folder) for key, inner in value.items()}
    if isinstance(value, list):
        return [_with_code_below(inner, folder) for inner in value]
    return absolute(value, folder) if is_source(value) else value


def _note_lines(node: Any, at: tuple[str | int, ...], path: Path, lines: Sequence[str], sources: Sources) -> None:
    """Remember the file and line of every key below a YAML node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.tag == MERGE:
                continue
            here = (*at, str(key.value))
            if here in sources:
                twice = f"{path}, line {key.start_mark.line + 1}: `{'.'.join(map(str, here))}` must stand once"
                other = sources[here].removeprefix(f"{path}, ")
                raise ConfigError([f"{twice}; it stands also on {other}. Remove one."])
            sources[here] = f"{path}, line {key.start_mark.line + 1}"
            _refuse_remark(value, here, sources[here], lines)
            _note_lines(value, here, path, lines, sources)
        for key, value in node.value:  # of `<<: *base` the keys stand here too, unless they are written here
            for one in (value.value if isinstance(value, yaml.SequenceNode) else [value]) if key.tag == MERGE else []:
                merged: Sources = {}
                _note_lines(one, at, path, lines, merged)
                sources |= {here: source for here, source in merged.items() if here not in sources}
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            sources[(*at, index)] = f"{path}, line {value.start_mark.line + 1}"
            _refuse_remark(value, (*at, index), sources[(*at, index)], lines)
            _note_lines(value, (*at, index), path, lines, sources)


def _refuse_remark(node: yaml.Node, at: tuple[str | int, ...], where: str, lines: Sequence[str]) -> None:
    """Stop at `key: #9b9b9b`: YAML takes a colour without quotes for a remark, and the key would hold nothing."""
    if isinstance(node, yaml.ScalarNode) and not node.style and not node.value and node.start_mark.line < len(lines):
        remark = lines[node.start_mark.line][node.start_mark.column :].strip()
        if re.match(r"#\S", remark):
            key, fix = ".".join(map(str, at)), f'Quote it ("{remark}"), or put a space after # if it is a remark.'
            what = f"`{key}` must have a value; {remark} without quotes is a remark to YAML"
            raise ConfigError([f"{where}: {what}. {fix}"])


def apply_override(tree: dict[str, Any], sources: Sources, key: str, value: Any, source: str) -> str | None:
    """Put a value at its dotted key, in place; what is wrong with its text, else None."""
    if isinstance(value, str):
        try:
            value = _as_meant(key, value)
        except RepeatedKeyError as error:
            return f"{source}: {error.problem}. Give each its own name."
        except yaml.YAMLError:
            fix = "Quote colours, as in '[\"#rrggbb\"]'." if "#" in value else "Quote it."
            return f"{source}: must be a YAML value; got {value!r}. {fix}"
    value = _with_code_below(value, Path.cwd())
    parts = key.split(".")
    if parts == ["model"] and isinstance(value, str):
        value = _as_answered(tree.get("model"), model_shorthand(value))
    node = tree
    for part in parts[:-1]:
        inner: Any = node.get(part)
        if part == "model" and isinstance(inner, str):  # the file used the shorthand
            inner = model_shorthand(inner)
        # a name or a list in the file, and --freeze-encoder beside it
        if part == "freeze" and isinstance(inner, str | list):
            inner = {str(frozen): "always" for frozen in ([inner] if isinstance(inner, str) else inner)}
        if not isinstance(inner, dict):
            inner = {}
        node[part] = inner
        node = inner
    node[parts[-1]] = value
    for at in [at for at in sources if at[: len(parts)] == tuple(parts)]:  # what stood below it is gone
        del sources[at]
    for length in range(1, len(parts) + 1):
        sources[tuple(parts[:length])] = source
    return None


def _as_answered(before: Any, named: Any) -> Any:
    """A network named by itself takes the whole section's place, but for `outputs`, which goes with the loss.

    >>> _as_answered({"name": "unet", "width": 8, "outputs": "sigmoid"}, {"name": "resnet34_unet"})
    {'outputs': 'sigmoid', 'name': 'resnet34_unet'}
    """
    section = MODEL_SECTIONS.get(str(named.get("name")))
    if (
        not isinstance(before, dict)
        or "outputs" not in before
        or section is None
        or "outputs" not in section.model_fields
    ):
        return named
    return {"outputs": before["outputs"], **named}


_QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)


def _as_meant(key: str, text: str) -> Any:
    """A flag's text: as it stands where the key holds text (a folder may be called 2024 or `set #2`), elsewhere as
    YAML.

    >>> _as_meant("data.root", "2024"), _as_meant("train.epochs", "2024"), _as_meant("data.root", "null")
    ('2024', 2024, None)
    """
    if holds_text(key) and not _QUOTED.fullmatch(text):
        return text if text not in ("", "null") else None
    return flag_value(text)
