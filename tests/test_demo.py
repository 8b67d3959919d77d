"""The first thing a newcomer runs."""

import re
import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parents[1] / "examples" / "demo.py"


def test_demo_shows_table_curve_and_accuracy() -> None:
    """From a text to a test accuracy of at least 97% on images never seen before."""
    ran = subprocess.run(
        [sys.executable, EXAMPLE], capture_output=True, text=True, timeout=240, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert "parameters  " in ran.stdout and "training loss" in ran.stdout
    found = re.search(r"test accuracy ([\d.]+)%", ran.stdout)
    assert found and float(found[1]) >= 97
