"""A web server on this machine that misbehaves on request, and archives in the layout of Oxford-IIIT Pet for it to
serve.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import tarfile
import threading
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
from PIL import Image

from maskwright.data.download import DOWNLOADS, Archive, Source


@dataclass(frozen=True)
class Answer:
    """How to answer one request; as it is, like a proper server."""

    cut: int | None = None  # break off after so many bytes of the body
    stall: int | None = None  # say nothing more after so many bytes
    status: int | None = None  # this status and a page instead of the file
    location: str | None = None  # with a status of 3xx
    body: bytes | None = None  # this file instead
    parts: bool = True  # honours Range
    tag: str | None = '"1"'
    modified: str | None = "Tue, 01 Jan 2013 00:00:00 GMT"
    length: bool = True  # tells Content-Length, otherwise the end of the connection is the end
    kind: str = "application/x-gzip"


@dataclass
class Web:
    """What is served, how, and what was asked for."""

    base: str
    files: dict[str, bytes]
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: int = 0  # bytes of bodies
    otherwise: Answer = field(default_factory=Answer)
    queue: deque[Answer] = field(default_factory=deque)
    done: threading.Event = field(default_factory=threading.Event)

    def then(self, *answers: Answer) -> None:
        """How the next requests are answered; those after them as `otherwise` says."""
        self.queue.extend(answers)

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


@contextlib.contextmanager
def serving(files: Mapping[str, bytes]) -> Iterator[Web]:
    """Serve `files` at http://127.0.0.1:PORT/pets/NAME."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            web.asked.append((self.path, dict(self.headers)))
            _answer(self, web, web.queue.popleft() if web.queue else web.otherwise)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: object, client_address: object) -> None:
            pass  # the client went away, as it should

    with Server(("127.0.0.1", 0), Handler) as server:
        web = Web(f"http://127.0.0.1:{server.server_address[1]}/pets", dict(files))
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield web
        finally:
            web.done.set()
            server.shutdown()
            thread.join()


def _answer(handler: BaseHTTPRequestHandler, web: Web, how: Answer) -> None:
    body = how.body if how.body is not None else web.files.get(handler.path.rpartition("/")[2])
    if how.status or body is None:
        handler.send_response(how.status or 404)
        if how.location:
            handler.send_header("Location", how.location)
        handler.send_header("Content-Length", "4")
        handler.end_headers()
        handler.wfile.write(b"page")
        return
    start = _start(handler, body, how)
    if start is not None and start >= len(body):
        handler.send_response(416)
        handler.send_header("Content-Range", f"bytes */{len(body)}")
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    handler.send_response(200 if start is None else 206)
    handler.send_header("Content-Type", how.kind)
    for name, value in (("ETag", how.tag), ("Last-Modified", how.modified)):
        if value:
            handler.send_header(name, value)
    if start is not None:
        handler.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
    rest = body[start or 0 :]
    if how.length:
        handler.send_header("Content-Length", str(len(rest)))
    handler.end_headers()
    end = len(rest) if how.cut is None and how.stall is None else how.cut if how.cut is not None else how.stall
    web.sent += len(rest[:end])  # before they are sent: who has got them may look at once
    handler.wfile.write(rest[:end])
    handler.wfile.flush()
    if how.stall is not None:
        web.done.wait(5)


def _start(handler: BaseHTTPRequestHandler, body: bytes, how: Answer) -> int | None:
    asked = re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", ""))
    if not asked or not how.parts:
        return None
    return int(asked[1])


# ------------------------------------------------------------------ the data set

NAMES = ("Abyssinian_1", "Abyssinian_2", "american_bulldog_1", "american_bulldog_2", "Bengal_7", "pug_3")


def pets_files() -> dict[str, bytes]:
    """Six pets in the original layout: pictures, trimaps of 1, 2 and 3, lists, and what else the archives hold."""
    files: dict[str, bytes] = {}
    lists: dict[str, list[str]] = {"trainval": [], "test": []}
    breeds = sorted({name.rpartition("_")[0] for name in NAMES})
    for number, name in enumerate(NAMES):
        rng = np.random.default_rng(number)
        trimap = np.full((12, 16), 2, np.uint8)
        trimap[2:9, 3:12] = 3
        trimap[3:8, 4:11] = 1
        files[f"images/{name}.jpg"] = _encoded(rng.integers(0, 255, (12, 16, 3), np.uint8), "JPEG")
        files[f"annotations/trimaps/{name}.png"] = _encoded(trimap, "PNG")
        files[f"annotations/trimaps/._{name}.png"] = b"\x00\x05\x16\x07macOS"
        breed, species = breeds.index(name.rpartition("_")[0]) + 1, 1 if name[0].isupper() else 2
        lists["test" if name.endswith("_2") else "trainval"].append(f"{name} {breed} {species} {breed}")
    files["images/Abyssinian_1.mat"] = b"MATLAB 5.0"
    files["annotations/._trimaps"] = b"\x00\x05\x16\x07macOS"
    files["annotations/README"] = b"Oxford pets, in small\n"
    for split, lines in lists.items():
        files[f"annotations/{split}.txt"] = "".join(f"{line}\n" for line in lines).encode()
    head = "#Image CLASS-ID SPECIES BREED ID\n"
    files["annotations/list.txt"] = (
        head + "".join(f"{line}\n" for line in sorted([*lists["trainval"], *lists["test"]]))
    ).encode()
    return files


def _encoded(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


def archived(files: Mapping[str, bytes], *others: tuple[tarfile.TarInfo, bytes]) -> bytes:
    """A .tar.gz of these files with their folders, and of any other members."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for folder in sorted({parent for path in files for parent in _parents(path)}):
            info = tarfile.TarInfo(folder)
            info.type, info.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(info)
        for path, data in files.items():
            tar.addfile(_info(path, len(data)), io.BytesIO(data))
        for info, data in others:
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def _info(path: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(path)
    info.size, info.mode, info.uid = size, 0o644, 501
    return info


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[:end]) for end in range(1, len(parts) + 1)]


def pets_archives() -> dict[str, bytes]:
    """images.tar.gz and annotations.tar.gz."""
    files = pets_files()
    return {
        f"{folder}.tar.gz": archived({path: data for path, data in files.items() if path.startswith(f"{folder}/")})
        for folder in ("images", "annotations")
    }


def source_of(archives: Mapping[str, bytes], *bases: str) -> Source:
    """Oxford-IIIT Pet as DOWNLOADS has it, but with these archives and addresses."""
    small = tuple(
        Archive(name, name.partition(".")[0], len(data), hashlib.sha256(data).hexdigest())
        for name, data in archives.items()
    )
    return replace(DOWNLOADS["oxford-pet"], archives=small, bases=bases)
