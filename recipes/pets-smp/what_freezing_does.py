"""What freezing does, in one table: parameters that learn, seconds an epoch, and the scores, of each setting compared.

    python recipes/pets-smp/what_freezing_does.py runs/pets-smp/freezing

Reads the folder of a comparison, prints the table and writes it there as what-freezing-does.md.
"""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path

from maskwright.comparison.folder import open_comparison
from maskwright.config import Config
from maskwright.data.record import bands_of, class_map
from maskwright.errors import MaskwrightError
from maskwright.files import write_atomically
from maskwright.models import build_model
from maskwright.runs import Run
from maskwright.training.freeze import Freezer

NAME = "what-freezing-does.md"
HEAD = ("what is frozen", "parameters", "that learn", "s, fastest epoch", "train IoU", "val IoU", "test IoU",
        "95 % interval")


@dataclass(frozen=True)
class Row:
    """One setting: how much of the network learns from the first epoch on, and what it cost and brought.

    `seconds` are of the fastest epoch: whatever else the machine did can only have slowed the others.
    """

    name: str
    parameters: int
    learning: int
    seconds: float
    train_iou: float
    val_iou: float
    test_iou: float
    interval: tuple[float, float]

    def cells(self) -> tuple[str, ...]:
        """The row as text."""
        share = self.learning / self.parameters
        scores = [f"{score:.3f}" for score in (self.train_iou, self.val_iou, self.test_iou)]
        low, high = self.interval
        return (self.name, f"{self.parameters:,}", f"{self.learning:,} ({share:.1%})", f"{self.seconds:.1f}", *scores,
                f"{low:.3f} to {high:.3f}")  # fmt: skip


def rows_of(root: Path) -> list[Row]:
    """A row a setting of a comparison, in the order of its plan; of several seeds the first is shown."""
    comparison = open_comparison(root)
    scores = {standing.name: standing for standing in comparison.standings.rows}
    rows = []
    for entry in comparison.entries:
        run, standing = entry.runs[0], scores[entry.name]
        parameters, learning = sizes(run)
        history = list(csv.DictReader((run.root / "history.csv").read_text(encoding="utf-8").splitlines()))
        best = max(history, key=lambda epoch: float(epoch["val_iou"]))
        rows.append(
            Row(
                entry.name,
                parameters,
                learning,
                min(float(epoch["seconds"]) for epoch in history),
                float(best["train_iou"]),
                float(best["val_iou"]),
                standing.metrics["iou"],
                standing.intervals["iou"],
            )
        )
    return rows


def sizes(run: Run) -> tuple[int, int]:
    """A run's parameters, and those of them that learn in its first epoch."""
    config: Config = run.config
    model = build_model(config.model, class_map(run.data), bands_of(run.data).num_channels, start=False)
    Freezer(model, config.optim).at(0)
    every = list(model.parameters())
    return sum(one.numel() for one in every), sum(one.numel() for one in every if one.requires_grad)


def as_markdown(rows: list[Row]) -> str:
    """The table for people."""
    lines = [HEAD, (":---", *["---:"] * (len(HEAD) - 1)), *(row.cells() for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def main(words: list[str]) -> int:
    """Print and write the table of the comparison that is named."""
    if len(words) != 1:
        print(
            "what_freezing_does.py: one folder of a comparison must be named. Write what_freezing_does.py FOLDER.",
            file=sys.stderr,
        )
        return 2
    root = Path(words[0])
    try:
        told = as_markdown(rows_of(root))
    except MaskwrightError as error:
        print(f"what_freezing_does.py: {error}", file=sys.stderr)
        return 2
    write_atomically(root / NAME, lambda path: path.write_text(told, encoding="utf-8"))
    print(f"{told}\nwritten to {root / NAME}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
