"""The words of the audit's page: the verdict, what to do next, what could be done about a finding."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping

from markupsafe import Markup, escape

from maskwright.config.data import DataConfig
from maskwright.config.typed import command_on
from maskwright.data.checks.findings import CODES, Audit, Finding, format_ranges, name_of_copy
from maskwright.data.checks.repair_operations import OF_VALUES
from maskwright.errors import listed
from maskwright.reports.wording import PERCENT, counted, elide_hashes, share

# what could be done where a finding proposes nothing itself; a severity stands behind a colon where it matters
ADVICE = {
    "unreadable": "Put whole files in their place, or take the pairs out.",
    "unpaired": "Put the missing partners in their place, or take these files out.",
    "unlisted": "Mend these parts of the list, then check again.",
    "listed-twice": "Remove one of the two rows from the list.",
    "palette": "Nothing needs to be done.",
    "zero-255": "Nothing needs to be done.",
    "one-class": "Check that these are the right masks. A model needs at least two values to tell apart.",
    "empty-masks": "Look at them. Draw what was forgotten; leave those that truly have nothing to see.",
    "mixed-channels": "Nothing needs to be done. To see one band of all of them: --data.bands '[1]'.",
    "mixed-channels:error": "Name bands that all of them have, such as --data.bands '[1]', or replace the odd ones.",
    "mixed-depth": "Convert them to one depth, or say which values become black and white, such as --data.tones '[0, 65535]'.",
    "constant-image": "Put the right pictures in their place, or take the pairs out.",
    "not-finite": "Nothing has to be done where nothing was measured. Else save the images again without NaN.",
    "no-split": "Name splits in a list of the pairs, or have them dealt otherwise, such as with --data.split.val 0.2.",
    "class-missing": "Give the split images that show it. Until then it has no score there, or 0 where it is predicted.",
    "imbalance": "Nothing has to be done: training looks at rare classes more often where that pays (data.sampling auto).",
    "exact-duplicates": "Remove the copies if they are not meant. They count twice.",
    "exact-leak": "Take the pictures out of one of the splits.",
    "near-duplicates": "Nothing has to be done while they stay on one side of the split.",
    "near-leak": "Keep pictures that are nearly the same in one split.",
    "different-masks": "Decide which mask is right and remove the other pair.",
    "groups": "Put each group on one side. Where the list names no splits, dealing does that by itself (data.split.group auto).",
    "groups:note": "Nothing needs to be done.",
    "ignored": "See that these pixels are meant to be left out. Where the value is a class, name it with --data.classes.",
    "unclear-classes": "Say what the values mean: --data.classes '{background: 0, name: 1}'.",
    "unknown-values": "Name the values with --data.classes, or leave them out with --data.ignore_index.",
}
_VALUE = r"'[^']*'|#?\w*\d[\w.]*\w|\d|[A-Z]{3,}|\w+/\w+|auto|balanced|heavy|lovasz|standard|val_loss"
_FLAG = re.compile(rf"`(?P<code>[^`]+)`|(?P<flag>--[a-z][\w.-]*\w(?: (?:{_VALUE}))?)")  # in a sentence, as it is to be typed
_FEW_SIZES = 3
_OF_MEANING = frozenset(
    {
        "unknown-values",
        "unclear-classes",
        "off-by-one",
        "void-after-last",
        "smoothed",
        "lossy-masks",
        "colour-masks",
        "zero-255",
        "one-class",
    }
)


def verdict(audit: Audit) -> tuple[str, str]:
    """Two sentences: can it be trained on, and what is to be looked at first."""
    pairs = counted(audit.num_images, "pair")
    by = Counter(finding.severity for finding in audit.findings)
    if not audit.num_images:
        first = "This can’t be trained on: no pair of image and mask could be made out."
    elif by["error"]:
        stop = "one error stops it" if by["error"] == 1 else f"{by['error']} errors stop it"
        first = f"Training on these {pairs} can’t start yet: {stop}."
    else:
        first = f"Training on these {pairs} can start: no errors were found."
    return first, _look_first(audit, by)


def _look_first(audit: Audit, by: Mapping[str, int]) -> str:
    if not audit.findings:
        return "There is nothing to mend; see below whether the masks show what they should."
    if not (by["error"] or by["warning"]):
        told = counted(by["note"], "note")
        return f"Nothing has to be mended; {told} below {'says' if by['note'] == 1 else 'say'} what is good to know."
    finding = audit.findings[0]
    files = f" ({counted(len(finding.files), 'file')})" if finding.files else ""
    return f"First to look at: {CODES[finding.code].title}{files}."


def next_step(audit: Audit, config: DataConfig) -> tuple[str, str]:
    """What to do next in words, and the command to type."""
    config = config.model_copy(update={"root": audit.root})
    if audit.clean:
        return "To train on it:", command_on(config, "train")
    again = command_on(config)
    proposals = [finding.proposal for finding in audit.errors]
    if None in proposals:
        return "Mend what the errors name, then check again:", again
    questions = [proposal for proposal in proposals if proposal and proposal.question]
    if questions:
        commands = any(proposal.answers for proposal in questions)
        ways = "Answer the errors’ questions with the commands below them, or mend the files" if commands else "Mend the files"
        return f"{ways}, and check again:", again
    return "To write a repaired copy; the files here stay as they are:", fix_command(audit, config)


def fix_command(audit: Audit, config: DataConfig) -> str:
    """The command that carries out what is proposed and leaves what a person has to decide or mend."""
    leave = [word for code in left_aside(audit) for word in ("--leave", code)]
    return command_on(config.model_copy(update={"root": audit.root}), more=["--fix", name_of_copy(audit.root), *leave])


def left_aside(audit: Audit) -> list[str]:
    """Codes of which `--fix` would ask a person first."""
    asked = [one for one in audit.findings if (one.proposal.question if one.proposal else one.severity == "error")]
    return list(dict.fromkeys(one.code for one in asked))


def answers(finding: Finding, audit: Audit, config: DataConfig) -> list[tuple[str, str]]:
    """What may be answered to a finding's question, or done instead of its repair: in words, and the command that says so."""
    config = config.model_copy(update={"root": audit.root})
    found = finding.proposal.answers if finding.proposal else ()
    return [(f"{sentence(answer.told).rstrip('.')}:", command_on(config, **answer.keys)) for answer in found]


