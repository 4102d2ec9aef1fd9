"""Secrets never leave, hostile text is harmless, and what diagnosis needs stays."""

from __future__ import annotations

import base64
import html
import json
import string
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from mcpdoctor.redaction import HEADERS, MASK, clean, clean_headers

KEY_ID = "AKIAIOSFODNN7EXAMPLE"
SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
TOKEN = "IQoJb3JpZ2luX2VjEAkaCXVzLWVhc3QtMSJHMEUCIQD/+aB=" * 8
SIGNATURE = "fe5f80f77d5fa3beca038a248ff027d0445342fe2855ddc963176630326f1024"
UNHURRIED = settings(deadline=None)  # other tests run on the same machine

SCOPE = "20261122/us-east-1/aws-mcp/aws4_request"
JWT = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U"

CANONICAL = (
    "The request signature we calculated does not match the signature you provided.\n\n"
    "The Canonical String for this request should have been\n'POST\n/mcp\n\n"
    f"host:aws-mcp.us-east-1.api.aws\nx-amz-date:20261122T120000Z\nx-amz-security-token:{TOKEN}\n\n"
    "host;x-amz-date;x-amz-security-token\ne3b0c44298fc1c149afbf4c8996fb924'\n\n"
    f"The String-to-Sign should have been\n'AWS4-HMAC-SHA256\n20261122T120000Z\n{SCOPE}\n{SIGNATURE}'"
)

