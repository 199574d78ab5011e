"""Every error a user can meet, and how its sentence is built.

    MaskwrightError          catch this one to catch them all; the command line exits with 2
    ├── UsageError           an argument or flag is wrong
    ├── ConfigError          one or more keys of a configuration are wrong
    ├── DataError            images, masks or their pairing are wrong
    ├── ModelError           a model, encoder or set of weights cannot be used
    ├── RunError             a run folder is missing, taken, incomplete or cannot be written
    └── TrainingError        training cannot go on (a loss that is not finite, say)

A message says in a sentence or two what must hold, what was found and how to fix it.
`assert` is kept for our own invariants; a user's mistake is always one of these.
"""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# control characters but for line breaks and tabs, marks of text from right to left, bytes of names in old encodings
UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


class MaskwrightError(Exception):
    """Base of all errors a user can cause and fix.

    >>> issubclass(DataError, MaskwrightError)
    True
    """

    exit_code = 2


class UsageError(MaskwrightError):
    """An argument or flag is wrong."""


class ConfigError(MaskwrightError):
    """One or more keys of a configuration are wrong; `problems` holds a sentence for each."""

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        head = "" if len(self.problems) == 1 else f"{len(self.problems)} problems in the configuration:\n  "
        super().__init__(head + "\n  ".join(self.problems))


class DataError(MaskwrightError):
    """Images, masks or their pairing are wrong."""


class ModelError(MaskwrightError):
    """A model, encoder or set of weights cannot be used."""


class RunError(MaskwrightError):
    """A run folder is missing, taken, incomplete or cannot be written."""


class TrainingError(MaskwrightError):
    """Training cannot go on."""


def must(name: str, constraint: str, got: object, fix: str = "") -> str:
    """Build the house sentence.

    >>> must("count", "at least 1", 0, "Pass --count 1 or more.")
    '`count` must be at least 1; got 0. Pass --count 1 or more.'
    """
    return f"`{name}` must be {constraint}; got {got}.{' ' + fix if fix else ''}"


def closest(name: str, known: Iterable[str], limit: int = 5) -> list[str]:
    """The known names nearest to a mistyped one, best first, at most `limit`.

    >>> closest("resnet43", ["resnet34", "vgg16"], limit=1)
    ['resnet34']
    """
    import difflib  # late: a command that makes no mistake needn't wait for it

    known = list(known)
    lower = {item.lower(): item for item in reversed(known)}
    return [lower[item] for item in difflib.get_close_matches(name.lower(), list(lower), n=limit, cutoff=0.6)]


def unknown(kind: str, name: object, known: Iterable[str], fix: str = "", key: str = "") -> str:
    """The sentence for a name that is not known, with at most five close ones; `key` where a configuration has it.

    >>> unknown("loss", "dise", ["dice", "ce"])
    "Unknown loss 'dise'. Did you mean 'dice'?"
    >>> unknown("loss", "x", ["bce", "ce", "dice", "focal", "topk", "tversky"], key="loss.0.name")
    "Unknown loss 'x' in `loss.0.name`. Choose from bce, ce, dice, focal, topk and tversky."
    """
    known = list(known)
    near = closest(str(name), known) or (known if len(known) <= 5 else [])
    choose = did_you_mean(near) or (f"Choose from {listed(known, 'and', 20)}." if known else "")
    return " ".join(filter(None, (f"Unknown {kind} {str(name)!r}{f' in `{key}`' if key else ''}.", choose, fix)))


def did_you_mean(near: Iterable[str]) -> str:
    """A question that offers names; nothing where there is none.

    >>> did_you_mean(["fpn", "pan"])
    "Did you mean 'fpn' or 'pan'?"
    """
    names = [f"'{name}'" for name in near]
    return f"Did you mean {listed(names, 'or')}?" if names else ""


