"""The Python SDK (`mcp`) with its own OAuthClientProvider, through the steps of steps.mjs.

The agent is its browser, as a process of its own: `node agent.mjs URL` follows everything until the
redirect address, which this program serves like any native one (RFC 8252 section 7.3).
"""

import asyncio
import json
import os
import ssl
import sys
import time
import traceback
import uuid
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx2
from mcp import Client
from mcp.client.auth import OAuthClientProvider
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import AuthorizationCodeResult, OAuthClientMetadata

URL = os.environ["URL"]
LIFETIME = float(os.environ.get("LIFETIME", "5"))
FURTHER = os.environ.get("STEP_UP_TOOL", "danger_delete")
DISABLE = json.loads(os.environ.get("DISABLE", "null"))
DOCUMENT = os.environ.get("CLIENT_DOCUMENT") or None
OUT_WITHIN = 1.0
PORT = 49322


class Kept:
    """Everything that a program keeps about its sign-in, in memory."""

    def __init__(self):
        self.tokens = None
        self.client = None

    async def get_tokens(self):
        return self.tokens

    async def set_tokens(self, tokens):
        self.tokens = tokens

    async def get_client_info(self):
        return self.client

    async def set_client_info(self, client_info):
        self.client = client_info


class Browser:
    """Sends the user to the browser and waits for the answer on a loopback port."""

    def __init__(self):
        self.answer = None
        self.disabled = False
        self.turned_away = asyncio.Event()

    async def go(self, url):
        query = parse_qs(urlsplit(url).query)
        assert query["resource"] == [URL], query
        assert query["code_challenge_method"] == ["S256"], query
        self.answer = asyncio.get_running_loop().create_future()
        server = await asyncio.start_server(self.serve, "127.0.0.1", PORT)
        try:
            agent = await asyncio.create_subprocess_exec(
                os.environ["NODE"], os.environ["AGENT"], url
            )
            status = await agent.wait()
            if status != 0:
                assert self.disabled, "not let in"
                # The page that says so is the end; no answer ever comes.
                self.turned_away.set()
                await asyncio.Event().wait()
        finally:
            server.close()

    async def serve(self, reader, writer):
        line = (await reader.readline()).decode().split(" ")[1]
        while (await reader.readline()).strip():
            pass
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nDone")
        await writer.drain()
        writer.close()
        if not self.answer.done():
            self.answer.set_result(parse_qs(urlsplit(line).query))

    async def back(self):
        answer = await asyncio.wait_for(self.answer, 10)
        assert "iss" in answer, "RFC 9207: the answer says who gives it"
        return AuthorizationCodeResult(
            code=answer["code"][0], state=answer["state"][0], iss=answer["iss"][0]
        )


class Watched(httpx2.AsyncByteStream):
    """A body that remembers when it ended on the wire."""

    def __init__(self, inner, open_bodies):
        self.inner = inner
        self.open = open_bodies
        self.ended = None
        self.open.append(self)

    async def __aiter__(self):
        try:
            async for part in self.inner:
                yield part
        finally:
            self.ended = self.ended or time.monotonic()

    async def aclose(self):
        self.ended = self.ended or time.monotonic()
        await self.inner.aclose()


