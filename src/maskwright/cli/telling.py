"""What a person is told before training starts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from maskwright.errors import counted, listed

if TYPE_CHECKING:
    from maskwright.config import Config
    from maskwright.training.fit import Plan


_VIEWS = {"whole": "whole images resized to", "crop": "windows of"}


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
        lines += [f"warning {finding.code}: {finding.evidence} (maskwright check tells more)" for finding in plan.passed.warnings]
        lines += [f"start   {line}" for line in (plan.loaded.sentences() if plan.loaded else [])]
        train = config.train
        lines.append(
            f"train   {_epochs(config, dataset.sizes()['train'])}, {_step(train.batch_size, train.accumulate)}, "
            f"{_VIEWS[config.data.view]} {config.data.size} × {config.data.size} pixels{_growing(config)}, "
            f"{train.precision} on {train.devices}"
        )
        asked = [key for key in ("data.view", "data.size", "train.precision", "train.epochs", "optim.lr") if key in plan.reasons]
        is_on = {"data.sampling": config.data.sampling == "balanced", "data.crop_focus": config.data.crop_focus != 0}
        asked += [key for key in is_on if is_on[key] and key in plan.reasons]
        asked += [key for key in plan.reasons if key.partition(".")[0] == "loss"]
        lines += [f"why     {key}: {plan.reasons[key]}" for key in asked]
        others = [key for key in plan.reasons if key not in asked]
        if others:
            lines.append(f"also settled, reasons in config.yaml: {listed(others, 'and', 12)}")
        for line in lines:
            console.print(line, soft_wrap=True, markup=False)

    return tell


def _epochs(config: Config, images: int) -> str:
    """How long, and what an epoch is."""
    epochs, times = config.train.epochs, config.train.repeats
    told = f"{epochs} {'epoch' if epochs == 1 else 'epochs'} of {counted(images, 'image')}"
    if times == 1:
        return told
    drawn = f"{times} times" if config.data.view == "whole" else f"in {times} crops"
    return f"{told}, each shown {drawn}"


def _growing(config: Config) -> str:
    grow, size = config.train.grow, config.data.size
    return f" ({grow:.0%} of the epochs at {size // 2} first)" if grow != "auto" and grow > 0 and size != "auto" else ""


def _step(batch_size: object, accumulate: int) -> str:
    return f"batches of {batch_size}{f', {accumulate} of them a step' if accumulate > 1 else ''}"
