"""Albumentations as a step: joint on image and mask, random numbers ours alone, and mistakes told with their keys."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from typing import Any

import cv2
import numpy as np
import pytest

from maskwright.config.augment import AlbumentationsOp, AugmentOp
from maskwright.config.files import load_config
from maskwright.data import albumentations as adapter
from maskwright.data.augment import Op, augment, resolve, sample_rng, unused_settings, validate_augment
from maskwright.data.dataset import IGNORE, RGB
from maskwright.data.geometry import View
from maskwright.errors import ConfigError, DataError, install_command

pytest.importorskip("albumentations")
SIZE = 32
VIEW = View("whole", SIZE)
WORKSHOP: list[dict[str, Any]] = [
    {"name": "HorizontalFlip", "p": 0.5},
    {"name": "ShiftScaleRotate", "shift_limit": 0.1, "scale_limit": 0.2, "rotate_limit": 30, "p": 0.7},
    {"name": "OneOf", "p": 0.5, "transforms": [{"name": "GaussianBlur"}, {"name": "GaussNoise"}]},
    {"name": "ColorJitter", "p": 0.8},
    {"name": "CoarseDropout", "p": 0.5},
]


def plan(what: object) -> tuple[Op, ...]:
    return resolve([AlbumentationsOp(albumentations=what)])  # type: ignore[arg-type]


def pair(height: int = SIZE, width: int = SIZE, channels: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(30, 226, (height, width, channels), np.uint8), rng.integers(0, 4, (height, width), np.uint8)


def refused(what: object, *inputs: int) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        validate_augment(plan(what), *(inputs or (SIZE, 3, 4)))
    return caught.value.problems


# ------------------------------------------------------------------ what it does


def test_it_does_what_the_package_does() -> None:
    """Against the package itself, called by hand with the same random state, in a pipeline of three."""
    import random

    import albumentations as A

    image, mask = pair()
    found, labels = augment(image, mask, VIEW, plan(WORKSHOP[:2] + WORKSHOP[3:4]), sample_rng(0, 1, 2))
    rng = sample_rng(0, 1, 2)
    rng.random()  # whether the step is applied
    python_random = random.Random(int(rng.integers(1 << 62)))
    theirs = A.Compose(
        [
            A.HorizontalFlip(p=0.5),
            A.Affine(
                translate_percent={"x": (-0.1, 0.1), "y": (-0.1, 0.1)}, scale=(0.8, 1.2), rotate=(-30, 30), p=0.7,
                interpolation=1, mask_interpolation=0, fill_mask=IGNORE, border_mode=0, rotate_method="largest_box",
            ),
            A.ColorJitter(p=0.8),
        ]
    )  # fmt: skip
    for transform in theirs.transforms:
        transform.set_random_state(rng, python_random)
    made = {"image": image, "mask": mask}
    for transform in theirs.transforms:
        made = transform(**made)
    assert (made["mask"] == labels).all() and (made["image"] == found).all()
    assert (labels != mask).any()


def test_it_comes_after_our_warp_and_moves_image_and_mask_together() -> None:
    image = np.zeros((50, 70, 3), np.uint8)
    mask = np.zeros((50, 70), np.uint8)
    image[10:30, 5:25], mask[10:30, 5:25] = 200, 1
    flip = {"name": "HorizontalFlip", "p": 1.0}
    plain, plain_mask = augment(image, mask, VIEW, (), sample_rng(0, 0, 0))
    found, labels = augment(image, mask, VIEW, plan(flip), sample_rng(0, 0, 0))
    assert found.shape == (SIZE, SIZE, 3) and labels.shape == (SIZE, SIZE)
    assert (found == plain[:, ::-1]).all() and (labels == plain_mask[:, ::-1]).all()
    both = resolve([AugmentOp(name="hflip", p=1), AlbumentationsOp(albumentations=flip)])
    found, labels = augment(image, mask, VIEW, both, sample_rng(0, 0, 0))
    assert (found == plain).all() and (labels == plain_mask).all()


def test_what_it_fills_in_a_mask_is_ignored_unless_said_otherwise() -> None:
    image, mask = np.full((SIZE, SIZE, 3), 100, np.uint8), np.ones((SIZE, SIZE), np.uint8)
    turn = {"name": "Rotate", "limit": [45, 45], "p": 1.0}
    assert set(np.unique(augment(image, mask, VIEW, plan(turn), sample_rng(0, 0, 0))[1])) == {1, IGNORE}
    assert set(np.unique(augment(image, mask, VIEW, plan({**turn, "fill_mask": 0}), sample_rng(0, 0, 0))[1])) == {0, 1}
    holes = {"name": "CoarseDropout", "p": 1.0}  # hides a part of the image and leaves what it is in the mask
    found, labels = augment(image, mask, VIEW, plan(holes), sample_rng(0, 0, 0))
    assert (labels == 1).all() and (found != 100).any()


def test_every_transform_that_needs_no_more_than_an_image_works_and_hangs_on_our_random_numbers_alone() -> None:
    """Over the installed package: built with its defaults, tried, and drawn again after other draws."""
    package = adapter._package()
    image, mask = pair()
    worked: list[str] = []
    for name in adapter._names(package):
        try:
            steps = plan({"name": name, "p": 1.0})
            validate_augment(steps, SIZE, 3, 4)
        except ConfigError:
            continue  # it needs arguments, or other pictures
        first = augment(image, mask, VIEW, steps, sample_rng(0, 1, 2))
        for sample in range(2):
            augment(image, mask, VIEW, steps, sample_rng(5, 0, sample))
        again = augment(image, mask, VIEW, steps, sample_rng(0, 1, 2))
        assert (first[0] == again[0]).all() and (first[1] == again[1]).all(), name
        assert set(np.unique(first[1])) <= {0, 1, 2, 3, IGNORE}, name
        worked.append(name)
    assert len(worked) > 75
    assert {
        "HorizontalFlip",
        "ShiftScaleRotate",
        "ColorJitter",
        "ElasticTransform",
        "MedianBlur",
        "RandomRotate90",
    } <= {*worked}


def test_another_order_of_work_or_another_process_changes_nothing() -> None:
    image, mask = pair()
    steps = plan(WORKSHOP)

    def draw(sample: int, by: tuple[Op, ...]) -> bytes:
        found, labels = augment(image, mask, VIEW, by, sample_rng(0, 3, sample))
        return found.tobytes() + labels.tobytes()

    forwards = [draw(sample, steps) for sample in range(12)]
    copy = pickle.loads(pickle.dumps(steps))  # as a worker that is not forked gets it
    assert [draw(sample, copy) for sample in reversed(range(12))] == forwards[::-1]
    assert len(set(forwards)) == 12


def test_workers_change_nothing(tiny_set) -> None:
    from maskwright.config.data import DataConfig
    from maskwright.data.loader import EpochKeys, TrainSamples, train_loader
    from maskwright.data.opening import open_dataset

    opened, threads = open_dataset(DataConfig(root=str(tiny_set))), cv2.getNumThreads()

    def batches(workers: int) -> list[bytes]:
        samples = TrainSamples(opened.store, opened.dataset.split("train"), View("whole", 16), plan(WORKSHOP), 0, 2)
        keys = EpochKeys(len(samples), 4, 0)
        return [
            batch.images.numpy().tobytes() + batch.masks.numpy().tobytes()
            for batch in train_loader(samples, keys, workers, False)
        ]

    try:
        assert batches(0) == batches(2)
    finally:
        cv2.setNumThreads(threads)


def test_no_warning_and_no_look_at_the_network_reaches_a_user() -> None:
    """In a process of its own, where nothing has imported the package before; sockets end it."""
    code = """
