"""The app as a person uses it: headless Chromium on the real server and a real run.

Needs `pip install -e '.[dev]'` (playwright) and a Chromium: the system's, or `playwright install chromium`.
"""

from __future__ import annotations

import importlib.util
import io
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from app_pages import JS, assert_accessible, first_image, served
from PIL import Image

from maskwright.errors import install_command
from maskwright.metrics.counts import confusion
from maskwright.prediction import Predictor
from maskwright.runs import Run
from support import data, disc_data, finished, maskwright, noise, picture

SIZES = ((1366, 768), (390, 844))


@pytest.fixture(scope="module")
def app(runs: Path) -> Iterator[str]:
    with served(runs, data()) as client:
        yield str(client.base_url).rstrip("/")


def drawn(page: Any, height: int, width: int) -> np.ndarray:
    """What the stage shows at the middle of each image pixel, when the image has just been fitted. → H W 3"""
    points = page.evaluate(
        """([height, width]) => {
          const canvas = document.querySelector(".stage canvas");
          const scale = Math.min(8, canvas.width / width, canvas.height / height);
          const [left, top] = [(canvas.width - width * scale) / 2, (canvas.height - height * scale) / 2];
          const all = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data;
          const out = [];
          for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) {
            const row = Math.floor(top + (y + 0.5) * scale), column = Math.floor(left + (x + 0.5) * scale);
            const index = 4 * (row * canvas.width + column);
            out.push(all[index], all[index + 1], all[index + 2]);
          }
          return out;
        }""",
        [height, width],
    )
    return np.array(points, np.uint8).reshape(height, width, 3)


def settle(page: Any) -> None:
    """Wait until what was asked for has been drawn."""
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")


PAGES = ("#/runs", "#/runs?new=1", "#/runs/first", "#/runs/first?tab=images", "#/runs/first?tab=setup", "#/compare",
         "#/predict", "#/data", "#/label/0")  # fmt: skip


@pytest.mark.parametrize(
    ("size", "scheme", "other"), [(SIZES[0], "light", "dark"), (SIZES[1], "dark", "light")], ids=["1366", "390"]
)
def test_every_page_opens_without_a_fault(app: str, visit, size, scheme, other) -> None:
    """Opened in one scheme, and looked at in both."""
    image = first_image("test")[0]
    page = visit(app, "", viewport={"width": size[0], "height": size[1]}, color_scheme=scheme)
    for at in (*PAGES, f"#/runs/first/{image}"):
        page.goto(f"{app}/{at}")
        page.wait_for_load_state("networkidle")
        page.wait_for_selector("main h1")
        assert not page.query_selector(".state.is-error"), page.inner_text("main")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{at} is wider than the window"
        assert_accessible(page, other, scheme)


def test_the_threshold_moves_mask_and_score_as_the_library_does(app: str, visit) -> None:
    image, pixels, truth = first_image("test")
    predictor = Predictor.from_run(Run.open(finished()))
    logits = predictor.logits(pixels)
    page = visit(app, f"#/runs/first/{image}")
    page.wait_for_selector(f'.viewer-host[data-threshold="{image}"]')
    page.uncheck("#layer-image")
    page.get_by_label("Opacity of prediction").fill("100")
    for step in (1, 60, 127, 128, 200, 253):
        page.locator("#threshold").fill(str(step))
        settle(page)
        wanted = predictor.labels(logits, step / 254)
        shown = (drawn(page, *truth.shape) == (0, 158, 115)).all(axis=-1)
        assert (shown == (wanted == 1)).all(), step
        _, fp, fn, tp = confusion(truth, wanted, 2).ravel().tolist()
        iou = f"{tp / (tp + fp + fn):.3f}" if tp + fp + fn else "–"
        assert page.inner_text('[data-score="IoU"]') == iou, step


def test_keys_switch_images_classes_and_layers(app: str, visit) -> None:
    image, _, truth = first_image("test")
    page = visit(app, f"#/runs/first/{image}?split=test&sort=name")
    page.wait_for_selector(f'.viewer-host[data-image="{image}"]')
    name = page.inner_text("h1")
    page.keyboard.press("ArrowRight")
    page.wait_for_selector(f'.viewer-host[data-image]:not([data-image="{image}"])')
    page.keyboard.press("ArrowLeft")
    page.wait_for_selector(f'.viewer-host[data-image="{image}"]')
    assert page.inner_text("h1") == name
    assert int(page.get_attribute(".viewer-host", "data-switched")) < 100, "from the cache an image is there at once"
    page.keyboard.press("t")
    assert page.is_checked("#layer-truth")
    with_mask = drawn(page, *truth.shape)
    page.keyboard.down(" ")
    settle(page)
    alone = drawn(page, *truth.shape)
    page.keyboard.up(" ")
    settle(page)
    assert (alone != with_mask).any()
    page.keyboard.press("2")
    settle(page)
    assert (drawn(page, *truth.shape) == alone).all(), "with the foreground off nothing is left but the image"
    page.keyboard.press("2")


