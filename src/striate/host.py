"""The computer that this runs on: its processor, its cores, whether others use them."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from contextlib import suppress
from pathlib import Path


def processor() -> str:
    """The processor's name, as it gives it."""
    if platform.system() == "Darwin":
        with suppress(OSError, subprocess.SubprocessError):
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.run(
                command, capture_output=True, text=True, check=True
            ).stdout.strip()
    return _said("model name") or platform.processor() or platform.machine()


def instructions() -> str:
    """The sets of instructions that the processor knows; empty where it does not say."""
    return _said("flags") or _said("Features")


def _said(of: str) -> str:
    with suppress(OSError):
        text = Path("/proc/cpuinfo").read_text("utf-8")
        if found := re.search(rf"^{of}\s*:\s*(.+)$", text, re.MULTILINE):
            return found[1].strip()
    return ""


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def quiet() -> bool:
    """Whether most of the machine was idle in the last minute."""
    try:
        return os.getloadavg()[0] < max(1.0, cores() / 2)
    except (AttributeError, OSError):  # Windows has none
        return True
