"""Public data sets by name: downloaded, verified, unpacked, and continued after whatever stopped it.

    get("oxford-pet", "pets")      # pets/images, pets/annotations, pets/LICENCE.txt

An archive is fetched into OUT/NAME.part (`transfer`). Archives are unpacked into a hidden folder inside OUT that is
renamed into place when it is whole. The marker, a hidden file, comes last and lists every file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import tarfile
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import urlsplit

from maskwright.data.transfer import NotFetched, Retries, Transfer, size_of, writing_download
from maskwright.errors import DataError, UsageError, as_typed, listed, must, unknown
from maskwright.files import file_digest
from maskwright.folders import lock_folder
from maskwright.runs import size_name

LICENCE_FILE = "LICENCE.txt"
MARKER = ".download.json"
_UNPACKING, _UNPACKED = ".unpacking", ".unpacked"
_AFRESH = (
    "Move the folder away and run the command again for a fresh copy; to use it as it is, nothing needs to be done."
)
Facts = tuple[int, str]  # a file's size and CRC-32


@dataclass(frozen=True)
class Archive:
    """One file to download; it holds one folder."""

    name: str
    folder: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Source:
    """A public data set: where its archives are, what they must be, and what its makers allow."""

    title: str
    homepage: str
    bases: tuple[str, ...]  # folders that hold every archive, asked in this order
    archives: tuple[Archive, ...]
    licence: str
    terms: str
    citation: str


@dataclass(frozen=True)
class Download:
    """The result of `get`. `files` counts those of each folder; `fetched` is where each archive came from."""

    name: str
    source: Source
    root: Path
    files: dict[str, int]
    fetched: dict[str, str]
    already: bool


# Addresses: the first is what the homepage links to, the second torchvision's
# (torchvision/datasets/oxford_iiit_pet.py), both lead to the third. Sizes and SHA-256: TensorFlow Datasets
# (datasets/oxford_iiit_pet/checksums.tsv); the SHA-256 are also torchvision's own
# (prototype/datasets/_builtin/oxford_iiit_pet.py), whose released loader names the same files by
# MD5 5c4f3ee8e5d25df40f4fd59a7f44e54c (images) and 95a8c909bbe2e81eed6a22bccdf3f68f (annotations).
DOWNLOADS: dict[str, Source] = {
    "oxford-pet": Source(
        title="Oxford-IIIT Pet",
        homepage="https://www.robots.ox.ac.uk/~vgg/data/pets/",
        bases=(
            "https://thor.robots.ox.ac.uk/~vgg/data/pets",
            "https://www.robots.ox.ac.uk/~vgg/data/pets/data",
            "https://thor.robots.ox.ac.uk/pets",
        ),
        archives=(
            Archive(
                name="images.tar.gz",
                folder="images",
                size=791_918_971,
                sha256="67195c5e1c01f1ab5f9b6a5d22b8c27a580d896ece458917e61d459337fa318d",
            ),
            Archive(
                name="annotations.tar.gz",
                folder="annotations",
                size=19_173_078,
                sha256="52425fb6de5c424942b7626b428656fcbd798db970a937df61750c0f1d358e91",
            ),
        ),
        licence="CC BY-SA 4.0",
        terms=(
            "Creative Commons Attribution-ShareAlike 4.0 International, "
            "https://creativecommons.org/licenses/by-sa/4.0/\n"
            "The copyright remains with the original owners of the images.\n"
            "So the homepage says; annotations/README, which is older, says: for research purposes only, respecting "
            "the terms\n"
            "of the websites the images are from."
        ),
        citation=(
            "O. M. Parkhi, A. Vedaldi, A. Zisserman, C. V. Jawahar: Cats and Dogs.\n"
            "IEEE Conference on Computer Vision and Pattern Recognition, 2012."
        ),
    ),
}


def get(
    name: str,
    out: str | Path,
    url: str | None = None,
    keep_archives: bool = False,
    retries: Retries | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
    on_message: Callable[[str], None] = lambda message: None,
) -> Download:
    """Download a public data set into `out`, or continue there; nothing is done where it is complete.

    `get("oxford-pet", "pets", url="https://mirror.example/pets")` asks a mirror that holds the same archives.
    """
    if name not in DOWNLOADS:
        raise UsageError(unknown("data set", name, DOWNLOADS))
    source, out = DOWNLOADS[name], Path(out)
    bases = source.bases if url is None else (validate_url(url),)
    if out.exists() and not out.is_dir():
        raise UsageError(must("OUT", "a folder", f"{out}, a file", "Choose another."))
    job = _Job(name, source, out, bases, retries or Retries(), on_progress, on_message)
    with lock_folder(out, "OUT"):
        job.move_into_place()
        already = (out / MARKER).is_file()
        fetched: dict[str, str] = {}
        if already:
            files = job.verify()
        else:
            job.validate_out()
            fetched = job.fetch_all()
            files = job.unpack_all()
        gone = [archive.name for archive in source.archives if not (out / archive.name).exists()]
        for archive in source.archives:
            with writing_download(part := job.part(archive)):
                if keep_archives and part.is_file():
                    part.replace(out / archive.name)
                part.unlink(missing_ok=True)
        if keep_archives and already and gone:
            on_message(f"--keep-archives has no effect: {listed(gone)} went when the files had been unpacked")
    folders = [archive.folder for archive in source.archives]
    counts = {folder: sum(path.startswith(f"{folder}/") for path in files) for folder in folders}
    return Download(name, source, out, counts, fetched, already)


def validate_url(base: str) -> str:
    """A valid base address, without the slash at its end."""
    try:
        parts = urlsplit(base)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket left open
        parts, named = urlsplit(""), False
    local = parts.scheme == "file" and parts.netloc in ("", "localhost")
    valid = named if parts.scheme in ("http", "https") else local
    if not valid or parts.query or parts.fragment or re.search(r"\s", base):
        fix = "Write --url https://HOST/FOLDER, or --url file:///FOLDER for one on this machine."
        raise UsageError(must("--url", "the http, https or file address of a folder", repr(base), fix))
    return base.rstrip("/")


@dataclass(frozen=True)
class _Job:
    """One download into one folder."""

    name: str
    source: Source
    out: Path
    bases: tuple[str, ...]
    retries: Retries
    on_progress: Callable[[str, int, int], None]
    on_message: Callable[[str], None]

    def part(self, archive: Archive) -> Path:
        """The archive as this command downloads it; one put there by hand has its own name."""
        return self.out / f"{archive.name}.part"

    def validate_out(self) -> None:
        """Nothing of anybody else's is ever overwritten."""
        names = [*(archive.folder for archive in self.source.archives), LICENCE_FILE]
        if there := [name for name in names if os.path.lexists(self.out / name)]:
            what = f"{self.out}, which holds {listed(there)} that this command did not put there"
            check = f"maskwright check {as_typed(self.out)}"
            fix = f"Choose another folder; or, when that is the data set already, use it as it is: {check}"
            raise UsageError(must("OUT", "a new folder or one that this command began", what, fix))

    def fetch_all(self) -> dict[str, str]:
        """Every archive whole and verified in `out`; where each came from."""
        source = self.source
        size = sum(archive.size for archive in source.archives)
        self.on_message(f"{source.title}, {size_name(size)}, licence {source.licence}, {source.homepage}")
        by_hand = [archive for archive in source.archives if self._is_by_hand(archive)]
        missing = [archive for archive in source.archives if archive not in by_hand]
        # unpacked, the files need at least what the archives do: said now, not after an hour
        need = size + sum(archive.size - size_of(self.part(archive)) for archive in missing)
        if (free := shutil.disk_usage(self.out).free) < need:
            fix = "Free some space or choose another OUT; what was downloaded is kept."
            got = f"{size_name(free)} free at {self.out}"
            raise DataError(must("OUT", f"on a disk with {size_name(need)} free", got, fix))
        came = {archive.name: "already there" for archive in by_hand}
        with self._keeping("the same command goes on from there"):
            for archive in missing:
                came[archive.name] = self._fetch(archive, [one.name for one in missing if one.name not in came])
        return came

    def _is_by_hand(self, archive: Archive) -> bool:
        """Whether somebody put the archive into `out`; it must be the right one then."""
        path = self.out / archive.name
        if not path.exists():
            return False
        self.on_message(f"{archive.name} is there; verifying it")
        found = file_digest(path) if size_of(path) == archive.size else None
        if found != archive.sha256:
            wanted = f"the {archive.size:,} bytes with the SHA-256 {archive.sha256}"
            got = f"{size_of(path):,} bytes" + (f" with {found}" if found else "")
            fix = "Put the right file there, or remove this one and it is downloaded."
            raise DataError(must(str(path), wanted, got, fix))
        return True

    def _fetch(self, archive: Archive, missing: list[str]) -> str:
        """Download one archive; returns the address that gave it."""
        transfer = Transfer(
            archive.name,
            self.part(archive),
            archive.size,
            archive.sha256,
            self.retries,
            self.on_progress,
            self.on_message,
        )
        try:
            return transfer.fetch(f"{base}/{archive.name}" for base in self.bases)
        except NotFetched as error:
            raise DataError(self._by_hand(str(error), missing)) from None

    def _by_hand(self, problem: str, names: list[str]) -> str:
        """What a person without network can do: get the files elsewhere, and put them where they are looked for."""
        kept = f" {self._kept()}." if any(size_of(self.part(archive)) for archive in self.source.archives) else ""
        return (
            f"`{self.name}` could not be downloaded: {problem}.{kept} Run the command again, name a mirror with --url, "
            f"or download {listed(names)} from {self.source.homepage} on another machine and put "
            f"{'it' if len(names) == 1 else 'them'} at {listed([self.out / name for name in names])}: the same command "
            "then goes on from there."
        )

    def unpack_all(self) -> dict[str, Facts]:
        """Unpack every archive into a hidden folder, which appears only when it is whole."""
        staging, source = self.out / _UNPACKING, self.source
        files: dict[str, Facts] = {}
        try:
            with self._keeping("the same command unpacks again"):
                with writing_download(staging):
                    staging.mkdir()
                for archive in source.archives:
                    files |= self._unpack(archive, staging)
                sums = {archive.name: archive.sha256 for archive in source.archives}
                licence = "\n".join([
                    source.title, source.homepage, "", "Licence", source.terms, "", "To cite", source.citation, "",
                    "Unpacked from", *(f"{name}  SHA-256 {digest}" for name, digest in sums.items()), "",
                ])  # fmt: skip
                marker = {"data": self.name, "archives": sums, "files": files}
                with writing_download(staging):
                    (staging / LICENCE_FILE).write_text(licence, encoding="utf-8")
                    (staging / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
                    staging.rename(self.out / _UNPACKED)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
        self.move_into_place()
        return files

    def _unpack(self, archive: Archive, into: Path) -> dict[str, Facts]:
        """Unpack `folder/…` of a tar archive below `into`: names and contents, no rights, owners or times."""
        path = self.out / archive.name
        path = path if path.exists() else self.part(archive)
        files: dict[str, Facts] = {}
        try:
            with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:*") as tar:
                for member in tar:
                    place = _validated_place(member, into, archive)
                    if place is not None and member.isdir():
                        with writing_download(place):
                            place.mkdir(parents=True, exist_ok=True)
                    elif place is not None:
                        files[place.relative_to(into).as_posix()] = _extract(tar, member, place)
                    # the last bytes are read before the last file is written
                    self.on_progress(f"unpacking {archive.name}", min(file.tell(), archive.size - 1), archive.size)
        except (tarfile.TarError, EOFError, zlib.error, OSError) as error:
            reason = " ".join(str(error).split()) or type(error).__name__
            fix = "Remove it and download it again."
            raise DataError(
                f"`{archive.name}` must be a whole tar archive; reading it failed: {reason}. {fix}"
            ) from None
        if not files:
            raise DataError(f"`{archive.name}` must hold files in {archive.folder}/; it holds none.")
        self.on_progress(f"unpacking {archive.name}", archive.size, archive.size)
        return files

    def move_into_place(self) -> None:
        """Finish what an earlier run may have left: whole folders go to their place, the marker last; others go."""
        shutil.rmtree(self.out / _UNPACKING, ignore_errors=True)
        unpacked = self.out / _UNPACKED
        if unpacked.is_dir():
            for path in sorted(unpacked.iterdir(), key=lambda path: path.name == MARKER):
                with writing_download(self.out / path.name):
                    path.rename(self.out / path.name)
            with writing_download(unpacked):
                unpacked.rmdir()

    def verify(self) -> dict[str, Facts]:
        """Every file as it was unpacked, or a sentence that names those that are not."""
        path = self.out / MARKER
        try:
            marker = json.loads(path.read_text(encoding="utf-8"))
            archives = dict(marker["archives"])
            files = {name: (facts[0], facts[1]) for name, facts in marker["files"].items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
            raise DataError(f"`{path}` must be as this command wrote it; got something else. {_AFRESH}") from None
        if archives != {archive.name: archive.sha256 for archive in self.source.archives}:
            what = f"{self.source.title} as this version knows it; got the files of other archives"
            raise DataError(f"`{self.out}` must hold {what}. {_AFRESH}")
        odd: dict[str, list[str]] = {"missing": [], "changed": []}
        for done, (name, facts) in enumerate(files.items(), 1):
            file = self.out / name
            if not file.is_file():
                odd["missing"].append(name)
            elif size_of(file) != facts[0] or f"{zlib.crc32(file.read_bytes()):08x}" != facts[1]:
                odd["changed"].append(name)
            self.on_progress("verifying files", done, len(files))
        found = [f"{len(names)} {what}: {listed(names)}" for what, names in odd.items() if names]
        if found:
            raise DataError(f"`{self.out}` must be as it was unpacked; got {' and '.join(found)}. {_AFRESH}")
        return files

    @contextlib.contextmanager
    def _keeping(self, next_time: str) -> Iterator[None]:
        """Say what is kept when the user stops it."""
        try:
            yield
        except KeyboardInterrupt:
            self.on_message(f"{self._kept()}; {next_time}")
            raise

    def _kept(self) -> str:
        """How much of the archives is in `out` by now."""
        sizes = {one: size_of(self.out / one.name) or size_of(self.part(one)) for one in self.source.archives}
        parts = [f"{100 * size // archive.size} % of {archive.name}" for archive, size in sizes.items() if size]
        return f"kept in {self.out}: {listed(parts) if parts else 'nothing yet'}"


def _validated_place(member: tarfile.TarInfo, into: Path, archive: Archive) -> Path | None:
    """Where a member goes; None for the root itself, and macOS's `._` notes about the folder."""
    path = PurePosixPath(member.name)
    problem = ""
    odd = "\\" in member.name or re.match(r"[A-Za-z]:", member.name) or not member.name.isprintable()
    if path.is_absolute() or ".." in path.parts or odd:
        problem = "would land outside the folder"
    elif not (member.isreg() or member.isdir()) or member.issparse():
        problem = "is a link or a device, no plain file"
    elif not path.parts or (len(path.parts) == 1 and path.name.startswith("._") and member.isreg()):
        return None
    elif path.parts[0] != archive.folder or (len(path.parts) == 1 and not member.isdir()):
        problem = f"does not lie in {archive.folder}/"
    if problem:
        fix = "Nothing was unpacked; download it from a source you trust."
        detail = f"`{archive.name}` must hold plain files below one folder; its {member.name!r} {problem}"
        raise DataError(f"{detail}. {fix}")
    return into.joinpath(*path.parts)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> Facts:
    source = tar.extractfile(member)
    assert source is not None, "plain files have contents"
    with source:
        data = source.read()
    with writing_download(place):
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    return len(data), f"{zlib.crc32(data):08x}"
