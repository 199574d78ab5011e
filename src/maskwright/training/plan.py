"""What is decided before the first step: data opened and checked, every `auto` resolved, idle settings noted."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path

from rich.console import Console

from maskwright import custom
from maskwright.config import Config
from maskwright.custom import is_handed_over, name_of
from maskwright.data.augment import resolve as resolve_augment
from maskwright.data.augment import unused_settings as unused_augment_settings
from maskwright.data.augment import validate_augment
from maskwright.data.opening import Opened
from maskwright.data.sampling import unused_settings as unused_sampling_settings
from maskwright.errors import DataError, listed, must
from maskwright.models.devices import validate_device
from maskwright.models.weights import Loaded
from maskwright.terminal import Counter
from maskwright.training.freeze import notes as freeze_notes
from maskwright.training.gate import OpenData, Passed, open_checked
from maskwright.training.initial_weights import rate_notes
from maskwright.training.loggers.choice import validate_loggers
from maskwright.training.optim import ignored_by_optimizer, validate_optimizer
from maskwright.training.resolve import resolve, validate_threshold, view_of
from maskwright.training.schedules import ignored_by_schedule, too_late


@dataclass(frozen=True)
class Plan:
    """Everything decided before the first step."""

    config: Config
    reasons: dict[str, str]
    opened: Opened
    passed: Passed = field(default_factory=Passed)
    loaded: Loaded | None = None


def prepare(
    config: Config, cache_folder: Path | None = None, console: Console | None = None, open_data: OpenData = open_checked
) -> Plan:
    """Open the data and resolve every `auto`, without training or writing anything."""
    # what can't be imported, and a name that isn't known, is reported before all files are read
    config = with_code(config)
    resolve_augment(config.augment)
    validate_optimizer(config.optim)
    validate_loggers(config)
    validate_device(config.train.devices, config.train.num_devices)
    with reading(console) as progress:
        opened, passed = open_data(config, cache_folder, progress)
    try:
        # with what dataset.yaml says
        return resolve_plan(config.model_copy(update={"data": opened.config}), opened, passed)
    except BaseException:
        opened.store.close()
        raise


def with_code(config: Config) -> Config:
    """The code of a person's own imported once; its place and hash are what the run keeps of it."""
    changes: dict[str, str | None] = {}
    for key, named in config.custom_code().items():
        code = custom.load(key, named.source, named.options, named.hash)
        changes |= {f"{key}.source": code.source, f"{key}.hash": code.hash}
    return config.replace(changes) if changes else config


def resolve_plan(config: Config, opened: Opened, passed: Passed) -> Plan:
    """Resolve every `auto` on data that are open."""
    config = with_code(config)
    empty = [split for split in ("train", "val") if not opened.dataset.split(split)]
    if empty:
        fix = "Name some, or set data.split.val above 0."
        raise DataError(must("data.split", f"such that {empty[0]} has images", "none", fix))
    validate_threshold(config.train.mask_threshold, opened.dataset.classes.num_classes)
    resolved, reasons = resolve(config, opened.dataset, (opened.cache, opened.cache_reason), opened.store)
    return Plan(resolved, reasons, _with_notes(opened, resolved, config), passed)


def _with_notes(opened: Opened, resolved: Config, config: Config) -> Opened:
    """Refuse augmentation that can't be applied to these inputs; note what was asked for and changes nothing."""
    dataset, data, view = opened.dataset, config.data, view_of(resolved)
    validate_augment(
        resolve_augment(resolved.augment), view.size, dataset.bands.num_channels, dataset.classes.num_classes
    )
    notes = [
        *(["data.letterbox has no effect with view crop"] if data.letterbox and data.view == "crop" else []),
        *unused_augment_settings(config.augment, dataset.bands),
        *unused_sampling_settings(data.sampling, data.crop_focus, view.kind, dataset),
        *ignored_by_optimizer(config.optim),
        *ignored_by_schedule(config.optim),
        *too_late(resolved.optim, resolved.train.epochs, resolved.train.early_stop),
        *freeze_notes(resolved),
        *rate_notes(resolved),
        *_handed_over(config),
    ]
    return replace(opened, dataset=replace(dataset, notes=(*dataset.notes, *notes)))


def _handed_over(config: Config) -> list[str]:
    """What a person should know whose network, loss or step no import finds again."""
    given = {key: one for key, one in config.custom_code().items() if is_handed_over(one.source)}
    needs = ", ".join(f"{key.partition('.')[0]}=…" for key in given)
    names = listed([name_of(one.source) for one in given.values()])
    return [f"{names} cannot be imported again: opening this run later needs mw.open(RUN, {needs})"] if given else []


def reading(console: Console | None) -> AbstractContextManager[Callable[[int, int], None] | None]:
    """A count while files are read, which is taken away however the reading ends."""
    return Counter(console, "reading images", then="looking at what was read") if console else contextlib.nullcontext()
