"""Masks in .npy, .npz and .mat: which array is meant, what is accepted, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from data.layouts import blocks, noise, save
from maskwright.config.data import DataConfig
from maskwright.data.checks.audit import audit
from maskwright.data.forms.arrays import decode_array, read_mat
from maskwright.data.opening import open_dataset
from maskwright.errors import DataError

SIZE = (6, 9)
MASK = np.arange(54, dtype=np.uint8).reshape(SIZE) % 4
SAVERS = {
    "npy": lambda file, arrays: np.save(file, next(iter(arrays.values()))),
    "npz": lambda file, arrays: np.savez_compressed(file, **arrays),
    "mat": lambda file, arrays: savemat(file, arrays),
}


def saved(kind: str, **arrays: Any) -> bytes:
    file = io.BytesIO()
    SAVERS[kind](file, arrays)
    return file.getvalue()


def decoded(kind: str, data: bytes) -> np.ndarray:
    return decode_array(data, Path(f"m.{kind}"), SIZE)


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.uint16, np.float32, np.float64])
def test_whole_numbers_of_any_type(kind: str, dtype: Any) -> None:
    found = decoded(kind, saved(kind, anything=MASK.astype(dtype)))
    assert found.dtype == np.uint8 and (found == MASK).all()


@pytest.mark.parametrize("kind", SAVERS)
def test_booleans_and_large_labels(kind: str) -> None:
    assert (decoded(kind, saved(kind, mask=MASK > 1)) == (MASK > 1)).all()
    large = MASK.astype(np.int32) * 1000
    assert (decoded(kind, saved(kind, mask=large)) == large).all()


@pytest.mark.parametrize("kind", ["npz", "mat"])
def test_the_mask_is_known_by_its_size_then_by_its_name(kind: str) -> None:
    other = np.zeros((3, 2))
    assert (decoded(kind, saved(kind, inst_centroid=other, odd=MASK)) == MASK).all()
    assert (decoded(kind, saved(kind, weight=MASK.astype(float) + 0.5, type_map=MASK)) == MASK).all()
    with pytest.raises(
        DataError, match=r"one array that is the mask; got inst_map 6x9 and type_map 6x9\. .*under the name mask"
    ):
        decoded(kind, saved(kind, inst_map=MASK, type_map=MASK, more=MASK))
    with pytest.raises(DataError, match="got one 6x9 and two 6x9"):
        decoded(kind, saved(kind, one=MASK, two=MASK))


@pytest.mark.parametrize("kind", SAVERS)
def test_planes_are_refused_with_the_way_out(kind: str) -> None:
    planes = np.eye(4, dtype=np.uint8)[MASK]
    with pytest.raises(DataError, match=r"6x9x4 values\. .*save array\.argmax\(axis=2\)"):
        decoded(kind, saved(kind, mask=planes))
    with pytest.raises(DataError, match=r"4x6x9 values\. .*save array\.argmax\(axis=0\)"):
        decoded(kind, saved(kind, mask=np.moveaxis(planes, 2, 0)))
    assert (planes.argmax(axis=2) == MASK).all()  # the way out is one


@pytest.mark.parametrize("shape", [(1, 6, 9), (6, 9, 1)])
def test_an_axis_of_one_means_nothing(shape: tuple[int, ...]) -> None:
    assert (decoded("npy", saved("npy", mask=MASK.reshape(shape))) == MASK).all()


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (MASK + 0.5, "whole numbers as labels; got fractions"),
        (np.full(SIZE, np.nan), "fractions"),
        (np.full(SIZE, -1), "labels from 0 to 65535; got -1 to -1"),
        (np.full(SIZE, 70000), "got 70000 to 70000"),
        (np.arange(5), "it holds mask"),
        (np.zeros((2, 2, 2, 2)), r"it holds mask \(float64, 4 axes\)"),
        (np.full(SIZE, 1j), "complex128"),
        (np.full(SIZE, "a"), "must hold a mask as an array"),
        (np.zeros((0, 4)), r"the shape \(0, 4\)"),
    ],
)
def test_what_is_no_label_is_refused(value: np.ndarray, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decoded("npy", saved("npy", mask=value))


def test_python_objects_are_never_opened() -> None:
    boxed = np.empty(SIZE, object)
    boxed[:] = 1
    for kind in ("npy", "npz"):
        with pytest.raises(DataError, match="plain numbers; got Python objects"):
            decoded(kind, saved(kind, mask=boxed))


@pytest.mark.parametrize("kind", SAVERS)
@pytest.mark.parametrize("data", [b"", b"words", "half"])
def test_broken_files_are_one_sentence(kind: str, data: Any) -> None:
    whole = saved(kind, mask=np.random.default_rng(0).integers(0, 200, (50, 50), np.uint8))
    with pytest.raises(
        DataError, match=rf"`m\.{kind}` must (be a whole, readable array file|hold plain numbers)"
    ) as refused:
        decoded(kind, whole[: len(whole) // 2] if data == "half" else data)
    assert str(refused.value).endswith(".")


def test_newer_matlab_files_are_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"got version 7\.3\. .*'-v7'"):
        decoded("mat", b"MATLAB 7.3 MAT-file".ljust(512, b" ") + b"\x89HDF\r\n\x1a\n")


def test_the_array_of_a_matlab_struct_or_cell_is_found() -> None:
    """As SBD (GTcls.Segmentation), BSDS (groundTruth{1}.Segmentation) and many a lab have them."""
    other = {"Boundaries": np.array([[1, 2]]), "CategoriesPresent": np.arange(3.0), "more": "text"}
    assert (decoded("mat", saved("mat", GTcls={"Segmentation": MASK, **other})) == MASK).all()
    cell = np.empty((1, 1), object)
    cell[0, 0] = {"Segmentation": MASK.astype(np.uint16), **other}
    assert (decoded("mat", saved("mat", groundTruth=cell)) == MASK).all()
    assert (decoded("mat", saved("mat", S={"inner": {"odd": MASK}})) == MASK).all()
    two = np.array([{"Segmentation": MASK}, {"Segmentation": MASK}], dtype=object)
    with pytest.raises(
        DataError, match=r"got groundTruth\{1\}\.Segmentation 6x9 and groundTruth\{2\}\.Segmentation 6x9"
    ):
        decoded("mat", saved("mat", groundTruth=two))


def same(found: Any, expected: Any) -> bool:
    """Whether ours is what SciPy reads, whose arrays of objects are lists."""
    if isinstance(expected, dict):
        return found.keys() == expected.keys() and all(same(found[name], expected[name]) for name in expected)
    if isinstance(expected, str):
        return found == expected
    expected = np.asarray(expected)
    if expected.dtype == object:
        return len(found) == len(expected) and all(map(same, found, expected))
    return np.array_equal(np.squeeze(found), expected)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("dtype", ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f4", "f8", "bool"])
def test_matlab_files_are_read_as_scipy_does(dtype: str, packed: bool) -> None:
    rng = np.random.default_rng(0)
    for shape in [(1, 1), (3, 1), (1, 4), (5, 7), (2, 3, 4)]:
        values = (rng.random(shape) * 100).astype(dtype)
        names = np.array(["sky", "röad", "c"], dtype=object)
        structs = np.array([{"x": 1.5, "y": values}, {"x": 2.0, "y": np.eye(2)}], dtype=object)
        tree = {
            "a": values,
            "names": names,
            "text": "hello",
            "S": {"labels": values, "in": {"x": 3.0, "n": names}},
            "c": structs,
        }
        file = io.BytesIO()
        savemat(file, tree, do_compression=packed)
        expected = {k: v for k, v in loadmat(io.BytesIO(file.getvalue()), simplify_cells=True).items() if k[0] != "_"}
        assert same(read_mat(file.getvalue()), expected)
    if dtype in ("u1", "u2", "i2", "i4", "f4", "f8"):
        file = io.BytesIO()
        savemat(file, {"a": values[0], "text": "hello"}, format="4")
        found = read_mat(file.getvalue())
        assert np.array_equal(found["a"], values[0]) and found["text"] is None


@pytest.mark.parametrize("case", ["in the masks", "labels.mat", "labels.txt", "names.txt"])
def test_names_that_matlab_users_keep_beside_their_masks(case: str, tmp_path: Path) -> None:
    names = np.array(["sky", "road", "car"], dtype=object)
    for index in range(5):
        labels = blocks(index, 3) + (1 if case == "names.txt" else 0)
        save(tmp_path / "images" / f"{index}.png", noise(index, labels.shape))
        (tmp_path / "masks").mkdir(exist_ok=True)
        inside = {"names": names[:2]} if case == "in the masks" else {}
        (tmp_path / "masks" / f"{index}.mat").write_bytes(saved("mat", S={"labels": labels, **inside}))
    if case == "labels.mat":
        (tmp_path / case).write_bytes(saved("mat", names=names[:2], version=1.0))
    if case.endswith(".txt"):
        (tmp_path / case).write_text("1: sky\n2: road\n" if case == "labels.txt" else "sky\nroad\ncar\n")
    found = open_dataset(DataConfig(root=str(tmp_path))).dataset
    wanted = ("sky", "road", "car") if case == "names.txt" else ("background", "sky", "road")
    assert found.classes.names == wanted and any("where the masks hold no other values" in note for note in found.notes)


@pytest.mark.parametrize("kind", ["mat", "npy"])
def test_a_set_that_cannot_be_read_at_all_is_one_finding_with_its_reason(kind: str, tmp_path: Path) -> None:
    """It was told to replace or remove every mask, and to leave all pairs out."""
    data = b"MATLAB 7.3 MAT-file".ljust(512, b" ") if kind == "mat" else b"words"
    for index in range(4):
        save(tmp_path / "images" / f"{index}.png", noise(index, (8, 9)))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"{index}.{kind}").write_bytes(data)
    found = [one for one in audit(DataConfig(root=str(tmp_path))).findings if one.code == "unreadable"]
    assert len(found) == 1 and found[0].proposal is None and "And 3 more." in found[0].evidence
    told = "'-v7'" if kind == "mat" else "array file; got"
    assert told in found[0].evidence and "readable mask" not in found[0].evidence


@pytest.mark.parametrize("kind", SAVERS)
def test_a_data_set_with_arrays(kind: str, tmp_path: Path) -> None:
    for index in range(5):
        labels = blocks(index, 3)
        save(tmp_path / "images" / f"{index}.png", noise(index, labels.shape))
        (tmp_path / "masks").mkdir(exist_ok=True)
        (tmp_path / "masks" / f"{index}.{kind}").write_bytes(saved(kind, mask=labels))
    found = open_dataset(DataConfig(root=str(tmp_path)))
    assert found.dataset.reader == "folders" and found.dataset.classes.num_classes == 3
    assert all((found.store.get(index)[1] == blocks(index, 3)).all() for index in range(5))
    with pytest.raises(DataError, match="must be a picture where classes are colours"):
        open_dataset(DataConfig.model_validate({"root": str(tmp_path), "classes": {"a": "#000000", "b": "#ffffff"}}))


def test_arrays_beside_pictures_are_left_aside_and_noted(tmp_path: Path) -> None:
    for index in range(5):
        labels = blocks(index, 2)
        save(tmp_path / "images" / f"{index}.png", noise(index, labels.shape))
        save(tmp_path / "masks" / f"{index}.png", labels)
        (tmp_path / "masks" / f"{index}.npy").write_bytes(saved("npy", mask=labels))
    notes = open_dataset(DataConfig(root=str(tmp_path))).dataset.notes
    assert any(note.startswith("5 files that are no images were left aside: 0.npy") for note in notes)


def test_arrays_in_a_csv(tmp_path: Path) -> None:
    rows = ["image,mask"]
    for index in range(5):
        labels = blocks(index, 2)
        save(tmp_path / f"{index}.png", noise(index, labels.shape))
        (tmp_path / f"{index}.npz").write_bytes(saved("npz", mask=labels))
        rows.append(f"{index}.png,{index}.npz")
    (tmp_path / "pairs.csv").write_text("\n".join(rows), encoding="utf-8")
    assert open_dataset(DataConfig(root=str(tmp_path))).dataset.classes.num_classes == 2
