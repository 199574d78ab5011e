"""The routes of the data set: its audit and repair, its images, and the masks that are drawn on them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import numpy as np
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from maskwright.app.answers import pixels_shown, png, read_body, send, text_of, thumb
from maskwright.app.dataset import DataSet, Item
from maskwright.app.models import Unwanted
from maskwright.app.runs import stamp_of
from maskwright.app.state import App, some, wish_of
from maskwright.app.sure import judges, suspected
from maskwright.errors import MaskwrightError

_STEP = 64  # pixels: places this near to each other are told the same


def add_data(app: FastAPI, here: App) -> None:
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
        page = some(found, offset, limit)
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


def add_label(app: FastAPI, here: App) -> None:
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
        return {"id": here.trainings.train(wish_of(body), *here.labels.to_train())}


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
