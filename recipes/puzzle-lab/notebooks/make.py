"""Run the four notebooks and keep them with their outputs.

    python recipes/puzzle-lab/notebooks/make.py      # some twenty minutes on two CPU cores, offline

Photographs are drawn by a program, the eight networks are small and begin at random (MASKWRIGHT_SIZE and MASKWRIGHT_FLAGS
change that). The text of a notebook stands in its .py; runs that are there already are not trained again.
"""

from __future__ import annotations

import base64
import io
import os
import sys
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from PIL import Image

HERE = Path(__file__).resolve().parent
SETTINGS = {
    "MASKWRIGHT_SIZE": "laptop",
    "MASKWRIGHT_FLAGS": "--weights none --size 128 --epochs 10 --log csv,tensorboard,wandb",
    "WANDB_MODE": "offline",
    "WANDB_SILENT": "true",
}


def make(text: Path) -> Path:
    """One notebook, from its text."""
    notebook = jupytext.read(text)
    NotebookClient(notebook, timeout=None, kernel_name="python3", resources={"metadata": {"path": str(HERE)}}).execute()
    for number, cell in enumerate(notebook.cells):
        cell.id = f"{text.stem}-{number}"
        cell.metadata.pop("execution", None)
        if cell.cell_type == "code":
            cell.outputs = [output for output in cell.outputs if "reading images" not in output.get("text", "")]  # a spinner
            for output in cell.outputs:
                make_portable(output)
    target = text.with_suffix(".ipynb")
    nbformat.write(notebook, target)
    return target


def make_portable(output: Any) -> None:
    """Take this machine's folders out of what a cell printed, and make its pictures small."""
    for holder in (output, output.get("data", {})):
        for key in {"text", "text/plain", "text/markdown", "text/html"} & holder.keys():
            holder[key] = holder[key].replace(f"{HERE.parents[2]}/", "")
        if "image/png" in holder:
            holder["image/png"] = small(holder["image/png"])


def small(encoded: str) -> str:
    """A picture at most 1,200 pixels wide, in 128 colours."""
    buffer = io.BytesIO()
    with Image.open(io.BytesIO(base64.b64decode(encoded))) as picture:
        picture = picture.convert("RGB")
        picture.thumbnail((1200, 4000))
        picture.quantize(128).save(buffer, format="png", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


if __name__ == "__main__":
    os.environ |= {key: os.environ.get(key, value) for key, value in SETTINGS.items()}
    os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for one in sorted(HERE.glob("[0-9]*.py")):
        print(make(one), flush=True)
