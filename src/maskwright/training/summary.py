"""What a person is told before training starts, and when it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from maskwright.config.base import MONITORS
from maskwright.config.models import UnetConfig
from maskwright.data.augment import resolve
from maskwright.data.description import check_command
from maskwright.errors import counted, listed
from maskwright.training.pace import takes_last

if TYPE_CHECKING:
    from maskwright.config import Config
    from maskwright.training.fit import TrainResult
    from maskwright.training.plan import Plan


def tell_plan(console: Console) -> Callable[[Plan], None]:
    """A teller for `fit.train`: data, classes, what was settled and why."""

    def tell(plan: Plan) -> None:
        dataset, config = plan.opened.dataset, plan.config
        sizes = ", ".join(f"{count} {split}" for split, count in dataset.sizes().items())
        shares = dataset.class_shares()
        classes = ", ".join(f"{name} {share:.1%}" for name, share in zip(dataset.classes.names, shares, strict=True))
        lines = [f"data    {dataset.reason}", f"images  {sizes}", f"classes {classes} ({dataset.classes.reason})"]
        lines += [f"note    {note}" for note in (*dataset.notes, *plan.passed.notes)]
        lines += [f"allowed {finding.code}: {finding.evidence}" for finding in plan.passed.allowed]
        lines += [f"warning {finding.code}: {finding.evidence}" for finding in plan.passed.warnings]
        lines += [f"        more is told by: {check_command(plan.opened.config)}"] if plan.passed.warnings else []
        lines += [f"model   {_network(config)}{_why(plan, 'model')}"]
        lines += [f"start   {line}" for line in _start(plan)]
        lines += [f"shown   {_shown(config)}{_why(plan, 'data.scale' if config.data.scale != 1 else 'train.grow')}"]
        lines += [f"augment {_augmented(config)}{_why(plan, 'augment')}"]
        lines += [f"train   {_amount(config, dataset.sizes()['train'])}{_why(plan, 'train.budget')}"]
        if takes_last(config, dataset.sizes()["val"]):
            few = counted(dataset.sizes()["val"], "validation image")
            lines.append(f"kept    the weights of the end: {few} cannot tell which epoch was better{_told_folds(config)}")
        asked = [key for key in ("data.view", "data.size", "train.precision", "optim.name", "optim.lr") if key in plan.reasons]
        is_on = {"data.sampling": config.data.sampling == "balanced", "data.crop_focus": config.data.crop_focus != 0}
        is_on |= dict.fromkeys(("train.batch_size", "train.workers"), config.train.devices == "gpu")  # measured there
        asked += [key for key in is_on if is_on[key] and key in plan.reasons]
        asked += [key for key in plan.reasons if key.partition(".")[0] == "loss"]
        lines += [f"why     {key}: {plan.reasons[key]}" for key in asked]
        others = [key for key in plan.reasons if key not in asked and key not in _SHOWN]
        if others:
            lines.append(f"decided too, for reasons that stand in config.yaml: {listed(others, 'and', 12)}")
        for line in lines:
            console.print(line, soft_wrap=not console.is_terminal, markup=False)  # there it breaks between words

    return tell


def _told_folds(config: Config) -> str:
    return "" if config.data.split.folds else "; --folds 5 has every image judged by a network that has not seen it"


def format_best(result: TrainResult) -> str:
    """The best epoch and its scores in a line."""
    scores = result.best_scores
    known = [name for name in ("val_iou", "val_dice", "val_loss") if name in scores]  # an earlier version kept no Dice
    return f"best epoch {result.best_epoch + 1}: {', '.join(f'val {MONITORS[name]} {scores[name]:.4f}' for name in known)}"


# reasons that stand behind the lines they explain
_SHOWN = ("model", "model.weights", "data.scale", "train.grow", "augment", "train.budget")


def _why(plan: Plan, key: str) -> str:
    return f" – {plan.reasons[key]}" if key in plan.reasons else ""


def _network(config: Config) -> str:
    """The network by the name it could have been asked for."""
    model = config.model
    named = [str(getattr(model, key)) for key in ("arch", "encoder", "size") if getattr(model, key, None)]
    told = "/".join(named) or model.name
    return f"{told}, {model.width} wide" if isinstance(model, UnetConfig) else told


def _start(plan: Plan) -> list[str]:
    """What the network starts from, where anybody asked or anything was loaded."""
    told = plan.loaded.sentences() if plan.loaded else []
    why = plan.reasons.get("model.weights")
    return [*([why] if why and not told else []), *told]


def _augmented(config: Config) -> str:
    if isinstance(config.augment, str):
        return config.augment
    return ", ".join(op.told for op in resolve(config.augment)) or "nothing"


def _shown(config: Config) -> str:
    """What the network sees of an image."""
    data, grow = config.data, config.train.grow
    if data.view == "whole":
        kept = ", its shape kept by a border" if data.letterbox else ""
        told = f"each image whole, resized to {data.size} × {data.size} pixels{kept}"
    else:
        scaled = "" if data.scale == 1 else f" after scaling it by {data.scale:g}"
        told = f"windows of {data.size} × {data.size} pixels out of each image{scaled}"
    if grow != "auto" and grow > 0 and data.size != "auto":
        part = "epochs" if config.train.budget is None else "time"
        told += f"; the first {grow:.0%} of the {part} at {data.size // 2} × {data.size // 2}, which is faster"
    return told


def _amount(config: Config, images: int) -> str:
    """How long, in what portions, and on what."""
    train, times = config.train, config.train.repeats
    if train.budget is not None:
        told = (
            f"{train.budget} in all, by the clock; the learning rate falls to nothing as it ends; batches of {train.batch_size}"
        )
        return f"{told}; {_ARITHMETIC.get(train.precision, train.precision)} on the {train.devices.upper()}"
    told = f"{train.epochs} {'epoch' if train.epochs == 1 else 'epochs'} of {counted(images, 'image')}"
    if times != 1:
        told += f", each shown {times} times" if config.data.view == "whole" else f", each shown in {times} windows"
    if isinstance(times, int) and isinstance(train.batch_size, int):
        steps = -(-images * times // (train.batch_size * train.accumulate))
        several = f", {train.accumulate} of them a step" if train.accumulate > 1 else ""
        told += f": {counted(steps, 'step')} an epoch, batches of {train.batch_size}{several}"
    return f"{told}; {_ARITHMETIC.get(train.precision, train.precision)} on the {train.devices.upper()}"


_ARITHMETIC = {"fp32": "32-bit arithmetic", "bf16": "16-bit arithmetic (bf16)", "fp16": "16-bit arithmetic (fp16)"}
