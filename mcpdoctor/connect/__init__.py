"""Transports for agent frameworks: signed where credentials work, and explained where the connection fails.

    from mcp import ClientSession
    from mcpdoctor.connect import aws_knowledge

    async with aws_knowledge() as (read, write, _), ClientSession(read, write) as session:
        await session.initialize()

A failure is a `ConnectionFailed` whose message is the explanation. Importing this is light: the MCP SDK and botocore
are imported where a connection is opened.
"""

from __future__ import annotations

from collections.abc import Mapping

from mcpdoctor.connect.connection import Connection
from mcpdoctor.connect.telling import ConnectionFailed, FallbackWarning
from mcpdoctor.connect.wanted import Wanted
from mcpdoctor.model import Unusable

__all__ = ["Connection", "ConnectionFailed", "FallbackWarning", "aws_knowledge", "aws_mcp", "endpoint"]

_AWS_MCP = "aws-mcp"
_AWS_KNOWLEDGE = "aws-knowledge"


def aws_knowledge(
    *,
    region: str | None = None,
    profile: str | None = None,
    credential: str | None = None,
    url: str | None = None,
    fallback: bool | str | None = True,
    timeout: float = 30.0,
    read_timeout: float = 300.0,
) -> Connection:
    """The documentation tools of AWS: from the AWS MCP Server, signed, or from the Knowledge server where that fails.

    The signed endpoint allows more parallel work than the unauthenticated one, and has the same documentation tools.
    Where the credential does not work (none, expired, refused, of the wrong partition, …) the unauthenticated Knowledge
    server stands in, and a `FallbackWarning` says so and why.

    Args:
        region: of the endpoint; that of the user, or the nearest one that there is, where none is given.
        profile: name of an AWS profile; the default credentials where none is given.
        credential: a credential reference instead of a profile: `default`, `env`, `profile:NAME`.
        url: of the signed endpoint, where it is not that of AWS.
        fallback: False to raise `ConnectionFailed` instead; or name or URL of another unauthenticated endpoint.
        timeout: seconds for connecting, and for finding the credentials.
        read_timeout: seconds that an answer may take.

    Returns:
        A connection; nothing is read, imported or sent before it is opened.

    Raises:
        Unusable: `profile` and `credential` are both given, or a value is of a wrong type or empty.
    """
    return Connection(
        Wanted(
            target=_AWS_KNOWLEDGE,
            prefer_signed=True,
            url=url,
            region=region,
            credential=Wanted.reference(profile, credential),
            fallback=fallback,
            timeout_s=timeout,
            read_timeout_s=read_timeout,
        )
    )


def aws_mcp(
    *,
    region: str | None = None,
    profile: str | None = None,
    credential: str | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    fallback: bool | str | None = False,
    timeout: float = 30.0,
    read_timeout: float = 300.0,
) -> Connection:
    """The AWS MCP Server, signed.

    Args:
        region: of the endpoint; that of the user, or the nearest one that there is, where none is given.
        profile: name of an AWS profile; the default credentials where none is given.
        credential: a credential reference instead of a profile: `default`, `env`, `profile:NAME`.
        url: of the endpoint, where it is not that of AWS.
        headers: HTTP headers to add to every request.
        fallback: True to use the unauthenticated Knowledge server, which has the documentation tools only, where the
            credential does not work; or name or URL of another unauthenticated endpoint.
        timeout: seconds for connecting, and for finding the credentials.
        read_timeout: seconds that an answer may take.

    Returns:
        A connection; nothing is read, imported or sent before it is opened.

    Raises:
        Unusable: as for `aws_knowledge`.
    """
    return endpoint(
        _AWS_MCP,
        region=region,
        profile=profile,
        credential=credential,
        url=url,
        headers=headers,
        fallback=fallback,
        timeout=timeout,
        read_timeout=read_timeout,
    )


def endpoint(
    name_or_url: str,
    *,
    region: str | None = None,
    service: str | None = None,
    profile: str | None = None,
    credential: str | None = None,
    url: str | None = None,
    headers: Mapping[str, str] | None = None,
    fallback: bool | str | None = False,
    timeout: float = 30.0,
    read_timeout: float = 300.0,
) -> Connection:
    """Any MCP server over streamable HTTP, signed with SigV4 or not.

    Args:
        name_or_url: a target as `mcpdoctor check` takes it: `aws-mcp`, `eks-mcp`, …, or a URL.
        region: for signing, and of the endpoint where its URL has one.
        service: SigV4 service name, where the catalogue does not know it.
        profile: name of an AWS profile.
        credential: a credential reference instead of a profile: `default`, `env`, `profile:NAME`, `bearer:VARIABLE`
            for an OAuth token in an environment variable, or `none` to send requests unsigned. Without either,
            requests are signed where the endpoint takes signatures.
        url: where the target answers, where that is not the URL of the catalogue (a test, a gateway in front of it).
        headers: HTTP headers to add to every request. They are not sent to a fallback.
        fallback: True to use the endpoint that the catalogue knows as a stand-in where the credential does not work;
            or the name or URL of an unauthenticated endpoint.
        timeout: seconds for connecting, and for finding the credentials.
        read_timeout: seconds that an answer may take.

    Returns:
        A connection; a target that does not exist shows when it is opened (`Unusable`).

    Raises:
        Unusable: `profile` and `credential` are both given, or a value is of a wrong type or empty.
    """
    return Connection(
        Wanted(
            target=name_or_url,
            url=url,
            region=region,
            service=service,
            credential=Wanted.reference(profile, credential),
            headers=_headers(headers),
            fallback=fallback,
            timeout_s=timeout,
            read_timeout_s=read_timeout,
        )
    )


def _headers(given: Mapping[str, str] | None) -> dict[str, str]:
    """A copy of the headers; an error of `dict` would show what is in them."""
    try:
        return dict(given or {})
    except (TypeError, ValueError):
        raise Unusable("headers must be a dictionary of names and values.") from None
