"""Every folder layout people use is read as they mean it; what is left aside is told."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing
from maskwright.data.readers import READERS, list_records
from maskwright.errors import DataError

Build = Callable[[Sequence[str]], Path]


@pytest.fixture
def build(tmp_path: Path) -> Build:
    """Empty files at these places: listing looks at names alone."""

    def make(files: Sequence[str]) -> Path:
        for file in files:
            path = tmp_path / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        return tmp_path

    return make


def read(root: Path, **options: object) -> Listing:
    return list_records(DataConfig.model_validate({"root": str(root), **options}))


def told(listing: Listing, root: Path) -> list[tuple[str, str, str | None]]:
    return [
        (r.image.relative_to(root).as_posix(), r.mask.relative_to(root).as_posix(), r.split) for r in listing.records
    ]


LAYOUTS: dict[str, tuple[list[str], list[tuple[str, str, str | None]]]] = {
    "flat": (
        ["images/a.jpg", "images/b.jpg", "masks/a.png", "masks/b.png"],
        [("images/a.jpg", "masks/a.png", None), ("images/b.jpg", "masks/b.png", None)],
    ),
    "other names": (["Input/1.tif", "1st_manual/1.gif"], [("Input/1.tif", "1st_manual/1.gif", None)]),
    "split outside": (
        [f"{split}/{kind}/{name}.png"
         for split, name in (("train", 1), ("val", 1), ("test", 2)) for kind in ("images", "masks")],
        [
            ("test/images/2.png", "test/masks/2.png", "test"),
            ("train/images/1.png", "train/masks/1.png", "train"),
            ("val/images/1.png", "val/masks/1.png", "val"),
        ],
    ),
    "split inside": (
        ["images/train/1.png", "images/validation/2.png", "labels/training/1.png", "labels/val/2.png"],
        [
            ("images/train/1.png", "labels/training/1.png", "train"),
            ("images/validation/2.png", "labels/val/2.png", "val"),
        ],
    ),
    "camvid": (
        ["train/1.png", "trainannot/1.png", "val/2.png", "valannot/2.png", "test/3.png", "testannot/3.png"],
        [(f"{split}/{name}.png", f"{split}annot/{name}.png", split)
         for split, name in (("test", 3), ("train", 1), ("val", 2))],
    ),
    "train beside train_masks": (["train/1.jpg", "train_masks/1_mask.gif"],
                                 [("train/1.jpg", "train_masks/1_mask.gif", "train")]),
    "nested": (
        ["images/a/1.png", "images/b/1.png", "masks/a/1.png", "masks/b/1.png"],
        [("images/a/1.png", "masks/a/1.png", None), ("images/b/1.png", "masks/b/1.png", None)],
    ),
    "pets": (
        ["images/beagle_1.jpg", "images/beagle_2.jpg", "annotations/trimaps/beagle_1.png",
         "annotations/trimaps/beagle_2.png"],
        [
            ("images/beagle_1.jpg", "annotations/trimaps/beagle_1.png", None),
            ("images/beagle_2.jpg", "annotations/trimaps/beagle_2.png", None),
        ],
    ),
}  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts_are_recognised(layout: str, build: Build) -> None:
    files, expected = LAYOUTS[layout]
    root = build(files)
    listing = read(root)
    assert sorted(told(listing, root)) == expected
    assert listing.reader == "folders"
    assert "paired by" in listing.reason


def test_explicit_folders(build: Build) -> None:
    root = build(["left/1.png", "right/m1.png", "images/9.png", "masks/9.png"])
    assert told(read(root, images="left", masks="right"), root) == [("left/1.png", "right/m1.png", None)]
    with pytest.raises(DataError, match=r"data\.masks.*nowhere is not there"):
        read(root, images="left", masks="nowhere")


def test_explicit_folders_somewhere_else(build: Build) -> None:
    """A path that leads out of the root is either followed or refused in a sentence, never a traceback."""
    root = build(["set/images/1.png", "elsewhere/masks/1.png"])
    try:
        listing = read(root / "set", images="images", masks=str(root / "elsewhere" / "masks"))
    except DataError:
        return
    assert listing.records[0].mask == root / "elsewhere" / "masks" / "1.png"


def test_explicit_image_folder_somewhere_else(build: Build) -> None:
    root = build(["elsewhere/images/1.png", "set/masks/1.png"])
    try:
        listing = read(root / "set", images=str(root / "elsewhere" / "images"), masks="masks")
    except DataError:
        return
    assert listing.records[0].image == root / "elsewhere" / "images" / "1.png"


def test_ids_are_paths_inside_the_set(build: Build) -> None:
    root = build(LAYOUTS["split outside"][0])
    assert sorted(record.id for record in read(root).records) == ["test/images/2", "train/images/1", "val/images/1"]


def test_other_files_are_noted_and_system_files_are_not(build: Build) -> None:
    root = build(
        [
            "images/a.png",
            "images/readme.txt",
            "images/.DS_Store",
            "masks/a.png",
            "masks/Thumbs.db",
            "masks/._a.png",
            "masks/a.xml",
        ]
    )
    listing = read(root)
    assert len(listing.records) == 1
    assert listing.notes == ("2 files that are no images were left aside: readme.txt and a.xml",)


# layout, files, words of the sentence
REFUSED: dict[str, tuple[list[str], str]] = {
    "empty folder": ([], "holds nothing"),
    "only images": (["images/a.png"], r"holds images/ \(1 images\)"),
    "loose files": (["a.png", "b_mask.png"], "2 files"),
    "unlabelled leftovers": (["images/a1.png", "images/a2.png", "masks/a1.png"], "without a mask: a2"),
    "two folders of masks": (["images/a.png", "masks/a.png", "labels/a.png"],
                             "one folder of masks; got labels and masks"),
    "no image in images": (["images/readme.md", "masks/a.png"], "must hold at least one image file"),
    "no mask in masks": (["images/a.png", "masks/a.json"], "must hold at least one mask file"),
    "a split on one side": (["images/train/1.png", "masks/test/1.png", "masks/train/1.png"],
                            "only one of them has test"),
    "one name, two suffixes": (
        ["images/a.png", "images/a.jpg", "masks/a.png", "masks/b.png"],
        "must hold one file a name; got a.jpg and a.png",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_folders_that_say_too_little_are_refused(case: str, build: Build) -> None:
    files, words = REFUSED[case]
    with pytest.raises(DataError, match=words):
        read(build(files))


# split folders that would be lost without a word, and the folder a note has to name then
HALF: dict[str, tuple[list[str], str]] = {
    "test without masks": (["train/images/1.png", "train/masks/1.png", "test/images/2.png"], "test"),
    "inner test without masks": (["images/train/1.png", "images/test/2.png", "masks/train/1.png"], "test"),
    "camvid test without masks": (["train/1.png", "trainannot/1.png", "test/2.png"], "test"),
    "two names of one split": (
        [f"{kind}/{split}/{split}.png" for kind in ("images", "masks") for split in ("train", "val", "validation")],
        "val",
    ),
}


@pytest.mark.parametrize("case", HALF)
def test_no_split_is_dropped_in_silence(case: str, build: Build) -> None:
    """All images are listed, or the folder is refused, or a note names what isn't read."""
    files, folder = HALF[case]
    root = build(files)
    images = {file for file in files if "mask" not in file and "annot" not in file}
    refusal = ""
    try:
        listing = read(root)
    except DataError as error:
        refusal = str(error)
    if refusal:
        assert folder in refusal
        return
    assert {image for image, _, _ in told(listing, root)} == images or any(folder in note for note in listing.notes)


