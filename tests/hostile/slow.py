"""Slow peers in number: a good client beside 2,000 connections that take their time.

    slow.py GATEWAY_BINARY FOLDER [CONNECTIONS [SECONDS]]

Upstream, good client and attackers are processes of their own, the attackers the least urgent: the gateway is on trial, not
the machine. Starts an upstream and a gateway, measures a good client alone, opens the attacking connections from many addresses of
the loopback, keeps their number up while the good client is measured again, then opens no more and waits until the last
one is gone. Prints figures; fails when an attacker outlives its deadline, when the good client fails, when the gateway
grows by 100 MiB, or when the good client's p99 is beyond a bound that only a broken gateway reaches: machines are noisy.
"""

import asyncio
import base64
import hashlib
import hmac
import json
import os
import random
import signal
import ssl
import sys
import time

KEY = "canary-not-a-real-key-7Q2mXv9LzR4tKb8WcY3s"
DEADLINE = 10.0  # every deadline of the gateway is set to this
OUTLIVE = 3 * DEADLINE + 5  # a PING is sent after one deadline and waited for during another
GROWTH = 100  # MiB
SLACK = 10.0  # the ratio that fails; the target is 2
TARGET = 2.0

BIG = json.dumps({"jsonrpc": "2.0", "id": 1, "result": {"text": "x" * (8 << 20)}}).encode()
PIECE = 1 << 16
SMALL = b'{"jsonrpc":"2.0","id":1,"result":{}}'


def token(user):
    def part(value):
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")

    now = int(time.time())
    claims = {"iss": "https://localhost", "aud": "https://localhost/mcp", "sub": f"user_{user}", "team_id": "1",
              "client_id": "slow", "tier": "free", "scope": "mcp:read mcp:write", "jti": os.urandom(8).hex(),
              "iat": now, "exp": now + 3600}
    signed = part({"typ": "at+jwt", "alg": "HS256", "kid": "proof"}) + b"." + part(claims)
    mac = hmac.new(KEY.encode(), signed, hashlib.sha256).digest()
    return (signed + b"." + base64.urlsafe_b64encode(mac).rstrip(b"=")).decode()


def call(name="echo", bearer=None, length=None):
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "prompts/get", "params": {"name": name}}).encode()
    head = [("content-type", "application/json"), ("accept", "application/json, text/event-stream"),
            ("mcp-protocol-version", "2025-11-25"), ("authorization", f"Bearer {bearer}"),
            ("content-length", str(length or len(body)))]
    return head, body


def http1(name="echo", bearer=None, length=None):
    head, body = call(name, bearer, length)
    lines = "".join(f"{name}: {value}\r\n" for name, value in [("host", "localhost"), *head])
    return f"POST /mcp HTTP/1.1\r\n{lines}\r\n".encode(), body


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags, stream, payload=b""):
    return len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big") + payload


def field(name, value):
    def text(octets):
        length = len(octets)
        if length < 127:
            return bytes([length]) + octets
        coded, rest = b"\x7f", length - 127
        while rest >= 128:
            coded, rest = coded + bytes([rest % 128 | 128]), rest // 128
        return coded + bytes([rest]) + octets

    return b"\x00" + text(name.encode()) + text(value.encode())


def http2(name, bearer):
    head, body = call(name, bearer)
    pseudo = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/mcp")]
    return b"".join(field(*one) for one in [*pseudo, *head]), body


