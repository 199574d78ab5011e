"""Where the cursor rests, pixels that are not counted, and images larger than 4096 pixels, in Chromium."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from app_pages import served, wait_for
from PIL import Image
from test_browser import encoded, settle

from maskwright.app.models import Models, labels_of
from maskwright.app.runs import Runs
from maskwright.prediction.network import open_network
from support import TINY, disc_data, maskwright, noise, picture

pytest.importorskip("playwright.sync_api", reason="pip install -e '.[dev]' brings playwright")
pytest.importorskip("onnxruntime", reason="pip install '.[export]' brings it")
SIDES = (2100, 2048)  # so large that the page does not ask for the whole image at once


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a run that sees windows at half the images' scale, and its bundle."""
    root = tmp_path_factory.mktemp("hover")
    small = disc_data(root / "small", [(96, 96)] * 6, ["train"] * 4 + ["val", "test"])
    words = ("--data", small, *TINY[:-2], "--data.view", "crop", "--data.scale", "0.5", "--epochs", 6)
    assert maskwright("train", *words, "--out", root / "runs/run").code == 0
    assert maskwright("export", root / "runs/run", "--format", "onnx", "--out", root / "runs/bundle").code == 0
    return root / "runs"


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return disc_data(tmp_path_factory.mktemp("large"), [SIDES] * 2, ["train", "val"])


@pytest.fixture
def app(bundles: Path, large: Path) -> Iterator[str]:
    with served(bundles, large) as client:
        yield str(client.base_url).rstrip("/")


def label(page: Any, base: str, image: int) -> None:
    page.goto(f"{base}/#/label/{image}")
    page.wait_for_selector(f'.viewer-host[data-image="{image}"]')


def on_screen(page: Any, x: float, y: float, height: int, width: int) -> tuple[float, float]:
    """Where a place of the image lies on the page while all of it is shown."""
    box = page.locator(".stage").bounding_box()
    scale = min(8, box["width"] / width, box["height"] / height)
    return (box["x"] + (box["width"] - width * scale) / 2 + x * scale,
            box["y"] + (box["height"] - height * scale) / 2 + y * scale)  # fmt: skip


def saved(page: Any) -> None:
    page.wait_for_selector('.save-state:text-is("Saved")')


def values_of(path: Path) -> np.ndarray:
    with Image.open(path) as opened:
        return np.asarray(opened)


def region_at(labels: np.ndarray, x: int, y: int) -> np.ndarray:
    """The pixels of one label that hang together with a place."""
    parts = cv2.connectedComponents((labels == labels[y, x]).astype(np.uint8), connectivity=4)[1]
    return parts == parts[y, x]


def test_the_region_under_the_cursors_rest_is_outlined_and_a_click_takes_it(app, bundles, large, visit) -> None:
    pixels, height, width = values_of(large / "images/0.png"), *SIDES
    asked: list[str] = []
    page = visit(app, "#/label/0")
    page.wait_for_selector('.viewer-host[data-image="0"]')
    with page.expect_response("**/suggestion?*"):  # the model is opened as soon as it is chosen
        page.get_by_label("Model whose prediction helps").select_option("bundle")
    page.on("request", lambda one: "suggestion" in one.url and asked.append(one.url))
    page.keyboard.press("r")
    x, y = 1111, 999
    place = on_screen(page, x + 0.5, y + 0.5, height, width)
    way = [on_screen(page, 710 + 40 * step, 800, height, width) for step in range(12)]
    page.clock.install()  # the page's time is the test's: a busy machine's delay on the way is no rest
    page.clock.pause_at(time.time() + 60)
    for step in way:  # one that moves on asks for nothing
        page.mouse.move(*step)
        page.clock.run_for(20)
    assert not asked
    page.clock.resume()
    started = time.perf_counter()
    page.mouse.move(*place)
    page.wait_for_selector('.readout:has-text("pixels. Click or Enter")')
    print(f"a region is outlined {1000 * (time.perf_counter() - started):.0f} ms after the cursor came")
    (url,) = asked
    x, y = (int(one) for one in re.findall(r"[xy]=(\d+)", url))  # a pixel of the screen is several of the image
    answer = page.request.get(url)
    left, top = (int(one) for one in answer.headers["x-place"].split(","))
    side = 1024  # 512 at half the scale
    assert abs(left + side / 2 - x) <= 32 and abs(top + side / 2 - y) <= 32
    window = (slice(top, top + side), slice(left, left + side))
    wanted = np.zeros(SIDES, bool)
    labels = open_network(bundles / "bundle").predict(pixels[window]).labels
    wanted[window] = region_at(labels, x - left, y - top)
    told = page.inner_text(".stage-box .readout")
    assert told.startswith(f"{('background', 'foreground')[labels[y - top, x - left]]}, {wanted.sum():,} pixels")
    page.mouse.move(place[0] + 1, place[1])
    page.wait_for_timeout(300)
    assert len(asked) == 1, "a hand is never quite still"

    before = values_of(large / "masks/0.png") == 255
    page.mouse.click(*place)
    saved(page)
    grown = np.where(wanted, labels[y - top, x - left] == 1, before)
    assert ((values_of(large / "masks/0.png") == 255) == grown).all()
    page.keyboard.down("Shift")
    page.mouse.click(*place)
    page.keyboard.up("Shift")
    saved(page)
    removed = np.where(wanted & (labels[y - top, x - left] == 1), False, grown)
    assert ((values_of(large / "masks/0.png") == 255) == removed).all()
    assert len(asked) == 1, "what is outlined is what is taken"


