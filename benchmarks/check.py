"""The whole audit of 2,000 pairs at 512 × 512 beside decoding them once on the same cores, and its memory.

python benchmarks/check.py [--count 200]
python benchmarks/check.py --frames     only a film of near-identical frames: memory and seconds by their number
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import statistics
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from common import Figure, part, publish

SIDE, SCENES, REPEATS = 512, 50, 3
FRAMES = (1500, 3000, 6000)  # of 48 × 48 pixels
KINDS = {"jpeg": ".jpg", "png": ".png"}


def main() -> bool:
    from maskwright.runs import usable_cores

    arguments = argparse.ArgumentParser()
    arguments.add_argument("--count", type=int, default=2000)
    arguments.add_argument("--frames", action="store_true")
    given = arguments.parse_args()
    count: int = given.count
    figures: list[Figure] = []
    place = Path(tempfile.mkdtemp(prefix="maskwright-bench-"))
    try:
        figures += film(place)
        if given.frames:
            return publish("check_frames", figures)
        for kind in KINDS:
            make_set(place / kind, count, kind)
            both = _both_sides(place / kind)
            ratio = statistics.median(both["audit"]) / statistics.median(both["decode"])
            detail: dict[str, object] = {
                "audit_s": statistics.median(both["audit"]),
                "decode_s": statistics.median(both["decode"]),
                "pairs": count,
                "cores": usable_cores(),
            }
            figures.append(Figure(f"check, {kind} images: audit / decoding", ratio, "<= 1.5", ratio <= 1.5, detail))
        few = max(1, count // 4)
        make_set(place / "few", few, "jpeg")
        peaks = {
            number: part(__file__, "--side", str(place / name)) for name, number in (("few", few), ("jpeg", count))
        }
        pixels = (count - few) * SIDE * SIDE * 4 / 2**20
        grown = peaks[count]["own_peak_mib"] - peaks[few]["own_peak_mib"]
        detail = {
            "grown_mib": grown,
            "pixels_mib": pixels,
            **{f"peak_mib_{n}": p["own_peak_mib"] for n, p in peaks.items()},
        }
        figures.append(
            Figure("check, memory grown / pixels added", grown / pixels, "<= 0.05", grown <= 0.05 * pixels, detail)
        )
    finally:
        shutil.rmtree(place)
    return publish("check", figures)


def film(place: Path) -> list[Figure]:
    """What near-identical frames cost an audit: every landmark of one meets those of all others."""
    found: dict[int, dict[str, float]] = {}
    for number in FRAMES:
        make_film(place / f"film{number}", number)
        found[number] = part(__file__, "--side", str(place / f"film{number}"))
    few, many = found[FRAMES[0]], found[FRAMES[-1]]
    each = (many["own_peak_mib"] - few["own_peak_mib"]) * 1024 / (FRAMES[-1] - FRAMES[0])
    slower = many["cpu_s"] / few["cpu_s"] / (FRAMES[-1] / FRAMES[0])
    detail: dict[str, object] = {f"{name}_{number}": one[name] for number, one in found.items() for name in sorted(one)}
    return [
        Figure("check, KiB of memory a near-identical frame", each, "<= 40", each <= 40, detail),
        Figure("check, time for four times the frames / 4", slower, "<= 1.5", slower <= 1.5, detail),
    ]


def make_film(root: Path, count: int) -> None:
    """One scene seen again and again: noise, and a drift of two pixels to and fro."""
    scene = _scenes()[0][0][:144, :144]
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)
    for index in range(count):
        rng = np.random.default_rng((3, index))
        drift = cv2.warpAffine(
            scene, np.array([[1, 0, 6 * np.sin(index / 40)], [0, 1, 0]]), (144, 144), borderMode=cv2.BORDER_REFLECT
        )
        frame = cv2.resize(drift, (48, 48), interpolation=cv2.INTER_AREA) + rng.normal(0, 3, (48, 48, 3))
        Image.fromarray(np.clip(frame, 0, 255).astype(np.uint8)).save(root / "images" / f"{index:05d}.png")
        Image.fromarray((frame[..., 0] > 100).astype(np.uint8)).save(root / "masks" / f"{index:05d}.png")


def make_set(root: Path, count: int, kind: str) -> None:
    """Pictures cut, turned by any angle and tinted from a few drawn scenes: alike in kind, and no two alike."""
    cv2.setNumThreads(1)
    scenes = _scenes()
    for name in ("images", "masks"):
        (root / name).mkdir(parents=True)

    def write(index: int) -> None:
        rng = np.random.default_rng((2, index))
        image, mask = changed(rng, scenes[index % len(scenes)], scenes[int(rng.integers(len(scenes)))])
        picture, labels = Image.fromarray(image), Image.fromarray(mask)
        options: dict[str, object] = {"quality": 92} if kind == "jpeg" else {"compress_level": 3}
        picture.save(root / "images" / f"{index:05d}{KINDS[kind]}", **options)  # type: ignore[arg-type]
        labels.save(root / "masks" / f"{index:05d}.png")

    with ThreadPoolExecutor() as pool:
        list(pool.map(write, range(count)))


@cache
def _scenes() -> list[tuple[np.ndarray, np.ndarray]]:
    from maskwright.data.synthetic import GENERATORS

    return [GENERATORS["landcover"].draw(np.random.default_rng((1, index)), SIDE, SIDE) for index in range(SCENES)]


def changed(rng: np.random.Generator, *scenes: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Two scenes turned by any angle, zoomed, and laid side by side along a crooked line."""
    parts = [_turned(rng, *scene) for scene in scenes]
    line = cv2.resize(rng.standard_normal((6, 6)).astype(np.float32), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC) > 0
    image = np.where(line[..., None], parts[0][0], parts[1][0])
    return image, np.where(line, parts[0][1], parts[1][1])


