"""What is odd about how the proxy is started: its arguments, its version, and the profile it is told to use."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.known import Known
from mcpdoctor.clients.proxies import How, Proxy
from mcpdoctor.clients.values import Edit
from mcpdoctor.clients.versions import Version, version
from mcpdoctor.clients.words import Problem
from mcpdoctor.defects import Defect, Wanted, exactly, wanted
from mcpdoctor.linting import circumstances, pins
from mcpdoctor.linting.edits import replaced
from mcpdoctor.linting.pins import Pin, of_text
from mcpdoctor.linting.profiles import CREDENTIALS, Profiles
from mcpdoctor.linting.subjects import Subject
from mcpdoctor.model import Fact

_OPERATIONS = "AWS_REGION"
"""The member of `_meta` that tells a server where to work."""
_MORE_THAN_ERRORS = ("DEBUG", "INFO", "WARNING")


def problems(subject: Subject, catalogue: Catalogue, known: Known, profiles: Profiles) -> Iterator[Problem]:
    """What is odd about a proxy; nothing for a server without one, but for its profile."""
    yield from _profile(subject, profiles)
    proxy = subject.reach.proxy
    if proxy is None:
        return
    yield from _metadata(proxy, known)
    yield from _log(subject, proxy)
    match = catalogue.owner(subject.endpoint.text) if subject.endpoint else None
    told = match is not None and any(one.name == _OPERATIONS for one in match.endpoint.meta)
    if told and not _files_of_its_own(subject):
        yield from _operations(subject, proxy, profiles)
    if proxy.read_only and match is not None and match.endpoint.read_only:
        flag = proxy.arguments.last("--read-only")
        if flag is not None:
            facts: dict[str, Fact] = {"left": match.endpoint.read_only, "title": match.endpoint.title}
            yield Problem(kind="read-only", at=flag.flag.at, facts=facts)


def _log(subject: Subject, proxy: Proxy) -> Iterator[Problem]:
    """A log that is written for nobody but a client that takes it for errors."""
    level = proxy.arguments.value("--log-level")
    if level is not None and subject.server.client.stderr_is_error and level.text in _MORE_THAN_ERRORS:
        yield Problem(kind="log-shown-as-errors", at=level.at, facts={"level": level.text})


def _metadata(proxy: Proxy, known: Known) -> Iterator[Problem]:
    for given in proxy.arguments.given:
        if given.option.name != "--metadata":
            continue
        for word in given.values:
            key, equals, value = word.text.partition("=")
            if not equals or key not in known.proxy.own_variables:
                continue
            edits: tuple[Edit, ...] = ()
            # Behind the URL alone: before it, some versions take the URL for one more profile.
            alone = len(given.values) == 1 and given.flag is not word
            if alone and proxy.endpoint is not None and proxy.endpoint.at.start < given.flag.at.start:
                flag, profile = replaced(given.flag.at, "--metadata", "--profile"), replaced(word.at, word.text, value)
                edits = (*flag, *profile) if flag and profile else ()
            yield Problem(
                kind="profile-in-metadata", at=word.at, facts={"variable": key, "profile": value}, edits=edits
            )


def _operations(subject: Subject, proxy: Proxy, profiles: Profiles) -> Iterator[Problem]:
    """An old version, by the version that is pinned, works in the region it signs for, whatever the profile says."""
    told, name = proxy.operations, (subject.profile.value if subject.profile else None) or "default"
    wanted = profiles.get(name, {}).get("region")
    sure = told.certain and (subject.profile is None or subject.profile.certain)
    endpoint = subject.endpoint
    if proxy.version is None or told.how not in (How.HOST, How.GIVEN) or not told.value or not sure or endpoint is None:
        return
    if wanted and wanted != told.value:
        facts: dict[str, Fact] = {
            "region": told.value,
            "profile": name,
            "profile_region": wanted,
            "package": proxy.needed.name if proxy.needed else "mcp-proxy-for-aws",
            "version": _shown(proxy.version),
        }
        yield Problem(kind="operation-region-differs", at=(proxy.package or endpoint).at, facts=facts)


def defects(
    subject: Subject, name: str, profiles: Profiles, rules: Collection[Defect], *, platform: str
) -> Iterator[Problem]:
    """The known defects of the version of the proxy that an entry asks for.

    Args:
        subject: the entry.
        name: of the proxy's package.
        profiles: of this user.
        rules: the defects.
        platform: as `sys.platform` has it.
    """
    proxy = subject.reach.proxy
    at = (proxy.package or proxy.launch.program) if proxy is not None else None
    if proxy is None or at is None:
        return
    name = (proxy.needed.name if proxy.needed and not proxy.launch.isolated else "") or name
    asked = _asked(proxy)
    if asked is None:
        return
    pin = Pin(package=name, wanted=asked[0], written=asked[1], at=at.at)
    beside = tuple(one for word in proxy.launch.beside if (one := of_text(word.text, word.at)) is not None)
    facts = circumstances.of_proxy(subject, proxy, profiles, platform, beside={one.package for one in beside})
    yield from pins.problems((pin,), facts, rules, beside=beside)


def _asked(proxy: Proxy) -> tuple[Wanted, str] | None:
    """The versions that an entry asks for, and how that is written; None where it leaves the choice to others."""
    if proxy.version is not None:
        text = ".".join(map(str, (*proxy.version, 0, 0)[: max(3, len(proxy.version))]))
        one = exactly(text)
        return (one, text) if one else None
    needed = proxy.needed
    if needed is None or needed.operator in (None, "@") or not needed.wanted:
        return None
    specifier = f"{needed.operator}{needed.wanted}"
    several = wanted(specifier)
    return (several, specifier) if several else None


def _shown(one: Version) -> str:
    return ".".join(map(str, (*one, 0, 0)[: max(3, len(one))]))


def _files_of_its_own(subject: Subject) -> bool:
    """Whether an entry names other files of AWS than those of this user."""
    started = subject.reach.launch
    names = {*subject.server.env, *(started.environment if started else ())}
    return bool({"AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"} & names)


def _profile(subject: Subject, profiles: Profiles) -> Iterator[Problem]:
    """What is odd about the profile, as far as the files of this machine are those that will be read."""
    setting = subject.profile
    started = subject.reach.launch
    if not profiles or _files_of_its_own(subject):
        return
    if setting is None:
        yield from _nobody(subject, profiles)
        return
    if not setting.value or not setting.certain:
        return
    if started is not None and (started.isolated or any(one.runner.credentials for one in started.steps)):
        return
    settings = (setting, *(subject.reach.proxy.profiles[1:] if subject.reach.proxy else ()))
    for one in settings:
        if not one.value or not one.certain or one.at is None or "://" in one.value:
            continue  # a URL there is told as one
        # A value of the environment of an entry is never shown, be it only a name.
        shown = f"Profile {one.value}" if one.how is How.GIVEN else f"The profile that {one.name} names"
        facts: dict[str, Fact] = {"profile": shown, "profiles": tuple(sorted(profiles)), "how": one.how.value}
        if one.value not in profiles:
            yield Problem(kind="profile-unknown", at=one.at, facts=facts)
            continue
        values = profiles[one.value]
        if "region" not in values and _needs_region(subject, values):
            facts["login"] = "login_session" in values
            yield Problem(kind="profile-without-region", at=one.at, facts=facts)
        if "role_arn" in values and "role_session_name" not in values:
            proxy = subject.reach.proxy
            fixed = proxy is not None and proxy.version is not None and proxy.version >= version("1.6.2")
            if subject.signs and not fixed:
                yield Problem(kind="role-without-session-name", at=one.at, facts=facts)


def _nobody(subject: Subject, profiles: Profiles) -> Iterator[Problem]:
    """An entry that signs for no profile in particular, where only particular ones exist."""
    proxy, started, server = subject.reach.proxy, subject.reach.launch, subject.server
    if proxy is None or started is None or subject.usage is not None or "default" in profiles or proxy.skips_auth:
        return
    given = {*server.env, *started.environment, *(server.forward or ())}
    if given & CREDENTIALS or started.isolated or any(one.runner.credentials for one in started.steps):
        return
    yield Problem(kind="profile-missing", at=server.at, facts={"profiles": tuple(sorted(profiles))})


def _needs_region(subject: Subject, profile: Mapping[str, str]) -> bool:
    """Whether a region has to come from the profile."""
    if subject.reach.proxy is not None:
        # The proxy signs for the region of the host; the renewal of a login asks botocore's own chain.
        named = {"AWS_REGION", "AWS_DEFAULT_REGION"} & {*subject.server.env, *(subject.server.forward or ())}
        return "login_session" in profile and not named
    return bool(subject.signs) and (subject.region is None or subject.region.how is How.CHAIN)
