"""Imports point one way, heavy libraries stay in their rooms, and the public names are what they say."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import maskwright

PACKAGE = Path(maskwright.__file__).parent
# from left to right: a module imports from its own package and from those left of it
LAYERS: tuple[tuple[str, ...], ...] = (
    ("runtime", "errors", "terminal", "schemas", "files", "custom", "config"),
    ("runs",),
    ("folders",),
    ("data",),
    ("models", "losses", "metrics"),
    ("training",),
    ("prediction",),
    ("evaluation",),
    ("export",),
    ("comparison",),
    ("reports",),
    ("api",),
    ("serving",),
    ("integrations",),
    ("app",),
    ("cli",),
    ("__main__",),
)
RANK = {name: rank for rank, names in enumerate(LAYERS) for name in names}
FREE_WITHIN = (0, 4)  # layers whose members may import each other, in no circle
LIGHTNING = {"lightning", "pytorch_lightning", "lightning_fabric"}
WEB = {
    "fastapi",
    "starlette",
    "uvicorn",
    "flask",
    "django",
    "aiohttp",
    "tornado",
    "bottle",
    "gradio",
    "streamlit",
    "dash",
}
FILES = sorted(path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py")


def room(file: str) -> str:
    """`data/masks.py` → `data`; `errors.py` → `errors`."""
    return Path(file).parts[0].removesuffix(".py")


def imported(source: str, file: str) -> set[str]:
    """Dotted names a module imports anywhere in it, relative and by importlib too."""
    package = ["maskwright", *Path(file).parent.parts]
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(package[: len(package) + 1 - node.level]) + "." if node.level else ""
            module = (base + (node.module or "")).strip(".")
            found |= {f"{module}.{alias.name}" for alias in node.names} if module == "maskwright" else {module}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in (
            "importlib.import_module",
            "import_module",
            "__import__",
        ):
            found |= {
                word.value for word in node.args[:1] if isinstance(word, ast.Constant) and isinstance(word.value, str)
            }
    return found


def targets(source: str, file: str) -> set[str]:
    """Which rooms of ours a module imports from; `maskwright` itself when it takes the public names."""
    ours = [name.split(".") for name in imported(source, file) if name.split(".")[0] == "maskwright"]
    return {parts[1] if len(parts) > 1 else "maskwright" for parts in ours}


def wrong_way(source: str, file: str) -> list[str]:
    """The rooms this module must not import from."""
    own = room(file)
    allowed = {own, *(name for name, rank in RANK.items() if rank < RANK[own])}
    if RANK[own] in FREE_WITHIN:
        allowed |= set(LAYERS[RANK[own]])
    return sorted(targets(source, file) - allowed)


def strangers(source: str, file: str) -> list[str]:
    """Libraries that belong in another room."""
    tops = {name.split(".")[0] for name in imported(source, file)}
    homes = {("training",): LIGHTNING, ("app", "serving"): WEB, ("cluster",): {"ray"}, ("integrations",): {"cvat_sdk"}}
    return sorted(name for rooms, names in homes.items() if room(file) not in rooms for name in tops & names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(PACKAGE).as_posix())
def test_imports_point_left(path: Path) -> None:
    file = path.relative_to(PACKAGE).as_posix()
    assert room(file) in RANK, f"give {room(file)} its place in LAYERS"
    source = path.read_text(encoding="utf-8")
    assert wrong_way(source, file) == []
    assert strangers(source, file) == []


@pytest.mark.parametrize("rank", FREE_WITHIN)
def test_members_of_a_layer_import_in_no_circle(rank: int) -> None:
    graph: dict[str, set[str]] = {name: set() for name in LAYERS[rank]}
    for path in FILES:
        file = path.relative_to(PACKAGE).as_posix()
        if room(file) in graph:
            graph[room(file)] |= (targets(path.read_text(encoding="utf-8"), file) & graph.keys()) - {room(file)}
    assert sorted(TopologicalSorter(graph).static_order()) == sorted(graph)  # CycleError names the circle


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("data/masks.py", "import maskwright.training.fit", ["training"]),
        ("data/masks.py", "def late():\n    from maskwright.models import Segmenter", ["models"]),
        ("data/masks.py", "from maskwright import api, errors", ["api"]),
        ("data/readers/folders.py", "from ...cli import main\nfrom ..masks import apply_classes", ["cli"]),
        ("data/masks.py", "import importlib\nimportlib.import_module('maskwright.reports')", ["reports"]),
        ("losses/__init__.py", "from maskwright.data.dataset import IGNORE", []),
        ("runs.py", "import maskwright as mw", ["maskwright"]),
        ("app/server.py", "from maskwright.cli import main", ["cli"]),
    ],
)
def test_the_check_sees_every_way_of_importing(file: str, source: str, found: list[str]) -> None:
    assert wrong_way(source, file) == found


@pytest.mark.parametrize(
    ("file", "source", "found"),
    [
        ("prediction/predictor.py", "def f():\n    import lightning.pytorch as pl", ["lightning"]),
        ("training/fit.py", "import lightning.pytorch as pl", []),
        ("reports/build.py", "from fastapi import FastAPI", ["fastapi"]),
        ("serving/server.py", "from fastapi import FastAPI", []),
        ("training/sweep.py", "import ray", ["ray"]),
    ],
)
def test_the_check_sees_strangers(file: str, source: str, found: list[str]) -> None:
    assert strangers(source, file) == found


def test_public_names_are_sorted_and_importable() -> None:
    assert sorted(maskwright.__all__) == maskwright.__all__
    assert set(maskwright.__all__) <= set(dir(maskwright))
    for name in maskwright.__all__:
        assert getattr(maskwright, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'Trainer'"):
        _ = maskwright.Trainer


def test_type_checkers_see_the_same_public_names() -> None:
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    seen = {alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names}
    assert seen == set(maskwright.__all__)
