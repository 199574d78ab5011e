"""Fetching one large file: gone on with after a cut, asked for again after a stall, never two files glued into one.

    fetch("images.tar.gz", ["https://host/images.tar.gz"], Path("set/images.tar.gz.part"), 791918971, Patience(), SILENT)

What has come stands in the `.part` file; a small JSON file beside it tells where it came from, so that a later
request can ask the server for the rest of the same file (`If-Range`) and is given the whole one when it has changed.
"""

from __future__ import annotations

import json
import re
import socket
import ssl
import time
import urllib.request
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from gzip import BadGzipFile
from http.client import HTTPException, HTTPResponse
from io import BufferedReader
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import urlsplit

from maskwright.errors import DataError, UsageError, must
from maskwright.files import os_reason

_BLOCK = 1 << 16
_FOR_A_WHILE = (408, 425, 429)  # with those from 500 on: the same request may be answered well later


@dataclass(frozen=True)
class Patience:
    """How long to bear with a bad line. A try that brought `worth` new bytes begins the count of tries anew."""

    tries: int = 5
    timeout: float = 30.0  # seconds without a byte
    wait: float = 1.0  # seconds before the second try, doubled before each further one
    worth: int = 1 << 20


@dataclass(frozen=True)
class Watch:
    """Who is told: `count(file, bytes done, bytes in all)` often, `remark(sentence)` when something is worth a line."""

    count: Callable[[str, int, int], None]
    remark: Callable[[str], None]


SILENT = Watch(lambda file, done, total: None, lambda sentence: None)


@dataclass(frozen=True)
class Fetched:
    """Where the last bytes came from, and whether all of them came in one answer."""

    url: str
    at_once: bool


class Unfetched(Exception):
    """No address gave the file; the message tells each one's reason."""


class _Cut(Exception):
    """This try failed; another may not."""


class _Refused(Exception):
    """This address will not give the file, however often it is asked."""


@dataclass(frozen=True)
class _Origin:
    """What tells one version of a file from another."""

    url: str
    etag: str | None = None
    modified: str | None = None

    def differs(self, other: _Origin) -> bool:
        """Known to be another version. Two addresses cannot be compared: there the checksum has to tell."""
        if self.url != other.url:
            return False
        if self.etag and other.etag:
            return self.etag != other.etag
        return bool(self.modified and other.modified and self.modified != other.modified)


@dataclass(frozen=True)
class _Offer:
    """An open answer: its bytes begin at `start` of the file."""

    stream: HTTPResponse | BufferedReader
    start: int
    total: int | None
    origin: _Origin
    kind: str


