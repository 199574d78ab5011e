"""Public data sets by name: downloaded, verified, unpacked, and continued after whatever stopped it.

    get("oxford-pet", "pets")      # pets/images, pets/annotations, pets/LICENCE.txt

An archive is fetched into OUT/NAME.part; the next request asks for the rest of it (`Range`), and its SHA-256 decides
whether the pieces are the file. Archives are unpacked into a hidden folder inside OUT that is renamed into place when
it is whole. The marker, a hidden file, comes last and lists every file.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import ssl
import tarfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from gzip import BadGzipFile
from http.client import HTTPException
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.error import HTTPError
from urllib.parse import urlsplit

from maskwright.errors import DataError, UsageError, as_typed, listed, must, unknown
from maskwright.files import file_digest, os_reason
from maskwright.folders import lock_folder
from maskwright.runs import size_name

LICENCE_FILE = "LICENCE.txt"
MARKER = ".download.json"
_UNPACKING, _UNPACKED = ".unpacking", ".unpacked"
_AFRESH = (
    "Move the folder away and run the command again for a fresh copy; to use it as it is, nothing needs to be done."
)
_BLOCK = 1 << 16
_TEMPORARY_STATUSES = (408, 425, 429)  # and those from 500 on: the same request may succeed later
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
class Retries:
    """How long to bear with a bad line. A try that brought `progress` new bytes starts the count of tries anew."""

    tries: int = 5
    timeout: float = 30.0  # seconds without a byte
    wait: float = 1.0  # seconds before the second try, doubled before each further one
    progress: int = 1 << 20


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


class _Interrupted(Exception):
    """This try failed; another may not."""


class _Refused(Exception):
    """This address will not give the file, however often it is asked."""


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
            with _writing(part := job.part(archive)):
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
        need = size + sum(archive.size - _size(self.part(archive)) for archive in missing)
        if (free := shutil.disk_usage(self.out).free) < need:
            fix = "Free some space or choose another OUT; what was downloaded is kept."
            got = f"{size_name(free)} free at {self.out}"
            raise DataError(must("OUT", f"on a disk with {size_name(need)} free", got, fix))
        came = {archive.name: "already there" for archive in by_hand}
        with self._keeping("the same command goes on from there"):
            for archive in missing:
                came[archive.name] = self._fetch(archive, [one for one in missing if one.name not in came])
        return came

    def _is_by_hand(self, archive: Archive) -> bool:
        """Whether somebody put the archive into `out`; it must be the right one then."""
        path = self.out / archive.name
        if not path.exists():
            return False
        self.on_message(f"{archive.name} is there; verifying it")
        found = file_digest(path) if _size(path) == archive.size else None
        if found != archive.sha256:
            wanted = f"the {archive.size:,} bytes with the SHA-256 {archive.sha256}"
            got = f"{_size(path):,} bytes" + (f" with {found}" if found else "")
            fix = "Put the right file there, or remove this one and it is downloaded."
            raise DataError(must(str(path), wanted, got, fix))
        return True

    def _fetch(self, archive: Archive, missing: list[Archive]) -> str:
        """Download one archive from the first address that gives it, going on where a try broke off."""
        part, left, problems = self.part(archive), [f"{base}/{archive.name}" for base in self.bases], dict[str, str]()
        most, failed, waited = _size(part), 0, 0.0
        while left:
            try:
                self._request(left[0], archive)
                return left[0]
            except _Refused as error:
                problems[left.pop(0)] = str(error)
                continue
            except _Interrupted as error:
                problem = problems[left[0]] = str(error)
            size = _size(part)
            failed = 1 if size - most >= self.retries.progress else failed + 1
            if size <= most:
                left.append(left.pop(0))  # nothing new from there: ask the next one
            most = max(most, size)
            if failed >= self.retries.tries:
                break
            pause = self.retries.wait * 2 ** (failed - 1)
            again = f"trying again in {pause:g} s, {failed + 1} of {self.retries.tries}"
            self.on_message(f"{archive.name}: {problem}; {again}")
            time.sleep(pause)
            waited += pause
        reasons = ", ".join(f"{url} ({reason})" for url, reason in problems.items())
        if left:
            tries = f"{self.retries.tries} {'try' if self.retries.tries == 1 else 'tries'}"
            reasons += f"; given up after {tries} and {waited:g} s of waiting"
        raise DataError(self._by_hand(reasons, [one.name for one in missing]))

    def _by_hand(self, problem: str, names: list[str]) -> str:
        """What a person without network can do: get the files elsewhere, and put them where they are looked for."""
        kept = f" {self._kept()}." if any(_size(self.part(archive)) for archive in self.source.archives) else ""
        return (
            f"`{self.name}` could not be downloaded: {problem}.{kept} Run the command again, name a mirror with --url, "
            f"or download {listed(names)} from {self.source.homepage} on another machine and put "
            f"{'it' if len(names) == 1 else 'them'} at {listed([self.out / name for name in names])}: the same command "
            "then goes on from there."
        )

    def _request(self, url: str, archive: Archive) -> None:
        """Ask one address once for what is missing, and verify the whole."""
        part = self.part(archive)
        start = _size(part)
        if start < archive.size:
            answer, begins = self._open(url, archive, start)
            with answer:
                self._receive(answer, archive, begins)
        if (found := file_digest(part)) != archive.sha256:
            with _writing(part):
                part.unlink()
            if start:
                raise _Interrupted(f"the pieces do not make the file (SHA-256 {found}); starting over")
            raise _Refused(f"gives another file: its SHA-256 is {found}, not {archive.sha256}; it was removed")

    def _open(self, url: str, archive: Archive, start: int) -> tuple[Any, int]:
        """An open answer and the byte it begins at: where `part` ends, or else at the first one."""
        answer = _ask(url, start, self.retries.timeout)
        if start and answer is not None and _first_byte(answer) == start:
            self.on_message(f"{archive.name}: going on at {100 * start // archive.size} %")
        elif start:
            self.on_message(f"{archive.name}: the server gives no parts of it; starting over")
            if answer is None or _first_byte(answer):
                start, answer = 0, _ask(url, 0, self.retries.timeout)
        begins = None if answer is None else _first_byte(answer)
        if answer is None or begins not in (0, start):
            raise _Refused("answers with a part where the whole was asked for")
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) + begins != archive.size:
            answer.close()
            kind = answer.headers.get_content_type()
            raise _Refused(f"offers {int(length) + begins:,} bytes of {kind} where {archive.size:,} are wanted")
        return answer, begins

    def _receive(self, answer: Any, archive: Archive, done: int) -> None:
        part = self.part(archive)
        with _writing(part), part.open("ab" if done else "wb") as file:
            while block := _read(answer, self.retries.timeout):
                done += len(block)
                if done > archive.size:
                    break
                file.write(block)
                file.flush()  # what a killed process had received is kept too
                self.on_progress(archive.name, done, archive.size)
        if done > archive.size:
            part.unlink()
            raise _Refused(f"sends more than the {archive.size:,} bytes wanted")
        if done < archive.size:
            raise _Interrupted(f"broke off at {done:,} of {archive.size:,} bytes")

    def unpack_all(self) -> dict[str, Facts]:
        """Unpack every archive into a hidden folder, which appears only when it is whole."""
        staging, source = self.out / _UNPACKING, self.source
        files: dict[str, Facts] = {}
        try:
            with self._keeping("the same command unpacks again"):
                with _writing(staging):
                    staging.mkdir()
                for archive in source.archives:
                    files |= self._unpack(archive, staging)
                sums = {archive.name: archive.sha256 for archive in source.archives}
                licence = "\n".join([
                    source.title, source.homepage, "", "Licence", source.terms, "", "To cite", source.citation, "",
                    "Unpacked from", *(f"{name}  SHA-256 {digest}" for name, digest in sums.items()), "",
                ])  # fmt: skip
                marker = {"data": self.name, "archives": sums, "files": files}
                with _writing(staging):
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
                        with _writing(place):
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
                with _writing(self.out / path.name):
                    path.rename(self.out / path.name)
            with _writing(unpacked):
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
            elif _size(file) != facts[0] or f"{zlib.crc32(file.read_bytes()):08x}" != facts[1]:
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
        sizes = {one: _size(self.out / one.name) or _size(self.part(one)) for one in self.source.archives}
        parts = [f"{100 * size // archive.size} % of {archive.name}" for archive, size in sizes.items() if size]
        return f"kept in {self.out}: {listed(parts) if parts else 'nothing yet'}"


def _ask(url: str, start: int, timeout: float) -> Any:
    """An open answer; None where the server has nothing from `start` on."""
    headers = {"User-Agent": "maskwright", "Accept-Encoding": "identity"} | (
        {"Range": f"bytes={start}-"} if start else {}
    )
    try:
        return urllib.request.build_opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            if error.code == 416 and start:
                return None
            reason = f"answered {error.code} {' '.join(str(error.reason).split())}"
            again = error.code >= 500 or error.code in _TEMPORARY_STATUSES
        raise (_Interrupted if again else _Refused)(reason) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", None)
        reason = reason if isinstance(reason, BaseException) else error
        if isinstance(reason, TimeoutError):
            raise _Interrupted(f"sent nothing for {timeout:g} s") from None
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise _Refused(f"could not be trusted: {reason.verify_message}") from None
        if isinstance(reason, FileNotFoundError):
            raise _Refused(str(reason.strerror)) from None
        words = getattr(reason, "strerror", None) or " ".join(str(reason).split()) or type(reason).__name__
        raise _Interrupted(f"could not be reached: {words}") from None


def _first_byte(answer: Any) -> int | None:
    """Where in the file an answer begins; None where it does not say."""
    if answer.status == 206:
        found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        return int(found[1]) if found else None
    if answer.status not in (200, None):  # a file has no status
        answer.close()
        raise _Refused(f"answered {answer.status}")
    return 0


def _read(answer: Any, timeout: float) -> bytes:
    """What has come so far, at most a block: a slow line is seen moving, and Ctrl-C is heard at once."""
    try:
        return answer.read1(_BLOCK)
    except TimeoutError:
        raise _Interrupted(f"sent nothing for {timeout:g} s") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None)
        raise _Interrupted(f"broke off ({reason})" if reason else "broke off") from None


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
    with _writing(place), source:
        place.parent.mkdir(parents=True, exist_ok=True)
        data = source.read()
        place.write_bytes(data)
    return len(data), f"{zlib.crc32(data):08x}"


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a sentence that says what is safe and how to go on."""
    try:
        yield
    except BadGzipFile:
        raise
    except OSError as error:
        fix = (
            "Free some space or change the folder's rights; what was downloaded is kept, and the same command goes on "
            "from it."
        )
        raise DataError(f"could not write {path}: {os_reason(error)}. {fix}") from error


def _size(path: Path) -> int:
    """Size of a file, 0 when it is not there."""
    return path.stat().st_size if path.is_file() else 0
