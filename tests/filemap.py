"""Write the README's file map anew from the files' own first lines: python -m tests.filemap"""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "src" / "maskwright"


def file_map() -> str:
    """One block a folder, one line a file: what its docstring's first line says."""
    folders: dict[str, list[tuple[str, str]]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        inside = path.relative_to(PACKAGE)
        top = inside.parts[0] + "/" if len(inside.parts) > 1 else ""
        told = (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").splitlines()[0].rstrip(".:")
        folders.setdefault(top, []).append((inside.as_posix().removeprefix(top), told))
    blocks: list[str] = []
    for folder in sorted(folders, key=lambda name: (_layer(name), name)):
        width = max(len(name) for name, _ in folders[folder])
        lines = [f"  {name.ljust(width)}  {told}" for name, told in folders[folder]]
        blocks.append("\n".join([f"src/maskwright/{folder}", *lines]))
    return "\n".join(blocks) + "\n"


def _layer(folder: str) -> int:
    names = ["config", "data", "models", "losses", "metrics", "training", "prediction", "evaluation", "comparison", "reports"]
    order = ["", *(f"{name}/" for name in names)]
    return order.index(folder) if folder in order else len(order)


if __name__ == "__main__":
    readme = ROOT / "README.md"
    text = readme.read_text(encoding="utf-8")
    mapped = re.sub(r"(?s)(```text\n)src/maskwright/.*?(```)", lambda found: found.group(1) + file_map() + found.group(2), text)
    readme.write_text(mapped, encoding="utf-8")