MASKED = {
    # SigV4: the scope and the signed headers explain a refusal
    f"Authorization: AWS4-HMAC-SHA256 Credential={KEY_ID}/{SCOPE}, SignedHeaders=host;x-amz-date;x-amz-security-token, "
    f"Signature={SIGNATURE}": f"Authorization: AWS4-HMAC-SHA256 Credential=[redacted]/{SCOPE}, "
    "SignedHeaders=host;x-amz-date;x-amz-security-token, Signature=[redacted]",
    f'{{"authorization": "AWS4-HMAC-SHA256 Credential=lab-key/{SCOPE}, SignedHeaders=a, Signature=b"}}': (
        f'{{"authorization": "AWS4-HMAC-SHA256 Credential=[redacted]/{SCOPE}, SignedHeaders=a, Signature=[redacted]"}}'
    ),
    f"Credential=lab-key/{SCOPE}": f"Credential=[redacted]/{SCOPE}",
    f"?X-Amz-Credential=lab%2F{quote(SCOPE, safe='')}&X-Amz-Signature=ab12&X-Amz-Security-Token=a%2Bb&X-Amz-Date=1": (
        f"?X-Amz-Credential=[redacted]%2F{quote(SCOPE, safe='')}"
        "&X-Amz-Signature=[redacted]&X-Amz-Security-Token=[redacted]&X-Amz-Date=1"
    ),
    "<SignatureProvided>ab12</SignatureProvided>": "<SignatureProvided>[redacted]</SignatureProvided>",
    CANONICAL: CANONICAL.replace(TOKEN, MASK),
    json.dumps({"message": CANONICAL}): json.dumps({"message": CANONICAL.replace(TOKEN, MASK)}),
    # HTTP authentication
    "Authorization: Bearer abc.def https://host/mcp": "Authorization: Bearer [redacted] https://host/mcp",
    "curl -H 'Authorization: Bearer abc' https://host/mcp": "curl -H 'Authorization: Bearer [redacted]' https://host/mcp",
    "Authorization: hunter2": "Authorization: [redacted]",
    "authorization: Custom one two": "authorization: [redacted]",
    'Proxy-Authorization: Digest username="u", response="r"': "Proxy-Authorization: [redacted]",
    "in Authorization header: 'Basic abc'": "in Authorization header: 'Basic [redacted]'",
    "sent Bearer abc123, refused": "sent Bearer [redacted], refused",
    "Basic dXNlcjpwYXNz": "Basic [redacted]",
    "Bearer%20abc123": "Bearer%20[redacted]",
    "[(b'Authorization', b'Bearer abc'), (b'X-Amz-Security-Token', b'tok'), (b'Host', b'h')]": (
        "[(b'Authorization', b'Bearer [redacted]'), (b'X-Amz-Security-Token', b'[redacted]'), (b'Host', b'h')]"
    ),
    "Set-Cookie: a=b; Path=/\nserver: x": "Set-Cookie: [redacted]\nserver: x",
    '{"cookie": "a=b; c=d", "x": 1}': '{"cookie": "[redacted]", "x": 1}',
    # Names
    '{"AccessKeyId": "lab", "SecretAccessKey": "a\\"b", "SessionToken":"t", "x": "2026"}': (
        '{"AccessKeyId": "[redacted]", "SecretAccessKey": "[redacted]", "SessionToken":"[redacted]", "x": "2026"}'
    ),
    r'"{\"SecretAccessKey\": \"a\\\"b\", \"x\": 1}"': r'"{\"SecretAccessKey\": \"[redacted]\", \"x\": 1}"',
    "<SessionToken>abc</SessionToken><Expiration>2026": "<SessionToken>[redacted]</SessionToken><Expiration>2026",
    "aws_secret_access_key = abc/d\nregion = x": "aws_secret_access_key = [redacted]\nregion = x",
    "export AWS_SESSION_TOKEN=abc": "export AWS_SESSION_TOKEN=[redacted]",
    "{'password': 'a b', 'x': 1}": "{'password': '[redacted]', 'x': 1}",
    "password=a,b;c user=x": "password=[redacted] user=x",
    "client_secret=abc&scope=x": "client_secret=[redacted]&scope=x",
    '"access_token":"a","refresh_token":"b","id_token":"c","token_type":"Bearer"': (
        '"access_token":"[redacted]","refresh_token":"[redacted]","id_token":"[redacted]","token_type":"Bearer"'
    ),
    "{b'password': [b'abc'], b'x': b'y'}": "{b'password': [b'[redacted]'], b'x': b'y'}",
    "api_key: Bearer abc1": "api_key: [redacted] [redacted]",
    "password: session_token: abc": "password: session_token: [redacted]",
    "api_key=a,password= b": "api_key=[redacted],password= [redacted]",
    "x-api-key: Authorization: Custom a b": "x-api-key: Authorization: [redacted]",
    "Bearer access_token= abc": "Bearer access_token= [redacted]",
    '"x-api-key: b", "x"': '"x-api-key: [redacted]", "x"',
    "{'access_token': ['abc']}": "{'access_token': ['[redacted]']}",
    "x-api-key: abc": "x-api-key: [redacted]",
    "apiKey: abc": "apiKey: [redacted]",
    '"password": "never closed\nnext': '"password": "[redacted]\nnext',
    # URLs
    "https://user:p@ss@host/mcp": "https://[redacted]@host/mcp",
    r"https:\/\/user:pass@host\/mcp": r"https:\/\/[redacted]@host\/mcp",
    "?next=https%3A%2F%2Fu%3Ap%40host%2F%3Fid_token%3Dabc%26x%3D1": (
        "?next=https%3A%2F%2F[redacted]%40host%2F%3Fid_token%3D[redacted]%26x%3D1"
    ),
    "https://host/cb?code=abc&state=1": "https://host/cb?code=[redacted]&state=1",
    # Shapes
    f"a {JWT} b": "a [redacted] b",
    "AROAIOSFODNN7EXAMPLE:session": "[redacted]:session",
    f"token {TOKEN} end": "token [redacted] end",
}

KEPT = [
    "x-amzn-requestid: 4b1f3a9e-0c5d-4a39-8e0e-2f4f9e0c5d4a",
    "arn:aws:sts::123456789012:assumed-role/Admin/session is not authorized to perform: aws-mcp:InvokeMcp",
    "https://aws-mcp.us-east-1.api.aws/mcp?x=1",
    "mcp-session-id: 1234567890abcdef1234567890abcdef",
    "InvalidAccessKeyId: The AWS Access Key Id you provided does not exist in our records.",
    "SignatureDoesNotMatch: Signature expired: 20261122T120000Z is now earlier than 20261122T120500Z",
    "The security token included in the request is invalid.",
    "Credential should be scoped to correct service: 'aws-mcp'.",
    "credential: default, credential=profile:dev",
    'Bearer realm="x", resource_metadata="https://h/.well-known/oauth-protected-resource", error="invalid_token"',
    "Bearer token missing. Basic authentication, Basic HTTP, Visual Basic 6",
    "Authorization header requires 'Signature' parameter.",
    '{"properties": {"password": {"type": "string"}}, "required": ["password", "x"]}',
    '"password": "" and \\"password\\": \\"\\"',
    'error="invalid_token", error_description="x"',
    "progressToken: 3, nextToken: abc, cursor eyJvZmZzZXQiOjEwfQ, invalid_token=1",
    "SignedHeaders=content-type;host;x-amz-security-token",
    "x-amz-content-sha256: e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "tab\tand\nline, ünïcödé 日本語 🎉",
    "",
]


