"""What the tests of downloads share: the small archives, a download of them, and what it must leave behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from maskwright.data.download import DOWNLOADS, LICENCE_FILE, MARKER, Download, get
from maskwright.data.transfer import Retries
from maskwright.errors import MaskwrightError
from petserver import Web, pets_archives, pets_files, source_of

QUICK = Retries(tries=5, timeout=10, wait=0.001)
ARCHIVES, FILES = pets_archives(), pets_files()
IMAGES, ANNOTATIONS = ARCHIVES["images.tar.gz"], ARCHIVES["annotations.tar.gz"]
ASKED_ONCE = ["/pets/images.tar.gz", "/pets/annotations.tar.gz"]


class Told:
    """What was said and counted."""

    def __init__(self) -> None:
        self.remarks: list[str] = []
        self.counts: list[tuple[str, int, int]] = []

    def count(self, *count: object) -> None:
        self.counts.append(count)  # type: ignore[arg-type]

    def __contains__(self, words: str) -> bool:
        return any(words in remark for remark in self.remarks)


def pets(out: Path, told: Told | None = None, retries: Retries = QUICK, **options: object) -> Download:
    told = told or Told()
    listeners = {"on_progress": told.count, "on_message": told.remarks.append}
    return get("oxford-pet", out, retries=retries, **listeners, **options)  # type: ignore[arg-type]


def inside(out: Path) -> dict[str, bytes]:
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def assert_complete(out: Path, *more: str) -> None:
    """Exactly the archives' files, the licence, the marker, and what else is named."""
    found = inside(out)
    assert {path: found.get(path) for path in FILES} == FILES
    assert found.keys() - FILES.keys() == {LICENCE_FILE, MARKER, *more}
    assert sorted(path.name for path in out.iterdir() if path.is_dir()) == ["annotations", "images"]


def assert_not_begun(out: Path) -> None:
    """Nothing that looks like a data set."""
    assert [
        name
        for name in ("images", "annotations", LICENCE_FILE, MARKER, ".unpacked", ".unpacking")
        if (out / name).exists()
    ] == []


def failing(out: Path, told: Told | None = None, retries: Retries = QUICK, **options: object) -> str:
    """The sentence of a download that must not succeed."""
    with pytest.raises(MaskwrightError) as caught:
        pets(out, told, retries, **options)
    assert_not_begun(out)
    return str(caught.value)


def serve(web: Web, monkeypatch: pytest.MonkeyPatch, **archives: bytes) -> None:
    """Put other archives on the server, whose checksums `oxford-pet` then has."""
    web.files |= {f"{folder}.tar.gz": data for folder, data in archives.items()}
    monkeypatch.setitem(DOWNLOADS, "oxford-pet", source_of(web.files, web.base))
