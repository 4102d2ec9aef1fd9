"""The lab's verifier agrees with AWS's published vectors and with three signers written by others."""

import hashlib
import shutil
import subprocess
import tomllib
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest
from awscrt.auth import (
    AwsCredentialsProvider,
    AwsSignatureType,
    AwsSignedBodyHeaderType,
    AwsSigningAlgorithm,
    AwsSigningConfig,
    aws_sign_request,
)
from awscrt.http import HttpHeaders, HttpRequest
from botocore.auth import SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given, settings
from hypothesis import strategies as st

from mcpdoctor.lab import sigv4

VECTORS = tomllib.loads((Path(__file__).parent / "lab" / "sigv4_vectors.toml").read_text(encoding="utf-8"))
SUITE_NOW = datetime(2015, 8, 30, 12, 36, tzinfo=UTC)
SUITE_SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

HOST = "aws-mcp.us-east-1.api.aws"
LONG = sigv4.Key(access_key_id="AKIALONGEXAMPLE", secret="long/secret", arn="arn:aws:iam::123456789012:user/long")
TEMPORARY = sigv4.Key(
    access_key_id="ASIATEMPEXAMPLE", secret="temporary/secret", arn="arn:aws:sts::123456789012:x", token="the+token/=="
)
STALE = sigv4.Key(access_key_id="ASIASTALEEXAMPLE", secret="stale", arn="arn", token="stale+token", expired=True)
KEYS = {key.access_key_id: key for key in (LONG, TEMPORARY, STALE)}
BODY = b'{"jsonrpc":"2.0","id":1,"method":"ping"}'


def check(request, *, keys=KEYS, service="aws-mcp", region="us-east-1", now=None, **changed):
    parts = {**request, **changed}
    return sigv4.verify(**parts, keys=keys, service=service, region=region, now=now or datetime.now(UTC))


def signed_by_botocore(
    key=LONG, *, service="aws-mcp", region="us-east-1", path="/mcp", query="", body=BODY, headers=(), method="POST"
):
    url = f"https://{HOST}{path}" + (f"?{query}" if query else "")
    request = AWSRequest(method=method, url=url, data=body, headers=dict(headers))
    SigV4Auth(Credentials(key.access_key_id, key.secret, key.token), service, region).add_auth(request)
    return {
        "method": method,
        "path": path,
        "query": query,
        "headers": [("host", HOST), *((name, value) for name, value in request.headers.items())],
        "body": body,
    }


def with_header(request, name, value):
    kept = [(key, old) for key, old in request["headers"] if key.lower() != name.lower()]
    return {**request, "headers": kept + ([(name, value)] if value is not None else [])}


def message_of(found, error_type="InvalidSignatureException"):
    assert isinstance(found, sigv4.Refusal)
    assert found.error_type == error_type
    return found.message


def vector_request(vector):
    token = next((value for name, value in vector["headers"] if name == "X-Amz-Security-Token"), None)
    authorization = (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders={vector['signed']}, Signature={vector['signature']}"
    )
    request = {
        "method": vector["method"],
        "path": vector["path"],
        "query": vector["query"],
        "headers": [*map(tuple, vector["headers"]), ("Authorization", authorization)],
        "body": vector["body"].encode(),
    }
    return request, {"AKIDEXAMPLE": sigv4.Key(access_key_id="AKIDEXAMPLE", secret=SUITE_SECRET, arn="arn", token=token)}


def test_the_published_suite_is_all_here():
    assert len(VECTORS) >= 30


@pytest.mark.parametrize("name", VECTORS)
def test_a_published_vector_gives_the_published_canonical_request_and_signature(name):
    vector = VECTORS[name]
    request = sigv4.canonical_request(
        method=vector["method"],
        path=vector["path"],
        query=vector["query"],
        headers=[tuple(pair) for pair in vector["headers"]],
        signed_headers=vector["signed"].split(";"),
        payload_hash=hashlib.sha256(vector["body"].encode()).hexdigest(),
    )
    assert hashlib.sha256(request.encode()).hexdigest() == vector["request"]
    signature = sigv4.signature_of(
        request, secret=SUITE_SECRET, stamp="20150830T123600Z", scope="20150830/us-east-1/service/aws4_request"
    )
    assert signature == vector["signature"]


