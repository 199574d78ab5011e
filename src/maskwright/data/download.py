"""Public data sets by name: fetched, verified, unpacked, and gone on with after whatever stopped it.

    get("oxford-pet", "pets")      # pets/images, pets/annotations, pets/LICENCE.txt

Archives are fetched into OUT, verified by SHA-256 before anything is unpacked, unpacked into a hidden folder inside OUT
and renamed into place when they are whole. A hidden file tells that OUT is complete and what every file of it is.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from maskwright.data.archives import Facts, facts_of, sha256, unpack
from maskwright.data.sources import DOWNLOADS, Archive, Source
from maskwright.data.transfer import SILENT, Patience, Unfetched, Watch, amount, beside, fetch, held, keeping, mirror
from maskwright.errors import DataError, UsageError, as_typed, listed, must, unknown
from maskwright.folders import lock_folder

LICENCE_FILE = "LICENCE.txt"
MARKER = ".download.json"
_UNPACKING, _UNPACKED = ".unpacking", ".unpacked"
_AFRESH = "Move the folder away and run the command again for a fresh copy; to use it as it is, nothing needs to be done."


@dataclass(frozen=True)
class Download:
    """What `get` came to. `files` counts those of each folder; `fetched` is how each archive came."""

    name: str
    source: Source
    root: Path
    files: dict[str, int]
    fetched: dict[str, str]
    already: bool


def get(
    name: str,
    out: str | Path,
    url: str | None = None,
    keep_archives: bool = False,
    patience: Patience | None = None,
    watch: Watch = SILENT,
) -> Download:
    """Fetch a public data set into `out`, or go on with it; nothing is done where it is complete.

    `get("oxford-pet", "pets", url="https://mirror.example/pets")` asks a mirror that holds the same archives.
    """
    if name not in DOWNLOADS:
        raise UsageError(unknown("name", name, DOWNLOADS))
    source, out = DOWNLOADS[name], Path(out)
    bases = source.bases if url is None else (mirror(url),)
    if out.exists() and not out.is_dir():
        raise UsageError(must("OUT", "a folder", f"{out}, a file", "Choose another."))
    with lock_folder(out, "OUT"):
        _settle(out)
        fetched: dict[str, str] = {}
        already = (out / MARKER).is_file()
        if already:
            files = _verified(out, source, watch)
        else:
            _refuse_taken(out, source)
            fetched = _fetch_all(name, source, out, bases, patience or Patience(), watch)
            files = _unpack_all(name, source, out, watch)
        _put_away_archives(out, source, keep_archives, already, watch)
    counts = {archive.folder: sum(path.startswith(f"{archive.folder}/") for path in files) for archive in source.archives}
    return Download(name, source, out, counts, fetched, already)


def _refuse_taken(out: Path, source: Source) -> None:
    """Nothing of anybody else's is ever written over."""
    names = [*(archive.folder for archive in source.archives), LICENCE_FILE]
    there = [name for name in names if os.path.lexists(out / name)]
    if there:
        what = f"{out}, which holds {listed(there)} that this command did not put there"
        fix = f"Choose another folder; or, when that is the data set already, use it as it is: maskwright check {as_typed(out)}"
        raise UsageError(must("OUT", "a new folder or one that this command began", what, fix))


def _fetch_all(name: str, source: Source, out: Path, bases: tuple[str, ...], patience: Patience, watch: Watch) -> dict[str, str]:
    """Every archive whole and verified in `out`; where each came from."""
    watch.remark(f"{source.title}, {amount(source.size)}, licence {source.licence}, {source.homepage}")
    came: dict[str, str] = {}
    for archive in source.archives:
        if _there(archive, out, watch):
            came[archive.name] = "already there"
    missing = [archive for archive in source.archives if archive.name not in came]
    _refuse_full(out, source, missing)
    try:
        for archive in missing:
            came[archive.name] = _fetch(archive, out, [f"{base}/{archive.name}" for base in bases], patience, watch)
    except Unfetched as problem:
        wanted = [archive.name for archive in missing if archive.name not in came]
        raise DataError(_by_hand(name, source, out, wanted, str(problem))) from None
    except KeyboardInterrupt:
        watch.remark(f"{_kept(source, out)}; the same command goes on from there")
        raise
    return came