def encoded(root: Path, encoding: str) -> Path:
    """A data set of four discs whose masks are kept in an encoding."""
    folder = disc_data(root, [(40, 48)] * 4, ["train", "train", "val", "test"])
    for path in (folder / "masks").iterdir():
        mask = (np.asarray(Image.open(path)) > 0).astype(np.uint8)
        if encoding == "numbers":
            mask[:6, :6] = 2
            picture(path, mask)
        elif encoding == "palette":
            made = Image.fromarray(mask)
            made.putpalette([0, 0, 0, 200, 30, 40] + [0] * 762)
            made.save(path)
    return folder


@pytest.mark.parametrize("encoding", ["palette", "0/255", "numbers"])
def test_a_drawn_mask_is_saved_bit_for_bit_in_the_sets_own_encoding(tmp_path: Path, visit, encoding) -> None:
    folder = encoded(tmp_path / "set", encoding)
    before = {path.name: path.read_bytes() for path in (folder / "masks").iterdir()}
    with served(tmp_path / "runs", folder) as client:
        base = str(client.base_url).rstrip("/")
        page = visit(base, "#/label/0")
        page.wait_for_selector('.viewer-host[data-image="0"]')
        page.get_by_label("Opacity of the mask").fill("100")
        page.get_by_label("Your name, written beside each change").fill("Zoë")
        box = page.locator(".stage").bounding_box()
        middle = (box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
        page.keyboard.press("b")
        page.get_by_label("Brush size in pixels").fill("5")
        page.mouse.move(middle[0] - 80, middle[1] - 60)
        page.mouse.down()
        page.mouse.move(middle[0] + 90, middle[1] + 20, steps=7)
        page.mouse.up()
        page.keyboard.press("e")
        page.mouse.move(middle[0], middle[1])
        page.mouse.down()
        page.mouse.move(middle[0], middle[1] + 70, steps=4)
        page.mouse.up()
        page.keyboard.press("p")
        for x, y in ((-150, 80), (-100, 80), (-100, 130), (-150, 130), (-150, 80)):
            page.mouse.click(middle[0] + x, middle[1] + y)
        page.wait_for_selector('.save-state:text-is("Saved")')
        page.mouse.move(5, 5)
        settle(page)
        shown = drawn(page, 40, 48)
        path = folder / "masks/0.png"
        with Image.open(path) as opened:
            values, mode = np.asarray(opened), opened.mode
            if encoding == "palette":
                assert (opened.getpalette() or [])[:6] == [0, 0, 0, 200, 30, 40]
        assert mode == {"palette": "P", "0/255": "L", "numbers": "L"}[encoding]
        own = {"0/255": 255}.get(encoding, 1)
        assert set(np.unique(values)) <= {0, own, 2 if encoding == "numbers" else own}
        assert ((shown == (0, 158, 115)).all(axis=-1) == (values == own)).all()
        if encoding == "numbers":
            assert ((shown == (230, 159, 0)).all(axis=-1) == (values == 2)).all()
        assert path.read_bytes() != before["0.png"]
        assert (folder / ".maskwright/originals/masks/0.png").read_bytes() == before["0.png"]
        assert "Zoë" in page.inner_text(".record")
        for name in ("1.png", "2.png", "3.png"):
            assert (folder / "masks" / name).read_bytes() == before[name]

        page.keyboard.press("Control+z")  # what was saved can be taken back, and that is saved too
        page.keyboard.press("Control+z")
        page.keyboard.press("Control+z")
        page.wait_for_selector('.save-state:text-is("Saved")')
        with Image.open(path) as opened, Image.open(io.BytesIO(before["0.png"])) as first:
            assert (np.asarray(opened) == np.asarray(first)).all()


def test_a_stroke_in_the_making_is_taken_back_or_kept_whole(tmp_path: Path, visit) -> None:
    folder = encoded(tmp_path / "set", "0/255")
    with served(tmp_path / "runs", folder) as client:
        page = visit(str(client.base_url).rstrip("/"), "#/label/0")
        page.wait_for_selector('.viewer-host[data-image="0"]')
        page.get_by_label("Opacity of the mask").fill("100")
        page.get_by_label("Brush size in pixels").fill("6")
        page.keyboard.press("b")
        box = page.locator(".stage").bounding_box()
        left, top = box["x"] + box["width"] / 2 - 140, box["y"] + box["height"] / 2 - 140

        def green() -> int:
            settle(page)
            return int((drawn(page, 40, 48) == (0, 158, 115)).all(axis=-1).sum())

        def stroke(key: str) -> None:
            page.mouse.move(left, top)
            page.mouse.down()
            page.mouse.move(left + 60, top, steps=3)
            page.keyboard.press(key)
            page.mouse.move(left + 120, top, steps=3)
            page.mouse.up()

        undo, before = page.get_by_role("button", name="Undo"), green()
        for key in ("Escape", "Control+z"):
            stroke(key)
            assert green() == before and undo.is_disabled()
        stroke("e")  # what was drawn with the brush stays, and can be taken back
        kept = green()
        assert kept > before and undo.is_enabled()
        page.keyboard.press("Control+z")
        assert green() == before
        page.keyboard.press("Control+Shift+z")
        assert green() == kept

        page.keyboard.press("b")
        page.mouse.move(left, top + 60)
        page.mouse.down()  # and stays so while what came before is saved
        page.mouse.move(left + 60, top + 60, steps=3)
        page.wait_for_selector('.save-state:text-is("Saved")')
        page.keyboard.press("Escape")
        page.mouse.up()
        assert green() == kept == int((np.asarray(Image.open(folder / "masks/0.png")) == 255).sum())

        page.locator(".stage").focus()
        page.keyboard.press("ArrowDown")  # the cursor is moved by keys now
        page.keyboard.press("Enter")  # pen down
        page.keyboard.press("Shift+ArrowDown")
        assert green() > kept
        page.keyboard.press("Escape")
        assert green() == kept
        page.keyboard.press("h")
        page.keyboard.press("Enter")  # nothing to do for what moves the picture
        assert green() == kept


def test_two_tabs_on_one_image_lose_nothing(tmp_path: Path, visit) -> None:
    folder = encoded(tmp_path / "set", "0/255")
    with served(tmp_path / "runs", folder) as client:
        base = str(client.base_url).rstrip("/")
        mine, theirs = (visit(base, "#/label/0", quiet="409|Canvas2D") for _ in range(2))
        for page in (mine, theirs):
            page.wait_for_selector('.viewer-host[data-image="0"]')
            page.get_by_label("Opacity of the mask").fill("100")
            page.get_by_label("Brush size in pixels").fill("6")
        dot(theirs, -140, -140)
        theirs.wait_for_selector('.save-state:text-is("Saved")')
        saved = np.asarray(Image.open(folder / "masks/0.png"))
        dot(mine, 140, 140)
        mine.wait_for_selector("dialog")
        assert_accessible(mine)
        mine.get_by_role("button", name="Go on from theirs").click()
        mine.wait_for_selector('.save-state:has-text("Theirs is shown")')
        mine.mouse.move(5, 5)
        settle(mine)
        assert ((drawn(mine, 40, 48) == (0, 158, 115)).all(axis=-1) == (saved == 255)).all()
        (draft,) = (folder / ".maskwright/drafts").iterdir()
        kept = np.asarray(Image.open(draft))
        assert kept.shape == saved.shape and (kept != (saved == 255)).any()
        mine.keyboard.press("Control+z")
        mine.wait_for_selector('.save-state:text-is("Saved")')
        assert ((np.asarray(Image.open(folder / "masks/0.png")) == 255) == (kept == 1)).all()


def dot(page: Any, x: float, y: float) -> None:
    box = page.locator(".stage").bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2 + x, box["y"] + box["height"] / 2 + y)


