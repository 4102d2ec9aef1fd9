"""What is known of how a package is used: the facts that the known defects of versions ask for (`checks/defects.toml`).

A fact that is not known is not there, so that no defect which needs it is told.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from urllib.parse import urlsplit

from mcpdoctor.clients.proxies import LOCAL, How, Proxy
from mcpdoctor.endpoints import host_of
from mcpdoctor.linting.profiles import Profiles
from mcpdoctor.linting.subjects import Subject
from mcpdoctor.model import Fact

_LIBRARY = "mcp_proxy_for_aws.client.aws_iam_streamablehttp_client"
_HTTP = "mcp.client.streamable_http."
_OLD_HTTP = "mcp.client.streamable_http.streamablehttp_client"
_LOGINS = ("login_session", "sso_session", "sso_start_url", "role_arn", "credential_process")
_KIRO = ("kiro", "amazon-q")


def of_proxy(
    subject: Subject, proxy: Proxy, profiles: Profiles, platform: str, beside: Collection[str] = ()
) -> dict[str, Fact]:
    """The circumstances of an entry that starts the proxy.

    Args:
        subject: the entry.
        proxy: as it starts it.
        profiles: of this user.
        platform: as `sys.platform` has it.
        beside: packages that the entry asks for too.
    """
    profile: Mapping[str, str] = profiles.get((subject.profile.value if subject.profile else None) or "default", {})
    started = proxy.launch
    facts: dict[str, Fact] = {
        "proxy": True,
        "resolved": started.fetched and not started.isolated and "fastmcp" not in beside,
        "windows": not started.isolated and (platform == "win32" or _on_windows(subject)),
        "kiro": subject.server.client.name in _KIRO,
        "read_only": proxy.read_only,
        "profiles": len([one for one in proxy.profiles if "://" not in (one.value or "")]),
        "assumes_role": "role_arn" in profile and "role_session_name" not in profile,
        "credential_process": "credential_process" in profile,
        "login_session": "login_session" in profile,
        "sso": "sso_session" in profile or "sso_start_url" in profile,
        "temporary": any(name in profile for name in _LOGINS),
    }
    url = subject.endpoint.text if subject.endpoint else ""
    if url:
        name = host_of(url)
        facts |= {
            "agentcore": "bedrock-agentcore" in name,
            "service_given": proxy.service.how is How.GIVEN,
            "insecure": urlsplit(url).scheme == "http" and name not in LOCAL,
            "own_server": "bedrock-agentcore" in name,
        }
    return facts


def of_programs(subjects: Iterable[Subject], platform: str) -> dict[str, Fact]:
    """The circumstances of a project: what its programs call, and what they give to it.

    Args:
        subjects: the calls.
        platform: as `sys.platform` has it.

    Returns:
        Nothing where no program of it calls anything.
    """
    from mcpdoctor.clients.python import Role

    facts: dict[str, Fact] = {}
    for subject in subjects:
        usage = subject.usage
        if usage is None:
            continue
        facts |= {"programs": True, "windows": platform == "win32"}
        functions = (usage.function, *(one.function for one in usage.holders))
        if _LIBRARY in functions:
            facts["library"] = True
            facts |= {"metadata": True} if usage.given(Role.METADATA) is not None else {}
        if any(one.startswith("strands.") for one in functions):
            facts["strands"] = True
        if any(one.startswith(_HTTP) for one in functions):
            facts["streamable_http"] = True
        given = [usage.given(role) for role in (Role.TIMEOUT, Role.READ_TIMEOUT)]
        if usage.function == _OLD_HTTP and any(one is not None and one.certain and _number(one.value) for one in given):
            facts["numeric_timeout"] = True
        if subject.reach.proxy is not None and not subject.reach.proxy.launch.fetched:
            facts["proxy"] = True
    return facts


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _on_windows(subject: Subject) -> bool:
    """Whether an entry can only be meant for Windows."""
    command = subject.server.command.text.lower() if subject.server.command else ""
    return command.endswith((".exe", ".cmd", ".bat")) or command == "cmd" or "\\" in command
