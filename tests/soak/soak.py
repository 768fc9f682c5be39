"""A gateway under mixed load for minutes, with reloads and an upstream that dies and lies. Every answer is checked.

soak.py GATEWAY MINUTES FOLDER REPORT
"""

import asyncio
import collections
import gzip
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

import callers
from callers import Broken, One, Two

RELOAD_EVERY, KILL_EVERY, OUTAGE, RECOVERY = 20, 30, 2, 30
LIES_EVERY, LIES_FOR = 45, 6
# What is visible under each of the two sets of rules that the reloads alternate between.
RULES = {"a": {"echo", "stream", "large", "sometimes"}, "b": {"echo", "stream", "large"}}
USERS = 48
# After warm-up memory may grow by this much in ten minutes; a short run allows for what is still being filled.
SLOPE_MB, SLOPE_MINUTES, GROWTH_SHORT_MB = 1.0, 5, 24


class World:
    def __init__(self, gateway, minutes, folder, report):
        self.gateway, self.folder, self.report = gateway, pathlib.Path(folder), report
        self.seconds = minutes * 60
        self.minutes = minutes
        self.port, self.up_port = free_port(), free_port()
        self.lies = self.folder / "lies"
        self.trouble = []
        self.wrong = []
        self.counts = collections.Counter()
        self.ids = set()
        self.repeated = 0
        self.samples = []
        self.reloads = 0
        self.kills = 0
        self.over = False
        self.upstream = None

    # --- what stands around the load

    def write_rules(self, which):
        hidden = '["hidden_*", "sometimes"]' if which == "b" else '["hidden_*"]'
        text = f"""
listen: {{ address: "127.0.0.1:{self.port}", public_url: "{callers.PUBLIC}" }}
metrics: {{ address: "127.0.0.1:0" }}
state_dir: {self.folder}/state
auth: {{ keys: [ {{ kid: proof, secret_file: {self.folder}/key }} ] }}
quotas:
  concurrency: 1000
  tiers: {{ soak: {{ per_minute: 1000000 }}, small: {{ per_minute: 30 }} }}
policy: {{ tools: {{ disabled: {hidden} }} }}
routes:
  - name: default
    path: /mcp
    upstream: {{ url: "http://127.0.0.1:{self.up_port}/mcp", first_byte_timeout: 2s }}
"""
        fresh = self.folder / "sallygate.yaml.new"
        fresh.write_text(text)
        fresh.rename(self.folder / "sallygate.yaml")

    def start(self):
        os.umask(0o077)
        (self.folder / "key").write_bytes(callers.KEY)
        self.write_rules("a")
        self.start_upstream()
        # Variables that begin with the gateway's name are settings to it.
        env = {name: value for name, value in os.environ.items() if not name.startswith("SALLYGATE_")}
        with open(self.folder / "gateway.log", "w") as log:
            self.process = subprocess.Popen([self.gateway, "run", "--config", self.folder / "sallygate.yaml"],
                                            stdout=log, stderr=log, env=env)
        verbs = subprocess.run([self.gateway, "--help"], capture_output=True, text=True).stdout
        self.can_reload = any(line.split()[:1] == ["reload"] for line in verbs.splitlines())

    def start_upstream(self):
        here = pathlib.Path(__file__).parent
        self.upstream = subprocess.Popen([sys.executable, here / "upstream.py", str(self.up_port), self.lies])

    def stop_upstream(self):
        self.upstream.kill()
        self.upstream.wait()

    async def until_answered(self, seconds, what):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.process.poll() is not None:
                sys.exit(f"the gateway ended: {(self.folder / 'gateway.log').read_text()[-2000:]}")
            try:
                number, _, body = callers.call("echo")
                caller = One(self.port, self.folder / "state/ca.pem")
                answer = await caller.ask(callers.headers(self.tokens[0]), body)
                caller.close()
                self.note(answer)
                if answer.status == 200 and answer.json().get("id") == number and "result" in answer.json():
                    return
            except (OSError, Broken, asyncio.TimeoutError):
                pass
            await asyncio.sleep(0.2)
        self.fail("recovery", f"{what}: no good answer for {seconds} s")

    async def killing(self):
        while await self.pause(KILL_EVERY):
            window = [time.monotonic(), None]
            self.trouble.append(window)
            self.stop_upstream()
            self.kills += 1
            await asyncio.sleep(OUTAGE)
            self.start_upstream()
            await self.until_answered(RECOVERY, "after an outage")
            window[1] = time.monotonic() + 0.5

    async def lying(self):
        while await self.pause(LIES_EVERY):
            window = [time.monotonic(), None]
            self.trouble.append(window)
            self.lies.touch()
            await asyncio.sleep(LIES_FOR)
            self.lies.unlink()
            await self.until_answered(RECOVERY, "after lies")
            # What the upstream was asked before may still hang.
            window[1] = time.monotonic() + 6

    async def reloading(self):
        which = "a"
        while self.can_reload and await self.pause(RELOAD_EVERY):
            which = "b" if which == "a" else "a"
            self.write_rules(which)
            self.process.send_signal(signal.SIGHUP)
            self.reloads += 1

    async def sampling(self):
        while await self.pause(1):
            try:
                status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
                rss = int(status.split("VmRSS:")[1].split()[0])
                files = len(os.listdir(f"/proc/{self.process.pid}/fd"))
            except (OSError, IndexError):
                self.fail("process", "the gateway is gone")
                self.over = True
                return
            self.samples.append((time.monotonic() - self.began, rss, files))

    async def pause(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self.over:
            await asyncio.sleep(min(0.25, seconds))
        return not self.over and time.monotonic() < self.began + self.seconds - OUTAGE

    # --- what is right

    def fail(self, kind, what):
        self.counts["wrong"] += 1
        if len(self.wrong) < 20:
            self.wrong.append(f"{kind}: {what}")

    def note(self, answer):
        """Remembers the id under which the trail must have a line."""
        number = answer.headers.get("x-request-id")
        if number is None:
            self.fail("id", f"{answer.status} without X-Request-Id")
        elif number in self.ids:
            self.repeated += 1
        else:
            self.ids.add(number)

    def troubled(self, since):
        return any(end is None or end >= since for _, end in self.trouble)

    async def ask(self, kind, caller, headers, body, judge, may_fail=True):
        since = time.monotonic()
        self.counts[kind] += 1
        try:
            answer = await caller.ask(headers, body)
        except (Broken, asyncio.TimeoutError, OSError) as error:
            self.counts["broken"] += 1
            caller.close()
            # A stream or a long answer breaks with the upstream. What was never answered is not in the count of ids.
            if not (may_fail and self.troubled(since)):
                self.fail(kind, f"no answer: {error!r}")
            return
        self.note(answer)
        self.counts[f"status {answer.status}"] += 1
        if answer.status in (502, 503, 504) and may_fail and self.troubled(since):
            self.counts["outage"] += 1
            if b"canary" in answer.body:
                self.fail(kind, "the upstream's own words were passed on")
            return
        try:
            verdict = judge(answer)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            verdict = repr(error)
        if verdict is None:
            return
        # A 500 of the upstream is the upstream's to say, and so is text under a wrong label.
        if self.troubled(since) and may_fail and self.is_a_lie(answer):
            self.counts["lies passed on"] += 1
            return
        self.fail(kind, f"{verdict}: {answer.status} {answer.body[:200]!r}")

    @staticmethod
    def is_a_lie(answer):
        return answer.status == 500 or answer.body == b'{"jsonrpc":"2.0","id":'

    @staticmethod
    def echoed(number, mark):
        def judge(answer):
            if answer.status != 200:
                return "status"
            document = answer.json()
            text = document["result"]["content"][0]["text"]
            if document["id"] != number or text.rstrip("x") != mark:
                return "the answer belongs to another request"
        return judge

    @staticmethod
    def streamed(number, mark):
        def judge(answer):
            if not answer.headers.get("content-type", "").startswith("text/event-stream"):
                # A lying upstream answers in one piece.
                return World.echoed(number, mark)(answer)
            if answer.status != 200:
                return "status"
            data = [json.loads(block[6:]) for block in answer.body.decode().split("\n\n") if block.startswith("data: ")]
            steps = [d["params"]["progress"] for d in data[:-1] if d["params"]["progressToken"] == mark]
            last = data[-1]
            if steps != list(range(5)) or last["id"] != number or last["result"]["content"][0]["text"] != mark:
                return "the stream belongs to another request, or lacks a part"
        return judge

    @staticmethod
    def listed(number):
        def judge(answer):
            document = answer.json()
            names = {tool["name"] for tool in document["result"]["tools"]}
            if document["id"] != number or names not in RULES.values():
                return f"a list of {sorted(names)}"
        return judge

    @staticmethod
    def refused(status, *texts):
        def judge(answer):
            if answer.status != status or not all(text in answer.body + str(answer.headers).encode() for text in texts):
                return f"not refused with {status}"
        return judge

    # --- the load

    async def calling(self, caller, place):
        turn = place
        while not self.over:
            turn += 1
            bearer = self.tokens[turn % len(self.tokens)]
            name = "large" if turn % 16 == 0 else "echo"
            number, mark, body = callers.call(name)
            await self.ask(f"call {name}", caller, callers.headers(bearer), body, self.echoed(number, mark))
            if turn % 8 == 0:
                number, body = callers.listing()
                await self.ask("list", caller, callers.headers(bearer), body, self.listed(number))
            await asyncio.sleep(0.004)
        caller.close()

    async def streaming(self, caller, place):
        while not self.over:
            number, mark, body = callers.call("stream")
            headers = callers.headers(self.tokens[place])
            await self.ask("stream", caller, headers, body, self.streamed(number, mark))
            await asyncio.sleep(0.05)
        caller.close()

    async def misbehaving(self, caller):
        good = callers.headers(self.tokens[0])
        _, _, body = callers.call("echo")
        small = callers.headers(callers.token("small", tier="small"))
        spent = 0
        bad = {
            "forged": callers.token("eve", key=b"another-canary-not-a-real-key-000000000"),
            "expired": callers.token("eve", lifetime=-3600),
            "foreign": callers.token("eve", aud="https://elsewhere.test/mcp"),
            "broken": "a.b.c",
        }
        while not self.over:
            for name, bearer in bad.items():
                judge = self.refused(401, b"resource_metadata")
                await self.ask(f"{name} token", caller, callers.headers(bearer), body, judge, False)
            number, _, hidden = callers.call("hidden_one")
            judge = self.refused(200, b'"error"', str(number).encode())
            await self.ask("hidden tool", caller, good, hidden, judge, False)
            for name, text, status in (
                ("repeated member", body.replace(b'"id"', b'"id": 0, "id"'), 400),
                ("imitated member", body.replace(b'"name"', b'"NAME": "x", "name"'), 400),
                ("batch", b"[" + body + b"]", 400),
                ("no JSON", body[:-1], 400),
            ):
                await self.ask(name, caller, good, text, self.refused(status, b'"error"'), False)
            plain = {**good, "Content-Type": "text/plain"}
            await self.ask("no JSON type", caller, plain, body, self.refused(415), False)
            spent += 1
            if spent <= 60:
                judge = lambda a: None if a.status in (200, 429) and ("retry-after" in a.headers) == (a.status == 429) else "quota"
                await self.ask("small quota", caller, small, body, judge)
            await asyncio.sleep(0.1)
        caller.close()

    async def run(self):
        self.tokens = [callers.token(f"u{user}", jti=f"jti_{user}") for user in range(USERS)]
        self.began = time.monotonic()
        self.trouble.append([0, None])
        await self.until_answered(30, "at the start")
        self.trouble.clear()
        self.began = time.monotonic()
        ca = self.folder / "state/ca.pem"
        two = Two(self.port, ca)
        load = [self.calling(One(self.port, ca), place) for place in range(4)]
        load += [self.calling(two, 100 + place) for place in range(4)]
        load += [self.streaming(One(self.port, ca), 7), self.streaming(Two(self.port, ca), 8)]
        load += [self.misbehaving(One(self.port, ca)), self.misbehaving(Two(self.port, ca))]
        around = [self.killing(), self.lying(), self.reloading(), self.sampling()]
        tasks = [asyncio.create_task(each) for each in load + around]
        while not self.over and time.monotonic() < self.began + self.seconds:
            await asyncio.sleep(0.5)
            for task in tasks:
                if task.done() and task.exception():
                    self.fail("soak", repr(task.exception()))
                    self.over = True
        self.over = True
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.sleep(0.5)
        self.left = len(os.listdir(f"/proc/{self.process.pid}/fd")) if self.process.poll() is None else -1

    # --- the end

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.exit = self.process.wait(40)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.exit = "killed"
        self.stop_upstream()
        if self.exit != 0:
            self.fail("end", f"exit code {self.exit}")

    def trail(self):
        folder = self.folder / "state/audit-logs"
        run = subprocess.run([self.gateway, "audit", "verify", "--dir", folder, "--key-file",
                              self.folder / "state/audit.key"], capture_output=True, text=True)
        if run.returncode != 0:
            self.fail("audit", run.stdout[-300:] + run.stderr[-300:])
        lines = collections.Counter()
        for file in folder.rglob("*.jsonl*"):
            opened = gzip.open(file, "rt") if file.suffix == ".gz" else open(file)
            with opened:
                for line in map(json.loads, opened):
                    # A reload leaves a line too, and nobody asked for it by a request.
                    if line["event_type"] != "configuration_changed":
                        lines[line["request_id"]] += 1
        del lines[""]
        more_than_one = sum(1 for count in lines.values() if count > 1)
        missing = self.ids - lines.keys()
        # Requests whose connection broke before the head of the answer have a line and no id that we know.
        unknown = len(lines.keys() - self.ids)
        if missing or more_than_one or self.repeated or unknown > self.counts["broken"]:
            self.fail("audit", f"{len(missing)} answers without a line, {more_than_one} with several, {unknown} lines "
                               f"for {self.counts['broken']} broken exchanges, {self.repeated} ids given twice")
        return {"verified": run.returncode == 0, "lines": sum(lines.values()), "answers": len(self.ids),
                "lines_of_broken_exchanges": unknown}

    def memory(self):
        warm = [s for s in self.samples if s[0] > max(30, self.seconds * 0.3)] or self.samples
        times, sizes = [s[0] for s in warm], [s[1] / 1024 for s in warm]
        mean_t, mean_s = sum(times) / len(times), sum(sizes) / len(sizes)
        spread = sum((t - mean_t) ** 2 for t in times) or 1
        slope = sum((t - mean_t) * (s - mean_s) for t, s in zip(times, sizes)) / spread * 600
        files = [s[2] for s in warm]
        third = max(1, len(files) // 3)
        early, late = max(files[:third]), max(files[-third:])
        if self.minutes >= SLOPE_MINUTES:
            if slope > SLOPE_MB:
                self.fail("memory", f"grows by {slope:.2f} MB in 10 minutes")
        elif sizes[-1] - sizes[0] > GROWTH_SHORT_MB:
            self.fail("memory", f"grew by {sizes[-1] - sizes[0]:.1f} MB")
        if late > early + 8:
            self.fail("descriptors", f"{early} early, {late} late")
        return {"slope_mb_per_10_min": round(slope, 2), "rss_mb_first": round(self.samples[0][1] / 1024, 1),
                "rss_mb_warm": round(sizes[0], 1), "rss_mb_last": round(sizes[-1], 1),
                "rss_mb_max": round(max(s[1] for s in self.samples) / 1024, 1),
                "descriptors_early": early, "descriptors_late": late, "descriptors_after_load": self.left}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    gateway, minutes, folder, report = sys.argv[1:5]
    world = World(gateway, float(minutes), folder, report)
    world.start()
    try:
        asyncio.run(world.run())
    finally:
        world.stop()
    result = {"minutes": world.minutes, "reloads": world.reloads, "upstream_kills": world.kills,
              "memory": world.memory(), "trail": world.trail(),
              "requests_per_second": round(len(world.ids) / world.seconds),
              "counts": dict(sorted(world.counts.items())), "wrong": world.wrong}
    pathlib.Path(report).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(report).write_text(json.dumps(result, indent=1) + "\n")
    for name, count in result["counts"].items():
        print(f"  {name:<22}{count:>9}")
    for name in ("memory", "trail"):
        for key, value in result[name].items():
            print(f"  {key:<26}{value!s:>9}")
    reloads = f"{world.reloads} reloads" if world.can_reload else "no reloads (this gateway has no `reload`)"
    print(f"  {world.kills} outages, {reloads}, {result['requests_per_second']} requests a second")
    for wrong in world.wrong:
        print(f"WRONG {wrong}")
    wrong = world.counts["wrong"]
    print(f"{'failed' if wrong else 'ok'}: {wrong} wrong in {len(world.ids)} answers; report in {report}")
    sys.exit(1 if wrong else 0)


main()
