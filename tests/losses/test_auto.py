"""Loss and class weights chosen from the training pixels: what turns them on, what they are, and no help counted
twice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import yaml

from maskwright.config import Config
from maskwright.data.dataset import ClassMap, Dataset, Item, Record
from maskwright.data.sampling import image_weights
from maskwright.errors import ConfigError
from maskwright.losses import AUTO_REASON
from maskwright.losses.auto import LEAST, MOST, class_weights, resolve_loss, shares_as_seen
from maskwright.training.plan import prepare
from support import data, finished, maskwright, picture

PLAIN = Config.model_validate({"loss": [{"name": "ce"}, {"name": "dice"}]}).loss


def made_of(pixels: Sequence[Sequence[int]], splits: Sequence[str] | None = None) -> Dataset:
    """A data set of which the pixels of each class in each image are all that is known."""
    names = tuple(f"class_{label}" for label in range(len(pixels[0])))
    records = [
        Record(str(i), Path(f"{i}.png"), Path(f"{i}.png"), splits[i] if splits else "train") for i in range(len(pixels))
    ]
    items = [Item(record, 1, sum(row), "", "", tuple(row), 0) for record, row in zip(records, pixels, strict=True)]
    return Dataset(Path("set"), tuple(items), ClassMap(names, tuple(range(len(names)))), "", "", "")


# as camvid's training images have them: pixels in thousandths, and in how many of 80 images each class is
CAMVID = [(205, 80), (184, 79), (10, 80), (306, 80), (31, 72), (158, 78), (16, 74), (6, 28), (75, 77), (6, 63), (3, 31)]


def like_camvid() -> Dataset:
    """80 images with camvid's shares of pixels and of images."""
    return made_of(
        [[round(share * 8000 / held) if index < held else 0 for share, held in CAMVID] for index in range(80)]
    )


def settled(
    dataset: Dataset, sampling: str = "uniform", focus: float = 0.0, window: float | None = None
) -> tuple[list, dict]:
    return resolve_loss("auto", dataset, sampling, focus, window)


# ------------------------------------------------------------------ what turns weights on


@pytest.mark.parametrize("pixels", [[[762, 238]] * 10, [[912, 88]] * 4, [[30, 58, 12]] * 3, [[50, 50, 0]] * 4])
def test_sets_without_a_rare_class_have_the_plain_mix(pixels: list[list[int]]) -> None:
    terms, reasons = settled(made_of(pixels))
    assert Config.model_validate({"loss": terms}).loss == PLAIN
    assert reasons == {"loss": AUTO_REASON}


def test_shares_like_camvids_get_mild_weights_with_the_reason() -> None:
    terms, reasons = settled(like_camvid())
    weights = terms[0]["class_weights"]
    assert [term["name"] for term in terms] == ["ce", "dice"] and terms[1]["class_weights"] is None
    shares = like_camvid().class_shares("train")
    assert np.argsort(weights, kind="stable").tolist()[0] == int(np.argmax(shares)) and weights[10] == MOST
    assert min(weights) >= LEAST and max(weights) <= MOST
    assert "class_10 has 0.30% of the pixels shown in training and weighs 4" in reasons["loss"]
    assert "class_7" in reasons["loss"] and "class_4 " not in reasons["loss"]


def test_weights_by_hand() -> None:
    """Even share 1/4: √(.25/.64), √(.25/.25), √(.25/.01) held at 4, and 1 for what is not there."""
    assert class_weights([0.64, 0.25, 0.01, 0.0]) == [0.625, 1.0, 4.0, 1.0]
    assert class_weights([0.99, 0.01]) == [round(math.sqrt(0.5 / 0.99), 3), 4.0]
    assert class_weights([1.0, *[0.0] * 19])[0] == 0.5  # √(.05) held at .5


def test_only_training_images_are_asked() -> None:
    dataset = made_of([[50, 50, 1], [50, 50, 60]], ["train", "val"])
    assert settled(dataset)[0][0]["class_weights"] is not None
    dataset = made_of([[50, 50, 60], [50, 50, 1]], ["train", "val"])
    assert settled(dataset)[0][0]["class_weights"] is None


# ------------------------------------------------------------------ one story with sampling and aiming


