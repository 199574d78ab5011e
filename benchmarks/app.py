"""The app as it is felt: a server in a process of its own, headless Chromium, and each promised number beside what it
is.

python benchmarks/app.py

Needs what the tests in a browser need: `pip install -e '.[dev]'` and a Chromium. Frames are counted as Chromium shows
them, without a graphics card where there is none.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import httpx
import numpy as np
from playwright.sync_api import Browser, Page, sync_playwright

from common import Figure, made, publish
from serve import bundle

RUNS, UPLOADS, IMAGES = 200, 50, 10_000
TINY = (
    "--model",
    "unet",
    "--model.width",
    "4",
    "--size",
    "64",
    "--data.view",
    "whole",
    "--epochs",
    "1",
    "--devices",
    "cpu",
)

# milliseconds from the page's address until so many runs are drawn
LISTED = """(count) => new Promise((done) => {
  const look = () => requestAnimationFrame(document.querySelectorAll(".runs tbody tr").length === count
    ? () => done(performance.now()) : look);
  look();
})"""
# milliseconds from a key until the next image is drawn
SWITCH = """async (key) => {
  const [host, stage] = [document.querySelector(".viewer-host"), document.querySelector(".stage")];
  const begin = performance.now();
  const shown = new Promise((done) => new MutationObserver((_, observer) => {
    observer.disconnect();
    stage.addEventListener("drawn", () => done(performance.now() - begin), {once: true});
  }).observe(host, {attributeFilter: ["data-image"]}));
  document.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
  return shown;
}"""
# milliseconds of each frame, until it is told to end
FRAMES = """() => {
  const times = window.frames_ = [];
  const next = (now) => { times.push(now); if (window.frames_ === times) requestAnimationFrame(next); };
  requestAnimationFrame(next);
}"""


@dataclass(frozen=True)
class Server:
    """An app that runs: where it is, its process, and how long it took until the page's first byte."""

    base: str
    process: int
    seconds: float

    def memory(self, field: str) -> float:
        """MiB of memory: VmRSS now, VmHWM the most there was."""
        found = re.search(rf"^{field}:\s+(\d+) kB", Path(f"/proc/{self.process}/status").read_text(), re.M)
        assert found
        return int(found[1]) / 1024

    def cpu(self) -> float:
        """Seconds of processor time until now."""
        return sum(
            map(int, Path(f"/proc/{self.process}/stat").read_text().rsplit(")", 1)[1].split()[11:13])
        ) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def app(runs: Path, data: Path) -> Iterator[Server]:
    command = [sys.executable, "-m", "maskwright", "app", str(runs), "--data", str(data), "--no-browser"]
    begin = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout
            base = re.findall(r"http://[\d.:]+", process.stdout.readline())[0]
            with urllib.request.urlopen(base) as answer:
                answer.read()
            yield Server(base, process.pid, time.perf_counter() - begin)
        finally:
            process.terminate()
            process.wait(60)


@contextlib.contextmanager
def page_of(browser: Browser, address: str = "about:blank") -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1366, "height": 768})
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto(address)
    yield page
    context.close()


def run_of(data: Path, folder: Path) -> None:
    """A small run, scored."""
    for words in (("train", "--data", data, *TINY, "--out", folder), ("evaluate", folder)):
        subprocess.run([sys.executable, "-m", "maskwright", *map(str, words)], check=True, capture_output=True)


def started(browser: Browser, runs: Path, data: Path) -> list[Figure]:
    """Five starts, and the first page of each, which nothing has been read for."""
    starts, pages, used = [], [], []
    for _ in range(5):
        with app(runs, data) as server, page_of(browser) as page:
            used.append(server.cpu())
            page.goto(f"{server.base}/#/runs", wait_until="commit")
            pages.append(page.evaluate(LISTED, RUNS) / 1000)
            starts.append(server.seconds)
    first, start = statistics.median(pages), statistics.median(starts)
    return [
        Figure(
            "seconds until the app answers",
            start,
            "< 2",
            start < 2,
            {"slowest": max(starts), "of processor time": statistics.median(used)},
        ),
        Figure(f"seconds until the first page shows {RUNS} runs", first, "< 1", first < 1, {"slowest": max(pages)}),
    ]


