"""The Python SDK (`mcp`), which asks for the modern era first and falls back to sessions.

MODE is `auto` (its default) or `legacy`. The steps are those of steps.mjs: each prints one line
`ok <name>: ...`, and the first that goes wrong prints `not ok <name>: ...` and ends the client.
"""

import asyncio
import json
import os
import ssl
import sys
import traceback
import uuid

import httpx2
import mcp_types as types
from mcp import Client, MCPError
from mcp.client.streamable_http import streamable_http_client

UPSTREAMS = {
    "fixture": {
        "slow": ("count_slowly", {"steps": 4, "pauseMs": 60}),
        "refused": ("no_such_tool", {}),
        "asks": True,
    },
    "everything": {
        "slow": ("trigger-long-running-operation", {"duration": 0.4, "steps": 4}),
        "refused": ("no-such-tool", {}),
        # A server on the first SDK says so in a result; a gateway that refuses never does.
        "refuses_in_result": True,
        "asks": False,
    },
}
MESSAGE = "through the gate: Zürich ✓"


class Steps:
    """The client under way, one method a step."""

    def __init__(self, client, modern):
        self.client = client
        self.modern = modern
        self.upstream = dict(UPSTREAMS[os.environ.get("UPSTREAM", "fixture")])
        self.banned = os.environ.get("REFUSED_TOOL")
        if self.banned:
            self.upstream["refused"] = (self.banned, {"record": "1"})
            self.upstream["refuses_in_result"] = False

    async def connect(self):
        version = self.client.protocol_version
        assert (version >= "2026-07-28") == self.modern, f"negotiated {version}"
        return version

    async def list(self):
        names = [tool.name for tool in (await self.client.list_tools()).tools]
        assert "echo" in names, names
        assert self.banned not in names, f"{self.banned} is refused but listed"
        return f"{len(names)} tools"

    async def call(self):
        result = await self.client.call_tool("echo", {"message": MESSAGE})
        text = result.content[0].text
        assert text.endswith(MESSAGE), text
        return repr(text)

    async def progress(self):
        seen = []

        async def report(progress, total, message):
            seen.append(progress)

        name, arguments = self.upstream["slow"]
        result = await self.client.call_tool(name, arguments, progress_callback=report)
        assert not result.is_error, result
        assert len(seen) == 4, seen
        return " ".join(str(step) for step in seen)

    async def stream(self):
        """The answer comes only after we have seen the progress: nobody may buffer it."""
        key = {"key": str(uuid.uuid4())}
        released = []

        async def report(progress, total, message):
            released.append(asyncio.ensure_future(self.client.call_tool("release", key)))

        result = await self.client.call_tool("hold_open", key, progress_callback=report)
        await asyncio.gather(*released)
        assert result.content[0].text == "released", result
        return "progress came before its answer"

    async def input(self):
        name = "test_input_required_result_elicitation" if self.modern else "test_elicitation"
        arguments = {} if self.modern else {"message": "Who are you?"}
        result = await self.client.call_tool(name, arguments)
        assert "canary-name" in result.content[0].text, result
        return "asked and answered"

    async def header(self):
        given = {"region": "Zürich", "priority": 7, "urgent": False}
        result = await self.client.call_tool("test_x_mcp_header", given)
        assert json.loads(result.content[0].text) == given, result
        return "parameters that travel as headers arrive"

    async def refused(self):
        try:
            result = await self.client.call_tool(*self.upstream["refused"])
        except MCPError as error:
            assert error.error.code == -32602, error.error
            return f"{error.error.code} {error.error.message}"
        assert self.upstream.get("refuses_in_result") and result.is_error, f"answered: {result}"
        return result.content[0].text

    async def again(self):
        result = await self.client.call_tool("echo", {"message": "still here"})
        assert result.content[0].text.endswith("still here"), result
        return "a refusal does not end the connection"

    def names(self):
        """The steps in order; those that need our own fixture are left out elsewhere."""
        asking = ["stream", "input", "header"] if self.upstream["asks"] else []
        return ["connect", "list", "call", "progress", *asking, "refused", "again"]


async def answer(context, params):
    """What a user would answer."""
    fields = params.requested_schema["properties"]
    return types.ElicitResult(action="accept", content=dict.fromkeys(fields, "canary-name"))


async def take(steps):
    """Takes the steps in order; whether all went well."""
    for name in steps.names():
        try:
            print(f"ok {name}: {await getattr(steps, name)()}", flush=True)
        except Exception:
            print(f"not ok {name}: {traceback.format_exc()}", flush=True)
            return False
    return True


async def main():
    """Connects, takes the steps, leaves."""
    url, token, ca = (os.environ.get(name) for name in ("URL", "TOKEN", "CA"))
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    verify = ssl.create_default_context(cafile=ca) if ca else True
    mode = os.environ.get("MODE", "auto")
    async with httpx2.AsyncClient(headers=headers, verify=verify, timeout=30) as http:
        transport = streamable_http_client(url, http_client=http)
        async with Client(transport, mode=mode, elicitation_callback=answer) as client:
            well = await take(Steps(client, os.environ.get("ERA") == "modern"))
    if not well:
        sys.exit(1)
    print("ok close: closed", flush=True)


asyncio.run(main())
