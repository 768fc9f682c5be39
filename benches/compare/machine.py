"""The conditions of a run, without which its figures say nothing."""

import os
import platform
import time
from pathlib import Path

# With more than this running beside it, a run is shown but does not count.
QUIET = 0.5


def conditions(options, peers):
    return {
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "cpu": field("/proc/cpuinfo", "model name"),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "load_before": os.getloadavg()[0],
        "quick": options.quick,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "versions": {peer.name: peer.version() for peer in peers if peer.version()},
    }


def quiet(conditions):
    return conditions["load_before"] <= QUIET and not conditions["quick"]


def stolen():
    """Hundredths of a second that this machine's host gave to others, so far."""
    return int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])


def field(path, name):
    for line in Path(path).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return "unknown"