def switched(browser: Browser, runs: Path, data: Path) -> Figure:
    with app(runs, data) as server:
        (run, *_) = httpx.get(f"{server.base}/api/runs").json()
        shown = httpx.get(f"{server.base}/api/runs/{run['id']}/images", params={"split": "train"}).json()
        with page_of(
            browser, f"{server.base}/#/runs/{run['id']}/{shown['items'][0]['id']}?split=train&sort=name"
        ) as page:
            page.wait_for_selector(".viewer-host[data-threshold]")
            keys = ["ArrowRight"] * (shown["total"] - 1) + ["ArrowLeft"] * (shown["total"] - 1)
            for key in keys:  # into the cache
                page.evaluate(SWITCH, key)
            page.wait_for_load_state("networkidle")
            times = [page.evaluate(SWITCH, key) for _ in range(3) for key in keys]
    told = {"slowest": max(times), "switches": len(times)}
    found = statistics.median(times)
    return Figure("milliseconds to switch to an image of 1024 x 1024 from the cache", found, "< 100", found < 100, told)


def brushed(browser: Browser, folder: Path) -> Figure:
    data = made("puzzle", 4, 2048, 2048)
    with app(folder, data) as server, page_of(browser, f"{server.base}/#/label/0") as page:
        page.wait_for_selector(".viewer-host[data-image]")
        page.get_by_label("Brush size in pixels").fill("60")
        box = page.locator(".stage").bounding_box()
        assert box
        middle = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(*middle)
        page.mouse.down()
        page.evaluate(FRAMES)
        begin = time.perf_counter()
        moves = 0
        while (passed := time.perf_counter() - begin) < 4:  # a spiral over the whole image
            radius = box["height"] * 0.45 * passed / 4
            page.mouse.move(middle[0] + radius * np.cos(9 * passed), middle[1] + radius * np.sin(9 * passed))
            moves += 1
        times = np.diff(page.evaluate("() => { const all = window.frames_; window.frames_ = null; return all; }"))
        page.mouse.up()
        page.wait_for_selector('.save-state:text-is("Saved")')
    rate = 1000 / float(times.mean())
    told = {
        "median ms": float(np.median(times)),
        "p99 ms": float(np.quantile(times, 0.99)),
        "moves a second": moves / 4,
    }
    return Figure("frames a second of a stroke on 2048 x 2048", rate, "60", rate > 59.5, told)


def predicted(folder: Path) -> Figure:
    """What the region tool asks for where the cursor rests, each image once, in turns with the network alone."""
    from maskwright.prediction.network import open_network

    model, data = bundle(folder, 512)
    forward, image = open_network(model).forward, np.zeros((1, 512, 512, 3), np.float32)
    times, alone = [], []
    with app(folder, data) as server, httpx.Client(base_url=server.base, timeout=300) as client:
        while client.get("/api/data").json()["checking"]:
            time.sleep(0.1)
        for number in range(8):
            for found in (times, alone):
                begin = time.perf_counter()
                if found is alone:
                    forward(image)
                else:
                    place = {"model": "bundle", "x": 200 + 10 * number, "y": 300}
                    answer = client.get(f"/api/label/images/{number}/suggestion", params=place)
                    assert answer.status_code == 200, answer.text
                found.append(1000 * (time.perf_counter() - begin))
    found = statistics.median(times[1:])  # the first opens the bundle
    told = {"slowest": max(times[1:]), "first": times[0], "the network alone": statistics.median(alone[1:]),
            "network": "unet/resnet34, OpenVINO", "cores": os.cpu_count()}  # fmt: skip
    name = "milliseconds to predict at a place of an image of 512 x 512, with a bundle"
    return Figure(name, found, "< 400", found < 400, told)


