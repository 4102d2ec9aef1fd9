"""What the way to a host shows is noted where nothing is wrong, and explained where something is."""

from __future__ import annotations

import os
import socket
import ssl
import subprocess
import sys
from pathlib import Path
from typing import Any

import anyio
import network_scenes
import pytest
from conftest import network_of

from mcpdoctor import certificates, engine, matrix
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.lab import FAULTS, Lab
from mcpdoctor.model import Report, Result, Severity, Stage, trace_of
from mcpdoctor.network import Network, tls_context
from mcpdoctor.transcript import FALLBACK_S

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"


def through(lab: Lab, catalogue: Catalogue, proxy: str, url: str = AWS_MCP, **environ: str) -> Result:
    """One configuration, tried through a proxy of the lab."""
    given = {"HTTPS_PROXY": lab.proxies[proxy], **environ}
    network = Network(context=tls_context(lab.ca_bundle), environ=given)
    return examined(network, catalogue, url, lab, given)


def examined(network: Network, catalogue: Catalogue, url: str, lab: Lab, environ: Any = None) -> Result:
    axes = matrix.Axes(regions=("us-east-1",), services=("aws-mcp",), credentials=("default",))
    settings = engine.Settings(timeout_s=5.0, standby=lab.env, environ=environ or {})
    report: Report = anyio.run(engine.run, matrix.expand([url], axes, catalogue), catalogue, network, settings)
    return report.results[0]


def facts(result: Result, stage: Stage) -> dict[str, Any]:
    trace = trace_of(result.stages, stage)
    assert trace is not None
    return dict(trace.facts)


def weighty(result: Result) -> list[str]:
    return [one.check for one in result.findings if one.severity is not Severity.INFO]


@pytest.mark.parametrize("proxy", ["open", "inspecting-trusted"])
def test_a_proxy_that_does_its_work_is_a_fact_and_no_finding(proxy: str, lab: Lab, catalogue: Catalogue) -> None:
    result = through(lab, catalogue, proxy, NO_PROXY="*.api.aws")
    assert (result.works, weighty(result)) == (True, [])
    assert facts(result, Stage.TCP)["proxy_url"] == lab.proxies[proxy]
    assert facts(result, Stage.TCP)["proxy_variable"] == "HTTPS_PROXY"


def test_that_somebody_else_issued_a_trusted_certificate_is_a_fact(lab: Lab, catalogue: Catalogue) -> None:
    shown = facts(through(lab, catalogue, "inspecting-trusted"), Stage.TLS)
    assert (shown["certificate_issuer"], shown["certificate_foreign"]) == ("Lab Secure Web Gateway", True)


def test_a_host_that_the_user_leads_elsewhere_is_not_intercepted(lab: Lab, catalogue: Catalogue) -> None:
    routed = Network(context=tls_context(None), routes=network_of(lab).routes, sealed=True)
    result = examined(routed, catalogue, AWS_MCP, lab)
    assert weighty(result) == ["tls-untrusted"]
    assert "issued by mcpdoctor lab (throw-away)" in result.findings[0].text


