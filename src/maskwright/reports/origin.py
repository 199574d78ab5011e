"""How a run was made: data, training and machine as terms and descriptions."""

from __future__ import annotations

import shlex
import statistics
from typing import Any

from maskwright.config import Config
from maskwright.config.augment import AlbumentationsOp, AugmentOp, CustomOp
from maskwright.config.losses import LossTerm
from maskwright.config.optim import OptimConfig
from maskwright.data.record import class_map
from maskwright.errors import listed
from maskwright.reports.facts import Facts, number
from maskwright.reports.wording import DASH, SPLIT_WORDS, counted, duration, large, share

Terms = list[tuple[str, str]]
_LISTED_CLASSES = 30


def data_terms(facts: Facts) -> Terms:
    """The data set as the run found it."""
    document = facts.document
    splits = {name: len(entries) for name, entries in document["splits"].items()}
    dealt = ", ".join(f"{num} {name}" for name, num in splits.items())
    terms = [
        ("Folder", document["root"]),
        ("Images", f"{sum(splits.values()):,} ({dealt}), {_sizes(document)}"),
        ("Read as", f"{document['reader']}: {document['reason']}"),
        ("Classes", _classes(facts)),
        ("Class values", document["classes"]["reason"] or DASH),
    ]
    terms += [("Note", note) for note in document["notes"]]
    return [*terms, ("Fingerprint", document["fingerprint"][:16])]


def _step_name(step: AugmentOp | AlbumentationsOp | CustomOp) -> str:
    if isinstance(step, AugmentOp):
        return step.name
    if isinstance(step, CustomOp):
        return step.source
    named = step.albumentations if isinstance(step.albumentations, list) else [step.albumentations]
    return " + ".join(str(transform.get("name", "a transform")) for transform in named)


def training_terms(facts: Facts) -> Terms:
    """What was trained, how, and how long it took."""
    config = facts.config
    model = config.model.model_dump(exclude={"pixels", "hash"}, exclude_none=True)
    settings = ", ".join(f"{key} {value}" for key, value in model.items() if key != "name")
    loss = _loss(config)
    augment = config.augment if isinstance(config.augment, str) else listed(map(_step_name, config.augment), limit=20)
    optim, train = config.optim, config.train
    frozen = f", {_frozen(optim)} frozen" if optim.freeze else ""
    size = config.data.size
    view = {"whole": f"whole images at {size} × {size}", "crop": f"crops of {size} × {size} at scale {config.data.scale}"}
    terms = [
        ("Model", f"{model['name']} ({settings})"),
        *_started(facts),
        ("Input", view.get(config.data.view, config.data.view)),
        ("Augmentation", augment),
        ("Loss", loss),
        ("Optimiser", f"{optim.name}, learning rate {optim.lr:g}, {optim.schedule}, weight decay {optim.weight_decay:g}{frozen}"),
        ("Epochs", f"{len(facts.history)} of batches of {train.batch_size}, {train.repeats} inputs from each image an epoch"),
        ("Seed", str(train.seed)),
        ("Precision", f"{train.precision} on {train.devices}"),
    ]
    return [*terms, ("Time", _time(facts))]


def _started(facts: Facts) -> Terms:
    """Whose weights the model began with, and on what terms; nothing for one that began at random."""
    weights = facts.environment.get("weights")
    return [("Started from", f"{weights['source']}; licence {weights['licence']}")] if weights else []


def machine_terms(facts: Facts) -> Terms:
    """The command and what it ran on."""
    environment = facts.environment
    machine, git = environment["machine"], environment["git"]
    packages = {"python": environment["python"], **environment["packages"]}
    return [
        ("Started", environment["started"].replace("T", " ").replace("+00:00", " UTC")),
        ("Processor", f"{machine['processor']}, {counted(machine['cores'], 'core')}"),
        ("System", machine["system"]),
        ("Git commit", git["commit"] if git else "not in a git repository"),
        ("Versions", ", ".join(f"{name} {version}" for name, version in packages.items())),
    ]


