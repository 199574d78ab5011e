"""maskwright doctor"""

from __future__ import annotations

from maskwright.cli.types import Flag


def doctor(*, json: Flag = False) -> None:
    """Check the environment, devices and known problems.

    Parameters
    ----------
    json
        Print one JSON document on stdout.
    """
    from maskwright import runtime

    tuned = runtime.tune_allocator()
    torchvision = runtime.ensure_torchvision()

    from maskwright.cli.output import say_json, table
    from maskwright.data.store import free_memory
    from maskwright.models.devices import choose_device, choose_precision
    from maskwright.runs import PACKAGES, processor_name, provenance, usable_cores

    device, why_device = choose_device()
    precision, why_precision = choose_precision(device)
    packages = provenance([], "", {})["packages"]
    missing = [name for name in PACKAGES if name not in packages]
    rows = {
        "processor": f"{processor_name()}, {usable_cores()} cores usable",
        "memory": f"{free_memory() / 2**30:.1f} GiB free",
        "device": f"{device} ({why_device})",
        "precision": f"{precision} ({why_precision})",
        "allocator": "keeps large blocks" if tuned else "as the system has it: training on a CPU is slower",
        "torchvision": torchvision if torchvision == "whole" else f"{torchvision}, which is all its models need here",
        "packages": ", ".join(f"{name} {version}" for name, version in packages.items()),
        "missing": ", ".join(missing) or "nothing",
    }
    if json:
        say_json(rows)
        return
    table(["part", "state"], [[part, state] for part, state in rows.items()])