def test_where_nothing_is_wrong_no_certificate_is_read_again(
    lab: Lab, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(certificates, "shown")
    assert examined(network_of(lab), catalogue, FAULTS["healthy/signed"].url(), lab).works is True
    assert through(lab, catalogue, "inspecting-trusted").works is True


def test_a_refused_certificate_is_read_over_one_connection_and_nothing_is_sent(lab: Lab, catalogue: Catalogue) -> None:
    requests, shakes = len(lab.requests), lab.tls_handshakes["untrusted.lab.test"]
    result = examined(network_of(lab), catalogue, FAULTS["tls/untrusted"].url(), lab)
    assert facts(result, Stage.TLS)["certificate_issuer"] == "An authority that nobody knows"
    assert lab.tls_handshakes["untrusted.lab.test"] == shakes + 2
    assert len(lab.requests) == requests


def test_a_proxy_that_fails_is_told_with_the_exception_that_does_not_count(lab: Lab, catalogue: Catalogue) -> None:
    result = through(lab, catalogue, "blocking", NO_PROXY="*.api.aws")
    assert weighty(result) == ["tcp-proxy-refused"]
    assert result.findings[0].remedy.endswith("NO_PROXY holds *.api.aws, which matches nothing: write api.aws.")


def test_a_proxy_that_never_answers_is_blamed(lab: Lab, catalogue: Catalogue) -> None:
    port = next(one.rpartition(":")[2] for one in lab.connect_to if one.startswith("silent."))
    environ = {"ALL_PROXY": f"http://127.0.0.1:{port}"}
    network = Network(context=tls_context(lab.ca_bundle), environ=environ)
    axes = matrix.Axes(regions=("us-east-1",), credentials=("none",))
    settings = engine.Settings(timeout_s=0.5, environ=environ)
    report = anyio.run(engine.run, matrix.expand([AWS_MCP], axes, catalogue), catalogue, network, settings)
    [finding] = report.results[0].findings
    assert finding.check == "tcp-proxy"
    assert finding.text.startswith("ALL_PROXY sends this host through http://127.0.0.1:")


def test_headers_that_are_rewritten_are_told_with_the_proxy_that_was_seen(lab: Lab, catalogue: Catalogue) -> None:
    result = through(lab, catalogue, "rewriting-headers")
    assert weighty(result) == ["auth-signature-altered"]
    [finding] = result.findings
    assert lab.proxies["rewriting-headers"] in finding.text
    assert "The answer came through 1.1 gateway.lab.test." in finding.text


@pytest.mark.parametrize(("fault", "requests"), [("auth/bad-signature", 3), ("auth/wrong-service", 1)])
def test_what_is_asked_more_is_asked_only_where_it_tells_something(
    fault: str, requests: int, lab: Lab, catalogue: Catalogue
) -> None:
    before = len(lab.requests)
    examined(network_of(lab), catalogue, FAULTS[fault].url(), lab)
    sent = [one for one in lab.requests[before:] if one.signed]
    assert len(sent) == requests


# addresses ------------------------------------------------------------------------------------------------------------


def scene_of(lab: Lab, monkeypatch: pytest.MonkeyPatch, url: str) -> Any:
    return type("Scene", (), {"lab": lab, "monkeypatch": monkeypatch, "url": url})()


def test_a_silent_ipv6_address_is_left_for_ipv4_and_not_asked_again(
    lab: Lab, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    scene = scene_of(lab, monkeypatch, "https://lab.test/fault/healthy/none/mcp")
    network_scenes.silent_ipv6(scene)
    network = Network(context=tls_context(lab.ca_bundle))
    result = examined(network, catalogue, scene.url, lab)
    assert (result.works, weighty(result)) == (True, ["tcp-ipv6-silent"])
    shown = facts(result, Stage.TCP)
    assert (shown["address"], shown["unanswered"]) == ("127.0.0.1", ("2001:db8::1",))
    assert FALLBACK_S <= shown["fallback_s"] < 2 * FALLBACK_S
    assert network.silent == {"2001:db8::1"}
    assert facts(result, Stage.DNS)["families"] == ("IPv6", "IPv4")


def test_an_ipv6_address_that_is_refused_at_once_is_no_finding(
    lab: Lab, catalogue: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    # ::1 exists and nothing listens there, or it does not exist: either way the answer comes at once.
    monkeypatch.setattr(socket, "getaddrinfo", network_scenes.resolving("::1", "127.0.0.1"))
    url = f"https://lab.test:{lab.https_port}/fault/healthy/none/mcp"
    result = examined(Network(context=tls_context(lab.ca_bundle)), catalogue, url, lab)
    assert (result.works, weighty(result)) == (True, [])
    assert facts(result, Stage.TCP)["address"] == "127.0.0.1"


def test_addresses_of_both_families_take_turns_and_silent_ones_come_last() -> None:
    network = Network(context=ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
    network.addresses["h"] = ("2001:db8::1", "2001:db8::2", "192.0.2.1", "192.0.2.2")
    assert [one for one, _ in network.targets("h", 1)] == ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2"]
    network.silent.add("2001:db8::1")
    assert [one for one, _ in network.targets("h", 1)] == ["192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::1"]


# variables of authorities ---------------------------------------------------------------------------------------------


def test_a_variable_that_names_no_certificate_is_told(lab: Lab, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.write_text("", encoding="utf-8")
    bare = tmp_path / "certs"
    bare.mkdir()
    said = {
        str(tmp_path / "none.pem"): "there is no such file",
        str(empty): "holds no certificate in PEM",
        str(bare): "is a directory (for one there is SSL_CERT_DIR)",
    }
    for value, problem in said.items():
        assert problem in str(certificates.fatal({"SSL_CERT_FILE": value}))
    assert certificates.fatal({"SSL_CERT_FILE": lab.ca_bundle}) is None
    assert certificates.fatal({"AWS_CA_BUNDLE": str(empty)}) is None
    assert "holds no certificate by its hash" in str(certificates.variables({"SSL_CERT_DIR": str(bare)})["ca_problem"])
    assert "no such directory" in str(certificates.variables({"SSL_CERT_DIR": str(tmp_path / "x")})["ca_problem"])


def test_variables_that_the_client_does_not_read_are_told() -> None:
    told = certificates.variables({"PYTHONHTTPSVERIFY": "0", "NODE_EXTRA_CA_CERTS": "/x", "REQUESTS_CA_BUNDLE": "/y"})
    assert told["ca_variables"] == ("REQUESTS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS", "PYTHONHTTPSVERIFY")
    assert told["ca_note"] == (
        " Set here, and not read by httpx: REQUESTS_CA_BUNDLE, NODE_EXTRA_CA_CERTS, PYTHONHTTPSVERIFY."
    )
    assert "ca_problem" not in told


def test_the_command_line_tells_of_a_file_that_does_not_exist_and_does_not_fall_over(tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    done = subprocess.run(
        [sys.executable, "-m", "mcpdoctor", "check", "--connect-to", "x.test:443:127.0.0.1:1", "https://x.test/mcp"],
        env={
            "SSL_CERT_FILE": str(missing),
            "PATH": "/usr/bin:/bin",
            "HOME": str(tmp_path),
            "PYTHONPATH": os.pathsep.join(sys.path),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1, done.stderr


@pytest.mark.parametrize(
    ("issuer", "host", "foreign"),
    [
        ("Amazon", "aws-mcp.us-east-1.api.aws", False),
        ("Amazon", "aws-mcp.us-east-1.api.aws.", False),
        ("Zscaler Inc.", "aws-mcp.us-east-1.api.aws", True),
        ("Amazonia Proxy", "x.amazonaws.com", True),
        ("Let's Encrypt", "mcp.example.com", None),
        ("Let's Encrypt", "notapi.aws", None),
    ],
)
def test_who_should_have_issued_a_certificate_is_known_for_hosts_of_aws(
    issuer: str, host: str, foreign: bool | None
) -> None:
    assert certificates.foreign(issuer, host) is foreign
