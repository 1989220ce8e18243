"""The emulated Coinbase answers as the real one: tokens, numbers, books, orders, refusals, pages."""

import base64
import json
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from elegant_trading_system.core.kinds import Side
from elegant_trading_system.emulator.binance.spot import Key
from elegant_trading_system.emulator.coinbase.jwt import Unauthorized, verify
from elegant_trading_system.emulator.coinbase.streams import Session
from elegant_trading_system.errors import UserError
from elegant_trading_system.shell.coinbase.auth import Signer, load
from tests.shared_data import shared_data

from .coinbase_desk import KEY, PUBLIC, SECRET, CoinbaseVenue
from .desk import Clock

SEED = bytes(range(32))
SEED_TEXT = (
    "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8DoQe/884Qvh1w3RjnS8CZZ+TWMJulDV8d3IZkElUxuA=="  # seed and public
)
NOW_S = 1_760_000_000
REQUEST = "GET api.coinbase.com/api/v3/brokerage/accounts"
ED_KEY = Ed25519PrivateKey.from_private_bytes(SEED)
ED_PEM = ED_KEY.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
ED_PUBLIC = ED_KEY.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
CLAIMS = {"sub": "k", "iss": "cdp", "nbf": NOW_S, "exp": NOW_S + 120, "uri": REQUEST}


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(msgspec.json.encode(value)).decode().rstrip("=")


def token_of(claims: dict[str, Any], **header: Any) -> str:
    """A token of the customer k, signed with Ed25519."""
    signed = f"{part({'alg': 'EdDSA', 'typ': 'JWT', 'kid': 'k'} | header)}.{part(claims)}"
    return f"{signed}.{base64.urlsafe_b64encode(ED_KEY.sign(signed.encode())).decode().rstrip('=')}"


# --- tokens -----------------------------------------------------------------------------------------------
@pytest.mark.spec("X2", "E2")
@pytest.mark.parametrize(
    "secret, public",
    [
        (SECRET, PUBLIC),
        (SECRET.replace("\n", "\\n"), PUBLIC),
        (ED_PEM, ED_PUBLIC),
        (SEED_TEXT + "\n", ED_PUBLIC),
        (base64.b64encode(SEED).decode(), ED_PUBLIC),
    ],
    ids=["ec", "ec in a line", "ed pem", "ed 64", "ed 32"],
)
def test_our_tokens_are_understood_for_their_request_and_no_other(secret: str, public: str) -> None:
    token = Signer("k", secret).rest("GET", "api.coinbase.com", "/api/v3/brokerage/accounts?limit=5", NOW_S)
    assert verify(token, {"k": public}, NOW_S + 119, REQUEST) == "k"
    for now_s, request, keys in (
        (NOW_S + 122, REQUEST, {"k": public}),
        (NOW_S - 5, REQUEST, {"k": public}),
        (NOW_S, REQUEST + "/x", {"k": public}),
        (NOW_S, REQUEST, {"other": public}),
        (NOW_S, REQUEST, {"k": PUBLIC if public == ED_PUBLIC else ED_PUBLIC}),
    ):
        with pytest.raises(Unauthorized):
            verify(token, keys, now_s, request)
    assert verify(Signer("k", secret).socket(NOW_S), {"k": public}, NOW_S) == "k"


def test_two_tokens_are_never_the_same_and_an_order_s_lives_five_seconds() -> None:
    signer = Signer("k", ED_PEM)
    tokens = [signer.rest("POST", "h", "/orders", NOW_S) for _ in range(2)]
    assert tokens[0] != tokens[1]
    assert verify(tokens[0], {"k": ED_PUBLIC}, NOW_S + 5, "POST h/orders") == "k"
    with pytest.raises(Unauthorized):
        verify(tokens[0], {"k": ED_PUBLIC}, NOW_S + 7, "POST h/orders")


