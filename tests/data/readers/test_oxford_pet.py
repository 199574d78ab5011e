"""Oxford-IIIT Pet: every target and boundary gives each pixel its meaning; the set's known warts are told, not stumbled
over.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from data.layouts import coded, make_oxford_pet, make_voc, noise, save
from maskwright.config.data import DataConfig
from maskwright.data.dataset import IGNORE, Listing, PartialListing
from maskwright.data.opening import Opened, open_dataset
from maskwright.data.readers import list_records
from maskwright.errors import DataError

PET, BACKGROUND, BAND = 1, 2, 3
TRIMAP = np.array([[PET, PET, BACKGROUND, BAND], [BAND, BACKGROUND, PET, PET], [BACKGROUND] * 4], np.uint8)
NAMES = {"Birman_3": "3 1 2", "Abyssinian_1": "1 1 1", "basset_hound_12": "4 2 2", "beagle_2": "5 2 3"}


def config_for(root: Path, **options: object) -> DataConfig:
    return DataConfig.model_validate({"root": str(root), "split": {"group": None}, **options})


def opened(root: Path, **options: object) -> Opened:
    return open_dataset(config_for(root, **options))


def read(root: Path, **options: object) -> Listing:
    return list_records(config_for(root, **options))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two cats and two dogs of four breeds, each with the same trimap; one dog is the test."""
    for index, name in enumerate(NAMES):
        save(tmp_path / "images" / f"{name}.jpg", noise(index, TRIMAP.shape))
        save(tmp_path / "annotations" / "trimaps" / f"{name}.png", TRIMAP)
    lines = [f"{name} {numbers}\n" for name, numbers in NAMES.items()]
    write(tmp_path, "trainval", "".join(lines[:3]))
    write(tmp_path, "test", lines[3])
    return tmp_path


def write(root: Path, name: str, text: str) -> None:
    (root / "annotations" / f"{name}.txt").write_text(text, encoding="utf-8")


def expected(pet: int, background: int, band: int) -> np.ndarray:
    return coded(TRIMAP, {PET: pet, BACKGROUND: background, BAND: band})


BREEDS = ("background", "Abyssinian", "Birman", "basset_hound", "beagle")
# target, boundary → class names, and for Birman (a cat) and beagle (a dog) what pet and boundary are; background is 0
MEANINGS = {
    ("foreground", "ignore"): (("background", "pet"), (1, IGNORE), (1, IGNORE)),
    ("foreground", "foreground"): (("background", "pet"), (1, 1), (1, 1)),
    ("foreground", "class"): (("background", "pet", "boundary"), (1, 2), (1, 2)),
    ("trimap", "ignore"): (("background", "pet", "boundary"), (1, 2), (1, 2)),
    ("trimap", "foreground"): (("background", "pet", "boundary"), (1, 2), (1, 2)),
    ("trimap", "class"): (("background", "pet", "boundary"), (1, 2), (1, 2)),
    ("species", "ignore"): (("background", "cat", "dog"), (1, IGNORE), (2, IGNORE)),
    ("species", "foreground"): (("background", "cat", "dog"), (1, 1), (2, 2)),
    ("species", "class"): (("background", "cat", "dog", "boundary"), (1, 3), (2, 3)),
    ("breed", "ignore"): (BREEDS, (2, IGNORE), (4, IGNORE)),
    ("breed", "foreground"): (BREEDS, (2, 2), (4, 4)),
    ("breed", "class"): ((*BREEDS, "boundary"), (2, 5), (4, 5)),
}


@pytest.mark.parametrize(("target", "boundary"), MEANINGS)
def test_each_pixel_means_what_target_and_boundary_say(target: str, boundary: str, root: Path) -> None:
    names, cat, dog = MEANINGS[target, boundary]
    found = opened(root, target=target, boundary=boundary)
    assert found.dataset.classes.names == names
    places = {item.record.image.stem: index for index, item in enumerate(found.dataset.items)}
    for name, (pet, band) in {"Birman_3": cat, "beagle_2": dog}.items():
        assert (found.store.get(places[name])[1] == expected(pet, 0, band)).all()


