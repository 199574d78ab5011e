"""Images dropped on the page: kept on disk, predicted one after another, written as `maskwright predict` writes."""

from __future__ import annotations

import secrets
import shutil
import tempfile
import threading
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import HTTPException

from maskwright.app.answers import MOST_PIXELS, png, refuse_pixels, text_of
from maskwright.app.models import Models
from maskwright.app.runs import classes_of
from maskwright.data.dataset import IGNORE, RGB, Bands
from maskwright.data.decoding import open_picture, read_bytes
from maskwright.data.images import TIFF_STARTS, tiff_head
from maskwright.data.layout import SUFFIXES
from maskwright.errors import MaskwrightError, is_out_of_memory
from maskwright.prediction.network import Network
from maskwright.prediction.outputs import Wanted
from maskwright.prediction.prediction import read_pixels
from maskwright.prediction.writers import predict_files

_JOBS = 200  # the newest that are kept
FILES = {"label.png": ("image.png", "image/png"), "overlay.jpg": ("image-overlay.jpg", "image/jpeg"),
         "contours.geojson": ("image-contours.geojson", "application/geo+json")}  # fmt: skip


@dataclass
class Job:
    """An image, how far it is, and what came of it."""

    id: str
    name: str
    model: str
    threshold: str | None
    folder: Path
    image: Path
    state: str = "waiting"
    progress: float = 0.0
    error: str | None = None
    seen: tuple[Bands, bool] = (RGB, False)  # how the network sees images
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def out(self) -> Path:
        return self.folder / "out"

    def to_json(self) -> dict[str, Any]:
        """What the page is told."""
        facts: dict[str, Any] = {"classes": [], "width": None, "height": None, "shares": {}}
        return {"job": self.id, "name": self.name, "model": self.model, "state": self.state,
                "progress": round(self.progress, 3), "error": self.error, **facts, **self.facts}  # fmt: skip


class Jobs:
    """The images, in a folder that goes when the app ends."""

    def __init__(self, models: Models) -> None:
        self.models = models
        self.folder = Path(tempfile.mkdtemp(prefix="maskwright-app-"))
        self._jobs: OrderedDict[str, Job] = OrderedDict()
        self._lock = threading.Lock()

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def new(self, model: str, threshold: str | None, name: str) -> Job:
        """A place for an image that is about to come."""
        self.models.runs.get(model, "")
        id = secrets.token_urlsafe(9)
        suffix = Path(name).suffix.lower()
        folder = self.folder / id
        folder.mkdir()
        image = folder / f"image{suffix if suffix in SUFFIXES else '.png'}"  # the name itself is told, and never a path
        return Job(
            id, text_of(Path(name.replace("\\", "/")).name)[:255] or "image", model, threshold or None, folder, image
        )

    def begin(self, job: Job) -> None:
        """Predict an image whose bytes are there, when its turn comes."""
        try:
            head = tiff_head(job.image) if read_bytes(job.image, 4) in TIFF_STARTS else None
            if head and head.height * head.width > MOST_PIXELS:
                raise HTTPException(413, f"a picture must have at most {MOST_PIXELS:,} pixels. Use maskwright predict.")
            if head is None:
                refuse_pixels(job.image)
        except (MaskwrightError, HTTPException) as error:
            shutil.rmtree(job.folder, ignore_errors=True)
            if isinstance(error, HTTPException):
                raise
            raise HTTPException(
                422, str(error).replace(str(job.image), job.name).replace("the picture", job.name)
            ) from None
        with self._lock:
            self._jobs[job.id] = job
            old = [one for one in self._jobs.values() if one.state in ("done", "failed")][
                : max(0, len(self._jobs) - _JOBS)
            ]
            for one in old:
                del self._jobs[one.id]
                shutil.rmtree(one.folder, ignore_errors=True)
        self.models.submit(lambda: self._predict(job))

    def get(self, id: str) -> Job:
        job = self._jobs.get(id)
        if job is None:
            raise HTTPException(
                404, f"an image must be one of the last {_JOBS} that were predicted; this one is not. Drop it again."
            )
        return job

    def file(self, id: str, kind: str) -> tuple[Path, str, str]:
        """A file of an image that is done: where it is, its kind, and the name it is downloaded under."""
        job, (name, media) = self._done(id), FILES[kind]
        return job.out / name, media, name.replace("image", Path(job.name).stem, 1)

    def pixels(self, id: str) -> np.ndarray:
        """The image as the network saw it. H W C"""
        job = self._done(id)
        return read_pixels(job.image, *job.seen)[0]

    def map(self, id: str, kind: str) -> bytes:
        """Classes or uncertainty as grey PNG."""
        job = self._done(id)
        found = next((path for end in (".png", ".tif") if (path := job.out / f"image{kind}{end}").is_file()), None)
        if found is None:
            raise HTTPException(404, "this was not written for the image. Drop it again.")
        with open_picture(found, found, "map") as picture:
            return png(np.asarray(picture))

    def _done(self, id: str) -> Job:
        job = self.get(id)
        if job.state != "done":
            raise HTTPException(
                409, f"an image must be predicted first; this one is {job.state}. Wait until it is done."
            )
        return job

    def _predict(self, job: Job) -> None:
        try:
            job.state = "running"
            network = self.models.network(job.model)
            job.seen = network.bands, network.any_depth
            wanted = Wanted(("labels", "overlay", "contours"), network.threshold_for(job.threshold), uncertainty=True)
            written = predict_files(_watched(network, job), [job.image], job.out, wanted=wanted)
            if written.problems:
                raise MaskwrightError(written.problems[0])
            job.facts = _facts(job, network)
            job.state, job.progress = "done", 1.0
        except Exception as error:  # noqa: BLE001 - whoever waits for it is told
            told = (
                str(error)
                if isinstance(error, MaskwrightError)
                else f"it could not be predicted: {type(error).__name__}: {error}"
            )
            told = (
                "there must be enough memory for this image; it ran out. Use a smaller one."
                if is_out_of_memory(error)
                else told
            )
            job.error, job.state = told.replace(str(job.image), job.name), "failed"


def _watched(network: Network, job: Job) -> Network:
    """The same network, which tells how many tiles it has seen."""
    seen = 0

    def forward(images: np.ndarray) -> np.ndarray:
        nonlocal seen
        found = network.forward(images)
        seen += len(images)
        job.progress = min(0.99, seen / max(seen, total))
        return found

    total = 1
    pixels = tiff_head(job.image) if read_bytes(job.image, 4) in TIFF_STARTS else None
    height, width = (pixels.height, pixels.width) if pixels else refuse_pixels(job.image)
    if network.view.tiled(height, width):
        inner = network.view.inner_size(height, width)
        total = len(network.view.tiling.starts(inner[0])) * len(network.view.tiling.starts(inner[1]))
    return replace(network, forward=forward)


def _facts(job: Job, network: Network) -> dict[str, Any]:
    names = network.classes.names
    path = next(path for end in (".png", ".tif") if (path := job.out / f"image{end}").is_file())
    with open_picture(path, path, "map") as picture:
        labels = np.asarray(picture)
    found = np.bincount(labels.ravel(), minlength=256)[: len(names)]
    whole = max(1, int(found.sum()))
    return {"classes": classes_of(names), "width": labels.shape[1], "height": labels.shape[0],
            "ignored": int((labels == IGNORE).sum()),
            "shares": {name: int(number) / whole for name, number in zip(names, found, strict=True)}}  # fmt: skip