@pytest.mark.parametrize("name", VECTORS)
def test_a_published_vector_is_accepted_and_refused_once_altered(name):
    request, keys = vector_request(VECTORS[name])
    given_ = {"keys": keys, "service": "service", "now": SUITE_NOW}
    assert isinstance(check(request, **given_), sigv4.Identity)
    for change in ({"method": "PUT"}, {"path": "/other"}, {"query": "other=1"}, {"body": b"other"}):
        assert "does not match" in message_of(check(request, **given_, **change))
    other_host = with_header(request, "Host", "example.com")
    assert "does not match" in message_of(check(other_host, **given_))


@pytest.mark.parametrize("key", [LONG, TEMPORARY], ids=["long-term", "temporary"])
@pytest.mark.parametrize(
    "path", ["/", "/mcp", "/a%20b/mcp", "/runtimes/arn%3Aaws%3Aruntime%2Flab/invocations", "/~x/$y"]
)
@pytest.mark.parametrize("query", ["", "qualifier=DEFAULT", "b=2&a=1&a=0", "empty=&x=%2F%20%C3%BC"])
def test_what_botocore_signs_is_accepted(key, path, query):
    found = check(signed_by_botocore(key, path=path, query=query, headers={"Content-Type": "application/json"}))
    assert isinstance(found, sigv4.Identity)
    assert found.key is key
    assert {"host", "content-type", "x-amz-date"} <= set(found.signed_headers)


