"""What the proxies are asked to do."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One column of the table."""

    name: str
    # As a column's head, and as a sentence.
    head: str
    title: str
    work: str
    protocol: str = "h1"
    callers: int = 32
    connections: int = 4


WORKLOADS = [
    Workload("call-h1", "call h1", "small tools/call, HTTP/1.1, 32 connections", "call"),
    Workload("call-h2", "call h2", "small tools/call, HTTP/2, 32 streams on 4 connections", "call", "h2"),
    Workload("call-h2-one", "call h2 one", "small tools/call, HTTP/2, 32 streams on 1 connection", "call", "h2", 32, 1),
    Workload("list", "list 38 kB", "tools/list of 50 tools, 38 kB, HTTP/1.1, 32 connections", "list"),
    Workload("same", "result 38 kB", "a result of as many bytes as the list, HTTP/1.1, 32 connections", "same"),
    Workload("blob", "result 64 kB", "a result of 64 kB, HTTP/1.1, 32 connections", "blob"),
    Workload("stream", "100 events", "a stream of 100 events, HTTP/1.1, 32 connections", "stream"),
    Workload("single", "one by one", "small tools/call, one after the other on one HTTP/1.1 connection", "call", "h1", 1),
    Workload("churn", "handshakes", "a new TLS connection for every small tools/call, 16 callers", "call", "churn", 16),
]  # fmt: skip