def test_balanced_images_count_as_often_as_they_are_drawn() -> None:
    """By hand: class 1 in one of four images, which is drawn √4 = 2 times as often: 2 × 40 of 2 × 100 + 3 × 100
    pixels.
    """
    dataset = made_of([[60, 40], [100, 0], [100, 0], [100, 0]])
    assert image_weights(dataset, range(4)) == [2.0, 1.0, 1.0, 1.0]
    assert shares_as_seen(dataset, "uniform", 0.0, None) == [0.9, 0.1]
    assert shares_as_seen(dataset, "balanced", 0.0, None) == pytest.approx([420 / 500, 80 / 500])


def test_aimed_windows_by_hand() -> None:
    """Windows of 100 of 1000 pixels, half of them aimed at class 1: those hold all its 20 pixels, the others 2 of
    100.
    """
    dataset = made_of([[980, 20]])
    assert shares_as_seen(dataset, "uniform", 0.5, 100.0) == pytest.approx([1 - (0.2 + 0.02) / 2, (0.2 + 0.02) / 2])
    # a window can't hold more than it has room for, nor an image more than its own
    # nothing to aim at
    assert shares_as_seen(made_of([[500, 500]]), "uniform", 0.5, 100.0) == pytest.approx([0.5, 0.5])
    assert shares_as_seen(made_of([[700, 300]]), "uniform", 1.0, 100.0) == pytest.approx([0.0, 1.0])
    assert shares_as_seen(made_of([[70, 30]]), "uniform", 1.0, 1000.0) == pytest.approx([0.7, 0.3])


def test_aimed_windows_of_three_classes_share_the_rest() -> None:
    """Aimed at class 2 (class 1 is above its even share): 50 of 100 pixels its own, the rest as 600 to 350."""
    found = shares_as_seen(made_of([[600, 350, 50]]), "uniform", 1.0, 100.0)
    assert found == pytest.approx([0.5 * 600 / 950, 0.5 * 350 / 950, 0.5])


def test_shares_as_seen_are_shares() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        pixels = rng.integers(0, 1000, (6, 4)) * (rng.random((6, 4)) < 0.6)
        pixels[0] = 0  # an image without labels
        dataset = made_of(pixels.tolist())
        if dataset.class_shares("train") == [0.0] * 4:
            continue
        for sampling in ("uniform", "balanced"):
            for focus, window in ((0.0, None), (0.33, 64.0), (1.0, 5000.0)):
                found = shares_as_seen(dataset, sampling, focus, window)
                assert sum(found) == pytest.approx(1.0) and min(found) >= 0 and np.isfinite(found).all()


def test_help_is_not_counted_twice() -> None:
    """Sampling brings rare classes up, so that weights are smaller; aiming so far that they are rare no more."""
    plain, drawn = settled(like_camvid())[0], settled(like_camvid(), "balanced")[0]
    assert all(
        ours <= theirs
        for ours, theirs in zip(drawn[0]["class_weights"][7:], plain[0]["class_weights"][7:], strict=True)
    )
    dataset = made_of([[980, 20]] * 8)
    assert settled(dataset)[0][0]["class_weights"] is not None
    terms, reasons = settled(dataset, "uniform", 0.33, 100.0)
    assert terms[0]["class_weights"] is None and reasons["loss"] == AUTO_REASON


# ------------------------------------------------------------------ terms as configured


def resolved(written: list[dict], dataset: Dataset) -> tuple[list, dict]:
    return resolve_loss(Config.model_validate({"loss": written}).loss, dataset, "uniform", 0.0, None)


def test_class_weights_by_name_by_number_and_auto() -> None:
    dataset = made_of([[640, 250, 110]])
    terms, reasons = resolved(
        [
            {"name": "ce", "class_weights": "auto", "smoothing": 0.1},
            {"name": "tversky", "class_weights": {"class_2": 2.0}},
            {"name": "focal", "class_weights": [1, 2, 3]},
            {"name": "topk", "share": 0.3},
        ],
        dataset,
    )
    assert terms[0]["class_weights"] == class_weights(dataset.class_shares("train")) and terms[0]["smoothing"] == 0.1
    assert [term["class_weights"] for term in terms[1:]] == [[1.0, 1.0, 2.0], [1, 2, 3], None]
    assert (
        list(reasons) == ["loss.0.class_weights"]
        and "class_2 has 11.00% of the pixels" in reasons["loss.0.class_weights"]
    )


