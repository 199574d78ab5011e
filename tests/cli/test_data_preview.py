"""maskwright data preview: the command's own flags, the configuration's keys, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support import data, maskwright


def test_it_writes_the_sheet_and_says_where(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    outcome = maskwright("data", "preview", data(), "--size", 32, "--count", 2, "--draws", 2, "--out", sheet)
    assert outcome.code == 0, outcome.err
    assert outcome.out.strip() == f"2 images, 2 draws each, in {sheet}"
    with Image.open(sheet) as picture:
        assert picture.format == "PNG" and picture.width > 3 * 256


def test_json_tells_the_images_and_the_settled_configuration(tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    words = [
        "--augment",
        "[{name: hflip, amount: 2}]",
        "--data.view",
        "crop",
        "--data.crop_focus",
        "0.5",
        "--size",
        "24",
    ]
    outcome = maskwright("data", "preview", data(), *words, "--count", 1, "--out", sheet, "--seed", 4, "--json")
    assert outcome.code == 0, outcome.err
    told = outcome.json
    assert told["sheet"] == str(sheet) and len(told["images"]) == 1 and told["draws"] == 5
    assert told["config"]["data"]["size"] == 24 and told["config"]["data"]["crop_focus"] == 0.5
    assert told["config"]["train"]["seed"] == 4
    assert "augment hflip: amount has no effect" in told["notes"]


def test_augmentation_decides_what_is_drawn(tmp_path: Path) -> None:
    pixels = []
    for name in ("none", "heavy"):
        words = (
            "--augment",
            name,
            "--size",
            32,
            "--data.view",
            "whole",
            "--count",
            1,
            "--out",
            tmp_path / f"{name}.png",
        )
        maskwright("data", "preview", data(), *words)
        with Image.open(tmp_path / f"{name}.png") as picture:
            pixels.append(np.asarray(picture)[200:330])
    first, second = (pixels[0][:, left : left + 256] for left in (44, 312))
    assert (first == second).all()  # without augmentation a draw is the image itself
    assert pixels[0].shape != pixels[1].shape or (pixels[0] != pixels[1]).any()


def test_a_configuration_file_may_stand_for_the_data(tmp_path: Path) -> None:
    (tmp_path / "my.yaml").write_text(f"data: {{root: '{data()}', size: 24}}\naugment: light\n")
    outcome = maskwright("data", "preview", tmp_path / "my.yaml", "--count", 1, "--out", tmp_path / "a.png", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["config"]["augment"] == "light" and outcome.json["config"]["data"]["size"] == 24


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--augment", "hevy"], "--augment: `augment` must be auto, none, light, standard or heavy; got 'hevy'."),
        (
            ["--augment", "[{name: hflpi}]"],
            "Unknown operation 'hflpi' in `augment.0.name`. Did you mean 'hflip'",
        ),
        (
            ["--augment", "[{albumentations: {name: HorizontalFlp}}]"],
            "Unknown transform 'HorizontalFlp' in `augment.0.albumentations.name`. Did you mean ",
        ),
        (["--count", "0"], "`--count` must be 1 to 64; got 0."),
        (["--draws", "99"], "`--draws` must be 1 to 12; got 99."),
        (["--data.siz", "3"], "Unknown key 'data.siz'. Did you mean 'data.size'?"),
        (["--out", "sheet.jpg"], "`--out` must end in .png"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("data", "preview", data(), "--size", 32, *words)
    assert outcome.code == 2
    assert told in outcome.sentence
    assert list(tmp_path.iterdir()) == []


def test_without_data_it_asks_for_it() -> None:
    outcome = maskwright("data", "preview")
    assert outcome.code == 2 and "`DATA` must be a data set's folder" in outcome.sentence


def test_the_name_of_the_data_names_the_sheet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = maskwright("data", "preview", data(), "--size", 32, "--count", 1, "--draws", 1)
    assert outcome.code == 0 and [path.name for path in tmp_path.iterdir()] == ["puzzle-preview.png"]
