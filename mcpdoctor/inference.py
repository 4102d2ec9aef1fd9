"""Which service and region `mcp-proxy-for-aws` reads off a host, and where that is not what AWS wants."""

from __future__ import annotations

from urllib.parse import urlsplit

from mcpdoctor.endpoints import host_of

AGENTCORE = "bedrock-agentcore"
_LABELS_IT_KNOWS = 4


def guess(endpoint: str, *, agentcore: bool = True) -> tuple[str, str]:
    """Service and region as the proxy reads them off a host; either may be empty.

    Source: `get_service_name_and_region_from_endpoint` in `mcp_proxy_for_aws/utils.py`.

    Args:
        endpoint: the URL.
        agentcore: whether it knows the hosts of AgentCore, as versions from 1.1.0 on do.
    """
    try:
        labels = (urlsplit(endpoint).hostname or "").split(".")
    except ValueError:
        return "", ""
    match labels:
        case [*_, "bedrock-agentcore", region, "amazonaws", "com"] if agentcore:
            return AGENTCORE, region
        case [service, region, "api", "aws"]:
            return service, region
        case [service, *_]:
            return service, ""
    return "", ""


def why_given(endpoint: str, service: str | None, region: str | None) -> str | None:
    """Why service and region have to be given to the proxy for this endpoint, as one sentence.

    Args:
        endpoint: the URL.
        service: the service to sign for; None where nothing is to be signed.
        region: the region to sign for.

    Returns:
        None where the proxy reads both off the host.
    """
    guessed, found = guess(endpoint)
    if service is None:
        region_too = f" in {found}" if found else ""
        would = f"mcp-proxy-for-aws would sign for {guessed}{region_too}"
        return f"{would}, and this server takes no signature: do without it."
    if (guessed, found) == (service, region):
        return None
    host = host_of(endpoint)
    labels = host.count(".") + 1
    if host.endswith(".api.aws") and labels != _LABELS_IT_KNOWS:
        what = f" (it has {labels} labels, and the proxy knows {_LABELS_IT_KNOWS})"
    elif host.endswith(".amazonaws.com.cn"):
        what = " (it does not know hosts of China)"
    else:
        what = " (it does not know such hosts)"
    wrong = f"sign for {guessed}" if guessed != service else ""
    lost = "find no region" if not found else f"sign in {found}" if found != region else ""
    return f"By itself, mcp-proxy-for-aws would {' and '.join(filter(None, (wrong, lost)))} at this host{what}."