def test_breeds_are_those_of_the_original_in_the_order_of_their_ids(tmp_path: Path) -> None:
    """All 37, of which two begin with the same word; the order is that of CLASS-ID, not of the names."""
    breeds = [f"{'Breed' if number % 3 else 'dog_breed'}_{chr(122 - number % 26)}{number}" for number in range(1, 38)]
    for number, breed in enumerate(breeds, start=1):
        save(tmp_path / "images" / f"{breed}_{number}.jpg", noise(number, TRIMAP.shape))
        save(tmp_path / "annotations" / "trimaps" / f"{breed}_{number}.png", TRIMAP)
    lines = [f"{breed}_{number} {number} {2 - bool(number % 3)} 1\n" for number, breed in enumerate(breeds, start=1)]
    write(tmp_path, "trainval", "".join(reversed(lines)))
    write(tmp_path, "test", "")
    found = opened(tmp_path, target="breed")
    assert found.dataset.classes.names == ("background", *breeds)
    for index, item in enumerate(found.dataset.items):
        number = breeds.index(item.record.image.stem.rpartition("_")[0]) + 1
        assert (found.store.get(index)[1] == expected(number, 0, IGNORE)).all()


@pytest.mark.parametrize("target", ["foreground", "trimap", "species", "breed"])
@pytest.mark.parametrize("strange", [0, 4, 7, 36])
def test_a_value_no_trimap_has_is_refused_whatever_the_target(target: str, strange: int, root: Path) -> None:
    """A trimap counted from 0 must not pass for species or breeds."""
    spoilt = TRIMAP.copy()
    spoilt[0, 0] = strange
    save(root / "annotations" / "trimaps" / "Abyssinian_1.png", spoilt)
    with pytest.raises(DataError, match=rf"Abyssinian_1\.png \({strange}\)"):
        opened(root, target=target)


def test_trainval_is_train_and_test_is_test(root: Path) -> None:
    assert {record.image.stem: record.split for record in read(root).records} == {
        "Birman_3": "train", "Abyssinian_1": "train", "basset_hound_12": "train", "beagle_2": "test",
    }  # fmt: skip
    assert opened(root).dataset.sizes() == {"train": 2, "val": 1, "test": 1}


def test_unpacked_one_folder_further_down(tmp_path: Path) -> None:
    made = make_oxford_pet(tmp_path / "oxford-iiit-pet")
    listing = read(tmp_path)
    assert listing.reader == "oxford-pet"
    assert {record.id for record in listing.records} == {f"oxford-iiit-pet/{name}" for name in made.labels}


def test_known_warts_are_noted(root: Path) -> None:
    shutil.copy(root / "images" / "beagle_2.jpg", root / "images" / "beagle_3.jpg")  # there, and in no list
    for name in ("Abyssinian_100", "Abyssinian_101"):
        (root / "images" / f"{name}.mat").write_bytes(b"MATLAB 5.0")
    for place in ("trimaps", "."):
        (root / "annotations" / place / "._beagle_2.png").write_bytes(b"\0\5\x16\7")
    write(root, "list", "#Image CLASS-ID SPECIES BREED ID\n#ID: 1:37 Class ids\nnobody_1 1 1 1\n")
    listing = read(root)
    assert len(listing.records) == 4
    assert listing.notes == (
        "1 images that neither list names were left aside: beagle_3",
        "2 files that are no images were left aside: Abyssinian_100.mat and Abyssinian_101.mat",
    )


def test_without_test_list_that_is_said(root: Path) -> None:
    (root / "annotations" / "test.txt").unlink()
    listing = read(root)
    assert [record.split for record in listing.records] == ["train"] * 3
    assert "annotations/test.txt is not there, so no image is in test" in listing.notes


def test_missing_files_are_named_and_the_rest_is_certain(root: Path) -> None:
    (root / "images" / "Birman_3.jpg").unlink()
    (root / "annotations" / "trimaps" / "beagle_2.png").unlink()
    with pytest.raises(PartialListing) as refused:
        read(root)
    told = str(refused.value)
    assert "`annotations/trainval.txt` must name files that are there; images lacks Birman_3." in told
    assert "`annotations/test.txt` must name files that are there; trimaps lacks beagle_2." in told
    assert {record.image.stem for record in refused.value.listing.records} == {"Abyssinian_1", "basset_hound_12"}
    assert [gap.code for gap in refused.value.gaps] == ["unpaired", "unpaired"]
    assert refused.value.gaps[0].files == (root / "annotations" / "trimaps" / "Birman_3.png",)