def test_what_is_drawn_while_the_app_is_away_is_saved_when_it_is_back(tmp_path: Path, visit) -> None:
    folder = encoded(tmp_path / "set", "0/255")
    before = (folder / "masks/0.png").read_bytes()
    with served(tmp_path / "runs", folder) as client:
        port = client.base_url.port or 80
        page = visit(f"http://127.0.0.1:{port}", "#/label/0", quiet="ERR_CONNECTION_REFUSED|Canvas2D")
        page.wait_for_selector('.viewer-host[data-image="0"]')
    dot(page, 140, 140)
    page.wait_for_selector('.save-state[data-state="failed"]')
    assert (folder / "masks/0.png").read_bytes() == before
    with served(tmp_path / "runs", folder, port=port):
        page.wait_for_selector('.save-state:text-is("Saved")')
    assert (folder / "masks/0.png").read_bytes() != before


def test_what_is_predicted_and_downloaded_is_the_command_lines(app: str, visit, tmp_path: Path) -> None:
    image = picture(tmp_path / "photo.png", noise(48, 64))
    out = tmp_path / "out"
    assert maskwright("predict", finished(), image, "--out", out, "--write", "labels,overlay,contours").code == 0
    page = visit(app, "#/predict")
    page.set_input_files("#files", [image, picture(tmp_path / "<b>two.png", noise(40, 40, 2))])
    page.wait_for_selector(".job-head")
    page.locator(".job img").nth(1).wait_for()
    assert "<b>two.png" in page.inner_text(".jobs"), "a name is text"
    page.get_by_role("button", name="photo.png").click()
    page.wait_for_selector('.job-head h2:text-is("photo.png")')
    for button, name in (
        ("Label", "photo.png"),
        ("Overlay", "photo-overlay.jpg"),
        ("GeoJSON", "photo-contours.geojson"),
    ):
        with page.expect_download() as download:
            page.get_by_role("link", name=f"{button} ↓").click()
        assert download.value.suggested_filename == name
        assert Path(download.value.path()).read_bytes() == (out / name).read_bytes()


