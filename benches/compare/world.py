"""Processes and ports: the upstream, the proxy that is measured, and the load generator, each on its core."""

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
# The proxy has a core to itself; load generator and upstream share the other one.
PROXY_CORE = "0"
LOAD_CORE = "1"
WITHIN = 20


def build_load():
    """Builds the load generator, a small crate of its own."""
    target = ROOT / "target" / "bench" / "load"
    manifest = HERE / "load" / "Cargo.toml"
    environment = dict(os.environ, CARGO_TARGET_DIR=str(target))
    subprocess.run(
        ["cargo", "build", "--quiet", "--release", "--locked", "--manifest-path", manifest],
        env=environment,
        check=True,
    )
    return str(target / "release" / "sallygate-load")


def prepare():
    """Room for many connections, and an end that takes along whatever was started."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 65536 if hard == resource.RLIM_INFINITY else min(65536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def pinned(core, command):
    return ["taskset", "-c", core, *map(str, command)]


@contextlib.contextmanager
def running(command, log, **options):
    """A process of our own, ended with everything below it."""
    with open(log, "ab") as out:
        process = subprocess.Popen(
            command,
            stdout=options.pop("stdout", out),
            stderr=out,
            env=own_environment(),
            start_new_session=True,
            **options,
        )
    try:
        yield process
    finally:
        end(process)


def own_environment():
    """What is there without our own settings, which the gateway would take for its."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SALLYGATE_")}


def end(process):
    with contextlib.suppress(ProcessLookupError):
        process.terminate()
    try:
        process.wait(5)
    except subprocess.TimeoutExpired:
        pass
    # Workers of a master that did not take them along.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


class World:
    """What stays up during a comparison: keys, the upstream, and a folder for files."""

    def __init__(self, load, folder, keys):
        self.load = load
        self.folder = Path(folder)
        self.keys = keys
        self.upstream = free_port()
        self._count = 0

    @contextlib.contextmanager
    def server(self):
        """The upstream."""
        command = pinned(LOAD_CORE, [self.load, "server", "--port", self.upstream])
        with running(command, self.folder / "server.log"):
            yield

    def _room(self):
        """A fresh folder for one start of a peer."""
        self._count += 1
        room = self.folder / f"{self._count:04}"
        room.mkdir(parents=True)
        return room

    @contextlib.contextmanager
    def proxy(self, peer, under=()):
        """A peer that answers, with how long it took to do so; started by the command `under`, if there is one."""
        room, port = self._room(), free_port()
        command = pinned(PROXY_CORE, [*under, *peer.write(room, port, self.upstream, self.keys)])
        first = self.command("first", port, "--within", WITHIN)
        with running(first, room / "first.log", stdin=subprocess.PIPE, stdout=subprocess.PIPE) as waiting:
            # It waits for the line, so its own start is not counted.
            wait_for_exec(waiting.pid, "sallygate-load")
            waiting.stdin.write(b"\n")
            waiting.stdin.flush()
            with running(command, room / "log") as process:
                said = waiting.stdout.read()
                if waiting.wait() != 0:
                    logs = [(room / name).read_text(errors="replace")[-1000:] for name in ("first.log", "log")]
                    raise RuntimeError(f"{peer.name} does not answer: {' '.join(logs)}")
                started = json.loads(said)["first_answer_ms"]
                yield Proxy(self, peer, process, port, started)
        if not os.environ.get("BENCH_KEEP"):
            shutil.rmtree(room, ignore_errors=True)

    def command(self, verb, port, *arguments):
        """A command of the load generator against a port."""
        target = ["--port", port, "--ca", self.keys.ca, "--tokens", self.keys.tokens]
        return pinned(LOAD_CORE, [self.load, verb, *target, *arguments])


def tree(pid):
    """A process and everybody below it."""
    below = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(one for child in below for one in tree(int(child)))]


def wait_for_exec(pid, name):
    """Until taskset has become the program itself."""
    while Path(f"/proc/{pid}/comm").read_text().strip() != name[:15]:
        os.sched_yield()


