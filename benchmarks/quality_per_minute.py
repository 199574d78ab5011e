"""How good a model is for the time it took: ours with nothing chosen beside plain loops, on the same folder, split and
machine.

python benchmarks/quality_per_minute.py puzzle camvid --budget 5m --peers FOLDER
python benchmarks/quality_per_minute.py --budget 1m 5m 20m --seeds 0 1 --peers FOLDER   all sets, a point a budget

The sets are folders of MASKWRIGHT_REAL_DATA (default ../shared/data) with a pairs.csv of split, image, mask. FOLDER
holds the peers: tuned.py and tutorial.py, called as `PEER --data SET --root DATA --budget SECONDS --seed N --out OUT`,
which write label PNGs to OUT/pred_test/. fastai is run too where it is installed. Sides take turns, or --at-once share
the cores; one scorer. No side has seen pictures of others: the peers and --sides random start from random weights, ours
from what comes with it where `auto` takes that, or always (drawn). Starting and reading the images count for ours,
reading for the peers.
Writes results/quality_per_minute.json and .png, of --add beside what is there already.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from common import REAL_DATA, RESULTS
from maskwright.config.base import seconds_of
from maskwright.models.weights import DRAWN

HERE = Path(__file__).parent
CAMVID = "[sky, building, pole, road, pavement, tree, sign, fence, car, pedestrian, bicyclist]"
# what a person would tell of a set whose masks do not say it themselves
KEYS: dict[str, list[str]] = {
    "camvid": ["--data.ignore_index", "11", "--data.classes", CAMVID],
    "pets128": ["--data.ignore_index", "2", "--data.classes", "{background: 1, pet: 0}"],
}
SETS = ("puzzle", "camvid", "pets128", "nuclei", "cracks", "tiles", "skin")
IGNORE = 255
LABELS = {"puzzle": lambda mask: mask > 127, "camvid": lambda mask: np.where(mask < 11, mask, IGNORE),
          "pets128": lambda mask: np.choose(np.minimum(mask, 2), [1, 0, IGNORE])}  # fmt: skip
OURS = ("maskwright", "random", "drawn")  # nothing chosen; and what it starts from
COLOURS = {
    "maskwright": "#0072b2",
    "random": "#009e73",
    "drawn": "#cc79a7",
    "tuned": "#b0562b",
    "tutorial": "#777777",
    "fastai": "#3f8f5f",
}


@dataclass(frozen=True)
class Result:
    """One training of one side, scored on test: IoU of the foreground, of several classes their mean."""

    side: str
    data: str
    budget: str
    seed: int
    score: float
    seconds: float  # of training by the clock, starting and reading included


def main() -> None:
    asked = _asked()
    sides = [
        *(OURS if asked.sides else ["maskwright"]),
        *(name for name in ("tuned", "tutorial") if asked.peers and (asked.peers / f"{name}.py").is_file()),
    ]
    sides += ["fastai"] if _has_fastai(asked.fastai_python) else []
    sides = [side for side in sides if not asked.sides or side in asked.sides]
    results: list[Result] = []
    earlier = _earlier() if asked.add or asked.draw else []
    for budget in [] if asked.draw else asked.budget:
        for data in asked.data or SETS:
            for seed in asked.seeds:
                for found in _round(sides, data, budget, seed, asked):
                    results.append(found)
                    print(_line(found), flush=True)
                    _keep(_joined(earlier, results))
        print(table([one for one in results if one.budget == budget], sides), flush=True)
    shown = _joined(earlier, results)
    draw(shown, [side for side in COLOURS if side in {one.side for one in shown}], RESULTS / "quality_per_minute.png")


def _earlier() -> list[Result]:
    path = RESULTS / "quality_per_minute.json"
    return [Result(**one) for one in json.loads(path.read_text())["results"]] if path.is_file() else []


def _joined(earlier: list[Result], results: list[Result]) -> list[Result]:
    again = {(one.side, one.data, one.budget, one.seed) for one in results}
    return [*(one for one in earlier if (one.side, one.data, one.budget, one.seed) not in again), *results]


def _keep(results: list[Result]) -> None:
    RESULTS.mkdir(exist_ok=True)
    document = {"benchmark": "quality_per_minute", "results": [asdict(one) for one in results]}
    (RESULTS / "quality_per_minute.json").write_text(json.dumps(document, indent=1) + "\n")


def _round(sides: list[str], data: str, budget: str, seed: int, asked: argparse.Namespace) -> Iterator[Result]:
    """Each side once: by turns on all cores, or at once, each on its share of them."""
    cores = sorted(os.sched_getaffinity(0))
    share = len(cores) // len(sides) if asked.at_once else len(cores)
    if not share:
        raise SystemExit(
            f"--at-once must have a core a side; there are {len(cores)} for {len(sides)}. Name fewer with --sides."
        )

    def run(place: int) -> Result:
        if asked.at_once:  # of this thread, and so of the processes it starts
            os.sched_setaffinity(0, cores[place * share : (place + 1) * share])
        if asked.keep:
            out = asked.keep / f"{data}-{budget}-{seed}-{sides[place]}"
            return _run(sides[place], data, budget, seed, out, asked, share)
        with tempfile.TemporaryDirectory(prefix="maskwright-quality-") as out:
            return _run(sides[place], data, budget, seed, Path(out), asked, share)

    if asked.at_once:
        with ThreadPoolExecutor(len(sides)) as pool:
            yield from pool.map(run, range(len(sides)))
    else:
        yield from map(run, range(len(sides)))


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "data", nargs="*", help=f"folders of {REAL_DATA}; without any the seven of benchmarks/README.md"
    )
    parser.add_argument("--budget", nargs="+", default=["5m"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--peers", type=Path, default=None)
    parser.add_argument("--sides", nargs="+", default=None, help="these alone")
    parser.add_argument("--add", action="store_true", help="keep what earlier calls measured, but for the same again")
    parser.add_argument("--draw", action="store_true", help="measure nothing, draw what earlier calls measured")
    parser.add_argument("--keep", type=Path, default=None, help="a folder for what the sides trained and predicted")
    parser.add_argument("--at-once", action="store_true", help="sides at the same time, each on its share of the cores")
    parser.add_argument("--fastai-python", default=sys.executable, help="a Python that has fastai")
    return parser.parse_args()


def _has_fastai(python: str) -> bool:
    return (
        subprocess.run(
            [python, "-c", "import importlib.util as u; raise SystemExit(not u.find_spec('fastai'))"]
        ).returncode
        == 0
    )


def _run(side: str, data: str, budget: str, seed: int, out: Path, asked: argparse.Namespace, cores: int) -> Result:
    seconds = f"{seconds_of(budget):g}"
    shared = ["--data", data, "--root", str(REAL_DATA), "--budget", seconds, "--seed", str(seed), "--out", str(out)]
    started = time.perf_counter()
    if side in OURS:
        weights = {"random": "none", "drawn": DRAWN}.get(side, "auto")
        took = _ours(data, budget, seed, weights, out)
    elif side == "fastai":
        _call([asked.fastai_python, str(HERE / "fastai_side.py"), *shared])
        took = float(json.loads((out / "result.json").read_text())["seconds"])
    else:
        # torchvision of a CPU-only torch lacks one module; the peers' scripts know nothing of that
        stub = "sys.modules['torchvision._meta_registrations'] = types.ModuleType('stub')"
        start = f"sys.path.insert(0, {str(asked.peers)!r}); sys.argv = sys.argv[1:]"
        run = f"import runpy, sys, types; {stub}; {start}; runpy.run_path(sys.argv[0], run_name='__main__')"
        extra = ["--threads", str(cores), *(["--no-tta"] if side == "tuned" else [])]
        _call([sys.executable, "-c", run, str(asked.peers / f"{side}.py"), *shared, *extra])
        took = time.perf_counter() - started
    return Result(side, data, budget, seed, score(data, out / "pred_test"), round(took, 1))


def _ours(data: str, budget: str, seed: int, weights: str, out: Path) -> float:
    """Everything default, out of reach of a hub; the test images are predicted as any folder of images is."""
    words = [sys.executable, "-m", "maskwright"]
    started = time.perf_counter()
    _call([*words, "train", "--data", str(REAL_DATA / data), "--budget", budget, "--seed", str(seed), "--weights",
           weights, "--log", "csv", "--out", str(out / "run"), *KEYS.get(data, [])])  # fmt: skip
    took = time.perf_counter() - started
    for image, _ in pairs(data, "test"):
        (out / "images").mkdir(exist_ok=True)
        (out / "images" / image.name).symlink_to(image.absolute())
    _call([*words, "predict", str(out / "run"), str(out / "images"), "--out", str(out / "pred_test")])
    return took


def _call(words: list[str]) -> None:
    with tempfile.TemporaryDirectory() as empty:
        alone = os.environ | {"HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": empty}
        done = subprocess.run(words, capture_output=True, text=True, check=False, env=alone)
    if done.returncode:
        raise SystemExit(f"{' '.join(words[:6])} …\n{done.stderr[-3000:]}")


def pairs(data: str, split: str) -> Iterator[tuple[Path, Path]]:
    """Images and masks of a split."""
    with (REAL_DATA / data / "pairs.csv").open() as rows:
        for row in csv.DictReader(rows):
            if row["split"] == split:
                yield REAL_DATA / data / row["image"], REAL_DATA / data / row["mask"]


def score(data: str, predicted: Path) -> float:
    """IoU over all pixels of the test images, at their own size."""
    counts = np.zeros((256, 256), np.int64)
    read = LABELS.get(data, lambda mask: mask)
    for image, mask in pairs(data, "test"):
        truth = np.asarray(read(np.asarray(Image.open(mask)))).astype(np.int64)
        found = np.asarray(Image.open(predicted / f"{image.stem}.png")).astype(np.int64)
        known = truth != IGNORE
        counts += np.bincount(truth[known] * 256 + found[known], minlength=1 << 16).reshape(256, 256)
    hits, union = np.diag(counts), counts.sum(0) + counts.sum(1) - np.diag(counts)
    ious = [hits[label] / union[label] for label in range(256) if union[label]]
    return float(ious[1] if len(ious) == 2 else np.mean(ious))


def table(results: list[Result], sides: list[str]) -> str:
    """Means over seeds, sets below each other, as Markdown."""
    rows = [f"| {results[0].budget} | " + " | ".join(sides) + " |", "|---" * (len(sides) + 1) + "|"]
    sets = list(dict.fromkeys(one.data for one in results))
    means = {(data, side): _mean(results, data, side) for data in sets for side in sides}
    rows += [f"| {data} | " + " | ".join(f"{means[data, side]:.3f}" for side in sides) + " |" for data in sets]
    overall = " | ".join(f"{statistics.mean(means[data, side] for data in sets):.3f}" for side in sides)
    return "\n".join([*rows, f"| mean | {overall} |"])


def _mean(results: list[Result], data: str, side: str) -> float:
    return statistics.mean(one.score for one in results if (one.data, one.side) == (data, side))


def _line(one: Result) -> str:
    return f"{one.side:12} {one.data:8} {one.budget:>4} seed {one.seed}: {one.score:.4f} in {one.seconds:.1f} s"


def draw(results: list[Result], sides: list[str], path: Path) -> None:
    """Score over minutes, a panel a set; with one budget a point a side."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    sets = list(dict.fromkeys(one.data for one in results))
    budgets = sorted({seconds_of(one.budget) / 60 for one in results})
    columns = min(4, len(sets))
    rows = -(-len(sets) // columns)
    figure, axes = plt.subplots(rows, columns, figsize=(3.2 * columns, 2.6 * rows), squeeze=False)
    for axis, data in zip(axes.flat, sets, strict=False):
        for side in sides:
            mine = [one for one in results if (one.data, one.side) == (data, side)]
            minutes = sorted({seconds_of(one.budget) / 60 for one in mine})
            means = [statistics.mean(one.score for one in mine if seconds_of(one.budget) / 60 == at) for at in minutes]
            axis.plot(minutes, means, "o-", color=COLOURS[side], label=side, markersize=4)
        axis.set_title(data, fontsize=10)
        axis.set_xscale("log")
        axis.set_xlim(budgets[0] / 1.3, budgets[-1] * 1.3)
        axis.set_ylim(bottom=0)
        axis.set_xticks(budgets, [f"{at:g}" for at in budgets])
        axis.minorticks_off()
        axis.grid(alpha=0.3)
    for axis in list(axes.flat)[len(sets) :]:
        axis.axis("off")
    named = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
    place = axes.flat[-1] if len(list(axes.flat)) > len(sets) else axes.flat[0]
    place.legend(named.values(), named.keys(), fontsize=8, frameon=False, loc="center")
    figure.supxlabel("minutes", fontsize=9)
    figure.supylabel("test IoU", fontsize=9)
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