def threshold(facts: Facts) -> str:
    """From which probability a pixel counts as foreground, and how that was settled; empty where it isn't told."""
    found = facts.evaluation.get("threshold") or {}
    if not facts.is_binary or found.get("value") is None:
        return ""
    how = f"tuned on the {SPLIT_WORDS.get(found.get('on') or 'val')} images" if found.get("how") == "tuned" else "fixed"
    return f"A pixel counts as {facts.classes[1]} from a probability of {found['value']:.3g} ({how})."


def cost_terms(facts: Facts) -> Terms:
    """What the network costs in use, as far as the evaluation measured it."""
    cost = facts.evaluation.get("cost") or {}
    where = ", ".join(str(cost[key]) for key in ("device", "precision") if cost.get(key))
    size = " × ".join(f"{side:,}" for side in reversed(cost.get("input") or []))
    terms = []
    if cost.get("milliseconds_an_image") is not None:
        from maskwright.evaluation.costs import format_latency  # late: brings torch

        ends = (number(cost.get(end)) for end in ("milliseconds_low", "milliseconds_high"))
        told = format_latency(cost["milliseconds_an_image"], *ends)
        terms.append(("Time an image", f"{told}{f', {where}' if where else ''}"))
    if cost.get("peak_memory_mib") is not None:
        whole = ", the whole program with its libraries" if str(cost.get("device", "")).startswith("cpu") else ""
        terms.append(("Memory", f"{cost['peak_memory_mib']:,.0f} MiB at most{whole}"))
    if cost.get("parameters") is not None:
        terms.append(("Parameters", large(cost["parameters"])))
    if cost.get("multiply_adds") is not None:
        terms.append(("Multiply-adds", f"{large(cost['multiply_adds'])}{f' at {size} pixels' if size else ''}"))
    return terms


def command(facts: Facts) -> str:
    """The command as it can be typed again."""
    return shlex.join(facts.environment["command"])


def settled(facts: Facts) -> list[tuple[str, str, str]]:
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
    """A loss of the mix with its weight and what of it was changed; class weights may be many, and stand in config.yaml."""
    fields = {key: field.default for key, field in type(term).model_fields.items() if key not in ("name", "weight", "hash")}
    changed = {key: getattr(term, key) for key, default in fields.items() if getattr(term, key) != default}
    told = ["class weights" if key == "class_weights" else f"{key} {value}" for key, value in changed.items()]
    name = f"{term.name} ({', '.join(told)})" if told else term.name
    return name if term.weight == 1 else f"{term.weight:g} × {name}"


def _frozen(optim: OptimConfig) -> str:
    """The parts that don't learn, and for how long."""
    if not isinstance(optim.freeze, dict):
        return listed(optim.freeze)
    return listed(part if until == "always" else f"{part} for {until} epochs" for part, until in optim.freeze.items())


def _sizes(document: Any) -> str:
    """Width × height of the smallest and the largest image."""
    sizes = {tuple(entry["size"]) for entries in document["splits"].values() for entry in entries}
    told = [f"{width} × {height}" for height, width in sorted(sizes, key=lambda size: (size[0] * size[1], size))]
    return f"each {told[0]} pixels" if len(told) == 1 else f"{told[0]} to {told[-1]} pixels"


def _classes(facts: Facts) -> str:
    classes, shares = class_map(dict(facts.document)), facts.document["class_shares"]
    parts = [f"{name} ({part})" for name, part in zip(classes.names, map(share, shares), strict=True)]
    return listed(parts, limit=_LISTED_CLASSES)


def _time(facts: Facts) -> str:
    if not facts.history:
        return DASH
    seconds = [row["seconds"] for row in facts.history]
    speed = statistics.median(row["images_per_second"] for row in facts.history)
    return f"{duration(sum(seconds))} in {counted(len(seconds), 'epoch')}, {speed:.1f} images/s (median)"