class Proxy:
    """A peer that runs."""

    def __init__(self, world, peer, process, port, started_ms):
        self.world, self.peer, self.process, self.port = world, peer, process, port
        self.started_ms = started_ms

    def drive(self, workload, warmup, seconds, expect):
        """Drives a workload against it; failures are counted, not raised."""
        done = subprocess.run(
            self._driver(workload, warmup, seconds, expect), capture_output=True, text=True
        )
        if done.returncode != 0:
            return {"answers": 0, "errors": 1, "first_error": done.stderr.strip()}
        return json.loads(done.stdout)

    def _driver(self, workload, warmup, seconds, expect):
        return self.world.command(
            "drive", self.port, "--work", workload.work, "--protocol", workload.protocol,
            "--callers", workload.callers, "--connections", workload.connections,
            "--warmup", warmup, "--seconds", seconds,
            "--expect", expect, "--pid", self.process.pid,
        )  # fmt: skip

    def instructions(self, workload, seconds, expect):
        """Thousands of instructions a request, in user space and in the kernel: what a busy machine hardly changes."""
        with tempfile.NamedTemporaryFile("r") as counted:
            # The handshakes are over before both begin to count.
            counting = ["perf", "stat", "-D", "1000", "-x,", "-o", counted.name]
            counting += ["-e", "instructions:u,instructions:k"]
            counting += ["-p", ",".join(map(str, tree(self.process.pid)))]
            done = subprocess.run(
                counting + self._driver(workload, 1, seconds, expect), capture_output=True, text=True
            )
            lines = [line.split(",") for line in counted.read().splitlines()]
        counts = {line[2]: line[0] for line in lines if len(line) > 2}
        answers = json.loads(done.stdout)["answers"] if done.returncode == 0 else 0
        if not answers or not all(count.isdigit() for count in counts.values()):
            return {}
        thousands = {name: int(count) / answers / 1000 for name, count in counts.items()}
        return {
            "instructions_user": thousands["instructions:u"],
            "instructions_kernel": thousands["instructions:k"],
        }

    def ask(self, work, forged=False):
        """One answer, read by another reader than the load generator: status and body."""
        command = self.world.command("request", self.port, "--work", work)
        request = subprocess.run(command, capture_output=True, check=True).stdout
        if forged:
            token = self.world.keys.first_token()
            request = request.replace(token.encode(), self.world.keys.forged().encode())
        trust = ssl.create_default_context(cafile=str(self.world.keys.ca))
        with socket.create_connection(("127.0.0.1", self.port), 10) as raw:
            with trust.wrap_socket(raw, server_hostname="localhost") as stream:
                stream.sendall(request)
                return read_answer(stream.makefile("rb"))

    def hold(self, count, ask):
        """Memory with so many idle connections, and how many of them were still good afterwards."""
        command = self.world.command("hold", self.port, "--count", count, *(["--ask"] if ask else []))
        log = self.world.folder / "hold.log"
        with running(command, log, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
            if not holder.stdout.readline():
                raise RuntimeError(f"{self.peer.name}: {log.read_text()}")
            resident = self.usage()["resident"]
            holder.stdin.write(b"\n")
            holder.stdin.flush()
            alive = json.loads(holder.stdout.readline())["alive"]
        return resident, alive

    def usage(self):
        done = subprocess.run(
            [self.world.load, "usage", str(self.process.pid)],
            capture_output=True,
            check=True,
        )
        return json.loads(done.stdout)


def read_answer(stream):
    status = int(stream.readline().split()[1])
    headers = {}
    while line := stream.readline().strip():
        name, _, value = line.decode().partition(":")
        headers[name.lower()] = value.strip()
    if headers.get("transfer-encoding") != "chunked":
        return status, stream.read(int(headers["content-length"]))
    body = b""
    while size := int(stream.readline(), 16):
        body += stream.read(size)
        stream.readline()
    return status, body
