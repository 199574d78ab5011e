"""What pydantic found wrong with a configuration, as sentences that name key, file, line and nearest key."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, get_args

from pydantic import BaseModel

from maskwright.config import Config
from maskwright.config.augment import AlbumentationsOp, AugmentOp, CustomOp, kind_of_step
from maskwright.config.keys import MODEL_SECTIONS, known_keys, sections_of
from maskwright.config.log import LOG_SECTIONS, section_at
from maskwright.config.losses import LOSS_SECTIONS, CustomTerm
from maskwright.config.models import HF_SIZES, TorchvisionArch, UnetConfig, model_shorthand
from maskwright.errors import closest, did_you_mean, listed, unknown

Sources = dict[tuple[str | int, ...], str]  # where the key at a path was given

# what other tools call these keys
SYNONYMS = {"learning_rate": "lr", "wd": "weight_decay", "batch": "batch_size", "num_epochs": "epochs",
            "optimizer": "optim", "scheduler": "schedule", "lr_scheduler": "schedule",
            "accumulate_grad_batches": "accumulate", "gradient_clip_val": "clip", "ema": "average",
            "optim.optimizer": "name", "minutes": "budget", "max_time": "budget", "bs": "batch_size",
            "imgsz": "size", "img_size": "size", "image_size": "size", "input_size": "size"}  # fmt: skip
VALUE_SYNONYMS = {"cuda": "gpu"}
LOSS_SYNONYMS = {
    "cross_entropy": "ce", "crossentropy": "ce", "soft_ce": "ce", "label_smoothing": "ce", "nll": "ce",
    "binary_cross_entropy": "bce", "iou": "jaccard", "ohem": "topk", "edge": "boundary", "lovasz_softmax": "lovasz",
}  # fmt: skip


def sentences_of(errors: Sequence[Any], tree: dict[str, Any], sources: Sources) -> list[str]:
    """pydantic's errors as house sentences, the branches of a union as one."""
    constraints: dict[tuple[str, str], list[str]] = {}
    meant: dict[tuple[str, str], list[str]] = {}
    sentences: list[str] = []
    for item in _of_the_branch_meant(errors):
        loc = tuple(part for part in item["loc"] if not _is_union_tag(part, item["loc"]))
        key = ".".join(str(part) for part in loc)
        where = next((f"{sources[loc[:end]]}: " for end in range(len(loc), 0, -1) if loc[:end] in sources), "")
        if item["type"] == "invalid_key":
            line = next((source for at, source in sources.items() if at[-1] == key), "")
            sentences.append(f"{line}{': ' if line else ''}{_unknown_key((key,), tree)}")
        elif loc[0] == "loss" and item["type"] in ("extra_forbidden", "union_tag_invalid", "union_tag_not_found"):
            sentences.append(where + _loss_sentence(item, loc, tree["loss"]))
        elif item["type"] == "extra_forbidden":
            sentences.append(where + _unknown_key(loc, tree))
        elif item["type"] in ("union_tag_invalid", "union_tag_not_found"):
            fix = "An architecture with an encoder is written arch/encoder, such as unet/resnet34."
            names = [name for name in MODEL_SECTIONS if name != "custom"]
            if item["type"] == "union_tag_not_found":
                sentences.append(f"{where}`{key}.name` must be {listed(names, 'or', 6)}; got no name. {fix}")
                continue
            got = item["ctx"]["tag"]
            near = closest(got, [*MODEL_SECTIONS, *get_args(TorchvisionArch), *HF_SIZES])
            sentences.append(where + unknown("model", got, near or names, fix))
        elif item["type"] == "value_error":
            said = item["msg"].removeprefix("Value error, ")
            joint = " " if said.startswith("must ") else ": "
            sentences.append(f"{where}`{key}`{joint}{said}{'' if said.endswith(('.', '?')) else '.'}")
        else:
            given = (f"{where}`{key}`", f"{item['input']!r:.200}")
            constraints.setdefault(given, []).append(_constraint(item))
            meant.setdefault(given, []).extend(_nearest_value(item))
    merged = [
        f"{key} must be {listed(dict.fromkeys(musts), 'or')}; got {got}."
        + "".join(f" {did_you_mean([near])}" for near in meant[key, got][:1])
        for (key, got), musts in constraints.items()
    ]
    return sentences + merged


