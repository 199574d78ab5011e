"""The app's routes: JSON and pictures under /api, the page under /, plotly's own file under /vendor.

app = create_app(Path("runs"), Path("my_data"))
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import threading
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field
from functools import cached_property
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse, StreamingResponse
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException as StarletteException
from starlette.staticfiles import StaticFiles

from maskwright.app.access import Guard
from maskwright.app.answers import Cache, pixels_shown, png, read_body, send, text_of, thumb
from maskwright.app.dataset import DataSet, Item, stamp_of
from maskwright.app.label import Conflict, Labels
from maskwright.app.models import Maps, Models, Unwanted, curve
from maskwright.app.predicting import FILES, Jobs
from maskwright.app.runs import Runs, Shown, Wish, image_of, inside, read_image
from maskwright.app.sure import Unsure, judges, suspected
from maskwright.app.training import Trainings, panels_of
from maskwright.data.decoding import open_picture
from maskwright.errors import MaskwrightError, install_command, is_out_of_memory
from maskwright.runs import Run

STATIC = Path(__file__).parent / "static"
_KINDS = ("truth", "prediction", "uncertainty", "probability")
_STEP = 64  # pixels: places this near to each other are told the same


@dataclass
class App:
    """What the routes share."""

    runs: Runs
    data: DataSet | None
    cache: Cache = field(default_factory=Cache)
    windows: Cache = field(default_factory=lambda: Cache(64 << 20))  # nobody who rests on a place waits for larger ones
    decoded: Cache = field(default_factory=lambda: Cache(320 << 20))  # the last images as arrays, for their parts
    closing: bool = False

    @cached_property
    def models(self) -> Models:
        return Models(self.runs)

    @cached_property
    def jobs(self) -> Jobs:
        return Jobs(self.models)

    @cached_property
    def trainings(self) -> Trainings:
        return Trainings(self.runs, self.datasets)

    @cached_property
    def labels(self) -> Labels:
        return Labels(self.dataset)

    @cached_property
    def unsure(self) -> Unsure:
        return Unsure(self.dataset, self.models)

    @property
    def dataset(self) -> DataSet:
        """The data set of --data."""
        if self.data is None:
            raise HTTPException(
                409, "this page must have a data set; the app has none. Start it anew: maskwright app --data DATA"
            )
        return self.data

    def image(self, one: Item) -> np.ndarray:
        """An image of the data set, decoded once for all that is asked of it in a row. H W C"""
        return self.decoded.get((str(one.image), stamp_of(one.image)), lambda: self.dataset.pixels(one))[0]

    def datasets(self) -> list[str]:
        """The app's own data set, and those that runs here were trained on and that are still there."""
        own = [str(self.data.path)] if self.data else []
        found = dict.fromkeys(row["data_root"] for row in self.runs.rows())
        return list(dict.fromkeys([*own, *(root for root in found if root and Path(root).exists())]))

    def close(self) -> None:
        self.closing = True
        for name in ("jobs", "models"):
            if name in self.__dict__:
                getattr(self, name).close()


def create_app(
    runs: Path, data: Path | None = None, *, token: str = "", hosts: Collection[str] = (), static: Path = STATIC
) -> FastAPI:  # fmt: skip
    """The application of a folder of runs and, where one is named, a data set."""
    here = App(Runs(runs), DataSet(data.absolute()) if data else None)

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        threading.Thread(target=here.runs.rows, name="maskwright-runs", daemon=True).start()  # a browser takes a moment
        yield
        here.close()

    app = FastAPI(
        title="maskwright", docs_url=None, redoc_url=None, openapi_url=None, lifespan=lifespan, redirect_slashes=False
    )
    app.state.here = here
    _add_runs(app, here)
    _add_pictures(app, here)
    _add_predict(app, here)
    _add_data(app, here)
    _add_label(app, here)

    @app.get("/vendor/plotly.min.js")
    def plotly() -> Response:
        spec = importlib.util.find_spec("plotly")  # found, not imported: that takes a second
        path = Path(spec.origin).parent / "package_data" / "plotly.min.js" if spec and spec.origin else None
        if path is None or not path.is_file():
            raise HTTPException(404, f"charts must have plotly; it is not installed. Run: {install_command('app')}")
        return FileResponse(path, media_type="text/javascript", headers={"Cache-Control": "private, max-age=3600"})

    @app.api_route("/api/{rest:path}", methods=["GET", "POST", "PUT", "DELETE", "PATCH"])
    def unknown(rest: str) -> Response:
        raise HTTPException(404, "this address must be one of the app's; it is none. Reload the page.")

    @app.get("/")
    def index() -> Response:
        return FileResponse(static / "index.html", headers={"Cache-Control": "no-cache"})

    app.mount("/", StaticFiles(directory=static, check_dir=False))
    for kind in (StarletteException, RequestValidationError, MaskwrightError, Conflict, Exception):
        app.add_exception_handler(kind, _told)
    app.add_middleware(Guard, hosts=hosts, token=token)
    return app


