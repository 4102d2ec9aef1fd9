"""Servers that want a login with OAuth, and everything that goes wrong with it: challenges, metadata, tokens.

What is served under `/.well-known/` follows RFC 9728 (the resource) and RFC 8414 (the authorization server). Nobody can
log in here: the addresses for that are named and answer 404.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from mcpdoctor.lab import tokens
from mcpdoctor.lab.fault import Fault
from mcpdoctor.lab.messages import Answer, Reaction, Request, in_html, in_json, not_found, request_id, rpc_error

HOST = "login.lab.test"
SIGN_IN = "oauth.signin.aws"
RESOURCE = "/.well-known/oauth-protected-resource"
SERVER = "/.well-known/oauth-authorization-server"
IMDS = "http://169.254.169.254/latest/meta-data/iam/security-credentials/"
AUDIENCE = "https://lab.test"
"""What the tokens for the faults are for, whichever of them it is."""

_FAULTS = "/fault/"
_SCOPES = ["tools:read", "tools:call"]


def bearer(request: Request) -> str | None:
    """The bearer token of a request; None where it carries none."""
    scheme, _, token = (request.header("authorization") or "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def challenge(request: Request, **more: str) -> str:
    """The value of `WWW-Authenticate` for a fault, which names its metadata."""
    base = f"{request.scheme}://{request.authority}"
    named = {**more, "resource_metadata": f"{base}{RESOURCE}{request.path}"}
    return "Bearer " + ", ".join(f'{name}="{value}"' for name, value in named.items())


def refused(request: Request, message: str, ask: str | None, *, status: int = 401) -> Answer:
    """What an AgentCore gateway with a JWT authorizer says (reported; the texts for bad tokens are assumed)."""
    asked = (("www-authenticate", ask),) if ask else ()
    return rpc_error(request, -32001, message, status=status, headers=(*asked, *request_id()))


def wants_token(request: Request) -> Reaction | None:
    """Let in who has a good token of the lab."""
    token = bearer(request)
    if token is None:
        return refused(request, "Missing Bearer token", challenge(request))
    problem = tokens.wrong(token, AUDIENCE)
    if problem is None:
        return None
    ask = challenge(request, error="invalid_token", error_description=problem)
    return refused(request, "Invalid Bearer token", ask)


def _lacks_scope(request: Request) -> Reaction | None:
    answer = wants_token(request)
    if answer is not None:
        return answer
    ask = challenge(request, error="insufficient_scope", scope="tools:admin")
    return refused(request, "Insufficient scope", ask, status=403)


def _renamed(request: Request) -> Reaction | None:
    """API Gateway renames the header of what is behind it (reported: anthropics/claude-ai-mcp issue 748)."""
    headers = (("x-amzn-remapped-www-authenticate", challenge(request)), *request_id())
    return in_json({"message": "Unauthorized"}, status=401, headers=headers)


def _unchallenged(_: Request) -> Reaction | None:
    return in_json({"message": "Unauthorized"}, status=401, headers=request_id())


def _harmful(request: Request) -> Reaction | None:
    return refused(request, "Missing Bearer token", f'Bearer resource_metadata="{IMDS}"')


# Metadata ------------------------------------------------------------------------------------------------------------


def metadata(request: Request) -> Answer:
    """What is under `/.well-known/` of the faults and of the authorization servers."""
    path = request.path
    if path.startswith(f"{RESOURCE}{_FAULTS}"):
        fault = path.removeprefix(f"{RESOURCE}{_FAULTS}").removesuffix("/mcp")
        give = _RESOURCES.get(fault, _NO_METADATA.get(fault, _resource))
        return give(request)
    if path.startswith(SERVER):
        return _server(request, path.removeprefix(SERVER))
    return not_found()


def issuer(request: Request, name: str = "") -> str:
    """The authorization server of the faults: by path for who came by path, so that nobody needs a name for it."""
    by_name = request.host.endswith(".test")
    return f"https://{HOST}{name}" if by_name else f"{request.scheme}://{request.authority}/login{name}"


def sign_in(request: Request, region: str, *, by_name: bool) -> str:
    """The authorization server of AWS MCP Server in a Region (reported: CommandCodeAI/command-code issue 692)."""
    if by_name:
        return f"https://{region}.{SIGN_IN}/"
    return f"{request.scheme}://{request.authority}/signin/{region}"


def _resource(request: Request, *, name: str = "", resource: str | None = None) -> Answer:
    own = f"{request.scheme}://{request.authority}{request.path.removeprefix(RESOURCE)}"
    servers = [issuer(request, name)]
    return in_json({"resource": resource or own, "authorization_servers": servers, "scopes_supported": _SCOPES})


_RESOURCES: Mapping[str, Callable[[Request], Answer]] = {
    "auth/metadata-html": lambda _: in_html("<!DOCTYPE html><html><title>Welcome</title><p>A single page.</html>"),
    "auth/metadata-other-resource": lambda request: _resource(request, resource="https://other.lab.test/mcp"),
    "auth/no-registration": lambda request: _resource(request, name="/pool"),
    "auth/other-issuer": lambda request: _resource(request, name="/tenant"),
    "auth/server-missing": lambda request: _resource(request, name="/gone"),
}
_NO_METADATA: Mapping[str, Callable[[Request], Answer]] = {
    name: lambda _: not_found() for name in ("auth/no-challenge", "auth/metadata-harmful")
}


def _server(request: Request, name: str) -> Answer:
    """The metadata of an authorization server; that of AWS Sign-in says nothing of code challenges (reported)."""
    if request.host.endswith(SIGN_IN) or name.startswith("/signin/"):
        base = f"https://{request.host}" if request.host.endswith(SIGN_IN) else f"{_base(request)}{name}"
        return in_json(
            {
                "issuer": f"{base}/" if request.host.endswith(SIGN_IN) else base,
                "authorization_endpoint": f"{base}/v1/authorize",
                "token_endpoint": f"{base}/v1/token",
                "registration_endpoint": f"{base}/v1/register",
                "response_types_supported": ["code"],
                "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
            }
        )
    base = issuer(request, name.removeprefix("/login"))
    own = base.removeprefix(issuer(request))
    if own not in {"", "/pool", "/tenant"}:
        return not_found()
    document: dict[str, Any] = {
        "issuer": issuer(request) if own == "/tenant" else base,
        "authorization_endpoint": f"{base}/authorize",
        "token_endpoint": f"{base}/token",
        "registration_endpoint": f"{base}/register",
        "response_types_supported": ["code"],
        "code_challenge_methods_supported": ["S256"],
        "scopes_supported": _SCOPES,
    }
    if own == "/pool":
        del document["registration_endpoint"]  # as Cognito (reported: anthropics/claude-code issue 67258)
    return in_json(document)


def _base(request: Request) -> str:
    return f"{request.scheme}://{request.authority}"


_BEARER = f"https://lab.test{_FAULTS}healthy/bearer/mcp"
_AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"

LOGIN_FAULTS = (
    Fault(
        stage="auth",
        name="no-token",
        summary="The environment variable that should hold the token is not set.",
        endpoint=_BEARER,
        setup="Use the credential bearer:NAME with a variable that is not set.",
    ),
    Fault(
        stage="auth",
        name="token-malformed",
        summary="What the variable holds cannot be a token.",
        endpoint=_BEARER,
        setup="Put the word Bearer in front of the token in the variable.",
    ),
    Fault(
        stage="auth",
        name="token-expired",
        summary="The token has run out.",
        endpoint=_BEARER,
        setup="Use a token whose exp has passed.",
    ),
    Fault(
        stage="auth",
        name="token-early",
        summary="The token is not valid yet.",
        endpoint=_BEARER,
        setup="Use a token whose nbf is to come.",
    ),
    Fault(
        stage="auth",
        name="token-for-another",
        summary="The token was made for another server.",
        endpoint=_BEARER,
        setup="Use a token with the audience of another server.",
    ),
    Fault(
        stage="auth",
        name="token-refused",
        summary="Nothing but the server knows what is wrong with the token.",
        endpoint=_BEARER,
        setup="Use a word that nobody gave out as a token.",
    ),
    Fault(stage="auth", name="token-scope", summary="The token lacks a scope.", answer=_lacks_scope),
    Fault(
        stage="auth",
        name="wants-signature",
        summary="A token is sent where only a signature counts.",
        endpoint="https://eks-mcp.us-east-1.api.aws/mcp",
        setup="Send a bearer token.",
    ),
    Fault(
        stage="auth",
        name="renamed-challenge",
        summary="API Gateway renames the header that asks for a login.",
        answer=_renamed,
    ),
    Fault(
        stage="auth",
        name="no-challenge",
        summary="401 to every token, and nothing says where to get one.",
        answer=_unchallenged,
    ),
    Fault(
        stage="auth",
        name="metadata-html",
        summary="The metadata that the challenge names is a web page.",
        answer=wants_token,
    ),
    Fault(
        stage="auth",
        name="metadata-other-resource",
        summary="The metadata is that of another resource.",
        answer=wants_token,
    ),
    Fault(
        stage="auth",
        name="metadata-harmful",
        summary="The challenge names the metadata service of an EC2 instance as its metadata.",
        answer=_harmful,
    ),
    Fault(
        stage="auth",
        name="server-missing",
        summary="The authorization server that the metadata names has no metadata.",
        answer=wants_token,
    ),
    Fault(
        stage="auth",
        name="other-issuer",
        summary="The authorization server calls itself by another name.",
        answer=wants_token,
    ),
    Fault(
        stage="auth",
        name="no-registration",
        summary="The authorization server registers no clients.",
        answer=wants_token,
    ),
    Fault(
        stage="auth",
        name="no-pkce-named",
        summary="The authorization server does not say which code challenges it takes, as AWS Sign-in.",
        endpoint=f"{_AWS_MCP}?oauth=initialize",
        setup="Send without a signature.",
    ),
    Fault(
        stage="healthy",
        name="ways",
        summary="Nothing is wrong, whichever way it is asked.",
        endpoint=_AWS_MCP,
        setup="Send signed, with a token, and without either.",
    ),
    Fault(
        stage="healthy",
        name="bearer",
        summary="Nothing is wrong with a good token of the lab.",
        answer=wants_token,
    ),
)
"""Faults of logins."""