def check_path(path: str | Path) -> str:
    """What to do about a path that leads nowhere: a question that offers the names beside it that are near, if any.

    >>> check_path("maskwrite")
    'Check the path.'
    """
    from pathlib import Path  # late: the bare --help needs little

    path = Path(path)
    try:
        with os.scandir(path.parent) as entries:
            names = [entry.name for entry in itertools.islice(entries, 5000)]
    except (OSError, ValueError):
        names = []
    near = closest(path.name, [name for name in names if is_text(name) and name != path.name], 2)
    return did_you_mean(str(path.parent / name) for name in near) or "Check the path."


def listed(items: Iterable[object], last: str = "and", limit: int = 5) -> str:
    """Join for prose, cut after `limit`.

    >>> listed(["a", "b", "c"])
    'a, b and c'
    """
    words = [str(item) for item in items]
    if len(words) > limit:
        return ", ".join(words[:limit]) + f" {last} {len(words) - limit} more"
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + f" {last} {words[-1]}" if words else "none"


def counted(number: int, word: str, words: str = "") -> str:
    """A number and its noun.

    >>> counted(1, "mask"), counted(1200, "mask")
    ('1 mask', '1,200 masks')
    """
    return f"{number:,} {word if number == 1 else words or word + 's'}"


def printable(text: str) -> str:
    r"""Text as a terminal may be given it: what would move its cursor, colour it or turn a line round is escaped.

    >>> print(printable("a\x1b[2Jb\u202e"))
    a\x1b[2Jb\u202e
    """
    return UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def is_text(name: str) -> bool:
    """Whether a name can be written as UTF-8: none in an old encoding, nor half of a pair as JSON may escape it."""
    return not any("\ud800" <= letter <= "\udfff" for letter in name)


def one_line(text: str) -> str:
    """Text without line breaks and control characters, for a comment, a cell or a name in a list.

    >>> one_line("two\\nlines")
    'two lines'
    """
    return printable(" ".join(text.split()))


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that memory ran out, whichever library raised it."""
    words = ("out of memory", "can't allocate memory", "not enough memory", "cannot allocate memory",
             "insufficient memory", "bad allocation", "bad_alloc", "alloc_failed")  # fmt: skip
    return isinstance(error, MemoryError) or any(one in str(error).lower() for one in words)


def as_typed(*words: object) -> str:
    """Words of a command as a shell takes them, so that a line we print can be pasted.

    >>> as_typed("runs/my run", "--split", "val")
    "'runs/my run' --split val"
    """
    import shlex  # late, as above

    # a path that begins like an option is none with its folder before it
    return shlex.join(
        f"./{word}" if hasattr(word, "__fspath__") and str(word).startswith("-") else str(word) for word in words
    )


def install_command(extra: str = "") -> str:
    """The line that installs an extra beside this Python: from the clone where maskwright comes from one, else by its
    name.

    `.venv/bin/pip install -c constraints.txt -e '.[geo]'` in a clone, `pip install 'maskwright[geo]'` elsewhere.
    """
    import json  # late, as above
    import shutil
    import sys
    from importlib import metadata
    from pathlib import Path
    from urllib.parse import urlsplit
    from urllib.request import url2pathname

    def shown(path: Path) -> str:
        return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)

    pip, wish = Path(sys.executable).with_name("pip"), f"[{extra}]" if extra else ""
    source = json.loads(metadata.distribution("maskwright").read_text("direct_url.json") or "{}")
    clone = Path(url2pathname(urlsplit(source.get("url", "")).path))
    if "dir_info" not in source or not clone.is_dir():
        return as_typed("pip" if shutil.which("pip") == str(pip) else shown(pip), "install", f"maskwright{wish}")
    pinned = ["-c", shown(clone / "constraints.txt")] if (clone / "constraints.txt").is_file() else []
    editable = ["-e"] if source["dir_info"].get("editable") else []
    return as_typed(shown(pip), "install", *pinned, *editable, f"{shown(clone)}{wish}")
