"""Whoever calls the gateway in the soak: connections of both HTTP versions that check every answer."""

import asyncio
import base64
import hashlib
import hmac
import itertools
import json
import ssl
import time

import h2.config
import h2.connection
import h2.events

KEY = b"canary-not-a-real-key-7Q2mXv9LzR4tKb8WcY3s"
PUBLIC = "https://localhost"
PATIENCE = 20


class Broken(Exception):
    """The connection ended without an answer."""


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    def json(self):
        return json.loads(self.body)


def token(user, lifetime=43200, key=KEY, **claims):
    """A token as another program of the operator would make it."""
    def part(value):
        return base64.urlsafe_b64encode(value).rstrip(b"=")
    now = int(time.time())
    payload = {"iss": PUBLIC, "aud": PUBLIC + "/mcp", "sub": f"user_{user}", "team_id": "t", "tier": "soak",
               "scope": "mcp:read mcp:write", "jti": f"jti_{user}_{now}", "iat": now, "exp": now + lifetime, **claims}
    text = b".".join(part(json.dumps(p).encode()) for p in ({"alg": "HS256", "typ": "JWT", "kid": "proof"}, payload))
    return (text + b"." + part(hmac.new(key, text, hashlib.sha256).digest())).decode()


class One:
    """One HTTP/1.1 connection at a time, opened again where it ended."""

    def __init__(self, port, ca):
        self.port = port
        self.tls = ssl.create_default_context(cafile=ca)
        self.tls.set_alpn_protocols(["http/1.1"])
        self.reader = self.writer = None

    async def ask(self, headers, body, on_head=None):
        return await asyncio.wait_for(self._ask(headers, body), PATIENCE)

    async def _ask(self, headers, body):
        fresh = self.writer is None
        try:
            return await self._exchange(headers, body)
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            self.close()
            # A kept connection may have ended before the request was read; a fresh one may not.
            if fresh or getattr(error, "begun", False):
                raise Broken(repr(error)) from error
            return await self._exchange(headers, body)

    async def _exchange(self, headers, body):
        if self.writer is None or self.writer.is_closing():
            self.reader, self.writer = await asyncio.open_connection(
                "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost", limit=1 << 20)
        lines = ["POST /mcp HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.writer.write("\r\n".join([*lines, "", ""]).encode() + body)
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
        status = int(head[0].split(" ")[1])
        fields = {}
        for line in filter(None, head[1:]):
            name, _, value = line.partition(":")
            fields[name.lower()] = value.strip()
        try:
            answer = Answer(status, fields, await self._body(fields))
        except (ConnectionError, asyncio.IncompleteReadError, ssl.SSLError) as error:
            error.begun = True
            raise
        if fields.get("connection") == "close":
            self.close()
        return answer

    async def _body(self, fields):
        if fields.get("transfer-encoding") != "chunked":
            return await self.reader.readexactly(int(fields.get("content-length", 0)))
        body = b""
        while True:
            size = int(await self.reader.readuntil(b"\r\n"), 16)
            body += (await self.reader.readexactly(size + 2))[:-2]
            if size == 0:
                return body

    def close(self):
        if self.writer is not None:
            self.writer.close()
        self.reader = self.writer = None


class Two:
    """One HTTP/2 connection with many streams, opened again where it ended."""

    def __init__(self, port, ca):
        self.port = port
        self.tls = ssl.create_default_context(cafile=ca)
        self.tls.set_alpn_protocols(["h2"])
        self.http = None
        self.waiting = {}
        self.lock = asyncio.Lock()

    async def ask(self, headers, body):
        return await asyncio.wait_for(self._ask(headers, body), PATIENCE)

    async def _ask(self, headers, body):
        async with self.lock:
            if self.http is None or self.writer.is_closing():
                await self._open()
            number = self.http.get_next_available_stream_id()
            fields = [(":method", "POST"), (":scheme", "https"), (":authority", "localhost"), (":path", "/mcp")]
            fields += [(name.lower(), value) for name, value in headers.items()]
            done = asyncio.get_running_loop().create_future()
            self.waiting[number] = (done, {}, bytearray())
            self.http.send_headers(number, fields)
            self.http.send_data(number, body, end_stream=True)
            self.writer.write(self.http.data_to_send())
        return await done

    async def _open(self):
        reader, self.writer = await asyncio.open_connection(
            "127.0.0.1", self.port, ssl=self.tls, server_hostname="localhost")
        self.http = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.http.initiate_connection()
        self.writer.write(self.http.data_to_send())
        self.task = asyncio.create_task(self._read(reader, self.writer, self.http))

    async def _read(self, reader, writer, http):
        try:
            while data := await reader.read(65536):
                for event in http.receive_data(data):
                    self._take(http, event)
                if writer.is_closing():
                    break
                writer.write(http.data_to_send())
                await writer.drain()
        except (ConnectionError, ssl.SSLError, h2.exceptions.ProtocolError):
            pass
        finally:
            if self.http is http:
                self.http = None
            writer.close()
            for done, _, _ in self.waiting.values():
                if not done.done():
                    done.set_exception(Broken("the connection ended"))
            self.waiting.clear()

    def _take(self, http, event):
        entry = self.waiting.get(getattr(event, "stream_id", None))
        if isinstance(event, h2.events.ConnectionTerminated) and self.http is http:
            self.http = None
        if entry is None:
            return
        done, fields, body = entry
        if isinstance(event, h2.events.ResponseReceived):
            fields.update(event.headers)
        elif isinstance(event, h2.events.DataReceived):
            body += event.data
            http.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            del self.waiting[event.stream_id]
            if not done.done():
                done.set_result(Answer(int(fields[":status"]), fields, bytes(body)))
        elif isinstance(event, h2.events.StreamReset):
            del self.waiting[event.stream_id]
            if not done.done():
                done.set_exception(Broken(f"stream reset {event.error_code}"))

    def close(self):
        if self.http is not None:
            self.writer.close()


NUMBERS = itertools.count(1)


def call(name, **arguments):
    """A call with an id and a mark of its own, and both."""
    number = next(NUMBERS)
    mark = f"mark-{number}-{name}"
    question = {"jsonrpc": "2.0", "id": number, "method": "tools/call",
                "params": {"name": name, "arguments": {"mark": mark, **arguments}}}
    return number, mark, json.dumps(question).encode()


def listing():
    number = next(NUMBERS)
    return number, json.dumps({"jsonrpc": "2.0", "id": number, "method": "tools/list"}).encode()


def headers(bearer):
    return {"Authorization": f"Bearer {bearer}", "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream"}
