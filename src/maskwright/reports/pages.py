"""Templates of pages and their filters: numbers as a reader wants to see them; what is undefined is a dash."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from markupsafe import Markup, escape

from maskwright import terminal
from maskwright.data.pictures import css, palette
from maskwright.errors import counted
from maskwright.terminal import DASH, score, signed

TEMPLATES = Path(__file__).parent / "templates"
PERCENT = "\u00a0%"  # the number and its sign stay on one line
SPLIT_WORDS = {"train": "training", "val": "validation", "test": "test"}
IN_PIXELS = frozenset({"hd95"})
# what a computer may have named: a UUID, or sixteen letters and digits and more, mixed as no person mixes them
_HASH = re.compile(
    r"(?<![0-9A-Za-z])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}|[0-9A-Za-z]{16,})(?![0-9A-Za-z])"
)
_HEX = re.compile(r"(?=.*[0-9])(?=.*[A-Fa-f])[0-9A-Fa-f-]+")
_MIXED = 4  # times that a letter follows a digit
_VALUE = r"'[^']*'|#?\w*\d[\w.]*\w|\d|[A-Z]{3,}|\w+/\w+|auto|balanced|heavy|lovasz|standard|val_loss"
# in a sentence, as it is to be typed
_CODE = re.compile(rf"`(?P<code>[^`]+)`|(?P<flag>--[a-z][\w.-]*\w(?: (?:{_VALUE}))?)")


@cache
def template(name: str, *filters: Callable[..., object]) -> Template:
    """A template whose values are all escaped, and which stops at one that is missing; `filters` go by their names.

    >>> template("report.html.j2").name
    'report.html.j2'
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    numbers = (score, figure, span, signed, share, fine_share, large, short_number, duration, counted)
    texts = (elide_hashes, marked, sentence, sentence_case)
    environment.filters |= {one.__name__: one for one in (*numbers, *texts, *filters)}
    environment.globals |= {"colour": css_colour, "split_words": SPLIT_WORDS, "dash": DASH}
    return environment.get_template(name)


def elide_hashes(text: str) -> str:
    """Text with the middle of long hashes left out.

    >>> elide_hashes("scan_3f2a9c1e77d04b5a8e6f.png and 20260102T101112")
    'scan_3f2a9c…8e6f.png and 20260102T101112'
    """

    def short(found: re.Match[str]) -> str:
        name = found[0]
        is_hash = _HEX.fullmatch(name) or len(re.findall(r"\d[A-Za-z]", name)) >= _MIXED
        return f"{name[:6]}…{name[-4:]}" if is_hash else name

    return _HASH.sub(short, text)


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name without the folders all are in, and with the middle of hashes left out where that keeps them apart.

    >>> short_names(["a/b/one", "a/b/two"])
    {'a/b/one': 'one', 'a/b/two': 'two'}
    """
    parents = {name.rpartition("/")[0] for name in names}
    shared = os.path.commonpath(parents) if parents and "" not in parents else ""
    bare = {name: name.removeprefix(f"{shared}/") if shared else name for name in names}
    short = {name: elide_hashes(end) for name, end in bare.items()}
    return short if len(set(short.values())) == len(short) else bare


def number(value: float | None) -> float:
    """JSON's null back as NaN."""
    return float("nan") if value is None else float(value)


def figure(value: float | None, name: str) -> str:
    """A score of this name with the digits it has: pixels have fewer."""
    return score(value, 1 if name in IN_PIXELS else 3)


def span(ends: Sequence[float | None], form: Callable[[float], str] | str = score) -> str:
    """An interval, empty where there is none; `form` says how its ends are written, or of which score they are.

    >>> span((0.71, 0.842)), span((None, None))
    ('0.710 to 0.842', '')
    """
    low, high = map(number, ends)
    if not math.isfinite(low + high):
        return ""
    low_text, high_text = (figure(end, form) if isinstance(form, str) else form(end) for end in (low, high))
    return f"{low_text} to {high_text}"


def brief(value: float | None) -> str:
    """A score in prose: two digits, more where two would claim a perfect 1.

    >>> brief(0.80499), brief(0.9987), brief(1.0)
    ('0.80', '0.9987', '1.00')
    """
    return score(value, 4 if value is not None and 0.995 <= value < 1 else 2)


