"""Archives nobody should unpack: members that lead outside, links, holes, no archive at all."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest
from downloading import IMAGES, failing, pets, serve

from maskwright.data.download import LICENCE_FILE, MARKER
from petserver import archived


def member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (member("../escaped"), "would land outside"),
        (member("images/../../escaped"), "would land outside"),
        (member("images/../fine"), "would land outside"),
        (member("/tmp/escaped"), "would land outside"),
        (member("..", tarfile.DIRTYPE), "would land outside"),
        (member("images\\..\\..\\escaped"), "would land outside"),
        (member("C:/escaped"), "would land outside"),
        (member("images/new\nline"), "would land outside"),
        (member("images/link", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (member("images/link", tarfile.SYMTYPE, "a.jpg"), "is a link or a device"),
        (member("images", tarfile.SYMTYPE, ".."), "is a link or a device"),
        (member("images/hard", tarfile.LNKTYPE, "images/a.jpg"), "is a link or a device"),
        (member("images/pipe", tarfile.FIFOTYPE), "is a link or a device"),
        (member("images/null", tarfile.CHRTYPE), "is a link or a device"),
        (member("images/disk", tarfile.BLKTYPE), "is a link or a device"),
        (member("escaped"), "does not lie in images/"),
        (member("annotations/trimaps/x.png"), "does not lie in images/"),
        (member(".download.json"), "does not lie in images/"),
        (member("images"), "does not lie in images/"),
    ],
    ids=lambda value: repr(value.name) if isinstance(value, tarfile.TarInfo) else None,
)
def test_a_member_that_could_do_harm_stops_everything(web, monkeypatch, tmp_path, bad, reason):
    bad.size = 0
    serve(web, monkeypatch, images=archived({"images/a.jpg": b"a"}, (bad, b"")))
    out = tmp_path / "deep" / "out"
    sentence = failing(out)
    assert f"its {bad.name!r} {reason}" in sentence and "Nothing was unpacked" in sentence
    assert sorted(path.name for path in tmp_path.rglob("*") if "escaped" in path.name or path.name == "fine") == []
    assert not Path("/tmp/escaped").exists()


def test_a_link_first_and_a_file_through_it(web, monkeypatch, tmp_path):
    through = [(member("images/door", tarfile.SYMTYPE, str(tmp_path)), b""), (member("images/door/escaped"), b"x")]
    serve(web, monkeypatch, images=archived({"images/a.jpg": b"a"}, *through))
    failing(tmp_path / "out")
    assert not (tmp_path / "escaped").exists()


def test_roots_and_notes_of_macos_beside_the_folder_are_no_harm(web, monkeypatch, tmp_path):
    files = {"./images/a.jpg": b"a"}
    serve(web, monkeypatch, images=archived(files, (member("._images"), b"note"), (member("./._images"), b"note")))
    assert pets(tmp_path).files["images"] == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [MARKER, LICENCE_FILE, "annotations", "images"]


def sparse() -> bytes:
    """A file of 10 MB of which the archive holds ten bytes (GNU's sparse format 1.0, in pax headers)."""
    body = b"1\n0\n10\n".ljust(512, b"\0") + b"0123456789"
    info = member("images/sparse.jpg")
    info.size = len(body)
    info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.name": "images/sparse.jpg",
                        "GNU.sparse.realsize": "10000000"}  # fmt: skip
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(body))
    return buffer.getvalue()


def test_a_file_that_is_mostly_holes(web, monkeypatch, tmp_path):
    serve(web, monkeypatch, images=sparse())
    assert "no plain file" in failing(tmp_path)


@pytest.mark.parametrize(
    "data",
    [b"no archive at all", IMAGES[: len(IMAGES) // 2], archived({"images/a": b"a"})[:25]],
    ids=["text", "half", "head"],
)
def test_an_archive_that_cannot_be_read(web, monkeypatch, tmp_path, data):
    serve(web, monkeypatch, images=data)
    assert "images.tar.gz` must be a whole tar archive" in failing(tmp_path)


def test_an_archive_without_files(web, monkeypatch, tmp_path):
    serve(web, monkeypatch, images=archived({}, (member("images", tarfile.DIRTYPE), b"")))
    assert "must hold files in images/; it holds none" in failing(tmp_path)