def test_root_must_be_named_and_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"`data\.root` must be named"):
        list_records(DataConfig())
    with pytest.raises(DataError, match="is not there"):
        read(tmp_path / "nowhere")
    file = tmp_path / "a.png"
    file.touch()
    for reader in ("auto", "folders"):
        with pytest.raises(DataError, match="a folder"):
            read(file, reader=reader)


def test_readers_can_be_asked_for_by_name(build: Build) -> None:
    root = build(["images/a.png", "masks/a.png"])
    (root / "pairs.csv").write_text("image,mask,split\nimages/a.png,masks/a.png,test\n", encoding="utf-8")
    assert list(READERS)[-1] == "folders"
    assert read(root).reader == "csv"  # the explicit description goes first
    assert read(root).records[0].split == "test"
    assert read(root, reader="folders").records[0].split is None
    assert read(root, images="images", masks="masks").reader == "folders"


@pytest.mark.parametrize("text", ["sky: 0\nroad: 7\n", "- sky\n- road\n"])
def test_classes_file(text: str, build: Build) -> None:
    root = build(["images/a.png", "masks/a.png"])
    (root / "classes.yaml").write_text(text, encoding="utf-8")
    assert read(root).classes == ({"sky": 0, "road": 7} if ":" in text else {"sky": 0, "road": 1})


