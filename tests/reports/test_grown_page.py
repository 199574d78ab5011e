"""The report: its newer parts on the page, runs evaluated by earlier versions, and its weight."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_making import LIMIT, Page, fake_run

from maskwright.data.dataset import IGNORE
from maskwright.evaluation.suspects import Region
from maskwright.reports import run_page, write_report
from maskwright.reports import suspects as module
from maskwright.reports.facts import gather
from maskwright.reports.gallery import BUDGET, LONGEST, Gallery, Pick, Picture, Row
from maskwright.reports.run_page import size_table
from maskwright.reports.suspects import SHOWN, crop_of, outlined_crop, suspected_labels
from maskwright.runs import Run

NEWER = ("units", "spread", "boundary", "objects", "calibration", "threshold", "cost")
OLDER = {"accuracy", "precision", "recall", "f1", "iou", "dice", "boundary_iou"}


def change(run: Run, **values: Any) -> None:
    """Set keys of the test evaluation; None takes one away."""
    found = {**run.read_json("evaluation/test.json"), **values}
    run.write_json("evaluation/test.json", {key: value for key, value in found.items() if value is not None})


def test_an_evaluation_of_an_earlier_version_still_gives_a_page(pair: Run) -> None:
    found = pair.read_json("evaluation/test.json")
    older = {
        key: {name: value for name, value in found[key].items() if name in OLDER} for key in ("metrics", "intervals")
    }
    older["per_class"] = {cls: {name: row[name] for name in OLDER} for cls, row in found["per_class"].items()}
    averages = {way: {name: row[name] for name in OLDER - {"boundary_iou"}} for way, row in found["averages"].items()}
    change(pair, **older, averages=averages, **dict.fromkeys(NEWER))
    pair.write_json("environment.json", {key: value for key, value in pair.environment.items() if key != "findings"})
    page = Page.read(write_report(pair))
    assert [row[0].split(" ")[0] for row in page.table("Score")[1:]] == [
        "IoU", "F1", "Precision", "Recall", "Boundary", "Accuracy", "Loss"
    ]  # fmt: skip
    assert "How far the network’s confidence can be believed was not measured." in page.text
    assert "Cost" not in [told for _, told in page.headings]
    assert "they rest on 4 images" in " ".join(page.text.split())


CALIBRATION = {"ece": 0.1, "bins": [{"low": 0.5, "high": 1.0, "confidence": 0.8, "accuracy": 0.7, "pixels": 10}],
               "temperature": 1.3, "ece_after": 0.01, "fitted_on": "val", "reason": None}  # fmt: skip
COST = {"milliseconds_an_image": 12.34, "milliseconds_low": 11.8, "milliseconds_high": 14.2,
        "peak_memory_mib": 1234.5, "parameters": 7_762_465, "multiply_adds": 12_300_000_000,
        "input": [256, 512], "device": "cpu: a processor", "precision": "fp32"}  # fmt: skip


def test_newer_parts_are_on_the_page(pair: Run) -> None:
    change(pair, calibration=CALIBRATION, cost=COST, threshold={"value": 0.43, "how": "tuned", "on": "val"})
    page = Page.read(write_report(pair))
    text = " ".join(page.text.split())
    for told in ("12.3 ms (11.8–14.2), cpu: a processor, fp32",
                 "1,234 MiB at most", "7.76 million", "12.3 billion at 512 × 256 pixels",
                 "A pixel counts as cat above a probability of 0.43 (tuned on the validation images).",
                 "brings the error from 0.100 to 0.010"):  # fmt: skip
        assert told in text
    assert page.svgs == 3


def test_intervals_that_are_null_are_dashes_and_told_in_words(pair: Run) -> None:
    found = pair.read_json("evaluation/test.json")
    change(pair, units=1, intervals={name: [None, None] for name in found["intervals"]})
    page = Page.read(write_report(pair))
    assert {row[2] for row in page.table("Score")[1:]} == {"–"}
    assert "There are no intervals: images of a single group allow no interval." in " ".join(page.text.split())


def sizes(*cells: tuple[int, int, float | None], ends: tuple[int, int] = (1024, 9216)) -> list[dict[str, Any]]:
    bounds = (0, *ends, None)
    return [
        {
            "size": size,
            "from": bounds[place],
            "to": bounds[place + 1],
            **dict(zip(("objects", "found", "recall"), cell)),
        }
        for place, (size, cell) in enumerate(zip(("small", "medium", "large"), cells))
    ]


def test_scores_by_size_of_object(pair: Run) -> None:
    change(
        pair,
        objects={"background": sizes((0, 0, None)), "cat": sizes((12, 8, 0.75), (0, 0, None), (1200, 1100, 0.98765))},
    )
    columns, rows = size_table(gather(pair))
    assert columns == [("small", "under 1,024 px"), ("medium", "1,024 to 9,215 px"), ("large", "from 9,216 px")]
    assert rows == [("cat", [("0.750", "8 of 12"), ("–", ""), ("0.988", "1,100 of 1,200")])]
    table = Page.read(write_report(pair)).table("Objects")
    assert table[1] == ["cat", "0.750 8 of 12", "–", "0.988 1,100 of 1,200"]


def test_sizes_that_differ_between_classes_stand_in_the_cells(pair: Run) -> None:
    change(pair, objects={"background": sizes((1, 1, 1.0), ends=(64, 256)), "cat": sizes((2, 1, 0.5))})
    columns, rows = size_table(gather(pair))
    assert columns[0] == ("small", "")
    assert [cells[0] for _, cells in rows] == [("1.000", "1 of 1, under 64 px"), ("0.500", "1 of 2, under 1,024 px")]


def test_without_weights_or_data_labels_are_not_suspected_and_it_is_said(pair: Run, tmp_path: Path) -> None:
    facts = gather(pair)
    assert suspected_labels(pair, facts).problems == (f"Not looked for: {pair.root} has no model.safetensors.",)
    gone = suspected_labels(pair, facts, tmp_path / "gone")
    assert gone.problems == (f"Not looked for: the data folder {tmp_path / 'gone'} is not there any more.",)


def test_a_region_becomes_three_crops_in_words(pair: Run) -> None:
    facts = gather(pair)
    region = Region("images/5", (4, 8, 6, 10), 60, 0.9, 0, 1, np.ones((6, 10), bool))
    suspect = module._row(pair, facts, region, Path(pair.data["root"]))
    assert (suspect.pick.role, suspect.text.replace("\xa0", " "), suspect.pick.name) == (
        "Predicted cat, labelled background", "60 pixels, 90.0 % sure on average", "images/5"
    )  # fmt: skip
    assert [picture.title for picture in suspect.pictures] == ["Image", "Label", "Prediction"]
    assert len({np.shape(picture.pixels) for picture in suspect.pictures}) == 1
    assert suspect.classes <= {0, 1} and IGNORE not in suspect.classes


def test_crops_keep_within_the_image_and_mark_the_region() -> None:
    rows, columns = crop_of((0, 90, 10, 10), (100, 100))
    assert (rows.start, columns.stop) == (0, 100)
    region = np.zeros((100, 100), np.uint8)
    region[0:10, 90:100] = 1
    drawn = outlined_crop(np.zeros((100, 100, 3), np.uint8), region, (rows, columns))
    assert (drawn == (224, 0, 122)).all(-1).any()
    wide = crop_of((50, 10, 2, 60), (100, 100))
    assert wide[0].stop - wide[0].start >= 0.7 * (wide[1].stop - wide[1].start)


def test_of_many_classes_the_weakest_are_shown_first(tmp_path: Path) -> None:
    run = fake_run(tmp_path, [f"class-{index}" for index in range(20)], (2, 1, 3), 2)
    page = Page.read(write_report(run))
    found = run.read_json("evaluation/test.json")["per_class"]
    few, whole = (table for table in page.tables if table[0][0] == "Class")
    scored = sorted(row["iou"] for row in found.values() if row["iou"] is not None)
    assert [row[2] for row in few[1:]] == [f"{iou:.3f}" for iou in scored[:8]]
    assert [row[0] for row in whole[1:]] == list(found)


def noise(shape: tuple[int, int], seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), np.uint8)


def test_the_heaviest_page_stays_under_its_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixty classes, the gallery and the crops all noise at their largest: nothing compresses less."""
    run = fake_run(tmp_path, [f"a class with a long name, {index}" for index in range(60)], (2, 1, 9), 3)
    panels = tuple(Picture("Image", "noise", noise((LONGEST, LONGEST), index)) for index in range(4))
    crops = tuple(Picture("Image", "noise", noise((module.LONGEST, module.LONGEST), index)) for index in range(3))
    suspects = tuple(Row(Pick("role", str(index)), "measure", crops, frozenset({1})) for index in range(SHOWN))
    real = run_page.make_gallery

    def heavy(*words: Any) -> Any:
        gallery = real(*words)
        rows = [replace(row, pictures=tuple(map(replace, panels))) for row in gallery.rows]
        return replace(gallery, rows=tuple(rows), problems=())

    monkeypatch.setattr(run_page, "make_gallery", heavy)
    monkeypatch.setattr(run_page, "suspected_labels", lambda *_: Gallery(suspects, lead="Suspects."))
    change(run, calibration=CALIBRATION, cost=COST)
    size = write_report(run).stat().st_size
    assert 3_000_000 < size < LIMIT
    assert BUDGET < LIMIT - 500_000
