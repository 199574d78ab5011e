"""What a person is reported before training starts, and when it is done."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from maskwright.config.base import MONITORS
from maskwright.config.models import UnetConfig
from maskwright.data.augment import resolve
from maskwright.data.description import check_command
from maskwright.data.geometry import size_text
from maskwright.errors import counted, listed
from maskwright.training.pace import takes_last
from maskwright.training.resolve import view_of

if TYPE_CHECKING:
    from maskwright.config import Config
    from maskwright.training.fit import TrainResult
    from maskwright.training.plan import Plan


def print_plan(console: Console, verbose: bool = False) -> Callable[[Plan], None]:
    """Prints for `fit.train` data, model and plan in a line each, and what to know of them; `verbose`: every reason."""

    def print_lines(plan: Plan) -> None:
        lines = [*(_every_reason(plan) if verbose else _in_short(plan))]
        lines += [f"note    {note}" for note in (*plan.opened.dataset.notes, *plan.passed.notes)]
        lines += [f"allowed {finding.code}: {finding.evidence}" for finding in plan.passed.allowed]
        lines += [f"warning {finding.code}: {finding.evidence}" for finding in plan.passed.warnings]
        lines += [f"        more is told by: {check_command(plan.opened.config)}"] if plan.passed.warnings else []
        num_val = plan.opened.dataset.sizes()["val"]
        if takes_last(plan.config, num_val):
            few = counted(num_val, "validation image")
            lines.append(
                f"kept    the weights of the end: {few} cannot tell which epoch was better{_format_folds(plan.config)}"
            )
        for line in lines:
            console.print(line, soft_wrap=not console.is_terminal, markup=False)  # there it breaks between words

    return print_lines


def _in_short(plan: Plan) -> list[str]:
    """Three lines: on what, which network from where, how long and how."""
    dataset, config = plan.opened.dataset, plan.config
    shares = zip(dataset.classes.names, dataset.class_shares(), strict=True)
    classes = ", ".join(f"{name} {share:.1%}" for name, share in shares)
    start = plan.loaded.source if plan.loaded else "random weights"
    foreign = plan.loaded is not None and not plan.loaded.licence.startswith("yours")
    licence = f" (licence {plan.loaded.licence})" if plan.loaded and foreign else ""
    plain = [_amount(config, dataset.sizes()["train"]), _shown(config)]
    plain += [f"{_short_augment(plan)}; config.yaml and --verbose tell why"]
    return [
        f"data    {_sizes(plan)}; {classes}",
        f"model   {_network(config)}, from {start}{licence}",
        *(f"start   {line}" for line in (plan.loaded.sentences()[1:] if plan.loaded else [])),
        f"plan    {'; '.join(plain)}",
    ]


def _every_reason(plan: Plan) -> list[str]:
    """What was resolved, each with its reason."""
    dataset, config = plan.opened.dataset, plan.config
    shares = dataset.class_shares()
    classes = ", ".join(f"{name} {share:.1%}" for name, share in zip(dataset.classes.names, shares, strict=True))
    lines = [f"data    {dataset.reason}", f"images  {_sizes(plan)}", f"classes {classes} ({dataset.classes.reason})"]
    lines += [f"model   {_network(config)}{_why(plan, 'model')}"]
    lines += [f"start   {line}" for line in _start(plan)]
    lines += [f"shown   {_shown(config)}{_why(plan, 'data.scale' if config.data.scale != 1 else 'train.grow')}"]
    lines += [f"augment {_augmented(config)}{_why(plan, 'augment')}"]
    lines += [f"train   {_amount(config, dataset.sizes()['train'])}{_why(plan, 'train.budget')}"]
    return lines + [f"why     {key}: {why}" for key, why in plan.reasons.items() if key not in _SHOWN]


def _sizes(plan: Plan) -> str:
    return ", ".join(f"{count} {split}" for split, count in plan.opened.dataset.sizes().items())


def _short_augment(plan: Plan) -> str:
    """The augmentation by its preset, else what it changes."""
    config = plan.config
    if isinstance(config.augment, str):
        return f"augmentation {config.augment}"
    done = dict.fromkeys(_DONE.get(op.description.split()[0], "recoloured") for op in resolve(config.augment))
    return f"inputs {listed(list(done), 'and', 20)}" if done else "no augmentation"


# what an operation does to inputs, in a word; the others change tones and colours
_DONE = {"hflip": "mirrored", "vflip": "mirrored", "rotate": "turned", "rot90": "turned", "scale": "scaled",
         "shift": "shifted", "perspective": "tilted", "elastic": "bent", "blur": "blurred",
         "noise": "made noisy"}  # fmt: skip


def _format_folds(config: Config) -> str:
    return "" if config.data.split.folds else "; --folds 5 has every image judged by a network that has not seen it"


def format_best(result: TrainResult) -> str:
    """The best epoch and its scores in a line."""
    scores = result.best_scores
    known = [name for name in ("val_iou", "val_dice", "val_loss") if name in scores]  # an earlier version kept no Dice
    is_end = takes_last(result.run.config, len(result.run.data["splits"]["val"]))
    which = "weights of the end" if is_end else f"best epoch {result.best_epoch + 1}"
    return f"{which}: {', '.join(f'val {MONITORS[name]} {scores[name]:.4f}' for name in known)}"


# reasons that stand behind the lines they explain
_SHOWN = ("model", "model.weights", "data.scale", "train.grow", "augment", "train.budget")


def _why(plan: Plan, key: str) -> str:
    return f" – {plan.reasons[key]}" if key in plan.reasons else ""


def _network(config: Config) -> str:
    """The network by the name it could have been asked for."""
    model = config.model
    named = [str(getattr(model, key)) for key in ("arch", "encoder", "size") if getattr(model, key, None)]
    message = "/".join(named) or model.name
    return f"{message}, {model.width} wide" if isinstance(model, UnetConfig) else message


def _start(plan: Plan) -> list[str]:
    """What the network starts from, where anybody asked or anything was loaded."""
    message = plan.loaded.sentences() if plan.loaded else []
    why = plan.reasons.get("model.weights")
    return [*([why] if why and not message else []), *message]


def _augmented(config: Config) -> str:
    if isinstance(config.augment, str):
        return config.augment
    return ", ".join(op.description for op in resolve(config.augment)) or "nothing"


def _shown(config: Config) -> str:
    """What the network sees of an image."""
    data, grow, sides = config.data, config.train.grow, size_text(view_of(config).size)
    if data.view == "whole":
        kept = ", its shape kept by a border" if data.letterbox else ""
        message = f"each image whole, resized to {sides} pixels{kept}"
    else:
        scaled = "" if data.scale == 1 else f" after scaling it by {data.scale:g}"
        message = f"windows of {sides} pixels out of each image{scaled}"
    if grow != "auto" and grow > 0:
        half = view_of(config).halved().size
        part = "epochs" if config.train.budget is None else "time"
        message += f"; the first {grow:.0%} of the {part} at {size_text(half)}, which is faster"
    if config.data.multiscale is True:
        message += "; predicted at both sizes, of which the mean is taken"
    return message


def _amount(config: Config, images: int) -> str:
    """How long, in what portions, and on what."""
    train, times = config.train, config.train.repeats
    if train.budget is not None:
        message = f"{train.budget} in all, by the clock; the learning rate falls to nothing as it ends"
        message += f"; batches of {train.batch_size}"
        return f"{message}; {_ARITHMETIC.get(train.precision, train.precision)} on the {train.devices.upper()}"
    assert train.epochs != "auto"
    message = f"{counted(train.epochs, 'epoch')} of {counted(images, 'image')}"
    if times != 1:
        message += f", each shown {times} times" if config.data.view == "whole" else f", each shown in {times} windows"
    if isinstance(times, int) and isinstance(train.batch_size, int):
        steps = -(-images * times // (train.batch_size * train.accumulate))
        several = f", {train.accumulate} of them a step" if train.accumulate > 1 else ""
        message += f": {counted(steps, 'step')} an epoch, batches of {train.batch_size}{several}"
    return f"{message}; {_ARITHMETIC.get(train.precision, train.precision)} on the {train.devices.upper()}"


_ARITHMETIC = {"fp32": "32-bit arithmetic", "bf16": "16-bit arithmetic (bf16)", "fp16": "16-bit arithmetic (fp16)"}
