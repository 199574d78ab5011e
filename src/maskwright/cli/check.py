"""maskwright check"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from maskwright.cli.types import Flag

if TYPE_CHECKING:
    from collections.abc import Sequence

    from maskwright.config.data import DataConfig
    from maskwright.data.checks.findings import Audit


def check(
    data: str | None = None,
    /,
    *keys: Annotated[str, Parameter(show=False)],
    html: str | None = None,
    fix: str | None = None,
    leave: Annotated[tuple[str, ...], Parameter(negative=())] = (),
    write: Flag = False,
    json: Flag = False,
) -> int:
    """Audit a data set: what is wrong with it, and what could be done. Nothing is changed.

    maskwright check my_data
    maskwright check my_data --html audit.html
    maskwright check my_data --fix my_data_repaired

    Flags for data keys are those of train, such as --data.classes '{background: 0, pet: 1}' or --data.ignore_index 11;
    they answer the questions a finding asks. Exit code 0: nothing that stops training; 1: errors were found.

    Parameters
    ----------
    data
        Folder of the data set, or a CSV of pairs.
    html
        Write one self-contained page of all findings, with pictures.
    fix
        Write a repaired copy into this new folder, with repairs.json; the source is never changed.
    leave
        With --fix: code of a finding to leave as it is. May be given several times.
    write
        Write DATA/dataset.yaml, the data set's explicit description.
    json
        Print one JSON document on stdout.
    """
    from pathlib import Path

    from maskwright.cli.output import counting, say, say_json, say_next, say_wrapped
    from maskwright.config.files import load_config
    from maskwright.config.flags import parse_overrides
    from maskwright.data.checks.audit import audit
    from maskwright.data.checks.findings import format_audit, is_command

    words = [*([data] if data else []), *keys]
    root = words.pop(0) if words and not words[0].startswith("-") else None
    config = load_config(None, [*([("data.root", root, "DATA")] if root else []), *parse_overrides(words)]).data
    _refuse_early(config, html, fix, leave, write)
    with counting("looking at pairs", then="comparing pictures") as progress:
        found = audit(config, progress)
    document = found.to_json()
    done: list[str] = []
    if html:
        from maskwright.reports.audit_page import write_audit_page

        write_audit_page(found, config, Path(html))
        document["html"] = html
        done.append(f"page in {html}")
    if write:
        from maskwright.data.checks.writing import write_description

        path = write_description(found, config)
        document["description"] = str(path)
        done.append(f"description in {path}")
    if not json:
        for line in format_audit(found):
            say_wrapped(line, is_command(line))
    if fix:
        from maskwright.data.checks.repair import fix as repair

        with counting("repairing", then="looking at the copy") as progress:
            fixed = repair(found, config, Path(fix), progress, leave)
        document["fixed"] = fixed.to_json()
        done.append(str(fixed))
    if json:
        say_json(document)
    else:
        for line in done:
            say(line)
        say_next(*next_step(found, found.root, _without_root(words), fix))
    return 0 if found.clean or fix else 1


def _refuse_early(config: DataConfig, html: str | None, fix: str | None, leave: tuple[str, ...], write: bool) -> None:
    """What would be refused at the end is refused before the work."""
    from pathlib import Path

    from maskwright.errors import UsageError

    if leave and not fix:
        raise UsageError("`--leave` must stand with --fix; got it alone. Add --fix OUT, or leave it out.")
    if write:
        from maskwright.data.checks.writing import place_for

        place_for(config)
    if html:
        from maskwright.reports.audit_page import place_for_page

        place_for_page(Path(html))


def next_step(audit: Audit, root: str, flags: Sequence[str], fixed: str | None) -> tuple[str, str]:
    """The last line: how it stands, and what to type next, with the flags that were given."""
    from maskwright.data.checks.findings import name_of_copy
    from maskwright.errors import as_typed

    more = f" {as_typed(*flags)}" if flags else ""
    if fixed:
        return "next:", f"maskwright check {as_typed(fixed)}"
    if audit.clean:
        number = sum(finding.severity == "warning" for finding in audit.findings)
        looks = f"no errors, {number} {'warning' if number == 1 else 'warnings'} to look at" if number else "no errors"
        return f"{looks}; next:", f"maskwright train --data {as_typed(root)}{more}"
    errors = audit.errors
    number = f"{len(errors)} {'error' if len(errors) == 1 else 'errors'}"
    if any(finding.proposal is None for finding in errors):
        return f"{number}; fix what is named above, then:", f"maskwright check {as_typed(root)}{more}"
    questions = [finding.proposal for finding in errors if finding.proposal and finding.proposal.question]
    if questions:
        commands = any(proposal.answers for proposal in questions)
        ways = (
            "answer the questions above with the commands below them, or fix the files" if commands else "fix the files"
        )
        return f"{number}; {ways}, then check again", ""
    asked = [finding.code for finding in audit.findings if finding.proposal and finding.proposal.question]
    leave = "".join(f" --leave {code}" for code in dict.fromkeys(asked))
    others = any(finding.proposal and finding.proposal.answers for finding in errors)
    ways = "next: a command after `or` above, or" if others else "next:"
    return f"{number}; {ways}", f"maskwright check {as_typed(root)}{more} --fix {as_typed(name_of_copy(root))}{leave}"


def _without_root(words: Sequence[str]) -> list[str]:
    """The flags as given, less the one that names the data set."""
    kept, left = [], list(words)
    while left:
        word = left.pop(0)
        if word.partition("=")[0] not in ("--data", "--data-path", "--data.root"):
            kept.append(word)
        elif "=" not in word and left:
            left.pop(0)
    return kept