async def upstream(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next((int(line.split(b":")[1]) for line in head.lower().split(b"\r\n")
                           if line.startswith(b"content-length:")), 0)
            body = await reader.readexactly(length)
            answer = BIG if b'"large"' in body else SMALL
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n"
                         b"content-length: %d\r\n\r\n" % len(answer))
            # Piece by piece: copying a large answer at once would keep the good client waiting for the upstream.
            for at in range(0, len(answer), PIECE):
                writer.write(answer[at : at + PIECE])
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def serve():
    server = await asyncio.start_server(upstream, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


class World:
    def __init__(self, port, trust):
        self.port = port
        self.contexts = {}
        for alpn in ("http/1.1", "h2"):
            context = ssl.create_default_context(cafile=trust)
            context.set_alpn_protocols([alpn])
            self.contexts[alpn] = context
        self.bearers = [token(f"slow{n}") for n in range(200)]
        self.good = token("good")
        self.open = 0
        self.ended = {}
        self.renew = True

    async def connect(self, alpn=None, number=None):
        source = ("127.0.%d.%d" % (number // 250 + 1, number % 250 + 2), 0) if number is not None else None
        tls = {"ssl": self.contexts[alpn], "server_hostname": "localhost"} if alpn else {}
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=source, limit=1 << 12, **tls)


async def drip(writer, octets):
    for octet in octets:
        writer.write(bytes([octet]))
        await asyncio.sleep(1)


async def until_closed(reader):
    while await reader.read(4096):
        pass


async def acknowledge(reader, writer):
    """Reads frames and answers every PING, as a peer that is alive does."""
    while True:
        head = await reader.readexactly(9)
        payload = await reader.readexactly(int.from_bytes(head[:3], "big"))
        if head[3] == 6 and not head[4] & 1:
            writer.write(frame(6, 1, 0, payload))
        if head[3] in (3, 7):
            return


# Each kind of attacker: which ALPN it agrees on, what it sends at once, what it drips, whether it reads.
def kinds(world):
    bearer = random.choice(world.bearers)
    head, body = http1("echo", bearer, 4000)
    block, data = http2("large", bearer)
    hello = bytes([22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3]) + bytes(400)
    begin = PREFACE + frame(4, 0, 0)
    shut = PREFACE + frame(4, 0, 0, (4).to_bytes(2, "big") + bytes(4))
    large = b"".join(http1("large", bearer))
    return {
        "no handshake": (None, b"", b"", "wait"),
        "slow handshake": (None, hello[:5], hello[5:], "wait"),
        "http1 slow head": ("http/1.1", head[:20], head[20:], "wait"),
        "http1 slow body": ("http/1.1", head, body * 40, "wait"),
        "http1 slow reader": ("http/1.1", large, b"", "sleep"),
        "http1 idle": ("http/1.1", b"".join(http1("echo", bearer)), b"", "wait"),
        "http2 no preface": ("h2", b"", PREFACE, "wait"),
        "http2 idle": ("h2", begin + frame(4, 1, 0), b"", "acknowledge"),
        "http2 slow head": ("h2", begin + frame(1, 0, 1, block[:20]), frame(9, 0, 1, block[20:]), "wait"),
        "http2 shut window": ("h2", shut + frame(1, 4, 1, block) + frame(0, 1, 1, data), b"", "acknowledge"),
    }


async def attack(world, number):
    while True:
        chosen = kinds(world)
        kind = list(chosen)[number % len(chosen)]
        alpn, first, rest, then = chosen[kind]
        try:
            reader, writer = await world.connect(alpn, number)
        except (OSError, ssl.SSLError, asyncio.TimeoutError):
            if not world.renew:
                return
            await asyncio.sleep(0.5)
            continue
        world.open += 1
        dripping = None
        try:
            writer.write(first)
            dripping = asyncio.create_task(drip(writer, rest)) if rest else None
            if then == "wait":
                await until_closed(reader)
            elif then == "acknowledge":
                await acknowledge(reader, writer)
                writer.close()
            else:
                # It reads no more, nor sees what becomes of it.
                writer.transport.pause_reading()
                await asyncio.sleep(OUTLIVE + DEADLINE)
        except (OSError, ssl.SSLError, asyncio.IncompleteReadError):
            pass
        finally:
            if dripping:
                dripping.cancel()
            world.open -= 1
            world.ended[kind] = world.ended.get(kind, 0) + 1
            writer.transport.abort()
        if not world.renew:
            return


async def measure(world, seconds):
    """One good caller, one call after the other. The times in milliseconds, sorted."""
    times = []
    reader, writer = await world.connect("http/1.1")
    head, body = http1("echo", world.good)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        began = time.perf_counter()
        writer.write(head + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise SystemExit(f"failed: the good client was answered {answer[:200]!r}")
        await reader.readexactly(len(SMALL))
        times.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(0.005)
    writer.close()
    return sorted(times)


def at(times, share):
    return times[min(len(times) - 1, int(len(times) * share))]


async def connections(port):
    """How many connections the gateway itself counts."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port + 1)
    writer.write(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    text = (await reader.read(1 << 24)).decode()
    while more := await reader.read(1 << 24):
        text += more.decode()
    writer.close()
    return next(int(line.split()[1]) for line in text.splitlines() if line.startswith("sallygate_active_connections"))


def resident(pid):
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        return next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))


def configuration(folder, port, behind):
    path = os.path.join(folder, "sallygate.yaml")
    deadline = f"{DEADLINE:.0f}s"
    with open(path, "w", encoding="utf-8") as file:
        file.write(f"""listen:
  address: "127.0.0.1:{port}"
  public_url: "https://localhost"
  tls: {{ handshake_timeout: {deadline} }}
metrics: {{ address: "127.0.0.1:{port + 1}" }}
state_dir: {folder}/state
limits:
  head_timeout: {deadline}
  body_timeout: {deadline}
  write_timeout: {deadline}
auth: {{ keys: [ {{ kid: proof, secret: "{KEY}" }} ] }}
quotas:
  concurrency: 1000
  streams: 1000
  tiers: {{ free: {{ per_minute: 1000000 }} }}
routes:
  - name: default
    path: /mcp
    upstream: {{ url: "http://127.0.0.1:{behind}/mcp" }}
""")
    return path


async def hold(port, trust, count):
    """Keeps the attackers' number up until a line comes in, and then waits until they are gone. Reports each second."""
    # On real networks the attackers' own work is done elsewhere.
    os.nice(19)
    world = World(int(port), trust)
    attackers = []
    stop = asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline)
    for number in range(int(count)):
        attackers.append(asyncio.create_task(attack(world, number)))
        # They come within five seconds or so, one after the other.
        await asyncio.sleep(5 / int(count))
    while not stop.done():
        print(json.dumps({"open": world.open}), flush=True)
        await asyncio.wait([stop], timeout=1)
    world.renew = False
    done, _ = await asyncio.wait(attackers, timeout=OUTLIVE + DEADLINE)
    for one in done:
        one.result()
    print(json.dumps({"ended": world.ended}), flush=True)


async def good(port, trust, seconds):
    print(json.dumps(await measure(World(int(port), trust), float(seconds))))


async def role(*words, **options):
    return await asyncio.create_subprocess_exec(
        sys.executable, __file__, *map(str, words), stdout=asyncio.subprocess.PIPE, limit=1 << 26, **options)


async def measured(*where):
    process = await role("good", *where)
    out, _ = await process.communicate()
    if process.returncode:
        raise SystemExit("failed: the good client was not served")
    return json.loads(out)


async def main():
    binary, folder = sys.argv[1:3]
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 2000
    seconds = float(sys.argv[4]) if len(sys.argv) > 4 else 20.0
    server = await role("serve")
    behind = int(await server.stdout.readline())
    port = random.randint(20000, 32000)
    log = open(os.path.join(folder, "gateway.log"), "wb")
    gateway = await asyncio.create_subprocess_exec(
        binary, "run", "--config", configuration(folder, port, behind), stdout=log, stderr=log)
    started = [server, gateway]
    try:
        for _ in range(300):
            try:
                (await asyncio.open_connection("127.0.0.1", port))[1].close()
                break
            except OSError:
                await asyncio.sleep(0.1)
        trust = os.path.join(folder, "state", "ca.pem")
        await measured(port, trust, 2)
        quiet, before = await measured(port, trust, seconds / 2), resident(gateway.pid)
        attackers = await role("hold", port, trust, count, stdin=asyncio.subprocess.PIPE)
        started.append(attackers)
        since, most = time.monotonic(), 0

        async def report():
            return json.loads(await attackers.stdout.readline())

        while most < count * 0.9 and time.monotonic() - since < 60:
            await report()
            most = max(most, await connections(port))
        during = asyncio.create_task(measured(port, trust, seconds))
        peak = 0
        while not during.done():
            await report()
            most = max(most, await connections(port))
            peak = max(peak, resident(gateway.pid))
        attacked = during.result()
        attackers.stdin.write(b"enough\n")
        since, gone = time.monotonic(), None
        while gone is None and time.monotonic() - since < OUTLIVE + DEADLINE:
            await asyncio.sleep(0.5)
            # Only the reading of the figure itself may be there, and it comes by another listener.
            if await connections(port) == 0:
                gone = time.monotonic() - since
        end = await report()
        while "ended" not in end:
            end = await report()
        after = resident(gateway.pid)
        judge(count, quiet, attacked, (before, peak, after), most, gone, end["ended"])
    finally:
        for process in started:
            if process.returncode is None:
                process.send_signal(signal.SIGKILL)
                await process.wait()


def judge(count, quiet, attacked, memory, most, gone, ended):
    before, peak, after = (kib // 1024 for kib in memory)
    ratio = at(attacked, 0.99) / at(quiet, 0.99)
    for name, times in (("quiet", quiet), ("attacked", attacked)):
        print(f"{name}: {len(times)} calls, p50 {at(times, .5):.2f} ms, p99 {at(times, .99):.2f} ms")
    print(f"p99 under attack by that of quiet: {ratio:.2f} (target {TARGET:.0f})")
    print(f"memory: {before} MiB before, {peak} MiB at most, {after} MiB after")
    print(f"attackers: {most} at once, {sum(ended.values())} in all; the gateway had none left "
          + (f"{gone:.1f} s after the last came" if gone is not None else "NEVER"))
    print("ended: " + ", ".join(f"{ended[kind]} {kind}" for kind in sorted(ended)))
    wrong = []
    if gone is None or gone > OUTLIVE:
        wrong.append(f"the attackers outlived {OUTLIVE:.0f} s")
    if peak - before > GROWTH:
        wrong.append(f"the gateway grew by {peak - before} MiB")
    if most < count * 0.9:
        wrong.append(f"only {most} of {count} attackers were there at once")
    if ratio > SLACK:
        wrong.append(f"the good client became {ratio:.1f} times slower")
    if wrong:
        raise SystemExit("failed: " + "; ".join(wrong))
    print("ok slow: the good client was served, and every attacker went")


ROLES = {"serve": serve, "hold": hold, "good": good}

if sys.argv[1] in ROLES:
    asyncio.run(ROLES[sys.argv[1]](*sys.argv[2:]))
else:
    asyncio.run(main())
