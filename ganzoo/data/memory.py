"""Measures the memory that is free for images."""

import os
from pathlib import Path


def available_bytes() -> int:
    """Returns the free memory of the machine or of the control group of this process; 4 GiB if neither is known."""
    return min(machine_bytes(), group_bytes())


def machine_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, AttributeError):
        return 4 * 2**30


def group_bytes() -> int:
    try:
        group = Path("/sys/fs/cgroup")
        return int((group / "memory.max").read_text()) - int((group / "memory.current").read_text())
    except (OSError, ValueError):
        return 2**63
