"""What the proxies are asked to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One row group of the table."""

    name: str
    title: str
    work: str
    protocol: str = "h1"
    callers: int = 32
    connections: int = 4
    # Workloads of this kind have peers of their own (`Peer.only`).
    kind: str = ""


WORKLOADS = [
    Workload("call-h1", "small tools/call, HTTP/1.1, 32 connections", "call"),
    Workload("call-h2", "small tools/call, HTTP/2, 32 streams on 4 connections", "call", "h2"),
    Workload("call-h2-one", "small tools/call, HTTP/2, 32 streams on 1 connection", "call", "h2", 32, 1),
    Workload("list", "tools/list of 50 tools, 38 kB, HTTP/1.1, 32 connections", "list", kind="list"),
    Workload("same", "a tool's result of as many bytes as the list", "same"),
    Workload("blob", "a tool's result of 64 kB, HTTP/1.1, 32 connections", "blob"),
    Workload("stream", "a stream of 100 events, HTTP/1.1, 32 connections", "stream"),
    Workload("single", "small tools/call, one after the other on one connection", "call", "h1", 1),
    Workload("churn", "a new TLS connection for every small tools/call, 32 callers", "call", "churn"),
]  # fmt: skip
