"""What an exported model needs is there without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    ["maskwright", "maskwright.prediction.prediction", "maskwright.prediction.writers", "maskwright.prediction.threshold"],
)
def test_these_modules_import_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
