"""How a run was made, as far as it takes more than reading its files: its training, and what `auto` became."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from maskwright.config import Config
from maskwright.config.augment import AlbumentationsOp, AugmentOp, CustomOp
from maskwright.config.losses import LossTerm
from maskwright.config.optim import OptimConfig
from maskwright.data.geometry import size_text
from maskwright.data.record import class_map
from maskwright.errors import counted, listed
from maskwright.reports.facts import Facts
from maskwright.reports.pages import SPLIT_WORDS, duration, number, share
from maskwright.terminal import DASH

Terms = list[tuple[str, str]]
_LISTED_CLASSES = 30


def training_terms(facts: Facts) -> Terms:
    """What was trained, how, and how long it took."""
    config = facts.config
    model = config.model.model_dump(exclude={"pixels", "hash"}, exclude_none=True)
    settings = ", ".join(f"{key} {value}" for key, value in model.items() if key != "name")
    augment = config.augment if isinstance(config.augment, str) else listed(map(_step_name, config.augment), limit=20)
    optim, train = config.optim, config.train
    size = config.data.size if config.data.size == "auto" else size_text(config.data.size)
    view = {
        "whole": f"whole images at {size}",
        "crop": f"crops of {size} at scale {config.data.scale}",
    }
    weights = facts.environment.get("weights")  # nothing for a model that began at random
    return [
        ("Model", f"{model['name']} ({settings})"),
        *([("Started from", f"{weights['source']}; licence {weights['licence']}")] if weights else []),
        ("Input", view.get(config.data.view, config.data.view)),
        ("Augmentation", augment),
        ("Loss", _loss(config)),
        ("Optimiser", f"{optim.name}, learning rate {optim.lr:g}, {optim.schedule}, weight decay {optim.weight_decay:g}"
         + _frozen(optim)),
        ("Epochs", f"{len(facts.history)} of batches of {train.batch_size}, "
         f"{train.repeats} inputs from each image an epoch"),
        ("Seed", str(train.seed)),
        ("Precision", f"{train.precision} on {train.devices}"),
        ("Time", _time(facts)),
    ]  # fmt: skip


def _step_name(step: AugmentOp | AlbumentationsOp | CustomOp) -> str:
    if isinstance(step, AugmentOp):
        return step.name
    if isinstance(step, CustomOp):
        return step.source
    named = step.albumentations if isinstance(step.albumentations, list) else [step.albumentations]
    return " + ".join(str(transform.get("name", "a transform")) for transform in named)


def _frozen(optim: OptimConfig) -> str:
    """The parts that don't learn, and for how long."""
    if not optim.freeze:
        return ""
    if not isinstance(optim.freeze, dict):
        return f", {listed(optim.freeze)} frozen"
    parts = (part if until == "always" else f"{part} for {until} epochs" for part, until in optim.freeze.items())
    return f", {listed(parts)} frozen"


def _time(facts: Facts) -> str:
    if not facts.history:
        return DASH
    seconds = sum(row["seconds"] for row in facts.history)
    speed = statistics.median(row["images_per_second"] for row in facts.history)
    return f"{duration(seconds)} in {counted(len(facts.history), 'epoch')}, {speed:.1f} images/s (median)"


def threshold(facts: Facts) -> str:
    """From which probability a pixel counts as foreground, and how that was chosen; empty where it isn't known."""
    found = facts.evaluation.get("threshold") or {}
    if not facts.is_binary or found.get("value") is None:
        return ""
    how = f"tuned on the {SPLIT_WORDS.get(found.get('on') or 'val')} images" if found.get("how") == "tuned" else "fixed"
    return f"A pixel counts as {facts.classes[1]} above a probability of {found['value']:.3g} ({how})."


def latency(cost: Mapping[str, Any]) -> str:
    """The time an image with its spread."""
    from maskwright.evaluation.intervals import format_latency

    low, high = (number(cost.get(end)) for end in ("milliseconds_low", "milliseconds_high"))
    return format_latency(cost["milliseconds_an_image"], low, high)


def image_sizes(document: Mapping[str, Any]) -> str:
    """Width × height of the smallest and the largest image."""
    sizes = {tuple(entry["size"]) for entries in document["splits"].values() for entry in entries}
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    ends = [f"{width} × {height}" for height, width in ordered[:: max(1, len(ordered) - 1)]]
    return f"each {ends[0]} pixels" if len(ends) == 1 else f"{ends[0]} to {ends[-1]} pixels"


def class_shares(document: Mapping[str, Any]) -> str:
    """The classes, each with its share of the labelled pixels."""
    names, shares = class_map(dict(document)).names, document["class_shares"]
    return listed([f"{name} ({share(part)})" for name, part in zip(names, shares, strict=True)], limit=_LISTED_CLASSES)


FILTERS = (latency, image_sizes, class_shares)  # for templates


def chosen(facts: Facts) -> list[tuple[str, str, str]]:
    """Every value that was `auto`: its key, what it became, and why."""
    return [(key, _value(facts.config, key), why) for key, why in facts.environment["auto"].items()]


def _value(config: Config, key: str) -> str:
    if key == "loss":
        return _loss(config)
    value: Any = config.model_dump(mode="json")
    for part in key.split("."):
        if isinstance(value, list):  # loss.0.class_weights
            value = dict(enumerate(value)).get(int(part))
        else:
            value = value.get(part) if isinstance(value, dict) else None
    return DASH if value is None else str(value)


def _loss(config: Config) -> str:
    return config.loss if isinstance(config.loss, str) else " + ".join(map(_term, config.loss))


def _term(term: LossTerm) -> str:
    """A loss of the mix with its weight and what was changed; class weights may be many, and stand in config.yaml."""
    defaults = {
        key: field.default for key, field in type(term).model_fields.items() if key not in ("name", "weight", "hash")
    }
    changed = {key: getattr(term, key) for key, default in defaults.items() if getattr(term, key) != default}
    parts = ["class weights" if key == "class_weights" else f"{key} {value}" for key, value in changed.items()]
    name = f"{term.name} ({', '.join(parts)})" if parts else term.name
    return name if term.weight == 1 else f"{term.weight:g} × {name}"
