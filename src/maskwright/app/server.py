"""The app: its routes' JSON and pictures under /api, the page under /, plotly's own file under /vendor.

app = create_app(Path("runs"), Path("my_data"))
"""

from __future__ import annotations

import contextlib
import importlib.util
import threading
from collections.abc import AsyncIterator, Collection
from pathlib import Path

from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, JSONResponse
from starlette.exceptions import HTTPException as StarletteException
from starlette.staticfiles import StaticFiles

from maskwright.app.access import Guard
from maskwright.app.answers import text_of
from maskwright.app.data_routes import add_data, add_label
from maskwright.app.dataset import DataSet
from maskwright.app.label import Conflict
from maskwright.app.run_routes import add_pictures, add_predict, add_runs
from maskwright.app.runs import Runs
from maskwright.app.state import App
from maskwright.errors import MaskwrightError, install_command, is_out_of_memory

STATIC = Path(__file__).parent / "static"


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
    add_runs(app, here)
    add_pictures(app, here)
    add_predict(app, here)
    add_data(app, here)
    add_label(app, here)

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