@pytest.mark.parametrize("key", [LONG, TEMPORARY], ids=["long-term", "temporary"])
@pytest.mark.parametrize("path", ["/mcp", "/a%20b/mcp?b=2&a=%2F", "/runtimes/arn%3Aaws%3Aruntime%2Flab/invocations"])
@pytest.mark.parametrize("body_header", [AwsSignedBodyHeaderType.NONE, AwsSignedBodyHeaderType.X_AMZ_CONTENT_SHA_256])
def test_what_awscrt_signs_is_accepted(key, path, body_header):
    from io import BytesIO

    headers = HttpHeaders([("Host", HOST), ("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))])
    unsigned = HttpRequest("POST", path, headers, BytesIO(BODY))
    config = AwsSigningConfig(
        algorithm=AwsSigningAlgorithm.V4,
        signature_type=AwsSignatureType.HTTP_REQUEST_HEADERS,
        credentials_provider=AwsCredentialsProvider.new_static(key.access_key_id, key.secret, key.token),
        region="us-east-1",
        service="aws-mcp",
        signed_body_header_type=body_header,
    )
    signed = aws_sign_request(unsigned, config).result(timeout=5)
    raw_path, _, query = path.partition("?")
    request = {"method": "POST", "path": raw_path, "query": query, "headers": list(signed.headers), "body": BODY}
    assert isinstance(check(request), sigv4.Identity)
    assert "does not match" in message_of(check(request, body=BODY + b" "))


def curl_signs():
    curl = shutil.which("curl")
    if curl is None:
        return False
    return "--aws-sigv4" in subprocess.run([curl, "--help", "all"], capture_output=True, text=True, check=False).stdout


@pytest.mark.skipif(not curl_signs(), reason="this curl has no --aws-sigv4")
def test_what_curl_signs_is_accepted():
    seen = []

    class Recorder(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            path, _, query = self.path.partition("?")
            seen.append({"method": "POST", "path": path, "query": query, "headers": self.headers.items(), "body": body})
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Recorder) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}/mcp?a=1&b=2"
        user = f"{LONG.access_key_id}:{LONG.secret}"
        arguments = ["--silent", "--aws-sigv4", "aws:amz:us-east-1:aws-mcp", "--user", user, "--data-binary", "@-"]
        subprocess.run(
            ["curl", "-H", "content-type: application/json", *arguments, url], input=BODY, check=True, timeout=10
        )
        server.shutdown()
        thread.join()
    assert isinstance(check(seen[0]), sigv4.Identity)
    assert "does not match" in message_of(check(seen[0], query="a=1&b=3"))


def test_an_unsigned_payload_is_accepted_only_when_that_promise_is_signed():
    promise = {"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"}
    request = AWSRequest(method="POST", url=f"https://{HOST}/mcp", data=BODY, headers=promise)
    signer = SigV4Auth(Credentials(LONG.access_key_id, LONG.secret), "aws-mcp", "us-east-1")
    signer.add_auth(request)
    headers = [("host", HOST), *request.headers.items()]
    parts = {"method": "POST", "path": "/mcp", "query": "", "headers": headers}
    assert isinstance(check(parts, body=b"anything"), sigv4.Identity)
    plain = with_header(signed_by_botocore(), "x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    assert isinstance(check(plain), sigv4.Identity)
    assert "does not match" in message_of(check(plain, body=b"anything"))


def test_a_payload_hash_that_is_not_of_the_body_is_refused():
    lying = with_header(signed_by_botocore(), "x-amz-content-sha256", hashlib.sha256(b"other").hexdigest())
    assert "does not match" in message_of(check(lying))


def test_headers_that_the_signature_does_not_cover_may_change_on_the_way():
    request = signed_by_botocore(headers={"Accept": "application/json"})
    assert isinstance(check(with_header(request, "User-Agent", "proxy")), sigv4.Identity)
    assert "does not match" in message_of(check(with_header(request, "Accept", "*/*")))


@pytest.mark.parametrize(
    ("authorization", "text"),
    [
        ("AWS4-HMAC-SHA512 Credential=x", "Unsupported AWS 'algorithm': 'AWS4-HMAC-SHA512'"),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=host", "requires 'Signature' parameter. "),
        ("AWS4-HMAC-SHA256 SignedHeaders=host, Signature=x", "requires 'Credential' parameter. "),
        ("AWS4-HMAC-SHA256 Credential=a/b/c/d/e, Signature=x", "requires 'SignedHeaders' parameter. "),
        ("AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host, Signature=x", "exactly 5 slash-delimited elements"),
        ("AWS4-HMAC-SHA256", "'Credential' parameter. Authorization header requires 'Signature' parameter. "),
        ("", "Unsupported AWS 'algorithm'"),
    ],
)
def test_an_incomplete_header_is_named_as_such_without_being_repeated(authorization, text):
    request = with_header(signed_by_botocore(), "Authorization", authorization)
    message = message_of(check(request), "IncompleteSignatureException")
    assert text in message
    assert "(Hashed with SHA-256 and encoded with Base64) Authorization=" in message
    assert "SignedHeaders=host" not in message


def test_a_request_without_any_date_is_incomplete():
    request = with_header(signed_by_botocore(), "X-Amz-Date", None)
    message = message_of(check(request), "IncompleteSignatureException")
    assert message.startswith("Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header. ")


def test_a_date_nobody_can_read_is_incomplete():
    request = with_header(signed_by_botocore(), "X-Amz-Date", "yesterday")
    assert "Date must be in ISO-8601" in message_of(check(request), "IncompleteSignatureException")


def test_a_signature_that_leaves_out_the_host_is_refused():
    request = with_header(
        signed_by_botocore(),
        "Authorization",
        "AWS4-HMAC-SHA256 Credential=a/b/c/d/e, SignedHeaders=x-amz-date, Signature=x",
    )
    assert message_of(check(request)).startswith("'Host' or ':authority' must be a 'SignedHeader'")


def test_a_date_header_in_the_form_of_http_will_do():
    now = datetime.now(UTC).replace(microsecond=0)
    date = now.strftime("%a, %d %b %Y %H:%M:%S GMT")
    scope = f"{now:%Y%m%d}/us-east-1/aws-mcp/aws4_request"
    headers = [("Host", HOST), ("Date", date)]
    canonical = sigv4.canonical_request(
        method="POST",
        path="/mcp",
        query="",
        headers=headers,
        signed_headers=["date", "host"],
        payload_hash=hashlib.sha256(BODY).hexdigest(),
    )
    signature = sigv4.signature_of(canonical, secret=LONG.secret, stamp=f"{now:%Y%m%dT%H%M%SZ}", scope=scope)
    credential = f"Credential={LONG.access_key_id}/{scope}"
    headers.append(("Authorization", f"AWS4-HMAC-SHA256 {credential},SignedHeaders=date;host,Signature={signature}"))
    request = {"method": "POST", "path": "/mcp", "query": "", "headers": headers, "body": BODY}
    assert isinstance(check(request), sigv4.Identity)


def test_an_unknown_key_and_a_wrong_token_look_alike():
    unknown = "The security token included in the request is not recognized."
    assert message_of(check(signed_by_botocore(), keys={}), "UnrecognizedClientException") == unknown
    temporary = signed_by_botocore(TEMPORARY)
    for token in (None, "another"):
        changed = with_header(temporary, "X-Amz-Security-Token", token)
        assert message_of(check(changed), "UnrecognizedClientException") == unknown
    burdened = with_header(signed_by_botocore(), "X-Amz-Security-Token", "no such thing")
    assert message_of(check(burdened), "UnrecognizedClientException") == unknown


def test_an_expired_token_is_told_from_an_unknown_one():
    message = message_of(check(signed_by_botocore(STALE)), "ExpiredTokenException")
    assert message == "The security token included in the request is expired"


def test_the_service_of_the_scope_has_to_be_right():
    message = message_of(check(signed_by_botocore(service="iam")))
    assert message == "Credential should be scoped to correct service: 'aws-mcp'. "


def test_the_region_of_the_scope_has_to_be_right():
    message = message_of(check(signed_by_botocore(region="eu-west-1")))
    assert message == "Credential should be scoped to a valid region, not 'eu-west-1'. "


def test_everything_wrong_with_the_scope_is_said_at_once():
    request = signed_by_botocore(service="iam", region="eu-west-1")
    bent = [(name, value.replace("/aws4_request", "/aws5_request")) for name, value in request["headers"]]
    assert message_of(check({**request, "headers": bent})) == (
        "Credential should be scoped to correct service: 'aws-mcp'. "
        "Credential should be scoped to a valid region, not 'eu-west-1'. "
        "Credential should be scoped with a valid terminator: 'aws4_request', not 'aws5_request'. "
    )


def test_the_date_of_the_scope_has_to_be_that_of_the_request():
    request, keys = vector_request(VECTORS["get-vanilla"])
    request = with_header(request, "X-Amz-Date", "20150831T123600Z")
    message = message_of(check(request, keys=keys, service="service", now=SUITE_NOW))
    assert message == (
        "Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: "
        "'20150830' != '20150831', from '20150831T123600Z'."
    )


@pytest.mark.parametrize("minutes", [-5, -1, 0, 1, 5])
def test_a_clock_within_five_minutes_is_tolerated(minutes):
    request, keys = vector_request(VECTORS["get-vanilla"])
    now = SUITE_NOW + timedelta(minutes=minutes)
    assert isinstance(check(request, keys=keys, service="service", now=now), sigv4.Identity)


def test_a_signature_from_the_past_is_expired():
    request, keys = vector_request(VECTORS["get-vanilla"])
    now = SUITE_NOW + timedelta(seconds=301)
    assert message_of(check(request, keys=keys, service="service", now=now)) == (
        "Signature expired: 20150830T123600Z is now earlier than 20150830T123601Z (20150830T124101Z - 5 min.)"
    )


def test_a_signature_from_the_future_is_not_yet_current():
    request, keys = vector_request(VECTORS["get-vanilla"])
    now = SUITE_NOW - timedelta(seconds=301)
    assert message_of(check(request, keys=keys, service="service", now=now)) == (
        "Signature not yet current: 20150830T123600Z is still later than 20150830T123559Z (20150830T123059Z + 5 min.)"
    )


def test_what_was_signed_in_the_query_string_counts_as_incomplete():
    # MCP clients sign headers; a presigned URL has no Authorization header, and the lab says so.
    request = AWSRequest(method="GET", url=f"https://{HOST}/mcp")
    SigV4QueryAuth(Credentials(LONG.access_key_id, LONG.secret), "aws-mcp", "us-east-1").add_auth(request)
    query = request.url.partition("?")[2]
    parts = {"method": "GET", "path": "/mcp", "query": query, "headers": [("host", HOST)], "body": b""}
    message_of(check(parts), "IncompleteSignatureException")


@settings(max_examples=60, deadline=None)
@given(
    body=st.binary(max_size=200),
    value=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
    names=st.lists(st.text("abcXYZ019-_.~ü/:+ ", min_size=1, max_size=8), max_size=4),
    flip=st.integers(min_value=0),
)
def test_any_request_of_botocore_is_accepted_and_no_altered_body_is(body, value, names, flip):
    from urllib.parse import quote

    query = "&".join(sorted(f"{quote(name, safe='')}={quote(value, safe='')}" for name in names))
    request = signed_by_botocore(query=query, body=body, headers={"X-Custom": value})
    assert isinstance(check(request), sigv4.Identity)
    altered = bytearray(body or b"\0")
    altered[flip % len(altered)] ^= 1
    assert "does not match" in message_of(check(request, body=bytes(altered)))
