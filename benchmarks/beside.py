"""Training steps a second of a program alone, and of each of two at once, by how long OpenMP's threads spin.

python benchmarks/beside.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time

from common import Figure, publish

SECONDS = 12
# libgomp's own setting, ours, and one thread, as doctor advises beside others
SETTINGS = {"libgomp": {"GOMP_SPINCOUNT": "300000"}, "ours": {}, "one thread": {"OMP_NUM_THREADS": "1"}}


def main(rounds: int = 2) -> bool:
    alone: dict[str, list[float]] = {name: [] for name in SETTINGS}
    beside: dict[str, list[float]] = {name: [] for name in SETTINGS}
    for _ in range(rounds):
        for name, setting in SETTINGS.items():
            alone[name] += _rates(setting, 1)
            beside[name] += _rates(setting, 2)
            print(f"  {name}: alone {alone[name][-1]:.2f} steps/s, each of two {beside[name][-1]:.2f}", flush=True)
    rate = {f"{name}, alone": statistics.median(found) for name, found in alone.items()}
    rate |= {f"{name}, each of two": statistics.median(found) for name, found in beside.items()}
    cost = rate["ours, alone"] / rate["libgomp, alone"]
    gain = rate["ours, each of two"] / rate["libgomp, each of two"]
    return publish(
        "beside",
        [
            Figure("alone: ours / libgomp's spinning", cost, ">= 0.95", cost >= 0.95, {**rate}),
            Figure("two at once: ours / libgomp's spinning", gain, ">= 1", gain >= 1, {**rate}),
        ],
    )


def _rates(setting: dict[str, str], programs: int) -> list[float]:
    environment = {name: value for name, value in os.environ.items() if name != "GOMP_SPINCOUNT"} | setting
    running = [
        subprocess.Popen([sys.executable, __file__, "part"], env=environment, stdout=subprocess.PIPE, text=True)
        for _ in range(programs)
    ]
    return [json.loads(one.communicate()[0]) for one in running]


def steps_a_second() -> float:
    """Of a small network on inputs that are there already."""
    from maskwright import runtime

    runtime.tune_allocator()
    runtime.ensure_torchvision()
    import segmentation_models_pytorch as smp
    import torch
    from torch.nn.functional import cross_entropy

    net = smp.Unet("resnet18", encoder_weights=None, classes=2).to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), 1e-3)
    images = torch.rand(2, 3, 128, 128).contiguous(memory_format=torch.channels_last)
    labels = torch.randint(0, 2, (2, 128, 128))
    times: list[float] = []
    ends = time.perf_counter() + SECONDS
    while time.perf_counter() < ends:
        started = time.perf_counter()
        cross_entropy(net(images), labels).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - started)
    kept = times[3:] or times
    return len(kept) / sum(kept)


if __name__ == "__main__":
    if sys.argv[1:] == ["part"]:
        print(json.dumps(steps_a_second()))
    else:
        sys.exit(0 if main(int(sys.argv[1]) if sys.argv[1:] else 2) else 1)
