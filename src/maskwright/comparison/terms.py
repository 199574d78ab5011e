"""Whether runs are compared on equal terms: what they do not have in common though it moves their scores is told beside them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from maskwright.errors import listed
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
        return "val_iou", f"Runs were watched by different scores ({listed(watched)}), so IoU on validation chooses between them."
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
    told = []
    for key in ("epochs", "budget", "repeats"):
        values = sorted({str(getattr(train, key)) for train in trains}, key=lambda text: (len(text), text))
        told += [f"train.{key} ({listed(values, 'and', _NAMED)})"] if len(values) > 1 else []
    return f"The runs had different budgets: {listed(told)} differ{'s' if len(told) == 1 else ''}." if told else None


def _training_images(runs: Sequence[Run]) -> str | None:
    if have_same("train", runs):
        return None
    sizes = sorted({len(run.data["splits"]["train"]) for run in runs})
    much = f" ({listed(sizes, 'and', _NAMED)} of them)" if len(sizes) > 1 else ""
    return f"The runs were trained on different images{much}: a difference may come from these."


def _thresholds(named: Named, split: str) -> str | None:
    """Foreground thresholds that are not alike; all tuned on val is one way of settling them."""
    told: dict[str, list[str]] = {}
    hows, values = set(), set()
    for name, runs in named:
        found = [threshold for run in runs if (threshold := run.evaluation(split).get("threshold"))]
        hows |= {threshold["how"] for threshold in found}
        values |= {threshold["value"] for threshold in found}
        if found:
            told.setdefault(_threshold(found), []).append(name)
    if len(values) < 2 or hows == {"tuned"}:
        return None
    each = "; ".join(f"{threshold} for {listed(names, 'and', _NAMED)}" for threshold, names in told.items())
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
