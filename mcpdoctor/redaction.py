"""Make text safe to show: no secrets, no control characters, no endless bodies.

Applied where text is recorded, so that nothing later has to remember to. Text from servers is hostile: every pattern
here takes linear time, and where it is unclear how far a secret goes, too much is masked rather than too little.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Collection, Iterable
from functools import lru_cache

MASK = "[redacted]"
"""What stands in place of a secret."""

HEADERS = frozenset(
    {
        "allow",
        "content-length",
        "content-type",
        "date",
        "location",
        "mcp-protocol-version",
        "mcp-session-id",
        "proxy-authenticate",
        "retry-after",
        "server",
        "via",
        "www-authenticate",
        "x-amz-apigw-id",
        "x-amz-cf-id",
        "x-amz-cf-pop",
        "x-amzn-errortype",
        "x-amzn-remapped-www-authenticate",
        "x-amzn-requestid",
        "x-cache",
    }
)
"""Response headers worth showing; beside them `ratelimit*` and `x-ratelimit-*`. No other header is recorded."""

_RATE_LIMIT_HEADER = re.compile(r"(?:x-)?ratelimit(?:-[a-z0-9]{1,20}){0,4}")
_HEADER_LIMIT = 400
# A challenge holds addresses that have to be read whole.
_CHALLENGE_LIMIT = 2000
_SESSION_ID_SHOWN = 8

_SHORTEST_SECRET = 8
_LONGEST_ENCODING = 20
_LONGEST_WITHIN = 1500
_PIECES = re.compile(r"\\+|[^\\]")
_URL_SAFE = str.maketrans("+/", "-_")

# The longest piece of a secret that no pattern below recognises once its end is cut off.
_GUARD = 256

_MORE = re.compile(r"… \(\d{1,12} more characters\)\Z")

# --- What must not reach a terminal, an XML file or the eye ---

_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*+[ -/]*+[@-~]?"  # CSI
    # OSC, DCS, SOS, PM, APC up to their terminator; without one, to the end of the line.
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])(?:[^\x07\x1b\x80-\x9f]*+(?:\x07|\x1b\\|\x9c)|[^\x07\x1b\x80-\x9f\n]*+)"
    r"|\x1b[ -/]*+[0-~]?"
)
_INVISIBLE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"
    "\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"  # direction marks and zero width
    "\U000e0000-\U000e007f]"  # tags: text that only a language model reads
)
_LINE_BREAKS = re.compile("[\u2028\u2029]")
_UNENCODABLE = re.compile("[\ud800-\udfff\ufffe\uffff]")

# --- Secrets by the name in front of them ---

_QUOTE = r"\\{0,4}[\"']"
_SEPARATOR = rf"(?:{_QUOTE}|%22)?(?:[ \t]*+(?:=>|[:=]|%3[AD])|>)"
_SPACE = rf"(?:\s*+\[?\s*+(?={_QUOTE})|[ \t]*+)"
# Bytes of Python, only behind a name in quotes: in `"Signature=b"` the b is the secret.
_BYTES = r"(?:\s*+\[?\s*+b(?=[\"']))"
_QUOTED = (
    r"(?:\\{1,4}\"(?:[^\"\\\n]|\\{3}\"|\\[^\"\n])++(?:\\{1,4}\")?"  # JSON within JSON
    r"|\"(?:[^\"\\\n]|\\.)++\"?"
    r"|\\{0,4}'(?:[^'\\\n]|\\.)++'?)"
)

_AWS_NAMES = (
    r"x-amz-signature|signature(?:provided)?(?==|%3D|[\"'>])"
    r"|(?:session|security)[-_ ]?token|secret[-_ ]?access[-_ ]?key|(?<!invalid)access[-_ ]?key(?:[-_ ]?id)?"
)
_GENERIC_NAMES = (
    r"(?:access|refresh|auth|bearer)[-_]?token|(?:(?<![a-z])|(?<=%[0-9a-f]{2}))id[-_]?token"
    r"|client[-_]?(?:secret|assertion)|code[-_]?verifier|passw(?:or)?d|passphrase"
    r"|api[-_]?key|(?:secret|private)[-_]?key"
)
_COOKIE_NAMES = r"(?:set-)?cookie2?"
_AUTHORIZATION_NAMES = r"authorization(?:[ _]header)?"

# A name is no part of the value of the name before it: else masking it would leave its own value without a name.
_NOT_A_NAME = (
    rf"(?!(?:x-amz-|x-|proxy-|aws_?)?(?:{_AWS_NAMES}|{_GENERIC_NAMES}|{_COOKIE_NAMES}|{_AUTHORIZATION_NAMES}|x-amz-credential)"
    rf"{_SEPARATOR})"
)
_NOT_A_STRUCTURE = rf"(?![{{\[]\s*+[\\\"'{{}}\[\]]|{_QUOTE})"
_TOKEN = rf"{_NOT_A_STRUCTURE}(?:(?!%26){_NOT_A_NAME}[^\s&,;\"'<>\\])++"
_WORD = rf"{_NOT_A_STRUCTURE}(?:(?!%26){_NOT_A_NAME}(?:[^\s&\"'<>,;]|[,;](?=[^\s\"']){_NOT_A_NAME}))++"


def _named(names: str, value: str) -> re.Pattern[str]:
    """Build the pattern of `name: value`, `name=value`, `"name": "value"`, `<name>value` and `(b"name", b"value")`."""
    quoted = rf"(?:(?:{names})[\"']\s*+:|\(\s*+b?[\"'](?:x-amz-|x-|proxy-)?(?:{names})[\"']\s*+,)"
    head = rf"(?:{quoted}(?:{_BYTES}|{_SPACE})|(?:{names}){_SEPARATOR}{_SPACE})"
    return re.compile(rf"(?P<head>{head})(?P<value>{_QUOTED}|{value})", re.IGNORECASE)


_AWS = _named(_AWS_NAMES, _TOKEN)
_GENERIC = _named(_GENERIC_NAMES, _WORD)
_COOKIE = _named(_COOKIE_NAMES, r"[^\n]++")
_AUTHORIZATION = _named(_AUTHORIZATION_NAMES, r"Digest[ \t][^\n]++|[^\n\"'<>]++")
_QUERY = re.compile(
    r"(?P<head>(?:[?&]|&amp;|%3F|%26)(?:assertion|auth|code|key|samlresponse|secret|sig|token)(?:=|%3D))"
    r"(?P<value>(?:(?!%26)[^\s&\"'<>#])++)",
    re.IGNORECASE,
)

# --- Secrets by their shape ---

_USER = re.compile(
    r"(?:(?<=://)|(?<=:\\/\\/))[^\s/?#\"'<>]+(?=@)"
    r"|(?<=%2F%2F)(?:(?!%2F|%3F|%23|%40)[^\s/&\"'<>])++(?=%40)",
    re.IGNORECASE,
)
_CREDENTIAL = re.compile(
    rf"(?P<head>x-amz-credential{_SEPARATOR}{_SPACE}(?:{_QUOTE})?|AWS4-[\w-]{{1,40}}[ \t]++Credential="
    r"|Credential(?:=|%3D)(?=[^/%\s]{1,128}(?:/|%2F)\d{8}(?:/|%2F)))"
    r"(?P<value>(?:(?!%2F|%26)[^\s/,&\"'<>])++)",
    re.IGNORECASE,
)
_OPENING = re.compile(_QUOTE)
_SCHEME = re.compile(
    r"(?P<scheme>(?:Bearer|Basic|Negotiate|NTLM|DPoP|Token|ApiKey)(?:[ \t]++|%20|\+))[^\s,;]*+", re.IGNORECASE
)
_CHALLENGE = (
    r"(?!(?:realm|error|error_description|error_uri|scope|resource|resource_metadata|authorization_uri|charset|client_id"
    r"|nonce|algs|max_age|title)\s*+=)"
)
_FREE_SCHEME = re.compile(
    rf"(?P<head>(?:Bearer|Basic|Negotiate|NTLM|DPoP)(?:[ \t]++|%20|\+)){_CHALLENGE}"
    rf"(?P<value>(?:{_NOT_A_NAME}[\w.~+/=%-])++)",
    re.IGNORECASE,
)
# "Bearer token", "Basic authentication", "Basic HTTP": prose about a scheme.
_PROSE = re.compile(r"(?:[A-Z]?[a-z]{1,14}|[A-Z]{1,5}|\d{1,4})[.:]?")
_JWT = re.compile(r"eyJ[\w-]*+(?:\.[\w-]++)*+", re.ASCII)
_SHAPES = re.compile(
    r"(?:AKIA|ASIA|ABIA|ACCA|AGPA|AIDA|AIPA|ANPA|ANVA|APKA|AROA|ASCA)[A-Z0-9]{12,}+"  # IAM unique identifiers
    r"|(?:IQoJb3JpZ2lu|F[wQ]oGZXIvYXdz)[\w+/=%-]*+",  # how session tokens of STS begin
    re.ASCII,
)


def clean(text: str, *, limit: int = 2000, secrets: Collection[str] = ()) -> str:
    """Make one text safe to show.

    What diagnosis needs stays: request ids, ARNs, hosts, account ids, and of a signature its scope and signed headers.
    A second pass changes nothing.

    Args:
        text: anything, from anywhere.
        limit: characters to keep. Of a longer text the rest is counted, not read.
        secrets: literal strings to mask as well, plain or URL-, JSON-, HTML- or base64-encoded. Those shorter than
            8 characters are ignored: masking them would eat ordinary words.

    Returns:
        At most `limit` characters, followed by `… (N more characters)` where there were more.
    """
    literals = _literals(secrets)
    # Cleaned before: what is left out was counted then.
    counted = _MORE.search(text, max(0, len(text) - 40))
    if counted and counted.start() <= limit:
        return _settle(_printable(text[: counted.start()]), limit, literals) + counted[0]
    guard = max([_GUARD, *(longest for _, longest in literals)])
    head = text[: 4 * limit + guard]
    left = len(text) - len(head)
    masked = _mask(_printable(head), literals)
    if left:
        # The last characters may be the first half of a secret, which nothing recognises.
        whole = _cut(masked, max(0, len(masked) - guard))
        left += len(masked) - len(whole)
        masked = whole
    elif len(masked) <= limit:
        return masked
    body = _cut(masked, limit)
    left += len(masked) - len(body)
    return f"{_settle(body, limit, literals)}… ({left} more characters)"


def clean_headers(headers: Iterable[tuple[str, str]], *, secrets: Collection[str] = ()) -> dict[str, str]:
    """Choose the response headers worth showing and make them safe.

    Args:
        headers: names and values as received; a name may come more than once.
        secrets: literal strings to mask, as for `clean`.

    Returns:
        Values by lower-case name in the order received, repeated ones joined by a comma: only those in `HEADERS` and
        the rate limit headers. Of the session id only the start is given, because whoever has it can use the session.
    """
    chosen: dict[str, str] = {}
    for name, value in headers:
        key = name.lower()
        if key in HEADERS or _RATE_LIMIT_HEADER.fullmatch(key):
            chosen[key] = f"{chosen[key]}, {value}" if key in chosen else value
    shown = {
        key: clean(value, limit=_CHALLENGE_LIMIT if "authenticate" in key else _HEADER_LIMIT, secrets=secrets)
        for key, value in chosen.items()
    }
    if session := shown.get("mcp-session-id"):
        shown["mcp-session-id"] = session[:_SESSION_ID_SHOWN] + "…"
    return shown


_Literal = tuple[re.Pattern[str], int]
"""What finds one literal secret, and the most characters it can take up."""


def _printable(text: str) -> str:
    """Remove what does not show, first of all so that it cannot split a secret in two."""
    text = _INVISIBLE.sub("", _ESCAPES.sub("", text))
    return _UNENCODABLE.sub("\ufffd", _LINE_BREAKS.sub(" ", text))


def _mask(text: str, literals: Iterable[_Literal]) -> str:
    """Mask secrets.

    The order matters where the value of one pattern may be the name of the next: `api_key: Bearer abc`.
    """
    for pattern, _ in literals:
        text = pattern.sub(MASK, text)
    text = _USER.sub(MASK, text)
    text = _FREE_SCHEME.sub(_mask_free_scheme, text)
    for pattern in (_AWS, _GENERIC, _COOKIE):
        text = pattern.sub(_mask_value, text)
    text = _AUTHORIZATION.sub(_mask_authorization, text)
    for pattern in (_CREDENTIAL, _QUERY):
        text = pattern.sub(rf"\g<head>{MASK}", text)
    text = _JWT.sub(lambda found: MASK if "." in found[0] else found[0], text)
    return _SHAPES.sub(MASK, text)


def _mask_value(found: re.Match[str]) -> str:
    opening, _, closing = _unquote(found["value"])
    return f"{found['head']}{opening}{MASK}{closing}"


def _mask_authorization(found: re.Match[str]) -> str:
    """Mask the credentials, keep the scheme; leave a SigV4 signature to the patterns that know its parts."""
    opening, inner, closing = _unquote(found["value"])
    if inner.startswith("AWS4-"):
        return found[0]
    scheme = _SCHEME.match(inner)
    if not scheme:
        return f"{found['head']}{opening}{MASK}{closing}"
    # Without quotes, what follows the credentials may be the rest of a sentence or of a command.
    rest = "" if opening else inner[scheme.end() :]
    return f"{found['head']}{opening}{scheme['scheme']}{MASK}{rest}{closing}"


def _mask_free_scheme(found: re.Match[str]) -> str:
    return found[0] if _PROSE.fullmatch(found["value"]) else found["head"] + MASK


def _unquote(value: str) -> tuple[str, str, str]:
    """Split a value into the opening quote, the inside, and the closing quote; quotes that are not there are empty."""
    quote = _OPENING.match(value)
    opening = quote[0] if quote else ""
    closing = opening if opening and value.endswith(opening, len(opening)) else ""
    return opening, value[len(opening) : len(value) - len(closing)], closing


def _cut(text: str, limit: int) -> str:
    """Shorten a text, never within a mask."""
    mask = text.find(MASK, max(0, limit - len(MASK) + 1))
    return text[: mask if 0 <= mask < limit else limit]


def _settle(text: str, limit: int, literals: Iterable[_Literal]) -> str:
    """Mask and cut until nothing changes: a cut can leave the name of a scheme without what it introduced."""
    for _ in range(3):
        text = _cut(_mask(text, literals), limit)
    return text


def _literals(secrets: Collection[str]) -> list[_Literal]:
    """Choose the usable secrets, longest first, so that one that begins with another is masked whole."""
    texts = {_printable(secret).strip() for secret in secrets}
    usable = [text for text in texts if len(text) >= _SHORTEST_SECRET and text not in MASK]
    return [_literal(text) for text in sorted(usable, key=lambda text: (-len(text), text))]


@lru_cache(maxsize=32)
def _literal(secret: str) -> _Literal:
    """Build what finds one secret: as it is, with any character encoded in any way, or within base64."""
    raw = secret.encode()
    forms = [secret]
    # Of a long one (a bearer token), a pattern of every form would take seconds to build.
    for before in range(3 if len(secret) <= _LONGEST_WITHIN else 0):
        # Base64 of a longer text that holds the secret: which characters are its own depends on where it begins.
        coded = base64.b64encode(b"\0" * before + raw).decode()
        own = coded[-(-before * 8 // 6) : (before + len(raw)) * 8 // 6]
        forms += [own, own.translate(_URL_SAFE)]
    pattern = "|".join("".join(map(_encodings, _PIECES.findall(form))) for form in dict.fromkeys(forms))
    longest = max(sum(1 if _plain(char) else _LONGEST_ENCODING for char in form) for form in forms)
    return re.compile(pattern), longest


def _plain(char: str) -> bool:
    return char.isascii() and char.isalnum()


def _encodings(piece: str) -> str:
    """Build the pattern of one character of a secret, or a run of backslashes, as a URL, JSON or HTML may write it."""
    char, count = piece[0], len(piece)
    if _plain(char):
        return char
    forms = [
        "".join(f"%(?:25)*{byte:02x}" for byte in char.encode()),
        "".join(rf"\\{{1,4}}u{unit}" for unit in re.findall("....", char.encode("utf-16-be").hex())),
        f"&#(?:{ord(char)}|x0*{ord(char):x});",
        re.escape(html.escape(char)),
    ]
    if char == " ":
        forms.append(r"\+")
    # Backslashes double with every level of JSON. A run is counted whole: split among neighbours it is slow to refuse.
    plain = rf"\\{{{count},{4 * count}}}" if char == "\\" else r"\\{0,3}" + re.escape(char)
    return f"(?i:{plain}|(?:{'|'.join(forms)}){{{count}}})"
