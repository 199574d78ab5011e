"""The demo sets: reproducible, whole or not there at all, and neither trivial nor broken as data."""

from __future__ import annotations

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from maskwright.data.synthetic import GENERATORS, make, split_sizes
from maskwright.errors import RunError, UsageError

TINY = (48, 64)


def contents(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def pairs(root: Path) -> list[dict[str, str]]:
    with (root / "pairs.csv").open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def drawn(name: str, count: int, height: int, width: int, seed: int = 0) -> list[tuple[np.ndarray, np.ndarray]]:
    draw = GENERATORS[name].draw
    return [draw(np.random.default_rng([seed, index]), height, width) for index in range(count)]


@pytest.mark.parametrize("name", GENERATORS)
def test_same_seed_gives_the_same_bytes(name: str, tmp_path: Path) -> None:
    make(name, tmp_path / "a", count=4, size=TINY, seed=7)
    make(name, tmp_path / "b", count=4, size=TINY, seed=7)
    make(name, tmp_path / "c", count=4, size=TINY, seed=8)
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert contents(tmp_path / "a") != contents(tmp_path / "c")


@pytest.mark.parametrize("name", GENERATORS)
def test_a_larger_set_begins_with_the_smaller_one(name: str, tmp_path: Path) -> None:
    make(name, tmp_path / "few", count=2, size=TINY)
    make(name, tmp_path / "many", count=5, size=TINY)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    pictures = [path for path in few if path.endswith(".png")]
    assert len(pictures) == 4
    assert all(few[path] == many[path] for path in pictures)


def test_one_image_differs_from_the_next() -> None:
    for name in GENERATORS:
        (first, _), (second, _) = drawn(name, 2, *TINY)
        assert (first != second).any()


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(1, (1, 0, 0)), (2, (2, 0, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (18, (10, 4, 4)), (60, (34, 13, 13))],
)
def test_split_sizes(count: int, sizes: tuple[int, int, int]) -> None:
    assert split_sizes(count) == dict(zip(("train", "val", "test"), sizes, strict=True))


def test_puzzle_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    made = make("puzzle", tmp_path / "set", size=TINY, on_progress=lambda done, total: seen.append((done, total)))
    assert (made.name, made.root, made.num_images) == ("puzzle", tmp_path / "set", 18)
    assert made.splits == {"train": 10, "val": 4, "test": 4}
    assert made.class_names == ("background", "piece")
    assert seen == [(done, 18) for done in range(1, 19)]
    rows = pairs(made.root)
    assert list(rows[0]) == ["image", "mask", "split"]
    assert [(row["image"], row["mask"]) for row in rows] == [
        (f"images/image-{index}.png", f"masks/mask-{index}.png") for index in range(18)
    ]
    assert {split: sum(row["split"] == split for row in rows) for split in made.splits} == made.splits
    assert set(contents(made.root)) == {"pairs.csv", *(row["image"] for row in rows), *(row["mask"] for row in rows)}
    with Image.open(made.root / rows[7]["image"]) as image, Image.open(made.root / rows[7]["mask"]) as mask:
        assert (image.mode, image.size) == ("RGB", (64, 48))
        assert (mask.mode, mask.size) == ("L", (64, 48))
        assert set(np.unique(mask)) == {0, 255}


def test_landcover_files(tmp_path: Path) -> None:
    made = make("landcover", tmp_path / "set", count=6, size=TINY)
    rows = pairs(made.root)
    assert rows[3]["image"] == "images/tile-0003.png" and rows[3]["mask"] == "masks/tile-0003.png"
    assert (made.root / "classes.yaml").read_text() == "ground: 0\nforest: 1\nwater: 2\nroad: 3\nbuilding: 4\n"
    for row in rows:
        with Image.open(made.root / row["mask"]) as mask:
            assert mask.mode == "P"
            assert np.asarray(mask).max() <= 4


def test_landcover_is_unbalanced_and_complete() -> None:
    counts = sum(np.bincount(mask.ravel(), minlength=5) for _, mask in drawn("landcover", 60, 64, 64))
    shares = counts / counts.sum()
    assert len(shares) == 5 and (shares > 0).all()
    assert shares.max() > 20 * shares.min()
    assert shares.argmax() == 0 and shares.argmin() == 4


def test_pieces_cover_a_sensible_share() -> None:
    shares = [float((mask > 0).mean()) for _, mask in drawn("puzzle", 24, 64, 80)]
    assert min(shares) > 0.1 and max(shares) < 0.55
    assert 0.2 < np.mean(shares) < 0.42


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("size", [(33, 47), (32, 130), (130, 32), (96, 96)])
def test_any_size(name: str, size: tuple[int, int]) -> None:
    for image, mask in drawn(name, 4, *size, seed=3):
        assert image.shape == (*size, 3) and image.dtype == np.uint8
        assert mask.shape == size and mask.dtype == np.uint8


def test_puzzle_outline_follows_the_picture() -> None:
    """The strongest edges of the photographs lie on the outline: a mask moved by some pixels would miss them."""

    def strength(shift: int) -> float:
        found = []
        for image, mask in pictures:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2LAB).astype(np.float32)
            slope = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1)).max(2)
            moved = np.roll(mask, (shift, shift), (0, 1))
            outline = cv2.morphologyEx(moved, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
            found.append(slope[outline].mean())
        return float(np.mean(found))

    pictures = drawn("puzzle", 6, 192, 256)
    assert strength(0) > 1.5 * max(strength(-6), strength(6))


def test_no_threshold_solves_the_puzzle() -> None:
    """Otsu on any one channel, either side of it, judged by the kinder of the two."""
    scores: dict[int, list[float]] = {}
    for image, mask in drawn("puzzle", 12, 96, 128):
        piece = mask > 0
        spaces = [image, cv2.cvtColor(image, cv2.COLOR_RGB2HSV), cv2.cvtColor(image, cv2.COLOR_RGB2LAB)]
        for number, channel in enumerate(np.concatenate(spaces, 2).transpose(2, 0, 1)):
            smooth = cv2.GaussianBlur(np.ascontiguousarray(channel), (5, 5), 0)
            above = cv2.threshold(smooth, 0, 1, cv2.THRESH_BINARY | cv2.THRESH_OTSU)[1] > 0
            best = max((guess & piece).sum() / (guess | piece).sum() for guess in (above, ~above))
            scores.setdefault(number, []).append(float(best))
    assert len(scores) == 9
    assert max(np.mean(values) for values in scores.values()) < 0.95


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"name": "puzle"}, "Unknown data set 'puzle'. Did you mean 'puzzle'"),
        ({"count": 0}, "`count` must be at least 1; got 0."),
        ({"size": (16, 64)}, "`size` must be at least 32 pixels each way; got 16 x 64."),
        ({"seed": -1}, "`seed` must be 0 or more; got -1."),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], sentence: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as caught:
        make(**{"name": "puzzle", "out": tmp_path / "set", **arguments})  # type: ignore[arg-type]
    assert sentence in str(caught.value)
    assert not list(tmp_path.iterdir())


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(
        RunError, match=r"`OUT` must be a new or empty folder; got .*mine, which holds thesis\.txt\. Choose"
    ):
        make("puzzle", tmp_path / "mine", count=1, size=TINY)
    with pytest.raises(RunError, match=r"thesis\.txt, a file"):
        make("puzzle", tmp_path / "mine" / "thesis.txt", count=1, size=TINY)
    with pytest.raises(RunError, match=r"could not make the folder .*: Not a directory"):
        make("puzzle", tmp_path / "mine" / "thesis.txt" / "below", count=1, size=TINY)
    assert contents(tmp_path) == {"mine/thesis.txt": b"years of work"}


def test_an_empty_or_nested_folder_is_fine(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    make("puzzle", tmp_path / "empty", count=1, size=TINY)
    make("puzzle", tmp_path / "new" / "deeper", count=1, size=TINY)
    assert contents(tmp_path / "empty") == contents(tmp_path / "new" / "deeper")


@pytest.mark.parametrize("failure", [RuntimeError("no"), KeyboardInterrupt()])
def test_an_interrupted_make_leaves_nothing(
    failure: BaseException, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(rng: np.random.Generator, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
        calls.append(height)
        if len(calls) == 3:
            raise failure
        return original.draw(rng, height, width)

    calls: list[int] = []
    original = GENERATORS["puzzle"]
    monkeypatch.setitem(GENERATORS, "puzzle", replace(original, draw=failing))
    with pytest.raises(type(failure)):
        make("puzzle", tmp_path / "set", count=5, size=TINY)
    assert len(calls) == 3
    assert not list(tmp_path.iterdir())
