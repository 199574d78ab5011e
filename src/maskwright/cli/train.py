"""maskwright train"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.config import Config
    from maskwright.config.files import Override
    from maskwright.training.fit import TrainResult


def train(
    config: str | None = None,
    /,
    *keys: Annotated[str, Parameter(show=False)],
    out: Annotated[str | None, Parameter(name=("--out", "--save-dir"))] = None,
    resume: str | None = None,
    folds: int | None = None,
    plan: Flag = False,
    verbose: Flag = False,
    json: Flag = False,
) -> None:
    """Train a model on images and masks.

    maskwright train --data my_data
    maskwright train --data my_data --budget 30m
    maskwright train my.yaml --model unet/resnet34 --epochs 20 --out runs/first
    maskwright train --resume runs/first
    maskwright train --resume runs/first --budget 10m
    maskwright train --data my_data --folds 5 --budget 30m

    Flags for common keys: --data --model --weights --budget --epochs --batch-size --lr --weight-decay
    --loss --augment --size --seed --precision --devices --freeze-encoder --freeze-decoder --freeze-head,
    --mask-threshold, --log csv,tensorboard,wandb,mlflow, and --allow CODE, to train in spite of an error that
    maskwright check finds.
    Any other key is reached by its dotted name, such as --data.size 256 or --model.width 16;
    `maskwright config show` lists them all.

    Parameters
    ----------
    config
        YAML file; without one, every key has its default.
    out
        The new run folder. Default: runs/DATA-MODEL-NUMBER.
    resume
        A run folder to go on with, to the weights it would have reached uninterrupted; with --data where the data set's
        folder is now, when it has moved. A finished run is continued with --budget: a new run that starts from its
        weights.
    folds
        Cross-validate: deal all images but the test's into so many folds and train a run for each, in OUT/fold-0 and so
        on, so that every image is judged by a network that has not seen it. The budget is that of all together.
    plan
        Tell what would be trained, for how long, on what and why, and stop.
    verbose
        Tell every choice and its reason before training, as they stand in config.yaml.
    json
        Print one JSON document on stdout.
    """
    import time

    began = time.perf_counter()  # a budget holds all that comes, imports as well

    from maskwright.cli.output import say, say_json, stderr
    from maskwright.cli.source import path_and_overrides
    from maskwright.errors import as_typed
    from maskwright.terminal import goes_on_with, stdout

    path, overrides = path_and_overrides(config, keys)
    data = next((Path(value) for key, value, _ in reversed(overrides) if key == "data.root"), None)
    if folds is not None:
        overrides.append(("data.split.folds", folds, "--folds"))
    asked = _asked_for(path, overrides, resume, out, plan)

    from maskwright.folders import out_folder
    from maskwright.runs import FOLDS, default_out, is_cross_validation
    from maskwright.runtime import quick_imports

    with quick_imports():
        from maskwright.evaluation.cross_validation import cross_validate, of_fold
        from maskwright.evaluation.cross_validation import resume as resume_folds
        from maskwright.training import fit
        from maskwright.training.summary import print_plan

    console = stderr()
    if asked is not None and resume is not None:
        asked, resume = fit.continuation(resume, str(asked.train.budget), str(data) if data else None), None
    if plan and asked is not None:
        from maskwright.training.foresee import print_plan_only

        shown = console if json else stdout()
        foreseen = print_plan_only(of_fold(asked, 0) if folds else asked, console, shown, began)
        return say_json(foreseen) if json else None
    is_folded = folds is not None or (resume is not None and is_cross_validation(resume))
    on_plan = print_plan(console, verbose)
    with (
        out_folder(resume or out, default_out(asked) if asked else None) as root,
        goes_on_with(
            f"maskwright train --resume {as_typed(root)}",
            root / (FOLDS if is_folded else "config.yaml"),
            None if is_folded else root / "checkpoints" / "last.ckpt",
        ),
    ):
        if not is_folded:
            trained = (
                fit.train(asked, root, console, on_plan, began=began) if asked else fit.resume(root, console, data)
            )
            return _print_result(trained, json)
        folded = cross_validate(asked, root, console, on_plan, began) if asked else resume_folds(root, console, data)
    if json:
        return say_json(folded.to_json())
    command = as_typed("maskwright", "predict", folded.root)
    return say(f"{folded}\nruns in {folded.root}; together they are an ensemble: {command} IMAGES…")


def _print_result(result: TrainResult, json: bool) -> None:
    """What training came to, the most severe of its diagnosis, what more time would bring, and the next command."""
    from maskwright.cli.output import say, say_json
    from maskwright.errors import as_typed
    from maskwright.files import plain
    from maskwright.training.diagnose import diagnose
    from maskwright.training.forecast import more_time
    from maskwright.training.summary import format_best

    run, found = result.run, diagnose(result.run)
    if json:
        document = {
            "run": str(run.root),
            "best_epoch": result.best_epoch,
            "scores": plain(result.best_scores),
            "seconds": round(result.seconds, 1),
            "stopped_early": result.stopped_early,
            "diagnosis": [one.to_json() for one in found],
        }
        return say_json(document)
    say(format_best(result))
    for one in found[:2]:
        if one.severity != "fine":
            say(f"{one.severity}: {one}")
    split = [] if run.data["splits"]["test"] else ["--split", "val"]
    if more := more_time(run):
        say(more)
    return say(f"run in {run.root}; next: {as_typed('maskwright', 'evaluate', run.root, *split)}")


def _asked_for(
    path: str | None, overrides: list[Override], resume: str | None, out: str | None, plan: bool
) -> Config | None:
    """The configuration to train; with --resume that of its budget, or None where a run only goes on."""
    from maskwright.config.files import load_config
    from maskwright.errors import UsageError

    if resume is None:
        return load_config(path, overrides)
    is_continued = any(key == "train.budget" for key, _, _ in overrides)
    others = [path, *(flag for key, _, flag in overrides if key not in ("data.root", "train.budget"))]
    others += ["--plan" if plan else None, "--out" if out and not is_continued else None]
    if got := next((one for one in others if one), None):
        why = "a run goes on with the settings it began with. Leave it out."
        may = "--data may say where the data are now, --budget for how long a finished run is continued."
        raise UsageError(f"--resume cannot be combined with {got}: {why} {may}")
    return load_config(None, overrides) if is_continued else None
