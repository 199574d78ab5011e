"""Folders that are written into: locked by one process at a time, and begun whole or not there at all.

with lock_folder(Path("runs/first")): ...                    # a second process is refused
with new_folder(out, refuse, "config.yaml", names): ...      # too; `names` go again unless config.yaml came of it
with whole_folder(out, refuse, "OUT") as inner: ...          # what `inner` is filled with appears in `out`, or nothing
with out_folder(None, Path("runs/pets-unet-1")) as out: ...  # that, or the next number that nobody has taken
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from maskwright.errors import RunError
from maskwright.files import MACHINE, is_alive, os_reason, remove_stale, temporary_beside, writing

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK = ".maskwright.lock"  # in a folder that is worked in; a killed process leaves it, with what it had begun
_HELD_ELSEWHERE = (errno.EAGAIN, errno.EACCES, errno.EDEADLK)
_held: set[int] = set()  # descriptors of the locks of this process


def _close_inherited() -> None:
    """In a forked process, such as a loader's worker: its copies would keep the locks of a parent that was killed."""
    for descriptor in _held:
        os.close(descriptor)
    _held.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_inherited)


@contextlib.contextmanager
def lock_folder(root: Path, flag: str = "--out", task: str = "") -> Iterator[str | None]:
    """Make a folder and keep other processes out of it; a killed one locks nothing.

    Gives the `task` of a process that was killed at work there, None where there was none. What it was writing is
    removed, and so is the folder itself if it is new and comes out empty.
    """
    root = root.absolute()
    with _made(root):
        with _writing(root):
            descriptor, before = _lock(root, flag)
            os.write(descriptor, f"{task}\n{MACHINE} {os.getpid()}".encode())
        _held.add(descriptor)
        try:
            remove_stale(root)
            yield before
        finally:
            if descriptor in _held:  # not in a forked process
                _held.discard(descriptor)
                _unlock(root / LOCK, descriptor)


def worker_of(root: Path) -> int | None:
    """The process of this machine that works in a folder now; None where none does."""
    path = root / LOCK
    try:
        machine, _, process = path.read_text(encoding="utf-8", errors="replace").partition("\n")[2].partition(" ")
        if machine != MACHINE or not process.isdecimal() or not is_alive(int(process)):
            return None
        descriptor = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
    except OSError:
        return None
    try:  # the name is believed while its lock is held: a number of a process that was killed may be another's by now
        return None if _is_locked(descriptor) else int(process)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def new_folder(
    root: Path, refuse: Callable[[], None], begun: str = "", made: Iterable[str] = (), flag: str = "--out"
) -> Iterator[None]:
    """Lock a folder in which something is to begin; `refuse` stops where it holds anything.

    The file `begun` says that it has begun. Without it the files and folders `made` are taken away again at the end,
    and so are those of a process that was killed before; only its lock tells them from somebody's own.
    """
    if not (root / LOCK).is_file():
        refuse()  # before anything is written there
    with lock_folder(root, flag, begun) as killed:
        if begun and killed == begun:
            _remove_unless_begun(root, begun, made)
        refuse()
        try:
            yield
        finally:
            if begun:
                _remove_unless_begun(root, begun, made)


@contextlib.contextmanager
def whole_folder(out: Path, refuse: Callable[[], None], flag: str) -> Iterator[Path]:
    """A folder to fill inside `out`, new or empty: at the end its contents move up, else nothing of it stays."""
    with new_folder(out, refuse, flag=flag):
        inner = temporary_beside(out / "part")
        moved: list[Path] = []
        try:
            inner.mkdir()
            yield inner
            refuse()  # somebody may have used the time
            # lists before what they list: no reader takes a part for all
            for path in sorted(inner.iterdir(), key=Path.is_dir):
                moved.append(out / path.name)
                path.rename(out / path.name)
        except BaseException as error:
            for path in moved:
                _remove(path)
            reason = os_reason(error.__cause__ or error) if isinstance(error, Exception) else None
            if reason:
                fix = "Nothing is left of it. Free some space, or choose another folder."
                raise RunError(f"could not write {out}: {reason}. {fix}") from error
            raise
        finally:
            _remove(inner)


@contextlib.contextmanager
def out_folder(out: str | Path | None, free: Path | None) -> Iterator[Path]:
    """The folder that was asked for, else the numbered one that was free, or the first after it that nobody took."""
    if out or free is None:
        yield Path(out or "")
        return
    with _made(free.parent.absolute()):
        with _writing(free):
            root = _first_not_taken(free)
        try:
            yield root
        finally:
            with contextlib.suppress(OSError):  # it holds something
                root.rmdir()


def _first_not_taken(free: Path) -> Path:
    stem, _, number = free.name.rpartition("-")
    for following in itertools.count(int(number)):
        root = free.with_name(f"{stem}-{following}")
        with contextlib.suppress(FileExistsError):
            root.mkdir()
            return root
    raise AssertionError("numbers do not end")


def _writing(root: Path) -> writing:
    return writing(root, "make the folder", "nothing was changed")


@contextlib.contextmanager
def _made(root: Path) -> Iterator[None]:
    """Make a folder and those it lies in; the new ones that are empty in the end are taken away again."""
    new = [folder for folder in (root, *root.parents) if not folder.exists()]
    try:
        with _writing(root):
            root.mkdir(parents=True, exist_ok=True)
        yield
    finally:
        for folder in new:
            with contextlib.suppress(OSError):
                folder.rmdir()


def _lock(root: Path, flag: str) -> tuple[int, str | None]:
    """The descriptor of a folder's lock, and what the file held before; None where it is new."""
    path, options = root / LOCK, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0)
    while True:
        root.mkdir(parents=True, exist_ok=True)
        new = False
        try:
            descriptor = os.open(path, options)
        except FileNotFoundError:
            new = True
            try:
                descriptor = os.open(path, options | os.O_CREAT | os.O_EXCL, 0o666)
            except (FileExistsError, FileNotFoundError):  # somebody was quicker to make it, or removed the empty folder
                continue
        if not _is_locked(descriptor):
            os.close(descriptor)
            fix = "Wait until it is done, or name another folder."
            raise RunError(f"`{flag}` must be worked on by one process at a time; another is at work in {root}. {fix}")
        if _is_at(path, descriptor):
            task = None if new else os.read(descriptor, 1000).decode(errors="replace").partition("\n")[0]
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            return descriptor, task
        os.close(descriptor)  # whoever held it has removed it, so locking it keeps nobody out


def _is_locked(descriptor: int) -> bool:
    """Lock an open file; on file systems that know no locks all are let in, as there were no way to tell."""
    try:
        if sys.platform == "win32":
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        else:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return error.errno not in _HELD_ELSEWHERE
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.lstat())
    except FileNotFoundError:
        return False


def _unlock(path: Path, descriptor: int) -> None:
    """Remove a lock's file while it is held, so that nobody locks what is about to go; Windows removes no open file."""
    if sys.platform == "win32":
        os.close(descriptor)
    with contextlib.suppress(OSError):
        path.unlink()
    if sys.platform != "win32":
        os.close(descriptor)


def _remove_unless_begun(root: Path, begun: str, made: Iterable[str]) -> None:
    if not (root / begun).is_file():
        for name in made:
            _remove(root / name)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()