import sys, socket
def refuse(*arguments): raise SystemExit("network")
socket.socket.connect = socket.getaddrinfo = refuse
from maskwright.config.augment import AlbumentationsOp
from maskwright.data.augment import resolve, validate_augment
plan = resolve([AlbumentationsOp(albumentations={"name": "ShiftScaleRotate"})])
validate_augment(plan, 16, 3, 2)
"""
    environment = {key: value for key, value in os.environ.items() if key != "NO_ALBUMENTATIONS_UPDATE"}
    done = subprocess.run(
        [sys.executable, "-W", "always", "-c", code], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "albumentations" not in done.stderr.lower() and done.stdout == ""


def test_without_the_step_the_package_is_not_imported() -> None:
    code = "import sys, maskwright.data.augment as a; a.resolve('heavy'); print('albumentations' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# ------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("what", "key", "told"),
    [
        ({"name": "ShiftScaleRotat"}, "augment.0.albumentations.name", "Did you mean 'ShiftScaleRotate'"),
        ([{"name": "Blurr"}], "augment.0.albumentations.0.name", "Did you mean 'Blur'"),
        (
            {"name": "ShiftScaleRotate", "shift_limt": 0.1},
            "augment.0.albumentations.shift_limt",
            "Did you mean 'shift_limit', ",
        ),
        ({"name": "HorizontalFlip", "p": 3}, "augment.0.albumentations.p", "less than or equal to 1"),
        ({"name": "ShiftScaleRotate", "shift_limit": "far"}, "augment.0.albumentations.shift_limit", "got 'far'"),
        ({"name": "RandomCrop", "height": 9}, "augment.0.albumentations.width", "must be given"),
        ({"name": "CropAndPad"}, "augment.0.albumentations", "Both px and percent"),
        ({"name": "OneOf"}, "augment.0.albumentations.transforms", "must be given"),
        ({"name": "OneOf", "transforms": [{"name": "Blurr"}]}, "augment.0.albumentations.transforms.0.name", "Blur"),
        (
            {"name": "Rotate", "mask_interpolation": 1},
            "augment.0.albumentations.mask_interpolation",
            "labels can't be mixed",
        ),
        ({"name": "Resize", "height": SIZE, "width": SIZE}, "augment.0.albumentations.name", "data.size"),
        ({"name": "Normalize"}, "augment.0.albumentations.name", "in the model"),
        ({"name": "ToTensorV2"}, "augment.0.albumentations.name", "in the loader"),
        ({"name": "Lambda"}, "augment.0.albumentations.name", "Unknown transform 'Lambda'"),
        ({"name": "CenterCrop3D", "size": 3}, "augment.0.albumentations.name", "Unknown transform 'CenterCrop3D'"),
        ({"name": "RandomCrop", "height": 16, "width": 16, "p": 0.01}, "augment.0.albumentations", "got 16x16"),
        ({"name": "RandomScale", "scale_limit": [0.5, 0.5]}, "augment.0.albumentations", "32x32, which is data.size"),
        ({"name": "ToGray", "num_output_channels": 1}, "augment.0.albumentations", "3 channels"),
        ({"name": "Rotate", "fill_mask": 9}, "augment.0.albumentations", "class numbers 0 to 3"),
        ({"name": "FDA"}, "augment.0.albumentations", "fda_metadata"),
    ],
)
def test_a_mistake_is_told_with_its_key_and_a_way_out(what: object, key: str, told: str) -> None:
    (problem,) = refused(what)
    assert (problem.startswith(f"`{key}` ") or f" in `{key}`. " in problem) and told in problem
    assert "\n" not in problem


def test_all_mistakes_are_told_at_once_with_ours() -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(
            [
                AugmentOp(name="rotat"),
                AlbumentationsOp(albumentations=[{"name": "Blurr"}, {"name": "Rotate", "limt": 3}]),
            ]
        )
    assert [problem.split("`")[1] for problem in caught.value.problems] == [
        "augment.0.name", "augment.1.albumentations.0.name", "augment.1.albumentations.1.limt",
    ]  # fmt: skip


def test_a_crop_back_to_the_inputs_size_is_fine() -> None:
    back = [
        {"name": "PadIfNeeded", "min_height": 40, "min_width": 40},
        {"name": "RandomCrop", "height": SIZE, "width": SIZE},
    ]
    validate_augment(plan(back), SIZE, 3, 4)
    found, labels = augment(*pair(), VIEW, plan(back), sample_rng(0, 0, 0))
    assert found.shape == (SIZE, SIZE, 3) and labels.shape == (SIZE, SIZE)


def test_a_transform_that_needs_three_channels_is_refused_for_more() -> None:
    validate_augment(plan({"name": "ColorJitter"}), SIZE, 3, 2)
    (problem,) = refused({"name": "ColorJitter"}, SIZE, 5, 2)
    assert "1-channel or 3-channel" in problem
    validate_augment(plan({"name": "ShiftScaleRotate"}), SIZE, 5, 2)
    found, _ = augment(*pair(channels=5), VIEW, plan({"name": "ShiftScaleRotate", "p": 1.0}), sample_rng(0, 0, 0))
    assert found.shape == (SIZE, SIZE, 5)


def test_an_input_that_comes_out_in_another_size_stops_there() -> None:
    """What the trial was not asked about: the same crop, tried for inputs of its own size, met by larger ones."""
    steps = plan({"name": "RandomCrop", "height": 16, "width": 16, "p": 1.0})
    validate_augment(steps, 16, 3, 4)
    with pytest.raises(DataError, match="got 16x16"):
        augment(*pair(), VIEW, steps, sample_rng(0, 0, 0))


def test_a_package_that_is_not_there_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    """The import is made to fail as it does where the extra isn't installed; nothing else can take the package away
    here.
    """
    monkeypatch.setitem(sys.modules, "albumentations", None)
    (problem,) = refused({"name": "HorizontalFlip"})
    assert problem.endswith(f"it is not installed. Run: {install_command('albumentations')}")


# ------------------------------------------------------------------ the configuration


@pytest.mark.parametrize("what", ["7", "{nam: Blur}", "[]", "[Blur]", "{name: 3}", "{name: OneOf, transforms: [Blur]}"])
def test_a_wrong_shape_is_told_with_file_and_line(tmp_path, what: str) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(f"augment:\n- name: hflip\n- albumentations: {what}\n")
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    (problem,) = caught.value.problems
    assert problem.startswith(f"{path}, line 3: `augment.1.albumentations` must be {{name: …}}")


def test_mistakes_in_both_forms_are_told_with_the_nearest_key(tmp_path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text(
        "augment:\n- name: hflip\n  amont: 2\n- albumentation: {name: Blur}\n- albumentations: {name: Blur}\n  p: 1\n"
    )
    with pytest.raises(ConfigError) as caught:
        load_config(path)
    told = "\n".join(caught.value.problems).replace(str(path), "my.yaml")
    assert "my.yaml, line 3: Unknown key 'augment.0.amont'. Did you mean 'augment.0.amount'?" in told
    assert "my.yaml, line 4: Unknown key 'augment.1.albumentation'. Did you mean 'augment.1.albumentations'?" in told
    assert "my.yaml, line 6: Unknown key 'augment.2.p'. Keys here are albumentations." in told


def test_a_pipeline_survives_being_written_and_read() -> None:
    config = load_config(
        None, [("augment", f"[{{name: hflip}}, {{albumentations: {json.dumps(WORKSHOP)}}}]", "--augment")]
    )
    again = config.replace({"train.epochs": 3})
    assert again.augment == config.augment
    assert [op.name for op in resolve(again.augment)] == ["hflip", "albumentations"]


def test_a_place_in_the_list_that_changes_nothing_is_told() -> None:
    blur = AlbumentationsOp(albumentations={"name": "Blur"})
    assert unused_settings([blur, AugmentOp(name="hflip")], RGB) != []
    assert unused_settings([AugmentOp(name="hflip"), blur, blur], RGB) == []
