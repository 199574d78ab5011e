"""`maskwright serve` under load: 32 clients at once beside one, errors, and memory over 5,000 requests.

python benchmarks/serve.py [--requests 5000]

A bundle of U-Net/ResNet34 (OpenVINO, images of 256 x 256) is served by a process of its own; clients are threads of
this one, on the same cores, each with a connection that it keeps.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from common import Figure, made, publish

CLIENTS = 32
SIDE = 256


def bundle(folder: Path, side: int = SIDE) -> tuple[Path, Path]:
    """A bundle of an untrained network that sees `side` pixels a side, and the data it was made with."""
    data = made("puzzle", 8, side, side)
    run, out = folder / "run", folder / "bundle"
    flags = [
        "--model",
        "unet/resnet34",
        "--weights",
        "none",
        "--size",
        str(side),
        "--data.view",
        "whole",
        "--epochs",
        "1",
        "--train.repeats",
        "1",
        "--devices",
        "cpu",
    ]
    for words in (
        ["train", "--data", data, *flags, "--out", run],
        ["export", run, "--format", "openvino", "--max-iou-drop", "1", "--out", out],
    ):
        subprocess.run([sys.executable, "-m", "maskwright", *map(str, words)], check=True, capture_output=True)
    return out, data


class Load:
    """Requests from a number of clients until so many are answered."""

    def __init__(self, port: int, images: list[bytes], clients: int, requests: int) -> None:
        self.port, self.images, self.errors = port, images, 0
        self.seconds: list[float] = []
        self.numbers = itertools.count()
        self.requests = requests
        threads = [threading.Thread(target=self._client) for _ in range(clients)]
        begin = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.rate = len(self.seconds) / (time.perf_counter() - begin)

    def _client(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=120)
        while (number := next(self.numbers)) < self.requests:
            begin = time.perf_counter()
            try:
                connection.request("POST", "/predict", self.images[number % len(self.images)])
                answer = connection.getresponse()
                good = answer.read().startswith(b"\x89PNG") and answer.status == 200
            except OSError:
                good = False
            self.errors += not good
            self.seconds.append(time.perf_counter() - begin)

    def quantile(self, share: float) -> float:
        """Milliseconds that a share of the requests took at most."""
        return 1000 * sorted(self.seconds)[min(len(self.seconds) - 1, int(share * len(self.seconds)))]


def metric(port: int, name: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    connection.request("GET", "/metrics")
    found = re.search(rf"^{name} (\S+)$", connection.getresponse().read().decode(), re.M)
    assert found, name
    return float(found[1])


def main(requests: int = 5000) -> bool:
    with tempfile.TemporaryDirectory(prefix="maskwright-bench-") as folder:
        model, data = bundle(Path(folder))
        images = [path.read_bytes() for path in sorted((data / "images").iterdir())]
        command = [sys.executable, "-m", "maskwright", "serve", str(model), "--port", "0"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout
                port = int(server.stdout.readline().split("127.0.0.1:")[1].split()[0])
                Load(port, images, CLIENTS, 200)  # warm-up
                ones = [Load(port, images, 1, max(50, requests // 50)) for _ in range(2)]
                memory = [metric(port, "process_resident_memory_bytes") / 2**20]
                parts = []
                for _ in range(5):
                    parts.append(Load(port, images, CLIENTS, requests // 5))
                    memory.append(metric(port, "process_resident_memory_bytes") / 2**20)
                ones += [Load(port, images, 1, max(50, requests // 50)) for _ in range(2)]
                batch = metric(port, "maskwright_batch_size_sum") / metric(port, "maskwright_batch_size_count")
            finally:
                server.terminate()
                code = server.wait(60)
    one, many = (statistics.median(load.rate for load in loads) for loads in (ones, parts))
    median = statistics.median(load.quantile(0.5) for load in ones)
    slowest = statistics.median(load.quantile(0.99) for load in parts)
    errors, grown = sum(load.errors for load in (*ones, *parts)), memory[-1] - memory[1]
    told = {"clients": CLIENTS, "cores": os.cpu_count(), "requests": sum(len(load.seconds) for load in parts)}
    return publish("serve", [
        Figure("requests that failed", errors, "0", errors == 0 and code == 0, {**told, "exit after SIGTERM": code}),
        Figure("requests a second, 32 clients / one", many / one, ">= 1", many >= one,
               {"32 clients": many, "one": one, "images a batch": batch}),
        Figure("p99 of 32 clients / 32 x the median of one", slowest / (CLIENTS * median), "<= 1.5",
               slowest <= 1.5 * CLIENTS * median,
               {"p99 ms": slowest, "p50 ms": statistics.median(load.quantile(0.5) for load in parts),
                "one, p50 ms": median, "one, p99 ms": statistics.median(load.quantile(0.99) for load in ones)}),
        Figure("MiB grown from a fifth of the requests to the end", grown, "<= 16", grown <= 16,
               {"MiB": " ".join(f"{value:.0f}" for value in memory)}),
    ])  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--requests", type=int, default=5000)
    sys.exit(0 if main(parser.parse_args().requests) else 1)
