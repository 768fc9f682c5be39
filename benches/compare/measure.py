"""One measurement after the other: a cell of the table, the memory of a peer, its start, the size of its binary."""

import json
import shutil
import statistics
import subprocess
import tempfile
from pathlib import Path

# Deletes are what the configured policy hides: every fifth of fifty tools.
TOOLS, HIDDEN = 50, 10
EVENTS = 100


class Wrong(Exception):
    """An answer that is not what the workload asks for."""


def cell(world, peer, workload, options):
    """One peer under one workload. What goes wrong fails this cell and no other."""
    try:
        result = driven(world, peer, workload, options)
    except (Wrong, OSError, RuntimeError, subprocess.SubprocessError) as error:
        result = {"answers": 0, "errors": 1, "first_error": str(error)}
    return {"workload": workload.name, "peer": peer.name, **result}


def driven(world, peer, workload, options):
    """A fresh process, a look at one answer, a warm-up, a window."""
    with world.proxy(peer) as proxy:
        bytes_of_body = look(proxy, workload)
        result = proxy.drive(workload, options.warmup, options.seconds, bytes_of_body)
        if options.instructions:
            result |= proxy.instructions(workload, options.seconds, bytes_of_body)
    return {"body": bytes_of_body, **result}


def look(proxy, workload):
    """Reads one answer as a client would, and says how long it is. Whoever checks tokens must refuse a forged one."""
    if proxy.peer.verifies:
        status, _ = proxy.ask(workload.work, forged=True)
        if status != 401:
            raise Wrong(f"status {status} for a forged token")
    status, body = proxy.ask(workload.work)
    if status != 200:
        raise Wrong(f"status {status}: {body[:300]}")
    if workload.work == "list":
        names = [tool["name"] for tool in json.loads(body)["result"]["tools"]]
        shown = TOOLS - HIDDEN if proxy.peer.hides else TOOLS
        deletes = [name for name in names if name.endswith("delete")]
        if len(names) != shown or (proxy.peer.hides and deletes):
            raise Wrong(f"{len(names)} tools are shown")
    elif workload.work == "stream":
        events = [json.loads(line[6:]) for line in body.split(b"\n") if line.startswith(b"data: ")]
        if len(events) != EVENTS or "result" not in events[-1]:
            raise Wrong(f"{len(events)} events are passed on")
    elif json.loads(body)["result"]["isError"]:
        raise Wrong(f"an error: {body[:300]}")
    return len(body)


def memory(world, peer, options):
    """Resident memory when idle, and with so many idle connections."""
    count = options.idle
    with world.proxy(peer) as proxy:
        idle = proxy.usage()["resident"]
        shaken, alive_shaken = proxy.hold(count, ask=False)
    with world.proxy(peer) as proxy:
        asked, alive_asked = proxy.hold(count, ask=True)
    return {
        "peer": peer.name,
        "idle": idle,
        "connections": count,
        "after_handshake": shaken,
        "after_request": asked,
        "alive": min(alive_shaken, alive_asked),
    }


def start(world, peer):
    """Milliseconds from the start of the process to the first right answer over TLS."""
    with world.proxy(peer) as proxy:
        return proxy.started_ms


def size(peer):
    """The size of the binary without its symbols; libraries that it loads are not counted."""
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "binary"
        shutil.copy(peer.binary(), copy)
        stripped = subprocess.run(["strip", copy], capture_output=True)
        # Somebody else may have stripped it in a way that strip does not read.
        return copy.stat().st_size if stripped.returncode == 0 else Path(peer.binary()).stat().st_size


def medians(cells):
    """The median of every figure over the rounds; errors add up."""
    grouped = {}
    for one in cells:
        grouped.setdefault((one["peer"], one["workload"]), []).append(one)
    return {key: median_of(group) for key, group in grouped.items()}


def median_of(group):
    figures = {
        name: statistics.median(one[name] for one in group)
        for name, value in group[0].items()
        if isinstance(value, int | float) and all(name in one for one in group)
    }
    figures["errors"] = sum(one["errors"] for one in group)
    figures["first_error"] = next((one["first_error"] for one in group if one["first_error"]), None)
    return figures
