"""maskwright data make"""

from __future__ import annotations

from maskwright.cli.types import Flag


def make(kind: str, out: str, /, *, count: int | None = None, size: str | None = None, seed: int = 0, json: Flag = False) -> None:
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
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import counting, say, say_json
    from maskwright.data.synthetic import make as make_set

    made = make_set(kind, Path(out), count, _size(size), seed, counting("drawing"))
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
    say(f"{made.num_images} images ({splits}) in {made.root}; next: maskwright train --data {made.root}")


def _size(text: str | None) -> tuple[int, int] | None:
    from maskwright.errors import UsageError, must

    if text is None:
        return None
    parts = text.lower().split("x")
    if not 1 <= len(parts) <= 2 or not all(part.isdigit() for part in parts):
        raise UsageError(must("--size", "HEIGHTxWIDTH or one number", repr(text), "Write --size 384x512."))
    return int(parts[0]), int(parts[-1])
