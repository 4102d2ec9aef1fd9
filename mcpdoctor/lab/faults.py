"""The faults of the lab: everything that can go wrong between an MCP client and AWS, one entry each.

A fault is named by the stage at which a careful client first notices it. Those with an `answer` are served at
`/fault/<stage>/<name>/mcp`, on plain HTTP and on `https://lab.test`; the others lie in the URL or the name itself. To
add one, write a function that answers (or returns None to let a healthy server do so) and add it to the table at the
end.

The client these faults expect signs for service `aws-mcp` in `us-east-1` with the lab's default key.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from mcpdoctor.lab import accounts, certificates, sigv4
from mcpdoctor.lab.dialects import DIALECT_FAULTS
from mcpdoctor.lab.doors import denied, refused, verify
from mcpdoctor.lab.elsewhere import one_slash_less, resources_only, wrong_host, wrong_host_in_json
from mcpdoctor.lab.fault import AWS_MCP, HOST, Answering, Fault, after_initialize, always, named, on
from mcpdoctor.lab.faults_credentials import CREDENTIAL_FAULTS
from mcpdoctor.lab.faults_wire import WIRE_FAULTS
from mcpdoctor.lab.lapses import LAPSES
from mcpdoctor.lab.logins import LOGIN_FAULTS
from mcpdoctor.lab.messages import (
    METHOD_MISMATCH,
    UNVERIFIED,
    Answer,
    Drop,
    Reaction,
    Request,
    Silence,
    aws_error,
    in_html,
    in_json,
    request_id,
    rpc_error,
    rpc_result,
    session_lost,
    too_many,
)

__all__ = ["CLOCK_SHIFT_S", "FAULTS", "HOST", "HOSTILE", "HUGE_BYTES", "Fault"]

SERVICE = "aws-mcp"
REGION = "us-east-1"
OTHER_SERVICE = "other-service"
OTHER_REGION = "eu-south-1"
CLOCK_SHIFT_S = 15 * 60
HUGE_BYTES = 2 * 1024**3


def missing_token(request: Request) -> Answer:  # noqa: ARG001 - the same for every request
    """What services on `*.amazonaws.com` say to a request without a signature."""
    return aws_error("MissingAuthenticationTokenException", "Missing Authentication Token", status=403)


def guard(
    *,
    service: str = SERVICE,
    region: str = REGION,
    secret: str | None = None,
    known: bool = True,
    clock_shift_s: float = 0.0,
    rewritten: dict[str, str] | None = None,
    unsigned: Callable[[Request], Answer] = missing_token,
    say: Callable[[Request, sigv4.Refusal], Answer] = lambda request, refusal: refused(request, refusal, status=401),
    then: Callable[[sigv4.Identity], Answer | None] = lambda identity: None,  # noqa: ARG005 - anybody known may pass
) -> Answering:
    """Verify signatures for real, with one thing about the server changed.

    Args:
        service: The service it wants in the scope.
        region: The region it wants in the scope.
        secret: The secret it believes the default key has.
        known: Whether it knows any key at all.
        clock_shift_s: How far its clock is ahead, in seconds.
        rewritten: Headers that something on the way replaces, with the new values.
        unsigned: What it says to callers without a signature.
        say: How it puts a refusal.
        then: What becomes of a caller whose signature is right.

    Returns:
        The answering function.
    """
    keys = accounts.KEYS if known else {}
    if secret is not None:
        keys = {**keys, accounts.DEFAULT.access_key_id: replace(accounts.DEFAULT, secret=secret)}

    def answer(request: Request) -> Reaction | None:
        if not (request.header("authorization") or "").startswith("AWS4-"):
            return unsigned(request)
        headers = [(name, (rewritten or {}).get(name, value)) for name, value in request.headers]
        now = datetime.now(UTC) + timedelta(seconds=clock_shift_s)
        found = verify(request, service=service, region=region, keys=keys, now=now, headers=headers)
        if isinstance(found, sigv4.Refusal):
            return say(request, found)
        if found.key.denied:
            return denied(found.key.arn, service=service, region=region)
        return then(found)

    return answer


def unverified(request: Request) -> Answer:
    """What aws-mcp says to a caller it cannot name (reported: authprobe capture)."""
    return rpc_error(request, -32001, UNVERIFIED, status=401)


def _ambiguous(request: Request, refusal: sigv4.Refusal) -> Answer:
    # Whether aws-mcp ever names the scope in its refusals is not known; this one never does.
    if refusal.error_type == "InvalidSignatureException":
        refusal = sigv4.mismatch()
    return refused(request, refusal, status=401)


def _expired(_: sigv4.Identity) -> Answer:
    message = "The security token included in the request is expired"
    return aws_error("ExpiredTokenException", message, status=401)


def _wants_bearer(request: Request) -> Answer:
    base = f"{request.scheme}://{request.authority}"
    ask = f'Bearer resource_metadata="{base}/.well-known/oauth-protected-resource{request.path}"'
    return rpc_error(
        request, -32001, "Missing Bearer token", status=401, headers=(("www-authenticate", ask), *request_id())
    )


def _wants_dpop(request: Request) -> Answer:
    base = f"{request.scheme}://{request.authority}"
    ask = f'DPoP resource_metadata="{base}/.well-known/oauth-protected-resource{request.path}"'
    return in_json({"error": "unauthorized"}, status=401, headers=(("www-authenticate", ask),))


def _access_denied(identity: sigv4.Identity) -> Answer:
    return denied(identity.key.arn, service=SERVICE, region=REGION)


def _rpc_failure(request: Request) -> Answer:
    error = {"code": -32603, "message": "An internal error occurred while processing the request."}
    return in_json({"jsonrpc": "2.0", "id": request.rpc.get("id"), "error": error}, headers=request_id())


def _neither(request: Request) -> Answer:
    return in_json({"jsonrpc": "2.0", "id": request.rpc.get("id")}, headers=request_id())


def _old_protocol(request: Request) -> Answer:
    info = {"name": "lab", "version": "1.0.0"}
    result = {"protocolVersion": "1999-01-01", "capabilities": {"tools": {}}, "serverInfo": info}
    # With a session, which a client that speaks no such version ends at once.
    return rpc_result(request, result, headers=(*request_id(), ("mcp-session-id", "lab-of-1999")))


def _no_tools(request: Request) -> Answer:
    return rpc_result(request, {"tools": []})


def _tool_error(request: Request) -> Answer:
    text = "An error occurred (ValidationException) when calling the DescribeStacks operation: Stack lab does not exist"
    return rpc_result(request, {"content": [{"type": "text", "text": text}], "isError": True})


def _list_denied(_: Request) -> Answer:
    return denied(accounts.DEFAULT.arn, service=SERVICE, region=REGION)


async def _huge() -> AsyncIterator[bytes]:
    piece = b"x" * 1024 * 1024
    yield b'{"padding":"'
    for _ in range(HUGE_BYTES // len(piece)):
        yield piece
    yield b'"}'


async def _endless() -> AsyncIterator[bytes]:
    yield b'{"jsonrpc":"2.0","id":0,"result":{"padding":"'
    while True:
        yield b"x"
        await asyncio.sleep(0.1)


async def _comments() -> AsyncIterator[bytes]:
    while True:
        yield b": still here\n\n"
        await asyncio.sleep(0.1)


_PAGE = "<!DOCTYPE html><html><head><title>{title}</title></head><body><h1>{title}</h1><p>{text}</p></body></html>"

HOSTILE = (
    "\x1b]0;owned by the server\x07\x1b[31mred\x1b[0m\n::error::a workflow command\n<script>alert('mcpdoctor')</script>"
    "\r\x00\x00 \u202etxet desrever\u202c \u0007 ]]> | `code` | [link](javascript:alert(1))"
)
"""A message that would do harm where it is shown unescaped: terminal, CI log, HTML, XML, Markdown."""


def _html() -> str:
    page = _PAGE.format(title="Welcome to the guest network", text="Please accept the terms of use.")
    return page.replace("</head>", "<script>document.title='owned'</script></head>") + "\x1b]0;owned\x07\x1b[31m"


def _escapes() -> Answer:
    body = {"message": HOSTILE, "__type": "\x1b[2JException"}
    return in_json(body, status=401, headers=(("x-amzn-errortype", "UnrecognizedClientException"), *request_id()))


def _incomplete(request: Request) -> Answer:
    if request.header("authorization") is None:
        return missing_token(request)
    text = "Authorization header requires 'Signature' parameter. Authorization=(removed on the way)"
    return aws_error("IncompleteSignatureException", text, status=401)


def _late_html(request: Request) -> Answer | None:
    """Turn to HTML once the real client comes: a careful client's own first request is answered well."""
    if request.method != "POST" or (request.header("user-agent") or "").startswith("mcpdoctor/"):
        return None
    return in_html(_html())


