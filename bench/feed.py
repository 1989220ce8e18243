"""The comparison's synthetic feeds as a tape in memory.

The generator is not part of this project: it is run as a program in the cache folder and its files are read.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from elegant_trading_system.core.kinds import Kind
from elegant_trading_system.core.schema import LEVEL, PACKET

Array = np.ndarray[Any, Any]
CACHE = Path(os.environ.get("ETS_BENCH_CACHE") or Path.home() / ".cache" / "elegant-trading-system" / "bench")
FEEDS = {  # name: rows, seed, every row its own timestamp
    "m5": ("5e6", "7", "0"),
    "u5": ("5e6", "7", "1"),
    "m1": ("1e6", "11", "0"),
    "u1": ("1e6", "11", "1"),
}


@dataclass
class Feed:
    name: str
    packets: Array
    levels: Array
    rows: int  # without the snapshot's
    lookahead_ns: int
    raw: Path  # NAME.npz and NAME_snap.npz beside it, as hftbacktest reads them


def load(name: str, generator: Path | None = None) -> Feed:
    """A feed by name, generated and converted on first use."""
    folder = CACHE / "feeds"
    (folder / "data").mkdir(parents=True, exist_ok=True)
    stem = folder / "data" / name
    if not stem.with_suffix(".soa.npz").exists():
        if generator is None or not generator.exists():
            sys.exit("the feed's generator is needed once: --generator PATH or ETS_BENCH_GENERATOR")
        subprocess.run([sys.executable, str(generator.resolve()), name, *FEEDS[name]], cwd=folder, check=True)
    packets_file, levels_file = stem.with_suffix(".packets.npy"), stem.with_suffix(".levels.npy")
    if not packets_file.exists():
        with np.load(stem.with_suffix(".soa.npz")) as columns:
            packets, levels = convert({key: columns[key] for key in columns.files})
        np.save(levels_file, levels.view(np.uint8))
        np.save(packets_file, packets.view(np.uint8))
    packets, levels = np.load(packets_file).view(PACKET), np.load(levels_file).view(LEVEL)
    market = packets[1:]
    lookahead_ns = int((market["ts_local_ns"] - market["ts_venue_ns"]).max())
    rows = len(levels) - int(packets[0]["buy_count"] + packets[0]["sell_count"])
    return Feed(name, packets, levels, rows, lookahead_ns, stem.with_suffix(".npz"))


def convert(columns: dict[str, Array]) -> tuple[Array, Array]:
    """Columns of rows -> one packet per message, buy rows first; the seed book becomes a SNAPSHOT packet.

    kind: 0 bid, 1 ask, 2 print by a buyer, 3 print by a seller.
    """
    local_ns, kind = columns["local_ts"], columns["kind"].astype(np.int64)
    is_trade, is_sell = kind >= 2, kind % 2
    is_new = np.ones(len(local_ns), bool)
    is_new[1:] = (np.diff(local_ns) != 0) | (np.diff(is_trade.astype(np.int8)) != 0)
    message = np.cumsum(is_new) - 1
    first = np.flatnonzero(is_new)
    order = np.argsort(message * 2 + is_sell, kind="stable")
    snapshot_side = columns["snap_side"].astype(np.int64)
    snapshot_order = np.argsort(snapshot_side, kind="stable")
    snapshot_rows = len(snapshot_side)

    levels = np.zeros(snapshot_rows + len(local_ns), LEVEL)
    levels["price_ticks"] = np.concatenate([columns["snap_tick"][snapshot_order], columns["tick"][order]])
    levels["lots"] = np.concatenate([columns["snap_lots"][snapshot_order], columns["lots"][order]])
    packets = np.zeros(1 + len(first), PACKET)
    sells = np.add.reduceat(is_sell, first)
    packets["ts_local_ns"][1:], packets["ts_venue_ns"][1:] = local_ns[first], columns["exch_ts"][first]
    packets["ts_local_ns"][0] = packets["ts_venue_ns"][0] = local_ns[0] // 10**9 * 10**9
    packets["level_begin"][1:] = snapshot_rows + first
    packets["sell_count"][1:] = sells
    packets["buy_count"][1:] = np.diff(first, append=len(local_ns)) - sells
    packets["sell_count"][0] = int(snapshot_side.sum())
    packets["buy_count"][0] = snapshot_rows - int(snapshot_side.sum())
    packets["kind"] = np.concatenate([[Kind.SNAPSHOT], np.where(is_trade[first], Kind.TRADE, Kind.DEPTH)])
    return packets, levels
