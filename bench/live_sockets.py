"""Frame -> order bytes written, over loopback sockets, beside the least that the same sockets can do, in one run.

    python -m bench.live_sockets [--frames even] [--rate 1000] [--rounds 3] [--busy-poll]

A server in a process of its own sends the same depth messages in turn to two listeners of one process and notes when. Ours
is a live run's path with an order at every message: text scanned, journal, book, strategy, the order made, rendered and
signed and written. The floor writes fixed bytes as soon as a frame is there. Time runs until the write has returned:
`ours` and `floor` from before the server's send, so the machine's waking of a process is in both; `... from read` from the
moment a frame has been read from the socket. With `--busy-poll` both listeners' process never sleeps, as `ets run
--busy-poll` does not; what is sent still has to wake the server's.
"""

import argparse
import asyncio
import gc
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from aiohttp import web

from elegant_trading_system.core import jit
from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.shell.binance.gateway import BinanceGateway
from elegant_trading_system.shell.budget import Budget
from elegant_trading_system.shell.line import Line
from elegant_trading_system.shell.live import poll

from . import every_depth_decider, facts
from .live import percentiles
from .live_frames import Frames, load
from .live_peers import Ours

LISTENERS = ("ours", "floor")
WARMING = 200  # messages at the beginning that do not count
HOST = "127.0.0.1"
Array = np.ndarray[Any, Any]


