"""What a download makes and says, what it finds already there, and what it may not touch."""

from __future__ import annotations

import hashlib
import json
import os
import tarfile
import zlib

import pytest
from downloading import ANNOTATIONS, ARCHIVES, ASKED_ONCE, FILES, IMAGES, assert_complete, inside, pets, serve

from maskwright.config.data import DataConfig
from maskwright.data.download import DOWNLOADS, LICENCE_FILE, MARKER, get, validate_url
from maskwright.data.readers import list_records
from maskwright.errors import DataError, UsageError
from maskwright.runs import size_name
from petserver import NAMES, archived


@pytest.mark.parametrize("source", DOWNLOADS.values(), ids=list(DOWNLOADS))
def test_every_source_is_told_in_full(source):
    assert all(
        base == validate_url(base) and base.startswith("https://")
        for base in (*source.bases, source.homepage.rstrip("/"))
    )
    assert all(
        len(archive.sha256) == 64 and int(archive.sha256, 16) and archive.size > 0 for archive in source.archives
    )
    assert (
        len({archive.name for archive in source.archives}) == len({archive.folder for archive in source.archives}) == 2
    )
    assert source.licence and source.terms and source.citation


def test_a_whole_download(web, told, tmp_path):
    out = tmp_path / "new" / "pets"
    got = pets(out, told)
    assert_complete(out)
    assert [path for path, _ in web.asked] == ASKED_ONCE and web.ranges == [None, None]
    assert got.files == {"images": 7, "annotations": 17} and not got.already and got.root == out
    assert got.fetched == {name: f"{web.base}/{name}" for name in ARCHIVES}
    assert told.remarks == [f"Oxford-IIIT Pet, {size_name(len(IMAGES) + len(ANNOTATIONS))}, licence CC BY-SA 4.0, "
                            "https://www.robots.ox.ac.uk/~vgg/data/pets/"]  # fmt: skip
    for name, size in (("images.tar.gz", len(IMAGES)), ("annotations.tar.gz", len(ANNOTATIONS))):
        for label in (name, f"unpacking {name}"):
            counted = [(done, total) for what, done, total in told.counts if what == label]
            assert counted[-1] == (size, size) and counted == sorted(counted)


def test_the_reader_of_oxford_pets_takes_what_was_unpacked(web, tmp_path):
    pets(tmp_path)
    listing = list_records(DataConfig(root=str(tmp_path)))
    assert listing.reader == "oxford-pet"
    assert {record.id: record.split for record in listing.records} == {
        f"images/{name}": "test" if name.endswith("_2") else "train" for name in NAMES
    }


def test_the_licence_names_source_terms_and_paper(web, tmp_path):
    pets(tmp_path)
    text = (tmp_path / LICENCE_FILE).read_text()
    for part in (
        "Creative Commons Attribution-ShareAlike 4.0",
        "Parkhi",
        "robots.ox.ac.uk",
        hashlib.sha256(IMAGES).hexdigest(),
    ):
        assert part in text


def test_archives_are_kept_when_asked_for(web, told, tmp_path):
    pets(tmp_path, keep_archives=True)
    assert_complete(tmp_path, *ARCHIVES)
    assert (tmp_path / "images.tar.gz").read_bytes() == IMAGES
    assert pets(tmp_path, told).already
    assert_complete(tmp_path, *ARCHIVES)


def test_files_carry_contents_and_no_rights_of_the_archive(web, monkeypatch, tmp_path):
    odd = tarfile.TarInfo("images/odd.jpg")
    odd.mode, odd.uid = 0o4777, 12345
    serve(web, monkeypatch, images=archived({"images/a.jpg": b"a"}, (odd, b"b")))
    pets(tmp_path)
    facts = (tmp_path / "images" / "odd.jpg").stat()
    assert not facts.st_mode & 0o7111 and facts.st_uid == os.getuid()


def test_a_name_that_is_not_known(tmp_path):
    with pytest.raises(UsageError, match=r"Unknown data set 'oxford-pets'\. Did you mean 'oxford-pet'\?"):
        get("oxford-pets", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_marker_holds_what_was_unpacked(web, tmp_path):
    pets(tmp_path)
    marker = json.loads((tmp_path / MARKER).read_text())
    assert marker["archives"] == {name: hashlib.sha256(data).hexdigest() for name, data in ARCHIVES.items()}
    assert marker["files"] == {path: [len(data), f"{zlib.crc32(data):08x}"] for path, data in FILES.items()}


# ------------------------------------------------------------------ already there


def test_a_complete_folder_is_verified_and_left(web, told, tmp_path):
    first = pets(tmp_path)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    again = pets(tmp_path, told, keep_archives=True)
    assert again.already and again.files == first.files and again.fetched == {}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert len(web.asked) == 2
    assert told.counts[-1] == ("verifying files", len(FILES), len(FILES))
    assert told.remarks == [
        "--keep-archives has no effect: images.tar.gz and annotations.tar.gz went when the files had been unpacked"
    ]


def test_what_a_person_added_is_no_change(web, tmp_path):
    pets(tmp_path)
    (tmp_path / "dataset.yaml").write_text("mine")
    assert pets(tmp_path).already


def test_changed_and_missing_files_are_named(web, tmp_path):
    pets(tmp_path)
    (tmp_path / "images" / "pug_3.jpg").unlink()
    mask = tmp_path / "annotations" / "trimaps" / "Bengal_7.png"
    mask.write_bytes(bytes([mask.read_bytes()[0] ^ 1]) + mask.read_bytes()[1:])  # of the same size
    before = inside(tmp_path)
    with pytest.raises(DataError) as caught:
        pets(tmp_path)
    told = "got 1 missing: images/pug_3.jpg and 1 changed: annotations/trimaps/Bengal_7.png. Move the folder away"
    assert told in str(caught.value)
    assert inside(tmp_path) == before and len(web.asked) == 2


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", '{"archives": {}, "files": []}', '{"archives": 1, "files": {}}',
     '{"archives": {}, "files": {"a": 1}}',
     '{"archives": {}, "files": {"a": []}}', "\xff"],
)  # fmt: skip
def test_a_spoilt_marker(web, tmp_path, text):
    pets(tmp_path)
    (tmp_path / MARKER).write_text(text, encoding="latin-1")
    with pytest.raises(DataError, match="must be as this command wrote it"):
        pets(tmp_path)


def test_the_files_of_other_archives_are_told(web, monkeypatch, tmp_path):
    pets(tmp_path)
    serve(web, monkeypatch, images=archived({"images/new.jpg": b"new"}))
    with pytest.raises(DataError, match="as this version knows it; got the files of other archives"):
        pets(tmp_path)


@pytest.mark.parametrize("name", ["images", "annotations", LICENCE_FILE])
def test_what_was_there_before_is_not_touched(web, tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / name / "mine.jpg").write_bytes(b"mine")
    with pytest.raises(UsageError, match=f"holds {name} that this command did not put there"):
        pets(tmp_path)
    assert inside(tmp_path) == {f"{name}/mine.jpg": b"mine"} and web.asked == []


def test_a_link_that_leads_nowhere_counts_as_there(web, tmp_path):
    (tmp_path / "images").symlink_to(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="holds images"):
        pets(tmp_path)