def what_to_do(finding: Finding) -> tuple[str, str, str]:
    """What could be done: the word for it (Question, Repair, To do or none), the sentence, and what the repair then does."""
    proposal = finding.proposal
    if proposal is None:
        advice = ADVICE.get(f"{finding.code}:{finding.severity}") or ADVICE.get(finding.code, "")
        return "" if advice.startswith("Nothing") else "To do", advice, ""
    told = sentence(proposal.told) if proposal.told else ""
    if proposal.question:
        return "Question", proposal.question, told if proposal.op in OF_VALUES else ""  # others no flag can answer
    return "Repair", told or ADVICE.get(finding.code, ""), ""


def sentence(text: str) -> str:
    """With a capital and a full stop.

    >>> sentence("255 becomes 1"), sentence("turn the masks")
    ('255 becomes 1.', 'Turn the masks.')
    """
    return text[:1].upper() + text[1:] + ("" if text.endswith((".", "?", "!")) else ".")


def marked(text: str, root: str = "") -> Markup:
    """A sentence with flags and `quoted` names set as code, files told without the folder they are all in.

    >>> str(marked("Is 2 < void? Say --data.ignore_index 2; if not, see `data.root`."))
    'Is 2 &lt; void? Say <code>--data.ignore_index 2</code>; if not, see <code>data.root</code>.'
    """
    if root:
        text = text.replace(f"{root.rstrip('/')}/", "")
    found, at = Markup(""), 0
    for match in _FLAG.finditer(text):
        found += _prose(text[at : match.start()]) + _code(match["code"] or match["flag"])
        at = match.end()
    return found + _prose(text[at:])


def _prose(text: str) -> Markup:
    return escape(elide_hashes(re.sub(r"(?<=\d) ?%", PERCENT, text)))


def _code(text: str) -> Markup:
    """What is to be typed as it is; a name with the middle of its hash left out tells the whole of it when pointed at."""
    short = text if " " in text else elide_hashes(text)
    if short == text:
        return Markup("<code>{}</code>").format(text)
    return Markup('<code title="{}">{}</code>').format(text, short)


def why_no_classes(audit: Audit) -> str:
    """Why it is not settled what mask values mean; left to the findings where they say it."""
    if any(finding.code in _OF_MEANING and finding.severity == "error" for finding in audit.findings):
        return "The errors below say why."
    return sentence(audit.classes_reason) if audit.classes_reason else ""


def sizes_told(audit: Audit) -> str:
    """How many images there are and how large they are."""
    sizes = Counter((pair["width"], pair["height"]) for pair in audit.pairs if pair["height"])
    if not sizes:
        return counted(audit.num_images, "image")
    number = counted(audit.num_images, "image")
    ordered = sorted(sizes, key=lambda size: (size[0] * size[1], size))
    if len(sizes) == 1:
        return f"{number}, {'each ' if audit.num_images > 1 else ''}{sides(*ordered[0][::-1])} pixels"
    (most, times), others = sizes.most_common(1)[0], len(sizes)
    common = f"; most often {sides(*most[::-1])}, {times} times" if times > 1 and others > _FEW_SIZES else ""
    if others <= _FEW_SIZES:
        return f"{number}: {listed([f'{sizes[size]} of {sides(*size[::-1])} pixels' for size in ordered])}"
    return f"{number} of {others} sizes, {format_ranges(sizes)}{common}"


def sides(height: int, width: int) -> str:
    """A size as people write it, width first, on one line.

    >>> sides(3, 4)
    '4\\xa0×\\xa03'
    """
    return f"{width}\u00a0×\u00a0{height}"


def fine_share(part: float) -> str:
    """A share as per cent with two digits that count, however small it is.

    >>> fine_share(0.2593), fine_share(0.00581), fine_share(0.0000123)
    ('25.9\\xa0%', '0.58\\xa0%', '0.0012\\xa0%')
    """
    if part <= 0 or part >= 0.01:
        return share(part)
    digits = 1 - math.floor(math.log10(100 * part))
    return f"{100 * part:.{digits}f}{PERCENT}"
