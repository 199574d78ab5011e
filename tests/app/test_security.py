"""What the app must not do: read or write elsewhere, answer other sites, take too much, take a name for more."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
from app_pages import client_of, png, served, wait_for
from PIL import Image

from maskwright.app.answers import MOST_BYTES
from support import TINY, data, environment, maskwright, noise, picture

SECRET = "the secret that stands outside"
TOKEN = "a-token-of-sixteen-and-more"
ESCAPES = [
    "..", "../..", "%2e%2e", "%2e%2e%2f%2e%2e", "..%2f..", "..%252f..", "....//", "/etc", "%2fetc%2fpasswd",
    "..\\..", "..%5c..", "%00", "first%00", "first/..", "~", ".", "first~..", "..~first",
    "%c0%ae%c0%ae", "file:///etc", "%e2%80%a5",
]  # fmt: skip


@pytest.fixture(scope="module")
def place(runs, tmp_path_factory):
    """A folder with runs and data, a secret beside them, and links that lead to it."""
    root = tmp_path_factory.mktemp("place")
    (root / "secret.txt").write_text(SECRET)
    picture(root / "secret.png", noise(8, 8))
    shutil.copytree(runs, root / "runs")
    shutil.copytree(data(), root / "data")
    (root / "runs/way-out").symlink_to(root)
    shutil.copytree(runs / "first", root / "runs/with-links")
    panels = root / "runs/with-links/panels"
    panels.mkdir(exist_ok=True)
    (panels / "stolen.png").symlink_to(root / "secret.png")
    return root


@pytest.fixture(scope="module")
def server(place):
    with served(place / "runs", place / "data") as client:
        yield client


@pytest.mark.parametrize("escape", ESCAPES)
def test_no_address_leads_out(server, escape):
    paths = [
        f"/{escape}", f"/{escape}/secret.txt", f"/static/{escape}/secret.txt", f"/vendor/{escape}", f"/api/{escape}",
        f"/api/runs/{escape}", f"/api/runs/{escape}/events", f"/api/runs/{escape}/images",
        f"/api/runs/first/panels/{escape}", f"/api/runs/first/images/{escape}/pixels",
        f"/api/runs/first/images/0/{escape}", f"/api/data/images/{escape}/pixels", f"/api/data/images/0/{escape}",
        f"/api/label/images/{escape}", f"/api/label/drafts/{escape}", f"/api/predict/{escape}",
        f"/api/predict/{escape}/label.png", f"/api/compare?runs={escape},first",
        f"/api/label/next?after={escape}&model={escape}", f"/api/data/images?finding={escape}",
    ]  # fmt: skip
    for path in paths:
        # as it stands: a client that tidies addresses up would hide what is tried
        connection = http.client.HTTPConnection(server.base_url.host, server.base_url.port, timeout=60)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode("utf-8", "replace")
        connection.close()
        assert SECRET not in text and "root:x:" not in text, path
        assert answer.status in (400, 404, 405, 409, 422), (path, text)


def test_links_that_lead_out_are_not_followed(server, place):
    assert {row["id"] for row in server.get("/api/runs").json()} == {"first", "with-links"}
    assert server.get("/api/runs/with-links/panels/stolen").status_code in (404, 422)
    assert server.get("/api/runs/way-out~runs~first").status_code == 404


def test_a_run_whose_files_name_others_gives_nothing_away(place, tmp_path):
    """data.json of a stranger may name any file of this machine."""
    shutil.copytree(place / "runs/first", tmp_path / "evil")
    text = (tmp_path / "evil/data.json").read_text()
    first = Path(place / "runs/first/data.json")
    assert first.read_text() == text
    document = json.loads(text)
    entry = document["splits"]["test"][0]
    document["root"], entry["image"] = str(place), "secret.png"
    (tmp_path / "evil/data.json").write_text(json.dumps(document))
    entry["id"] = "../../../../secret"
    shutil.copytree(tmp_path / "evil", tmp_path / "worse")
    (tmp_path / "worse/data.json").write_text(json.dumps(document))
    with client_of(tmp_path) as client:
        number = sum(len(entries) for split, entries in document["splits"].items() if split != "test")
        for run in ("evil", "worse"):
            for kind in ("pixels", "prediction", "truth", "thumb", "probability"):
                answer = client.get(f"/api/runs/{run}/images/{number}/{kind}")
                assert answer.status_code == 422 or (run, kind) == ("evil", "prediction"), (run, kind)


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:80", "127.0.0.1.evil.example", "", "localhost.evil.example"]
)
def test_a_foreign_host_is_refused(page, host):
    assert page.get("/api/meta", headers={"Host": host}).status_code == 403


def test_another_sites_page_may_ask_nothing(page):
    for headers in ({"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://127.0.0.1:1"},
                    {"Sec-Fetch-Site": "cross-site"}, {"Sec-Fetch-Site": "same-site"}):  # fmt: skip
        for method, path in (
            ("GET", "/api/meta"),
            ("POST", "/api/runs/first/stop"),
            ("PUT", "/api/label/images/0/mask"),
        ):
            assert page.request(method, path, headers=headers).status_code == 403, (headers, path)
    assert (
        page.get("/api/meta", headers={"Origin": "http://127.0.0.1", "Sec-Fetch-Site": "same-origin"}).status_code
        == 200
    )


def test_every_answer_tells_the_browser_to_be_strict(page, tmp_path):
    for path in (
        "/",
        "/index.html",
        "/api/meta",
        "/api/nothing",
        "/api/runs/first/images/0/pixels",
        "/vendor/plotly.min.js",
    ):
        headers = page.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'self'" in policy and "frame-ancestors 'none'" in policy and "script-src" not in policy
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers


def test_a_token_is_asked_for_where_there_is_one(runs):
    with client_of(runs, token=TOKEN) as client:
        assert client.get("/api/meta").status_code == 401
        assert client.get("/?token=wrong").status_code == 401
        assert client.get("/api/meta?token=" + TOKEN).status_code == 401  # addresses of the API stand in logs
        assert client.get("/api/meta", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
        assert client.get("/api/meta", headers={"Authorization": "Bearer wrong"}).status_code == 401
        assert client.get("/api/meta", headers={"Cookie": "maskwright=wrong"}).status_code == 401
        visit = client.get(f"/?token={TOKEN}", follow_redirects=False)
        assert (visit.status_code, visit.headers["location"]) == (303, "/")
        cookie = visit.headers["set-cookie"].lower()
        assert "httponly" in cookie and "samesite=strict" in cookie
        assert client.get("/api/meta").status_code == 200


def test_uploads_are_bounded_in_bytes_and_pixels(server):
    def upload(content, **headers):
        return server.post("/api/predict", params={"model": "first", "name": "x.png"}, content=content, headers=headers)

    part = bytes(1 << 20)
    assert upload(part * (MOST_BYTES // len(part) + 1)).status_code == 413
    assert upload(part for _ in range(MOST_BYTES // len(part) + 1)).status_code == 413
    huge = png(np.asarray(Image.new("1", (20_000, 20_000))))
    assert upload(huge).status_code == 413
    assert server.put("/api/label/images/0/mask", content=huge, headers={"If-Match": "none"}).status_code == 413
    assert server.post("/api/train", content=b"[" * (2 << 20)).status_code == 413
    assert server.post("/api/train", content=(b"[" for _ in range(9))).status_code == 413
    assert server.post("/api/train", content=b"[" * 100_000).status_code == 422
    assert server.post("/api/train", json=[1]).status_code == 422
    assert server.get("/api/meta").status_code == 200


NAMES = ["<img src=x onerror=alert(1)>.png", "a\"b'c.png", "naïve ☃ 写真.png", "..\\..\\evil.png", "a%2f..%2fb.png",
         "line\nbreak.png", "-rf.png", "$(x).png"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_hostile_names_are_text(server, name):
    answer = server.post("/api/predict", params={"model": "first", "name": name}, content=png(noise(16, 16)))
    assert answer.status_code == 200
    job = answer.json()["job"]
    wait_for(lambda: server.get(f"/api/predict/{job}").json(), lambda found: found["state"] == "done")
    download = server.get(f"/api/predict/{job}/overlay.jpg")
    assert download.status_code == 200 and "\n" not in download.headers["content-disposition"]
    assert (
        download.headers["content-disposition"].startswith("attachment")
        and "/" not in download.headers["content-disposition"]
    )


def test_hostile_names_in_folders(tmp_path):
    root, runs = tmp_path / "photos", tmp_path / "runs"
    for name in ("<b>bold<b>.png", "a b.png", "q?x=1&y#z.png", "é.png"):
        picture(root / name, noise(8, 8))
    picture(tmp_path / "x.png", noise(8, 8)).rename(root / b"old\xff.png".decode("utf-8", "surrogateescape"))
    name = "<i>run ☃"
    assert maskwright("train", "--data", data(), *TINY, "--epochs", 1, "--out", runs / name).code == 0
    with client_of(runs, root) as client:
        answer = client.get("/api/data/images")
        assert answer.status_code == 200 and answer.json()["total"] == 5
        for item in answer.json()["items"]:
            assert client.get(f"/api/data/images/{item['id']}/thumb").status_code == 200
        assert client.post("/api/label/classes", json={"names": ["<script>", "\"'"]}).status_code == 200
        body = png(np.zeros((8, 8), np.uint8))
        for item in answer.json()["items"]:
            saved = client.put(f"/api/label/images/{item['id']}/mask", content=body, headers={"If-Match": "none"})
            assert saved.status_code in (200, 422), saved.text
        (row,) = client.get("/api/runs").json()
        assert row["name"] == name and re.fullmatch("[A-Za-z0-9._~-]+", row["id"])
        assert client.get(f"/api/runs/{row['id']}").status_code == 200
    assert {path.name for path in tmp_path.iterdir()} == {"photos", "runs"}


def test_the_command_serves_and_ends(runs, tmp_path):
    command = [sys.executable, "-m", "maskwright", "app", str(runs), "--data", str(data()), "--no-browser"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
    ) as process:
        assert process.stdout is not None
        try:
            address = process.stdout.readline().split(" is at ")[1].split()[0]
            assert address.startswith("http://127.0.0.1:")
            with httpx.Client(trust_env=False, timeout=60) as client:
                assert client.get(f"{address}api/meta").json()["data"] == str(data())
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(60) in (0, 130)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--port", "70000"], "--port"),
        (["--data", "nowhere-at-all"], "--data"),
        (["--token", "short"], "--token"),
    ],
)
def test_mistakes_are_told_in_a_sentence(words, told, tmp_path):
    outcome = maskwright("app", tmp_path, "--no-browser", *words)
    assert outcome.code == 2 and told in outcome.sentence
