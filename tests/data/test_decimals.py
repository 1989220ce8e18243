"""Price lists as text become exact integers, or are refused."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elegant_trading_system.data.decimals import LIMIT, Fault, Grid, LevelError, parse_levels

GRID = Grid.of(Decimal("0.01"), Decimal("0.00001"))
pytestmark = pytest.mark.uncompiled


def parsed(texts: list[bytes], grid: Grid = GRID) -> tuple[list[tuple[int, int]], list[int], int]:
    rows, counts, rounded = parse_levels(texts, grid)
    return [(int(row["price_ticks"]), int(row["lots"])) for row in rows], counts.tolist(), rounded


def fault_of(text: bytes, grid: Grid = GRID) -> Fault:
    with pytest.raises(LevelError) as refused:
        parse_levels([b"[]", text], grid)
    assert refused.value.text_index == 1
    return refused.value.fault


def test_rows_are_counted_by_text() -> None:
    rows, counts, rounded = parsed([b'[["61837.63000000","3.78826000"]]', b"[]", b'[["1","2"],["3","0"]]'])
    assert rows == [(6_183_763, 378_826), (100, 200_000), (300, 0)]
    assert counts == [1, 0, 2]
    assert rounded == 0


def test_no_texts_are_no_rows() -> None:
    assert parsed([]) == ([], [], 0)


def test_blanks_between_tokens_mean_nothing() -> None:
    assert parsed([b' [ [ "1.5" , "2" ] , ["2","1"] ] '[:-1]]) == ([(150, 200_000), (200, 100_000)], [2], 0)


@pytest.mark.parametrize(
    "tick, price, ticks",
    [("0.5", "61800.50", 123_601), ("0.25", "0.75", 3), ("10", "120", 12), ("1", "7.000", 7), ("1E+1", "120.0", 12)],
)
def test_ticks_need_not_be_powers_of_ten(tick: str, price: str, ticks: int) -> None:
    assert parsed([b'[["%b","1"]]' % price.encode()], Grid.of(Decimal(tick), Decimal(1)))[0] == [(ticks, 1)]


@pytest.mark.parametrize(
    "text, fault",
    [
        (b"", Fault.SYNTAX),
        (b"null", Fault.SYNTAX),
        (b"{}", Fault.SYNTAX),
        (b"[[]]", Fault.SYNTAX),
        (b'["1","2"]', Fault.SYNTAX),
        (b'[["1"]]', Fault.SYNTAX),
        (b'[["1","2","3"]]', Fault.SYNTAX),
        (b'[["1","2"],]', Fault.SYNTAX),
        (b'[["1","2"]', Fault.SYNTAX),
        (b'[["1","2"]]]', Fault.SYNTAX),
        (b"[[1,2]]", Fault.SYNTAX),
        (b'[["","2"]]', Fault.NOT_A_DECIMAL),
        (b'[[".","2"]]', Fault.NOT_A_DECIMAL),
        (b'[["1.2.3","2"]]', Fault.NOT_A_DECIMAL),
        (b'[["1e5","2"]]', Fault.NOT_A_DECIMAL),
        (b'[["1_0","2"]]', Fault.NOT_A_DECIMAL),
        (b'[["+1","2"]]', Fault.NOT_A_DECIMAL),
        (b'[["1","inf"]]', Fault.NOT_A_DECIMAL),
        ('[["\u0661","2"]]'.encode(), Fault.NOT_A_DECIMAL),
        (b'[["-1","2"]]', Fault.NEGATIVE),
        (b'[["1","-0.1"]]', Fault.NEGATIVE),
        (b'[["0.00","1"]]', Fault.ZERO_PRICE),
        (b'[["0.001","1"]]', Fault.OFF_GRID),
        (b'[["1.005","1"]]', Fault.OFF_GRID),
        (b'[["1","99999999999999999999"]]', Fault.TOO_LARGE),
    ],
)
def test_what_is_no_list_of_levels_is_refused_by_name(text: bytes, fault: Fault) -> None:
    assert fault_of(text) == fault


def test_a_price_between_two_ticks_is_refused_whatever_the_tick() -> None:
    assert fault_of(b'[["61800.3","1"]]', Grid.of(Decimal("0.5"), Decimal(1))) == Fault.OFF_GRID


def test_a_size_finer_than_a_lot_is_cut_and_counted() -> None:
    assert parsed([b'[["1","1.000019"],["2","0.000009"],["3","1"]]']) == (
        [(100, 100_001), (200, 0), (300, 100_000)],
        [3],
        2,
    )


def test_the_refusal_shows_the_row() -> None:
    with pytest.raises(LevelError, match=r'negative number: \["2","-1"\]$'):
        parse_levels([b'[["1","1"],["2","-1"],["3","1"]]'], GRID)


decimals = st.decimals(min_value=0, max_value=10**12, allow_nan=False, allow_infinity=False, places=8)
places = st.integers(min_value=0, max_value=8)


@given(
    price=st.integers(min_value=1, max_value=2**62),
    size=st.integers(min_value=0, max_value=2**62),
    price_places=places,
    lot_places=places,
    padding=st.integers(min_value=0, max_value=3),
)
def test_every_multiple_of_the_steps_comes_back_exactly(
    price: int, size: int, price_places: int, lot_places: int, padding: int
) -> None:
    grid = Grid.of(Decimal(1).scaleb(-price_places), Decimal(1).scaleb(-lot_places))
    text = b'[["%b","%b"]]' % (written(price, price_places, padding), written(size, lot_places, padding))
    if price < LIMIT and size < LIMIT and price * size < LIMIT:
        assert parsed([text], grid) == ([(price, size)], [1], 0)
    else:
        assert fault_of(text, grid) == Fault.TOO_LARGE


def written(steps: int, places: int, padding: int) -> bytes:
    digits = f"{steps:0{places + 1}d}"
    whole, part = digits[: len(digits) - places], digits[len(digits) - places :] + "0" * padding
    return f"{whole}.{part}".encode() if part else whole.encode()


@given(price=decimals.filter(lambda value: value > 0), size=decimals)
def test_a_decimal_is_read_as_the_decimal_module_reads_it(price: Decimal, size: Decimal) -> None:
    text = f'[["{price:f}","{size:f}"]]'.encode()
    ticks, lots = price / Decimal("0.01"), size // Decimal("0.00001")
    if ticks != int(ticks):
        assert fault_of(text) == Fault.OFF_GRID
    elif ticks * lots >= LIMIT:
        assert fault_of(text) == Fault.TOO_LARGE
    else:
        assert parsed([text])[0] == [(int(ticks), int(lots))]


@given(text=st.binary(max_size=40) | st.text('[]",.-0123456789 ', max_size=30).map(str.encode))
def test_no_bytes_crash_the_parser(text: bytes) -> None:
    try:
        rows, counts, _ = parse_levels([text], GRID)
    except LevelError:
        return
    assert len(rows) == counts.sum()
    assert all(rows["price_ticks"] > 0) and all(rows["lots"] >= 0)
