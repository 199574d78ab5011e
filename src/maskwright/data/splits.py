"""Dealing records into train, val and test, or into folds: seeded, whole groups, class shares alike.

    dealt = assign_splits(items, config.data.split, near=[[0, 7]])
    dealt.items[0].record.split          # 'train'
    dealt.split_info.reason, dealt.notes    # how it came about, and what a person should know of it

The test is assigned first, by seed and groups alone: it is the same for every fold, and whatever val is.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from maskwright.config.data import SplitConfig
from maskwright.data.dataset import SPLITS, Item, Record, SplitInfo
from maskwright.data.grouping import EACH_ALONE, Grouping, Near, grouping_notes, groupings
from maskwright.data.split_assignment import Groups, assign_groups
from maskwright.errors import DataError, counted, listed

_FAIR = 1 / 3  # of the images a side was to have: with less, groups nobody named are given up
_UNEVEN = 0.25  # image counts further than this from what was asked are reported
_POOR = 0.25  # of a class's pixels due to a side: less is reported
_DEFAULT = SplitConfig()


@dataclass(frozen=True)
class SplitAssignment:
    """Items with their splits, how it came about, and what a person should know of it.

    explained: (split, class number) for which a note says already why the split lacks the class.
    """

    items: tuple[Item, ...]
    split_info: SplitInfo
    notes: tuple[str, ...] = ()
    explained: frozenset[tuple[str, int]] = frozenset()


def indices_to_split(records: Sequence[Record], config: SplitConfig) -> list[int]:
    """Indices of the records that get their split from us: all, those of train, with folds all but test, or none.

    A data set with splits of its own keeps them; one without val gets it from train, so that test stays what its
    makers meant it to be.
    """
    have = {record.split for record in records}
    if have <= {None}:
        return list(range(len(records)))
    if None in have:
        raise DataError("splits must be named for all images or for none; some have none. Complete them.")
    if "train" not in have:
        raise DataError(
            f"the data set must have images in train; it has only {', '.join(sorted(map(str, have)))}. Add some."
        )
    if config.folds is not None:
        return [index for index, record in enumerate(records) if record.split != "test"]
    if "val" in have or config.val == 0:
        return []
    return [index for index, record in enumerate(records) if record.split == "train"]


def assign_splits(
    items: Sequence[Item], config: SplitConfig, near: Near = (), names: Sequence[str] = ()
) -> SplitAssignment:
    """Give every item a split. `near` are sets of items that are nearly the same, `names` those of the classes."""
    chosen = indices_to_split([item.record for item in items], config)
    have = {str(item.record.split) for item in items} - {"None"}
    notes = _unused_settings(config, have, bool(chosen))
    if not chosen:
        return SplitAssignment(tuple(items), SplitInfo("as the data set has it"), tuple(notes))
    # in the order of their names, so that the order of files changes nothing
    chosen.sort(key=lambda index: items[index].record.id)
    pool = [items[index] for index in chosen]
    place = {index: number for number, index in enumerate(chosen)}
    near = [here for alike in near if len(here := [place[index] for index in alike if index in place]) > 1]
    sides, grouping = _assign_best(pool, config, near, with_test=not have)
    splits = [_split_of(side, config) for side in sides]
    records = [item.record for item in pool]
    dealt = list(items)
    for index, record in zip(chosen, _assigned_records(records, splits, grouping), strict=True):
        dealt[index] = replace(items[index], record=record)
    scarce, explained = _scarce_classes(pool, sides, splits, grouping.groups, names)
    notes += [
        *grouping_notes(records, config.group, near, grouping, sides),
        *scarce,
        *_uneven(splits, _asked(len(pool), config, not have), config),
        *_poor_classes(pool, splits, explained, names, config),
    ]
    return SplitAssignment(tuple(dealt), _split_info(config, have, grouping), tuple(notes), explained)


def _assign_best(pool: Sequence[Item], config: SplitConfig, near: Near, with_test: bool) -> tuple[list[str], Grouping]:
    """Deal by the most careful grouping that leaves every side its images."""
    asked = _asked(len(pool), config, with_test)
    *careful, last = groupings([item.record for item in pool], config.group, near)
    for grouping in careful:
        if len(set(grouping.groups)) >= len(asked):
            sides = _assign(pool, grouping.groups, asked, config)
            got = Counter(sides)
            if all(got[side] >= _FAIR * number for side, number in asked.items()):
                return sides, grouping
    if len(set(last.groups)) < len(asked):
        raise DataError(_too_few(pool, last, asked, config))
    return _assign(pool, last.groups, asked, config), last


def _too_few(pool: Sequence[Item], grouping: Grouping, asked: dict[str, int], config: SplitConfig) -> str:
    """That there are fewer groups than sides, and what works."""
    num, test = len(set(grouping.groups)), "test" in asked
    kind = "group" if num < len(pool) else "image"
    ways: list[str] = []
    if kind == "group" and len(pool) >= len(asked):
        windows = (
            "neighbouring windows of one scene then lie on different sides; a smaller --data.window gives more of them"
        )
        ways.append(
            f"deal image by image with {EACH_ALONE}{f' ({windows})' if any(one.record.window for one in pool) else ''}"
        )
    if config.folds and num - test >= 2:
        ways.append(f"take fewer folds with --data.split.folds {num - test}")
    if not config.folds and test and num == len(asked) - 1 >= 2:
        ways.append("do without a test with --data.split.test 0")
    how = listed([*ways, f"add {kind}s"], "or")
    sides = (
        f"{config.folds} folds{' and test' if test else ''}"
        if config.folds
        else f"train, val{' and test' if test else ''}"
    )
    return f"a split needs at least {len(asked)} {kind}s; got {num}, for {sides}. {how[0].upper()}{how[1:]}."


def _asked(num: int, config: SplitConfig, with_test: bool) -> dict[str, int]:
    """Images each side should get: test, then val and train, or the folds as '0', '1' …; at least 1 if asked for."""
    asked: dict[str, int] = {}
    others = config.folds or (2 if config.val else 1)
    if with_test and config.test:
        asked["test"] = max(1, min(round(config.test * num), num - others))
    rest = num - asked.get("test", 0)
    if config.folds:
        return asked | {str(fold): rest // config.folds + (fold < rest % config.folds) for fold in range(config.folds)}
    if config.val:
        asked["val"] = max(1, min(round(config.val * num), rest - 1))
    return asked | {"train": rest - asked.get("val", 0)}


def _assign(pool: Sequence[Item], groups: Sequence[str], asked: dict[str, int], config: SplitConfig) -> list[str]:
    """The side of each item: first the test against all others, then those among themselves."""
    table = _table(pool, groups)
    side = np.full(len(table.names), "", object)
    rest = [name for name in asked if name != "test"]
    if "test" in asked:
        targets = [asked["test"], len(pool) - asked["test"]]
        side[assign_groups(table, targets, [1, len(rest)], config.seed, config.stratify) == 0] = "test"
    left = np.flatnonzero(side == "")
    targets = _scaled([asked[name] for name in rest], int(table.sizes[left].sum()))
    found = assign_groups(table.only(left), targets, [1] * len(rest), config.seed, config.stratify)
    side[left] = np.array(rest, object)[found]
    of_group = dict(zip(table.names, side.tolist(), strict=True))
    return [of_group[group] for group in groups]


def _table(pool: Sequence[Item], groups: Sequence[str]) -> Groups:
    """Groups in the order of their names, with what they hold."""
    names = sorted(set(groups))
    place = {name: number for number, name in enumerate(names)}
    of_item = np.array([place[group] for group in groups])
    pixels = np.array([item.class_pixels for item in pool], float)
    summed, showing = np.zeros((len(names), pixels.shape[1])), np.zeros((len(names), pixels.shape[1]))
    np.add.at(summed, of_item, pixels)
    np.add.at(showing, of_item, pixels > 0)
    return Groups(names, np.bincount(of_item, minlength=len(names)), summed, showing)


def _scaled(asked: Sequence[int], total: int) -> list[int]:
    """Whole numbers in the ratio asked for that sum to `total`, none of them 0."""
    exact = [number * total / max(1, sum(asked)) for number in asked]
    found = [max(1, int(number)) for number in exact]
    while sum(found) != total:
        step = 1 if sum(found) < total else -1
        open_to = [place for place in range(len(found)) if found[place] + step >= 1]
        place = max(open_to, key=lambda place: step * (exact[place] - found[place]))
        found[place] += step
    return found


def _split_of(side: str, config: SplitConfig) -> str:
    """Fold i is val where it is the one asked for, else part of train."""
    if side in SPLITS:
        return side
    return "val" if int(side) == config.fold else "train"


def _assigned_records(records: Sequence[Record], splits: Sequence[str], grouping: Grouping) -> list[Record]:
    """Records with their split, and with the group they were kept together with."""
    size = Counter(grouping.groups)
    return [
        replace(record, split=split, group=group if size[group] > 1 else record.group)
        for record, split, group in zip(records, splits, grouping.groups, strict=True)
    ]


def _split_info(config: SplitConfig, have: set[str], grouping: Grouping) -> SplitInfo:
    """How the splits came about."""
    test = "test as the data set has it, " if "test" in have else ""
    if config.folds:
        what = "train and val " if "val" in have else "train " if have else ""
        detail = f"{test}{what}dealt into {config.folds} folds with seed {config.seed}, val is fold {config.fold}"
    else:
        detail = f"{test}val dealt from train with seed {config.seed}" if have else f"dealt with seed {config.seed}"
    reason = ", ".join(part for part in (detail, grouping.message) if part)
    return SplitInfo(reason, config.seed, config.folds, config.fold if config.folds else None, grouping.pattern)


def _unused_settings(config: SplitConfig, have: set[str], dealt: bool) -> list[str]:
    """Options somebody set that change nothing here, and a test nobody will have."""
    notes: list[str] = []
    if config.folds is None and config.fold:
        notes.append("data.split.fold has no effect without data.split.folds")
    if not dealt and "val" in have and config != _DEFAULT:
        return ["data.split has no effect: the data set names its own splits"]
    if config.folds is not None and config.val != _DEFAULT.val:
        notes.append(f"data.split.val has no effect with data.split.folds: val is one of {config.folds} folds")
    if have and dealt and config.test != _DEFAULT.test:
        notes.append("data.split.test has no effect: the data set names its own splits")
    if have == {"train"}:
        notes.append("there is no test: the data set names train for every image")
    return notes


def _scarce_classes(
    pool: Sequence[Item], sides: Sequence[str], splits: Sequence[str], groups: Sequence[str], names: Sequence[str]
) -> tuple[list[str], frozenset[tuple[str, int]]]:
    """Classes in fewer groups than there are sides, in words; and which splits lack which of them."""
    notes: dict[str, list[str]] = defaultdict(list)  # the classes of which one thing is to be said
    explained: set[tuple[str, int]] = set()
    all_sides = set(sides)
    present = [split for split in SPLITS if split in splits]
    for label in range(len(pool[0].class_pixels)):
        holding = [index for index, item in enumerate(pool) if item.class_pixels[label]]
        num_groups = len({groups[index] for index in holding})
        if not 0 < num_groups < len(all_sides):
            continue
        having = [split for split in present if any(splits[index] == split for index in holding)]
        lacking = [split for split in present if split not in having]
        explained |= {(split, label) for split in lacking}
        grouped = f" of {counted(num_groups, 'group')}" if num_groups < len(holding) else ""
        detail = f"in {counted(len(holding), 'image')}{grouped} only, in {listed(having)}"
        tails = (
            [f"{listed([split for split in lacking if split != 'train'])} cannot be scored on it"]
            if set(lacking) - {"train"}
            else []
        )
        tails += ["it cannot be learned"] if "train" in lacking else []
        if len(all_sides) > len(present):
            tails.append(f"of the {len(all_sides) - ('test' in all_sides)} folds some cannot be scored on it")
        notes[f"{detail}: {listed(tails)}"].append(_name(names, label))
    return [_of_classes(some, detail) for detail, some in notes.items()], frozenset(explained)


def _of_classes(names: Sequence[str], detail: str) -> str:
    """A note on one class, or on several at once."""
    if len(names) == 1:
        return f"{names[0]} is {detail}"
    detail = detail.replace("scored on it", "scored on them").replace("it cannot be learned", "they cannot be learned")
    return f"{len(names)} classes ({listed(names, limit=3)}) are each {detail}"


def _uneven(splits: Sequence[str], asked: dict[str, int], config: SplitConfig) -> list[str]:
    """Sides whose image counts the groups keep far from what was asked."""
    wanted: dict[str, int] = defaultdict(int)
    for side, number in asked.items():
        wanted[_split_of(side, config)] += number
    got = Counter(splits)
    detail = [
        f"{split} has {counted(got[split], 'image')}, {number} asked for"
        for split, number in wanted.items()
        if abs(got[split] - number) > max(1.0, _UNEVEN * number)
    ]
    return [f"groups are kept whole and of unequal size: {listed(detail)}"] if detail else []


def _poor_classes(
    pool: Sequence[Item],
    splits: Sequence[str],
    explained: frozenset[tuple[str, int]],
    names: Sequence[str],
    config: SplitConfig,
) -> list[str]:
    """Classes of whose pixels val or test got much less than is due to so many images."""
    pixels = np.array([item.class_pixels for item in pool], float)
    detail: list[str] = []
    for split in ("val", "test"):
        inside = np.array([one == split for one in splits])
        due = inside.mean()
        for label, total in enumerate(pixels.sum(0)):
            share = pixels[inside, label].sum() / total if total else due
            if 0 < share < _POOR * due and (split, label) not in explained:
                detail.append(
                    f"{split} has {share:.1%} of the pixels of {_name(names, label)} and {due:.0%} of the images"
                )
    fix = (
        "; groups leave no better way, so its score will rest on little"
        if config.stratify
        else "; data.split.stratify is false"
    )
    return [listed(detail) + fix] if detail else []


def _name(names: Sequence[str], label: int) -> str:
    return names[label] if names else f"class {label}"
