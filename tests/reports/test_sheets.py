"""A picture of every image of a split: what is on it, where it lies, and what cannot be drawn."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from report_making import fake_run

from maskwright.data.pictures import palette
from maskwright.errors import DataError
from maskwright.reports.facts import gather
from maskwright.reports.gallery import Pick, make_row
from maskwright.reports.sheets import LONGEST, draw_sheet, write_sheets
from maskwright.runs import Run
from support import copy_of, finished, maskwright


def test_every_image_of_the_split_has_one_worst_first(land: Run) -> None:
    paths = write_sheets(land)
    facts = gather(land)
    folder = land.root / "evaluation" / "pictures" / "test"
    assert [path.relative_to(folder).with_suffix("").as_posix() for path in paths] == [
        row.name for row in facts.images()
    ]
    assert sorted(path.stem for path in paths) == sorted(Path(name).name for name in facts.counts.images)
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in paths)


def test_the_four_pictures_stand_side_by_side(land: Run) -> None:
    facts = gather(land)
    row = make_row(land, facts, Pick("", facts.counts.images[3], 0.5), Path(facts.document["root"]))
    assert [picture.title for picture in row.pictures] == ["Image", "Truth", "Prediction", "Error"]
    sheet = draw_sheet(facts, row)
    side = LONGEST // 32 * 32  # 32 pixels, enlarged by a whole factor
    left = [
        x for x in range(sheet.shape[1] - side) if np.array_equal(sheet[200:203, x], np.full((3, 3), (205, 208, 213)))
    ]
    assert len(left) >= 4  # a frame around each
    assert row.pictures[1].pixels is not None
    truth = np.kron(row.pictures[1].pixels, np.ones((side // 32, side // 32, 1), np.uint8))
    places = [
        (y, x + 1) for x in left for y in range(120) if np.array_equal(sheet[y : y + side, x + 1 : x + 1 + side], truth)
    ]
    assert len(places) == 1  # as it is, pixel by pixel


def test_the_legend_names_the_classes_that_are_there(land: Run) -> None:
    """Their colours stand below the panels; a class that is on no panel has no entry."""
    facts = gather(land)
    row = make_row(land, facts, Pick("", facts.counts.images[0], 0.5), Path(facts.document["root"]))
    below = draw_sheet(facts, row)[-90:].reshape(-1, 3)
    shown = {index for index in range(5) if (below == palette(5)[index]).all(1).sum() > 100}
    assert row.classes <= shown


def test_two_classes_work_too(pair: Run) -> None:
    assert len(write_sheets(pair)) == 4


def test_a_prediction_that_was_not_scored_is_an_error(pair: Run) -> None:
    victim = next((pair.root / "evaluation" / "predictions" / "test").rglob("*.png"))
    with Image.open(victim) as picture:
        Image.fromarray(1 - np.asarray(picture)).save(victim)
    with pytest.raises(DataError, match="must be the prediction that was scored"):
        write_sheets(pair)


def test_data_that_moved_away_is_one_sentence(tmp_path: Path) -> None:
    run = fake_run(tmp_path / "one", ("background", "cat"), (2, 1, 2), 2)
    (tmp_path / "one" / "data").rename(tmp_path / "elsewhere")
    with pytest.raises(DataError, match="--data FOLDER"):
        write_sheets(run)
    assert len(write_sheets(run, data=tmp_path / "elsewhere")) == 2


def test_progress_is_told(pair: Run) -> None:
    seen: list[tuple[int, int]] = []
    write_sheets(pair, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(number, 4) for number in range(1, 5)]


def test_evaluate_draws_them_when_asked(tmp_path: Path) -> None:
    run = copy_of(finished(), tmp_path / "run")
    plain = maskwright("evaluate", run, "--split", "val")
    assert plain.code in (0, None) and not (run / "evaluation" / "pictures").exists()
    told = maskwright("evaluate", run, "--split", "val", "--pictures")
    pictures = sorted((run / "evaluation" / "pictures" / "val").rglob("*.png"))
    assert len(pictures) == len(Run.open(run).data["splits"]["val"])
    assert f"pictures of {len(pictures)} images in {run / 'evaluation' / 'pictures' / 'val'}" in told.out