def _turned(rng: np.random.Generator, image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    matrix = cv2.getRotationMatrix2D((float(rng.uniform(100, 412)), float(rng.uniform(100, 412))),
                                     float(rng.uniform(0, 360)), float(rng.uniform(0.8, 1.8)))  # fmt: skip
    turned = cv2.warpAffine(image, matrix, (SIDE, SIDE), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
    tint = np.clip(np.arange(256)[:, None] * rng.uniform(0.75, 1.2, 3) + rng.uniform(-15, 15, 3), 0, 255).astype(
        np.uint8
    )
    return cv2.LUT(turned, tint[None]), cv2.warpAffine(mask, matrix, (SIDE, SIDE), flags=cv2.INTER_NEAREST,
                                                       borderMode=cv2.BORDER_REFLECT)  # fmt: skip


def audited(root: Path) -> None:
    """One full audit, near duplicates too."""
    from maskwright.config.data import DataConfig
    from maskwright.data.checks.audit import audit

    audit(DataConfig(root=str(root)))


def decoded(root: Path) -> None:
    """Every file read and decoded whole, on as many threads as the audit has."""
    from maskwright.runs import usable_cores

    def decode(file: Path) -> None:
        with Image.open(io.BytesIO(file.read_bytes())) as picture:
            np.asarray(picture)

    with ThreadPoolExecutor(usable_cores()) as pool:
        list(pool.map(decode, sorted(root.glob("*/*.*"))))


def own_peak_mib() -> float:
    """Peak memory of this process; getrusage's figure begins with that of the process it was started from."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def _both_sides(root: Path) -> dict[str, list[float]]:
    """Seconds of both in turns, after one of each that warms up."""
    sides = {"audit": audited, "decode": decoded}
    found: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(REPEATS + 1):
        for name, work in sides.items():
            started = time.perf_counter()
            work(root)
            if turn:
                found[name].append(time.perf_counter() - started)
    return found


if __name__ == "__main__":
    if "--side" in sys.argv:  # one audit in a process of its own, for its memory
        started = time.process_time()  # of all cores; other work on the machine counts for little
        audited(Path(sys.argv[-1]))
        print(json.dumps({"own_peak_mib": own_peak_mib(), "cpu_s": time.process_time() - started}))
    else:
        sys.exit(0 if main() else 1)
