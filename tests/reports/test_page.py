"""The report: the page read back."""

from __future__ import annotations

import base64
import io
import itertools
import re

import numpy as np
import pytest
from PIL import Image
from report_making import LAND, LIMIT, Page, shown

from maskwright.metrics.counts import Counts
from maskwright.reports import write_report
from maskwright.reports.facts import gather
from maskwright.reports.pages import marked
from maskwright.runs import Run


def test_page_has_its_parts_in_order(page: Page) -> None:
    assert [told for level, told in page.headings if level == 1] == ["run"]
    parts = [told for level, told in page.headings if level == 2]
    assert parts == ["Best, typical and worst test image", "Scores", "More images", "Labels to check", "Confusion",
                     "Calibration", "Training", "Data audit", "How it was made"]  # fmt: skip
    levels = [level for level, _ in page.headings]
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels)), "a heading level is skipped"


def test_page_needs_nothing_from_outside(land: Run, page: Page) -> None:
    html = (land.root / "report.html").read_text()
    names = ("src", "href", "xlink:href", "action", "poster", "srcset")
    links = [link for name in names for link in page.values.get(name, [])]
    outside = [link for link in links if not link.startswith(("data:", "#"))]
    assert outside == []
    without_pictures = re.sub(r'src="data:[^"]*"', "", html)
    assert re.findall(r"https?://|<script|@import|xmlns", without_pictures) == []
    assert set(re.findall(r"url\(\s*.", without_pictures)) <= {"url(#"}
    assert len(html.encode()) < LIMIT


def test_ids_are_unique_and_referred_ones_exist(land: Run, page: Page) -> None:
    ids = page.values["id"]
    assert len(ids) == len(set(ids))
    html = (land.root / "report.html").read_text()
    asked = re.findall(r"url\(#([^)]*)\)", html) + [link[1:] for link in page.values["href"] if link.startswith("#")]
    assert set(asked) | set(page.values["aria-labelledby"]) <= set(ids)


def test_pictures_decode_and_are_described(page: Page) -> None:
    assert len(page.images) == 4 * 8  # all of eight images are among the worst, median and best
    for image in page.images:
        head, _, body = image["src"].partition(",")
        assert head == "data:image/jpeg;base64"
        picture = Image.open(io.BytesIO(base64.b64decode(body, validate=True)))
        picture.load()
        assert picture.size == (int(image["width"]), int(image["height"])) == (32, 32)
        assert len(image["alt"]) > 8
    assert page.svgs == 2
    assert [
        told for tag, name, told in page.attributes if tag == "div" and name == "aria-label" and "12 epochs" in told
    ] == [
        "Loss over 12 epochs: training from 1.117 to 0.200, validation from 1.217 to 0.300; "
        "0.383 on validation images at the best epoch, 11.",
        "IoU over 12 epochs: training from 0.075 to 0.900, validation from 0.067 to 0.700; "
        "0.733 on validation images at the best epoch, 11.",
    ]


def test_the_best_a_typical_and_the_worst_image_stand_before_the_scores(land: Run, page: Page) -> None:
    """Chosen by their scores, each as image, truth, prediction and error; nothing is embedded twice."""
    html = (land.root / "report.html").read_text()
    before = html[html.index("<main>") : html.index('<h2 id="scores">')]
    names = [row.name for row in gather(land).images()]
    assert re.findall(r'<h3 title="([^"]*)">', before) == [names[-1], names[4], names[0]]
    assert re.findall(r'class="role">(\w+)<', before) == ["Best", "Typical", "Worst"]
    assert before.count("<img") == 3 * 4
    assert re.findall(r"<figcaption>(\w+)", before) == ["Image", "Truth", "Prediction", "Error"] * 3
    assert len({image["src"] for image in page.images}) == len(page.images)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Try --lr auto, --augment heavy (it was light) or --model unet/resnet34.",
         ["--lr auto", "--augment heavy", "--model unet/resnet34"]),
        ("A larger --size or another --model", ["--size", "--model"]),
        ("`scans/3f2a9c1e77d04b5a8e6f.png` and `rm 3f2a9c1e77d04b5a8e6f`",
         ["scans/3f2a9c…8e6f.png", "rm 3f2a9c1e77d04b5a8e6f"]),
    ],
)  # fmt: skip
def test_what_is_to_be_typed_is_set_as_code_whole(text: str, expected: list[str]) -> None:
    assert re.findall(r"<code[^>]*>([^<]*)</code>", marked(text)) == expected


