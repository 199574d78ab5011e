"""Code of a person's own: `path/to/file.py:name`, `package.module:name`, or an object handed over in Python.

    load("my_net.py:Net", {"width": 8}).value        # the class, imported

Code is executed where a person named it: on the command line, in a YAML, in Python. What a run folder names is executed
only if this person has named the same code before, with the same options and the same text; see `refuse_unnamed`.
"""

from __future__ import annotations

import contextlib
import hashlib
import importlib
import importlib.machinery
import inspect
import json
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from maskwright.errors import ConfigError, one_line, unknown

TRUST_CODE = "--trust-code"
HANDED_OVER = "python"  # the place of an object that no import gives again
trust_code = False  # whether this command was given --trust-code
_SOURCE = re.compile(r"(?P<place>.+\.py|[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")
_objects: dict[str, Any] = {}  # handed over in this process, by source
_modules: dict[tuple[Path, str], ModuleType] = {}  # files that were executed, by place and text
_named: set[str] = set()  # as the files of `_record`, which may lie where nothing can be written


Carried = tuple[dict[str, Any], set[str]]


@dataclass(frozen=True)
class Code:
    """An imported object, its source with an absolute path, and the hash of the file it stands in."""

    value: Any
    source: str
    hash: str | None


def is_source(text: object) -> bool:
    """Whether a text is FILE.py:NAME or package.module:NAME.

    >>> [is_source(text) for text in ("nets/my.py:Net", "timm.models:resnet18", "unet/resnet34", "C:/my.py:Net")]
    [True, True, False, True]
    """
    return isinstance(text, str) and _SOURCE.fullmatch(text) is not None


def name_of(source: str) -> str:
    """The name without its place.

    >>> name_of("nets/my.py:Net")
    'Net'
    """
    return source.rpartition(":")[2]


def absolute(source: str, folder: Path) -> str:
    """The source with its file's absolute path, which is relative to a folder.

    >>> absolute("my.py:Net", Path("/a")), absolute("package.module:Net", Path("/a"))
    ('/a/my.py:Net', 'package.module:Net')
    """
    place, _, name = source.rpartition(":")
    return f"{os.path.normpath(folder / place)}:{name}" if place.endswith(".py") else source


def keep(value: Any) -> str:
    """The source of an object handed over in Python: where an import finds it, else a place of its own in `python`."""
    source = next((source for source, known in _objects.items() if known is value), None) or _importable(value)
    if source is None:
        named = value if inspect.isroutine(value) or isinstance(value, type) else type(value)
        name = re.sub(r"\W", "_", named.__name__).strip("_")
        source = f"{HANDED_OVER}.k{secrets.token_hex(3)}:{name}"  # unlike that of any other run
    _objects[source] = value
    return source


def carried(sources: Iterable[str]) -> Carried:
    """What another process of this training needs to load them: objects that no import gives, and what was named."""
    objects = [source for source in sources if is_handed_over(source) and source in _objects]
    return {source: _objects[source] for source in objects}, set(_named)


def receive(objects: Mapping[str, Any], named: Iterable[str] = ()) -> None:
    """Take what stands for sources: handed over where a run is opened, or in the process that started this one."""
    _objects.update(objects)
    _named.update(named)


def is_handed_over(source: str) -> bool:
    """Whether only Python can give this object, by handing it over."""
    return source.startswith(f"{HANDED_OVER}.k")


def load(key: str, source: str, options: Mapping[str, Any], known: str | None = None) -> Code:
    """Import what a key of the configuration names; `known` is the hash that a run holds, None of a person's."""
    if source in _objects:
        file = None if is_handed_over(source) else _file_of(source)
        digest = _digest(file.read_bytes()) if file else None
        if file and digest:
            _record(_entry(source, file, options, digest), source)
        return Code(_objects[source], source, digest)
    source, file = absolute(source, Path.cwd()), find(key, source)
    text = file.read_bytes()
    if known is not None:
        refuse_unnamed(key, source, options, known)
    _record(_entry(source, file, options, _digest(text)), source)
    return Code(_attribute(key, _execute(key, source, file, text), source), source, _digest(text))


def find(key: str, source: str) -> Path:
    """The file that a source stands in, or one sentence that says that it is missing; nothing is executed."""
    if is_handed_over(source):
        again = f"Hand over the same again: mw.open(RUN, {key.partition('.')[0]}=…)"
        what = f"{name_of(source)} was handed over in Python and is not kept with the run"
        raise ConfigError([f"`{key}`: {what}. {again}."])
    source = absolute(source, Path.cwd())
    file = _file_of(source)
    if file is None:
        fix = f"Put it back, or hand it over in Python: mw.open(RUN, {key.partition('.')[0]}=…)."
        raise ConfigError([f"`{key}` must name code that is there; {source.rpartition(':')[0]} is missing. {fix}"])
    return file


