"""Run a recipe from beginning to end: its data, check, training, evaluation, comparison, prediction, report.

    python recipes/run.py puzzle-lab                                  # on data made here
    python recipes/run.py puzzle-lab --data my_puzzle --out runs/lab  # on your own
    python recipes/run.py puzzle-lab --laptop --weights none          # smaller, without a network or a GPU
    python recipes/run.py                                             # the recipes there are

Each step is a command that could be typed; it is printed before it runs. A recipe that was stopped goes on when it is
called again. What is not known here (--weights none, --epochs 5, --data.size 128) goes to every step that trains.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import shlex
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

RECIPES = Path(__file__).resolve().parent
SEVERAL = ("--allow", "--log")  # flags that add up


def find_maskwright() -> None:
    """Where this Python has no maskwright, go on with that of the clone's own environment."""
    if importlib.util.find_spec("maskwright"):
        return
    python = RECIPES.parent / ".venv" / "bin" / "python"
    if not python.is_file() or Path(sys.executable) == python:
        fix = f"Run `make install` in {RECIPES.parent}."
        raise SystemExit(f"maskwright must be installed; {sys.executable} does not have it. {fix}")
    os.execv(python, [str(python), *sys.argv])


def main(words: list[str] | None = None) -> int:
    """Run the recipe that was asked for; the exit code of the first command that failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter,
                                     allow_abbrev=False)  # fmt: skip
    parser.add_argument("recipe", nargs="?", choices=known())
    parser.add_argument("--data", type=Path, help="your own data; without it the recipe makes some")
    parser.add_argument("--out", type=Path, help="where runs go (default: runs/RECIPE)")
    parser.add_argument("--laptop", action="store_true", help="settings for two cores and no GPU")
    parser.add_argument("--tiny", action="store_true", help="so small that it only shows that everything runs")
    parser.add_argument("--list", action="store_true", help="print the commands and run none")
    asked, flags = parser.parse_known_args(words)
    if asked.recipe is None:
        print("\n".join(f"{name:<14}{load(name)['title']}" for name in known()))
        return 0
    recipe, out = load(asked.recipe), asked.out or Path("runs") / asked.recipe
    size = "tiny" if asked.tiny else "laptop" if asked.laptop else "full"
    data = asked.data or out / "data"
    if not asked.list:
        validate_extras(recipe, flags)
    began = time.perf_counter()
    steps = [] if asked.data or data.exists() else [recipe["make"]]
    for step in [*steps, *recipe["steps"]]:
        command = filled(step, size, {"data": data, "out": out, "recipe": RECIPES / asked.recipe}, flags)
        if command is None:
            continue
        print(f"\n$ {shlex.join(['maskwright', *command] if command[0] != 'python' else command)}", flush=True)
        if asked.list:
            continue
        code = run(command)
        if code:
            print(f"\n{asked.recipe} stopped there with exit code {code}; called again it goes on.", file=sys.stderr)
            return code
    if not asked.list:
        print(f"\n{asked.recipe}: {(time.perf_counter() - began) / 60:.1f} minutes; all of it in {out}")
    return 0


def known() -> list[str]:
    """The recipes beside this file."""
    return sorted(path.parent.name for path in RECIPES.glob("*/recipe.yaml"))


def load(name: str) -> dict[str, Any]:
    """A recipe: `title`, `make` (its data), and `steps`, each a command with what it adds at a size."""
    import yaml  # after find_maskwright, with which it comes

    return yaml.safe_load((RECIPES / name / "recipe.yaml").read_text(encoding="utf-8"))


def validate_extras(recipe: dict[str, Any], flags: list[str]) -> None:
    """Stop before the first step where a later one needs a package that is not installed, with the line that installs
    it.
    """
    from maskwright.errors import install_command

    logged = re.findall(r"--log[= ](\S+)", " ".join(flags))
    extras = [*recipe.get("extras", []), *(name for name in ("wandb", "mlflow") if any(name in one for one in logged))]
    for extra in dict.fromkeys(extras):
        absent = [name for name in requirements(extra) if not installed(name)]
        if absent:
            fix = f"Run: {install_command(extra)}"
            raise SystemExit(f"This recipe needs {', '.join(absent)}, which is not installed. {fix}")


def requirements(extra: str) -> list[str]:
    """The packages of one of maskwright's extras."""
    marked = [line for line in metadata.requires("maskwright") or [] if re.search(rf"extra == ['\"]{extra}['\"]", line)]
    return [re.split(r"[^\w.-]", line)[0] for line in marked]


def installed(package: str) -> bool:
    """Whether a distribution is there."""
    try:
        metadata.version(package)
    except metadata.PackageNotFoundError:
        return False
    return True


