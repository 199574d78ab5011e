"""From YAML text and flags to a `Config`, with errors that name key, file, line and nearest key."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from maskwright.config import Config
from maskwright.config.augment import AlbumentationsOp, AugmentOp, kind_of_step
from maskwright.config.data import DataConfig
from maskwright.config.log import LOG_SECTIONS, section_at
from maskwright.config.losses import LOSS_SECTIONS
from maskwright.config.models import (
    HF_SIZES,
    HfConfig,
    Resnet34UnetConfig,
    SmpConfig,
    TorchvisionArch,
    TorchvisionConfig,
    UnetConfig,
    model_shorthand,
)
from maskwright.errors import ConfigError, as_typed, closest, listed, unknown

Override = tuple[str, Any, str]  # dotted key, value (text is read as YAML), where it was given
Sources = dict[tuple[str | int, ...], str]

MODEL_SECTIONS: dict[str, type[BaseModel]] = {
    "unet": UnetConfig,
    "resnet34_unet": Resnet34UnetConfig,
    "smp": SmpConfig,
    "torchvision": TorchvisionConfig,
    "hf": HfConfig,
}
# what other tools call these keys
SYNONYMS = {"learning_rate": "lr", "wd": "weight_decay", "batch": "batch_size", "num_epochs": "epochs", "optimizer": "optim",
            "scheduler": "schedule", "lr_scheduler": "schedule", "accumulate_grad_batches": "accumulate",
            "gradient_clip_val": "clip", "ema": "average", "optim.optimizer": "name"}  # fmt: skip
LOSS_SYNONYMS = {
    "cross_entropy": "ce", "crossentropy": "ce", "soft_ce": "ce", "label_smoothing": "ce", "nll": "ce",
    "binary_cross_entropy": "bce", "iou": "jaccard", "ohem": "topk", "edge": "boundary", "lovasz_softmax": "lovasz",
}  # fmt: skip


def load_config(path: str | Path | None = None, overrides: Iterable[Override] = ()) -> Config:
    """Read a YAML file (or none), lay flags over it, and validate everything at once.

    >>> load_config(None, [("model", "unet/resnet18", "--model")]).model.encoder
    'resnet18'
    """
    tree, sources = read_yaml(Path(path)) if path is not None else ({}, {})
    refuse_anothers(path, tree, "train")
    problems: list[str] = []
    # whole sections first: `--model.width 16 --model unet` and the other order mean the same, and no key is lost
    for key, value, source in sorted(overrides, key=lambda override: override[0].count(".")):
        problem = lay_over(tree, sources, key, value, source)
        problems += [problem] if problem else []
    return validated(tree, sources, problems)


def validated(tree: dict[str, Any], sources: Sources, problems: Iterable[str] = ()) -> Config:
    """The configuration a tree of keys makes; what is wrong with it is told after the problems known already."""
    found = list(problems)
    config = Config()
    try:
        config = Config.model_validate(tree)
    except ValidationError as error:
        found += _sentences(error.errors(), tree, sources)
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


def load_data_keys(path: Path) -> DataConfig:
    """A YAML file of `data:` keys, without the `data:` over them."""
    tree, sources = read_yaml(path)
    try:
        return Config.model_validate({"data": tree}).data
    except ValidationError as error:
        below = {("data", *at): source for at, source in sources.items()}
        problems = _sentences(error.errors(), {"data": tree}, below)
        raise ConfigError([problem.replace("`data.", "`") for problem in dict.fromkeys(problems)]) from None


def known_keys(section: type[BaseModel] = Config, prefix: str = "") -> list[str]:
    """All dotted keys, those of every model included.

    >>> "optim.lr" in known_keys()
    True
    """
    keys: list[str] = []
    for name, field in section.model_fields.items():
        keys.append(prefix + name)
        for inner in _sections(field.annotation):
            keys += known_keys(inner, f"{prefix}{name}.")
    return list(dict.fromkeys(keys))


def to_yaml(config: Config, reasons: Mapping[str, str] | None = None) -> str:
    """The configuration as YAML; each resolved `auto` is told in a comment with its reason."""
    head = "".join(f"# {key} was auto: {why}\n" for key, why in (reasons or {}).items())
    body = yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False, allow_unicode=True, width=120)
    return head + body


def _sections(annotation: Any, lists: bool = False) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    if not lists and get_origin(annotation) is list:
        return []
    parts = [part for part in get_args(annotation) if not isinstance(part, str)]
    return [section for part in parts if lists or getattr(part, "__name__", "") != "list" for section in _sections(part, lists)]


def read_yaml(path: Path) -> tuple[dict[str, Any], Sources]:
    """The tree of keys a YAML file holds, and where each stands."""
    if not path.is_file():
        fix = f"Did you mean --data {path}?" if path.is_dir() or not path.suffix else "Check the path."
        raise ConfigError(
            [f"`CONFIG` must be a YAML file; got {path}, which is {'a folder' if path.is_dir() else 'not there'}. {fix}"]
        )
    try:
        text = path.read_text(encoding="utf-8")
        node = yaml.compose(text, Loader=yaml.SafeLoader)
        tree = yaml.safe_load(text)
    except OSError as error:
        raise ConfigError([f"`CONFIG` must be readable; got {path}: {error.strerror}. Check its permissions."]) from None
    except UnicodeDecodeError:
        raise ConfigError([f"`CONFIG` must be text; got {path}, which is not UTF-8. Save it as UTF-8."]) from None
    except (yaml.YAMLError, ValueError) as error:  # PyYAML lets a date such as 2024-13-45 fail on its own
        mark = getattr(error, "problem_mark", None)
        line = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or "it could not be parsed"
        raise ConfigError([f"{path}{line}: must be valid YAML; {problem}. Check indentation and quotes."]) from None
    if tree is None:
        return {}, {}
    if not isinstance(tree, dict):
        raise ConfigError([f"{path}: must hold keys such as `data:` and `model:`; got a {type(tree).__name__}."])
    sources: Sources = {}
    _note_lines(node, (), path, sources)
    return {key: value for key, value in tree.items() if value is not None}, sources  # `optim:` with nothing below: defaults


def _note_lines(node: Any, at: tuple[str | int, ...], path: Path, sources: Sources) -> None:
    """Remember the file and line of every key below a YAML node."""
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*at, str(key.value))
            if here in sources:
                twice = f"{path}, line {key.start_mark.line + 1}: `{'.'.join(map(str, here))}` must stand once"
                raise ConfigError([f"{twice}; it stands also on {sources[here].removeprefix(f'{path}, ')}. Remove one."])
            sources[here] = f"{path}, line {key.start_mark.line + 1}"
            _note_lines(value, here, path, sources)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            sources[(*at, index)] = f"{path}, line {value.start_mark.line + 1}"
            _note_lines(value, (*at, index), path, sources)


def lay_over(tree: dict[str, Any], sources: Sources, key: str, value: Any, source: str) -> str | None:
    """Put a value at its dotted key, in place; what is wrong with its text, else None."""
    if isinstance(value, str):
        try:
            value = _as_meant(key, value)
        except (yaml.YAMLError, ValueError):
            return f"{source}: must be a YAML value; got {value!r}. Quote it."
    parts = key.split(".")
    if parts == ["model"] and isinstance(value, str):
        value = _as_answered(tree.get("model"), model_shorthand(value))
    node = tree
    for part in parts[:-1]:
        inner: Any = node.get(part)
        if part == "model" and isinstance(inner, str):  # the file used the shorthand
            inner = model_shorthand(inner)
        if part == "freeze" and isinstance(inner, str | list):  # a name or a list in the file, and --freeze-encoder beside it
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
    """A network named by itself takes the whole section's place; but `outputs`, which goes with the loss, stays where it has any.

    >>> _as_answered({"name": "unet", "width": 8, "outputs": "sigmoid"}, {"name": "resnet34_unet"})
    {'outputs': 'sigmoid', 'name': 'resnet34_unet'}
    """
    section = MODEL_SECTIONS.get(str(named.get("name")))
    if not isinstance(before, dict) or "outputs" not in before or section is None or "outputs" not in section.model_fields:
        return named
    return {"outputs": before["outputs"], **named}


def yaml_value(text: str) -> Any:
    """A flag's text as YAML would read it, and 1e-3 as the number everyone means by it."""
    value = yaml.safe_load(text)
    if isinstance(value, str):
        try:
            return float(value)  # YAML 1.1 reads 1e-3 as text
        except ValueError:
            return value
    return value


