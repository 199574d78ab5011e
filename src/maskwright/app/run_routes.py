"""The routes of runs: the list, one run live, its images with their layers, comparison, training, prediction."""

from __future__ import annotations

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import FileResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool

from maskwright.app.answers import pixels_shown, png, read_body, send, thumb
from maskwright.app.models import Maps, curve
from maskwright.app.predicting import FILES
from maskwright.app.runs import Shown, Wish, image_of, inside, read_image, stamp_of
from maskwright.app.state import App, some, wish_of
from maskwright.app.training import panels_of
from maskwright.data.decoding import open_picture
from maskwright.runs import Run

_KINDS = ("truth", "prediction", "uncertainty", "probability")


def add_runs(app: FastAPI, here: App) -> None:
    @app.get("/api/meta")
    def meta() -> dict[str, Any]:
        data = str(here.data.path) if here.data else None
        return {
            "version": metadata.version("maskwright"),
            "runs_dir": str(here.runs.folder),
            "data": data,
            "datasets": here.datasets(),
        }

    @app.get("/api/runs")
    def rows() -> list[dict[str, Any]]:
        return here.trainings.rows()

    @app.get("/api/models")
    def models() -> list[dict[str, Any]]:
        return here.models.rows()

    @app.get("/api/runs/{id}")
    def page(id: str) -> dict[str, Any]:
        if id not in here.runs.found(0.0) and (row := here.trainings.unborn(id)):
            empty: dict[str, Any] = {name: [] for name in ("classes", "diagnosis", "lines", "evaluating")}
            empty |= {name: {} for name in ("history", "scores", "confusion", "splits")}
            return {**row, **empty, "best_epoch": None, "threshold": None, "config": ""}
        return {**here.runs.page(id), **here.trainings.row(id), "evaluating": here.trainings.evaluating(id)}

    @app.get("/api/runs/{id}/events")
    async def events(id: str) -> Response:
        await run_in_threadpool(here.trainings.row, id)  # a run that is not there is told before the stream begins
        stops = getattr(app.state, "stops", lambda: False)
        return StreamingResponse(
            here.trainings.events(id, lambda: here.closing or stops()), media_type="text/event-stream"
        )

    @app.get("/api/runs/{id}/panels/{name}")
    def panel(id: str, name: str) -> Response:
        found = panels_of(here.runs.open(id).root).get(name)
        if found is None:
            raise HTTPException(404, "a panel must be one that the training drew; this one is not. Reload the page.")
        return FileResponse(found, media_type="image/png", headers={"Cache-Control": "private, no-cache"})

    @app.post("/api/runs/{id}/stop")
    def stop(id: str) -> dict[str, Any]:
        here.trainings.stop(id)
        return {"stopping": True}

    @app.post("/api/runs/{id}/evaluate")
    def evaluate(id: str, body: dict[str, Any]) -> dict[str, Any]:
        here.trainings.evaluate(here.runs.open(id), id, str(body.get("split", "test")))
        return {"started": True}

    @app.post("/api/plan")
    def plan(body: dict[str, Any]) -> dict[str, Any]:
        return here.trainings.plan(wish_of(body))

    @app.post("/api/train")
    def train(body: dict[str, Any]) -> dict[str, Any]:
        return {"id": here.trainings.train(wish_of(body))}

    @app.get("/api/compare")
    def comparison(request: Request, runs: str, split: str = "test", metric: str = "iou") -> Response:
        from maskwright.app.compare import compare  # late: a seventh of the start

        ids = [id for id in runs.split(",") if id]
        key = (
            "compare",
            split,
            metric,
            *((id, stamp_of(here.runs.get(id).root / f"evaluation/{split}-counts.npz")) for id in ids),
        )
        return send(
            request, here.cache, key, lambda: json.dumps(compare(here.runs, ids, split, metric)).encode(), forever=False
        )