@pytest.mark.parametrize(("text", "shown"), MASKED.items())
def test_secrets_are_masked_and_what_explains_stays(text: str, shown: str) -> None:
    assert clean(text) == shown


@pytest.mark.parametrize("text", KEPT)
def test_what_is_not_secret_stays(text: str) -> None:
    assert clean(text) == text


# --- Literal secrets ---

ENCODINGS: dict[str, Callable[[str], str]] = {
    "plain": lambda text: text,
    "url": lambda text: quote(text, safe=""),
    "url in lower case": lambda text: quote(text, safe="").replace("%2F", "%2f").replace("%2B", "%2b"),
    "path": quote,
    "form": quote_plus,
    "url twice": lambda text: quote(quote(text, safe=""), safe=""),
    "json": lambda text: json.dumps(text)[1:-1],
    "json in utf-8": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "json in json": lambda text: json.dumps(json.dumps(text)),
    "json of php": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "json of gson": lambda text: json.dumps(text)[1:-1].replace("=", "\\u003d").replace("&", "\\u0026"),
    "html": html.escape,
    "html by number": lambda text: "".join(char if char.isalnum() else f"&#{ord(char)};" for char in text),
    "zero width": "\u200b".join,
    "coloured": "\x1b[1m".join,
}

# No brackets, so that a secret is never a piece of the mask.
secrets = st.text(string.ascii_letters + string.digits + "/+=-_.~:&<>\"'\\ éß🎉", min_size=8, max_size=60).filter(
    lambda text: text == text.strip()
)
# Everything that a secret may stand in.
surroundings = st.lists(
    st.sampled_from(
        [
            *(
                "password=",
                '"password": "',
                "Authorization: ",
                "authorization: 'Bearer ",
                "Bearer ",
                "Basic ",
                "Cookie: ",
            ),
            *("AWS4-HMAC-SHA256 Credential=", f"/{SCOPE}, SignedHeaders=host, Signature=", "X-Amz-Security-Token: "),
            *(
                '{\\"SecretAccessKey\\": \\"',
                "https://",
                "u:p@",
                "?code=",
                "&",
                '"',
                "'",
                '\\"',
                "\\",
                "\n",
                " ",
                ", ",
                "; ",
            ),
            *("x-amz-credential=", "eyJ", "eyJab.c", KEY_ID, "%3A%2F%2F", "%40", "%26", "[redacted]", "[red", "<", ">"),
            *(
                "(b'cookie', b'",
                "Digest ",
                "AWS4-",
                "IQoJb3JpZ2lu",
                "id_token",
                "\x1b[",
                "\x1b]0;",
                "\x9d",
                "\u202e",
                "…",
            ),
            *(
                "… (12 more characters)",
                "Signature=",
                "api_key: [",
                "=",
                ":",
                "Token ",
                "realm=",
                "%3D",
                "{",
                "[",
                "\ud800",
            ),
        ]
    )
    | st.text(max_size=5),
    max_size=12,
).map("".join)


@UNHURRIED
@given(surroundings, secrets, st.sampled_from(sorted(ENCODINGS)), surroundings)
def test_no_given_secret_is_left_in_any_encoding(before: str, secret: str, encoding: str, after: str) -> None:
    encoded = ENCODINGS[encoding](secret)
    shown = clean(f"{before} {encoded} {after}", secrets=[secret])
    assert encoded not in shown
    assert secret not in shown


@UNHURRIED
@given(st.binary(max_size=5), secrets, st.binary(max_size=5))
def test_no_given_secret_is_left_in_base64(before: bytes, secret: str, after: bytes) -> None:
    raw = before + secret.encode() + after
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        shown = clean(encode(raw).decode(), secrets=[secret])
        assert MASK in shown
        # At each end a character shares bits with its neighbour.
        assert len(shown.replace(MASK, "").rstrip("=")) <= len(encode(before)) + len(encode(after)) + 2