def _add_runs(app: FastAPI, here: App) -> None:
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
            empty = {
                "classes": [],
                "history": {},
                "best_epoch": None,
                "scores": {},
                "confusion": {},
                "diagnosis": [],
                "threshold": None,
            }
            return {**row, **empty, "splits": {}, "config": "", "lines": [], "evaluating": []}
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
        return here.trainings.plan(_wish(body))

    @app.post("/api/train")
    def train(body: dict[str, Any]) -> dict[str, Any]:
        return {"id": here.trainings.train(_wish(body))}

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


def _add_pictures(app: FastAPI, here: App) -> None:
    @app.get("/api/runs/{id}/images")
    def images(
        id: str, request: Request, split: str = "", sort: str = "name", min_score: float | None = None,
        max_score: float | None = None, min_area: int | None = None, max_area: int | None = None,
        offset: int = 0, limit: int = 60,
    ) -> dict[str, Any]:  # fmt: skip
        wish = Wish(split, sort, request.query_params.get("class", ""), min_score, max_score, min_area, max_area)
        return _some(wish.choose(here.runs.open(id)), offset, limit)

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


def _add_predict(app: FastAPI, here: App) -> None:
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


def _add_data(app: FastAPI, here: App) -> None:
    @app.get("/api/data")
    def about() -> dict[str, Any]:
        return {**here.dataset.to_json(), "judges": judges(here.dataset, here.runs)}

    @app.get("/api/data/suspects")
    def suspects(model: str) -> dict[str, Any]:
        return suspected(here.dataset, here.models, model)

    @app.post("/api/data/check")
    def check() -> dict[str, Any]:
        here.dataset.check(anew=True)
        return here.dataset.to_json()

    @app.get("/api/data/images")
    def images(finding: str = "", masked: bool | None = None, offset: int = 0, limit: int = 60) -> dict[str, Any]:
        data = here.dataset
        wanted = set(data.finding(finding)) if finding else None
        found = [one for one in data.items() if masked is None or (one.record is not None) == masked]
        found = [one for one in found if wanted is None or one.id in wanted]
        page = _some(found, offset, limit)
        return page | {"items": [_item(data, one) for one in page["items"]]}

    @app.get("/api/data/images/{image}/{kind}")
    def picture(image: str, kind: str, request: Request, part: str = "") -> Response:
        data, one = here.dataset, here.dataset.item(image)
        mask = stamp_of(one.record.mask) if one.record else None
        makers = {"thumb": lambda: _data_thumb(data, one), "pixels": lambda: pixels_shown(here.image(one), part),
                  "truth": lambda: png(data.labels(one))}  # fmt: skip
        if kind not in makers:
            raise HTTPException(404, "a picture must be thumb, pixels or truth; got another.")
        key = ("data", str(one.image), stamp_of(one.image), kind, (mask, data.is_checked) if kind != "pixels" else part)
        return send(request, here.cache, key, makers[kind], forever=False)

    @app.post("/api/data/repair")
    def repair(body: dict[str, Any]) -> dict[str, Any]:
        accept = body.get("accept")
        if not isinstance(accept, list):
            raise HTTPException(422, "`accept` must be a list of findings; got something else. Reload the page.")
        return here.dataset.repair([str(one) for one in accept], str(body.get("out", "")), here.runs.folder.parent)