def share(value: float | None) -> str:
    """A share as per cent; a small one never reads as none, a large one never as all.

    >>> share(0.2428), share(0.0003), share(0.0)
    ('24.3\\xa0%', '<\\xa00.1\\xa0%', '0\\xa0%')
    """
    if value is None or not math.isfinite(value):
        return DASH
    if value in (0, 1):
        return f"{100 * value:.0f}{PERCENT}"
    edge = "<\u00a00.1" if value < 0.001 else ">\u00a099.9" if 0.9995 <= value < 1 else ""
    return f"{edge or format(100 * value, '.1f')}{PERCENT}"


def fine_share(part: float) -> str:
    """A share as per cent with two digits that count, however small it is.

    >>> fine_share(0.2593), fine_share(0.00581), fine_share(0.0000123)
    ('25.9\\xa0%', '0.58\\xa0%', '0.0012\\xa0%')
    """
    if part <= 0 or part >= 0.01:
        return share(part)
    return f"{100 * part:.{1 - math.floor(math.log10(100 * part))}f}{PERCENT}"


def duration(seconds: float) -> str:
    """A time in the two units that matter.

    >>> duration(233.8), duration(7.2)
    ('3 min 54 s', '7.2 s')
    """
    if not math.isfinite(seconds):
        return DASH
    return f"{seconds:.1f} s" if seconds < 60 else terminal.duration(seconds)


def large(value: float) -> str:
    """A large number with the digits that matter.

    >>> large(950), large(7_762_465), large(1.234e10)
    ('950', '7.76 million', '12.3 billion')
    """
    for size, word in ((1e9, "billion"), (1e6, "million")):
        if value >= size:
            return f"{value / size:,.3g} {word}" if value < 1000 * size else f"{value / size:,.0f} {word}"
    return f"{value:,.0f}"


def short_number(value: float) -> str:
    """A count with thousands, millions or billions as a letter.

    >>> short_number(31_043_521), short_number(7700), short_number(42.0)
    ('31.0\\xa0M', '7.7\\xa0k', '42')
    """
    if not math.isfinite(value):
        return DASH
    for size, letter in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size * 0.9995:
            return f"{value / size:.{1 if value < 99.95 * size else 0}f}\u00a0{letter}"
    return f"{value:.3g}"


def sides(height: int, width: int) -> str:
    """Height and width as people write them, width first, on one line.

    >>> sides(3, 4)
    '4\\xa0×\\xa03'
    """
    return f"{width}\u00a0×\u00a0{height}"


def css_colour(index: int, num_classes: int) -> str:
    """The colour a class has in every picture."""
    return css(palette(num_classes)[index])


def sentence_case(text: str) -> str:
    """With a capital, all else as it is."""
    return text[:1].upper() + text[1:]


def sentence(text: str) -> str:
    """With a capital and a full stop.

    >>> sentence("255 becomes 1"), sentence("turn the masks")
    ('255 becomes 1.', 'Turn the masks.')
    """
    return sentence_case(text) + ("" if text.endswith((".", "?", "!")) else ".")


def marked(text: str, root: str = "") -> Markup:
    """A sentence with flags and `quoted` names set as code, files named without the folder they are all in.

    >>> str(marked("Is 2 < void? Say --data.ignore_index 2; if not, see `data.root`."))
    'Is 2 &lt; void? Say <code>--data.ignore_index 2</code>; if not, see <code>data.root</code>.'
    """
    if root:
        text = text.replace(f"{root.rstrip('/')}/", "")
    found, at = Markup(""), 0
    for match in _CODE.finditer(text):
        found += _prose(text[at : match.start()]) + _code(match["code"] or match["flag"])
        at = match.end()
    return found + _prose(text[at:])


def _prose(text: str) -> Markup:
    return escape(elide_hashes(re.sub(r"(?<=\d) ?%", PERCENT, text)))


def _code(text: str) -> Markup:
    """What is to be typed as it is; a name with a shortened hash shows the whole of it when pointed at."""
    short = text if " " in text else elide_hashes(text)
    if short == text:
        return Markup("<code>{}</code>").format(text)
    return Markup('<code title="{}">{}</code>').format(text, short)