@pytest.mark.parametrize(
    "text", ["sky: {", "just words", "sky: blue", "sky: -1", "sky: 70000", "- 1\n- 2", "", "sky: true\nroad: false"]
)
def test_a_classes_file_that_says_nothing_is_refused(text: str, build: Build) -> None:
    root = build(["images/a.png", "masks/a.png"])
    (root / "classes.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(DataError, match=r"classes\.yaml"):
        read(root)


def test_folders_of_editors_hold_nothing_that_is_meant(build: Build) -> None:
    """Notebooks keep copies of what they opened in .ipynb_checkpoints, under names that pair with nothing."""
    files = ["images/a.png", "images/.ipynb_checkpoints/a-checkpoint.png", "masks/a.png", "masks/.cache/deep/b.png"]
    root = build([*files, "images/.ipynb_checkpoints/notes.txt"])
    listing = read(root)
    assert told(listing, root) == [("images/a.png", "masks/a.png", None)]
    assert listing.notes == ()


def test_a_set_inside_a_hidden_folder_is_read(build: Build) -> None:
    """What is hidden inside a folder is left aside, not what is inside a hidden folder."""
    root = build([".cache/set/images/a.png", ".cache/set/masks/a.png"])
    assert len(read(root / ".cache" / "set").records) == 1


def test_copies_of_other_systems_do_not_hide_the_splits(build: Build) -> None:
    root = build(
        ["images/train/1.png", "images/test/2.png", "images/._train.png", "masks/train/1.png", "masks/test/2.png"]
    )
    assert {split for _, _, split in told(read(root), root)} == {"train", "test"}


@pytest.mark.parametrize("kind", ["images", "masks"])
def test_files_that_differ_in_their_suffix_alone_are_told_with_it(kind: str, build: Build) -> None:
    names = [f"{folder}/{name}.png" for folder in ("images", "masks") for name in ("a", "b", "c")]
    root = build([*names, f"{kind}/b.jpg"])
    with pytest.raises(
        DataError, match=rf"`.*{kind}` must hold one file a name; got b\.jpg and b\.png\. Remove or rename"
    ):
        list_records(DataConfig(root=str(root)))


def test_links_to_folders_and_files_are_followed(build: Build) -> None:
    """Most of a data set often lies on another disk; a link that leads round in a circle or nowhere is told."""
    root = build(
        [
            "set/images/a1.png",
            "set/masks/a1.png",
            "set/masks/c3.png",
            "disk/im/s/b2.png",
            "disk/ma/s/b2.png",
            "disk/c3.png",
        ]
    )
    (root / "set" / "images" / "more").symlink_to(root / "disk" / "im")
    (root / "set" / "masks" / "more").symlink_to("../../disk/ma")
    (root / "set" / "images" / "c3.png").symlink_to("../../disk/c3.png")
    listing = read(root / "set")
    assert [record.id for record in listing.records] == ["images/a1", "images/c3", "images/more/s/b2"]
    assert listing.notes == ()
    (root / "disk" / "im" / "up").symlink_to(root)
    (root / "disk" / "im" / "s" / "again").symlink_to(root / "set" / "images")
    (root / "set" / "images" / "gone.png").symlink_to("nowhere.png")
    listing = read(root / "set")
    assert len(listing.records) == 3
    (note,) = listing.notes
    assert note.startswith("not read: images/gone.png (a link that leads nowhere), images/more/")
    assert note.count("which is read already") == 2
    named = read(root / "set", images="images", masks="masks")
    assert len(named.records) == 3 and "gone.png (a link that leads nowhere)" in named.notes[0]


def test_what_is_no_file_hides_none_and_is_told(build: Build) -> None:
    """Every file that was listed after a link to itself went missing with it."""
    root = build([f"{folder}/{name}.png" for folder in ("images", "masks") for name in "abcdefgh"])
    for folder in ("images", "masks"):
        (root / folder / "loop.png").symlink_to("loop.png")
    os.mkfifo(root / "images" / "pipe.png")
    (root / "images" / "null.png").symlink_to("/dev/null")
    listing = read(root)
    assert len(listing.records) == 8
    (note,) = listing.notes
    assert "images/loop.png (Too many levels of symbolic links)" in note
    assert "images/pipe.png (neither file nor folder)" in note and "images/null.png (neither file nor folder)" in note


def test_linked_folders_of_labelme_files_are_read(build: Build) -> None:
    root = build(["set/a.png", "disk/b.png"])
    (root / "set" / "more").symlink_to(root / "disk")
    for image in root.rglob("*.png"):
        image.with_suffix(".json").write_text(f'{{"version": "1", "shapes": [], "imagePath": "{image.name}"}}')
    listing = read(root / "set")
    assert listing.reader == "labelme" and [record.id for record in listing.records] == ["a", "more/b"]
    (root / "set" / "loop.png").symlink_to("loop.png")
    with pytest.raises(DataError, match=r"1 have none: loop\.png"):
        read(root / "set")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_told(build: Build) -> None:
    root = build(["images/a.png", "images/more/b.png", "masks/a.png"])
    (root / "images" / "more").chmod(0)
    try:
        assert "more (Permission denied)" in read(root).notes[0]
    finally:
        (root / "images" / "more").chmod(0o700)


def test_files_that_all_have_one_name_are_told_by_it(build: Build) -> None:
    root = build([f"n0{index}/{name}.png" for index in range(3) for name in ("image", "mask")])
    assert read(root).reason.startswith("n0*/image.png beside n0*/mask.png")


def test_pictures_in_the_current_folder_are_read(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(build([f"{index}{end}.png" for index in range(3) for end in ("", "_mask")]))
    assert [(one.image.name, one.mask.name) for one in read(Path()).records] == [
        (f"{n}.png", f"{n}_mask.png") for n in range(3)
    ]