class keeping:
    """Turn the system's refusal to write into a sentence that says what is safe and how to go on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, OSError) and not isinstance(error, BadGzipFile):
            fix = "Free some space or mend the folder's rights; what was fetched is kept, and the same command goes on from it."
            raise DataError(f"could not write {self.path}: {os_reason(error)}. {fix}") from error


def amount(number: int) -> str:
    """Bytes as a person says them.

    >>> amount(791918971), amount(512)
    ('791.9 MB', '512 bytes')
    """
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if number >= size:
            return f"{number / size:.1f} {unit}"
    return f"{number} bytes"


def held(path: Path) -> int:
    """Size of a file, 0 when it is not there."""
    return path.stat().st_size if path.is_file() else 0


def beside(part: Path) -> Path:
    """The small file that tells where a part came from."""
    return part.with_name(part.name + ".json")


def mirror(base: str) -> str:
    """A checked base address, without the slash at its end."""
    try:
        parts = urlsplit(base)
        named = bool(parts.hostname) and parts.port != 0
    except ValueError:  # a port that is no number, a bracket left open
        parts, named = urlsplit(""), False
    fine = named if parts.scheme in ("http", "https") else parts.scheme == "file" and parts.netloc in ("", "localhost")
    if not fine or parts.query or parts.fragment or re.search(r"\s", base):
        fix = "Write --url https://HOST/FOLDER, or --url file:///FOLDER for one on this machine."
        raise UsageError(must("--url", "the http, https or file address of a folder", repr(base), fix))
    return base.rstrip("/")


def fetch(name: str, urls: Sequence[str], part: Path, size: int, patience: Patience, watch: Watch) -> Fetched:
    """Fill `part` up to `size` bytes from the first address that gives them; raise `Unfetched` when none does."""
    left, problems = list(urls), dict[str, str]()
    farthest, failed, waited = held(part), 0, 0.0
    while left:
        try:
            return Fetched(left[0], _try(name, left[0], part, size, patience.timeout, watch))
        except _Refused as reason:
            problems[left.pop(0)] = str(reason)
            continue
        except _Cut as reason:
            problem = problems[left[0]] = str(reason)
        have = held(part)
        failed = 1 if have - farthest >= patience.worth else failed + 1
        if have <= farthest:
            left.append(left.pop(0))  # nothing new from there: ask the next one
        farthest = max(farthest, have)
        if failed >= patience.tries:
            break
        pause = patience.wait * 2 ** (failed - 1)
        watch.remark(f"{name}: {problem}; trying again in {pause:g} s, {failed + 1} of {patience.tries}")
        time.sleep(pause)
        waited += pause
    told = ", ".join(f"{url} ({reason})" for url, reason in problems.items())
    tries = f"{patience.tries} {'try' if patience.tries == 1 else 'tries'}"
    raise Unfetched(f"{told}; given up after {tries} and {waited:g} s of waiting" if left else told)


def _try(name: str, url: str, part: Path, size: int, timeout: float, watch: Watch) -> bool:
    """One request for what is missing; True when it began at the first byte."""
    if held(part) > size:
        watch.remark(f"{name}: {part.name} holds more than the whole file; starting over")
        part.unlink()
    start = held(part)
    if start == size:
        return False
    offer = _open(name, url, start, _read_origin(part), timeout, watch)
    with offer.stream:
        if offer.total not in (None, size):
            raise _Refused(f"offers {offer.total:,} bytes of {offer.kind} where {size:,} are wanted")
        with keeping(part):
            # emptied before the note of its origin changes: bytes of one version never stand beside another's note
            with part.open("ab" if offer.start else "wb") as file:
                if not offer.start:
                    beside(part).write_text(json.dumps(asdict(offer.origin)), encoding="utf-8")
                done = offer.start
                while block := _read(offer.stream, timeout):
                    done += len(block)
                    if done > size:
                        break
                    file.write(block)
                    file.flush()  # what a killed process had got is kept too
                    watch.count(name, done, size)
            if done > size:
                part.unlink()
                raise _Refused(f"sends more than the {size:,} bytes wanted")
    if done < size:
        raise _Cut(f"broke off at {done:,} of {size:,} bytes")
    return offer.start == 0


def _open(name: str, url: str, start: int, known: _Origin | None, timeout: float, watch: Watch) -> _Offer:
    """An answer that begins where `part` ends, or else at the first byte, and then it is said why."""
    ask = _ask_file if urlsplit(url).scheme == "file" else _ask
    offer = ask(url, start, known, timeout)
    if start:
        changed = bool(offer and known and known.differs(offer.origin))
        if offer and offer.start == start and not changed:
            watch.remark(f"{name}: going on at {amount(start)}")
            return offer
        why = "the file has changed there since" if changed else "the server gives no parts of it"
        watch.remark(f"{name}: {why}; starting over")
        if offer is None or offer.start:
            if offer:
                offer.stream.close()
            offer = ask(url, 0, None, timeout)
    if offer is None or offer.start:
        if offer:
            offer.stream.close()
        raise _Refused("answers with a part where the whole was asked for")
    return offer


def _ask(url: str, start: int, known: _Origin | None, timeout: float) -> _Offer | None:
    """Ask a web server; None when it says that there is nothing from `start` on."""
    headers = {"User-Agent": "maskwright", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
        if known and known.url == url and (version := _strong(known)):
            headers["If-Range"] = version
    try:
        answer = _opener().open(urllib.request.Request(url, headers=headers), timeout=timeout)
    except HTTPError as error:
        with error:
            return _refusal(error, bool(start))
    except (OSError, HTTPException) as error:
        raise _unreachable(error, timeout) from None
    origin = _Origin(url, answer.headers.get("ETag"), answer.headers.get("Last-Modified"))
    kind = answer.headers.get_content_type()
    if answer.status == 206:
        at = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", answer.headers.get("Content-Range", ""))
        if not at:
            answer.close()
            return None
        return _Offer(answer, int(at[1]), None if at[2] == "*" else int(at[2]), origin, kind)
    if answer.status != 200:
        answer.close()
        raise _Refused(f"answered {answer.status}")
    length = answer.headers.get("Content-Length", "")
    return _Offer(answer, 0, int(length) if length.isdigit() else None, origin, kind)


def _ask_file(url: str, start: int, known: _Origin | None, timeout: float) -> _Offer:
    """The same of a file on this machine: a mounted disk, say."""
    path = Path(urllib.request.url2pathname(urlsplit(url).path))
    try:
        facts, stream = path.stat(), path.open("rb")
        stream.seek(start)
    except OSError as error:
        raise _Refused(error.strerror or str(error)) from None
    return _Offer(stream, start, facts.st_size, _Origin(url, f"{facts.st_size}-{facts.st_mtime_ns}"), "a file")


def _opener() -> urllib.request.OpenerDirector:
    """http and https alone, through the environment's proxies; a redirection to anything else is refused."""
    opener = urllib.request.OpenerDirector()
    for handler in (urllib.request.ProxyHandler, urllib.request.UnknownHandler, urllib.request.HTTPHandler,
                    urllib.request.HTTPSHandler, urllib.request.HTTPDefaultErrorHandler,
                    urllib.request.HTTPRedirectHandler, urllib.request.HTTPErrorProcessor):  # fmt: skip
        opener.add_handler(handler())
    return opener