def test_numbers_are_those_of_the_evaluation(land: Run, page: Page) -> None:
    found = land.read_json("evaluation/test.json")
    rows = page.table("Score")[1:]
    names = ("iou", "f1", "precision", "recall", "boundary_iou", "boundary_f", "hd95", "accuracy")
    for name, row in zip(names, rows[:-1], strict=True):
        (low, high), digits, unit = found["intervals"][name], *((1, " px") if name == "hd95" else (3, ""))
        assert row[1] == f"{found['metrics'][name]:.{digits}f}{unit}"
        assert row[2] == f"{low:.{digits}f} to {high:.{digits}f}{unit}"
    assert rows[-1][1:3] == ["0.250", "–"]
    averages = page.table("Average")[1:]
    for row, average in zip(averages, found["averages"].values(), strict=True):
        assert row[1:] == [shown(average[name]) for name in ("iou", "f1", "precision", "recall")]
    assert [row[0].split(" ")[0] for row in averages] == ["Micro", "Macro", "Imagewise", "Imagewise"]
    assert found["policy"] in " ".join(page.text.split())


def test_classes_and_confusion_are_those_of_the_counts(land: Run, page: Page) -> None:
    found, total = (
        land.read_json("evaluation/test.json"),
        Counts.load(land.root / "evaluation" / "test-counts.npz").total(),
    )
    rows = page.table("Class")[1:]
    assert [row[0] for row in rows] == list(LAND)
    columns = ("iou", "f1", "precision", "recall", "boundary_iou", "boundary_f")
    for row, share in zip(rows, total.sum(1) / total.sum()):
        assert row[1] == f"{100 * share:.1f} %"
        assert row[2:-1] == [shown(found["per_class"][row[0]][name]) for name in columns]
        assert row[-1] == f"{found['per_class'][row[0]]['hd95']:.1f}"
    matrix = page.table("truth")
    assert matrix[0][1:] == list(LAND)
    cells = np.array([[float(cell.removesuffix(" %")) for cell in row[1:]] for row in matrix[1:]])
    assert cells == pytest.approx(100 * total / total.sum(1, keepdims=True), abs=0.051)


def test_tables_say_what_their_heads_are_of(page: Page) -> None:
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) > 40
    assert set(scopes) == {"row", "col"}
    assert len(scopes) == page.heads


def test_page_tells_how_it_was_made(land: Run, page: Page) -> None:
    text = " ".join(page.text.split())
    for told in ("maskwright train 'a b'", "13 (3 train, 2 val, 8 test), each 32 × 32 pixels", "ce + 0.5 × dice",
                 "24.0 s in 12 epochs, 15.5 images/s (median)", "2026-01-02 03:04:05 UTC", "both <together>",
                 land.environment["packages"]["numpy"], land.data["fingerprint"][:16],
                 "whole images at 32 × 32"):  # fmt: skip
        assert told in text
    assert ["data.size", "32", "it is small"] in page.table("Key")
    assert "nan" not in re.findall(r"[a-z]+", text.lower())


def test_the_same_run_gives_the_same_bytes(land: Run) -> None:
    files = [land.root / name for name in ("report.html", "plots/loss.png", "plots/iou.png")]
    before = [file.read_bytes() for file in files]
    write_report(land)
    assert [file.read_bytes() for file in files] == before


def test_plots_are_written_for_submission(land: Run) -> None:
    for name in ("loss", "iou"):
        with Image.open(land.root / "plots" / f"{name}.png") as picture:
            assert picture.size == (840, 525)
            assert picture.info["dpi"] == pytest.approx((150, 150), abs=0.1)