class Wire(httpx2.AsyncHTTPTransport):
    """The ordinary transport, with a look at the answers of the route."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.bodies = []

    async def handle_async_request(self, request):
        response = await super().handle_async_request(request)
        if request.url.path == urlsplit(URL).path and response.status_code == 200:
            response.stream = Watched(response.stream, self.bodies)
        return response


class Steps:
    """The client under way, one method a step."""

    def __init__(self, client, kept, wire, browser):
        self.client = client
        self.kept = kept
        self.wire = wire
        self.browser = browser

    async def call_tool(self, name, arguments, **more):
        result = await self.client.call_tool(name, arguments, **more)
        assert not result.is_error, result
        return result.content[0].text

    async def connect(self):
        version = self.client.protocol_version
        modern = os.environ.get("ERA") == "modern"
        assert (version >= "2026-07-28") == modern, f"negotiated {version}"
        assert answers() >= 1, "nobody was asked for anything"
        if DOCUMENT:
            assert str(self.kept.client.client_id) == DOCUMENT, self.kept.client
        how = "its document" if DOCUMENT else "registered client"
        return f"{version}, as {how}, for {self.kept.tokens.scope}"

    async def call(self):
        text = await self.call_tool("echo", {"message": "through the gate: Zürich ✓"})
        assert text.endswith("through the gate: Zürich ✓"), text
        return "a tool answers"

    async def refresh(self):
        before = self.kept.tokens.access_token, answers()
        await asyncio.sleep(LIFETIME + 1.5)
        await self.call_tool("echo", {"message": "still here"})
        assert self.kept.tokens.access_token != before[0], "the token is still the first one"
        assert answers() == before[1], "signed in again"
        return "the access token ended, the user was not asked again"

    async def step_up(self):
        before = self.kept.tokens.scope
        text = await self.call_tool(FURTHER, {"record": "1"})
        assert self.kept.tokens.scope != before, before
        return f"{before} became {self.kept.tokens.scope}: {text}"

    async def cut(self):
        started = asyncio.Event()

        async def report(progress, total, message):
            started.set()

        key = {"key": str(uuid.uuid4())}
        held = asyncio.ensure_future(
            self.client.call_tool("hold_open", key, progress_callback=report)
        )
        await asyncio.wait_for(started.wait(), 15)
        bodies = [body for body in self.wire.bodies if body.ended is None]
        assert bodies, "no answer is open on the wire"
        self.browser.disabled = True
        command = await asyncio.create_subprocess_exec(*DISABLE, stdout=sys.stderr)
        assert await command.wait() == 0, DISABLE
        done = time.monotonic()
        while any(body.ended is None for body in bodies):
            assert time.monotonic() - done < OUT_WITHIN + 2, "still open"
            await asyncio.sleep(0.02)
        last = max(body.ended for body in bodies) - done
        assert last <= OUT_WITHIN, f"the stream ended {last:.3f} s after the command"
        held.cancel()
        return f"{len(bodies)} open answers ended {last * 1000:.0f} ms after the command"

    async def out(self):
        call = asyncio.ensure_future(self.call_tool("echo", {"message": "let me in"}))
        away = asyncio.ensure_future(self.browser.turned_away.wait())
        done, _ = await asyncio.wait([call, away], timeout=20, return_when=asyncio.FIRST_COMPLETED)
        assert done, "neither refused nor turned away"
        if away in done:
            return f"a disabled user gets nothing more: {last_page()}"
        error = call.exception()
        assert error, f"answered: {call}"
        return f"a disabled user gets nothing more: {type(error).__name__} {error}"[:200]

    def names(self):
        """The steps in order."""
        return ["connect", "call", "refresh", "step_up"] + (["cut", "out"] if DISABLE else [])


def events():
    """What the browser did so far."""
    log = Path(os.environ["AGENT_LOG"])
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


def answers():
    """How often the browser has sent something in a user's name."""
    return sum(one["event"] == "submit" for one in events())


def last_page():
    """What the browser shows since its last errand ended."""
    page = [one for one in events() if one["event"] == "end"][-1]
    assert page["status"] == 403, page
    return f'the browser shows {page["status"]} "{page["title"]}"'


async def take(steps):
    """Takes the steps in order; whether all went well."""
    for name in steps.names():
        shown = name.replace("_", "-")
        try:
            print(f"ok {shown}: {await getattr(steps, name)()}", flush=True)
        except Exception:
            print(f"not ok {shown}: {traceback.format_exc()}", flush=True)
            return False
    return True


async def main():
    """Connects, takes the steps, leaves."""
    browser, kept = Browser(), Kept()
    wire = Wire(verify=ssl.create_default_context(cafile=os.environ.get("CA") or None))
    metadata = OAuthClientMetadata(
        client_name="Proof of the Python SDK",
        redirect_uris=[f"http://127.0.0.1:{PORT}/callback"],
        grant_types=["authorization_code", "refresh_token"],
        token_endpoint_auth_method="none",
    )
    login = OAuthClientProvider(
        server_url=URL,
        client_metadata=metadata,
        storage=kept,
        redirect_handler=browser.go,
        callback_handler=browser.back,
        client_metadata_url=DOCUMENT,
    )
    async with httpx2.AsyncClient(transport=wire, auth=login, timeout=30) as http:
        transport = streamable_http_client(URL, http_client=http)
        async with Client(transport, mode=os.environ.get("MODE", "auto")) as client:
            well = await take(Steps(client, kept, wire, browser))
            if not well:
                os._exit(1)
            print("ok close: closed", flush=True)
            # Whoever was cut off cannot say goodbye either.
            sys.stdout.flush()
            os._exit(0)


asyncio.run(main())
