"""Label Studio's ML backend protocol, its run lengths read back by its own converter."""

from __future__ import annotations

import base64
import contextlib
import http.server
import io
import json
import sys
import threading
import time

import numpy as np
import pytest
from served import network, png, serving, sun

from maskwright.serving.label_studio import LabelStudio, encode_rle
from maskwright.serving.server import Settings
from maskwright.serving.service import Limits
from support import noise

with contextlib.redirect_stdout(io.StringIO()):  # it prints what of its other converters is not installed
    brush = pytest.importorskip("label_studio_sdk.converter.brush")

SCHEMA = """<View><Image name="picture" value="$photo"/>
<BrushLabels name="tag" toName="picture"><Label value="Sun" background="red"/><Label value="moon"/></BrushLabels>
</View>"""
KEY = "a" * 40
JWT = "head.body.signature"


@pytest.mark.parametrize("size", [(1, 1), (3, 5), (24, 32), (200, 300)])
@pytest.mark.parametrize("kind", ["noise", "none", "all", "half"])
def test_run_lengths_are_read_back_by_its_converter(size, kind):
    inside = {"noise": noise(*size)[..., 0] > 100, "none": np.zeros(size, bool), "all": np.ones(size, bool),
              "half": np.arange(size[0])[:, None] + np.zeros(size) >= size[0] / 2}[kind]  # fmt: skip
    decoded = brush.decode_rle(encode_rle(inside)).reshape(*size, 4)
    assert (decoded == 255 * inside[..., None]).all()


class _Studio(http.server.BaseHTTPRequestHandler):
    """What a backend asks of Label Studio: files, and an access token for a personal one."""

    fresh = json.dumps({"access": "fresh"}).encode()

    def log_message(self, *_: object) -> None: ...

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        known = self.path == "/api/token/refresh/" and asked == {"refresh": JWT}
        self._answer(200 if known else 404, self.fresh)

    def do_GET(self) -> None:
        if self.path == "/data/slow.png":
            time.sleep(1.5)
            with contextlib.suppress(OSError):  # nobody waits for it
                self._answer(200, png(sun()))
        elif self.path == "/data/away.png":
            self._answer(302, b"", Location="http://192.0.2.1/")
        elif self.headers["Authorization"] not in (f"Token {KEY}", "Bearer fresh"):
            self._answer(401, b"")
        elif self.path == "/data/upload/sun.png":
            self._answer(200, png(sun()))
        else:
            self._answer(404, b"")


@pytest.fixture(scope="module")
def studio():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Studio) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def client(studio):
    with serving(network(), Settings(Limits(seconds=20), label_studio=LabelStudio(studio, KEY))) as opened:
        yield opened


def ask(client, photo: object, schema: str = SCHEMA):
    return client.post(
        "/label-studio/predict", json={"tasks": [{"id": 3, "data": {"photo": photo}}], "label_config": schema}
    )


INLINE = "data:image/png;base64," + base64.b64encode(png(sun())).decode()


@pytest.mark.parametrize("where", ["inline", "relative", "absolute"])
def test_predictions_are_what_its_converter_reads(client, studio, where):
    photo = {"inline": INLINE, "relative": "/data/upload/sun.png", "absolute": f"{studio}/data/upload/sun.png"}[where]
    (prediction,) = ask(client, photo).json()["results"]
    assert prediction["model_version"] == "tiny"
    (result,) = prediction["result"]
    assert (result["from_name"], result["to_name"], result["type"]) == ("tag", "picture", "brushlabels")
    # as an annotation is exported: the value's keys beside the sizes
    exported = {**result, **result["value"]}
    layers = brush.decode_from_annotation("tag", [exported])
    assert list(layers) == ["tag-Sun-0"]  # the label as the configuration writes it
    expected = np.zeros((24, 32), np.uint8)
    expected[5:12, 8:20] = 255
    assert (layers["tag-Sun-0"] == expected).all()


def test_a_personal_access_token_is_exchanged(studio):
    with serving(network(), Settings(label_studio=LabelStudio(studio, JWT))) as client:
        assert ask(client, "/data/upload/sun.png").json()["results"][0]["result"]