@pytest.mark.spec("X2")
def test_the_claims_of_the_venue_s_library_and_those_of_ccxt_are_both_good() -> None:
    rest = {"iat": NOW_S, "aud": ["cdp_service"], "uris": [REQUEST], "uri": None}
    older = {"iss": "coinbase-cloud", "aud": ["retail_rest_api_proxy"]}
    for claims in (CLAIMS, CLAIMS | rest, CLAIMS | older, CLAIMS | {"uri": REQUEST.replace("GET ", "GET http://")}):
        assert verify(token_of(claims), {"k": ED_PUBLIC}, NOW_S, REQUEST) == "k"


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "other"}, {"iss": "me"}, {"aud": ["other"]}, {"exp": NOW_S + 9999}, {"nbf": "soon"}, {"exp": None},
        {"uri": "GET /"}, {"uri": None}, {"uris": 5}, {"aud": 5},
    ],
    ids=str,
)  # fmt: skip
def test_claims_that_do_not_fit_are_refused(change: dict[str, Any]) -> None:
    with pytest.raises(Unauthorized):
        verify(token_of(CLAIMS | change), {"k": ED_PUBLIC}, NOW_S, REQUEST)


@pytest.mark.parametrize(
    "token",
    [
        "", ".", "..", "a.b.c", "é.é.é", f"{part([])}.{part([])}.", token_of(CLAIMS, alg="none"), token_of(CLAIMS, alg="ES256"),
        token_of(CLAIMS, kid=None), token_of(CLAIMS)[:-4], token_of(CLAIMS).replace(".", ".x", 1),
        f"{part({'alg': 'EdDSA', 'kid': 'k'})}.{part(CLAIMS)}.", base64.b64encode(b"[" * 9000).decode() + ".e30.",
    ],
    ids=range(13),
)  # fmt: skip
def test_what_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        verify(token, {"k": ED_PUBLIC}, NOW_S, REQUEST)


@pytest.mark.parametrize(
    "secret", ["", "secret", "-----BEGIN EC PRIVATE KEY-----\nAAAA\n", base64.b64encode(b"short").decode()]
)
def test_a_secret_that_is_no_key_is_told_without_showing_it(secret: str) -> None:
    with pytest.raises(UserError) as told:
        load(secret)
    assert not secret or secret not in str(told.value)


# --- the channels -----------------------------------------------------------------------------------------
class Ear:
    """A connection, and every frame of it."""

    def __init__(self, venue: CoinbaseVenue) -> None:
        self.venue = venue
        self.frames: list[dict[str, Any]] = []
        self.is_closed = False
        self.session: Session = venue.coinbase.streams.open(lambda text: self.frames.append(json.loads(text)), self.end)

    def end(self) -> None:
        self.is_closed = True

    def say(self, kind: str, channel: str, products: list[str] | None = None, **more: Any) -> None:
        request = {"type": kind, "channel": channel, "product_ids": products or ["BTC-USD"]} | more
        self.venue.coinbase.streams.receive(self.session, json.dumps(request))

    def of(self, channel: str) -> list[dict[str, Any]]:
        return [frame for frame in self.frames if frame.get("channel") == channel]


@pytest.mark.spec("M1")
def test_one_number_counts_everything_a_connection_is_told() -> None:
    venue = CoinbaseVenue(Clock())
    ear, other = Ear(venue), Ear(venue)
    for channel in ("level2", "market_trades", "heartbeats"):
        ear.say("subscribe", channel)
    other.say("subscribe", "level2")
    for n in range(40):
        venue.depth([(600_000 - n % 5, n % 3)])
        venue.trade(600_000, 1 + n, Side.SELL)
        venue.clock.pass_ms(100)
        venue.flush()
    ear.say("unsubscribe", "market_trades")
    assert [frame["sequence_num"] for frame in ear.frames] == list(range(len(ear.frames)))
    assert [frame["sequence_num"] for frame in other.frames] == list(range(len(other.frames)))
    assert [frame["channel"] for frame in ear.frames[:5]] == [
        "l2_data", "subscriptions", "market_trades", "subscriptions", "subscriptions",
    ]  # fmt: skip
    acks = [frame["events"][0]["subscriptions"] for frame in ear.of("subscriptions")]
    assert acks[2] == {"level2": ["BTC-USD"], "market_trades": ["BTC-USD"], "heartbeats": ["heartbeats"]}
    assert acks[3] == {"level2": ["BTC-USD"], "heartbeats": ["heartbeats"]}
    beats = [frame["events"][0]["heartbeat_counter"] for frame in ear.of("heartbeats")]
    assert beats == [1, 2, 3, 4]


