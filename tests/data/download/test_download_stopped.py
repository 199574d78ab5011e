"""Downloads that are stopped: by the disk, by Ctrl-C, by a kill, by a second one in the same folder."""

from __future__ import annotations

import contextlib
import resource
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from downloading import ANNOTATIONS, IMAGES, QUICK, assert_complete, assert_not_begun, failing, pets, serve

from maskwright.data.download import DOWNLOADS, LICENCE_FILE, MARKER, get
from maskwright.errors import DataError, RunError, UsageError
from petserver import Answer, archived


@contextlib.contextmanager
def files_up_to(size: int) -> Iterator[None]:
    """No file of this process may grow beyond `size` bytes: the kernel itself refuses, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_full_disk_while_fetching(web, tmp_path):
    with files_up_to(700):
        sentence = failing(tmp_path)
    assert sentence == (
        f"could not write {tmp_path / 'images.tar.gz.part'}: File too large. Free some space or change the folder's "
        "rights; what was downloaded is kept, and the same command goes on from it."
    )
    assert (tmp_path / "images.tar.gz.part").read_bytes() == IMAGES[:700]
    pets(tmp_path)
    assert_complete(tmp_path)
    assert web.ranges == [None, "bytes=700-", None]


def test_a_full_disk_while_unpacking(web, monkeypatch, told, tmp_path):
    serve(web, monkeypatch, images=archived({"images/large.jpg": bytes(100_000)}))

    web.then(Answer(), Answer(status=404))
    failing(tmp_path)
    (tmp_path / "annotations.tar.gz").write_bytes(ANNOTATIONS)
    with files_up_to(5000):
        sentence = failing(tmp_path)
    assert f"could not write {tmp_path / '.unpacking/images/large.jpg'}: File too large" in sentence
    pets(tmp_path, told)
    assert len(web.asked) == 2 and (tmp_path / "images" / "large.jpg").stat().st_size == 100_000
    assert "annotations.tar.gz is there; verifying it" in told.remarks


def test_a_disk_that_is_too_small_is_told_before_anything_is_fetched(web, monkeypatch, tmp_path):
    source = DOWNLOADS["oxford-pet"]
    huge = tuple(replace(archive, size=10**18) for archive in source.archives)
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", replace(source, archives=huge))
    assert "`OUT` must be on a disk with 3725290298.5 GiB free; got " in failing(tmp_path)
    assert web.asked == []


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"`OUT` must be a folder; got .*file, a file"):
        get("oxford-pet", tmp_path / "file")
    with pytest.raises(RunError, match=r"could not make the folder .*: Not a directory"):
        get("oxford-pet", tmp_path / "file" / "pets")


@pytest.mark.parametrize("label", ["images.tar.gz", "annotations.tar.gz", "unpacking images.tar.gz"])
def test_an_interrupt_leaves_what_can_be_gone_on_with(web, told, tmp_path, label):
    def interrupt(what: str, done: int, total: int) -> None:
        if what == label:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        get("oxford-pet", tmp_path, retries=QUICK, on_progress=interrupt, on_message=told.remarks.append)
    assert_not_begun(tmp_path)
    assert f"kept in {tmp_path}: " in told.remarks[-1] and "the same command" in told.remarks[-1]
    pets(tmp_path)
    assert_complete(tmp_path)
    assert web.sent == len(IMAGES) + len(ANNOTATIONS)


def test_it_never_looks_finished_before_it_is(web, tmp_path):
    seen: list[list[str]] = []

    def look(what: str, done: int, total: int) -> None:
        seen.append(sorted(path.name for path in tmp_path.iterdir()))
        assert_not_begun_but_hidden(tmp_path)

    get("oxford-pet", tmp_path, retries=QUICK, on_progress=look, on_message=lambda message: None)
    assert any(".unpacking" in names for names in seen)
    assert_complete(tmp_path)


def assert_not_begun_but_hidden(out: Path) -> None:
    assert not any((out / name).exists() for name in ("images", "annotations", LICENCE_FILE, MARKER))


def test_a_move_that_fails_leaves_no_marker(web, tmp_path):
    """Something is put in the way while the last archive is being unpacked; the marker comes last, so it is not
    there.
    """

    def block(what: str, done: int, total: int) -> None:
        if what == "unpacking annotations.tar.gz" and done == total:
            for name in ("images", "annotations"):
                (tmp_path / name).mkdir(exist_ok=True)
                (tmp_path / name / "mine.txt").write_text("mine")

    with pytest.raises(DataError, match=r"could not write .*: Directory not empty"):
        get("oxford-pet", tmp_path, retries=QUICK, on_progress=block, on_message=lambda message: None)
    assert not (tmp_path / MARKER).exists()
    for name in ("images", "annotations"):
        shutil.rmtree(tmp_path / name)
    assert pets(tmp_path).already
    assert_complete(tmp_path)


@pytest.mark.parametrize("moved", [0, 1, 2, 3])
def test_a_kill_between_two_moves_is_mended(web, tmp_path, moved):
    """The state a killed process leaves: some folders in place, the others and the marker not yet."""
    pets(tmp_path)
    order = ["images", "annotations", LICENCE_FILE]
    (tmp_path / ".unpacked").mkdir()
    for name in [*order[moved:], MARKER]:
        (tmp_path / name).rename(tmp_path / ".unpacked" / name)
    assert pets(tmp_path).already
    assert_complete(tmp_path)
    assert len(web.asked) == 2


def test_a_kill_while_unpacking_is_mended(web, tmp_path):
    (tmp_path / ".unpacking" / "images").mkdir(parents=True)
    (tmp_path / ".unpacking" / "images" / "half.jpg").write_bytes(b"half")
    pets(tmp_path)
    assert_complete(tmp_path)


def test_a_kill_before_the_archives_were_put_away_is_mended(web, tmp_path):
    pets(tmp_path)
    (tmp_path / "images.tar.gz.part").write_bytes(IMAGES)
    pets(tmp_path)
    assert_complete(tmp_path)


def test_two_at_once_are_refused(web, tmp_path):
    refused: list[str] = []

    def second(what: str, done: int, total: int) -> None:
        with pytest.raises(RunError) as caught:
            pets(tmp_path)
        refused.append(str(caught.value))

    get("oxford-pet", tmp_path, retries=QUICK, on_progress=second, on_message=lambda message: None)
    assert refused and all("`OUT` must be worked on by one process at a time" in sentence for sentence in refused)
    assert_complete(tmp_path)