def refuse_unnamed(key: str, source: str, options: Mapping[str, Any], known: str | None) -> None:
    """Stop before code is executed that a folder names and its text, or this person's record, does not vouch for.

    A run may come from anybody, and what it names could be any function with any arguments.
    """
    if trust_code or source in _objects:
        return
    file = find(key, source)
    digest = _digest(file.read_bytes())
    entry = _entry(absolute(source, Path.cwd()), file, options, digest)
    if known not in (None, digest):
        why = f"{source} is no longer what the run was trained with. Put it back, or, if it still does the same,"
    elif entry in _named or (_record_folder() / entry).is_file():
        return
    else:
        why = f"the run wants to execute {source}, which nobody has named on this machine. If you trust that code,"
    raise ConfigError([f"`{key}`: {why} add {TRUST_CODE} to the command; in Python hand it over: mw.open(RUN, …)."])


def _entry(source: str, file: Path, options: Mapping[str, Any], digest: str) -> str:
    """What vouches for code; with the file, as a package of that name elsewhere would bring its own other modules."""
    return _digest(json.dumps([source, str(file), options, digest], sort_keys=True, default=str).encode())


def _digest(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _record(entry: str, source: str) -> None:
    if entry in _named:
        return
    _named.add(entry)
    with contextlib.suppress(OSError):
        _record_folder().mkdir(parents=True, exist_ok=True)
        (_record_folder() / entry).write_text(source + "\n", encoding="utf-8")


def _record_folder() -> Path:
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state") / "maskwright" / "code"


def _importable(value: Any) -> str | None:
    """Where a class or function is found again; None for what is no such thing, or stands in a script or notebook."""
    if not (inspect.isclass(value) or inspect.isfunction(value)) or value.__module__ in (None, "__main__"):
        return None
    module, found = sys.modules.get(value.__module__), None
    with contextlib.suppress(AttributeError):
        found = _walk(module, value.__qualname__)
    if found is not value:
        return None
    file = Path(getattr(module, "__file__", None) or "")
    alone = "." not in value.__module__ and file.suffix == ".py" and "site-packages" not in file.parts
    source = f"{file.absolute() if alone else value.__module__}:{value.__qualname__}"
    return source if _file_of(source) else None


def _file_of(source: str) -> Path | None:
    """The file a source stands in, found without executing anything: importing a module would run its packages."""
    place, _, _ = source.rpartition(":")
    if place.endswith(".py"):
        return Path(place) if Path(place).is_file() else None
    path: list[str] | None = None
    spec = None
    with _importing_from(Path.cwd(), at=len(sys.path)):
        for count in range(1, len(parts := place.split(".")) + 1):
            spec = importlib.machinery.PathFinder.find_spec(".".join(parts[:count]), path)
            if spec is None:
                return None
            path = list(spec.submodule_search_locations or [])
    file = Path(spec.origin) if spec is not None and spec.origin else None
    return file if file and file.suffix == ".py" and file.is_file() else None


def _execute(key: str, source: str, file: Path, text: bytes) -> ModuleType:
    place, digest = source.rpartition(":")[0], _digest(text)
    try:
        if not place.endswith(".py"):
            with _importing_from(Path.cwd(), at=len(sys.path)):  # installed packages come first
                return importlib.import_module(place)
        if (file, digest) not in _modules:
            module = ModuleType(f"maskwright_custom_{digest[:16]}")
            module.__file__ = str(file)
            sys.modules[module.__name__] = module  # dataclasses look there
            with _importing_from(file.parent):  # as `python FILE` has it
                exec(compile(text, file, "exec"), vars(module))  # the text that was looked at, and no .pyc beside it
            _modules[file, digest] = module
        return _modules[file, digest]
    except Exception as error:
        reason = f"{type(error).__name__}: {one_line(str(error))[:200]}"
        raise ConfigError([f"`{key}` must be code that can be imported; {source} fails with {reason}."]) from error


@contextlib.contextmanager
def _importing_from(folder: Path, at: int = 0) -> Iterator[None]:
    added = str(folder)
    sys.path.insert(at, added)
    try:
        yield
    finally:
        sys.path[:] = [one for one in sys.path if one is not added]  # what the code added itself stays


def _attribute(key: str, module: ModuleType, source: str) -> Any:
    try:
        return _walk(module, name_of(source))
    except AttributeError:
        known = [name for name in vars(module) if not name.startswith("_")]
        fix = f"It is not in {source.rpartition(':')[0]}."
        raise ConfigError([unknown("name", name_of(source), known, fix, f"{key}.source")]) from None


def _walk(module: Any, name: str) -> Any:
    for part in name.split("."):
        module = getattr(module, part)
    return module
