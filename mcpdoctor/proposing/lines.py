"""What each server that a project uses comes to: a line of a suite, or the reason why there is none.

A line says what the project does, right or wrong: judging it is what `mcpdoctor check` is for. Pure.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import partial

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.known import Transport
from mcpdoctor.clients.proxies import Setting
from mcpdoctor.clients.values import Scalar
from mcpdoctor.endpoints import REGION, Match, host_of, is_loopback
from mcpdoctor.linting.subjects import Subject
from mcpdoctor.model import BEARER, UNSIGNED
from mcpdoctor.redaction import clean

MOST = 100
"""Lines that a proposal holds: more is no project, but a collection of examples."""

_PROFILE = "profile:"
_LONGEST = 2000
_NAME = r"(?P<name>[A-Za-z_][A-Za-z0-9_]{0,200})"
# As clients write a variable: ${NAME}, ${NAME:-}, ${env:NAME}, {env:NAME}, $NAME, ${{ secrets.NAME }}.
_TOKEN = re.compile(
    r"(?i:bearer) +(?:\$\{\{ *secrets\.|\$\{(?:env:)?|\{env:|\$)" + _NAME + r"(?::-[^}]{0,200})?(?: *\}){0,2}"
)
_ARGUMENT = re.compile(r"(?i:authorization) *: *(?P<value>.*)", re.DOTALL)
_HARMLESS = frozenset({"authorization", "accept", "content-type", "user-agent"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """Where a project uses a server.

    Attributes:
        file: relative to the project.
        line: counts from 1.
        name: what the server is called there, or what is called.
    """

    file: str
    line: int
    name: str

    def __str__(self) -> str:
        """`file:line (name)`."""
        return f"{self.file}:{self.line} ({self.name})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """A target of the suite.

    Attributes:
        target: a name of the catalogue, or a URL.
        name: what reports call it; empty for the target.
        uses: the places that use it.
        remarks: sentences for whoever reads the file.
    """

    target: str
    name: str = ""
    regions: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    credentials: tuple[str, ...] = ()
    uses: tuple[Use, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LeftOut:
    """A server without a line.

    Attributes:
        why: half a sentence.
        line: what could be asked of it; None where that is not known.
    """

    use: Use
    why: str
    line: Line | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Proposal:
    """What is to be written."""

    lines: tuple[Line, ...] = ()
    left_out: tuple[LeftOut, ...] = ()


def propose(subjects: Iterable[Subject], catalogue: Catalogue) -> Proposal:
    """Make the lines of a suite.

    Args:
        subjects: the servers that a project uses.
        catalogue: the endpoints there are.

    Returns:
        Each configuration once, with all places that use it; at most `MOST` of them.
    """
    lines: dict[Line, Line] = {}
    left_out: dict[tuple[Use, str], LeftOut] = {}
    for subject in subjects:
        found = _Reading(subject, catalogue).outcome()
        if isinstance(found, LeftOut):
            left_out.setdefault((found.use, found.why), found)
            continue
        same = replace(found, uses=(), remarks=())
        if same not in lines and len(lines) == MOST:
            why = f"there are more than {MOST} targets"
            left_out.setdefault((found.uses[0], why), LeftOut(use=found.uses[0], why=why, line=found))
            continue
        before = lines.get(same, same)
        lines[same] = replace(
            found,
            uses=tuple(dict.fromkeys((*before.uses, *found.uses))),
            remarks=tuple(dict.fromkeys((*before.remarks, *found.remarks))),
        )
    return Proposal(lines=tuple(_apart(lines.values())), left_out=tuple(left_out.values()))


def _apart(lines: Iterable[Line]) -> Iterator[Line]:
    """The lines, further ones of the same target under a name: of one target, a configuration that works is enough.

    Without this, what is wrong in one file would not count where another file has it right.
    """
    seen: Counter[str] = Counter()
    for line in lines:
        seen[line.target] += 1
        count = seen[line.target]
        yield line if count == 1 else replace(line, name=f"{(host_of(line.target) or line.target)[:70]} {count}")


class _Reading:
    """One server on its way to a line."""

    def __init__(self, subject: Subject, catalogue: Catalogue) -> None:
        self.subject, self.catalogue = subject, catalogue
        place = subject.server.place
        self.use = Use(file=_one_line(place.file, 300), line=place.line, name=_one_line(subject.server.name, 100))

    def outcome(self) -> Line | LeftOut:
        """The line, or why there is none."""
        url = self.subject.endpoint.text if self.subject.endpoint else ""
        why = self.closed() or self.unreachable() or (self.unsafe(url) if url else None)
        if why is not None or not url:
            return LeftOut(use=self.use, why=why or "nothing says which URL is called")
        match = self.catalogue.owner(url)
        signs = self.subject.signs
        if signs is None:  # a program with a client of its own is taken to do what the endpoint asks for
            if match is None:
                return LeftOut(use=self.use, why="the program brings a client of its own; nothing says how it signs")
            signs = "sigv4" in match.endpoint.auth
        return self.signed(url, match) if signs else self.unsigned(url, match)

    def closed(self) -> str | None:
        """Why it is none of what is reached over HTTP."""
        server = self.subject.server
        if not server.enabled:
            return "it is switched off"
        if server.transport is Transport.BUILTIN:
            return "it is a part of the client"
        if server.transport is Transport.SSE:
            return "it uses the old transport HTTP+SSE, which mcpdoctor does not speak"
        proxy = self.subject.reach.proxy
        if proxy is not None and not proxy.starts:
            return f"the proxy does not start with these arguments: mcpdoctor lint {self.use.file}"
        return None

    def unreachable(self) -> str | None:
        """Why its URL is not known."""
        subject, server = self.subject, self.subject.server
        if subject.endpoint is not None:
            return None
        if server.transport is Transport.STDIO and subject.reach.endpoint is None and subject.reach.proxy is None:
            if subject.usage is not None:
                return "it is a program on this machine, and no endpoint"
            return f"it is a program on this machine: mcpdoctor check --from {self.use.file} --run-commands starts it"
        if subject.reach.endpoint is not None:
            return "its URL is known only where it runs (a variable decides)"
        return "nothing says which URL is called"

    def unsafe(self, url: str) -> str | None:
        """What of it cannot be written down, or would be refused."""
        region, service, credential = self.region(), self.service(), self.profile()
        for name, text in (("URL", url), ("service", service), ("profile", credential)):
            if text is not None and clean(text, limit=_LONGEST) != text:
                return f"its {name} holds a secret, or characters that do not belong there"
        if not re.match(r"https?://[^/?#@]+(?:[/?#]|$)", url, re.IGNORECASE) or re.search(r"\s", url):
            return "its URL is none, or holds a user name or password"
        if region is not None and not re.fullmatch(REGION, region):
            return f"its region is none: mcpdoctor lint {self.use.file}"
        return None

    # what it is signed with -------------------------------------------------------------------------------------------

    def region(self) -> str | None:
        return _certain(self.subject.region)

    def service(self) -> str | None:
        return _certain(self.subject.service)

    def profile(self) -> str | None:
        return _certain(self.subject.profile)

    def credential(self) -> str:
        """The reference of what it is signed with."""
        usage = self.subject.usage
        if usage is not None and usage.credential is not None:
            return usage.credential
        profile = self.profile()
        return f"{_PROFILE}{profile}" if profile else "default"

    def signed(self, url: str, match: Match | None) -> Line | LeftOut:
        """The line of a server that is called with a signature."""
        service = self.service() or (match.endpoint.service if match else None)
        if service is None:
            return LeftOut(use=self.use, why="nothing says which service it is signed for")
        line = self.line(url, match, self.region(), self.credential())
        keys = "AWS_ACCESS_KEY_ID" in self.subject.server.env
        remark = "Its keys stand in that file; here it is whatever credentials are there." if keys else ""
        return replace(line, services=(service,), remarks=(*line.remarks, *filter(None, [remark])))

    def unsigned(self, url: str, match: Match | None) -> Line | LeftOut:
        """The line of a server that is called with a token, or with nothing."""
        authorization = next(self.authorizations(), None)
        variable = _variable(authorization) if authorization is not None else None
        if authorization is not None and variable is None:
            line = self.line(url, match, None, f"{BEARER}VARIABLE")
            why = "its token is not in an environment variable; put it into one, and name that in place of VARIABLE"
            return LeftOut(use=self.use, why=why, line=line)
        credential = UNSIGNED if variable is None else f"{BEARER}{variable}"
        line = self.line(url, match, None, credential)
        if match is None and variable is None and not is_loopback(host_of(url)):
            return LeftOut(use=self.use, why="it is no server of AWS, and the client may log in to it", line=line)
        return line

    def authorizations(self) -> Iterator[str]:
        """What is sent as header Authorization: as written in a file, or with its variable as a program names it."""
        usage, server = self.subject.usage, self.subject.server
        if usage is not None and usage.authorization is not None:
            value = usage.authorization
            holes = [piece for piece in value.pieces if not isinstance(piece, str)]
            known = len(holes) == 1 and holes[0].environment and value.pieces[-1] is holes[0]
            words = "".join(piece if isinstance(piece, str) else f"${{{piece.name}}}" for piece in value.pieces)
            yield words if known else ""
        for name, word in server.headers.items():
            if name.casefold() == "authorization":
                at = word.at
                yield (at.text if isinstance(at, Scalar) else None) or ""
        for word in server.args:
            found = _ARGUMENT.fullmatch(str(word.at.text if isinstance(word.at, Scalar) else word.text))
            if found:
                yield found["value"]

    def line(self, url: str, match: Match | None, region: str | None, credential: str) -> Line:
        """The line of a URL: by its name in the catalogue, where that says the same."""
        remarks = tuple(
            f"It sends {name} too: mcpdoctor check --header {name}=VARIABLE"
            for name in map(partial(_one_line, limit=60), self.subject.server.headers)
            if name.casefold() not in _HARMLESS
        )
        line = Line(
            target=url,
            regions=(region,) if region else (),
            credentials=(credential,),
            uses=(self.use,),
            remarks=remarks,
        )
        if match is None or match.endpoint.yours or match.endpoint.url_for(match.region or "") != url:
            return line
        if "{region}" not in match.endpoint.url:
            return replace(line, target=match.endpoint.name)
        if match.region is None or region not in (None, match.region):
            return line
        return replace(line, target=match.endpoint.name, regions=(match.region,))


def _one_line(words: str, limit: int) -> str:
    """Words of a file, as a part of a sentence."""
    return " ".join(clean(words, limit=limit).split()) or "no name"


def _certain(setting: Setting | None) -> str | None:
    """What a setting is, where it is certain."""
    return setting.value or None if setting is not None and setting.certain else None


def _variable(written: str) -> str | None:
    """The environment variable whose value is sent as a token; None where it is something else."""
    found = _TOKEN.fullmatch(written.strip())
    return found["name"] if found else None
