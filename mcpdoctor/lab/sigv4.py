"""Verify AWS Signature Version 4, from the published specification and with the standard library alone.

It shares no code with botocore on purpose: the clients under test sign with botocore (or awscrt, or curl), so a lab
that verified with botocore would repeat its mistakes instead of finding them.

Specification: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime

ALGORITHM = "AWS4-HMAC-SHA256"
TERMINATOR = "aws4_request"
UNSIGNED_PAYLOAD = "UNSIGNED-PAYLOAD"
TOLERANCE = timedelta(minutes=5)
"""How far the date of a request may be from the clock of the server, either way (documented for every AWS service)."""

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")
_BASIC_ISO = "%Y%m%dT%H%M%SZ"
_SCOPE_PARTS = 5
_PARAMETER = re.compile(r"\s*([A-Za-z]+)=([^,\s]*)\s*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A key the lab knows.

    Attributes:
        access_key_id: The public half, as it stands in the scope of a signature.
        secret: The secret access key.
        arn: The caller it belongs to. Sessions are bound to it.
        token: The session token that must come with it; None for a long-term key.
        expired: Whether the session token has run out.
        denied: Whether its owner may not use the service at all. Not looked at here: that is authorisation.
    """

    access_key_id: str
    secret: str
    arn: str
    token: str | None = None
    expired: bool = False
    denied: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """Who signed a request, and how.

    Attributes:
        key: The key that made the signature.
        signed_headers: Names of the headers that the signature covers, in lower case.
    """

    key: Key
    signed_headers: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a signature is not accepted.

    Attributes:
        error_type: The exception name AWS gives, as it stands in the header `x-amzn-errortype`.
        message: The sentence AWS gives.
    """

    error_type: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Signature:
    """The parts of an `Authorization` header."""

    access_key_id: str
    date: str
    region: str
    service: str
    terminator: str
    signed_headers: tuple[str, ...]
    signature: str

    @property
    def scope(self) -> str:
        """The credential scope, without the key id."""
        return "/".join((self.date, self.region, self.service, self.terminator))


def verify(
    *,
    method: str,
    path: str,
    query: str,
    headers: Sequence[tuple[str, str]],
    body: bytes,
    keys: Mapping[str, Key],
    service: str,
    region: str,
    now: datetime,
) -> Identity | Refusal:
    """Check the signature of one request.

    Args:
        method: The HTTP method.
        path: The path as it was on the wire, still percent-encoded.
        query: The query string as it was on the wire, without `?`.
        headers: Names and values in the order they came; names in any case; bytes not UTF-8 as surrogates.
        body: The whole body.
        keys: Keys by access key id.
        service: The only service name accepted in the scope.
        region: The only region accepted in the scope.
        now: The server's clock; aware.

    Returns:
        Who signed; or the first thing that is wrong, in the words of AWS. Nothing is raised for bad input.
    """
    authorization = header(headers, "authorization") or ""
    found = parse(authorization, has_date=_date_header(headers) is not None)
    if isinstance(found, Refusal):
        return found
    key = _known(keys.get(found.access_key_id), token=header(headers, "x-amz-security-token"))
    if isinstance(key, Refusal):
        return key
    if refusal := _check_scope(found, service=service, region=region):
        return refusal
    stamp = _timely(found, stamp=_stamp(headers), now=now)
    if isinstance(stamp, Refusal):
        return stamp
    request = canonical_request(
        method=method,
        path=path,
        query=query,
        headers=headers,
        signed_headers=found.signed_headers,
        payload_hash=_payload_hash(headers, found.signed_headers, body),
    )
    expected = signature_of(request, secret=key.secret, stamp=stamp.strftime(_BASIC_ISO), scope=found.scope)
    if not hmac.compare_digest(expected, found.signature) or not _body_is_what_it_says(headers, body):
        return mismatch()
    return Identity(key=key, signed_headers=found.signed_headers)


def mismatch() -> Refusal:
    """The refusal for a signature that is well-formed and wrong: the text AWS gives."""
    return _invalid(
        "The request signature we calculated does not match the signature you provided. Check your AWS Secret Access "
        "Key and signing method. Consult the service documentation for details."
    )


def parse(authorization: str, *, has_date: bool = True) -> Signature | Refusal:
    """Take an `Authorization` header apart.

    Args:
        authorization: The value of the header.
        has_date: Whether the request has `X-Amz-Date` or `Date`: AWS names their absence in the same sentence.

    Returns:
        The parts, or an `IncompleteSignatureException` that lists everything missing, as AWS does.
    """
    algorithm, _, rest = authorization.strip().partition(" ")
    if algorithm != ALGORITHM:
        return _incomplete(f"Unsupported AWS 'algorithm': '{algorithm}'. ", authorization)
    matches = (_PARAMETER.fullmatch(part) for part in rest.split(","))
    parameters = {str(match[1]): str(match[2]) for match in matches if match}
    missing = "".join(
        f"Authorization header requires '{name}' parameter. "
        for name in ("Credential", "Signature", "SignedHeaders")
        if not parameters.get(name)
    )
    if not has_date:
        missing += "Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. "
    if missing:
        return _incomplete(missing, authorization)
    scope = parameters["Credential"].split("/")
    if len(scope) != _SCOPE_PARTS:
        return _incomplete(
            "Credential must have exactly 5 slash-delimited elements, e.g. keyid/date/region/service/term, "
            f"got '{parameters['Credential']}'. ",
            authorization,
        )
    signed = tuple(parameters["SignedHeaders"].lower().split(";"))
    if not {"host", ":authority"} & set(signed):
        return _invalid("'Host' or ':authority' must be a 'SignedHeader' in the AWS Authorization.")
    return Signature(
        access_key_id=scope[0],
        date=scope[1],
        region=scope[2],
        service=scope[3],
        terminator=scope[4],
        signed_headers=signed,
        signature=parameters["Signature"],
    )


def canonical_request(
    *,
    method: str,
    path: str,
    query: str,
    headers: Sequence[tuple[str, str]],
    signed_headers: Iterable[str],
    payload_hash: str,
) -> str:
    """Build the canonical request (step 1 of the specification).

    Args:
        method: The HTTP method.
        path: The path as it was on the wire.
        query: The query string as it was on the wire.
        headers: Every header of the request.
        signed_headers: Names of those that the signature covers, in lower case.
        payload_hash: SHA-256 of the body in hex, or `UNSIGNED-PAYLOAD`.

    Returns:
        The text whose hash is signed.
    """
    names = sorted(signed_headers)
    lines = "".join(f"{name}:{_canonical_value(headers, name)}\n" for name in names)
    return "\n".join(
        (method.upper(), canonical_path(path), canonical_query(query), lines, ";".join(names), payload_hash)
    )


def canonical_path(path: str) -> str:
    """Normalise a path (RFC 3986, and repeated slashes) and encode it once more.

    Every service but S3 does so. What is already percent-encoded on the wire is therefore encoded twice in the
    canonical request: `%20` becomes `%2520`.

    Args:
        path: The path as it was on the wire.

    Returns:
        The canonical URI.
    """
    parts: list[str] = []
    last = ""
    for last in path.split("/"):  # `last` is needed after the loop
        if last == "..":
            if parts:
                parts.pop()
        elif last not in {"", "."}:
            parts.append(last)
    slash = "/" if parts and last in {"", ".", ".."} else ""
    return "/" + "/".join(_encode(part) for part in parts) + slash


def canonical_query(query: str) -> str:
    """Sort the parameters of a query string by name and value, in their encoded form.

    Args:
        query: The query string as it was on the wire.

    Returns:
        The canonical query string.
    """
    pairs = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            pairs.append((_encode_once(name), _encode_once(value)))
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def signature_of(request: str, *, secret: str, stamp: str, scope: str) -> str:
    """Sign a canonical request (steps 2 to 4 of the specification).

    Args:
        request: The canonical request.
        secret: The secret access key.
        stamp: The time of the request, `YYYYMMDDTHHMMSSZ`.
        scope: `date/region/service/aws4_request`.

    Returns:
        The signature in hex.
    """
    key = b"AWS4" + _bytes(secret)
    for part in scope.split("/"):
        key = hmac.new(key, _bytes(part), hashlib.sha256).digest()
    to_sign = "\n".join((ALGORITHM, stamp, scope, hashlib.sha256(_bytes(request)).hexdigest()))
    return hmac.new(key, _bytes(to_sign), hashlib.sha256).hexdigest()


def header(headers: Iterable[tuple[str, str]], name: str) -> str | None:
    """The first value of a header, or None.

    Args:
        headers: Names and values; names in any case.
        name: The name, in lower case.
    """
    return next((value for key, value in headers if key.lower() == name), None)


def _known(key: Key | None, *, token: str | None) -> Key | Refusal:
    if key is None or token != key.token:
        return Refusal(
            error_type="UnrecognizedClientException",
            message="The security token included in the request is not recognized.",
        )
    if key.expired:
        return Refusal(
            error_type="ExpiredTokenException", message="The security token included in the request is expired"
        )
    return key


def _check_scope(found: Signature, *, service: str, region: str) -> Refusal | None:
    # AWS lists every wrong part of the scope in one message, each sentence with a space behind it.
    wrong = ""
    if found.service != service:
        wrong += f"Credential should be scoped to correct service: '{service}'. "
    if found.region != region:
        wrong += f"Credential should be scoped to a valid region, not '{found.region}'. "
    if found.terminator != TERMINATOR:
        wrong += f"Credential should be scoped with a valid terminator: '{TERMINATOR}', not '{found.terminator}'. "
    return _invalid(wrong) if wrong else None


def _timely(found: Signature, *, stamp: datetime | None, now: datetime) -> datetime | Refusal:
    if stamp is None:
        return _incomplete("Date must be in ISO-8601 'basic format'. ", "")
    moment = stamp.strftime(_BASIC_ISO)
    if found.date != moment[:8]:
        return _invalid(
            "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
            f"'{found.date}' != '{moment[:8]}', from '{moment}'."
        )
    clock, minutes = now.strftime(_BASIC_ISO), int(TOLERANCE.total_seconds() // 60)
    if stamp < now - TOLERANCE:
        limit = (now - TOLERANCE).strftime(_BASIC_ISO)
        return _invalid(f"Signature expired: {moment} is now earlier than {limit} ({clock} - {minutes} min.)")
    if stamp > now + TOLERANCE:
        limit = (now + TOLERANCE).strftime(_BASIC_ISO)
        return _invalid(f"Signature not yet current: {moment} is still later than {limit} ({clock} + {minutes} min.)")
    return stamp


def _date_header(headers: Sequence[tuple[str, str]]) -> str | None:
    return header(headers, "x-amz-date") or header(headers, "date")


def _stamp(headers: Sequence[tuple[str, str]]) -> datetime | None:
    text = _date_header(headers) or ""
    try:
        return datetime.strptime(text, _BASIC_ISO).replace(tzinfo=UTC)
    except ValueError:
        pass
    try:
        moment = parsedate_to_datetime(text)  # a `Date` header in the form of HTTP is allowed too
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _payload_hash(headers: Sequence[tuple[str, str]], signed: Iterable[str], body: bytes) -> str:
    # The promise not to sign the body counts only when it is itself signed; otherwise anybody could add it on the way.
    if header(headers, "x-amz-content-sha256") == UNSIGNED_PAYLOAD and "x-amz-content-sha256" in signed:
        return UNSIGNED_PAYLOAD
    return hashlib.sha256(body).hexdigest()


def _body_is_what_it_says(headers: Sequence[tuple[str, str]], body: bytes) -> bool:
    said = header(headers, "x-amz-content-sha256")
    return said in {None, UNSIGNED_PAYLOAD, hashlib.sha256(body).hexdigest()}


def _canonical_value(headers: Sequence[tuple[str, str]], name: str) -> str:
    wanted = "host" if name == ":authority" else name
    return ",".join(" ".join(value.split()) for key, value in headers if key.lower() == wanted)


def _encode(text: str) -> str:
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in _bytes(text))


def _encode_once(text: str) -> str:
    # The wire may or may not have encoded a character; the canonical form has every one but the unreserved encoded.
    raw, decoded, at = _bytes(text), bytearray(), 0
    while at < len(raw):
        pair = raw[at + 1 : at + 3]
        if raw[at] == ord("%") and len(pair) == 2 and all(chr(digit) in "0123456789abcdefABCDEF" for digit in pair):
            decoded.append(int(pair, 16))
            at += 3
        else:
            decoded.append(raw[at])
            at += 1
    return "".join(chr(byte) if byte in _UNRESERVED else f"%{byte:02X}" for byte in decoded)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _invalid(message: str) -> Refusal:
    return Refusal(error_type="InvalidSignatureException", message=message)


def _incomplete(message: str, authorization: str) -> Refusal:
    # AWS shows a hash of the header rather than the header, so that an error page leaks nothing.
    digest = base64.b64encode(hashlib.sha256(_bytes(authorization)).digest()).decode()
    return Refusal(
        error_type="IncompleteSignatureException",
        message=f"{message}(Hashed with SHA-256 and encoded with Base64) Authorization={digest}",
    )
