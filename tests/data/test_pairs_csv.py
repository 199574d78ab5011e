"""pairs.csv: columns, splits and groups are read; everything wrong with its rows is told at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.config.data import DataConfig
from maskwright.data.dataset import Listing
from maskwright.data.readers import list_records
from maskwright.errors import DataError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Images and masks 1 to 4, as empty files."""
    for number in range(1, 5):
        for folder in ("i", "m"):
            (tmp_path / folder).mkdir(exist_ok=True)
            (tmp_path / folder / f"{number}.png").touch()
    return tmp_path


def read(root: Path, text: str | bytes, name: str = "pairs.csv", **options: object) -> Listing:
    path = root / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    place = root if name == "pairs.csv" else path
    return list_records(DataConfig.model_validate({"root": str(place), **options}))


def test_columns_in_any_order_with_split_and_group(root: Path) -> None:
    listing = read(
        root,
        "Group, mask ,IMAGE,split\nann,m/1.png,i/1.png,Train\n,m/2.png,i/2.png,validation\nbob,m/3.png,i/3.png,test\n",
    )
    assert [(r.id, r.mask.name, r.split, r.group) for r in listing.records] == [
        ("i/1", "1.png", "train", "ann"),
        ("i/2", "2.png", "val", None),
        ("i/3", "3.png", "test", "bob"),
    ]
    assert listing.reader == "csv"
    assert listing.notes == ()


def test_without_split_nothing_is_split(root: Path) -> None:
    listing = read(root, "image,mask,split\ni/1.png,m/1.png,\ni/2.png,m/2.png\n")
    assert [record.split for record in listing.records] == [None, None]


@pytest.mark.parametrize("start", [b"\xef\xbb\xbf", b""])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_byte_order_mark_and_line_ends(root: Path, start: bytes, end: bytes) -> None:
    text = start + end.join([b"image,mask", b'"i/1.png",m/1.png', b""])
    assert read(root, text).records[0].image == root / "i" / "1.png"


@pytest.mark.parametrize(
    "text",
    [
        '\ufeff"image";"mask";"split";"group"\r\n"i/1.png";"m/1.png";"test";"a, b"\r\n"i/2.png";"m/2.png";"train";\r\n',
        "image\tmask\tsplit\tgroup\ni/1.png\tm/1.png\ttest\ta, b\ni/2.png\tm/2.png\ttrain\t\n",
        'Image Path;Ground_Truth; SUBSET ;Group ID\r\ni\\1.png;m\\1.png;Test;"a, b"\r\ni/2.png;m/2.png;TRAIN;\r\n',
        'filename,label,set,group\ni/1.png,m/1.png,test,"a, b"\ni/2.png,m/2.png,train,\n',
    ],
)
def test_as_spreadsheets_save_it(root: Path, text: str) -> None:
    """Semicolons or tabs, a byte order mark, quotes, other words over the columns, and paths of Windows."""
    listing = read(root, text.encode())
    assert [(r.id, r.image, r.mask, r.split, r.group) for r in listing.records] == [
        ("i/1", root / "i" / "1.png", root / "m" / "1.png", "test", "a, b"),
        ("i/2", root / "i" / "2.png", root / "m" / "2.png", "train", None),
    ]
    assert listing.notes == ()


def test_a_column_of_the_name_itself_goes_before_another_word_for_it(root: Path) -> None:
    listing = read(root, "label,mask,image,file\n3,m/1.png,i/1.png,x\n")
    assert listing.records[0].mask.name == "1.png" and "file and label" in listing.notes[0]


def test_a_csv_of_any_name_and_absolute_paths(root: Path) -> None:
    listing = read(root, f"image,mask\n{root}/i/1.png,m/1.png\n", "train.csv")
    assert listing.records[0].image == root / "i" / "1.png"


def test_unused_columns_are_noted(root: Path) -> None:
    assert "weather and width" in read(root, "image,mask,width,weather\ni/1.png,m/1.png,3,dry\n").notes[0]


def test_classes_beside_it_are_read(root: Path) -> None:
    (root / "classes.yaml").write_text("a: 0\nb: 4\n", encoding="utf-8")
    assert read(root, "image,mask\ni/1.png,m/1.png\n").classes == {"a": 0, "b": 4}


def test_all_bad_rows_are_told_at_once(root: Path) -> None:
    rows = [
        "i/1.png,m/1.png,train",
        "i/9.png,m/2.png,train",
        "i/2.png,,train",
        "i/1.png,m/3.png,train",
        "i/4.png,m/4.png,lunch",
    ]
    with pytest.raises(DataError) as refused:
        read(root, "\n".join(["image,mask,split", *rows]))
    told = str(refused.value)
    for words in (
        "line 3: image i/9.png is not there",
        "line 4: mask (empty) is not there",
        "line 5: i/1.png is listed already on line 2",
        "line 6: split must be train, val or test; got 'lunch'",
    ):
        assert words in told


def test_a_mask_of_two_images_is_refused_with_its_lines(root: Path) -> None:
    """A row copied and half changed; each image has a mask of its own."""
    with pytest.raises(DataError, match=r"line 3: m/1\.png is the mask of another image already, on line 2"):
        read(root, "image,mask\ni/1.png,m/1.png\ni/2.png,m/1.png\ni/3.png,m/3.png\n")


def test_a_wrong_split_is_told_once(root: Path) -> None:
    """A split nobody knows isn't an empty one."""
    with pytest.raises(DataError) as refused:
        read(root, "image,mask,split\ni/1.png,m/1.png,train\ni/2.png,m/2.png,lunch\n")
    assert "lunch" in str(refused.value)
    assert "empty on line" not in str(refused.value)


def test_a_split_on_some_rows_only_is_refused(root: Path) -> None:
    with pytest.raises(DataError, match="split must be named on every row or on none; it is empty on line 3"):
        read(root, "image,mask,split\ni/1.png,m/1.png,train\ni/2.png,m/2.png,\n")


def test_line_numbers_are_those_of_the_file(root: Path) -> None:
    """Empty lines and quoted line ends count, as they do in any editor."""
    with pytest.raises(DataError, match=r"line 5: image i/9\.png"):
        read(root, "image,mask\n\ni/1.png,m/1.png\n\ni/9.png,m/2.png\n")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,mask\n", "lists none"),
        ("", "must have the columns image and mask; it has none"),
        ("thing,mask\ni/1.png,m/1.png\n", "it has thing and mask"),
        ("thing;mask\ni/1.png;m/1.png\n", "it has thing;mask"),
        ("photo,picture,mask\ni/1.png,i/2.png,m/1.png\n", "it has photo, picture and mask"),
        (b"image,mask\n\xff\xfe,m/1.png\n", "UTF-8"),
        ("image,image,mask\ni/1.png,i/2.png,m/1.png\n", "each column once; image stands twice"),
    ],
)
def test_tables_that_are_none_are_refused(root: Path, text: str | bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        read(root, text)


def test_reader_csv_needs_a_csv(root: Path) -> None:
    with pytest.raises(DataError, match=r"pairs\.csv.*is not there"):
        list_records(DataConfig(root=str(root), reader="csv"))