_QUOTED = re.compile(r"(['\"]).*\1", re.DOTALL)


def _as_meant(key: str, text: str) -> Any:
    """A flag's text: as it stands where the key holds text, since a folder may be called 2024 or `set #2`; elsewhere as YAML.

    >>> _as_meant("data.root", "2024"), _as_meant("train.epochs", "2024"), _as_meant("data.root", "null")
    ('2024', 2024, None)
    """
    if not _holds_text(key) or text in ("", "~", "null") or _QUOTED.fullmatch(text):
        return yaml_value(text)
    return text


@functools.cache
def _holds_text(key: str) -> bool:
    """Whether every section that knows the key takes any text there."""
    *parents, last = key.split(".")
    sections: list[type[BaseModel]] = [Config]
    for part in parents:
        fields = [section.model_fields[part] for section in sections if part in section.model_fields]
        sections = [inner for field in fields for inner in _sections(field.annotation)]
    kinds = [section.model_fields[last].annotation for section in sections if last in section.model_fields]
    return bool(kinds) and all(kind in (str, str | None) for kind in kinds)


def _sentences(errors: Sequence[Any], tree: dict[str, Any], sources: Sources) -> list[str]:
    """pydantic's errors as house sentences, the branches of a union told as one."""
    constraints: dict[tuple[str, str], list[str]] = {}
    meant: dict[tuple[str, str], list[str]] = {}
    sentences: list[str] = []
    for item in _of_the_branch_meant(errors):
        loc = tuple(part for part in item["loc"] if not _is_union_tag(part, item["loc"]))
        key = ".".join(str(part) for part in loc)
        where = next((f"{sources[loc[:end]]}: " for end in range(len(loc), 0, -1) if loc[:end] in sources), "")
        if item["type"] == "invalid_key":
            line = next((told for at, told in sources.items() if at[-1] == key), "")
            sentences.append(f"{line}{': ' if line else ''}`{key}` must be a known key. {_key_hint((key,), tree)}")
        elif loc[0] == "loss" and item["type"] in ("extra_forbidden", "union_tag_invalid", "union_tag_not_found"):
            sentences.append(where + _loss_sentence(item, loc, tree["loss"]))
        elif item["type"] == "extra_forbidden":
            sentences.append(f"{where}`{key}` must be a known key. {_key_hint(loc, tree)}")
        elif item["type"] in ("union_tag_invalid", "union_tag_not_found"):
            got = (item.get("ctx") or {}).get("tag", "no name")
            near = closest(got, [*MODEL_SECTIONS, *get_args(TorchvisionArch), *HF_SIZES])
            hint = f"Did you mean {listed(near, 'or')}? " if near else ""
            hint += "An architecture with an encoder is written arch/encoder, such as unet/resnet34."
            sentences.append(f"{where}`{key}` must be {listed(list(MODEL_SECTIONS), 'or')}; got {got!r}. {hint}")
        elif item["type"] == "value_error":
            sentences.append(f"{where}`{key}`: {item['msg'].removeprefix('Value error, ')}.")
        else:
            given = (f"{where}`{key}`", repr(item["input"]))
            constraints.setdefault(given, []).append(_constraint(item))
            meant.setdefault(given, []).extend(_nearest_value(item))
    merged = [
        f"{key} must be {listed(dict.fromkeys(musts), 'or')}; got {got}."
        + "".join(f" Did you mean {near}?" for near in meant[key, got][:1])
        for (key, got), musts in constraints.items()
    ]
    return sentences + merged