def uploaded(runs: Path, data: Path) -> list[Figure]:
    files = [path.read_bytes() for path in sorted((data / "images").iterdir())]
    with (
        app(runs, data) as server,
        httpx.Client(base_url=server.base, timeout=300, limits=httpx.Limits(max_connections=UPLOADS)) as client,
    ):
        model = client.get("/api/models").json()[0]["id"]

        def upload(number: int) -> Any:
            name = f"{number}.png"
            return client.post(
                "/api/predict", params={"model": model, "name": name}, content=files[number % len(files)]
            )

        def ended(jobs: list[str]) -> list[dict[str, Any]]:
            found: list[dict[str, Any]] = [{"state": "waiting"}]
            while any(one["state"] in ("waiting", "running") for one in found):
                time.sleep(0.1)
                found = [client.get(f"/api/predict/{job}").json() for job in jobs]
            return found

        ended([upload(number).json()["job"] for number in range(2)])  # the network is opened
        before = server.memory("VmHWM")
        begin = time.perf_counter()
        gate = threading.Barrier(UPLOADS)
        with ThreadPoolExecutor(UPLOADS) as pool:
            answers = list(pool.map(lambda number: (gate.wait(), upload(number))[1], range(UPLOADS)))
        taken = time.perf_counter() - begin
        done = [
            one
            for one in ended([answer.json()["job"] for answer in answers if answer.status_code == 200])
            if one["state"] == "done"
        ]
        seconds, grown = time.perf_counter() - begin, server.memory("VmHWM") - before
    told = {"seconds until all are taken": taken, "until all are predicted": seconds, "image": "1024 x 1024"}
    return [
        Figure(f"of {UPLOADS} uploads at once, answered", len(done), str(UPLOADS), len(done) == UPLOADS, told),
        Figure("MiB that the most memory grew by meanwhile", grown, "<= 64", grown <= 64, {"before": before}),
    ]  # fmt: skip


def scrolled(browser: Browser, folder: Path) -> Figure:
    """A visit to a data set nobody has looked at yet: down by the wheel, then to its end."""
    data, rng = folder / "many", np.random.default_rng(0)
    for kind in ("images", "masks"):
        (data / kind).mkdir(parents=True)
    mask = cv2.imencode(".png", np.pad(np.full((20, 20), 255, np.uint8), 22))[1].tobytes()
    for number in range(IMAGES):
        cv2.imwrite(str(data / f"images/{number:05d}.png"), rng.integers(0, 256, (64, 64, 3), np.uint8))
        (data / f"masks/{number:05d}.png").write_bytes(mask)
    with app(folder / "none", data) as server, page_of(browser) as page:
        asked: set[str] = set()
        page.on("request", lambda request: asked.add(request.url) if "/thumb" in request.url else None)
        begin = time.perf_counter()
        page.goto(f"{server.base}/#/data")
        page.wait_for_selector(".cell img")
        first = time.perf_counter() - begin
        cells = []
        page.locator(".gallery").scroll_into_view_if_needed()
        box = page.locator(".gallery").bounding_box()
        assert box
        page.mouse.move(box["x"] + 200, box["y"] + 100)
        for _ in range(50):
            page.mouse.wheel(0, 400)
            page.wait_for_timeout(16)
            cells.append(page.locator(".cell").count())
        page.evaluate("() => { const box = document.querySelector('.gallery'); box.scrollTop = box.scrollHeight; }")
        page.wait_for_selector(f'.cell:has-text("{IMAGES - 1}")')
        page.wait_for_timeout(1000)
        cells.append(page.locator(".cell").count())
    share = len(asked) / IMAGES
    told = {"thumbnails": len(asked), "most cells in the page": max(cells), "seconds until the first": first}
    return Figure(f"thumbnails loaded / {IMAGES} images, scrolled to the end", share, "<= 0.1", share <= 0.1, told)


def main() -> bool:
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with tempfile.TemporaryDirectory(prefix="maskwright-bench-") as place, sync_playwright() as playwright:
        folder = Path(place)
        data = made("puzzle", 12, 1024, 1024)
        run_of(data, folder / "runs/0")
        for number in range(1, RUNS):
            shutil.copytree(folder / "runs/0", folder / f"runs/{number}", copy_function=os.link)
        (folder / "one").mkdir()
        shutil.copytree(folder / "runs/0", folder / "one/run", copy_function=os.link)
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        figures = [
            *started(browser, folder / "runs", data),
            switched(browser, folder / "one", data),
            brushed(browser, folder / "empty"),
            predicted(folder / "bundled"),
            *uploaded(folder / "one", data),
            scrolled(browser, folder),
        ]
        browser.close()
    return publish("app", figures)


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
