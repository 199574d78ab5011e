"""`train --plan`: what would be trained, and how many steps there would be on this machine as it is now."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from maskwright.config import Config
from maskwright.config.base import seconds_of
from maskwright.models import Segmenter
from maskwright.training.build import training_inputs, with_model
from maskwright.training.pace import VALIDATION
from maskwright.training.plan import Plan, prepare
from maskwright.training.summary import print_plan
from maskwright.training.timing import epoch_seconds, measure


def print_plan_only(config: Config, console: Console, shown: Console, began: float) -> dict[str, Any]:
    """The plan of a training and what a step of it takes here, `shown`, without training or writing anything."""
    plan = prepare(config, None, console)
    try:
        plan, model = with_model(plan)
        print_plan(shown, verbose=True)(plan)
        steps = foreseen_steps(plan, model, time.perf_counter() - began)
    finally:
        plan.opened.store.close()
    shown.print(f"steps   {steps}", soft_wrap=True, markup=False)
    return {"config": plan.config.model_dump(mode="json"), "reasons": plan.reasons, "steps": steps}


def foreseen_steps(plan: Plan, model: Segmenter, spent: float) -> str:
    """How many steps there will be, by what one takes on this machine now."""
    config, opened = plan.config, plan.opened
    samples, keys = training_inputs(config.replace({"train.grow": 0.0}), opened)
    step, image = measure(config, model, samples, keys, opened)
    assert config.train.grow != "auto"
    if config.train.budget is None:
        total = epoch_seconds(config, step, image, keys, len(opened.dataset.split("val")))
        assert config.train.epochs != "auto"
        minutes = total * config.train.epochs / 60
        return f"{len(keys) * config.train.epochs} in about {minutes:.1f} minutes: {step:.2g} s each at full size"
    left = max(0.0, seconds_of(config.train.budget) - spent) * (1 - VALIDATION)
    small, grow = step * 2 / 4, config.train.grow  # twice as many inputs of a quarter of the pixels
    steps = left * (grow / small + (1 - grow) / step)
    message = f"about {steps:.0f}: {step:.2g} s each at full size on this machine as it is now"
    return f"{message}; more or fewer as it becomes faster or slower"