def _strong(known: _Origin) -> str | None:
    """What If-Range may hold: a weak tag is not allowed there (RFC 9110, 13.1.5)."""
    return known.etag if known.etag and not known.etag.startswith("W/") else known.modified


def _refusal(error: HTTPError, resuming: bool) -> None:
    if error.code == 416 and resuming:
        return
    reason = f"answered {error.code} {' '.join(str(error.reason).split())}"
    raise (_Cut if error.code >= 500 or error.code in _FOR_A_WHILE else _Refused)(reason)


def _unreachable(error: BaseException, timeout: float) -> _Cut | _Refused:
    reason = error.reason if isinstance(error, URLError) and isinstance(error.reason, BaseException) else error
    if isinstance(reason, TimeoutError):
        return _Cut(f"sent nothing for {timeout:g} s")
    if isinstance(reason, ssl.SSLCertVerificationError):
        return _Refused(f"could not be trusted: {reason.verify_message}")
    if isinstance(reason, socket.gaierror | ConnectionError | OSError) and reason.strerror:
        return _Cut(f"could not be reached: {reason.strerror}")
    return _Cut(f"could not be reached: {' '.join(str(reason).split()) or type(reason).__name__}")


def _read(stream: HTTPResponse | BufferedReader, timeout: float) -> bytes:
    """What has come so far, at most a block: a slow line is seen moving, and Ctrl-C is heard at once."""
    try:
        return stream.read1(_BLOCK)
    except TimeoutError:
        raise _Cut(f"sent nothing for {timeout:g} s") from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "strerror", None)
        raise _Cut(f"broke off ({reason})" if reason else "broke off") from None


def _read_origin(part: Path) -> _Origin | None:
    """The note beside a part; None when there is none or it was torn while being written."""
    try:
        return _Origin(**json.loads(beside(part).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None