@pytest.mark.parametrize(
    ("weights", "told"),
    [
        ([1.0], "`loss.0.class_weights` must hold a weight for each class; got 1. The classes are 3: class_0, class_1"),
        ({"clas_1": 2.0}, "Unknown class 'clas_1' in `loss.0.class_weights`. Did you mean 'class_1'"),
        (
            {"road": 2.0},
            "Unknown class 'road' in `loss.0.class_weights`. Did you mean 'class_0', 'class_1' or 'class_2'?",
        ),
        (
            {"class_0": 0.0, "class_1": 0.0, "class_2": 0.0},
            "`loss.0.class_weights` must leave a class a weight above 0",
        ),
    ],
)
def test_weights_that_do_not_fit_the_classes_are_refused(weights: object, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        resolved([{"name": "ce", "class_weights": weights}], made_of([[1, 1, 1]]))
    assert told in str(refused.value)


def test_all_that_does_not_fit_is_told_at_once() -> None:
    with pytest.raises(ConfigError) as refused:
        resolved(
            [{"name": "ce", "class_weights": [1.0]}, {"name": "dice", "class_weights": {"x": 1}}], made_of([[1, 1, 1]])
        )
    assert len(refused.value.problems) == 2


# ------------------------------------------------------------------ through the program


def rare_set(root: Path) -> Path:
    """Six images of 32 × 32 with four pixels of a rare class in each."""
    rng = np.random.default_rng(0)
    for index in range(6):
        mask = np.zeros((32, 32), np.uint8)
        mask[:12] = 1
        mask[20:22, 4 * index : 4 * index + 2] = 2
        picture(
            root / "images" / f"{index}.png",
            (rng.integers(40, 90, (32, 32, 3)) + 50 * mask[..., None]).astype(np.uint8),
        )
        picture(root / "masks" / f"{index}.png", mask)
    return root


def test_the_puzzle_keeps_the_plain_mix() -> None:
    plan = prepare(Config.model_validate({"data": {"root": str(data())}}))
    assert plan.config.loss == PLAIN and plan.reasons["loss"] == AUTO_REASON
    assert f"# loss was auto: {AUTO_REASON}" in (finished() / "config.yaml").read_text()


def test_a_rare_set_is_trained_with_weights_that_are_told_and_recorded(tmp_path: Path) -> None:
    root = rare_set(tmp_path / "data")
    words = (
        "--model.width",
        2,
        "--model.depth",
        1,
        "--size",
        32,
        "--train.repeats",
        1,
        "--epochs",
        1,
        "--devices",
        "cpu",
    )
    outcome = maskwright("train", "--data", root, *words, "--out", tmp_path / "run", "--verbose")
    assert outcome.code == 0, outcome.err
    told = "class_2 has 0.39% of the pixels shown in training and weighs 4"
    assert f"why     loss: {AUTO_REASON}; {told}" in outcome.err
    text = (tmp_path / "run" / "config.yaml").read_text()
    assert "# loss was auto: " in text and told in text
    assert Config.model_validate({"loss": yaml.safe_load(text)["loss"]}).loss[0].class_weights[2] == 4.0
    assert maskwright("evaluate", tmp_path / "run", "--split", "val").code == 0


def test_a_mix_of_everything_trains_and_its_mistakes_are_told(tmp_path: Path) -> None:
    root = rare_set(tmp_path / "data")
    words = (
        "--model.width",
        2,
        "--model.depth",
        1,
        "--size",
        32,
        "--train.repeats",
        1,
        "--epochs",
        1,
        "--devices",
        "cpu",
    )
    mix = (
        "[{name: ce, class_weights: auto, smoothing: 0.1}, {name: tversky, alpha: 0.7, beta: 0.3}, {name: focal}, "
        "{name: bce},"
    )
    mix += "{name: lovasz}, {name: boundary, class_weights: {class_2: 3}}, {name: topk}, {name: jaccard}, {name: dice}]"
    outcome = maskwright("train", "--data", root, *words, "--loss", mix, "--out", tmp_path / "run", "--verbose")
    assert outcome.code == 0, outcome.err
    assert "why     loss.0.class_weights: class_2 has 0.39%" in outcome.err
    outcome = maskwright(
        "config", "check", "--data", root, *words, "--loss", "[{name: ce, class_weights: {clas_2: 3}}]"
    )
    assert outcome.code == 2
    near = "'class_2', 'class_1' or 'class_0'"
    assert outcome.sentence == f"Unknown class 'clas_2' in `loss.0.class_weights`. Did you mean {near}?"
