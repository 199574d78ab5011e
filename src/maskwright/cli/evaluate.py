"""maskwright evaluate"""

from __future__ import annotations

from maskwright.cli.types import Flag


def evaluate(
    *names: str, split: str | None = None, data: str | None = None, mask_threshold: str | None = None,
    boundary_width: int = 3, pictures: Flag = False, device: str | None = None, out: str | None = None,
    json: Flag = False,
) -> None:  # fmt: skip
    """Score a run on one of its splits, or weights of your own on a data set, at each image's own size.

    maskwright evaluate runs/first
    maskwright evaluate runs/first --split val --pictures
    maskwright evaluate runs/first --mask-threshold tuned
    maskwright evaluate --model unet --weights my.pth --data my_data --size 256
    maskwright evaluate runs/first/config.yaml --weights runs/first/model.safetensors --data other --data.reader auto

    Parameters
    ----------
    names
        RUN: the run folder, or that of a finished cross-validation, whose scores over all held-out images are shown.
        With --weights FILE a CONFIG.yaml may stand in its place, or nothing; any key of a configuration is a flag
        (--model, --size, --data.classes, …). A run folder is made of them, without training.
    split
        train, val or test. Default: test.
    data
        Where the data set's folder is now, when it has moved; with --weights the data set.
    mask_threshold
        Two classes: from which probability a pixel is foreground. A number, fixed (the run's own, 0.5 unless it was
        trained with another), or tuned: the one with the highest IoU on the val images, kept in
        RUN/evaluation/settled.json.
    boundary_width
        How many pixels two outlines may be apart for boundary precision, recall and F.
    pictures
        Write image, truth, prediction and error of every image to RUN/evaluation/pictures/SPLIT/.
    device
        cpu, gpu or mps; a GPU if there is one, without it, but for runs that were trained on a CPU.
    out
        With --weights: the new run folder. Default: runs/DATA-MODEL-NUMBER.
    json
        Print one JSON document on stdout.
    """
    import sys
    from pathlib import Path

    from maskwright.cli.output import counting, say, say_json, table
    from maskwright.cli.source import read_source
    from maskwright.errors import UsageError, as_typed, counted, listed

    config, runs = read_source(names, data)
    if len(runs) != (1 if config is None else 0) or (config is None and out is not None):
        got = listed([*runs, *(["--out"] if config is None and out else [])])
        without = "--model NAME --weights FILE --data FOLDER without one"
        raise UsageError(f"`RUN` must be one run folder, or {without}; got {got}.")

    from maskwright.runs import Run, default_out, is_cross_validation
    from maskwright.runtime import quick_imports

    if config is None and is_cross_validation(runs[0]):
        flags = {"--split": split, "--data": data, "--mask-threshold": mask_threshold, "--pictures": pictures or None,
                 "--device": device, "--boundary-width": None if boundary_width == 3 else boundary_width}  # fmt: skip
        _tell_folds(runs[0], [flag for flag, value in flags.items() if value is not None], json)
        return
    split = split or "test"
    opened = Run.open(runs[0]) if config is None else None  # what is no run is refused at once

    with quick_imports():
        from maskwright.data.record import moved_data
        from maskwright.evaluation import evaluate as score
        from maskwright.evaluation.from_weights import run_from_weights
        from maskwright.models.devices import named_device

    moved = moved_data(data) if config is None else None
    if opened is None:
        assert config is not None
        opened, notes = run_from_weights(config, Path(out or default_out(config)), counting("reading"))
        print(f"run     {opened.root}, of these weights", file=sys.stderr)
        for note in notes:
            print(f"weights {note}", file=sys.stderr)
    result = score(
        opened, split, moved, mask_threshold, counting("evaluating"), boundary_width, device=named_device(device)
    )
    if pictures:
        from maskwright.reports.sheets import write_sheets

        write_sheets(opened, split, moved, counting("drawing"))
    if json:
        say_json(result.to_json())
        return
    say(str(result))
    if len(result.classes) > 2:
        columns = {"iou": 4, "dice": 4, "precision": 4, "recall": 4, "boundary_iou": 4, "boundary_f": 4, "hd95": 1}
        rows = [
            [name, *("-" if row[c] != row[c] else f"{row[c]:.{digits}f}" for c, digits in columns.items())]
            for name, row in result.summary.per_class.items()
        ]
        table(["class", *columns], rows)
    if pictures:
        say(f"pictures of {counted(len(result.counts.images), 'image')} in {opened.root}/evaluation/pictures/{split}")
    words = [] if split == "test" else ["--split", split]
    say(f"written to {opened.root / 'evaluation'}; next: {as_typed('maskwright', 'report', opened.root, *words)}")


def _tell_folds(root: str, given: list[str], json: bool) -> None:
    """The scores of a finished cross-validation over the images that each of its runs had not seen."""
    from maskwright.cli.output import say, say_json
    from maskwright.errors import UsageError, as_typed
    from maskwright.evaluation.cross_validation import finished_folds

    folds = finished_folds(root)
    if given:
        fix = f"Name one of its runs: {as_typed('maskwright', 'evaluate', folds.runs[0].root)} {given[0]} …"
        what = "A cross-validation is scored on the images held out, as it was trained"
        raise UsageError(f"{what}; got {given[0]}. {fix}")
    say_json(folds.to_json()) if json else say(str(folds))
