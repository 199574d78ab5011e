"""What a GPU makes of training: run it on any machine that has one, offline, in under eight minutes.

python benchmarks/gpu.py            results/gpu.json; on a machine without a GPU one sentence

Steps of resident tensors in fp32, fp16, bf16 and bf16 compiled, of the batch that was measured to be best; `train`
beside the resident step in the arithmetic it chose, and the share of its time in which the GPU ran nothing; images on
disk predicted; large images by tiles, with the memory they take; a run killed and resumed; where there are several
GPUs, training on all of them.
"""

from __future__ import annotations

import contextlib
import math
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch

from common import Figure, made, publish
from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.prediction.predictor import Predictor
from maskwright.runs import Run
from maskwright.training import build
from maskwright.training.batch_size import resolve_batch_size
from maskwright.training.plan import prepare
from maskwright.training.timing import step_seconds

COUNT, SIDE, STEPS = 200, 512, 30


def main() -> bool:
    if not torch.cuda.is_available():
        raise SystemExit(
            "benchmarks/gpu.py must run where there is an NVIDIA GPU; none was found. maskwright doctor says why."
        )
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    root = made("landcover", COUNT, SIDE, SIDE)
    config = load_config(
        None, [("data.root", str(root), "data"), ("model.weights", "none", "weights"), ("train.budget", "60s", "b")]
    )
    began = time.perf_counter()
    figures, steps = resident(config)
    run, found = trained(root, steps)
    figures += [*found, predicted(root, run), *tiled(run), resumed(root)]
    if torch.cuda.device_count() > 1:
        figures.append(shared(root, run, torch.cuda.device_count()))
    else:
        print("training on several GPUs was left out: one is here", flush=True)
    minutes = (time.perf_counter() - began) / 60
    return publish("gpu", [*figures, Figure("minutes in all", minutes, "<= 8", minutes <= 8, {})])


