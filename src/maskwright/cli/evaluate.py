"""maskwright evaluate"""

from __future__ import annotations

from maskwright.cli.types import Flag


def evaluate(
    run: str, /, *, split: str = "test", data: str | None = None, mask_threshold: float | None = None, json: Flag = False
) -> None:
    """Score a run on one of its splits, at each image's own size.

    Parameters
    ----------
    run
        The run folder.
    split
        train, val or test.
    data
        Where the data set's folder is now, when it has moved.
    mask_threshold
        Two classes: from which probability a pixel is foreground.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import counting, say, say_json, table
    from maskwright.evaluation import evaluate as score
    from maskwright.runs import Run

    opened = Run.open(run)
    result = score(opened, split, Path(data) if data else None, mask_threshold, counting("evaluating"))
    if json:
        say_json(result.to_json())
        return
    say(str(result))
    if len(result.classes) > 2:
        columns = ("iou", "f1", "precision", "recall", "boundary_iou")
        rows = [
            [name, *("-" if row[c] != row[c] else f"{row[c]:.4f}" for c in columns)]
            for name, row in result.summary.per_class.items()
        ]
        table(["class", *columns], rows)
    say(f"written to {opened.root / 'evaluation'}; next: maskwright report {opened.root}")
