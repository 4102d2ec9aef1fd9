"""What is judged: a server of a file or of a program, with what it would reach and how it would sign."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mcpdoctor.clients.entries import Server
from mcpdoctor.clients.proxies import How, Setting
from mcpdoctor.clients.reach import Reach
from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.endpoints import host_of
from mcpdoctor.model import UNSIGNED, Fact

if TYPE_CHECKING:
    from mcpdoctor.clients.python import Usage


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Subject:
    """A server.

    Attributes:
        reach: what it would reach.
        usage: the call of the program that names it; None for an entry of a file.
        signs: whether its requests are signed; None where that cannot be told.
        service: what they are signed for; None where nothing is known of it.
        region: the region they are signed for, in the same way.
        profile: whose credentials they are signed with, in the same way.
        found: what reading the program found.
    """

    reach: Reach
    usage: Usage | None = None
    signs: bool | None = None
    service: Setting | None = None
    region: Setting | None = None
    profile: Setting | None = None
    found: tuple[Problem, ...] = field(default_factory=tuple)

    @property
    def server(self) -> Server:
        """The server."""
        return self.reach.server

    @property
    def endpoint(self) -> Word | None:
        """The URL, where it is certain."""
        word = self.reach.endpoint
        return word if word is not None and word.certain else None

    @property
    def facts(self) -> dict[str, Fact]:
        """What every text may name."""
        url = self.endpoint.text if self.endpoint else ""
        return {
            "server": self.server.name,
            "client": self.server.client.title,
            "endpoint": url,
            "host": host_of(url),
            "written_in": "program" if self.usage is not None else "file",
        }


def of_reach(reach: Reach) -> Subject:
    """The subject of an entry of a client's file, or of a command in a program."""
    proxy = reach.proxy
    if proxy is None:
        known = reach.endpoint is not None and reach.endpoint.certain
        named = reach.server.env.get("AWS_PROFILE") if reach.launch is not None else None
        return Subject(
            reach=reach,
            signs=False if known else None,
            profile=Setting(
                value=named.text, how=How.ENVIRONMENT, at=named.at, name="AWS_PROFILE", certain=named.certain
            )
            if named is not None
            else None,
        )
    return Subject(
        reach=reach,
        signs=True,
        service=proxy.service,
        region=proxy.region,
        profile=proxy.profiles[0] if proxy.profiles else None,
    )


def given(word: Word | None) -> Setting | None:
    """A setting that is written out."""
    return Setting(value=word.text, how=How.GIVEN, at=word.at, certain=word.certain) if word else None


def unsigned(subject: Subject) -> bool:
    """Whether a configuration that is certain sends no signature."""
    sent = subject.reach.configuration
    return sent is not None and sent.credential == UNSIGNED
