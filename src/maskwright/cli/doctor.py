"""maskwright doctor"""

from __future__ import annotations

from maskwright.cli.types import Flag

_NOT_FOR_USERS = ("dev", "bench")


def doctor(*, json: Flag = False) -> None:
    """Check the environment, devices and known problems.

    maskwright doctor

    Tells what this machine computes on, how, and why; which packages are there, and which are missing for which extra.

    Parameters
    ----------
    json
        Print one JSON document on stdout.
    """
    from maskwright import runtime

    tuned = runtime.tune_allocator()
    torchvision = runtime.ensure_torchvision()

    from maskwright.cli.output import say_json, table
    from maskwright.errors import counted
    from maskwright.models.devices import busy_cores, choose_device, choose_precision
    from maskwright.runs import processor_name, provenance, usable_cores

    device, why_device = choose_device()
    precision, why_precision = choose_precision(device)
    packages = provenance({})["packages"]
    busy = busy_cores()
    rows = {
        "processor": f"{processor_name()}, {counted(usable_cores(), 'core')} usable",
        **({"load": busy} if busy else {}),
        "memory": f"{runtime.free_memory() / 2**30:.1f} GiB free",
        "device": f"{device} ({why_device})",
        "precision": f"{precision} ({why_precision})",
        "allocator": "keeps large blocks" if tuned else "as the system has it: training on a CPU is slower",
        "torchvision": torchvision if torchvision == "whole" else f"{torchvision}, which is all its models need here",
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "missing": _missing() or "nothing",
    }
    if json:
        say_json(rows)
        return
    table(["part", "state"], [[part, state] for part, state in rows.items()])


def _missing() -> str:
    """The packages that are not installed, with what installs them."""
    import re
    from importlib import metadata

    from maskwright.errors import install_command

    found: dict[str, list[str]] = {}
    for line in metadata.requires("maskwright") or []:
        requirement, _, marker = line.partition(";")
        asked = re.search(r"""extra\s*==\s*['"]([\w-]+)['"]""", marker)
        extra, name = asked[1] if asked else "", re.split(r"[^\w.-]", requirement.strip())[0]
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            found.setdefault(extra, []).append(name)
    missing = {extra: ", ".join(names) for extra, names in found.items() if extra not in _NOT_FOR_USERS}
    return "; ".join(f"{names} ({install_command(extra)})" for extra, names in missing.items())
