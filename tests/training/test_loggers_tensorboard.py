"""TensorBoard's event files, read back with TensorBoard's own reader."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from maskwright.runs import Run
from support import EPOCHS, TAGS, TINY, discs, finished, maskwright, picture


@pytest.fixture(scope="module")
def events() -> EventAccumulator:
    accumulator = EventAccumulator(str(finished() / "tensorboard"), size_guidance={"images": 0, "scalars": 0})
    accumulator.Reload()
    return accumulator


@pytest.mark.parametrize(("tag", "column"), TAGS.items())
def test_scalars_are_those_of_the_history(events, tag, column):
    found = events.Scalars(tag)
    assert [event.step for event in found] == list(range(EPOCHS))
    assert [event.value for event in found] == [float(np.float32(row[column])) for row in Run.open(finished()).history]


def test_no_other_scalars_are_written(events):
    assert set(events.Tags()["scalars"]) == TAGS.keys()


def test_panels_show_image_truth_and_prediction(events):
    entries = Run.open(finished()).data["splits"]["val"]
    names = {Path(entry["image"]).stem: entry for entry in entries}
    assert set(events.Tags()["images"]) == {f"val/{name}" for name in names}
    for name, entry in names.items():
        panels = events.Images(f"val/{name}")
        assert [panel.step for panel in panels] == list(range(EPOCHS))
        with Image.open(io.BytesIO(panels[-1].encoded_image_string)) as shown:
            pixels = np.asarray(shown.convert("RGB"))
        assert pixels.shape == (32, 3 * 40 + 2 * 4, 3)
        root = Path(Run.open(finished()).data["root"])
        assert (pixels[:, :40] == np.asarray(Image.open(root / entry["image"]).convert("RGB"))).all()
        truth = np.asarray(Image.open(root / entry["mask"])) > 0
        assert (pixels[:, 40:44] == 255).all()
        assert ((pixels[:, 44:84] == (0, 158, 115)).all(axis=2) == truth).all()


def test_the_last_panel_shows_what_the_best_weights_predict(events):
    """Where the best epoch is the last, its panel is the prediction of the saved weights."""
    import maskwright as mw
    from maskwright.training.callbacks import read_best

    run = mw.load_run(finished())
    best = int(read_best(run)["epoch"])
    for entry in run.data["splits"]["val"]:
        image = Path(run.data["root"]) / entry["image"]
        (panel,) = [panel for panel in events.Images(f"val/{image.stem}") if panel.step == best]
        pixels = np.asarray(Image.open(io.BytesIO(panel.encoded_image_string)).convert("RGB"))
        assert ((pixels[:, 88:] == (0, 158, 115)).all(axis=2) == (run.predict(image).labels == 1)).all()


def test_images_of_the_same_name_in_other_folders_have_panels_of_their_own(tmp_path):
    rows = ["image,mask,split"]
    for number, split in enumerate(["train", "train", "val", "val"]):
        image, mask = discs(32, 40, number)
        picture(tmp_path / "set" / f"{number}" / "scan.png", image)
        picture(tmp_path / "set" / f"{number}" / "mask.png", mask)
        rows.append(f"{number}/scan.png,{number}/mask.png,{split}")
    (tmp_path / "set" / "pairs.csv").write_text("\n".join(rows) + "\n")
    assert maskwright("train", "--data", tmp_path / "set", *TINY, "--epochs", 1, "--out", tmp_path / "run").code == 0
    accumulator = EventAccumulator(str(tmp_path / "run" / "tensorboard"), size_guidance={"images": 0})
    accumulator.Reload()
    assert set(accumulator.Tags()["images"]) == {"val/2/scan", "val/3/scan"}