_ALL: tuple[Fault, ...] = (
    Fault(
        stage="parse",
        name="url-invalid",
        summary="The URL has one slash too few.",
        endpoint="https:/aws-mcp.us-east-1.api.aws/mcp",
    ),
    Fault(
        stage="parse",
        name="insecure-url",
        summary="The URL says http:// for a host on the internet.",
        endpoint="http://aws-mcp.us-east-1.api.aws/mcp",
    ),
    Fault(
        stage="dns",
        name="unknown-host",
        summary="A name that AWS never had: Knowledge has no Regions.",
        endpoint=named("knowledge-mcp.us-east-1.api.aws"),
    ),
    Fault(
        stage="dns",
        name="unknown-region",
        summary="A Region in which AWS MCP Server is not offered.",
        endpoint=named("aws-mcp.us-east-2.api.aws"),
    ),
    Fault(
        stage="dns",
        name="unavailable",
        summary="The resolver does not answer, which says nothing about the name.",
        endpoint=AWS_MCP,
        setup="The resolver of this machine fails with EAI_AGAIN.",
    ),
    Fault(
        stage="dns",
        name="silent",
        summary="The look-up never ends.",
        endpoint=AWS_MCP,
        setup="The resolver of this machine takes longer than the deadline.",
    ),
    Fault(
        stage="tcp",
        name="unreachable",
        summary="No packet comes back from the address.",
        endpoint=AWS_MCP,
        setup="The name leads to an address that this machine has no route to, or that drops every packet.",
    ),
    Fault(
        stage="tcp",
        name="proxy",
        summary="An HTTP proxy is set, and it is not there.",
        endpoint=AWS_MCP,
        setup="HTTPS_PROXY names a port on which nothing listens.",
    ),
    Fault(stage="tcp", name="refused", summary="Nothing listens on the port.", endpoint=named("refused.lab.test")),
    Fault(
        stage="tls",
        name="untrusted",
        summary="The certificate is signed by an authority nobody knows.",
        endpoint=named(certificates.UNTRUSTED),
    ),
    Fault(
        stage="tls",
        name="expired",
        summary="The certificate ran out yesterday.",
        endpoint=named(certificates.EXPIRED),
    ),
    Fault(
        stage="tls",
        name="wrong-name",
        summary="The certificate is for another name.",
        endpoint=named(certificates.WRONG_NAME),
    ),
    Fault(
        stage="tls",
        name="not-tls",
        summary="The port speaks plain HTTP.",
        endpoint=named("plain.lab.test"),
    ),
    Fault(
        stage="tls",
        name="closed",
        summary="The connection is accepted and closed at once.",
        endpoint=named("closed.lab.test"),
    ),
    Fault(
        stage="tls",
        name="silent",
        summary="The connection is accepted and nothing is ever said.",
        endpoint=named("silent.lab.test"),
    ),
    Fault(
        stage="tls",
        name="alert",
        summary="The server breaks the handshake off with an alert.",
        endpoint=named("alert.lab.test"),
    ),
    Fault(
        stage="http",
        name="proxy-auth",
        summary="A proxy on the way wants a password.",
        answer=always(in_html(_PAGE.format(title="Proxy Authentication Required", text="Log in."), status=407)),
    ),
    Fault(
        stage="http",
        name="teapot",
        summary="An answer that nobody foresaw: 418.",
        answer=always(in_json({"short": True, "stout": True}, status=418)),
    ),
    Fault(stage="http", name="silent", summary="The request is read and never answered.", answer=always(Silence())),
    Fault(stage="http", name="closed", summary="The connection closes without an answer.", answer=always(Drop())),
    Fault(
        stage="http",
        name="redirected",
        summary="301 to the login page of another host.",
        answer=always(Answer(status=301, headers=(("location", "https://portal.lab.test/login"),))),
    ),
    Fault(
        stage="http",
        name="redirect-same-origin",
        summary="307 to another path of the same host.",
        answer=always(Answer(status=307, headers=(("location", "/aws-mcp/us-east-1/mcp"),))),
    ),
    Fault(
        stage="http",
        name="wrong-host",
        summary="421 of a server that was not told of the name that it is reached by.",
        answer=wrong_host,
    ),
    Fault(
        stage="http",
        name="wrong-host-in-json",
        summary="403 and a JSON-RPC error for the same.",
        answer=wrong_host_in_json,
    ),
    Fault(
        stage="http",
        name="not-found",
        summary="404 in JSON.",
        answer=always(in_json({"message": "Not Found"}, status=404)),
    ),
    Fault(
        stage="http",
        name="html",
        summary="200 with the web page of some network, script and terminal escapes included.",
        answer=always(in_html(_html())),
    ),
    Fault(
        stage="http",
        name="json",
        summary="200 with JSON that is not JSON-RPC.",
        answer=always(in_json({"status": "healthy", "version": "2.4.1"})),
    ),
    Fault(
        stage="http",
        name="server-error",
        summary="500 of an AWS service.",
        answer=always(aws_error("InternalServerException", "Internal Server Error", status=500)),
    ),
    Fault(
        stage="http",
        name="unavailable",
        summary="503 with Retry-After.",
        answer=always(in_json({"message": "Service Unavailable"}, status=503, headers=(("retry-after", "1"),))),
    ),
    Fault(
        stage="http",
        name="bad-gateway",
        summary="502 with the page of a load balancer.",
        answer=always(in_html(_PAGE.format(title="502 Bad Gateway", text="upstream"), status=502)),
    ),
    Fault(
        stage="http",
        name="forbidden-html",
        summary="403 with the page of a filtering proxy.",
        answer=always(
            in_html(
                _PAGE.format(
                    title="Access Denied", text="Your organization's policy blocks this site. Ref 18.d31e4c17"
                ),
                status=403,
                headers=(("server", "SecureWebGateway"), ("via", "1.1 proxy.example (gateway)")),
            )
        ),
    ),
    Fault(
        stage="http",
        name="huge",
        summary="200 and two gigabytes of JSON.",
        answer=always(Answer(headers=(("content-type", "application/json"),), body=_huge)),
    ),
    Fault(
        stage="http",
        name="endless",
        summary="200 and JSON that drips for ever.",
        answer=always(Answer(headers=(("content-type", "application/json"),), body=_endless)),
    ),
    Fault(
        stage="http",
        name="endless-sse",
        summary="200 and an event stream that holds only comments, for ever.",
        answer=always(Answer(headers=(("content-type", "text/event-stream"),), body=_comments)),
    ),
    Fault(
        stage="http",
        name="escapes",
        summary="401 whose message attacks whatever shows it: terminal, CI log, HTML.",
        answer=always(_escapes()),
    ),
    Fault(
        stage="auth",
        name="unsigned",
        summary="Wants a signature, and says Missing Authentication Token.",
        answer=guard(),
    ),
    Fault(
        stage="auth",
        name="expired-token",
        summary="Says that every token has expired.",
        answer=guard(then=_expired),
    ),
    Fault(
        stage="auth",
        name="profile-not-found",
        summary="The credential names a profile that does not exist.",
        endpoint=AWS_MCP,
        setup="Use the profile no-such-profile.",
    ),
    Fault(
        stage="auth",
        name="no-region",
        summary="Nothing says which region to sign for.",
        answer=guard(),
        setup="Leave AWS_DEFAULT_REGION and the region of the profile unset, and give no region.",
    ),
    Fault(
        stage="auth",
        name="no-credentials",
        summary="There are no keys.",
        endpoint=AWS_MCP,
        setup="Use the credential env without AWS_ACCESS_KEY_ID.",
    ),
    Fault(
        stage="auth",
        name="partial-credentials",
        summary="There is an access key without its secret key.",
        endpoint=AWS_MCP,
        setup="Set AWS_ACCESS_KEY_ID and not AWS_SECRET_ACCESS_KEY, and use the credential env.",
    ),
    Fault(
        stage="auth",
        name="malformed-keys",
        summary="A blank came along when the key was pasted.",
        endpoint=AWS_MCP,
        setup="Use the credential env with a blank after the access key.",
    ),
    Fault(
        stage="auth",
        name="sso-expired",
        summary="The login of a single sign-on profile has run out.",
        endpoint=AWS_MCP,
        setup="Use a profile with sso_session, and no cached login.",
    ),
    Fault(
        stage="auth",
        name="credential-process",
        summary="The program that should give the keys fails.",
        endpoint=AWS_MCP,
        setup="Use a profile whose credential_process exits with an error.",
    ),
    *CREDENTIAL_FAULTS,
    Fault(
        stage="auth",
        name="regions-differ",
        summary=f"Accepts only signatures for {OTHER_REGION}, and two variables name different regions.",
        answer=guard(region=OTHER_REGION),
        setup="Give no region, and set AWS_REGION and AWS_DEFAULT_REGION to different ones.",
    ),
    Fault(
        stage="healthy",
        name="session-name",
        summary="Nothing is wrong yet; a role is assumed under a new name every time.",
        endpoint=AWS_MCP,
        setup="Use a profile that assumes a role without role_session_name, with mcp-proxy-for-aws 1.6.0 or 1.6.1.",
    ),
    Fault(
        stage="healthy",
        name="expires-soon",
        summary="Nothing is wrong yet; the keys end in some minutes and nothing renews them.",
        endpoint=AWS_MCP,
        setup="Set AWS_CREDENTIAL_EXPIRATION to a moment soon.",
    ),
    Fault(
        stage="healthy",
        name="sts-unreachable",
        summary="Nothing is wrong with the server; STS cannot be asked who the caller is.",
        endpoint=AWS_MCP,
        setup="Ask with --whoami where the name of STS does not resolve.",
    ),
    Fault(
        stage="auth",
        name="incomplete-signature",
        summary="Something on the way took a part of the signature off.",
        answer=_incomplete,
    ),
    Fault(stage="auth", name="unknown-key", summary="Knows no key at all.", answer=guard(known=False)),
    Fault(
        stage="auth",
        name="clock-skew",
        summary="Its clock is 15 minutes ahead, in the Date header too.",
        answer=guard(clock_shift_s=CLOCK_SHIFT_S),
        clock_shift_s=CLOCK_SHIFT_S,
    ),
    Fault(
        stage="auth",
        name="wrong-service",
        summary=f"Accepts only signatures for {OTHER_SERVICE}.",
        answer=guard(service=OTHER_SERVICE),
    ),
    Fault(
        stage="auth",
        name="wrong-region",
        summary=f"Accepts only signatures for {OTHER_REGION}.",
        answer=guard(region=OTHER_REGION),
    ),
    Fault(
        stage="auth",
        name="wrong-secret",
        summary="The secret key is not the one of the access key.",
        endpoint=AWS_MCP,
        setup="Sign with another secret for the default key.",
    ),
    Fault(
        stage="auth",
        name="bad-signature",
        summary="Holds another secret for the key, so no signature matches.",
        answer=guard(secret="not/the/secret/of/the/lab/EXAMPLEKEY/+42"),  # noqa: S106 - made up, and public
    ),
    Fault(
        stage="auth",
        name="ambiguous-signature",
        summary=f"Accepts only signatures for {OTHER_SERVICE}, and says only that the signature does not match.",
        answer=guard(service=OTHER_SERVICE, say=_ambiguous),
    ),
    Fault(
        stage="auth",
        name="wants-bearer",
        summary="Wants an OAuth bearer token, whatever is signed.",
        answer=_wants_bearer,
    ),
    Fault(
        stage="auth",
        name="wants-dpop",
        summary="Wants an OAuth token that is bound to a key (DPoP, RFC 9449), whatever is signed.",
        answer=_wants_dpop,
    ),
    Fault(
        stage="auth",
        name="method-mismatch",
        summary="An AgentCore runtime set up for the other way of authentication.",
        answer=always(aws_error("AccessDeniedException", METHOD_MISMATCH, status=403)),
    ),
    Fault(
        stage="auth",
        name="access-denied",
        summary="The signature is right and the caller may not use the service.",
        answer=guard(then=_access_denied),
    ),
    Fault(
        stage="open",
        name="rate-limited",
        summary="429 with Retry-After from the first request on.",
        answer=lambda request: too_many(request, retry_after=2),
    ),
    Fault(
        stage="open",
        name="rate-limited-after-initialize",
        summary="initialize succeeds, everything after it is 429.",
        answer=after_initialize(too_many),
    ),
    Fault(
        stage="open",
        name="rewritten-headers",
        summary="Something on the way replaces User-Agent, Accept and Accept-Encoding after signing.",
        answer=guard(rewritten=dict.fromkeys(("user-agent", "accept", "accept-encoding"), "rewritten-on-the-way")),
    ),
    Fault(
        stage="open",
        name="invalid-json-rpc",
        summary="JSON-RPC with neither result nor error.",
        answer=on("initialize", do=_neither),
    ),
    Fault(
        stage="open",
        name="unsupported-protocol",
        summary="Answers initialize with the protocol version 1999-01-01.",
        answer=on("initialize", do=_old_protocol),
    ),
    Fault(
        stage="open",
        name="rpc-error",
        summary="Answers initialize with the JSON-RPC error -32603.",
        answer=on("initialize", do=_rpc_failure),
    ),
    Fault(
        stage="open",
        name="session-lost",
        summary="initialize succeeds, and the session is gone at the next request.",
        answer=after_initialize(session_lost),
    ),
    Fault(
        stage="open",
        name="late-html",
        summary="A web page in place of an answer, but only for the real client.",
        answer=_late_html,
    ),
    Fault(stage="list", name="empty", summary="Lists no tools.", answer=on("tools/list", do=_no_tools)),
    Fault(
        stage="list",
        name="denied",
        summary="Access denied when tools are listed.",
        answer=on("tools/list", do=_list_denied),
    ),
    Fault(
        stage="list",
        name="rpc-error",
        summary="Answers tools/list with the JSON-RPC error -32603.",
        answer=on("tools/list", do=_rpc_failure),
    ),
    Fault(
        stage="parse",
        name="not-mcp",
        summary="A host of AWS that is no MCP server, whatever it is called.",
        endpoint="https://api-mcp.global.api.aws/suggest-aws-commands",
    ),
    Fault(
        stage="auth",
        name="header-missing",
        summary="A server that wants a header of its own beside the signature.",
        endpoint="https://agentaccess-mcp.us-east-1.api.aws/mcp",
        setup="Sign for agentaccess-mcp, and send no such header.",
    ),
    Fault(
        stage="call",
        name="denied",
        summary="Takes anything until a tool is called, then says 401: AWS rejects late.",
        answer=on("tools/call", do=unverified),
    ),
    Fault(
        stage="call",
        name="denied-through-mcp",
        summary="What the tool calls is denied by a policy of the organization.",
        endpoint=AWS_MCP,
        setup="Call aws___run_script with code that calls delete_bucket.",
    ),
    Fault(
        stage="call",
        name="profile-in-arguments",
        summary="Nothing is wrong with the server, which ignores a profile that stands in the call.",
        endpoint=AWS_MCP,
        setup="Call aws___run_script with --profile NAME in its code.",
    ),
    Fault(
        stage="call",
        name="tool-error",
        summary="The tool answers with isError.",
        answer=on("tools/call", do=_tool_error),
    ),
    Fault(
        stage="call",
        name="unknown-tool",
        summary="A healthy server that does not have the tool.",
        endpoint=AWS_MCP,
        setup="Call the tool no_such_tool.",
    ),
    Fault(
        stage="call",
        name="removed-tool",
        summary="A healthy server that no longer has the tool.",
        endpoint=AWS_MCP,
        setup="Call the tool aws___call_aws.",
    ),
    Fault(
        stage="healthy",
        name="signature-counts",
        summary="Nothing is wrong; the signature is worth something.",
        endpoint=AWS_MCP,
    ),
    Fault(
        stage="healthy",
        name="anonymous",
        summary="Nothing is wrong, and nothing is signed.",
        endpoint=AWS_MCP,
        setup="Send without a signature.",
    ),
    Fault(
        stage="healthy",
        name="fallback",
        summary="Unsigned it works, signed it does not.",
        endpoint=AWS_MCP,
        setup="Send once without a signature and once with a wrong one.",
    ),
    Fault(
        stage="healthy", name="none", summary="Nothing is wrong; no signature is looked at.", answer=on(do=unverified)
    ),
    Fault(
        stage="healthy",
        name="signed-only",
        summary="Nothing is wrong with a signed request; without a signature the server falls over.",
        answer=guard(unsigned=lambda _: in_json({"message": "Internal Server Error"}, status=500)),
    ),
    Fault(stage="healthy", name="signed", summary="Nothing is wrong with a signed request.", answer=guard()),
    Fault(
        stage="healthy",
        name="resources-only",
        summary="Nothing is wrong; the server offers resources, and no tools.",
        answer=resources_only,
    ),
    Fault(
        stage="healthy",
        name="slash",
        summary="Nothing is wrong; the URL has a slash too many, and a 307 leads to the one without.",
        answer=one_slash_less,
    ),
)

_EVERY: tuple[Fault, ...] = (*_ALL, *LOGIN_FAULTS, *DIALECT_FAULTS, *LAPSES, *WIRE_FAULTS)

FAULTS: dict[str, Fault] = {fault.key: fault for fault in _EVERY}
"""Every fault, by `stage/name`."""