@pytest.mark.spec("M1")
def test_a_book_kept_from_the_channel_is_the_venue_s_book() -> None:
    venue, book = CoinbaseVenue(Clock()), dict[tuple[str, str], str]()
    ear = Ear(venue)
    ear.say("subscribe", "level2")
    for n in range(61):
        venue.depth([(600_000 - n % 7, n % 3 * 10)], [(600_001 + n % 5, n % 4 * 10)])
        if n % 3 == 0:
            venue.flush()
    for frame in ear.of("l2_data"):
        for row in frame["events"][0]["updates"]:
            book[row["side"], row["price_level"]] = row["new_quantity"]
    told = {key: size for key, size in book.items() if size != "0"}
    truth = venue.ask("GET", "product_book", product_id="BTC-USD", limit=1000)[1]["pricebook"]
    assert told == {("bid", row["price"]): row["size"] for row in truth["bids"]} | {
        ("offer", row["price"]): row["size"] for row in truth["asks"]
    }
    sides = [row["side"] for row in ear.frames[0]["events"][0]["updates"]]
    assert sides == ["bid"] * 20 + ["offer"] * 20, "and there are no asks"
    assert ear.frames[0]["events"][0]["updates"][0] | {"event_time": ""} == {
        "side": "bid", "event_time": "", "price_level": "60000", "new_quantity": "0.1",
    }  # fmt: skip


@pytest.mark.spec("M1")
def test_prints_come_in_batches_under_the_maker_s_side_and_again_in_every_snapshot() -> None:
    venue = CoinbaseVenue(Clock())
    ear = Ear(venue)
    ear.say("subscribe", "market_trades")
    venue.trade(600_001, 5, Side.BUY)
    venue.trade(600_000, 6, Side.SELL)
    venue.clock.pass_ms(250)
    venue.flush()
    ear.say("subscribe", "market_trades")
    first, batch, again = (frame["events"][0] for frame in ear.of("market_trades"))
    assert (first["type"], first["trades"]) == ("snapshot", [])
    assert [(row["side"], row["price"], row["size"]) for row in batch["trades"]] == [
        ("BUY", "60000", "0.006"),
        ("SELL", "60000.1", "0.005"),
    ], "the latest first"
    assert (again["type"], again["trades"]) == ("snapshot", batch["trades"])


def test_who_does_not_subscribe_in_five_seconds_is_let_go() -> None:
    venue = CoinbaseVenue(Clock())
    mute, ear = Ear(venue), Ear(venue)
    ear.say("subscribe", "level2")
    for _ in range(7):
        venue.clock.pass_ms(1000)
        venue.flush()
    assert (mute.is_closed, ear.is_closed) == (True, False)


@pytest.mark.parametrize(
    "frame, words",
    [
        ("", "failure"), ("{", "failure"), ("[]", "failure"), ("7", "failure"), ("{}", "failure"), ("[" * 9000, "failure"),
        ('{"type":"subscribe"}', "failure"), ('{"type":"subscribe","channel":"level2","product_ids":["NOPE"]}', "failure"),
        ('{"type":"subscribe","channel":"level2","product_ids":[[]]}', "failure"),
        ('{"type":"subscribe","channel":["level2"],"product_ids":[]}', "authentication"),
        ('{"type":"subscribe","channel":"gossip"}', "authentication"), ('{"type":"subscribe","channel":"user"}', "authentication"),
        ('{"type":"subscribe","channel":"user","jwt":"a.b.c"}', "authentication"), ('{"type":"dance","channel":"level2"}', "authentication"),
        ('{"type":"subscribe","channel":"user","jwt":5}', "authentication"),
    ],
    ids=range(15),
)  # fmt: skip
def test_a_subscription_that_is_none_is_answered_with_an_error(frame: str, words: str) -> None:
    venue = CoinbaseVenue(Clock())
    ear = Ear(venue)
    venue.coinbase.streams.receive(ear.session, frame)
    [told] = ear.frames
    assert told["type"] == "error"
    assert words in told["message"]
    ear.say("subscribe", "level2", ["BTC-USDC"])
    assert ear.frames[1]["sequence_num"] == 0, "an error has no number"
    assert ear.frames[1]["events"][0]["product_id"] == "BTC-USD", "and USDC is served by the book in USD"