def test_keys_rest_and_take_regions_too(app, large, visit) -> None:
    page = visit(app, "#/label/1")
    page.wait_for_selector('.viewer-host[data-image="1"]')
    page.get_by_label("Model whose prediction helps").select_option("bundle")
    page.keyboard.press("r")
    page.locator(".stage").focus()
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector('.readout:has-text("pixels. Click or Enter")')
    before = (large / "masks/1.png").read_bytes()
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Enter")
    saved(page)
    assert (large / "masks/1.png").read_bytes() != before
    page.keyboard.press("n")
    page.wait_for_selector('.panel:has-text("least sure")')  # why it is this image


def test_a_place_nobody_rests_on_any_more_is_not_predicted(app, visit) -> None:
    """One that was asked for and given up while another was predicted costs nothing; the newest is told."""
    page = visit(app, "#/label/1", quiet="ERR_ABORTED|Canvas2D")
    page.wait_for_selector('.viewer-host[data-image="1"]')
    with page.expect_response("**/suggestion?*"):
        page.get_by_label("Model whose prediction helps").select_option("bundle")
    page.keyboard.press("r")
    ended: list[str] = []
    page.on("requestfailed", lambda one: ended.append(one.url))
    held = []

    def hold(route: Any) -> None:
        held.append(route)  # the first is never answered
        if len(held) > 1:
            route.continue_()

    page.route("**/suggestion?*", hold)
    page.mouse.move(*on_screen(page, 600, 600, *SIDES))
    page.wait_for_selector('.readout:has-text("Predicting")')
    page.mouse.move(*on_screen(page, 1500, 1500, *SIDES))
    page.wait_for_selector('.readout:has-text("pixels. Click or Enter")')
    assert len(held) == 2 and ended == [held[0].request.url]
    page.unroute_all(behavior="ignoreErrors")


@pytest.mark.parametrize("id", ["bundle", "run"])
def test_a_place_is_predicted_between_two_tiles_of_what_nobody_waits_for(bundles, id) -> None:
    models, pixels = Models(Runs(bundles)), noise(3000, 3000)
    ended, begun = [], threading.Event()

    def long() -> None:
        network = models.network(id)
        begun.set()
        labels_of(network, pixels)
        ended.append("the image")

    models.submit(long)
    assert begun.wait(60)
    labels, (left, top) = models.labels_about(id, pixels, 2990, 5, lambda: True)
    ended.append("the place")
    assert labels.shape == (1024, 1024) and (left, top) == (3000 - 1024, 0)
    models.call(lambda: None, rank=3)
    models.close()
    assert ended == ["the place", "the image"]


