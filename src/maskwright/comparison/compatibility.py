"""Whether runs can be compared, and on equal terms: what they do not have in common though it moves their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskwright.data.record import class_map, split_entries
from maskwright.errors import RunError, listed
from maskwright.metrics.counts import Counts
from maskwright.runs import Run

Named = Sequence[tuple[str, Sequence[Run]]]  # each entry's name and its runs
_NAMED = 4


def judged_by(runs: Sequence[Run]) -> tuple[str, str | None]:
    """The validation score that may choose between runs, and a remark where it is another than they were watched by.

    The least of unlike losses says nothing: each run has made its own small.
    """
    watched = sorted({run.config.train.monitor for run in runs})
    if len(watched) > 1:
        scores = f"different scores ({listed(watched)})"
        return "val_iou", f"Runs were watched by {scores}, so IoU on validation chooses between them."
    losses = {repr(run.config.loss) for run in runs}
    if watched == ["val_loss"] and len(losses) > 1:
        return "val_iou", "Values of different losses cannot be compared, so IoU on validation chooses, not the loss."
    return watched[0], None


def have_same(split: str, runs: Sequence[Run]) -> bool:
    """Whether all runs have the same images in a split."""
    held = [identities(run.data["splits"].get(split, ())) for run in runs]
    return all(one == held[0] for one in held)


def identities(files: Iterable[Mapping[str, Any]]) -> dict[str, tuple[str, ...]]:
    """What makes each file of a split what it is, by its name: the contents of image and mask, and the window."""
    return {file["id"]: tuple(str(file[key]) for key in ("image_sha256", "mask_sha256", "window")) for file in files}


def unlike_terms(named: Named, counts: Sequence[Sequence[Counts]], split: str) -> tuple[str, ...]:
    """A sentence for each thing that differs between the entries beside what is compared."""
    runs = [run for _, group in named for run in group]
    found = (judged_by(runs)[1], _budget(runs), _training_images(runs), _thresholds(named, split), _widths(counts))
    return tuple(text for text in found if text)


def _budget(runs: Sequence[Run]) -> str | None:
    """Epochs that differ, where no common time was the budget."""
    trains = [run.config.train for run in runs]
    budgets = {train.budget for train in trains}
    if len(budgets) == 1 and budgets != {None}:
        return None
    different = []
    for key in ("epochs", "budget", "repeats"):
        values = sorted({str(getattr(train, key)) for train in trains}, key=lambda text: (len(text), text))
        different += [f"train.{key} ({listed(values, 'and', _NAMED)})"] if len(values) > 1 else []
    differ = "differs" if len(different) == 1 else "differ"
    return f"The runs had different budgets: {listed(different)} {differ}." if different else None


def _training_images(runs: Sequence[Run]) -> str | None:
    if have_same("train", runs):
        return None
    sizes = sorted({len(run.data["splits"]["train"]) for run in runs})
    much = f" ({listed(sizes, 'and', _NAMED)} of them)" if len(sizes) > 1 else ""
    return f"The runs were trained on different images{much}: a difference may come from these."


def _thresholds(named: Named, split: str) -> str | None:
    """Foreground thresholds that are not alike; all tuned on val is one way of choosing them."""
    groups: dict[str, list[str]] = {}
    hows, values = set(), set()
    for name, runs in named:
        found = [threshold for run in runs if (threshold := run.evaluation(split).get("threshold"))]
        hows |= {threshold["how"] for threshold in found}
        values |= {threshold["value"] for threshold in found}
        if found:
            groups.setdefault(_threshold(found), []).append(name)
    if len(values) < 2 or hows == {"tuned"}:
        return None
    each = "; ".join(f"{threshold} for {listed(names, 'and', _NAMED)}" for threshold, names in groups.items())
    return f"Foreground thresholds differ: {each}. A difference may come from these."


def _threshold(found: Sequence[Mapping[str, Any]]) -> str:
    values = sorted({f"{threshold['value']:.3g}" for threshold in found})
    how = " (tuned on val)" if any(threshold["how"] == "tuned" for threshold in found) else ""
    return (values[0] if len(values) == 1 else f"{values[0]} to {values[-1]}") + how


def _widths(counts: Sequence[Sequence[Counts]]) -> str | None:
    widths = boundary_widths(counts)
    if len(widths) < 2:
        return None
    return f"Boundary F was counted at different widths ({listed(widths)} pixels), so it is left out."


def boundary_widths(counts: Sequence[Sequence[Counts]]) -> list[int]:
    """The widths boundary F was counted at, where it was; it can be compared at one."""
    return sorted({one.boundary_width for group in counts for one in group} - {0})


def refuse_other_images(runs: Sequence[Run], split: str) -> None:
    """Stop where runs have not the same images, masks and classes in a split: names, contents and meaning."""
    refuse_other_data([(str(run.root), run.data) for run in runs], split)


def refuse_other_data(documents: Sequence[tuple[str, dict[str, Any]]], split: str) -> None:
    """The same of what data.json holds, each by the name of its run."""
    name, first = documents[0]
    files = identities(split_entries(first, split))
    for other, document in documents[1:]:
        _refuse_other_classes((name, first), (other, document))
        others = identities(split_entries(document, split))
        if others == files:
            continue
        differ = sorted(image for image in files.keys() | others.keys() if files.get(image) != others.get(image))
        changed = [image for image in differ if image in files and image in others]
        how = f"in {listed(differ, 'and', 3)} they differ"
        if changed == differ:
            how = f"{listed(differ, 'and', 3)} {'has' if len(differ) == 1 else 'have'} other contents there"
        fix = "Train them on one data set with one split, or choose another --split."
        raise RunError(f"runs must have the same {split} images to be compared; {name} has {len(files)} and {other} "
                       f"{len(others)}, {how}. {fix}")  # fmt: skip


def _refuse_other_classes(first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]]) -> None:
    (name, ours), (other, theirs) = ((name, _meaning(document)) for name, document in (first, second))
    if ours == theirs:
        return
    shown = [listed(classes[0], "and", 6) for classes in (ours, theirs)]
    if shown[0] == shown[1]:
        shown = [f"values {list(classes[1])}" for classes in (ours, theirs)]
    fix = "Only scores of the same classes can be compared."
    raise RunError(f"runs must have the same classes to be compared; {name} has {shown[0]}, {other} {shown[1]}. {fix}")


def _meaning(document: dict[str, Any]) -> tuple[Any, ...]:
    classes = class_map(document)
    return classes.names, classes.values, classes.ignore_values, classes.foreground_from, classes.colours