@pytest.mark.spec("E4", "X2")
def test_the_user_channel_tells_open_orders_in_batches_and_several_fills_in_one_message() -> None:
    venue = CoinbaseVenue(Clock())
    for n in range(53):
        venue.clock.pass_ms(100)
        assert venue.order("limit_limit_gtc", name=f"n{n}", base_size="0.001", limit_price="50000")["success"]
    ear = Ear(venue)
    ear.say("subscribe", "user", jwt=Signer(KEY, SECRET).socket(venue.clock() / 1e9))
    assert [len(frame["events"][0]["orders"]) for frame in ear.of("user")] == [50, 3]
    venue.order("sor_limit_ioc", name="sweep", base_size="0.25", limit_price="60000.2")
    [told] = ear.of("user")[-1]["events"][0]["orders"]
    assert len(ear.of("user")) == 3, "two fills and the end in one message"
    assert {name: told[name] for name in ("client_order_id", "status", "cumulative_quantity", "leaves_quantity")} == {
        "client_order_id": "sweep", "status": "CANCELLED", "cumulative_quantity": "0.201", "leaves_quantity": "0",
    }  # fmt: skip
    assert told["number_of_fills"] == "2"
    assert all(isinstance(value, str) for value in told.values())


# --- orders over REST ---------------------------------------------------------------------------------------
@pytest.mark.spec("X2", "P1")
def test_an_order_is_filled_told_in_the_venue_s_shape_and_pays_its_fee_in_dollars() -> None:
    venue = CoinbaseVenue(Clock())
    answer = venue.order("sor_limit_ioc", base_size="0.150", limit_price="60000.2")
    assert answer["success"]
    order_id = answer["success_response"]["order_id"]
    order = venue.ask("GET", f"orders/historical/{order_id}")[1]["order"]
    assert (order["status"], order["filled_size"], order["filled_value"]) == ("FILLED", "0.15", "9000.02")
    assert (order["total_fees"], order["total_value_after_fees"]) == ("54.00012", "9054.02012")
    assert order["order_configuration"] == {"sor_limit_ioc": {"base_size": "0.150", "limit_price": "60000.2"}}
    fills = venue.ask("GET", "orders/historical/fills", order_ids=order_id)[1]["fills"]
    assert [(fill["price"], fill["size"], fill["commission"]) for fill in fills] == [
        ("60000.2", "0.05", "18.00006"),
        ("60000.1", "0.1", "36.00006"),
    ], "the latest first"
    accounts = venue.ask("GET", "accounts")[1]["accounts"]
    assert {row["currency"]: row["available_balance"]["value"] for row in accounts} == {
        "BTC": "0.15",
        "USD": "90945.97988",
    }
    assert venue.ask("GET", "transaction_summary")[1]["fee_tier"]["taker_fee_rate"] == "0.006"
    permissions = venue.ask("GET", "key_permissions")[1]
    assert (permissions["can_trade"], permissions["can_transfer"]) == (True, False)


@pytest.mark.spec("E4")
def test_a_name_that_is_known_gives_its_order_back_and_makes_no_other() -> None:
    venue = CoinbaseVenue(Clock())
    first = venue.order("sor_limit_ioc", base_size="0.010", limit_price="60000.1")
    second = venue.order("sor_limit_ioc", base_size="0.010", limit_price="60000.1")
    assert second == first
    assert len(venue.account.orders) == 1


