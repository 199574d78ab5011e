"""maskwright evaluate"""

from __future__ import annotations

from maskwright.cli.types import Flag


def evaluate(
    run: str, /, *, split: str = "test", data: str | None = None, mask_threshold: str | None = None,
    boundary_width: int = 3, pictures: Flag = False, json: Flag = False,
) -> None:  # fmt: skip
    """Score a run on one of its splits, at each image's own size.

    maskwright evaluate runs/first
    maskwright evaluate runs/first --split val --pictures
    maskwright evaluate runs/first --mask-threshold tuned

    Parameters
    ----------
    run
        The run folder.
    split
        train, val or test.
    data
        Where the data set's folder is now, when it has moved.
    mask_threshold
        Two classes: from which probability a pixel is foreground. A number, fixed (the run's own, 0.5 unless it was
        trained with another), or tuned: the one with the highest IoU on the val images, kept in
        RUN/evaluation/settled.json.
    boundary_width
        How many pixels two outlines may be apart for boundary precision, recall and F.
    pictures
        Write image, truth, prediction and error of every image to RUN/evaluation/pictures/SPLIT/.
    json
        Print one JSON document on stdout.
    """
    from maskwright.cli.output import counting, say, say_json, table
    from maskwright.data.record import moved_data
    from maskwright.errors import as_typed, counted
    from maskwright.evaluation import evaluate as score
    from maskwright.runs import Run

    opened, moved = Run.open(run), moved_data(data)
    result = score(opened, split, moved, mask_threshold, counting("evaluating"), boundary_width)
    if pictures:
        from maskwright.reports.sheets import write_sheets

        write_sheets(opened, split, moved, counting("drawing"))
    if json:
        say_json(result.to_json())
        return
    say(str(result))
    if len(result.classes) > 2:
        columns = {"iou": 4, "f1": 4, "precision": 4, "recall": 4, "boundary_iou": 4, "boundary_f": 4, "hd95": 1}
        rows = [
            [name, *("-" if row[c] != row[c] else f"{row[c]:.{digits}f}" for c, digits in columns.items())]
            for name, row in result.summary.per_class.items()
        ]
        table(["class", *columns], rows)
    if pictures:
        say(f"pictures of {counted(len(result.counts.images), 'image')} in {opened.root / 'evaluation' / 'pictures' / split}")
    say(f"written to {opened.root / 'evaluation'}; next: maskwright report {as_typed(opened.root)}")
