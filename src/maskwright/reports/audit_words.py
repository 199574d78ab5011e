"""The words of the audit's page: the verdict, what to do next, what could be done about a finding."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from maskwright.config.data import DataConfig
from maskwright.config.typed import command_on
from maskwright.data.checks.findings import CODES, Audit, Finding, format_ranges, name_of_copy
from maskwright.data.checks.repair_operations import OF_VALUES
from maskwright.data.checks.repair_plan import OF_MEANING
from maskwright.errors import counted, listed
from maskwright.reports.pages import sentence, sides

# what could be done where a finding proposes nothing itself; a severity stands behind a colon where it matters
ADVICE = {
    "unreadable": "Put whole files in their place, or take the pairs out.",
    "unpaired": "Put the missing partners in their place, or take these files out.",
    "unlisted": "Fix these parts of the list, then check again.",
    "listed-twice": "Remove one of the two rows from the list.",
    "swapped": "Exchange the two folders; in a list of pairs, the two columns.",
    "palette": "Nothing needs to be done.",
    "zero-255": "Nothing needs to be done.",
    "one-class": "Check that these are the right masks. A model needs at least two values to tell apart.",
    "empty-masks": "Look at them. Draw what was forgotten; leave those that truly have nothing to see.",
    "mixed-channels": "Nothing needs to be done. To see one band of all of them: --data.bands '[1]'.",
    "mixed-channels:error": "Name bands that all of them have, such as --data.bands '[1]', or replace the odd ones.",
    "mixed-depth": "Convert them to one depth, or say what becomes black and white, such as --data.tones '[0, 65535]'.",
    "constant-image": "Put the right pictures in their place, or take the pairs out.",
    "not-finite": "Nothing has to be done where nothing was measured. Else save the images again without NaN.",
    "no-split": "Name splits in a list of the pairs, or have them dealt otherwise, such as with --data.split.val 0.2.",
    "class-missing": "Give the split images that show it. Until then it has no score there, or 0 if it is predicted.",
    "imbalance": "Nothing has to be done: training looks at rare classes more often if that pays (data.sampling auto).",
    "exact-duplicates": "Remove the copies if they are not meant. They count twice.",
    "exact-leak": "Take the pictures out of one of the splits.",
    "near-duplicates": "Nothing has to be done while they stay on one side of the split.",
    "near-leak": "Keep pictures that are nearly the same in one split.",
    "different-masks": "Decide which mask is right and remove the other pair.",
    "groups": "Put each group on one side. If the list names no splits, that is the default (data.split.group auto).",
    "groups:note": "Nothing needs to be done.",
    "ignored": "See that these pixels are meant to be left out. If the value is a class, name it with --data.classes.",
    "unclear-classes": "Say what the values mean: --data.classes '{background: 0, name: 1}'.",
    "unknown-values": "Name the values with --data.classes, or leave them out with --data.ignore_index.",
}
_FEW_SIZES = 3


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
        return "There is nothing to fix; see below whether the masks show what they should."
    if not (by["error"] or by["warning"]):
        notes = counted(by["note"], "note")
        return f"Nothing has to be fixed; {notes} below {'says' if by['note'] == 1 else 'say'} what is good to know."
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
        return "Fix what the errors name, then check again:", again
    questions = [proposal for proposal in proposals if proposal and proposal.question]
    if questions:
        by_command = any(proposal.answers for proposal in questions)
        answer = "Answer the errors’ questions with the commands below them, or fix" if by_command else "Fix"
        return f"{answer} the files, and check again:", again
    return "To write a repaired copy; the files here stay as they are:", fix_command(audit, config)


def fix_command(audit: Audit, config: DataConfig) -> str:
    """The command that carries out what is proposed and leaves what a person has to decide or fix."""
    leave = [word for code in asked_first(audit) for word in ("--leave", code)]
    return command_on(config.model_copy(update={"root": audit.root}), more=["--fix", name_of_copy(audit.root), *leave])


def asked_first(audit: Audit) -> list[str]:
    """Codes of which `--fix` would ask a person first."""
    asked = [one for one in audit.findings if (one.proposal.question if one.proposal else one.severity == "error")]
    return list(dict.fromkeys(one.code for one in asked))


def answers(finding: Finding, audit: Audit, config: DataConfig) -> list[tuple[str, str]]:
    """What may be answered to a finding's question, or done instead of its repair: in words, and as a command."""
    config = config.model_copy(update={"root": audit.root})
    found = finding.proposal.answers if finding.proposal else ()
    return [(f"{sentence(answer.message).rstrip('.')}:", command_on(config, **answer.keys)) for answer in found]


def what_to_do(finding: Finding) -> tuple[str, str, str]:
    """What could be done: the word for it (Question, Repair, To do or none), a sentence, and what the repair does."""
    proposal = finding.proposal
    if proposal is None:
        advice = ADVICE.get(f"{finding.code}:{finding.severity}") or ADVICE.get(finding.code, "")
        return "" if advice.startswith("Nothing") else "To do", advice, ""
    repair = sentence(proposal.message) if proposal.message else ""
    if proposal.question:
        return "Question", proposal.question, repair if proposal.op in OF_VALUES else ""  # others no flag can answer
    return "Repair", repair or ADVICE.get(finding.code, ""), ""


def why_no_classes(audit: Audit) -> str:
    """Why it is not known what mask values mean; left to the findings where they say it."""
    codes = OF_MEANING | {"zero-255"}
    if any(finding.code in codes and finding.severity == "error" for finding in audit.findings):
        return "The errors below say why."
    return sentence(audit.classes_reason) if audit.classes_reason else ""


def sizes_in_words(audit: Audit) -> str:
    """How many images there are and how large they are."""
    number = counted(audit.num_images, "image")
    sizes = Counter((pair["width"], pair["height"]) for pair in audit.pairs if pair["height"])
    in_words = {size: sides(size[1], size[0]) for size in sorted(sizes, key=lambda size: (size[0] * size[1], size))}
    if len(sizes) > _FEW_SIZES:
        most, times = sizes.most_common(1)[0]
        common = f"; most often {in_words[most]}, {times} times" if times > 1 else ""
        return f"{number} of {len(sizes)} sizes, {format_ranges(sizes)}{common}"
    if len(sizes) > 1:
        return f"{number}: {listed([f'{sizes[size]} of {text} pixels' for size, text in in_words.items()])}"
    each = "each " if audit.num_images > 1 else ""
    return ", ".join([number, *(f"{each}{text} pixels" for text in in_words.values())])