def resident(config: Config) -> tuple[list[Figure], dict[str, float]]:
    """Images a second of steps on a batch that lies on the device already, in each arithmetic."""
    plan = prepare(config)
    figures: list[Figure] = []
    rates: dict[str, float] = {}
    try:
        model = build.seeded_model(plan.config, plan.opened)
        plan = resolve_batch_size(plan, model, build.training_inputs(plan.config, plan.opened)[0])
        for key in ("train.batch_size", "train.workers"):
            print(f"{key} {plan.reasons[key]}", flush=True)
        samples, keys = build.training_inputs(plan.config, plan.opened)
        batch = samples.batch(next(iter(keys))).to(torch.device("cuda"))
        kinds = [
            "fp32",
            "fp16",
            *(["bf16", "bf16 compiled"] if torch.cuda.is_bf16_supported(including_emulation=False) else []),
        ]
        for kind in kinds:
            model = build.seeded_model(plan.config, plan.opened).to("cuda")
            if kind.endswith("compiled"):
                model.net.compile()
            torch.cuda.reset_peak_memory_stats()
            asked = plan.config.replace({"train.precision": kind.split()[0]})
            seconds = statistics.median(step_seconds(asked, model, batch, STEPS)[STEPS // 3 :])
            rates[kind] = len(batch.images) / seconds
            gain, memory = rates[kind] / rates["fp32"], torch.cuda.max_memory_allocated() / 2**30
            detail: dict[str, object] = {"images_per_second": rates[kind], "gib": memory, "batch": len(batch.images)}
            figures.append(Figure(f"resident step, {kind} / fp32", gain, "printed", True, detail))
    finally:
        plan.opened.store.close()
    return figures, rates


def trained(root: Path, rates: dict[str, float]) -> tuple[Run, list[Figure]]:
    """A minute of `train` as a person starts it, against the resident step of the arithmetic it chose."""
    out = root.parent / "run"
    with watched(out / "pace.json") as shares:
        _call("train", "--data", root, "--weights", "none", "--budget", "60s", "--log", "csv", "--out", out)
    run = Run.open(out)
    rate = statistics.median(row["images_per_second"] for row in run.history)
    share = rate / rates[run.config.train.precision]
    detail: dict[str, object] = {"images_per_second": rate, "workers": run.config.train.workers}
    figures = [Figure("train / resident step", share, ">= 0.95", share >= 0.95, detail)]
    used = shares[len(shares) // 10 : -2]  # without its first steps, for which cuDNN tries what is fastest, and its end
    waits = 1 - statistics.mean(used) if used else math.nan
    return run, [
        *figures,
        Figure("train, share of the time the GPU ran nothing", waits, "<= 0.05", waits <= 0.05, {"looks": len(used)}),
    ]


@contextlib.contextmanager
def watched(begins: Path) -> Iterator[list[float]]:
    """The shares of time in which the first GPU ran something, as its driver says twice a second once `begins` is
    there.
    """
    words = ["nvidia-smi", "-i", "0", "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits"]
    shares: list[float] = []
    done = threading.Event()

    def look() -> None:
        while not done.wait(0.5):
            with contextlib.suppress(OSError, ValueError):  # no nvidia-smi, or one that cannot tell
                if begins.is_file():
                    shares.append(
                        float(subprocess.run(words, capture_output=True, text=True, check=False).stdout) / 100
                    )

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield shares
    finally:
        done.set()
        thread.join()


def tiled(run: Run, sides: tuple[int, int] = (4096, 8192)) -> list[Figure]:
    """Large images tile by tile: megapixels a second, and the GPU's memory for four times the pixels."""
    predictor = Predictor.from_run(run)
    rates, memory = list[float](), list[float]()
    for side in (512, *sides):  # the first is for cuDNN's choices
        image = np.random.default_rng(0).integers(0, 256, (side, side, 3), np.uint8)
        if torch.cuda.is_available():
            torch.cuda.reset_peak_memory_stats()
        started = time.perf_counter()
        predictor.predict(image)
        rates.append(side**2 / 1e6 / (time.perf_counter() - started))
        memory.append(torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else math.nan)
    told: dict[str, object] = {"gib": memory[-1], "side": sides[-1]}
    grown = memory[-1] / memory[-2]
    return [
        Figure("predict by tiles, megapixels a second", rates[-1], "printed", True, told),
        Figure("GPU's memory for four times the pixels / for one", grown, "<= 1.5", grown <= 1.5, {}),
    ]


def shared(root: Path, run: Run, count: int, *more: object) -> Figure:
    """Half a minute on all GPUs, each with the batch that one had alone: images a second, beside so many times
    one's.
    """
    size, out = run.config.train.batch_size, root.parent / "shared"
    assert size != "auto"
    words = ("--train.num_devices", count, "--batch-size", count * size)
    _call("train", "--data", root, "--weights", "none", "--budget", "60s", "--log", "csv", *words, *more, "--out", out)
    rates = [statistics.median(row["images_per_second"] for row in one.history) for one in (Run.open(out), run)]
    share = rates[0] / (count * rates[1])
    detail: dict[str, object] = {
        "devices": count,
        "images_per_second": rates[0],
        "val_iou": Run.open(out).history[-1]["val_iou"],
    }
    return Figure("train on all GPUs / so many times on one", share, ">= 0.8", share >= 0.8, detail)


def predicted(root: Path, run: Run) -> Figure:
    """`predict` of a folder: images a second, decoding and writing included."""
    started = time.perf_counter()
    _call("predict", run.root, root / "images", "--out", root.parent / "predictions")
    rate = COUNT / (time.perf_counter() - started)
    return Figure("predict, images a second with starting", rate, "printed", True, {"images": COUNT})


def resumed(root: Path) -> Figure:
    """Killed at its third epoch and resumed, beside the same run left alone: the difference of their last IoU."""
    ends = []
    for name, kills in (("whole", False), ("killed", True)):
        out = root.parent / name
        words = [
            "train",
            "--data",
            root,
            "--weights",
            "none",
            "--epochs",
            "6",
            "--train.save_every",
            "1",
            "--log",
            "csv",
            "--out",
            out,
        ]
        process = subprocess.Popen([sys.executable, "-m", "maskwright", *map(str, words)], stderr=subprocess.DEVNULL)
        while kills and process.poll() is None:
            lines = (out / "history.csv").read_text().count("\n") if (out / "history.csv").is_file() else 0
            if lines > 3:
                process.send_signal(signal.SIGKILL)
            time.sleep(0.1)
        process.wait()
        if kills:
            _call("train", "--resume", out)
        ends.append(Run.open(out).history[-1]["val_iou"])
    apart = abs(ends[0] - ends[1])
    return Figure(
        "val IoU, killed and resumed - left alone",
        apart,
        "<= 0.02",
        apart <= 0.02,
        {"whole": ends[0], "resumed": ends[1]},
    )


def _call(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "maskwright", *map(str, words)], capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        raise SystemExit(0 if main() else 1)