def _there(archive: Archive, out: Path, watch: Watch) -> bool:
    """Whether the archive is in `out`, by this command or by hand, and is what it must be."""
    path = out / archive.name
    if not path.exists():
        return False
    watch.remark(f"{archive.name} is there; verifying it")
    found = sha256(path) if held(path) == archive.size else None
    if found == archive.sha256:
        return True
    if _ours(archive, out).is_file():
        watch.remark(f"{archive.name} has changed since it was fetched; fetching it again")
        path.unlink()
        _ours(archive, out).unlink()
        return False
    wanted = f"the {archive.size:,} bytes with the SHA-256 {archive.sha256}"
    got = f"{held(path):,} bytes" + (f" with {found}" if found else "")
    raise DataError(must(str(path), wanted, got, "Put the right file there, or remove this one and it is fetched."))


def _fetch(archive: Archive, out: Path, urls: list[str], patience: Patience, watch: Watch) -> str:
    """Fetch and verify one archive; wrong bytes are removed, and where other addresses are left they are asked."""
    part = out / f"{archive.name}.part"
    while True:
        got = fetch(archive.name, urls, part, archive.size, patience, watch)
        found = sha256(part)
        if found == archive.sha256:
            with keeping(part):
                _ours(archive, out).touch()
                part.replace(out / archive.name)
            return got.url
        with keeping(part):
            part.unlink()
            beside(part).unlink(missing_ok=True)
        if not got.at_once:
            watch.remark(f"{archive.name}: the pieces do not make the file (SHA-256 {found}); starting over")
            continue
        urls = [url for url in urls if url != got.url]
        told = f"`{archive.name}` must have the SHA-256 {archive.sha256}; got {found} from {got.url}"
        if not urls:
            fix = f"It was removed; name another address with --url, or put the right file at {out / archive.name} by hand."
            raise DataError(f"{told}. {fix}")
        watch.remark(f"{told}; it was removed, asking the next address")


def _unpack_all(name: str, source: Source, out: Path, watch: Watch) -> dict[str, Facts]:
    """Unpack every archive into a hidden folder, and let it appear only when it is whole."""
    staging = out / _UNPACKING
    files: dict[str, Facts] = {}
    try:
        with keeping(staging):
            staging.mkdir()
        for archive in source.archives:
            told = f"unpacking {archive.name}"
            files |= unpack(
                out / archive.name, staging, archive.folder, lambda done, total, told=told: watch.count(told, done, total)
            )
        marker = {"data": name, "archives": {archive.name: archive.sha256 for archive in source.archives}, "files": files}
        with keeping(staging):
            (staging / LICENCE_FILE).write_text(_licence(source), encoding="utf-8")
            (staging / MARKER).write_text(json.dumps(marker) + "\n", encoding="utf-8")
            staging.rename(out / _UNPACKED)
    except KeyboardInterrupt:
        watch.remark(f"{_kept(source, out)}; the same command unpacks again")
        raise
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    _settle(out)
    return files


def _settle(out: Path) -> None:
    """Finish what an earlier run may have left: whole folders go to their place, the marker last; others are dropped."""
    shutil.rmtree(out / _UNPACKING, ignore_errors=True)
    unpacked = out / _UNPACKED
    if not unpacked.is_dir():
        return
    for path in sorted(unpacked.iterdir(), key=lambda path: path.name == MARKER):
        with keeping(out / path.name):
            path.rename(out / path.name)
    with keeping(unpacked):
        unpacked.rmdir()


