"""The lab's own task: 10 / 4 / 4 real puzzle photographs, scratch U-Net, at most 20 minutes a variant.

python benchmarks/puzzle.py                    both variants, 32 epochs each (MASKWRIGHT_REAL_DATA)
python benchmarks/puzzle.py --minutes 5 --up bilinear   shorter, one of them
python benchmarks/puzzle.py --curve            the val curve before and after averaging and settling, 24 epochs a line
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from common import REAL_DATA, RESULTS, Figure, publish
from maskwright.runs import usable_cores

BAR = 0.97
# `standard` with both flips and any turn: a piece on a table has no upright
ANY_WAY_ROUND = [
    {"name": "hflip"}, {"name": "vflip"}, {"name": "rotate", "amount": 180}, {"name": "scale", "amount": 0.25},
    {"name": "shift", "amount": 0.1}, {"name": "brightness", "amount": 0.06}, {"name": "contrast", "amount": 0.1},
]  # fmt: skip


def main() -> bool:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=None)
    parser.add_argument("--curve", action="store_true")
    parser.add_argument("--up", choices=["transposed", "bilinear"], default=None)
    parser.add_argument(
        "--epochs", type=int, default=None, help="instead of minutes, where other work shares the machine"
    )
    parser.add_argument("--out", type=Path, default=None)
    asked = parser.parse_args()
    if not (REAL_DATA / "puzzle" / "pairs.csv").is_file():
        raise SystemExit(f"the real puzzle data must be in {REAL_DATA}/puzzle; set MASKWRIGHT_REAL_DATA")
    out = asked.out or Path(tempfile.mkdtemp(prefix="maskwright-bench-"))
    return (
        curves(out, asked.epochs or 24)
        if asked.curve
        else variants(out, asked.minutes, [asked.up] if asked.up else ["transposed", "bilinear"], asked.epochs or 32)
    )


def variants(out: Path, minutes: float | None, ups: list[str], epochs: int) -> bool:
    """Defaults but for variant, length, and pieces lying any way round; training and evaluation count into the time."""
    figures: list[Figure] = []
    length: dict[str, object] = {"train.budget": f"{minutes * 60:.0f}s"} if minutes else {"train.epochs": epochs}
    for up in ups:
        before = time.process_time()
        evaluation, run, seconds = trained(out / up, {"model.up": up, "augment": ANY_WAY_ROUND, **length})
        best = max(row["val_iou"] for row in run.history)
        detail: dict[str, object] = {"val_iou": best, "minutes": seconds / 60, "epochs": len(run.history)}
        detail |= {
            "cpu_minutes_a_core": (time.process_time() - before) / 60 / usable_cores(),
            "width": run.config.model.width,
        }
        figures.append(Figure(f"puzzle, scratch U-Net {up}: test IoU", evaluation.metrics["iou"], f">= {BAR}",
                              evaluation.metrics["iou"] >= BAR, detail))  # fmt: skip
    return publish("puzzle" if len(ups) > 1 else f"puzzle-{ups[0]}", figures)


LINES: dict[str, tuple[str, str, dict[str, object]]] = {
    # name: (label, colour, keys)
    "seeds": (
        "the seeds' plain settings: Adam 1e-3 constant, BCE-like CE, raw weights",
        "#999999",
        {"train.average": "none", "optim.name": "adam", "optim.schedule": "constant", "optim.lr": 1e-3,
         "optim.weight_decay": 0.0,
         "optim.clip": None, "loss": "ce"},
    ),
    "raw": ("Muon, cosine, CE + Dice; raw weights, running statistics", "#b0562b", {"train.average": "none"}),
    "averaged": ("ours: averaged weights, statistics settled", "#0072b2", {}),
}  # fmt: skip


def curves(out: Path, epochs: int) -> bool:
    """How far val IoU falls from one epoch to the next: the seeds' settings, raw weights, averaged and settled ones."""
    small: dict[str, object] = {"data.size": 256, "train.grow": 0, "model.width": 16, "train.epochs": epochs}
    found: dict[str, list[float]] = {}
    for name, (_, _, keys) in LINES.items():
        _, run, _ = trained(out / name, {**small, **keys})
        found[name] = [row["val_iou"] for row in run.history]
    falls = {name: max(max(0.0, a - b) for a, b in itertools.pairwise(line)) for name, line in found.items()}
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "puzzle-curves.json").write_text(json.dumps(found, indent=1) + "\n")
    draw(found, RESULTS / "puzzle-curves.png")
    detail: dict[str, object] = {**falls, "figure": "puzzle-curves.png"}
    ours = falls["averaged"]
    return publish(
        "puzzle-curve", [Figure("largest fall of val IoU between epochs", ours, "<= 0.1", ours <= 0.1, detail)]
    )


def trained(out: Path, keys: dict[str, object]) -> tuple[Any, Any, float]:
    from rich.console import Console

    from maskwright.config.files import load_config
    from maskwright.evaluation import evaluate
    from maskwright.training.fit import train

    started = time.perf_counter()
    keys = {"data.root": str(REAL_DATA / "puzzle"), **keys}
    config = load_config(None, [(key, value, "benchmark") for key, value in keys.items()])
    run = train(config, out, Console(stderr=True)).run
    evaluation = evaluate(run, "test")
    print(evaluation, flush=True)
    return evaluation, run, time.perf_counter() - started


def draw(found: dict[str, list[float]], path: Path) -> None:
    from matplotlib.figure import Figure as Drawing

    drawing = Drawing(figsize=(7, 3.6), layout="constrained")
    axes = drawing.subplots()
    for name, (label, colour, _) in LINES.items():
        axes.plot(range(1, len(found[name]) + 1), found[name], color=colour, label=label)
    axes.set(xlabel="epoch", ylabel="val IoU (4 images)", ylim=(0, 1))
    axes.legend(frameon=False, loc="lower right")
    axes.spines[["top", "right"]].set_visible(False)
    drawing.savefig(path, dpi=120)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