def test_health_setup_and_versions(client):
    assert client.get("/label-studio/health").json()["status"] == "UP"
    asked = {"project": "1.17", "schema": SCHEMA, "hostname": "", "access_token": "", "extra_params": None}
    assert client.post("/label-studio/setup", json=asked).json() == {"model_version": "tiny"}
    assert client.get("/label-studio/versions").json() == {"versions": ["tiny"]}


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ("<View", "must be XML"),
        ("<View/>", "must have BrushLabels"),
        (SCHEMA.replace("Sun", "cat"), "must have BrushLabels with the model's classes"),
        (SCHEMA.replace('toName="picture"', 'toName="another"'), "must have BrushLabels"),
        ('<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><View>&a;</View>', "must be XML"),
    ],
)
def test_a_configuration_without_fitting_labels_is_told(client, schema, words):
    for answer in (ask(client, INLINE, schema), client.post("/label-studio/setup", json={"schema": schema})):
        assert answer.status_code == 422 and words in answer.json()["error"]
        assert "root:" not in answer.text


@pytest.mark.parametrize(
    ("photo", "words"),
    [
        ("http://192.0.2.1/x.png", "must lie in the Label Studio"),
        ("//192.0.2.1/x.png", "must lie in the Label Studio"),
        ("file:///etc/passwd", "must lie in the Label Studio"),
        ("s3://bucket/x.png", "must lie in the Label Studio"),
        ("/data/away.png", "302"),
        ("/data/missing.png", "404"),
        ("data:image/png;base64,####", "Base64"),
        (None, "must have the address of its image"),
        ("/data/with a space", ""),
    ],
)
def test_images_come_from_the_label_studio_alone(client, photo, words):
    answer = ask(client, photo)
    assert answer.status_code == 422 and words in answer.json()["error"], answer.text


def test_a_wrong_key_is_told(studio):
    with serving(network(), Settings(label_studio=LabelStudio(studio, "b" * 40))) as client:
        answer = ask(client, "/data/upload/sun.png")
        assert answer.status_code == 422 and "LABEL_STUDIO_API_KEY" in answer.json()["error"]


@pytest.mark.parametrize("asked", [{}, {"tasks": 1}, {"tasks": [1]}])
def test_what_is_no_list_of_tasks_is_told(client, asked):
    assert client.post("/label-studio/predict", json=asked).status_code == 422


def test_an_image_that_does_not_come_in_time_is_504(studio):
    """Not 422, which says that the task is wrong: Label Studio may ask again."""
    with serving(network(), Settings(Limits(seconds=0.4), label_studio=LabelStudio(studio, KEY))) as client:
        answer = ask(client, "/data/slow.png")
        assert answer.status_code == 504 and "within 0.4 seconds" in answer.json()["error"]


@pytest.mark.parametrize("said", [b"{}", b"[]", b"null", b"no JSON", b'{"access": 3}'])
def test_a_label_studio_that_gives_no_token_is_told(studio, said, monkeypatch):
    monkeypatch.setattr(_Studio, "fresh", said)
    with serving(network(), Settings(label_studio=LabelStudio(studio, JWT))) as client:
        answer = ask(client, "/data/upload/sun.png")
        assert answer.status_code == 422 and "LABEL_STUDIO_API_KEY" in answer.json()["error"]


def test_the_background_is_no_brush(client):
    """Of two classes the foreground alone is drawn, as everywhere else."""
    both = SCHEMA.replace('<Label value="moon"/>', '<Label value="sky"/>')
    (prediction,) = ask(client, INLINE, both).json()["results"]
    assert [result["value"]["brushlabels"] for result in prediction["result"]] == [["Sun"]]
    alone = ask(client, INLINE, SCHEMA.replace("Sun", "sky"))
    assert alone.status_code == 422 and "must have BrushLabels" in alone.json()["error"]


@pytest.mark.parametrize("parse", ["json.loads", "xml.etree.ElementTree.fromstring"])
def test_requests_are_parsed_beside_the_event_loop(client, parse, monkeypatch):
    """A body may have 32 MiB: what parses it would keep every other request waiting."""
    module, _, name = parse.rpartition(".")
    real, threads = getattr(sys.modules[module], name), set()

    def watched(*words, **options):
        threads.add(threading.current_thread().name)
        return real(*words, **options)

    monkeypatch.setattr(sys.modules[module], name, watched)
    sent = json.dumps({"tasks": [{"id": 3, "data": {"photo": INLINE}}], "label_config": SCHEMA, "schema": SCHEMA})
    for route in ("predict", "setup"):
        assert client.post(f"/label-studio/{route}", content=sent).status_code == 200
    assert threads and all(name.startswith("maskwright-requests") for name in threads), threads