def test_a_list_of_ten_thousand_holds_only_what_can_be_seen(app: str, visit) -> None:
    page = visit(app, "#/runs")
    asked = []

    def answer(route: Any) -> None:
        offset = int(re.findall(r"offset=(\d+)", route.request.url)[0])
        asked.append(offset)
        items = [
            {"id": "0", "name": f"image {offset + index}", "width": 8, "height": 8, "masked": True, "split": "train"}
            for index in range(60)
        ]
        route.fulfill(json={"total": 10_000, "items": items[: max(0, 10_000 - offset)]})

    page.route("**/api/data/images?*", answer)
    page.goto(f"{app}/#/data")
    page.wait_for_selector('.cell:has-text("image 0")')
    page.evaluate("() => { const box = document.querySelector('.gallery'); box.scrollTop = box.scrollHeight; }")
    page.wait_for_selector('.cell:has-text("image 9999")')
    assert page.locator(".cell").count() < 150
    assert len(asked) < 6


def test_labelling_from_nothing_leads_to_a_trained_run_that_appears_live(tmp_path: Path, visit) -> None:
    for index in range(6):
        picture(tmp_path / f"photos/{index}.png", noise(32, 40, index))
    with served(tmp_path / "runs", tmp_path / "photos") as client:
        base = str(client.base_url).rstrip("/")
        page = visit(base, "#/label")
        page.get_by_label("Class names, one a line").fill("background\nthing")
        page.get_by_role("button", name="Begin to label").click()
        for _ in range(5):
            page.wait_for_selector(".viewer-host[data-image]")
            at = page.get_attribute(".viewer-host", "data-image")
            dot(page, -60, 0)
            page.keyboard.press("n")
            page.wait_for_selector(f'.viewer-host[data-image]:not([data-image="{at}"])')
        page.get_by_label("Time for training").fill("20s")
        page.get_by_role("button", name="Train on these labels").click()
        page.get_by_role("button", name="Watch it").click()
        page.wait_for_selector(".status.is-training", timeout=120_000)
        page.wait_for_selector(".status.is-finished", timeout=240_000)
        page.wait_for_selector(".plot .scatter, .plot p")
        assert len(list((tmp_path / "photos/masks").iterdir())) == 5


def test_without_plotly_a_chart_says_what_to_install(app: str, visit, monkeypatch: pytest.MonkeyPatch) -> None:
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *more: None if name == "plotly" else find(name, *more)
    )
    page = visit(app, "#/runs/first", quiet="404|plotly.min.js|Canvas2D")
    page.wait_for_selector(".plot p")
    assert page.locator(".plot p").first.inner_text().endswith(f"it is not installed. Run: {install_command('app')}")


@pytest.mark.skipif(shutil.which("node") is None, reason="the canvas core's own tests need node 20.19 or newer")
def test_the_canvas_core_on_its_own() -> None:
    done = subprocess.run(["node", "--test", str(JS)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout


@pytest.mark.skipif(
    not (JS / "node_modules/typescript").is_dir(),
    reason="npm install --prefix tests/app/js brings TypeScript and axe-core, which looks at accessibility",
)
def test_the_modules_hold_their_types() -> None:
    done = subprocess.run(
        ["node", JS / "node_modules/typescript/bin/tsc", "-p", JS], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stdout
