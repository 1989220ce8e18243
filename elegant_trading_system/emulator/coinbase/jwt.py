"""Whose token it is: JSON Web Tokens as Coinbase's customers sign them, ES256 or EdDSA."""

import base64
import binascii
from collections.abc import Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ec import ECDSA, SECP256R1, EllipticCurvePublicKey, generate_private_key
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_public_key,
)

Json = dict[str, Any]
ISSUERS = {"cdp", "coinbase-cloud"}
AUDIENCES = {"cdp_service", "retail_rest_api_proxy"}
LIFE_S, LEEWAY_S = 120, 1
ES256_BYTES = 64


class Unauthorized(Exception):
    """The venue does not say why."""


def verify(token: str, public_keys: Mapping[str, str], now_s: float, request: str = "") -> str:
    """The name of the key that signed it; `request` is "METHOD host/path", empty where a token needs none.

    Both sets of claims are accepted: `uri` as the venue's own library writes it, and `aud` with `uri` or `uris` as
    ccxt does. Raises Unauthorized.
    """
    try:
        signed, _, signature = token.rpartition(".")
        header, claims = (_json(part) for part in signed.split("."))
        name = str(header["kid"])
        _check_signature(header["alg"], public_keys[name], signed.encode(), _bytes(signature))
        _check_claims(claims, name, now_s)
        is_for_this = not request or request in _requests(claims)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, InvalidSignature, binascii.Error):
        raise Unauthorized from None
    if not is_for_this:
        raise Unauthorized
    return name


def new_key() -> tuple[str, str]:
    """A customer's private key as Coinbase hands it out, and the public one that the venue keeps; both in PEM."""
    key = generate_private_key(SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    public = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _json(part: str) -> Json:
    found = msgspec.json.decode(_bytes(part))
    if not isinstance(found, dict):
        raise Unauthorized
    return found


def _check_signature(algorithm: str, public_pem: str, signed: bytes, signature: bytes) -> None:
    key = load_pem_public_key(public_pem.encode())
    if algorithm == "EdDSA" and isinstance(key, Ed25519PublicKey):
        key.verify(signature, signed)
    elif algorithm == "ES256" and isinstance(key, EllipticCurvePublicKey) and len(signature) == ES256_BYTES:
        r, s = (int.from_bytes(signature[at : at + 32], "big") for at in (0, 32))
        key.verify(encode_dss_signature(r, s), signed, ECDSA(SHA256()))
    else:
        raise Unauthorized


def _check_claims(claims: Json, name: str, now_s: float) -> None:
    begin, end = claims["nbf"], claims["exp"]
    audience = claims.get("aud", list(AUDIENCES))
    is_ours = claims["sub"] == name and claims["iss"] in ISSUERS and bool(set(audience) & AUDIENCES)
    is_timely = begin - LEEWAY_S <= now_s < end + LEEWAY_S and end - begin <= LIFE_S
    if not (is_ours and is_timely):
        raise Unauthorized


def _requests(claims: Json) -> list[str]:
    """ccxt takes away only https:// from an address."""
    named = claims.get("uris") or [claims.get("uri")]
    return [str(uri).replace("http://", "") for uri in named]
