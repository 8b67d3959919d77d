"""The machine that a result was measured on."""

import os
import platform
import re
import subprocess
from typing import Any

from striate.host import cores, processor


def describe() -> dict[str, Any]:
    """Processor, cores that this process may use, memory, system; `name` is for file names."""
    name, count = processor(), cores()
    plain = re.sub(r"\((r|tm)\)|@.*|\b(cpu|processor)\b", " ", name.lower())
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "name": f"{re.sub('[^a-z0-9]+', '-', plain).strip('-')}-{count}-cores",
        "processor": name,
        "cores": count,
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


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return f"{platform.system()} {platform.mac_ver()[0]}".strip()