def _loss_sentence(item: Any, loc: tuple[Any, ...], written: Any) -> str:
    """A loss that isn't known, or a key that its loss doesn't take."""
    key = ".".join(map(str, loc))
    if item["type"] == "extra_forbidden":
        name = written[loc[1]]["name"]
        keys = list(LOSS_SECTIONS[name].model_fields)
        takers = [one for one, section in LOSS_SECTIONS.items() if loc[2] in section.model_fields]
        near = closest(loc[2], keys, limit=1)
        if near and not takers:
            return f"`{key}` must be a known key. Did you mean `loss.{loc[1]}.{near[0]}`?"
        told = f" {listed(takers)} {'takes' if len(takers) == 1 else 'take'} it." if takers else ""
        return f"`{key}` must be a known key of {name}. Its keys are {listed(keys, 'and', 12)}.{told}"
    where = "loss" if isinstance(written, str) else f"{key}.name"
    if item["type"] == "union_tag_not_found":
        return f"`{where}` must be given. Write {{name: …}}; losses are {listed(LOSS_SECTIONS, 'and', 20)}."
    got = item["ctx"]["tag"]
    if got in LOSS_SYNONYMS:
        return f"`{where}` must be one that is known; got {got!r}. Did you mean {LOSS_SYNONYMS[got]}?"
    parts = [part.strip() for part in re.split("[+,]", got)]
    if len(parts) > 1 and set(parts) <= set(LOSS_SECTIONS):
        return f"`{where}` must be one name; got {got!r}. Write a mix as [{', '.join(parts)}]."
    known = [*LOSS_SECTIONS, "auto"] if where == "loss" else list(LOSS_SECTIONS)
    near = closest(got, known)
    return unknown(where, got, known, "" if near else f"Losses are {listed(LOSS_SECTIONS, 'and', 20)}.")


