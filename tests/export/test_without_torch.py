"""What an exported model needs is there without torch."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "module",
    [
        "maskwright",
        "maskwright.prediction.prediction",
        "maskwright.prediction.writers",
        "maskwright.prediction.threshold",
    ],
)
def test_these_modules_import_no_torch(module):
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_predicting_with_a_bundle_waits_for_no_configuration_and_no_readers():
    """They took half of its start: whoever names an image needs neither."""
    code = (
        "import sys, maskwright.cli.predict, maskwright.prediction.bundle, maskwright.prediction.writers\n"
        "late = ('maskwright.config', 'maskwright.data.readers')\n"
        "sys.exit(' '.join(name for name in sys.modules if name.startswith(late)) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