@pytest.mark.parametrize("encoding", ["palette", "numbers"])
def test_what_is_ignored_is_drawn_cleared_and_read_back(tmp_path: Path, visit, encoding) -> None:
    folder = encoded(tmp_path / "set", encoding)
    path = folder / "masks/0.png"
    before = values_of(path)
    with served(tmp_path / "runs", folder) as client:
        page = visit(str(client.base_url).rstrip("/"), "#/label/0")
        page.wait_for_selector('.viewer-host[data-image="0"]')
        page.get_by_label("Brush size in pixels").fill("9")
        page.keyboard.press("i")
        assert page.get_by_role("radio", name="ignored").is_checked()
        page.mouse.click(*on_screen(page, 24, 20, 40, 48))
        saved(page)
        y, x = np.mgrid[:40, :48]
        disc = np.hypot(x + 0.5 - 24, y + 0.5 - 20) < 4.5
        with Image.open(path) as opened:
            assert opened.mode == ("P" if encoding == "palette" else "L")
            assert (np.asarray(opened) == np.where(disc, 255, before)).all()
        page.reload()
        page.wait_for_selector('.viewer-host[data-image="0"]')
        page.keyboard.press("e")
        page.get_by_label("Brush size in pixels").fill("11")
        page.mouse.click(*on_screen(page, 24, 20, 40, 48))
        saved(page)
        now = values_of(path)
        wiped = np.hypot(x + 0.5 - 24, y + 0.5 - 20) < 5.5
        assert (now == np.where(wiped, 0, before)).all() and not (now == 255).any()


def test_a_large_image_is_seen_to_the_pixel_and_drawn_in(tmp_path: Path, visit) -> None:
    """A smaller picture of it all, its own pixels where it is zoomed, masks painted where they are seen."""
    height, width, folder = 90, 4300, tmp_path / "set"
    pixels, mask = noise(height, width), np.zeros((height, width), np.uint8)
    mask[:, 2040:2060] = 1
    for index in range(3):
        picture(folder / f"images/{index}.png", pixels)
        picture(folder / f"masks/{index}.png", mask)
    with served(tmp_path / "runs", folder) as client:
        page = visit(str(client.base_url).rstrip("/"), "#/label/0")
        page.wait_for_selector('.viewer-host[data-image="0"]')
        page.get_by_label("Opacity of the mask").fill("0")
        box = page.locator(".stage").bounding_box()
        scale = box["width"] / width
        for _ in range(8):
            page.keyboard.press("+")
            scale *= 1.4
        rows, columns = slice(20, 70), slice(2040, 2260)
        script = """([scale, height, width, y, x, high, wide]) => {
          const canvas = document.querySelector(".stage canvas");
          const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          return Array.from({length: high * wide}, (_, at) => {
            const column = Math.floor(canvas.width / 2 + (x + at % wide + 0.5 - width / 2) * scale);
            const row = Math.floor(canvas.height / 2 + (y + Math.floor(at / wide) + 0.5 - height / 2) * scale);
            const start = 4 * (row * canvas.width + column);
            return [all[start], all[start + 1], all[start + 2]];
          });
        }"""
        wanted = pixels[rows, columns]

        def look() -> np.ndarray:
            found = page.evaluate(script, [scale, height, width, rows.start, columns.start, *wanted.shape[:2]])
            return np.array(found, np.uint8).reshape(wanted.shape)

        wait_for(look, lambda seen: bool((seen == wanted).all()), 20)
        page.get_by_label("Opacity of the mask").fill("100")
        settle(page)
        shown = (look() == (0, 158, 115)).all(axis=-1)
        assert (shown == (mask[rows, columns] == 1)).all(), "a mask is painted in tiles, with no seam"
        page.get_by_label("Brush size in pixels").fill("8")
        page.mouse.click(box["x"] + box["width"] / 2 + 3 * scale, box["y"] + box["height"] / 2 - 2 * scale)
        saved(page)
        y, x = np.mgrid[:height, :width]
        disc = np.hypot(x + 0.5 - width / 2 - 3, y + 0.5 - height / 2 + 2) < 4
        now = values_of(folder / "masks/0.png")
        assert (now[~disc] == mask[~disc]).all() and (now[disc] == 1).mean() > 0.9
        page.mouse.move(5, 5)
        settle(page)
        assert ((look() == (0, 158, 115)).all(axis=-1) == (now[rows, columns] == 1)).all()
        page.keyboard.press("0")  # a pixel of the screen is several of the image: parts are painted as the whole is
        whole = "() => document.querySelector('.stage canvas').toDataURL()"
        page.mouse.click(box["x"] + box["width"] / 3, box["y"] + box["height"] / 2)
        saved(page)
        page.mouse.move(5, 5)
        settle(page)
        strokes = page.evaluate(whole)
        page.reload()
        page.wait_for_selector('.viewer-host[data-image="0"]')
        page.get_by_label("Opacity of the mask").fill("100")
        settle(page)
        assert page.evaluate(whole) == strokes