@UNHURRIED
@given(
    surroundings, st.text(string.ascii_letters + string.digits + "/+=-_", min_size=16, max_size=60).map("Zq9".__add__)
)
def test_no_value_behind_a_telling_name_is_left(before: str, secret: str) -> None:
    templates = [
        '{{"SecretAccessKey": "{}"}}',
        "x-amz-security-token: {}",
        "?access_token={}&x=1",
        "Authorization: Basic {}",
    ]
    for template in templates:
        assert secret not in clean(f"{before}~{template.format(secret)}\n")


@UNHURRIED
@given(
    st.integers(0, 700),
    st.integers(1, 60),
    st.sampled_from([SECRET, TOKEN]),
    st.sampled_from(["x", "x ", "\u200b", "password=a "]),
)
def test_no_half_of_a_secret_is_left_where_the_text_is_cut(position: int, limit: int, secret: str, filler: str) -> None:
    text = (filler * 800)[:position] + secret + filler * 2000
    shown = clean(text, limit=limit, secrets=[secret])
    for size in range(6, len(secret)):
        assert secret[:size] not in shown
    bearer = clean((filler * 800)[:position] + " Bearer " + secret + filler * 2000, limit=limit)
    assert secret[:6] not in bearer


def test_longer_secrets_are_masked_before_those_they_begin_with() -> None:
    assert clean("abcdefghijkl", secrets=["abcdefgh", "abcdefghijkl"]) == MASK


def test_short_secrets_and_those_within_the_mask_are_ignored() -> None:
    assert clean("short and redacted", secrets=["short", "", "redacted"]) == "short and redacted"


def test_blanks_around_a_secret_do_not_hide_it() -> None:
    assert clean("abcdefgh", secrets=["abcdefgh\n"]) == MASK


# --- Hostile text ---


@UNHURRIED
@given(st.text(st.characters(), max_size=200) | surroundings)
def test_no_control_character_survives(text: str) -> None:
    shown = clean(text)
    assert not [
        char
        for char in shown
        if (ord(char) < 0x20 and char not in "\n\t")
        or 0x7F <= ord(char) <= 0x9F
        or char in "\u200b\u200e\u200f\u202a\u202e\u2028\u2029\u2066\u2069\ufeff\ufffe\uffff"
        or 0xD800 <= ord(char) <= 0xDFFF
    ]
    shown.encode()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a\x1b[1;31mred\x1b[0m", "ared"),
        ("a\x9b31mred", "ared"),
        ("a\x1b[31", "a"),
        ("a\x1b]0;title\x07b", "ab"),
        ("a\x1b]8;;https://x\x1b\\link\x1b]8;;\x1b\\", "alink"),
        ("a\x1bPq#0;2\nsixel\x1b\\b", "ab"),
        ("a\x9d0;title\x9cb", "ab"),
        ("a\x1b]never ended\nb", "a\nb"),
        ("a\x1bcb\x1b(Bc\x1b", "abc"),
        ("a\r\nb\x00\x7f\x85c", "a\nbc"),
        ("a\u202eb\u2066c\u200bd\ufeff\U000e0041e", "abcde"),
        ("a\u2028b\u2029c", "a b c"),
        ("a\ud800b\uffff", "a\ufffdb\ufffd"),
        ("AK\x00IA\u200bIOSFODNN7\x1b[1mEXAMPLE", MASK),
    ],
)
def test_what_does_not_show_is_removed_before_secrets_are_looked_for(text: str, shown: str) -> None:
    assert clean(text) == shown


@example(("Authorization: Bea" + "x" * 50), 18)
@example("Authorization: Bearer " + "x " * 50, 18)
@UNHURRIED
@given(surroundings, st.integers(0, 120))
def test_a_second_pass_changes_nothing(text: str, limit: int) -> None:
    for given_secrets in ((), (SECRET, TOKEN, KEY_ID)):
        once = clean(text, limit=limit, secrets=given_secrets)
        assert clean(once, limit=limit, secrets=given_secrets) == once


