"""maskwright data make | preview"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from maskwright.data.augment import Op
    from maskwright.training.plan import Plan


def make(
    kind: str, out: str, /, *, count: int | None = None, size: str | None = None, seed: int = 0,
    layout: str = "folders", json: Flag = False,
) -> None:  # fmt: skip
    """Make a procedural data set.

    maskwright data make puzzle my_puzzle
    maskwright data make landcover tiles --count 100 --size 256x256

    Parameters
    ----------
    kind
        puzzle (jigsaw pieces on tables, two classes) or landcover (aerial tiles, five classes).
    out
        The new folder.
    count
        How many images.
    size
        HEIGHTxWIDTH in pixels, or one number for a square.
    seed
        The same seed gives the same images.
    layout
        folders (images/, masks/, pairs.csv), workshop (TAIN_VAL_SET, which its authors spell so, TEST_SET,
        label_mapping.json) or oxford-pet (trimaps and lists; two classes), to try what reads such sets.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import counting, say, say_json
    from maskwright.data.synthetic import make as make_set
    from maskwright.errors import as_typed, counted

    made = make_set(kind, Path(out), count, _size(size), seed, counting("drawing"), layout)
    if json:
        say_json(
            {
                "kind": made.name,
                "root": str(made.root),
                "images": made.num_images,
                "splits": made.splits,
                "classes": list(made.class_names),
            }
        )
        return
    splits = ", ".join(f"{number} {split}" for split, number in made.splits.items())
    say(
        f"{counted(made.num_images, 'image')} ({splits}) in {made.root}; next: maskwright train --data "
        f"{as_typed(made.root)}"
    )


def preview(
    data: str | None = None,
    /,
    *keys: Annotated[str, Parameter(show=False)],
    count: int = 8,
    draws: int = 5,
    out: str | None = None,
    json: Flag = False,
) -> None:
    """Draw a sheet of inputs as training would see them: each image as it is, then some draws, with mask outlines.

    maskwright data preview my_data
    maskwright data preview my_data --augment heavy --size 256
    maskwright data preview my_data --augment '[{name: hflip}, {name: rotate, amount: 45}]' --out sheet.png

    --augment, --size, --seed and any dotted key (--data.view crop, --data.crop_focus 0.5) are as for train.

    Parameters
    ----------
    data
        The data set's folder, or a YAML configuration as for train.
    count
        How many images, spread over the training split.
    draws
        How many inputs of each.
    out
        The picture, a PNG. Default: DATA-preview.png in this folder.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import say, say_json, stderr
    from maskwright.cli.source import path_and_overrides
    from maskwright.config.files import load_config
    from maskwright.errors import UsageError, counted, must
    from maskwright.runs import plain_name

    for flag, value, most in (("--count", count, 64), ("--draws", draws, 12)):
        if not 1 <= value <= most:
            raise UsageError(must(flag, f"1 to {most}", value))
    first, overrides = path_and_overrides(data, keys)
    is_config = first is not None and Path(first).suffix.lower() in (".yaml", ".yml")
    given = [("data.root", first, "DATA")] if first is not None and not is_config else []
    config = load_config(first if is_config else None, [*given, *overrides])
    if config.data.root is None:
        raise UsageError("`DATA` must be a data set's folder; got none. Write: maskwright data preview my_data")
    path = Path(out or plain_name(f"{Path(config.data.root).absolute().stem}-preview.png"))

    from maskwright.data.preview import draw_sheet, preview_rows, save_sheet, validate_sheet_path
    from maskwright.data.record import validate_outside_data
    from maskwright.training.build import training_inputs
    from maskwright.training.plan import prepare

    validate_sheet_path(path)  # before minutes are spent
    plan = prepare(config, console=stderr())
    try:
        validate_outside_data(path.parent, plan.opened.dataset)
        samples, _ = training_inputs(plan.config, plan.opened)
        rows = preview_rows(samples, plan.opened.dataset, count, draws)
        heading = _heading(
            plan, samples.plan, len(rows), config.augment if isinstance(config.augment, str) else "a list"
        )
        save_sheet(path, draw_sheet(rows, plan.opened.dataset, heading))
    finally:
        plan.opened.store.close()
    if json:
        say_json({"sheet": str(path), "images": [row.name for row in rows], "draws": draws,
                  "config": plan.config.model_dump(mode="json"), "notes": list(plan.opened.dataset.notes)})  # fmt: skip
        return
    for note in plan.opened.dataset.notes:
        stderr().print(f"note    {note}", soft_wrap=True, markup=False)
    say(f"{counted(len(rows), 'image')}, {counted(draws, 'draw')} each, in {path}")


def _heading(plan: Plan, operations: tuple[Op, ...], num_rows: int, augment: str) -> list[str]:
    """What the sheet shows: the set, what is done to it, and how it is drawn."""
    from maskwright.data.geometry import size_text
    from maskwright.training.resolve import view_of

    config, dataset = plan.config, plan.opened.dataset
    detail = [op.description for op in operations]
    focus = config.data.crop_focus
    aimed = f", {focus:.0%} of the windows aimed at rare classes" if focus and config.data.view == "crop" else ""
    shown = f"{num_rows} of {len(dataset.split('train'))} training images"
    drawn = (
        f"view {config.data.view} at {size_text(view_of(config).size)}{aimed}, {config.data.sampling} sampling, seed "
        f"{config.train.seed}"
    )
    return [f"{dataset.root.absolute().name}: inputs as training draws them", f"{shown}; {drawn}",
            f"augment {augment}: {', '.join(detail) or 'nothing'}"]  # fmt: skip


def _size(text: str | None) -> tuple[int, int] | None:
    from maskwright.errors import UsageError, must

    if text is None:
        return None
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise UsageError(must("--size", "HEIGHTxWIDTH or one number", repr(text), "Write --size 384x512."))
    return int(parts[0]), int(parts[-1])
