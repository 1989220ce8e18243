"""Binance USD-M's words for an account: balances, margins, positions, brackets, income."""

from decimal import Decimal
from typing import Any

from ..orders import Instrument
from ..perpetuals import BRACKETS, Income, PerpetualAccount, Perpetuals, Position
from .wire import Json, text


def position_risk(exchange: Perpetuals, account: PerpetualAccount, position: Position) -> Json:
    instrument = position.instrument
    mark = exchange.mark(instrument.symbol)
    notional = position.amount * mark
    initial = exchange.initial_margin(account, instrument)
    held = abs(notional) / position.leverage
    return {
        "symbol": instrument.symbol,
        "positionSide": "BOTH",
        "positionAmt": f"{position.amount:f}",
        "entryPrice": text(position.entry_price),
        "breakEvenPrice": text(position.entry_price),
        "markPrice": text(mark),
        "unRealizedProfit": text(position.unrealised(mark)),
        "liquidationPrice": text(exchange.liquidation_price(account, position)),
        "isolatedMargin": "0",
        "notional": text(notional),
        "marginAsset": instrument.quote,
        "isolatedWallet": "0",
        "initialMargin": text(initial),
        "maintMargin": text(exchange.maintenance_margin(position)),
        "positionInitialMargin": text(held),
        "openOrderInitialMargin": text(initial - held),
        "adl": 0,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.ts_ms,
    }


def balances(exchange: Perpetuals, account: PerpetualAccount, ts_ms: int) -> list[Json]:
    return [_balance(exchange, account, asset, ts_ms) for asset in sorted(account.balances)]


def _balance(exchange: Perpetuals, account: PerpetualAccount, asset: str, ts_ms: int) -> Json:
    wallet, available = text(account.balance(asset).free), text(max(exchange.available(account, asset), Decimal(0)))
    return {
        "accountAlias": account.name,
        "asset": asset,
        "balance": wallet,
        "crossWalletBalance": wallet,
        "crossUnPnl": text(exchange.unrealised(account)),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "marginAvailable": True,
        "updateTime": ts_ms,  # clients take 0 for "never used"
    }


def account_info(exchange: Perpetuals, account: PerpetualAccount, asset: str, ts_ms: int) -> Json:
    """One asset settles everything: its numbers are the totals."""
    wallet, profit = account.balance(asset).free, exchange.unrealised(account)
    held = sum(
        (abs(one.amount) * exchange.mark(one.instrument.symbol) / one.leverage for one in account.open_positions()),
        Decimal(0),
    )
    initial, maintenance = exchange.initial_margins(account), exchange.maintenance_margins(account)
    available = text(max(exchange.available(account, asset), Decimal(0)))
    one = {
        "asset": asset,
        "walletBalance": text(wallet),
        "unrealizedProfit": text(profit),
        "marginBalance": text(wallet + profit),
        "maintMargin": text(maintenance),
        "initialMargin": text(initial),
        "positionInitialMargin": text(held),
        "openOrderInitialMargin": text(initial - held),
        "crossWalletBalance": text(wallet),
        "crossUnPnl": text(profit),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "updateTime": ts_ms,  # clients take 0 for "never used"
    }
    risks = [position_risk(exchange, account, position) for position in account.open_positions()]
    return {
        "totalInitialMargin": text(initial),
        "totalMaintMargin": text(maintenance),
        "totalWalletBalance": text(wallet),
        "totalUnrealizedProfit": text(profit),
        "totalMarginBalance": text(wallet + profit),
        "totalPositionInitialMargin": text(held),
        "totalOpenOrderInitialMargin": text(initial - held),
        "totalCrossWalletBalance": text(wallet),
        "totalCrossUnPnl": text(profit),
        "availableBalance": available,
        "maxWithdrawAmount": available,
        "assets": [one],
        "positions": [risk | {"unrealizedProfit": risk["unRealizedProfit"]} for risk in risks],
    }


def symbol_config(position: Position) -> Json:
    return {
        "symbol": position.instrument.symbol,
        "marginType": "CROSSED",
        "isAutoAddMargin": False,
        "leverage": position.leverage,
        "maxNotionalValue": f"{notional_max(position.leverage):f}",
    }


def notional_max(leverage: int) -> Decimal:
    """How large a position may be at a leverage."""
    return max((bracket.cap for bracket in BRACKETS if bracket.leverage_max >= leverage), default=Decimal(0))


def leverage_brackets(instrument: Instrument) -> Json:
    rows: list[dict[str, Any]] = [
        {
            "bracket": n,
            "initialLeverage": bracket.leverage_max,
            "notionalCap": int(bracket.cap),
            "notionalFloor": int(bracket.floor),
            "maintMarginRatio": float(bracket.ratio),
            "cum": float(bracket.cum),
        }
        for n, bracket in enumerate(BRACKETS, 1)
    ]
    return {"symbol": instrument.symbol, "notionalCoef": 1.0, "brackets": rows}


def income(row: Income) -> Json:
    return {
        "symbol": row.symbol,
        "incomeType": "FUNDING_FEE",
        "income": text(row.amount),
        "asset": row.asset,
        "info": "",
        "time": row.ts_ms,
        "tranId": row.transaction,
        "tradeId": "",
    }