@pytest.mark.parametrize(
    "piece",
    [
        *(
            "a",
            " \t",
            "\\",
            '\\"',
            "'",
            "%25",
            "&#",
            "\x00",
            "\x1b]",
            "\x9d\n",
            "\x1b[",
            "\u2028",
            "… (5 more characters)",
        ),
        *(
            "password",
            "password=",
            "password\\",
            'password:\\"',
            '"password": "',
            "password: [",
            "(b'password',",
            "id_token",
        ),
        *(
            "Credential=",
            "AWS4-a Credential=",
            "x-amz-credential: [[",
            "Authorization: ",
            "Bearer ",
            "Cookie:",
            "signature=",
        ),
        *("eyJ", "eyJ.", "://", "://a", "%2F%2F", "AKIA", "IQoJb3JpZ2lu", MASK, SECRET[:-1]),
    ],
)
def test_a_megabyte_of_hostile_text_takes_no_time(piece: str) -> None:
    text = (piece * (1_000_000 // len(piece) + 1))[:1_000_000]
    clean("", secrets=[SECRET, TOKEN])  # what is built once for each secret is not what is measured
    start = time.perf_counter()
    shown = clean(text, secrets=[SECRET, TOKEN])
    assert time.perf_counter() - start < 1
    assert len(shown) < 2100


@pytest.mark.parametrize("piece", ["password", "eyJ", "Credential=", "://a", "\x9d\n", "\x1b]", "\\", '"password": "'])
def test_the_time_grows_no_faster_than_the_text(piece: str) -> None:
    text = piece * (200_000 // len(piece))
    start = time.perf_counter()
    clean(text, limit=len(text))
    assert time.perf_counter() - start < 5  # were it quadratic, minutes


def test_a_long_text_is_cut_and_the_rest_counted() -> None:
    assert clean("a" * 2000) == "a" * 2000
    assert clean("a" * 2001) == "a" * 2000 + "… (1 more characters)"
    assert clean("a" * 1_000_000, limit=10) == "a" * 10 + "… (999990 more characters)"


def test_a_cut_does_not_go_through_a_mask() -> None:
    assert clean("id=1 password=abc", limit=18) == "id=1 password=… (10 more characters)"


def test_a_text_that_only_looks_cut_is_cleaned_and_capped_like_any_other() -> None:
    ending = "… (5 more characters)"
    assert clean("password=abc" + ending) == "password=[redacted]" + ending
    assert clean("password=a" + ending, limit=10).startswith("password=… (")
    assert clean("a" * 50 + ending, limit=20) == "a" * 20 + "… (51 more characters)"


# --- Headers ---


def test_only_headers_worth_showing_are_shown() -> None:
    received = [
        ("Content-Type", "application/json"),
        ("Set-Cookie", "AWSALB=abc"),
        ("X-Amz-Security-Token", "tok"),
        ("X-RateLimit-Limit-Requests", "5"),
        ("RateLimit", "limit=10"),
        ("ratelimit-Ünsafe", "x"),
        ("x-ratelimit-a_b", "x"),
    ]
    assert clean_headers(received) == {
        "content-type": "application/json",
        "x-ratelimit-limit-requests": "5",
        "ratelimit": "limit=10",
    }


def test_headers_are_named_in_lower_case_and_kept_in_order() -> None:
    names = sorted(HEADERS, reverse=True)
    assert list(clean_headers((name.title(), "v") for name in names)) == names


def test_the_session_id_is_shortened() -> None:
    assert clean_headers([("Mcp-Session-Id", "1234567890abcdef")]) == {"mcp-session-id": "12345678…"}
    assert clean_headers([("mcp-session-id", "")]) == {"mcp-session-id": ""}


def test_a_repeated_header_is_joined() -> None:
    challenge = 'Bearer realm="x", resource_metadata="https://h/.well-known", error="invalid_token"'
    headers = [("WWW-Authenticate", challenge), ("www-authenticate", "Negotiate YIIabc==")]
    assert clean_headers(headers) == {"www-authenticate": f"{challenge}, Negotiate [redacted]"}


def test_a_location_loses_its_user_and_its_secret_values() -> None:
    headers = [("location", f"https://u:p@h/cb?code=1&state=2&x={SECRET}#access_token=abc")]
    assert clean_headers(headers, secrets=[SECRET]) == {
        "location": "https://[redacted]@h/cb?code=[redacted]&state=2&x=[redacted]#access_token=[redacted]"
    }


def test_header_values_are_capped() -> None:
    assert clean_headers([("server", "x" * 500)]) == {"server": "x" * 400 + "… (100 more characters)"}