def filled(step: str | dict[str, Any], size: str, places: dict[str, Path], flags: list[str]) -> list[str] | None:
    """A step's words with its places filled in; None for a run that is finished already.

    `{flags}` is what this size adds, then what was typed, `{size}` the former alone, `{keys}` what was typed about the
    data; `{chosen:NAME}` the run that validation chose in the comparison OUT/NAME (a run is its own choice),
    `{images:NAME}` the test images that run was not shown, `{cells:NAME}` all its runs.
    """
    parts = {"run": step} if isinstance(step, str) else step
    words: list[str] = []
    for word in shlex.split(parts["run"]):
        if word == "{flags}":
            words += shlex.split(parts.get(size, "")) + flags
        elif word == "{size}":
            words += shlex.split(parts.get(size, ""))
        elif word == "{keys}":
            words += data_keys(flags)
        elif word.startswith("{chosen:"):
            words.append(chosen(places["out"] / word[8:-1]).as_posix())
        elif word.startswith("{images:"):
            words += test_images(chosen(places["out"] / word[8:-1]))
        elif word.startswith("{cells:"):
            words += [run.as_posix() for run in cells(places["out"] / word[7:-1])]
        else:
            words.append(word.format_map({name: path.as_posix() for name, path in places.items()}))
    words = each_once(words)
    place = next((words.index(flag) + 1 for flag in ("--out", "--save_dir") if flag in words), None)
    out = Path(words[place]) if place else None
    if out and words[0] == "compare" and "{cells:" in parts["run"] and (out / "standings.json").is_file():
        return ["compare", out.as_posix()]  # of finished runs: told again
    if out is None or words[0] != "train" or not (out / "config.yaml").is_file():
        return words
    return None if (out / "model.safetensors").is_file() else ["train", "--resume", str(out)]


def each_once(words: list[str]) -> list[str]:
    """Each flag as it is given last, which is what counts; those that may be given several times stay as they are."""
    names = [word.partition("=")[0].replace("_", "-") for word in words]  # --batch_size is --batch-size
    kept: list[str] = []
    place = 0
    while place < len(words):
        name, value = names[place], words[place + 1 : place + 2]
        takes = name.startswith("--") and "=" not in words[place] and bool(value) and not value[0].startswith("--")
        if not name.startswith("--") or name in SEVERAL or name not in names[place + 1 :]:
            kept += words[place : place + 1 + takes]
        place += 1 + takes
    return kept


def data_keys(flags: list[str]) -> list[str]:
    """Of what was typed, the keys that say what the data are: `--data.ignore_index 11`, without what one input shows.
    """
    inputs = ("--data.size", "--data.view", "--data.scale", "--data.sampling", "--data.crop_focus", "--data.letterbox")
    told = [place for place, word in enumerate(flags) if word.startswith("--data.") and not word.startswith(inputs)]
    return [word for place in told for word in flags[place : place + (1 if "=" in flags[place] else 2)]]


def chosen(comparison: Path) -> Path:
    """The run that validation chose (of several seeds the first); a name to show where the comparison is not there yet.
    """
    if (comparison / "data.json").is_file():
        return comparison
    if not (comparison / "standings.json").is_file():
        return comparison / "cells" / "CHOSEN"
    best = next(row["name"] for row in read(comparison / "standings.json")["rows"] if row["chosen"])
    cells = read(comparison / "plan.json")["cells"]
    return next(comparison / place["run"] for place in cells if place["entry"] == best)


def cells(comparison: Path) -> list[Path]:
    """The runs of a comparison, in the order of its plan; a name to show where it is not there yet."""
    if not (comparison / "standings.json").is_file():
        return [comparison / "cells" / "…"]
    return [comparison / place["run"] for place in read(comparison / "plan.json")["cells"]]


def test_images(run: Path) -> list[str]:
    """The images of a run's test split, as its data.json lists them; a name to show where there is no run yet."""
    if not (run / "data.json").is_file():
        return ["TEST_IMAGES"]
    data = read(run / "data.json")
    return [Path(data["root"], record["image"]).as_posix() for record in data["splits"]["test"]]


def read(path: Path) -> Any:
    """A JSON document."""
    return json.loads(path.read_text(encoding="utf-8"))


def run(command: list[str]) -> int:
    """Run one command; 1 (the answer is no: a check's errors) stops the recipe as any other failure does.

    Ours run in this process, which has imported torch once for all of them.
    """
    if command[0] == "python":
        return subprocess.run([sys.executable, *command[1:]], check=False).returncode
    from maskwright.cli import main as maskwright

    before, sys.argv = sys.argv, ["maskwright", *command]  # as a run's environment.json tells it
    try:
        maskwright(command)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 0
    finally:
        sys.argv = before
    return 0


if __name__ == "__main__":
    find_maskwright()
    sys.exit(main())
