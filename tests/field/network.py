"""Problems of the network between a client and AWS: proxies, certificates, redirects, streams that are cut."""

from __future__ import annotations

from field.bench import Bench, Case, Shown

AWS_MCP = "https://aws-mcp.us-east-1.api.aws/mcp"


def _headers_rewritten(bench: Bench) -> Shown:
    environ = {**bench.lab.env, "HTTPS_PROXY": bench.lab.proxies["rewriting-headers"]}
    return bench.check("aws-mcp", "-r", "us-east-1", "-c", "default", environ=environ, routed=False)


def _clock_off(bench: Bench) -> Shown:
    return bench.check(bench.fault("auth/clock-skew"), "-r", "us-east-1", "-s", "aws-mcp")


def _redirect_of_a_slash(bench: Bench) -> Shown:
    return bench.check(bench.fault("http/redirect-slash"), "-c", "none")


def _inspected(bench: Bench) -> Shown:
    environ = {**bench.lab.env, "HTTPS_PROXY": bench.lab.proxies["inspecting"]}
    return bench.check(AWS_MCP, environ=environ, routed=False)


def _inspected_and_verification_off(bench: Bench) -> Shown:
    environ = {**bench.lab.env, "HTTPS_PROXY": bench.lab.proxies["inspecting"], "PYTHONHTTPSVERIFY": "0"}
    return bench.check(AWS_MCP, environ=environ, routed=False)


def _stream_cut(bench: Bench) -> Shown:
    environ = {**bench.lab.env, "HTTPS_PROXY": bench.lab.proxies["idle-timeout"]}
    url = bench.fault("list/stream-idle")
    return bench.check(url, "-c", "none", "--timeout", "2", environ=environ, routed=False)


CASES = (
    Case(
        rows=("21",),
        reported=("aws/mcp-proxy-for-aws#313",),
        symptom="401 InvalidSignatureException every time behind a company proxy; the same key works elsewhere",
        command="mcpdoctor check aws-mcp",
        check="auth-signature-altered",
        says="A signature over few headers was accepted, that of the real client over all of its headers was not",
        reproduce=_headers_rewritten,
    ),
    Case(
        rows=("23",),
        reported=("https://docs.aws.amazon.com/agent-toolkit/latest/userguide/security_iam_troubleshoot.html",),
        symptom="InvalidSignatureException on a machine whose clock is off",
        command="mcpdoctor check URL",
        check="auth-clock-skew",
        says="s behind",
        reproduce=_clock_off,
    ),
    Case(
        rows=("27",),
        reported=("aws/mcp-proxy-for-aws#362",),
        symptom="The endpoint redirects: the signature is wrong after it, or the client stops at 308",
        command="mcpdoctor check URL",
        check="http-redirected",
        says="the same path with a slash at its end",
        reproduce=_redirect_of_a_slash,
    ),
    Case(
        rows=("42",),
        reported=("awslabs/mcp#1353",),
        symptom="connection closed; it works without the VPN client",
        command="mcpdoctor check URL",
        check="tls-intercepted",
        says="not by Amazon",
        reproduce=_inspected,
    ),
    Case(
        rows=("43",),
        reported=("awslabs/mcp#2498", "awslabs/mcp#773"),
        symptom="SSL error in initialize behind Zscaler; PYTHONHTTPSVERIFY=0 does not help",
        command="mcpdoctor check URL",
        check="tls-intercepted",
        says="PYTHONHTTPSVERIFY is ignored",
        reproduce=_inspected_and_verification_off,
    ),
    Case(
        rows=("60b",),
        reported=("strands-agents/harness-sdk#894",),
        symptom="The agent hangs after an event stream was aborted",
        command="mcpdoctor check URL",
        check="http-stream-cut",
        says="that stream ended after",
        reproduce=_stream_cut,
    ),
)
