"""What a request to Binance says: its parameters read, its signature checked."""

import base64
import hashlib
import hmac
from decimal import Decimal
from typing import Any

from ...core.kinds import Side
from ..orders import Instrument, TimeInForce
from .wire import ICEBERG_PARTS, ApiError

DIGITS_MAX = 18  # of a number of steps


def is_signed(secret: str, payload: str, signature: str) -> bool:
    """HMAC-SHA256 in hexadecimal, or Ed25519 in base64 when the secret is a public key in PEM."""
    try:
        signed = payload.encode()
    except UnicodeEncodeError:  # half a character: nobody signs that
        return False
    if "PUBLIC KEY" not in secret:
        expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
        return hmac.compare_digest(expected.encode(), signature.lower().encode(errors="replace"))
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    key = load_pem_public_key(secret.encode())
    assert isinstance(key, Ed25519PublicKey)
    try:
        key.verify(base64.b64decode(signature, validate=True), signed)
    except (InvalidSignature, ValueError):
        return False
    return True


def plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def integer(params: dict[str, Any], name: str, default: int) -> int:
    try:
        return int(params.get(name, default))
    except (ValueError, TypeError):
        raise ApiError(-1100, f"Illegal characters found in parameter '{name}'.") from None


def side_of(params: dict[str, Any]) -> Side:
    try:
        return Side[params.get("side", "")]
    except KeyError:
        raise ApiError(-1117, "Invalid side.") from None


def time_in_force_of(params: dict[str, Any]) -> TimeInForce:
    try:
        return TimeInForce(params.get("timeInForce", ""))
    except ValueError:
        raise ApiError(-1115, "Invalid timeInForce.") from None


def steps_of(params: dict[str, Any], name: str, step: Decimal, refusal: ApiError) -> int:
    """A positive decimal as a whole number of steps; `refusal` when it is none."""
    try:
        steps = Decimal(str(params.get(name, ""))) / step
    except ArithmeticError:
        raise ApiError(-1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed.") from None
    if not steps.is_finite() or steps.adjusted() > DIGITS_MAX or steps != int(steps) or steps < 1:
        raise refusal
    return int(steps)


def iceberg_of(params: dict[str, Any], instrument: Instrument, kind: str, time_in_force: TimeInForce, lots: int) -> int:
    """The lots an iceberg shows at once; 0: it is none."""
    if params.get("icebergQty") in (None, ""):
        return 0
    shown = steps_of(params, "icebergQty", instrument.lot, ApiError(-1013, "Filter failure: LOT_SIZE"))
    if kind == "MARKET" or time_in_force is not TimeInForce.GTC:
        raise ApiError(-1014, "Unsupported order combination.")
    if shown >= lots:
        raise ApiError(-2010, "IcebergQty exceeds QTY.")
    if -(-lots // shown) > ICEBERG_PARTS:
        raise ApiError(-1013, "Filter failure: ICEBERG_PARTS")
    return shown
