"""Unpacking archives that nobody has to trust: only plain files below one known folder, each with its checksum."""

from __future__ import annotations

import hashlib
import re
import tarfile
import zlib
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from maskwright.data.transfer import keeping
from maskwright.errors import DataError

_BLOCK = 1 << 18
Facts = tuple[int, str]  # a file's size and CRC-32


def sha256(path: Path) -> str:
    """A file's SHA-256, in hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def facts_of(path: Path) -> Facts:
    """A file's size and CRC-32: four times as fast as SHA-256, and enough to see an accident."""
    size = crc = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size, crc = size + len(block), zlib.crc32(block, crc)
    return size, f"{crc:08x}"


def unpack(archive: Path, into: Path, folder: str, count: Callable[[int, int], None]) -> dict[str, Facts]:
    """Unpack a tar archive that holds `folder/…` below `into`, a new folder of ours; every file with its facts.

    `count(done, total)` is told the archive's bytes. Only names, contents and nothing else are taken over: no rights,
    owners or times. A member that is no plain file or folder, or that would land elsewhere, stops it.
    """
    facts: dict[str, Facts] = {}
    total = archive.stat().st_size
    try:
        with archive.open("rb") as file, tarfile.open(fileobj=file, mode="r:*") as tar:
            for member in tar:
                place = _place(member, into, folder, archive)
                if place is not None and member.isdir():
                    with keeping(place):
                        place.mkdir(parents=True, exist_ok=True)
                elif place is not None:
                    facts[place.relative_to(into).as_posix()] = _write(tar, member, place)
                count(min(file.tell(), total - 1), total)  # the last bytes are read before the last file is written
    except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DataError(
            f"`{archive}` must be a whole tar archive; reading it failed: {reason}. Remove it and fetch again."
        ) from None
    if not facts:
        raise DataError(f"`{archive}` must hold files in {folder}/; it holds none. Remove it and fetch again.")
    count(total, total)
    return facts


def _place(member: tarfile.TarInfo, into: Path, folder: str, archive: Path) -> Path | None:
    """Where a member goes; None for what is left out: the root itself, and macOS's `._` notes about the folder."""
    path = PurePosixPath(member.name)
    odd = "\\" in member.name or re.match(r"[A-Za-z]:", member.name) or not member.name.isprintable()
    if path.is_absolute() or ".." in path.parts or odd:
        raise _distrust(archive, member, "would land outside the folder")
    if not (member.isreg() or member.isdir()) or member.issparse():
        raise _distrust(archive, member, "is a link or a device, no plain file")
    if not path.parts and member.isdir():
        return None
    if len(path.parts) == 1 and path.name.startswith("._") and member.isreg():
        return None
    if path.parts[:1] != (folder,) or (len(path.parts) == 1 and not member.isdir()):
        raise _distrust(archive, member, f"does not lie in {folder}/")
    if hasattr(tarfile, "data_filter"):  # Python's own second look, from 3.11.4 on
        try:
            tarfile.data_filter(member, str(into))
        except tarfile.FilterError as error:
            raise _distrust(archive, member, str(error)) from None
    return into.joinpath(*path.parts)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> Facts:
    source = tar.extractfile(member)
    assert source is not None, "plain files have contents"
    crc = 0
    with keeping(place), source:
        place.parent.mkdir(parents=True, exist_ok=True)
        with place.open("wb") as file:
            while block := source.read(_BLOCK):
                crc = zlib.crc32(block, crc)
                file.write(block)
    return member.size, f"{crc:08x}"


def _distrust(archive: Path, member: tarfile.TarInfo, reason: str) -> DataError:
    fix = "Nothing was unpacked; fetch it from a source you trust."
    return DataError(f"`{archive}` must hold plain files below one folder; its {member.name!r} {reason}. {fix}")
