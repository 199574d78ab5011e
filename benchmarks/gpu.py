"""What a GPU makes of training: run it on any machine that has one, offline, in under eight minutes.

python benchmarks/gpu.py            results/gpu.json; on a machine without a GPU one sentence

Steps of resident tensors in fp32, fp16, bf16 and bf16 compiled; `train` beside the resident step in the arithmetic it chose, with
its memory; prediction of images on disk beside the network alone; a run killed and resumed.
"""

from __future__ import annotations

import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

from common import Figure, made, publish
from maskwright.config import Config
from maskwright.config.files import load_config
from maskwright.runs import Run
from maskwright.training import fit
from maskwright.training.plan import prepare
from maskwright.training.timing import step_seconds

COUNT, SIDE, STEPS = 200, 512, 30


def main() -> bool:
    if not torch.cuda.is_available():
        raise SystemExit("benchmarks/gpu.py must run where there is an NVIDIA GPU; none was found. maskwright doctor says why.")
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}", flush=True)
    root = made("landcover", COUNT, SIDE, SIDE)
    config = load_config(
        None, [("data.root", str(root), "data"), ("model.weights", "none", "weights"), ("train.budget", "60s", "b")]
    )
    figures, steps = resident(config)
    run, figure = trained(root, steps)
    figures += [figure, predicted(root, run), resumed(root)]
    return publish("gpu", figures)


def resident(config: Config) -> tuple[list[Figure], dict[str, float]]:
    """Images a second of steps on a batch that lies on the device already, in each arithmetic."""
    plan = prepare(config)
    figures: list[Figure] = []
    rates: dict[str, float] = {}
    try:
        samples, keys = fit.training_inputs(plan.config, plan.opened)
        batch = samples.batch(next(iter(keys))).to(torch.device("cuda"))
        kinds = ["fp32", "fp16", *(["bf16", "bf16 compiled"] if torch.cuda.is_bf16_supported(including_emulation=False) else [])]
        for kind in kinds:
            model = fit.seeded_model(plan.config, plan.opened).to("cuda")
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


def trained(root: Path, rates: dict[str, float]) -> tuple[Run, Figure]:
    """A minute of `train` as a person starts it, against the resident step of the arithmetic it chose."""
    out = root.parent / "run"
    _call("train", "--data", root, "--weights", "none", "--budget", "60s", "--log", "csv", "--out", out)
    run = Run.open(out)
    rate = statistics.median(row["images_per_second"] for row in run.history)
    share = rate / rates[run.config.train.precision]
    detail: dict[str, object] = {"images_per_second": rate, "workers": run.config.train.workers, "waiting": max(0.0, 1 - share)}
    return run, Figure("train / resident step", share, ">= 0.95", share >= 0.95, detail)


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
        "val IoU, killed and resumed - left alone", apart, "<= 0.02", apart <= 0.02, {"whole": ends[0], "resumed": ends[1]}
    )


def _call(*words: object) -> None:
    done = subprocess.run([sys.executable, "-m", "maskwright", *map(str, words)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-3000:])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        raise SystemExit(0 if main() else 1)