@pytest.mark.spec("X2", "E4")
@pytest.mark.parametrize(
    "kind, fields, error, preview",
    [
        ("sor_limit_ioc", {"base_size": "0.0105"}, "INVALID_SIZE_PRECISION", "PREVIEW_INVALID_SIZE_PRECISION"),
        ("sor_limit_ioc", {"limit_price": "60000.15"}, "INVALID_PRICE_PRECISION", "PREVIEW_INVALID_PRICE_PRECISION"),
        ("sor_limit_ioc", {"base_size": "9"}, "INSUFFICIENT_FUND", "PREVIEW_INSUFFICIENT_FUND"),
        ("sor_limit_ioc", {"limit_price": "1"}, "UNKNOWN_FAILURE_REASON", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
        ("limit_limit_gtc", {"post_only": True}, "INVALID_LIMIT_PRICE_POST_ONLY", "PREVIEW_INVALID_LIMIT_PRICE_POST_ONLY"),
        ("limit_limit_ioc", {}, "UNSUPPORTED_ORDER_CONFIGURATION", "PREVIEW_UNSUPPORTED_ORDER_CONFIGURATION"),
        ("market_market_ioc", {"quote_size": "1"}, "INVALID_NO_LIQUIDITY", "PREVIEW_INVALID_QUOTE_SIZE_TOO_SMALL"),
    ],
)  # fmt: skip
def test_an_order_that_is_turned_down_is_a_two_hundred_all_the_same(
    kind: str, fields: dict[str, Any], error: str, preview: str
) -> None:
    venue = CoinbaseVenue(Clock())
    answer = venue.order(kind, **({"base_size": "0.010", "limit_price": "60000.1"} | fields))
    assert answer["success"] is False
    assert (answer["error_response"]["error"], answer["error_response"]["preview_failure_reason"]) == (error, preview)
    assert not venue.account.orders
    again = venue.order("sor_limit_ioc", base_size="0.010", limit_price="60000.1")
    assert again["success"], "and its name is still free"


@pytest.mark.spec("X2")
@pytest.mark.parametrize(
    "method, path, body, status, error",
    [
        ("POST", "orders", {}, 400, "INVALID_ARGUMENT"),
        ("POST", "orders", [], 400, "INVALID_ARGUMENT"),
        ("POST", "orders", {"client_order_id": "a", "side": "UP", "order_configuration": {}}, 400, "INVALID_ARGUMENT"),
        ("POST", "orders/batch_cancel", {"order_ids": []}, 400, "INVALID_ARGUMENT"),
        ("POST", "nothing", {}, 404, "NOT_FOUND"),
        ("DELETE", "orders", {}, 404, "NOT_FOUND"),
        ("GET", "orders/historical/0de50000-0000-0000-0000-000000000099", None, 404, "unknown"),
        ("GET", "orders/historical/mine", None, 404, "unknown"),
        ("GET", "products/NOPE", None, 404, "NOT_FOUND"),
        ("GET", "accounts/NOPE", None, 404, "NOT_FOUND"),
        ("GET", "products/BTC-USD/candles", None, 400, "INVALID_ARGUMENT"),
    ],
)
def test_a_request_that_cannot_be_understood_has_a_status_that_says_so(
    method: str, path: str, body: Any, status: int, error: str
) -> None:
    found, answer = CoinbaseVenue(Clock()).ask(method, path, body)
    assert (found, answer["error"]) == (status, error)


@pytest.mark.spec("X2")
def test_without_a_good_token_only_public_things_are_told() -> None:
    venue = CoinbaseVenue(Clock())
    for token in ("", "a.b.c", Signer(KEY, SECRET).socket(venue.clock() / 1e9)):
        assert venue.ask("GET", "accounts", token=token) == (401, "Unauthorized\n")
        assert venue.ask("GET", "products/BTC-USD", token=token)[0] == 401
    assert venue.ask("GET", "market/products/BTC-USD", token="")[1]["price_increment"] == "0.1"
    assert venue.ask("GET", "market/products", token="")[1]["num_products"] == 1
    assert venue.ask("GET", "market/products", token="", product_type="FUTURE")[1]["products"] == []
    assert venue.ask("GET", "time", token="")[1]["epochMillis"] == str(venue.clock() // 1_000_000)


def test_too_many_requests_in_a_second_are_turned_away_until_the_next() -> None:
    venue = CoinbaseVenue(Clock())
    assert [venue.ask("GET", "accounts")[0] for _ in range(31)] == [200] * 30 + [429]
    assert [venue.ask("GET", "time")[0] for _ in range(11)] == [200] * 10 + [429]
    venue.clock.pass_ms(1000)
    assert venue.ask("GET", "accounts")[0] == 200


@pytest.mark.spec("E2", "X2")
def test_resting_all_or_nothing_and_market_orders_do_what_their_names_say() -> None:
    venue = CoinbaseVenue(Clock())
    resting = venue.order("limit_limit_gtc", name="a", base_size="0.010", limit_price="59000", post_only=True)
    order_id = resting["success_response"]["order_id"]
    assert venue.ask("GET", f"orders/historical/{order_id}")[1]["order"]["outstanding_hold_amount"] == "593.54"
    unknown = "0de50000-0000-0000-0000-000000000099"
    results = venue.ask("POST", "orders/batch_cancel", {"order_ids": [order_id, unknown]})[1]["results"]
    assert [(row["success"], row["failure_reason"]) for row in results] == [
        (True, "UNKNOWN_CANCEL_FAILURE_REASON"),
        (False, "UNKNOWN_CANCEL_ORDER"),
    ]
    assert venue.ask("GET", f"orders/historical/{order_id}")[1]["order"]["status"] == "CANCELLED"
    venue.order("limit_limit_fok", name="b", base_size="0.101", limit_price="60000.1")
    venue.order("market_market_ioc", name="c", quote_size="600")
    venue.order("market_market_ioc", "SELL", name="d", base_size="0.009")
    orders = venue.ask("GET", "orders/historical/batch", product_ids="BTC-USD")[1]["orders"]
    assert [(row["client_order_id"], row["status"], row["filled_size"]) for row in orders] == [
        ("d", "FILLED", "0.009"),
        ("c", "FILLED", "0.009"),
        ("b", "CANCELLED", "0"),
        ("a", "CANCELLED", "0"),
    ], "600 dollars buy 9 thousandths, fee included"
    assert venue.account.balance("USD").locked == 0


@pytest.mark.spec("X2")
def test_lists_come_in_pages_that_join_without_a_hole() -> None:
    venue = CoinbaseVenue(Clock(), **{f"A{n:02d}": "1" for n in range(60)}, USD="100000")
    for n in range(7):
        venue.order("limit_limit_gtc", name=f"n{n}", base_size="0.001", limit_price="50000")
        venue.clock.pass_ms(1000)
    seen, cursor = list[str](), ""
    while True:
        page = venue.ask("GET", "orders/historical/batch", limit=3, cursor=cursor, order_status="OPEN")[1]
        seen += [row["client_order_id"] for row in page["orders"]]
        cursor = page["cursor"]
        if not page["has_next"]:
            break
    assert seen == [f"n{n}" for n in range(7)][::-1]
    since = "2025-10-09T08:53:24Z"  # four seconds after the clock's start
    late = venue.ask("GET", "orders/historical/batch", start_date=since)[1]["orders"]
    assert [row["client_order_id"] for row in late] == ["n6", "n5", "n4"]
    venue.clock.pass_ms(1000)
    first = venue.ask("GET", "accounts")[1]
    second = venue.ask("GET", "accounts", cursor=first["cursor"])[1]
    assert (first["size"], first["has_next"], second["size"], second["has_next"]) == (49, True, 12, False)
    assert venue.ask("GET", "accounts", cursor="x")[0] == 400


@pytest.mark.spec("M9")
def test_candles_hold_their_minutes_the_latest_first() -> None:
    venue = CoinbaseVenue(Clock())
    begin_s = NOW_S // 300 * 300
    venue.coinbase.klines["BTC-USD"] = [
        [(begin_s + 60 * n) * 1000, str(100 + n), str(110 + n), str(90 + n), str(105 + n), "1.5"] for n in range(10)
    ]
    span: dict[str, Any] = {"start": begin_s, "end": begin_s + 599}
    _, answer = venue.ask("GET", "products/BTC-USD/candles", **span, granularity="FIVE_MINUTE")
    assert answer["candles"] == [
        {"start": str(begin_s + 300), "low": "95", "high": "119", "open": "105", "close": "114", "volume": "7.5"},
        {"start": str(begin_s), "low": "90", "high": "114", "open": "100", "close": "109", "volume": "7.5"},
    ]
    too_many = span | {"end": begin_s + 360 * 60}
    assert venue.ask("GET", "products/BTC-USD/candles", **too_many, granularity="ONE_MINUTE")[0] == 400


# --- beside the real one --------------------------------------------------------------------------------------
def keys(value: Any) -> Any:
    """The shape of a message: names at every level, of lists their first entry."""
    if isinstance(value, dict):
        return {name: keys(inner) for name, inner in value.items()}
    return [keys(value[0])] if isinstance(value, list) and value else type(value).__name__


@pytest.mark.spec("M1", "X2")
def test_our_messages_have_the_shape_of_recorded_ones() -> None:
    folder = shared_data("venue-messages") / "coinbase_advanced"

    def recorded(name: str) -> Any:
        return json.loads((folder / f"{name}.json").read_text())

    venue = CoinbaseVenue(Clock())
    ear = Ear(venue)
    for channel in ("heartbeats", "level2", "market_trades"):
        ear.say("subscribe", channel)
    venue.depth([(600_000, 3)])
    venue.trade(600_000, 3, Side.SELL)
    venue.clock.pass_ms(1000)
    venue.flush()
    assert keys(ear.of("l2_data")[0]) == keys(recorded("l2_data_snapshot"))
    assert keys(ear.of("l2_data")[1]) == keys(recorded("l2_data_update"))
    assert keys(ear.of("market_trades")[1]) == keys(recorded("market_trades_update")[0])
    assert keys(ear.of("heartbeats")[0]) == keys(recorded("heartbeats")[1])
    acks = recorded("subscriptions_acks")
    assert keys(ear.of("subscriptions")[2]) == keys(acks[2])
    ours, theirs = keys(venue.ask("GET", "products/BTC-USD")[1]), keys(recorded("rest_product_BTC-USD"))
    assert {name: theirs[name] for name in ours} == ours, "we leave out what is only for show"
    assert keys(venue.ask("GET", "accounts")[1]) == keys(recorded("rest_accounts"))
    assert keys(venue.ask("GET", "product_book", product_id="BTC-USD")[1]) == keys(recorded("rest_product_book"))
    refused = venue.order("market_market_ioc", base_size="2", rfq_enabled=False, rfq_disabled=False, reduce_only=False)
    theirs = keys(recorded("rest_create_order_insufficient_fund"))
    assert keys(refused["error_response"]) == theirs["error_response"]
    venue.order("market_market_ioc", base_size="0.01")
    order = venue.ask("GET", "orders/historical/batch")[1]["orders"][0]
    recorded_order = keys(recorded("rest_orders_historical_batch")["orders"][0])
    assert set(recorded_order) - set(order) == {"cursor"}
    fill = venue.ask("GET", "orders/historical/fills")[1]["fills"][0]
    assert set(recorded("rest_fills")["fills"][0]) - set(fill) == {"cursor"}


def test_a_second_customer_s_orders_are_nobody_else_s() -> None:
    from elegant_trading_system.emulator.orders import Account

    venue = CoinbaseVenue(Clock())
    made = venue.order("sor_limit_ioc", base_size="0.010", limit_price="60000.1")
    venue.coinbase.keys["k"] = Key(ED_PUBLIC, Account("two", {"USD": Decimal(5)}))
    path = f"orders/historical/{made['success_response']['order_id']}"
    token = Signer("k", ED_PEM).rest("GET", "127.0.0.1:1", f"/api/v3/brokerage/{path}", venue.clock() / 1e9)
    assert venue.ask("GET", path, token=token)[0] == 404