def add_pictures(app: FastAPI, here: App) -> None:
    @app.get("/api/runs/{id}/images")
    def images(
        id: str, request: Request, split: str = "", sort: str = "name", min_score: float | None = None,
        max_score: float | None = None, min_area: int | None = None, max_area: int | None = None,
        offset: int = 0, limit: int = 60,
    ) -> dict[str, Any]:  # fmt: skip
        wish = Wish(split, sort, request.query_params.get("class", ""), min_score, max_score, min_area, max_area)
        return some(wish.choose(here.runs.open(id)), offset, limit)

    def made_of(id: str, image: str, *more: Any) -> tuple[Run, Shown, tuple[Any, ...]]:
        """A run's image, and what stands for its content: the hashes of its files."""
        run = here.runs.open(id)
        one = image_of(run, image)
        return run, one, (id, one.entry["image_sha256"], one.entry["mask_sha256"], *more)

    def scored(run: Run, one: Shown) -> Path | None:
        """The labels that were scored, where they are."""
        path = run.root / "evaluation" / "predictions" / one.split / f"{one.entry['id']}.png"
        return path if inside(run.root, path) else None

    def maps(id: str, run: Run, one: Shown) -> Maps:
        return here.models.maps(id, read_image(run, one)[0])

    def prediction(id: str, run: Run, one: Shown) -> np.ndarray:
        path = scored(run, one)
        if path is None:
            return here.models.labels(id, read_image(run, one)[0])
        with open_picture(path, path) as picture:
            return np.asarray(picture)

    @app.get("/api/runs/{id}/images/{image}/thumb")
    def small(id: str, image: str, request: Request, large: bool = False) -> Response:
        run, one, key = made_of(id, image, "thumb", large)
        path = scored(run, one)

        def make() -> bytes:
            pixels, truth = read_image(run, one)
            first = prediction(id, run, one) if path else truth  # without one, nothing is predicted for a list
            count = len(run.data["classes"]["names"])
            return thumb(pixels, first, truth, num_classes=count, longest=768 if large else 256)

        return send(request, here.cache, (*key, path and stamp_of(path)), make, forever=False)

    @app.get("/api/runs/{id}/images/{image}/pixels")
    def pixels(id: str, image: str, request: Request, part: str = "") -> Response:
        run, one, key = made_of(id, image, "pixels")
        decoded = lambda: here.decoded.get(key, lambda: read_image(run, one)[0])[0]  # noqa: E731
        return send(request, here.cache, (*key, part), lambda: pixels_shown(decoded(), part))

    @app.get("/api/runs/{id}/images/{image}/curve")
    def counts(id: str, image: str, request: Request) -> Response:
        run, one, key = made_of(id, image, "curve")

        def make() -> bytes:
            found, truth = read_image(run, one)
            return json.dumps(curve(_foreground(here.models.maps(id, found)), truth)).encode()

        return send(request, here.cache, (*key, here.models.stamp(id)), make, forever=False)

    @app.get("/api/runs/{id}/images/{image}/{kind}")
    def layer(id: str, image: str, kind: str, request: Request) -> Response:
        if kind not in _KINDS:
            raise HTTPException(404, f"a layer must be {', '.join(_KINDS)}; got another.")
        run, one, key = made_of(id, image, kind)
        if kind == "truth":
            return send(request, here.cache, key, lambda: png(read_image(run, one)[1]))
        path = scored(run, one) if kind == "prediction" else None
        key = (*key, stamp_of(path) if path else here.models.stamp(id))

        def make() -> bytes:
            if kind == "prediction":
                return png(prediction(id, run, one))
            found = maps(id, run, one)
            return png(found.uncertainty if kind == "uncertainty" else _foreground(found))

        return send(request, here.cache, key, make, forever=False)


def add_predict(app: FastAPI, here: App) -> None:
    @app.post("/api/predict")
    async def predict(request: Request, model: str, name: str = "image", threshold: str = "") -> dict[str, Any]:
        job = await run_in_threadpool(here.jobs.new, model, threshold, name)
        with job.image.open("wb") as file:
            await read_body(request, sink=file.write)
        await run_in_threadpool(here.jobs.begin, job)
        return {"job": job.id, "name": job.name}

    @app.get("/api/predict/{job}")
    def state(job: str) -> dict[str, Any]:
        return here.jobs.get(job).to_json()

    @app.get("/api/predict/{job}/{kind}")
    def result(job: str, kind: str, request: Request, part: str = "") -> Response:
        if kind in FILES:
            path, media, name = here.jobs.file(job, kind)
            return FileResponse(path, media_type=media, filename=name)
        if kind == "pixels":
            decoded = lambda: here.decoded.get(("job", job), lambda: here.jobs.pixels(job))[0]  # noqa: E731
            return send(request, here.cache, ("job", job, kind, part), lambda: pixels_shown(decoded(), part))
        if kind in ("prediction", "uncertainty"):
            end = "-uncertainty" if kind == "uncertainty" else ""
            return send(request, here.cache, ("job", job, kind), lambda: here.jobs.map(job, end))
        raise HTTPException(404, "this address must be one of the app's; it is none. Reload the page.")


def _foreground(found: Maps) -> np.ndarray:
    if found.probability is None:
        raise HTTPException(
            409, "a probability must be the foreground's of two classes; this run has more. Look at its uncertainty."
        )
    return found.probability