# what a list holds instead, and words of the sentence
WRONG = {
    "names alone": ("Birman_3\n", "must have lines of NAME CLASS-ID SPECIES BREED-ID; got 'Birman_3' on line 1"),
    "words": ("# x\n\nBirman_3 three cat 2\n", "got 'Birman_3 three cat 2' on line 3"),
    "a class too many": ("Birman_3 38 1 2\n", "CLASS-ID from 1 to 37"),
    "no such species": ("Birman_3 3 3 2\n", "species of 1 .cat. or 2 .dog."),
    "one id, two breeds": ("Birman_3 3 1 2\nAbyssinian_1 3 1 1\n", "one CLASS-ID; Abyssinian_1 has 3, which is Birman"),
    "one breed, two ids": ("Birman_3 3 1 2\nBirman_4 4 1 2\n", "one CLASS-ID; Birman_4 has 4, others of Birman have 3"),
    "twice in one list": (
        "Birman_3 3 1 2\nBirman_3 3 1 2\n",
        "must list each image once; Birman_3 on line 2 is listed already",
    ),
    "in both lists": ("beagle_2 5 2 3\n", "`annotations/test.txt` must list each image once; beagle_2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_lists_that_are_wrong_are_one_sentence(case: str, root: Path) -> None:
    text, words = WRONG[case]
    write(root, "trainval", text)
    with pytest.raises(DataError, match=words):
        read(root)


def test_empty_lists_and_lists_in_another_encoding(root: Path) -> None:
    write(root, "trainval", "# nothing\n")
    write(root, "test", "")
    with pytest.raises(DataError, match=r"annotations` must list at least one image in trainval\.txt"):
        read(root)
    (root / "annotations" / "trainval.txt").write_bytes(b"Birman_3\xff 3 1 2\n")
    with pytest.raises(DataError, match=r"trainval\.txt` must be text in UTF-8"):
        read(root)


def test_two_images_of_one_name_are_refused(root: Path) -> None:
    save(root / "images" / "Birman_3.png", noise(0, TRIMAP.shape))
    with pytest.raises(DataError, match=r"one file a name; got Birman_3\.jpg and Birman_3\.png"):
        read(root)


def test_without_the_lists_it_is_two_folders(root: Path) -> None:
    for name in ("trainval", "test"):
        (root / "annotations" / f"{name}.txt").unlink()
    assert read(root).reader == "folders"
    with pytest.raises(DataError, match=r"annotations/trainval\.txt.*for reader oxford-pet"):
        read(root, reader="oxford-pet")


def test_boundary_says_nothing_where_it_is_a_class_anyway(root: Path) -> None:
    assert (
        "data.boundary has no effect: with target trimap the boundary is a class"
        in read(root, target="trimap", boundary="foreground").notes
    )
    assert not [note for note in read(root, target="trimap", boundary="class").notes if "boundary" in note]


def test_target_and_boundary_without_effect_are_told(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("voc")
    make_voc(other)
    notes = opened(other, target="species", boundary="class").dataset.notes
    assert "data.target has no effect: only reader oxford-pet knows it, and this is voc" in notes
    assert "data.boundary has no effect: only reader oxford-pet knows it, and this is voc" in notes
    for found in (opened(other), opened(root, target="species", boundary="class")):
        assert not [note for note in found.dataset.notes if "data.target" in note or "data.boundary" in note]
    named = opened(root, reader="oxford-pet", images="images", masks="annotations/trimaps")
    assert "data.images and data.masks have no effect: reader oxford-pet finds its own folders" in named.dataset.notes


def test_records_differ_in_what_the_fingerprint_covers(root: Path) -> None:
    targets = [("foreground", "ignore"), ("foreground", "foreground"), ("foreground", "class"), ("species", "ignore"),
               ("species", "foreground"), ("breed", "ignore")]  # fmt: skip
    prints = {opened(root, target=target, boundary=boundary).dataset.fingerprint for target, boundary in targets}
    assert len(prints) == len(targets)
