"""maskwright demo"""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from pathlib import Path


def demo(*, out: str = "demo", budget: str = "2m", seed: int = 0, json: Flag = False) -> None:
    """Make the embedded puzzle data, train on it for two minutes, evaluate and write the report.

    maskwright demo
    maskwright demo --out try --budget 30s

    Parameters
    ----------
    out
        The folder for data and run; a demo that was interrupted there goes on.
    budget
        Time to train: 30s, 5m. Drawing, evaluating and the report come on top.
    seed
        Of the data and of training.
    json
        Print one JSON document on stdout.
    """
    from functools import partial
    from pathlib import Path

    from maskwright.folders import lock_folder, new_folder
    from maskwright.runs import refuse_used

    root = Path(out)
    begun = "run/config.yaml"
    is_begun = (root / begun).is_file()
    with lock_folder(root) if is_begun else new_folder(root, partial(refuse_used, root), begun, ("puzzle", "run")):
        _make_and_train(root, is_begun, budget, seed, json)


def _make_and_train(root: Path, is_begun: bool, budget: str, seed: int, json: bool) -> None:
    from maskwright.cli.output import counting, say, say_json, stderr
    from maskwright.config.files import load_config
    from maskwright.data.synthetic import make
    from maskwright.errors import as_typed, counted
    from maskwright.terminal import goes_on_with
    from maskwright.training.summary import print_plan

    data, run_folder = root / "puzzle", root / "run"
    keys = {"data.root": str(data), "train.budget": budget, "train.seed": seed}
    config = load_config(None, [(key, value, "demo") for key, value in keys.items()])
    console = stderr()
    if is_begun:
        console.print(f"{run_folder} was begun before; going on with it (remove {root} to begin anew)", soft_wrap=True)
    else:
        made = make("puzzle", data, 150, seed=seed, on_progress=counting("drawing"))
        console.print(f"made {counted(made.num_images, 'image')} of jigsaw pieces in {data}", soft_wrap=True)

    from maskwright.runtime import quick_imports

    with quick_imports():
        from maskwright.evaluation import evaluate
        from maskwright.reports import write_report
        from maskwright.training import fit

    saved = run_folder / "checkpoints" / "last.ckpt"
    with goes_on_with(f"maskwright demo --out {as_typed(root)}", run_folder / "config.yaml", saved):
        result = (
            fit.resume(run_folder, console)
            if is_begun
            else fit.train(config, run_folder, console, on_plan=print_plan(console))
        )
    scores = evaluate(result.run, "test", progress=counting("evaluating"))
    report = write_report(result.run)
    if json:
        say_json({"data": str(data), "run": str(run_folder), "report": str(report), "evaluation": scores.to_json()})
        return
    say(str(scores))
    say(f"\nopen the report:        {report.resolve()}")
    say("with your own images:   put them into my_data/images, their masks into my_data/masks, then")
    say("                        maskwright train --data my_data")
