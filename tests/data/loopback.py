"""A server on this machine that answers as the sources do, and misbehaves on request. Nothing leaves the machine."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

Query = dict[str, str]


@dataclass
class Fault:
    """What is answered instead, once."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    bytes_sent: int = -1  # of the body, before the connection breaks; -1 = all


@dataclass
class Source:
    """What the server has, and what it was asked."""

    url: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    answers: dict[str, Callable[[Query], bytes]] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    last_modified: str = ""
    has_ranges: bool = True
    asked: list[str] = field(default_factory=list)  # paths
    ranges: list[str] = field(default_factory=list)  # Range headers, where there were any

    def body(self, path: str, query: Query) -> bytes | None:
        return self.answers[path](query) if path in self.answers else self.files.get(path)

    def fault(self, path: str) -> Fault:
        waiting = self.faults.get(path, [])
        return waiting.pop(0) if waiting else Fault()


@contextmanager
def serving() -> Iterator[Source]:
    source = Source()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        wbufsize = -1  # head and body in one piece

        def do_GET(self) -> None:
            answer(self, source)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    source.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield source
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def answer(request: BaseHTTPRequestHandler, source: Source) -> None:
    parts = urlsplit(request.path)
    asked_range = request.headers.get("Range", "")
    source.asked.append(parts.path)
    source.ranges += [asked_range] if asked_range else []
    fault = source.fault(parts.path)
    body = source.body(parts.path, {name: values[0] for name, values in parse_qs(parts.query).items()})
    status, headers = (404, {}) if body is None else (fault.status, dict(fault.headers))
    body = body or b""
    if status == 200 and source.last_modified:
        headers["Last-Modified"] = source.last_modified
        status = 304 if request.headers.get("If-Modified-Since") == source.last_modified else 200
    if status == 200 and asked_range and source.has_ranges:
        first = int(asked_range.removeprefix("bytes=").removesuffix("-"))
        status = 206 if first < len(body) else 416
        headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
        body = body[first:]
    if status in (304, 416):
        body = b""
    send(request, status, headers, body, fault.bytes_sent)


def send(request: BaseHTTPRequestHandler, status: int, headers: dict[str, str], body: bytes, bytes_sent: int) -> None:
    request.send_response(status)
    for name, value in headers.items():
        request.send_header(name, value)
    request.send_header("Content-Length", str(len(body)))
    is_broken = 0 <= bytes_sent < len(body)
    if is_broken:
        request.send_header("Connection", "close")
    request.end_headers()
    request.wfile.write(body[:bytes_sent] if is_broken else body)
    request.close_connection = is_broken