def _add_label(app: FastAPI, here: App) -> None:
    @app.get("/api/label/next")
    def following(after: str | None = None, model: str | None = None) -> dict[str, Any]:
        return here.unsure.next(after or None, model or None)

    @app.get("/api/label/images/{image}")
    def about(image: str) -> dict[str, Any]:
        return here.labels.about(image)

    @app.get("/api/label/images/{image}/mask")
    def mask(image: str) -> Response:
        data, version = here.labels.mask(image)
        return Response(
            data, media_type="image/png", headers={"ETag": f'"{version}"', "Cache-Control": "private, no-cache"}
        )

    @app.get("/api/label/images/{image}/suggestion")
    async def suggestion(
        image: str, model: str, request: Request, x: int | None = None, y: int | None = None
    ) -> Response:
        """A model's labels of an image; about a place, those of what the network sees at once, which X-Place says."""
        loop = asyncio.get_running_loop()

        def wanted() -> bool:
            return not asyncio.run_coroutine_threadsafe(request.is_disconnected(), loop).result()

        def answer() -> Response:
            one = here.dataset.item(image)
            key = ("suggestion", str(one.image), stamp_of(one.image), here.models.stamp(model))
            if x is None or y is None:
                return send(request, here.cache, key, lambda: _suggested(here, one, model), forever=False)
            place = (x // _STEP * _STEP + _STEP // 2, y // _STEP * _STEP + _STEP // 2)
            make = lambda: _suggested_about(here, one, model, place, wanted)  # noqa: E731
            return send(request, here.windows, (*key, place), make, forever=False)

        try:
            return await run_in_threadpool(answer)
        except Unwanted:
            return Response(status_code=204)

    @app.put("/api/label/images/{image}/mask")
    async def save(image: str, request: Request) -> Response:
        version = request.headers.get("if-match", "").strip('"')
        if not version:
            raise HTTPException(
                428, "a mask must be saved on the version it was drawn on (If-Match); none was named. Reload the page."
            )
        who = (
            request.headers.get("x-who", "").encode("latin-1", "replace").decode("utf-8", "replace").strip()
            or "somebody"
        )
        body = await read_body(request)
        return JSONResponse({"version": await run_in_threadpool(here.labels.save, image, body, version, who)})

    @app.get("/api/label/drafts/{draft}")
    def draft(draft: str) -> Response:
        return Response(here.labels.draft(draft), media_type="image/png")

    @app.post("/api/label/classes")
    def classes(body: dict[str, Any]) -> dict[str, Any]:
        names = body.get("names")
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise HTTPException(422, "`names` must be a list of names; got something else. Name them so.")
        here.labels.name_classes(names)
        return here.dataset.to_json()

    @app.post("/api/label/train")
    def train(body: dict[str, Any]) -> dict[str, Any]:
        data, more = here.labels.to_train()
        wish = _wish(body) | {"data": data, "more": more}
        return {"id": Trainings.train(_on(here, data), wish)}


def _on(here: App, data: str) -> Trainings:
    """The trainings, to which this one path is known as well."""
    known = here.trainings
    known.datasets = lambda: [*here.datasets(), data]
    return known


def _suggested(here: App, one: Item, model: str) -> bytes:
    """A model's labels of an image, as this data set numbers its classes."""
    numbers = _numbers_of(here, model)
    return png(numbers[here.models.labels(model, here.image(one))])


def _suggested_about(
    here: App, one: Item, model: str, place: tuple[int, int], wanted: Callable[[], bool]
) -> tuple[bytes, dict[str, str]]:
    numbers = _numbers_of(here, model)
    labels, (left, top) = here.models.labels_about(model, here.image(one), *place, wanted)
    return png(numbers[labels]), {"X-Place": f"{left},{top}"}


def _numbers_of(here: App, model: str) -> np.ndarray:
    """The data set's class number for each of a model's."""
    classes = here.dataset.classes()
    names = next((row["classes"] for row in here.models.rows() if row["id"] == model), [])
    if len(names) != len(classes.names):
        told = f"the model knows {', '.join(names) or 'none'}; here are {', '.join(classes.names)}"
        raise HTTPException(
            422, f"a model must have the data set's classes to suggest masks; {told}. Choose another model."
        )
    table = np.arange(256, dtype=np.uint8)
    if set(names) == set(classes.names):
        table[: len(names)] = [classes.names.index(name) for name in names]
    return table


def _data_thumb(data: DataSet, one: Item) -> bytes:
    with contextlib.suppress(MaskwrightError, HTTPException):
        if one.record is not None and data.is_checked:  # before that nobody knows what its values mean
            return thumb(data.pixels(one), data.labels(one), num_classes=data.classes().num_classes)
    return thumb(data.pixels(one))


def _item(data: DataSet, one: Item) -> dict[str, Any]:
    height, width = data.size(one)
    split = one.record.split if one.record else None
    return {
        "id": one.id,
        "name": text_of(one.name),
        "width": width,
        "height": height,
        "masked": one.record is not None,
        "split": split,
    }


def _foreground(found: Maps) -> np.ndarray:
    if found.probability is None:
        raise HTTPException(
            409, "a probability must be the foreground's of two classes; this run has more. Look at its uncertainty."
        )
    return found.probability


def _some(items: list[Any], offset: int, limit: int) -> dict[str, Any]:
    start = max(0, offset)
    return {"total": len(items), "items": items[start : start + min(max(0, limit), 500)]}


def _wish(body: dict[str, Any]) -> dict[str, Any]:
    return {key: body.get(key) for key in ("data", "budget", "model", "name", "weights")}


async def _told(request: Request, error: Exception) -> JSONResponse:
    """Every refusal is a sentence under `error`."""
    if isinstance(error, Conflict):
        told = "the mask must be drawn on its newest version; somebody saved another. What you drew is kept as a draft."
        return JSONResponse({"error": told, "version": error.version, "draft": error.draft}, 409)
    if isinstance(error, StarletteException):
        return JSONResponse({"error": str(error.detail)}, error.status_code, error.headers)
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        return JSONResponse(
            {"error": f"`{first['loc'][-1]}` must be as the app asks for it; {first['msg']}. Reload the page."}, 422
        )
    if isinstance(error, MaskwrightError):
        return JSONResponse({"error": text_of(error)}, 422)
    if is_out_of_memory(error):
        return JSONResponse({"error": "there must be enough memory for this; it ran out. Use smaller images."}, 503)
    return JSONResponse({"error": f"this is a fault of maskwright: {type(error).__name__}. Please report it."}, 500)