def _verified(out: Path, source: Source, watch: Watch) -> dict[str, Facts]:
    """Every file as it was unpacked, or a sentence that names those that are not."""
    try:
        marker = json.loads((out / MARKER).read_text(encoding="utf-8"))
        archives, files = dict(marker["archives"]), {path: (facts[0], facts[1]) for path, facts in marker["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, IndexError):
        raise DataError(f"`{out / MARKER}` must be as this command wrote it; got something else. {_AFRESH}") from None
    if archives != {archive.name: archive.sha256 for archive in source.archives}:
        raise DataError(f"`{out}` must hold {source.title} as this version knows it; got the files of other archives. {_AFRESH}")
    missing: list[str] = []
    changed: list[str] = []
    for done, (path, facts) in enumerate(files.items(), 1):
        if not (out / path).is_file():
            missing.append(path)
        elif held(out / path) != facts[0] or facts_of(out / path) != facts:
            changed.append(path)
        watch.count("verifying files", done, len(files))
    if missing or changed:
        told = [f"{len(paths)} {what}: {listed(paths)}" for paths, what in ((missing, "missing"), (changed, "changed")) if paths]
        raise DataError(f"`{out}` must be as it was unpacked; got {' and '.join(told)}. {_AFRESH}")
    return files


def _put_away_archives(out: Path, source: Source, keep: bool, already: bool, watch: Watch) -> None:
    """Archives that this command fetched are removed once unpacked, unless asked for; those put there by hand stay."""
    gone = [archive.name for archive in source.archives if not (out / archive.name).exists()]
    for archive in source.archives:
        if _ours(archive, out).is_file():
            with keeping(out / archive.name):
                if not keep:
                    (out / archive.name).unlink(missing_ok=True)
                _ours(archive, out).unlink()
    if keep and already and gone:
        watch.remark(f"--keep-archives has no effect: {listed(gone)} went when the files had been unpacked")


def _ours(archive: Archive, out: Path) -> Path:
    """The note that stays beside an archive which this command fetched; one put there by hand has none."""
    return beside(out / f"{archive.name}.part")


def _refuse_full(out: Path, source: Source, missing: list[Archive]) -> None:
    """Say at once what would fail after an hour; unpacked, the files need at least what the archives do."""
    need = sum(archive.size - held(out / f"{archive.name}.part") for archive in missing) + source.size
    free = shutil.disk_usage(out).free
    if free < need:
        fix = "Free some space or choose another OUT; nothing that was fetched is lost."
        raise DataError(must("OUT", f"on a disk with {amount(need)} free", f"{amount(free)} free at {out}", fix))


def _by_hand(name: str, source: Source, out: Path, wanted: list[str], problem: str) -> str:
    """What a person without network can do: fetch the files elsewhere, and put them where they are looked for."""
    places = listed([out / archive for archive in wanted])
    kept = f" {_kept(source, out)}." if any(held(out / f"{archive}.part") for archive in wanted) else ""
    return (
        f"`{name}` could not be fetched: {problem}.{kept} Run the command again, name a mirror with --url, or fetch "
        f"{listed(wanted)} from {source.homepage} on another machine and put {'it' if len(wanted) == 1 else 'them'} "
        f"at {places}: the same command then goes on from there."
    )


def _kept(source: Source, out: Path) -> str:
    """How much of the archives is in `out` by now."""
    parts = [
        f"{amount(size)} of {archive.name}"
        for archive in source.archives
        if (size := held(out / archive.name) or held(out / f"{archive.name}.part"))
    ]
    return f"kept in {out}: {listed(parts) if parts else 'nothing yet'}"


def _licence(source: Source) -> str:
    archives = "\n".join(f"{archive.name}  SHA-256 {archive.sha256}" for archive in source.archives)
    return (
        f"{source.title}\n{source.homepage}\n\nLicence\n{source.terms}\n\nTo cite\n{source.citation}\n\n"
        f"Unpacked from\n{archives}\n"
    )
