"""From what names a server of yours, an ARN or an id, to its URL. The templates of both stand in the catalogue."""

from __future__ import annotations

import re
from urllib.parse import quote, unquote

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.endpoints import Endpoint, arn_pattern, names
from mcpdoctor.model import Unusable

_EXAMPLE = {"partition": "aws", "region": "us-east-1", "account": "111122223333"}
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{0,62}")
_SHOWN = 200


def is_arn(text: str) -> bool:
    """Whether somebody who wrote this meant an ARN, percent-encoded or not."""
    return re.match(r"(?i)arn(?::|%3a)", text) is not None


def kind_of(arn: str, catalogue: Catalogue) -> Endpoint:
    """The endpoint of the catalogue that an ARN is of.

    Raises:
        Unusable: it is that of no MCP server that is known.
    """
    for one in catalogue.endpoints.values():
        if one.arn and re.fullmatch(arn_pattern(one.arn), _decoded(arn)):
            return one
    examples = " or ".join(_example(one) for one in catalogue.endpoints.values() if one.arn)
    raise Unusable(f"{arn[:_SHOWN]!r} is not the ARN of an MCP server; it looks like {examples}.")


def url_of(endpoint: Endpoint, given: str, region: str, catalogue: Catalogue) -> str:
    """The URL of one server.

    Args:
        endpoint: what kind of server it is.
        given: its ARN, percent-encoded or not; or its id, where its URL needs no more than that and a region.
        region: where it is, for an id; an ARN says so by itself.
        catalogue: knows of what else an ARN may be.

    Raises:
        Unusable: it is no such ARN or id.
    """
    decoded = _decoded(given)
    found = re.fullmatch(arn_pattern(endpoint.arn), decoded) if endpoint.arn else None
    if found:
        parts = found.groupdict()
        template = endpoint.elsewhere.get(parts["partition"], endpoint.url)
        return _filled(template, {**parts, "arn": quote(decoded, safe="")})
    own = names(endpoint.url) - {"region"}
    if not is_arn(given) and "arn" not in own and len(own) == 1 and _ID.fullmatch(given):
        return _filled(endpoint.url, {"region": region, own.pop(): given})
    other = kind_of(given, catalogue) if is_arn(given) and _of_another(given, endpoint, catalogue) else None
    if other is not None:
        raise Unusable(f"That is the ARN of an {other.title}; the target for it is {other.name}.")
    raise Unusable(f"{given[:_SHOWN]!r} is not the ARN of an {endpoint.title}; it looks like {_example(endpoint)}.")


def _of_another(arn: str, endpoint: Endpoint, catalogue: Catalogue) -> bool:
    return any(
        one.arn and one is not endpoint and re.fullmatch(arn_pattern(one.arn), _decoded(arn))
        for one in catalogue.endpoints.values()
    )


def _decoded(arn: str) -> str:
    return unquote(arn.strip()) if "%" in arn else arn.strip()


def _example(endpoint: Endpoint) -> str:
    return _filled(endpoint.arn, _EXAMPLE)


def _filled(template: str, values: dict[str, str]) -> str:
    """A template with its names replaced; those that nobody knows stay in capitals, as in an example."""
    return re.sub(r"{(\w+)}", lambda found: values.get(found[1], found[1].upper()), template)
