"""How the checks of bearer tokens and of logins are provoked in the lab."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from mcpdoctor.lab import logins, tokens

VARIABLE = "MCP_TOKEN"
HEALTHY = "https://lab.test/fault/healthy/bearer/mcp"


class Sends(Protocol):
    """What of a scene decides who asks."""

    services: tuple[str, ...]
    credentials: tuple[str, ...]
    environ: dict[str, str]


def sending(token: Callable[[], str | None]) -> Callable[[Sends], None]:
    """Send a token that is made when it is needed; None leaves the variable unset."""

    def arrange(scene: Sends) -> None:
        value = token()
        scene.services, scene.credentials = (), (f"bearer:{VARIABLE}",)
        scene.environ = {} if value is None else {VARIABLE: value}

    return arrange


def good() -> str:
    """A token that the faults of the lab take."""
    return tokens.mint(logins.AUDIENCE)


def unsigned(scene: Sends) -> None:
    """Ask without any credential."""
    scene.services, scene.credentials = (), ("none",)


def every_way(scene: Sends) -> None:
    """Ask signed, with a token, and without either."""
    scene.credentials = ("default", f"bearer:{VARIABLE}", "none")
    scene.environ = {VARIABLE: tokens.mint(tokens.SIGN_IN)}


PROVOCATIONS: dict[str, Callable[[Sends], None]] = {
    "auth-no-token": sending(lambda: None),
    "auth-token-malformed": sending(lambda: f"Bearer {good()}"),
    "auth-token-expired": sending(lambda: tokens.mint(logins.AUDIENCE, valid_s=-600)),
    "auth-token-early": sending(lambda: tokens.mint(logins.AUDIENCE, from_s=600)),
    "auth-wants-signature": sending(good),
    "auth-token-scope": sending(good),
    "auth-token-for-another": sending(lambda: tokens.mint("https://mcp.other.example/mcp")),
    "auth-token-refused": sending(lambda: "a-word-that-nobody-gave-out"),
    "auth-challenge-renamed": unsigned,
    "auth-no-challenge": sending(good),
    "auth-metadata-unreadable": unsigned,
    "auth-metadata-other-resource": unsigned,
    "auth-metadata-harmful": unsigned,
    "auth-server-unreadable": unsigned,
    "auth-issuer-differs": unsigned,
    "auth-no-registration": unsigned,
    "auth-no-pkce-named": unsigned,
    "auth-ways": every_way,
}
