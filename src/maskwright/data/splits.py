"""Dealing records into train, val and test: seeded, whole groups, class shares alike."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from maskwright.config import SplitConfig
from maskwright.data.dataset import SPLITS, Item, Record
from maskwright.errors import DataError

_TRIES = 200  # dealings compared when stratifying; more changes little


def assign_splits(items: Sequence[Item], config: SplitConfig) -> tuple[list[Item], str]:
    """Give every item a split, and say how it came about.

    A data set with splits of its own keeps them; one without val gets it from train, so that test
    stays what its makers meant it to be.
    """
    have = {item.record.split for item in items}
    if have == {None}:
        dealt = _deal(items, {"val": config.val, "test": config.test}, config)
        return _with(items, dealt), f"dealt with seed {config.seed}"
    if None in have:
        raise DataError("splits must be named for all images or for none; some have none. Complete them.")
    if "train" not in have:
        raise DataError(f"the data set must have images in train; it has only {', '.join(sorted(map(str, have)))}. Add some.")
    if "val" in have or config.val == 0:
        return list(items), "as the data set has it"
    train = [index for index, item in enumerate(items) if item.record.split == "train"]
    dealt = _deal([items[index] for index in train], {"val": config.val}, config)
    names = [str(item.record.split) for item in items]
    for index, name in zip(train, dealt, strict=True):
        names[index] = name
    return _with(items, names), f"test as the data set has it, val dealt from train with seed {config.seed}"


def group_of(record: Record, pattern: str | None) -> str:
    """The group a record stays with: what the pattern finds in its name, its own group, or itself."""
    if pattern is None:
        return record.group or record.id
    found = re.search(pattern, record.id)
    if found is None:
        raise DataError(
            f"`data.split.group` must find something in every name; {pattern!r} finds nothing in {record.id!r}. Mend it."
        )
    return "|".join(part or "" for part in found.groups()) or found.group(0)


def _with(items: Sequence[Item], names: Sequence[str]) -> list[Item]:
    return [replace(item, record=replace(item.record, split=name)) for item, name in zip(items, names, strict=True)]


def _deal(items: Sequence[Item], shares: dict[str, float], config: SplitConfig) -> list[str]:
    try:
        groups = [group_of(item.record, config.group) for item in items]
    except re.error as error:
        raise DataError(f"`data.split.group` must be a regular expression; got {config.group!r} ({error}). Mend it.") from None
    members: dict[str, list[int]] = defaultdict(list)
    for index, group in enumerate(groups):
        members[group].append(index)
    names = sorted(members)
    wanted = {split: max(1, round(share * len(names))) for split, share in shares.items() if share > 0}
    if sum(wanted.values()) >= len(names):
        kind = "groups" if len(names) < len(items) else "images"
        fix = "Add images, or set data.split.val and data.split.test lower."
        raise DataError(f"a split needs at least {sum(wanted.values()) + 1} {kind}; got {len(names)}. {fix}")
    pixels = np.array([np.sum([items[index].class_pixels for index in members[name]], axis=0) for name in names], float)
    rng = np.random.default_rng(config.seed)
    tries = [rng.permutation(len(names)) for _ in range(_TRIES if config.stratify else 1)]
    best = min(tries, key=lambda order: _imbalance(order, wanted, pixels))
    of_group = dict.fromkeys(names, "train")
    for split, chosen in _cut(best, wanted).items():
        of_group.update({names[index]: split for index in chosen})
    return [of_group[group] for group in groups]


def _cut(order: np.ndarray, wanted: dict[str, int]) -> dict[str, np.ndarray]:
    """The first so many for val, the next for test, and so on."""
    pieces: dict[str, np.ndarray] = {}
    start = 0
    for split in (name for name in SPLITS if name in wanted):
        pieces[split] = order[start : start + wanted[split]]
        start += wanted[split]
    pieces["train"] = order[start:]
    return pieces


def _imbalance(order: np.ndarray, wanted: dict[str, int], pixels: np.ndarray) -> float:
    """How far each side's class shares lie from those of all, summed over sides."""
    overall = pixels.sum(0) / max(1.0, pixels.sum())
    told = 0.0
    for chosen in _cut(order, wanted).values():
        side = pixels[chosen].sum(0)
        told += float(np.abs(side / max(1.0, side.sum()) - overall).sum())
    return told
