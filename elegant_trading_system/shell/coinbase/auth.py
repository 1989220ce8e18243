"""Tokens for Coinbase: a fresh JSON Web Token for every request, signed with the customer's key."""

import base64
import binascii
import secrets
from typing import Any

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ...errors import UserError

LIFE_S = 120  # the most the venue accepts
ORDER_LIFE_S = 5  # an order that is late by more is refused: the receive window that this venue does not have
PrivateKey = EllipticCurvePrivateKey | Ed25519PrivateKey


class Signer:
    """One key of one customer."""

    def __init__(self, api_key: str, secret: str) -> None:
        self._api_key = api_key
        self._key = load(secret)

    def rest(self, method: str, host: str, path: str, now_s: float) -> str:
        """For one request; the query is not part of what is signed."""
        life_s = ORDER_LIFE_S if method == "POST" else LIFE_S
        return self._token({"uri": f"{method} {host}{path.partition('?')[0]}"}, now_s, life_s)

    def socket(self, now_s: float) -> str:
        """For one message on a WebSocket."""
        return self._token({}, now_s, LIFE_S)

    def _token(self, more: dict[str, Any], now_s: float, life_s: int) -> str:
        is_ec = isinstance(self._key, EllipticCurvePrivateKey)
        header = {"alg": "ES256" if is_ec else "EdDSA", "typ": "JWT", "kid": self._api_key}
        begin = int(now_s)
        claims = {"sub": self._api_key, "iss": "cdp", "nbf": begin, "exp": begin + life_s} | more
        signed = f"{_part(header | {'nonce': secrets.token_hex(16)})}.{_part(claims)}"
        return f"{signed}.{_text(self._sign(signed.encode()))}"

    def _sign(self, signed: bytes) -> bytes:
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(signed)
        r, s = decode_dss_signature(self._key.sign(signed, ECDSA(SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def load(secret: str) -> PrivateKey:
    """EC P-256 or Ed25519 in PEM (line ends may be written out), or Ed25519 in base64; UserError for anything else."""
    problem = UserError(
        "COINBASE_SECRET holds no key that Coinbase takes",
        "it is the private key as downloaded: an EC P-256 key in PEM, or an Ed25519 key in PEM or base64",
    )
    try:
        if "BEGIN" in secret:
            key = load_pem_private_key(secret.replace("\\n", "\n").encode(), None)
        else:
            raw = base64.b64decode("".join(secret.split()), validate=True)
            key = Ed25519PrivateKey.from_private_bytes(raw[:32] if len(raw) == 64 else raw)
    except (ValueError, TypeError, binascii.Error, UnsupportedAlgorithm):
        raise problem from None
    if isinstance(key, Ed25519PrivateKey) or (
        isinstance(key, EllipticCurvePrivateKey) and isinstance(key.curve, SECP256R1)
    ):
        return key
    raise problem


def _part(value: Any) -> str:
    return _text(msgspec.json.encode(value))


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")
