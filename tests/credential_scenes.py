"""What the machine of a user must be like for each fault of a credential to show; files, variables and logins are real.

The lab stands in for STS, single sign-on, the sign-in service and the metadata services (`Lab.providers`).
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest
from botocore.credentials import SSOProvider
from botocore.tokens import SSOTokenProvider
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from mcpdoctor.lab import Lab, accounts, providers

UNKNOWN_ID = "AKIAQNZGKIQY56JQ7WML"
"""A made-up key that nobody knows; it is of account 029608264753."""
ACCOUNT_OF_UNKNOWN = "029608264753"
UNKNOWN = {"AWS_ACCESS_KEY_ID": UNKNOWN_ID, "AWS_SECRET_ACCESS_KEY": "not/a/secret/of/anybody/EXAMPLEKEY+42"}
LOGIN = f"arn:aws:iam::{accounts.ACCOUNT}:user/lab"
SSO_SECTION = """
[sso-session corp]
sso_region = us-east-1
sso_start_url = https://corp.awsapps.example/start
"""


class Machine(Protocol):
    """What a scene has."""

    lab: Lab
    monkeypatch: pytest.MonkeyPatch
    directory: Path
    url: str
    regions: tuple[str, ...]
    routes: tuple[str, ...]
    credentials: tuple[str, ...]
    environ: dict[str, str]
    standby: dict[str, str] | None
    timeout_s: float
    whoami: bool
    changed: dict[str, Any]

    def aws_config(self, text: str) -> None:
        """Make this the AWS configuration of the user."""
        ...


Arrange = Callable[[Any], None]


def base() -> str:
    """A profile with the default key of the lab."""
    key = accounts.DEFAULT
    return f"[profile base]\naws_access_key_id = {key.access_key_id}\naws_secret_access_key = {key.secret}\n"


def role(name: str = "role", arn: str = providers.ROLE, region: str = "region = us-east-1", **settings: str) -> str:
    """A profile that assumes a role."""
    given = {"source_profile": "base", **settings}
    lines = [f"{key} = {value}" for key, value in given.items() if value]
    return "\n".join([f"[profile {name}]", f"role_arn = {arn}", *lines, region, ""])


def sso(session: str = "corp", role_name: str = "lab") -> str:
    """A profile of single sign-on."""
    return (
        f"[profile sso]\nsso_session = {session}\nsso_account_id = {accounts.ACCOUNT}\nsso_role_name = {role_name}\n"
        f"region = us-east-1\n{SSO_SECTION}"
    )


def stamp(minutes: float) -> str:
    """A moment that far from now."""
    return (datetime.now(UTC) + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%SZ")


def logged_in_to_sso(
    monkeypatch: pytest.MonkeyPatch,
    directory: Path,
    *,
    token: str = providers.SSO_TOKEN,
    minutes: float = 60,
    **more: Any,
) -> None:
    """Write what `aws sso login` writes. botocore looks where home was when it was imported, so it is told where."""
    directory.mkdir(parents=True, exist_ok=True)
    for cls in (SSOProvider, SSOTokenProvider):
        monkeypatch.setattr(cls, "_SSO_TOKEN_CACHE_DIR", str(directory))
    document = {"accessToken": token, "expiresAt": stamp(minutes), "region": "us-east-1", **more}
    name = hashlib.sha1(b"corp").hexdigest()  # noqa: S324  # as botocore names it
    (directory / f"{name}.json").write_text(json.dumps(document), encoding="utf-8")


def logged_in(
    monkeypatch: pytest.MonkeyPatch, directory: Path, *, refresh: str = providers.REFRESH_TOKEN, minutes: float = 14
) -> None:
    """Write what `aws login` writes."""
    directory.mkdir(parents=True, exist_ok=True)
    monkeypatch.setenv("AWS_LOGIN_CACHE_DIRECTORY", str(directory))
    key = accounts.SESSION
    pem = ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption()
    )
    document = {
        "accessToken": {
            "accessKeyId": key.access_key_id,
            "secretAccessKey": key.secret,
            "sessionToken": key.token,
            "accountId": accounts.ACCOUNT,
            "expiresAt": stamp(minutes),
        },
        "tokenType": "aws_sigv4",
        "refreshToken": refresh,
        "clientId": "arn:aws:signin:::devtools/same-device",
        "dpopKey": pem.decode(),
    }
    path = directory / f"{hashlib.sha256(LOGIN.encode()).hexdigest()}.json"
    path.write_text(json.dumps(document), encoding="utf-8")


def exported(monkeypatch: pytest.MonkeyPatch, variables: Mapping[str, str]) -> None:
    """Set variables of the environment."""
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


def services(scene: Machine) -> None:
    """Lead botocore to the lab."""
    exported(scene.monkeypatch, scene.lab.providers["services"])


def of_profile(name: str, text: str, then: Arrange = services) -> Arrange:
    """The credential is that of a profile."""

    def arrange(scene: Machine) -> None:
        scene.aws_config(text)
        scene.credentials = (f"profile:{name}",)
        then(scene)

    return arrange


def of_environment(variables: Mapping[str, str], credential: str = "env") -> Arrange:
    """The credential is that of the environment."""

    def arrange(scene: Machine) -> None:
        exported(scene.monkeypatch, variables)
        scene.standby, scene.credentials, scene.environ = None, (credential,), dict(variables)

    return arrange


def login(region: str = "region = us-east-1", *, refresh: str = "gone", minutes: float = -5) -> Arrange:
    """A profile of `aws login` whose keys have ended."""

    def then(scene: Machine) -> None:
        services(scene)
        logged_in(scene.monkeypatch, scene.directory / "login", refresh=refresh, minutes=minutes)

    return of_profile("login", f"[profile login]\nlogin_session = {LOGIN}\n{region}\n", then)


def without_crt(scene: Machine) -> None:
    login(minutes=10)(scene)
    scene.monkeypatch.setattr("botocore.credentials.EC", None)


def sso_without_the_role(scene: Machine) -> None:
    of_profile("sso", sso(role_name="other"))(scene)
    logged_in_to_sso(scene.monkeypatch, scene.directory / "sso")


def hanging_process(scene: Machine) -> None:
    of_profile("slow", '[profile slow]\ncredential_process = sh -c "sleep 60"\nregion = us-east-1\n')(scene)
    scene.timeout_s = 1.0


def broken_container(scene: Machine) -> None:
    of_environment(scene.lab.providers["container-broken"], "default")(scene)


def broken_config(scene: Machine) -> None:
    text = f"[default]\nregion = us-east-1\naws_secret_access_key {accounts.DEFAULT.secret}\n"
    of_profile("base", text)(scene)


def of_china(scene: Machine) -> None:
    lines = [f"aws_{name} = {UNKNOWN[f'AWS_{name.upper()}']}" for name in ("access_key_id", "secret_access_key")]
    of_profile("cn", "\n".join(["[profile cn]", *lines, "region = cn-north-1", ""]))(scene)


def token_missing(scene: Machine) -> None:
    given = accounts.environment(accounts.SESSION)
    of_environment({name: value for name, value in given.items() if name != "AWS_SESSION_TOKEN"})(scene)


def token_stale(scene: Machine) -> None:
    token = "made-up-lab-session-token/EXAMPLE/left-over=="
    of_environment({**accounts.environment(accounts.DEFAULT), "AWS_SESSION_TOKEN": token})(scene)


def shadowing(scene: Machine) -> None:
    scene.aws_config(base())
    of_environment({**UNKNOWN, "AWS_PROFILE": "base"}, "default")(scene)


def regions_differ(scene: Machine) -> None:
    scene.url = f"{scene.lab.http}/fault/auth/regions-differ/mcp"
    scene.regions = ()
    keys = {name: value for name, value in scene.lab.env.items() if name != "AWS_DEFAULT_REGION"}
    of_environment({**keys, "AWS_REGION": "eu-west-1", "AWS_DEFAULT_REGION": "us-east-1"})(scene)


def withheld(scene: Machine) -> None:
    exported(scene.monkeypatch, scene.lab.providers["instance-denied"])
    scene.standby, scene.credentials = None, ("default",)
    told = {"client": "Codex", "withheld": ("AWS_PROFILE",), "profile_withheld": True, "pass_on": "Add env_vars."}
    scene.changed = {"environ": {"HOME": str(scene.directory)}, "facts": told}


def anew(scene: Machine) -> None:
    of_profile("role", base() + role())(scene)
    scene.monkeypatch.setattr("mcpdoctor.identities.version", lambda _: "1.6.1")


def ending(minutes: float) -> Arrange:
    return lambda scene: of_environment({**scene.lab.env, "AWS_CREDENTIAL_EXPIRATION": stamp(minutes)})(scene)


def without_sts(scene: Machine) -> None:
    scene.whoami = True
    scene.routes = tuple(one for one in scene.routes if not one.startswith("sts."))


def of_unknown_source(scene: Machine) -> None:
    lines = [f"aws_{name} = {UNKNOWN[f'AWS_{name.upper()}']}" for name in ("access_key_id", "secret_access_key")]
    of_profile("role", "\n".join(["[profile base]", *lines, role()]))(scene)


def no_metadata_endpoint(scene: Machine) -> None:
    wrong = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": "not a url", "AWS_EC2_METADATA_DISABLED": "false"}
    of_environment(wrong, "default")(scene)


def process(name: str, command: str) -> Arrange:
    return of_profile(name, f"[profile {name}]\ncredential_process = {command}\nregion = us-east-1\n")


CREDENTIALS: dict[str, Arrange] = {
    "auth-login-session-expired": login(),
    "auth-login-without-region": login(""),
    "auth-login-without-crt": without_crt,
    "auth-source-profile-missing": of_profile("role", role(source_profile="nobody")),
    "auth-source-profile-loop": of_profile(
        "one", role("one", source_profile="two") + role("two", source_profile="one")
    ),
    "auth-role-source": of_profile("role", role(source_profile="", credential_source="Environment")),
    "auth-role-without-region": of_profile("role", base() + role(region="")),
    "auth-role-refused": of_profile("role", base() + role(arn="arn:aws:iam::123456789012:role/other")),
    "auth-role-source-refused": of_unknown_source,
    "auth-role-mfa": of_profile("role", base() + role(mfa_serial="arn:aws:iam::123456789012:mfa/me")),
    "auth-sso-incomplete": of_profile("sso", sso(session="nobody")),
    "auth-sso-role-refused": sso_without_the_role,
    "auth-process-missing": process("gone", "/no/such/program --flag"),
    "auth-process-failed": process("broken", "false"),
    "auth-process-garbage": process("noisy", "echo welcome"),
    "auth-process-hangs": hanging_process,
    "auth-container-unreachable": broken_container,
    "auth-config-broken": broken_config,
    "auth-keys-expired": ending(-5),
    "auth-credentials-unusable": no_metadata_endpoint,
    "auth-wrong-partition": of_china,
    "auth-token-missing": token_missing,
    "auth-token-stale": token_stale,
    "auth-keys-shadow-profile": shadowing,
    "auth-regions-differ": regions_differ,
    "auth-variables-withheld": withheld,
    "auth-session-name": anew,
    "auth-expires-soon": ending(5),
    "auth-caller-unknown": without_sts,
}
"""What each check about credentials needs to fire."""
