"""maskwright train"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.training.fit import TrainResult


def train(
    config: str | None = None,
    /,
    *keys: Annotated[str, Parameter(show=False)],
    out: Annotated[str | None, Parameter(name=("--out", "--save-dir"))] = None,
    resume: str | None = None,
    plan: Flag = False,
    json: Flag = False,
) -> None:
    """Train a model on images and masks.

    maskwright train --data my_data
    maskwright train --data my_data --budget 30m
    maskwright train my.yaml --model unet/resnet34 --epochs 20 --out runs/first
    maskwright train --resume runs/first
    maskwright train --resume runs/first --budget 10m

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
        folder is now, when it has moved. A finished run is continued with --budget: a new run that starts from its weights.
    plan
        Tell what would be trained, for how long, on what and why, and stop.
    json
        Print one JSON document on stdout.
    """
    import time

    began = time.perf_counter()  # a budget holds all that comes, imports as well
    from pathlib import Path

    from maskwright.cli.output import goes_on_with, say, say_json, stderr
    from maskwright.config.files import load_config
    from maskwright.config.flags import parse_overrides
    from maskwright.errors import UsageError, as_typed

    words = [*([config] if config else []), *keys]
    path = words.pop(0) if words and not words[0].startswith("-") else None
    overrides = parse_overrides(words)
    moved = next((value for key, value, _ in reversed(overrides) if key == "data.root"), None)
    others = [flag for key, _, flag in overrides if key != "data.root"]
    more = next((value for key, value, _ in reversed(overrides) if key == "train.budget"), None)
    others = [flag for flag in others if not (more and flag == "--budget")]
    if resume is not None and (path or others or plan or (out and not more)):
        got = path or (others[0] if others else "--plan" if plan else "--out")
        fix = "Leave it out; --data may say where the data are now, --budget for how long a finished run is continued."
        raise UsageError(f"`--resume` must stand alone: a run goes on as it began; got {got} too. {fix}")
    settled = None if resume else load_config(path, overrides)

    from maskwright.folders import out_folder
    from maskwright.runs import default_out
    from maskwright.training import fit
    from maskwright.training.diagnose import diagnose as read
    from maskwright.training.forecast import more_time
    from maskwright.training.summary import format_best, tell_plan

    console = stderr()
    if resume is not None and more is not None:
        load_config(
            None, [one for one in overrides if one[0] in ("train.budget", "data.root")]
        )  # a budget without its unit is told as for any training
        settled, resume = fit.continuation(resume, str(more), moved), None
    if plan:
        from maskwright.training.foresee import tell_only

        assert settled is not None
        tell_only(settled, console, began)
        return
    with (
        out_folder(resume or out, default_out(settled) if settled else None) as root,
        goes_on_with(f"maskwright train --resume {as_typed(root)}", root / "config.yaml", root / "checkpoints" / "last.ckpt"),
    ):
        if settled is None:
            result = fit.resume(root, console, Path(moved) if moved else None)
        else:
            result = fit.train(settled, root, console, tell=tell_plan(console), began=began)
    told = read(result.run)
    if json:
        say_json({**document(result), "diagnosis": [one.to_json() for one in told]})
        return
    say(format_best(result))
    for one in told[:2]:
        if one.severity != "fine":
            say(f"{one.severity}: {one}")
    split = [] if result.run.data["splits"]["test"] else ["--split", "val"]
    more_told = more_time(result.run)
    if more_told:
        say(more_told)
    say(f"run in {result.run.root}; next: {as_typed('maskwright', 'evaluate', result.run.root, *split)}")


def document(result: TrainResult) -> dict[str, object]:
    """What --json prints."""
    return {
        "run": str(result.run.root),
        "best_epoch": result.best_epoch,
        "scores": {name: None if value != value else value for name, value in result.best_scores.items()},
        "seconds": round(result.seconds, 1),
        "stopped_early": result.stopped_early,
    }
