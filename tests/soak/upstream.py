"""The MCP server of the soak: echoes what it is asked, and lies while a file says so. Ends when it is killed.

upstream.py PORT LIES_FILE
"""

import asyncio
import json
import os
import sys

TOOLS = [{"name": name, "inputSchema": {"type": "object"}} for name in
         ("echo", "stream", "hidden_one", "sometimes", "hidden_two", "large")]
LIES = ("truncated", "reset", "redirect", "label", "nonsense", "silence", "compressed", "status")


def head(status, body, *lines):
    lines = (f"HTTP/1.1 {status} X", f"Content-Length: {len(body)}", *lines, "", "")
    return "\r\n".join(lines).encode() + body


def answer(question):
    method, number = question["method"], question.get("id")
    if method == "tools/list":
        result = {"tools": TOOLS}
    else:
        arguments = question["params"].get("arguments", {})
        padding = "x" * 65536 if question["params"]["name"] == "large" else ""
        result = {"content": [{"type": "text", "text": arguments.get("mark", "") + padding}]}
    return json.dumps({"jsonrpc": "2.0", "id": number, "result": result}).encode()


def stream(question):
    mark = question["params"]["arguments"]["mark"]
    for step in range(5):
        note = {"jsonrpc": "2.0", "method": "notifications/progress", "params": {"progressToken": mark, "progress": step}}
        yield b"data: " + json.dumps(note).encode() + b"\n\n"
    yield b"data: " + answer(question) + b"\n\n"


async def lie(kind, question, writer):
    """Answers wrongly; says whether the connection may go on."""
    good = answer(question)
    json_type = "Content-Type: application/json"
    if kind == "truncated":
        writer.write(head(200, good, json_type)[:-7])
        return False
    if kind == "reset":
        return False
    if kind == "silence":
        await asyncio.sleep(4)
        return False
    writer.write({
        "redirect": head(302, b"", "Location: http://127.0.0.1:1/elsewhere"),
        "label": head(200, good, "Content-Type: text/html"),
        "nonsense": head(200, b'{"jsonrpc":"2.0","id":', json_type),
        "compressed": head(200, good, json_type, "Content-Encoding: gzip"),
        "status": head(500, b"canary-stack-trace"),
    }[kind])
    return True


async def serve(reader, writer, lies):
    count = 0
    try:
        while True:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
            length = next((int(l.split(":")[1]) for l in lines if l.lower().startswith("content-length:")), 0)
            question = json.loads(await reader.readexactly(length)) if length else {"method": "tools/list"}
            count += 1
            is_call = question["method"] == "tools/call"
            if is_call and os.path.exists(lies) and count % 2:
                if await lie(LIES[count // 2 % len(LIES)], question, writer):
                    continue
                break
            if is_call and question["params"]["name"] == "stream":
                writer.write(b"HTTP/1.1 200 X\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
                for event in stream(question):
                    writer.write(b"%x\r\n%s\r\n" % (len(event), event))
                    await writer.drain()
                    await asyncio.sleep(0.01)
                writer.write(b"0\r\n\r\n")
            else:
                writer.write(head(200, answer(question), "Content-Type: application/json"))
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


async def main():
    port, lies = int(sys.argv[1]), sys.argv[2]
    server = await asyncio.start_server(lambda r, w: serve(r, w, lies), "127.0.0.1", port, limit=1 << 20)
    async with server:
        await server.serve_forever()


asyncio.run(main())