def _loss_sentence(item: Any, loc: tuple[Any, ...], written: Any) -> str:
    """A loss that isn't known, or a key that its loss doesn't take."""
    key = ".".join(map(str, loc))
    if item["type"] == "extra_forbidden":
        name = written[loc[1]].get("name", "custom")
        keys = list({**LOSS_SECTIONS, "custom": CustomTerm}[name].model_fields)
        takers = [one for one, section in LOSS_SECTIONS.items() if loc[2] in section.model_fields]
        near = closest(loc[2], keys, limit=1)
        if near and not takers:
            return unknown("key", key, [f"loss.{loc[1]}.{near[0]}"])
        elsewhere = f" {listed(takers)} {'takes' if len(takers) == 1 else 'take'} it." if takers else ""
        return f"{unknown('key', key, [])} The keys of {name} are {listed(keys, 'and', 12)}.{elsewhere}"
    where = "loss" if isinstance(written, str) else f"{key}.name"
    of = "" if where == "loss" else where
    if item["type"] == "union_tag_not_found":
        return f"`{where}` must be given. Write {{name: …}}; losses are {listed(LOSS_SECTIONS, 'and', 20)}."
    got = item["ctx"]["tag"]
    if got in LOSS_SYNONYMS:
        return unknown("loss", got, [LOSS_SYNONYMS[got]], key=of)
    parts = [part.strip() for part in re.split("[+,]", got)]
    if len(parts) > 1 and set(parts) <= set(LOSS_SECTIONS):
        return f"`{where}` must be one name; got {got!r}. Write a mix as [{', '.join(parts)}]."
    return unknown("loss", got, [*LOSS_SECTIONS, *([] if of else ["auto"])], key=of)


def _of_the_branch_meant(errors: Sequence[Any]) -> list[Any]:
    """Of a union's branches, those alone that the value was meant for: no list is refused for being no text."""
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


def _unknown_key(loc: tuple[Any, ...], tree: dict[str, Any]) -> str:
    """With the nearest key of this section, else the same key in another section, else all keys here."""
    siblings, mine = _siblings(loc, tree), ".".join(map(str, loc))
    name = SYNONYMS.get(mine, SYNONYMS.get(str(loc[-1]), str(loc[-1])))
    near = closest(name, siblings, limit=1)
    near = near or [SYNONYMS[other] for other in closest(name, SYNONYMS, limit=1) if SYNONYMS[other] in siblings]
    if near:
        return unknown("key", mine, [".".join([*map(str, loc[:-1]), near[0]])])
    elsewhere = [key for key in known_keys() if key.split(".")[-1] == name and key != mine]
    return unknown("key", mine, elsewhere[:1], "" if elsewhere else f"Keys here are {listed(siblings, 'and', 12)}.")


def _is_union_tag(part: object, loc: tuple[Any, ...]) -> bool:
    """pydantic puts the branch of a union into the path; a reader doesn't want it there."""
    if not isinstance(part, str):
        return False
    if loc[0] == "loss" and part in (*LOSS_SECTIONS, "custom"):
        return True
    if loc[0] == "log" and part in ("plain", *LOG_SECTIONS):
        return True
    if loc[0] == "model" and len(loc) > 1 and part in MODEL_SECTIONS:
        return True
    known = ("int", "float", "str", "bool", AugmentOp.__name__, AlbumentationsOp.__name__, CustomOp.__name__)
    return part in known or part.startswith("constrained") or "[" in part


def _siblings(loc: tuple[Any, ...], tree: dict[str, Any]) -> list[str]:
    section: type[BaseModel] | None = Config
    for part in loc[:-1]:
        if section is None:
            break
        if isinstance(part, int):  # in a list of sections, which _sections was asked for
            if section in LOG_SECTIONS.values():
                section = section_at(tree["log"], part)
            if section is AugmentOp:
                kinds = {one.__name__: one for one in (AugmentOp, AlbumentationsOp, CustomOp)}
                section = kinds[kind_of_step(tree["augment"][part])]
            continue
        if section is Config and part == "model":
            model = model_shorthand(tree.get("model"))
            section = MODEL_SECTIONS.get(str(model["name"])) if isinstance(model, dict) else UnetConfig
            continue
        field = section.model_fields.get(str(part))
        found = sections_of(field.annotation, lists=True) if field else []
        section = found[0] if found else None
    return list(section.model_fields) if section else []


def _nearest_value(item: Any) -> list[str]:
    """What was probably meant: of the words a key may hold the nearest; of names without brackets their list."""
    given = item["input"]
    if not isinstance(given, str):
        return []
    if item["type"] == "list_type" and "," in given:
        return [f"[{', '.join(part.strip() for part in given.split(','))}]"]
    if item["type"] != "literal_error":
        return []
    known = re.findall("'([^']*)'", item["ctx"]["expected"])
    other = VALUE_SYNONYMS.get(given.lower().partition(":")[0])  # `cuda:0` too
    return [other] if other and other in known else closest(given, known, limit=1)


def _constraint(item: Any) -> str:
    """What must hold, from pydantic's own wording."""
    if item["type"] in ("model_type", "model_attributes_type"):
        return "a section of keys, such as {name: …}" if isinstance(item["loc"][-1], int) else "a section of keys"
    if item["type"] == "missing":
        return "given"
    if item["type"] == "int_parsing_size":
        return "a whole number of fewer digits"
    message = item["msg"].removeprefix("Input should be ").partition(", unable to parse")[0]
    return message.replace("'", "").replace("a valid integer", "a whole number").replace("a valid ", "a ")
