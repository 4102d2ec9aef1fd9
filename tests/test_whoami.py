"""AWS STS is asked who a credential is, only when it was asked for, and by the same way as everything else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import anyio
import pytest
from click.testing import CliRunner
from conftest import network_of
from credential_scenes import UNKNOWN

from mcpdoctor import engine, matrix
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.cli import cli
from mcpdoctor.lab import Lab, accounts
from mcpdoctor.model import Report, Stage, trace_of
from mcpdoctor.network import Network

USER_ID = "AIDALABEXAMPLEUSERID2"


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The AWS config file; write it to have one."""
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    return tmp_path / "config"


def run(
    lab: Lab,
    catalogue: Catalogue,
    environ: Mapping[str, str],
    network: Network | None = None,
    targets: tuple[str, ...] = ("aws-mcp",),
    **settings: Any,
) -> Report:
    plan = matrix.expand(targets, matrix.Axes(credentials=("env",)), catalogue)
    how = engine.Settings(environ=environ, whoami=True, **settings)
    return anyio.run(engine.run, plan, catalogue, network or network_of(lab), how)


def asked(lab: Lab, since: int) -> list[str]:
    return [one.host for one in lab.requests[since:] if one.host.startswith("sts.")]


@pytest.mark.parametrize("identity", ["default", "session"])
def test_sts_says_who_the_caller_is(identity: str, lab: Lab, catalogue: Catalogue) -> None:
    before = len(lab.requests)
    [result] = run(lab, catalogue, lab.identities[identity]).results
    auth = trace_of(result.stages, Stage.AUTH)
    assert auth is not None
    assert auth.facts["whoami_arn"] == accounts.IDENTITIES[identity].arn
    assert auth.facts["whoami_account"] == accounts.ACCOUNT
    assert USER_ID not in json.dumps(dict(auth.facts))
    assert asked(lab, before) == ["sts.us-east-1.amazonaws.com"]
    assert [one.check for one in result.findings if one.severity != "info"] == []


def test_a_credential_is_asked_for_once(lab: Lab, catalogue: Catalogue) -> None:
    before = len(lab.requests)
    run(lab, catalogue, lab.env, targets=("aws-mcp", lab.endpoints["eks-mcp/us-east-1"]))
    assert len(asked(lab, before)) == 1


def test_nobody_is_asked_without_the_option(lab: Lab, catalogue: Catalogue) -> None:
    before = len(lab.requests)
    [result] = _plain(lab, catalogue).results
    auth = trace_of(result.stages, Stage.AUTH)
    assert auth is not None
    assert "whoami_failed" not in auth.facts
    assert asked(lab, before) == []


def _plain(lab: Lab, catalogue: Catalogue) -> Report:
    plan = matrix.expand(["aws-mcp"], matrix.Axes(credentials=("env",)), catalogue)
    return anyio.run(engine.run, plan, catalogue, network_of(lab), engine.Settings(environ=lab.env))


def test_the_denied_caller_is_known_to_sts(lab: Lab, catalogue: Catalogue) -> None:
    [result] = run(lab, catalogue, lab.identities["denied"]).results
    auth = trace_of(result.stages, Stage.AUTH)
    assert auth is not None
    assert auth.facts["whoami_arn"] == accounts.DENIED.arn
    assert [one.check for one in result.findings] == ["auth-access-denied"]


def test_a_sts_that_refuses_too_is_told_and_no_finding_of_its_own(lab: Lab, catalogue: Catalogue) -> None:
    [result] = run(lab, catalogue, lab.identities["expired"]).results
    auth = trace_of(result.stages, Stage.AUTH)
    assert auth is not None
    assert (
        auth.facts["whoami_problem"] == "HTTP 403 ExpiredToken: The security token included in the request is expired"
    )
    assert [one.check for one in result.findings] == ["auth-expired-credentials"]


def test_a_sts_out_of_reach_does_not_fail_the_endpoint(lab: Lab, catalogue: Catalogue) -> None:
    network = network_of(lab)
    network.routes = {key: route for key, route in network.routes.items() if not key[0].startswith("sts.")}
    report = run(lab, catalogue, lab.env, network)
    [result] = report.results
    assert (result.works, report.exit_code) == (True, 0)
    assert "auth-caller-unknown" in [one.check for one in result.findings]
    assert network.look_ups == []


@pytest.mark.parametrize(("key", "host"), [("default", "sts.us-east-1."), ("unknown", "sts.cn-north-1.")])
def test_what_a_region_says_of_a_partition_counts_only_for_keys_that_are_refused(
    key: str, host: str, lab: Lab, catalogue: Catalogue, config: Path
) -> None:
    keys = {"default": lab.env, "unknown": UNKNOWN}[key]
    lines = [f"aws_{name} = {keys[f'AWS_{name.upper()}']}" for name in ("access_key_id", "secret_access_key")]
    config.write_text("\n".join(["[profile cn]", *lines, "region = cn-north-1", ""]), encoding="utf-8")
    plan = matrix.expand(["aws-mcp"], matrix.Axes(regions=("us-east-1",), credentials=("profile:cn",)), catalogue)
    report = anyio.run(engine.run, plan, catalogue, network_of(lab), engine.Settings(whoami=True))
    auth = trace_of(report.results[0].stages, Stage.AUTH)
    assert auth is not None
    assert str(auth.facts["whoami_host"]).startswith(host)


def test_the_table_names_the_callers() -> None:
    shown = CliRunner().invoke(cli, ["check", "--lab", "aws-mcp", "--whoami", "-v"], catch_exceptions=False)
    assert shown.exit_code == 0
    lines = shown.stdout.splitlines()
    at = lines.index("Callers, as AWS STS names them:")
    assert lines[at + 1] == f"  default: {accounts.DEFAULT.arn} (account {accounts.ACCOUNT})"
    assert "        credential: keys in the environment" in lines
