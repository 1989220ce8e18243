"""What a live run looks like while it runs: books, signals, positions, money and the health of the lines, twice a second."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from .core.kinds import BookState, PositionState, Regime, Verdict
from .core.schema import NO_X, NS_PER_S
from .core.units import ASK, BID

if TYPE_CHECKING:
    from .shell.live import LiveRun

STATE_STYLES = {BookState.LIVE: "green", BookState.RESYNC: "yellow", BookState.GAP: "red", BookState.STALE: "red"}
VERDICTS_SHOWN, SAID_SHOWN = 5, 5
BAR_WIDTH = 12


def screen(live: "LiveRun", title: str, said: list[str]) -> RenderableType:
    """Everything at a glance; before the venues have named their instruments, only what was said."""
    log = Text("\n".join(said[-SAID_SHOWN:]), style="dim")
    if live.universe is None:
        return Panel(log, title=title, title_align="left")
    parts: list[RenderableType] = [_books(live), _signals(live), _money(live), log]
    return Panel(Group(*parts), title=f"[bold]{title}[/bold]", title_align="left", subtitle="Ctrl-C stops cleanly")


def _grid(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, expand=False, header_style="dim")
    table.add_column(headings[0])
    for heading in headings[1:]:
        table.add_column(heading, justify="right", no_wrap=True)
    return table


def _books(live: "LiveRun") -> Table:
    """One line a listing: what it is worth, what it costs to cross, how old it is."""
    table = _grid("", "book", "bid", "ask", "spread bps", "depth", "silent s", "held")
    market, trader = live.sequencer.market[0], live.sequencer.trader
    for n, spec in enumerate(live.known.listings):
        if spec.kind == "volatility":
            continue  # it prints, and its venue's line below says what
        book = market["books"][n]
        state = BookState(int(book["state"]))
        row = [Text(spec.name), Text(state.name, STATE_STYLES[state])]
        best = [int(x) for x in book["best_x"]]
        if NO_X in best:
            row += [Text("")] * 4
        else:
            bid, ask = best[BID] * spec.tick_size, -best[ASK] * spec.tick_size
            row += [Text(f"{bid:,}"), Text(f"{ask:,}"), Text(f"{(ask - bid) / (ask + bid) * 20_000:.2f}")]
            row.append(_lean(live, n, best))
        silent_s = (live.now_ns() - int(book["ts_packet_ns"])) / NS_PER_S
        row.append(Text(f"{silent_s:.1f}" if book["ts_packet_ns"] else ""))
        held = int(trader["inventory"][n]["held_atoms"]) / 10 ** live.known.decimals[spec.base]
        row.append(Text(f"{held:g}" if held else ""))
        table.add_row(*row)
    return table


def _lean(live: "LiveRun", n: int, best: list[int]) -> Text:
    """Lots of the best ten price steps, as a bar: green what bids, red what asks."""
    ladder = live.sequencer.books[0]["lots"][n]
    width = ladder.shape[-1]
    bids, asks = (sum(int(ladder[s, (best[s] - k) % width]) for k in range(10)) for s in (BID, ASK))
    green = round(BAR_WIDTH * bids / max(bids + asks, 1))
    return Text("█" * green, "green") + Text("█" * (BAR_WIDTH - green), "red")


def _signals(live: "LiveRun") -> Table:
    """One line a group: the formula's parts, what they come to, and the verdict."""
    table = _grid(
        "\nsignal", "\nbid/ask", "\nvelocity", "\ntightness", "\nstrength", "\nregime", "\nverdict", "\nposition"
    )
    for group_id, name in enumerate(live.known.groups):
        if not live.known.record[0]["groups"][group_id]["is_traded"]:
            continue
        seen = live.sequencer.latest.get(group_id)
        if seen is None:
            table.add_row(name, *[""] * 5, "listening")
            continue
        verdict = Verdict(int(seen["verdict"])).name.replace("_", " ").lower()
        table.add_row(
            name,
            f"{math.exp(float(seen['log_ratio'])):.2f}",
            *(f"{float(seen[part]):.2f}" if seen[part] >= 0 else "?" for part in ("velocity", "tightness")),
            Text(f"{float(seen['strength']):.2f}", "bold green" if seen["verdict"] == Verdict.APPROVED else ""),
            Regime(int(seen["regime"])).name.lower(),
            verdict,
            _position(live, group_id),
        )
    return table


def _position(live: "LiveRun", group_id: int) -> Text:
    position = live.sequencer.trader["positions"][group_id]
    state = PositionState(int(position["state"]))
    if state is PositionState.FLAT:
        return Text("")
    side = "long" if position["side"] > 0 else "short"
    bracket = f" {position['stop_price']:,.6g} .. {position['target_price']:,.6g}" if position["stop_price"] else ""
    return Text(f"{state.name.lower()} {side}{bracket}", "green" if side == "long" else "red")


def _money(live: "LiveRun") -> Table:
    """Money, orders, refusals, lines."""
    trader = live.sequencer.trader
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column()
    equity, start = float(trader["equity"]), float(trader["capital"])
    gain = f"{equity - start:+,.2f}" if start else ""
    drawdown = f"worst drawdown {float(trader['drawdown_max']):.2%}"
    table.add_row("\nequity", f"\n{equity:,.2f}  {gain}  {drawdown}")
    orders, trips = int(trader["next_order_id"]), int(trader["round_trips"])
    table.add_row("orders", f"{orders:,}, {int(trader['order_count'])} working, {trips:,} round trips")
    table.add_row("decided", ", ".join(_verdicts(trader)) or "nothing yet")
    for link in live.links:
        table.add_row(link.name, link.health())
    table.add_row("journal", f"{live.journal.count:,} events in {live.folder}")
    return table


def _verdicts(trader: Any) -> Iterator[str]:
    counts = trader["verdicts"]
    for verdict in counts.argsort()[::-1][:VERDICTS_SHOWN]:
        if counts[verdict]:
            yield f"{Verdict(int(verdict)).name.replace('_', ' ').lower()} {int(counts[verdict]):,}"