def _of_the_branch_meant(errors: Sequence[Any]) -> list[Any]:
    """Of a union's branches, those alone that the value was meant for: a list isn't told that it is no text."""
    deepest: dict[tuple[Any, ...], int] = {}  # at a union
    reached: dict[tuple[Any, ...], int] = {}  # in a branch of it
    for item in errors:
        for length, part in enumerate(item["loc"]):
            if _is_union_tag(part, item["loc"]):
                at, branch, depth = item["loc"][:length], item["loc"][: length + 1], len(item["loc"]) - length
                deepest[at], reached[branch] = max(deepest.get(at, 0), depth), max(reached.get(branch, 0), depth)
    kept = []
    for item in errors:
        tags = [length for length, part in enumerate(item["loc"]) if _is_union_tag(part, item["loc"])]
        wrong_kind = item["type"] in ("list_type", "dict_type")  # `augment: hevy` was meant as a name
        meant = all(reached[item["loc"][: length + 1]] == deepest[item["loc"][:length]] for length in tags)
        if meant and not (tags and wrong_kind):
            kept.append(item)
    return kept or list(errors)


def _key_hint(loc: tuple[Any, ...], tree: dict[str, Any]) -> str:
    """The nearest key of this section, else the same key in another section, else all keys here."""
    siblings, mine = _siblings(loc, tree), ".".join(map(str, loc))
    name = SYNONYMS.get(mine, SYNONYMS.get(str(loc[-1]), str(loc[-1])))
    near = closest(name, siblings, limit=1)
    near = near or [SYNONYMS[other] for other in closest(name, SYNONYMS, limit=1) if SYNONYMS[other] in siblings]
    if near:
        return f"Did you mean `{'.'.join([*map(str, loc[:-1]), near[0]])}`?"
    elsewhere = [key for key in known_keys() if key.split(".")[-1] == name and key != mine]
    if elsewhere:
        return f"Did you mean `{elsewhere[0]}`?"
    return f"Keys here are {listed(siblings, 'and', 12)}."


def _is_union_tag(part: object, loc: tuple[Any, ...]) -> bool:
    """pydantic puts the branch of a union into the path; a reader doesn't want it there."""
    if not isinstance(part, str):
        return False
    if loc[0] == "loss" and part in LOSS_SECTIONS:
        return True
    if loc[0] == "log" and part in ("plain", *LOG_SECTIONS):
        return True
    if loc[0] == "model" and len(loc) > 1 and part in MODEL_SECTIONS:
        return True
    known = ("int", "float", "str", "bool", AugmentOp.__name__, AlbumentationsOp.__name__)
    return part in known or part.startswith("constrained") or "[" in part


def _siblings(loc: tuple[Any, ...], tree: dict[str, Any]) -> list[str]:
    section: type[BaseModel] | None = Config
    for part in loc[:-1]:
        if section is None:
            break
        if isinstance(part, int):  # in a list of sections, which _sections was asked for
            if section in LOG_SECTIONS.values():
                section = section_at(tree["log"], part)
            if section is AugmentOp and kind_of_step(tree["augment"][part]) == AlbumentationsOp.__name__:
                section = AlbumentationsOp
            continue
        if section is Config and part == "model":
            model = model_shorthand(tree.get("model"))
            section = MODEL_SECTIONS.get(str(model["name"])) if isinstance(model, dict) else UnetConfig
            continue
        field = section.model_fields.get(str(part))
        found = _sections(field.annotation, lists=True) if field else []
        section = found[0] if found else None
    return list(section.model_fields) if section else []


def _nearest_value(item: Any) -> list[str]:
    """Of the words a key may hold, the one that was probably meant."""
    if item["type"] != "literal_error" or not isinstance(item["input"], str):
        return []
    return closest(item["input"], re.findall("'([^']*)'", item["ctx"]["expected"]), limit=1)


def _constraint(item: Any) -> str:
    """What must hold, from pydantic's own wording."""
    if item["type"] in ("model_type", "model_attributes_type"):
        return "a section of keys, such as {name: …}" if isinstance(item["loc"][-1], int) else "a section of keys"
    if item["type"] == "missing":
        return "given"
    message = item["msg"].removeprefix("Input should be ").partition(", unable to parse")[0]
    return message.replace("'", "").replace("a valid integer", "a whole number").replace("a valid ", "a ")
