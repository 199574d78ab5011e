"""One file from the web: asked for at several addresses, gone on with where a try broke off, and verified.

    transfer = Transfer("a.tar.gz", Path("a.tar.gz.part"), size, sha256, Retries(), on_progress, on_message)
    transfer.fetch(["https://one.example/a.tar.gz", "https://two.example/a.tar.gz"])      # the one that gave it

What comes is written into the part at once; the next request asks for the rest of it (`Range`), and the file's SHA-256
decides whether the pieces are the file.
"""

from __future__ import annotations

import contextlib
import re
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

from maskwright.errors import DataError
from maskwright.files import file_digest, os_reason

_BLOCK = 1 << 16
_TEMPORARY_STATUSES = (408, 425, 429)  # and those from 500 on: the same request may succeed later


@dataclass(frozen=True)
class Retries:
    """How long to bear with a bad line. A try that brought `progress` new bytes starts the count of tries anew."""

    tries: int = 5
    timeout: float = 30.0  # seconds without a byte
    wait: float = 1.0  # seconds before the second try, doubled before each further one
    progress: int = 1 << 20


class NotFetched(Exception):
    """No address gave the file; the message says of each why."""


class _Interrupted(Exception):
    """This try failed; another may not."""


class _Refused(Exception):
    """This address will not give the file, however often it is asked."""


@dataclass(frozen=True)
class Transfer:
    """One file on its way: its name, where its bytes are kept, and what they must be in the end."""

    name: str
    part: Path
    size: int
    sha256: str
    retries: Retries
    on_progress: Callable[[str, int, int], None]
    on_message: Callable[[str], None]

    def fetch(self, urls: Iterable[str]) -> str:
        """Download it from the first address that gives it, going on where a try broke off; returns that address."""
        left, problems = list(urls), dict[str, str]()
        most, failed, waited = size_of(self.part), 0, 0.0
        while left:
            try:
                self._request(left[0])
                return left[0]
            except _Refused as error:
                problems[left.pop(0)] = str(error)
                continue
            except _Interrupted as error:
                problem = problems[left[0]] = str(error)
            size = size_of(self.part)
            failed = 1 if size - most >= self.retries.progress else failed + 1
            if size <= most:
                left.append(left.pop(0))  # nothing new from there: ask the next one
            most = max(most, size)
            if failed >= self.retries.tries:
                break
            pause = self.retries.wait * 2 ** (failed - 1)
            again = f"trying again in {pause:g} s, {failed + 1} of {self.retries.tries}"
            self.on_message(f"{self.name}: {problem}; {again}")
            time.sleep(pause)
            waited += pause
        reasons = ", ".join(f"{url} ({reason})" for url, reason in problems.items())
        if left:
            tries = f"{self.retries.tries} {'try' if self.retries.tries == 1 else 'tries'}"
            reasons += f"; given up after {tries} and {waited:g} s of waiting"
        raise NotFetched(reasons)

    def _request(self, url: str) -> None:
        """Ask one address once for what is missing, and verify the whole."""
        start = size_of(self.part)
        if start < self.size:
            answer, begins = self._open(url, start)
            with answer:
                self._receive(answer, begins)
        if (found := file_digest(self.part)) != self.sha256:
            with writing_download(self.part):
                self.part.unlink()
            if start:
                raise _Interrupted(f"the pieces do not make the file (SHA-256 {found}); starting over")
            raise _Refused(f"gives another file: its SHA-256 is {found}, not {self.sha256}; it was removed")

    def _open(self, url: str, start: int) -> tuple[Any, int]:
        """An open answer and the byte it begins at: where `part` ends, or else at the first one."""
        answer = _ask(url, start, self.retries.timeout)
        if start and answer is not None and _first_byte(answer) == start:
            self.on_message(f"{self.name}: going on at {100 * start // self.size} %")
        elif start:
            self.on_message(f"{self.name}: the server gives no parts of it; starting over")
            if answer is None or _first_byte(answer):
                start, answer = 0, _ask(url, 0, self.retries.timeout)
        begins = None if answer is None else _first_byte(answer)
        if answer is None or begins not in (0, start):
            raise _Refused("answers with a part where the whole was asked for")
        length = answer.headers.get("Content-Length", "")
        if length.isdigit() and int(length) + begins != self.size:
            answer.close()
            kind = answer.headers.get_content_type()
            raise _Refused(f"offers {int(length) + begins:,} bytes of {kind} where {self.size:,} are wanted")
        return answer, begins

    def _receive(self, answer: Any, done: int) -> None:
        """Write what comes behind the `done` bytes that are there."""
        with writing_download(self.part), self.part.open("ab" if done else "wb") as file:
            while block := _read(answer, self.retries.timeout):
                done += len(block)
                if done > self.size:
                    break
                file.write(block)
                file.flush()  # what a killed process had received is kept too
                self.on_progress(self.name, done, self.size)
        if done > self.size:
            self.part.unlink()
            raise _Refused(f"sends more than the {self.size:,} bytes wanted")
        if done < self.size:
            raise _Interrupted(f"broke off at {done:,} of {self.size:,} bytes")


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


@contextlib.contextmanager
def writing_download(path: Path) -> Iterator[None]:
    """Turn the system's refusal to write into a sentence that says what is safe and how to go on."""
    try:
        yield
    except OSError as error:
        fix = (
            "Free some space or change the folder's rights; what was downloaded is kept, and the same command goes on "
            "from it."
        )
        raise DataError(f"could not write {path}: {os_reason(error)}. {fix}") from error


def size_of(path: Path) -> int:
    """Size of a file, 0 when it is not there."""
    return path.stat().st_size if path.is_file() else 0