# --- the other process ----------------------------------------------------------------------------------------------
class Server:
    """Sends when both listen: message n to listener n mod 2."""

    def __init__(self, texts: list[str], rate: float, sent: Array) -> None:
        self.texts, self.rate, self.sent = texts, rate, sent
        self.listening: dict[str, web.WebSocketResponse] = {}
        self.ready, self.done = asyncio.Event(), asyncio.Event()

    async def frames(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.listening[request.match_info["who"]] = socket
        if len(self.listening) == len(LISTENERS):
            self.ready.set()
        await self.done.wait()
        return socket

    async def orders(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        async for _ in socket:
            pass
        return socket

    async def run(self) -> None:
        app = web.Application()
        app.router.add_get("/frames/{who}", self.frames)
        app.router.add_get("/orders", self.orders)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await runner.setup()
        await web.TCPSite(runner, HOST, 0).start()
        print(runner.addresses[0][1], flush=True)
        await self.ready.wait()
        await asyncio.sleep(0.5)
        await self._send_all()
        await asyncio.sleep(0.5)
        self.done.set()
        await runner.cleanup()

    async def _send_all(self) -> None:
        began = time.monotonic()
        for n, text in enumerate(self.texts):
            for k, who in enumerate(LISTENERS):
                await asyncio.sleep(max(0.0, began + (2 * n + k) / (2 * self.rate) - time.monotonic()))
                self.sent[k, n] = time.monotonic_ns()
                await self.listening[who].send_str(text)


def serve(source: str, rate: float, path: str) -> None:
    texts = [one.text for one in load(source).depth()]
    asyncio.run(Server(texts, rate, np.load(path, mmap_mode="r+")).run())


# --- this process ---------------------------------------------------------------------------------------------------
async def open_line(url: str) -> tuple[Line, asyncio.Task[None]]:
    """A line that only speaks."""
    opened = asyncio.Event()
    line = Line(lambda _line: opened.set(), lambda _message: None)
    running = asyncio.create_task(line.run(url))
    await opened.wait()
    return line, running


async def listen_ours(base: str, frames: Frames, engine: Any, written: Array, read: Array) -> None:
    """Feed, sequencer and gateway as a live run joins them."""
    orders, running = await open_line(f"{base}/orders")
    count = 0

    def send(text: str) -> None:
        nonlocal count
        if '"order.place"' in text:  # not what is asked at the beginning
            orders.send(text)
            written[0, count] = time.monotonic_ns()
            count += 1

    def hear(frame: bytes) -> None:
        read[0, min(count, read.shape[1] - 1)] = time.monotonic_ns()
        ours.hear(frame)
        for order_id, sent in list(gateway.orders.items()):  # its end is not what is measured
            sent.is_done = True
            ours.sequencer.hear(Kind.EXPIRED, 0, order_id=order_id)
            del gateway.orders[order_id]

    def command(decided: Any) -> None:
        gateway.command(decided)

    ours = Ours(frames, time.time_ns, command, engine)

    def clock_ms() -> int:
        return time.time_ns() // 10**6

    unlimited = Budget((), clock_ms)  # no venue would take a thousand orders a second
    gateway = BinanceGateway(ours.sequencer, {0: frames.spec}, "k" * 64, "s" * 64, "bench", send, clock_ms, unlimited)
    gateway.hear_up()
    await Line(lambda _line: None, hear).run(f"{base}/frames/ours")
    assert ours.feed.counts["refused"] == 0
    assert ours.sequencer.commands_sent == written.shape[1], ours.sequencer.commands_sent
    orders.close()
    await running
    await ours.close()


async def listen_floor(base: str, order: str, written: Array, read: Array) -> None:
    orders, running = await open_line(f"{base}/orders")
    n = 0

    def hear(_frame: bytes) -> None:
        nonlocal n
        read[1, n] = time.monotonic_ns()
        orders.send(order)
        written[1, n] = time.monotonic_ns()
        n += 1

    await Line(lambda _line: None, hear).run(f"{base}/frames/floor")
    orders.close()
    await running


async def measure(frames: Frames, engine: Any, port: int, count: int, *, is_polling: bool) -> tuple[Array, Array]:
    """When each order was written, and when the frame before it was read."""
    written, read = np.zeros((2, count), np.int64), np.zeros((2, count), np.int64)
    gc.collect()
    gc.freeze()
    base = f"ws://{HOST}:{port}"
    order = "x" * 420  # about as long as one of ours
    polling = [asyncio.create_task(poll())] if is_polling else []
    await asyncio.gather(listen_ours(base, frames, engine, written, read), listen_floor(base, order, written, read))
    for task in polling:
        task.cancel()
    return written, read


def once(source: str, rate: float, frames: Frames, engine: Any, *, is_polling: bool) -> dict[str, Array]:
    """Nanoseconds from the server's send to the order's write, of each listener's messages."""
    count = len(frames.depth())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "sent.npy"
        np.save(path, np.zeros((2, count), np.int64))
        command = [
            sys.executable,
            "-m",
            "bench.live_sockets",
            "--serve",
            str(path),
            "--frames",
            source,
            "--rate",
            str(rate),
        ]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
            assert server.stdout is not None
            try:
                port = int(server.stdout.readline())
                written, read = asyncio.run(measure(frames, engine, port, count, is_polling=is_polling))
                server.wait(timeout=10)
            finally:
                server.kill()
        spent, inside = written - np.load(path), written - read
    assert (spent > 0).all()
    assert (inside > 0).all()
    found = {who: spent[k, WARMING:] for k, who in enumerate(LISTENERS)}
    return found | {f"{who} from read": inside[k, WARMING:] for k, who in enumerate(LISTENERS)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", choices=["recorded", "even", "emulated"], default="even")
    parser.add_argument("--rate", type=float, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--busy-poll", action="store_true")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve:
        serve(options.frames, options.rate, options.serve)
        return
    gc.set_threshold(100_000, 50, 100)  # as the command line does
    engine = jit.instantiate("elegant_trading_system.core.engine", "bench_engine", decider_override=every_depth_decider)
    frames = load(options.frames)
    rounds = [
        once(options.frames, options.rate, frames, engine, is_polling=options.busy_poll) for _ in range(options.rounds)
    ]
    result: dict[str, Any] = {"frames": frames.source, "per_s": options.rate, "messages": len(frames.depth())}
    for who in rounds[0]:
        found = [percentiles(one[who]) for one in rounds]
        result[who] = {name: round(statistics.median(row[name] for row in found), 1) for name in found[0]}
        result[who] |= {f"best_{name}": min(row[name] for row in found) for name in found[0]}
    for name in ("p50_us", "p99.9_us"):
        ratios = [percentiles(one["ours"])[name] / percentiles(one["floor"])[name] for one in rounds]
        result[f"times_floor_{name[:-3]}"] = [round(value, 2) for value in ratios]
    facts.keep(f"live sockets {options.frames}{' busy-poll' * options.busy_poll}", result)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
