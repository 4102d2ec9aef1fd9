"""docs/messages.md, written from what `mcpdoctor explain` says: `python -m field.messages` in tests/.

A message is one that clients and frameworks print. `check` and `causes` are what must be said of it, and a test asks.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from itertools import groupby

import mcpdoctor
from mcpdoctor.explanation import Explanation

HEAD = """\
# What a message means

<!-- Made from tests/field/messages.py and checks/*.toml: make docs. Do not edit. -->

What clients and frameworks print where an MCP server of AWS cannot be reached, what it comes from, and what to do.
Search this page for a few words of yours; or let mcpdoctor read all of it:

```console
$ python agent.py 2>&1 | mcpdoctor explain
```

The texts below are its answers. A message alone often leaves several causes; a whole traceback or log leaves fewer, and
`mcpdoctor check URL` asks the server itself.
"""


@dataclass(frozen=True, kw_only=True)
class Message:
    """One message, and what it means.

    Attributes:
        group: the heading in the list of messages.
        text: the message as it is printed, alone.
        title: the words that people search for, where the text has more than those.
        check: the check that explains it.
        causes: what remains, most likely first; the first is its cause. None where the text tells nothing.
        more: what a reader should know besides.
    """

    group: str
    text: str
    title: str = ""
    check: str
    causes: tuple[str, ...]
    more: str = ""


HIDDEN = "The client hides the cause"
REFUSED = "The server refuses"
KEYS = "Credentials"
LIMITS = "Too much at a time"
WAY = "The way to the server"
START = "The server or the client does not start"
SPEECH = "Sessions, tools and protocol"
GATE_401 = ("unsigned", "bad-credentials", "expired-credentials", "wrong-service")
GATE_403 = ("access-denied", "bad-credentials", "expired-credentials", "wrong-service", "wrong-region", "unsigned")
UNTOLD = "unexplained"
AWS = "https://aws-mcp.us-east-1.api.aws/mcp"


def _one(group: str, text: str, check: str, *causes: str, title: str = "", more: str = "") -> Message:
    return Message(group=group, text=text, title=title, check=check, causes=causes, more=more)


MESSAGES = (
    _one(
        HIDDEN,
        "Failed to start MCP client: the client initialization failed",
        UNTOLD,
        more="Strands says this for every failure. The cause is further up, in the traceback that it was raised from: "
        "explain the whole traceback. Where nothing else stands there, the answer of the server was thrown away.",
    ),
    _one(
        HIDDEN,
        "ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception)",
        UNTOLD,
        title="unhandled errors in a TaskGroup (1 sub-exception)",
        more="The cause is in the lines below it, which begin with `|` and `+-+`. Programs that log `str(error)` leave "
        "them out; `mcpdoctor.explain(error)` takes the exception itself apart ([In Python](explain.md#in-python)).",
    ),
    _one(
        HIDDEN,
        "mcp.shared.exceptions.McpError: Server returned an error response",
        UNTOLD,
        title="Server returned an error response",
        more="mcp 2.x writes it for 401, 403, 429 and 500 alike.",
    ),
    _one(
        HIDDEN,
        "McpError: MCP error -32000: Connection closed",
        "client-server-exited",
        "startup-failure",
        title="MCP error -32000: Connection closed",
    ),
    _one(
        HIDDEN,
        "McpError: MCP error -32602: Invalid request parameters",
        "client-proxy-parameters",
        "no-credentials",
        "expired-credentials",
        "no-region",
        "tls-failure",
        "wrong-service",
        "access-denied",
        title="MCP error -32602: Invalid request parameters",
        more="`mcpdoctor check --from FILE --run-commands` starts the proxy as the client does, and asks its endpoint "
        "too ([Entries of client files](from.md)).",
    ),
    _one(
        HIDDEN,
        "mcp.shared.exceptions.McpError: Session terminated",
        "http-not-found",
        "not-found",
        title="Session terminated",
    ),
    _one(
        REFUSED,
        'HTTP 403 {"message":"Missing Authentication Token"}',
        "auth-unsigned",
        "unsigned",
        title="Missing Authentication Token",
    ),
    _one(
        REFUSED,
        f"httpx.HTTPStatusError: Client error '401 Unauthorized' for url '{AWS}'",
        "auth-refused-anonymous",
        *GATE_401,
        title="Client error '401 Unauthorized'",
    ),
    _one(
        REFUSED,
        f"httpx.HTTPStatusError: Client error '403 Forbidden' for url '{AWS}'",
        "auth-refused-forbidden",
        *GATE_403,
        title="Client error '403 Forbidden'",
    ),
    _one(
        REFUSED,
        "InvalidSignatureException: Credential should be scoped to correct service: 'aws-mcp'.",
        "auth-wrong-service",
        "wrong-service",
        title="Credential should be scoped to correct service",
    ),
    _one(
        REFUSED,
        "Credential should be scoped to a valid region.",
        "auth-wrong-region",
        "wrong-region",
        title="Credential should be scoped to a valid region",
    ),
    _one(
        REFUSED,
        "The request signature we calculated does not match the signature you provided. "
        "Check your AWS Secret Access Key and signing method.",
        "auth-signature-mismatch",
        "bad-credentials",
        "wrong-service",
        "wrong-region",
        "signature-altered",
        "clock-skew",
        title="The request signature we calculated does not match the signature you provided",
        more="Behind a company proxy: [the recipe](recipes/corporate-proxy.md).",
    ),
    _one(
        REFUSED,
        "Signature expired: 20261101T000000Z is now earlier than 20261101T000600Z (20261101T001100Z - 5 min.)",
        "auth-clock-skew",
        "clock-skew",
        title="Signature expired: … is now earlier than …",
    ),
    _one(
        REFUSED,
        "User: arn:aws:iam::123456789012:user/dev is not authorized to perform: aws-mcp:InvokeMcp on resource: *",
        "auth-access-denied",
        "access-denied",
        title="is not authorized to perform",
        more="`mcpdoctor targets NAME` lists the IAM actions of a server.",
    ),
    _one(
        REFUSED,
        "Authorization method mismatch. The agent is configured for a different authorization method than what was "
        "used in your request.",
        "auth-method-mismatch",
        "wrong-auth-method",
        title="Authorization method mismatch",
        more="See [AgentCore](recipes/agentcore.md).",
    ),
    _one(
        REFUSED,
        'HTTP 401 {"error":"invalid_token"}',
        "auth-unsigned",
        "unsigned",
        title="invalid_token",
        more="See [Bearer tokens and logins with OAuth](tokens.md).",
    ),
    _one(
        REFUSED,
        "Error: Incompatible auth server: does not support dynamic client registration",
        "client-oauth-no-registration",
        "wrong-auth-method",
        "unsigned",
        title="Incompatible auth server: does not support dynamic client registration",
    ),
    _one(
        KEYS,
        "botocore.exceptions.NoCredentialsError: Unable to locate credentials",
        "auth-no-credentials",
        "no-credentials",
        title="Unable to locate credentials",
    ),
    _one(
        KEYS,
        "ExpiredTokenException: The security token included in the request is expired",
        "auth-expired-credentials",
        "expired-credentials",
        title="The security token included in the request is expired",
    ),
    _one(
        KEYS,
        "UnrecognizedClientException: The security token included in the request is invalid.",
        "auth-bad-credentials",
        "bad-credentials",
        title="The security token included in the request is invalid",
    ),
    _one(
        KEYS,
        "botocore.exceptions.TokenRetrievalError: Error when retrieving token from sso: "
        "Token has expired and refresh failed",
        "auth-login-expired",
        "expired-credentials",
        title="Token has expired and refresh failed",
    ),
    _one(
        KEYS,
        "Your session has expired. Please reauthenticate using 'aws login'.",
        "auth-login-session-expired",
        "expired-credentials",
        title="Please reauthenticate using 'aws login'",
    ),
    _one(
        KEYS,
        "botocore.exceptions.ProfileNotFound: The config profile (agents) could not be found",
        "auth-profile-not-found",
        "profile-not-found",
        title="The config profile (…) could not be found",
    ),
    _one(
        KEYS,
        "botocore.exceptions.NoRegionError: You must specify a region.",
        "auth-no-region",
        "no-region",
        title="You must specify a region",
    ),
    _one(
        LIMITS,
        "httpx.HTTPStatusError: Client error '429 Too Many Requests' for url 'https://knowledge-mcp.global.api.aws'",
        "rate-limited",
        "rate-limited",
        title="Client error '429 Too Many Requests'",
        more="`mcpdoctor ceiling URL` measures how many workers are safe ([Evals](recipes/evals.md)).",
    ),
    _one(LIMITS, "MCP error -32004: Too many requests", "rate-limited", "rate-limited"),
    _one(LIMITS, "ThrottlingException: Rate exceeded", "rate-limited", "rate-limited"),
    _one(
        WAY,
        "httpx.ConnectError: [Errno -2] Name or service not known",
        "dns-unknown-host",
        "dns-failure",
        title="Name or service not known",
        more="On macOS it is `nodename nor servname provided`, in Node.js `getaddrinfo ENOTFOUND`, on Windows "
        "`getaddrinfo failed`.",
    ),
    _one(
        WAY,
        "httpx.ConnectError: All connection attempts failed",
        "client-no-connection",
        "connection-refused",
        "timeout",
        title="All connection attempts failed",
    ),
    _one(WAY, "httpx.ConnectTimeout", "tcp-unreachable", "timeout"),
    _one(WAY, "httpx.ReadTimeout", "http-timeout", "timeout"),
    _one(
        WAY,
        "httpx.ConnectError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
        "unable to get local issuer certificate (_ssl.c:1006)",
        "tls-untrusted",
        "tls-failure",
        title="certificate verify failed: unable to get local issuer certificate",
        more="Behind a company proxy: [the recipe](recipes/corporate-proxy.md).",
    ),
    _one(
        WAY,
        "httpx.ProxyError: 407 Proxy Authentication Required",
        "tcp-proxy",
        "proxy-failure",
        title="407 Proxy Authentication Required",
    ),
    _one(
        WAY,
        "httpx.RemoteProtocolError: Server disconnected without sending a response.",
        "http-connection-lost",
        "connection-lost",
        title="Server disconnected without sending a response",
    ),
    _one(
        WAY,
        f"httpx.HTTPStatusError: Server error '502 Bad Gateway' for url '{AWS}'",
        "http-server-error",
        "server-error",
        title="Server error '502 Bad Gateway'",
    ),
    _one(WAY, "Unexpected content type: text/html", "http-not-mcp", "not-mcp"),
    _one(START, "spawn uvx ENOENT", "client-command-missing", "startup-failure"),
    _one(
        START,
        "mcp-proxy-for-aws: error: the following arguments are required: endpoint",
        "client-arguments",
        "config-invalid",
        title="the following arguments are required: endpoint",
    ),
    _one(
        START,
        "Server transport closed unexpectedly, this is likely due to the process exiting early",
        "client-server-exited",
        "startup-failure",
        title="Server transport closed unexpectedly",
    ),
    _one(
        START,
        "Runtime initialization time exceeded",
        "runtime-slow-start",
        "server-error",
        more="See [AgentCore](recipes/agentcore.md).",
    ),
    _one(START, "AttributeError: 'int' object has no attribute 'seconds'", "client-timeout-type", "version-defect"),
    _one(
        START,
        "h11._util.LocalProtocolError: Too much data for declared Content-Length",
        "client-metadata-after-signing",
        "version-defect",
        title="Too much data for declared Content-Length",
    ),
    _one(
        SPEECH,
        "MCP error -30001: SessionId was not found",
        "http-session-lost",
        "session-lost",
        title="MCP error -30001: SessionId was not found",
    ),
    _one(SPEECH, "MCP error -32001: Request timed out", "http-timeout", "timeout"),
    _one(
        SPEECH,
        "McpError: MCP error -32603: Internal error",
        "open-rpc-error",
        "protocol-error",
        title="MCP error -32603: Internal error",
    ),
    _one(SPEECH, "Unknown tool: aws___call_aws", "call-removed-tool", "tool-error"),
    _one(
        SPEECH,
        "RuntimeError: Unsupported protocol version from the server: 2025-03-26",
        "open-unsupported-protocol",
        "protocol-error",
        title="Unsupported protocol version from the server",
    ),
)


def title(message: Message) -> str:
    """The heading of a message."""
    return message.title or message.text


def anchor(heading: str) -> str:
    """The anchor that GitHub and the site give a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def page() -> str:
    """The page, as Markdown."""
    parts = [HEAD]
    for group, messages in groupby(MESSAGES, key=lambda one: one.group):
        entries = "\n".join(f"- [`{title(one)}`](#{anchor(title(one))})" for one in messages)
        parts.append(f"**{group}**\n\n{entries}\n")
    return "\n".join([*parts, *map(_entry, MESSAGES)])


def _entry(message: Message) -> str:
    told = mcpdoctor.explain(message.text)
    finding = told.findings[0]
    whole = message.text.rstrip(".").endswith(title(message))
    parts = (
        f"## `{title(message)}`",
        "" if whole else f"```text\n{message.text}\n```",
        _cause(message),
        _plain(finding.text, message),
        message.more,
        f"**What to do:** {finding.remedy}",
        _advice(told, finding.remedy),
    )
    return "\n\n".join(filter(None, parts)) + "\n"


def _plain(text: str, message: Message) -> str:
    """What the finding says, without the message that stands above it."""
    return text.replace(f" ({message.text.rstrip('.')})", "").replace(f" ({message.text})", "")


def _cause(message: Message) -> str:
    link = f"[{message.check}](checks.md#{message.check})"
    match message.causes:
        case ():
            return f"**Cause:** the message does not tell ({link})."
        case (cause,):
            return f"**Cause:** `{cause}` ({link})."
        case _:
            rest = ", ".join(f"`{one}`" for one in message.causes)
            return f"**Cause:** the message does not tell which; most likely first: {rest} ({link})."


def _advice(told: Explanation, remedy: str) -> str:
    return f"To know more: `{told.advice}`." if told.advice and told.advice not in remedy else ""


if __name__ == "__main__":
    sys.stdout.write(page())
