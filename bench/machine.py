"""The machine that a result was measured on."""

import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any


def describe() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system; `name` is for file names."""
    processor, cores = _processor(), _cores()
    plain = re.sub(r"\((r|tm)\)|@.*|\b(cpu|processor)\b", " ", processor.lower())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "name": f"{re.sub('[^a-z0-9]+', '-', plain).strip('-')}-{cores}-cores",
        "processor": processor,
        "cores": cores,
        "memory_gib": round(memory, 1),
        "system": f"{_system()}, kernel {platform.release().split('-')[0]}, {platform.machine()}",
        "python": platform.python_version(),
    } | _gpu()


def _gpu() -> dict[str, str]:
    command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except OSError:
        return {}
    return {"gpu": done.stdout.splitlines()[0]} if done.stdout.strip() else {}


def _processor() -> str:
    information = Path("/proc/cpuinfo")
    if information.exists():
        found = re.search(r"^model name\s*:\s*(.+)$", information.read_text(), re.MULTILINE)
        return found[1].strip() if found else platform.machine()
    if platform.system() == "Darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return platform.processor() or platform.machine()


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.mac_ver()[0]}".strip()
