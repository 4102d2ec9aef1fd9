"""Ask AWS STS who a credential is: the one call to AWS besides the endpoint, and only when it was asked for.

It goes through the same wire as everything else, so that routes, HTTP proxies, the CA bundle and the deadline hold.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import replace

import anyio
import httpx

from mcpdoctor import __version__, probes, provenance, way
from mcpdoctor.bodies import ACCEPT_ENCODING, read_answer
from mcpdoctor.diagnosis import read
from mcpdoctor.model import Fact
from mcpdoctor.network import Network
from mcpdoctor.outcomes import evidence
from mcpdoctor.redaction import clean
from mcpdoctor.transcript import Transcript
from mcpdoctor.wire import RecordingTransport

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
"""https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html; it needs no permission."""

_ARN = re.compile(r"<Arn>(arn:[^<\s]{5,2048})</Arn>")
_ACCOUNT = re.compile(r"<Account>(\d{12})</Account>")
_RELEASE_S = 1.0


async def ask(network: Network, signer: probes.Signer, *, refused: bool, timeout_s: float) -> dict[str, Fact]:
    """Who the keys of `signer` are.

    Args:
        network: the way there.
        signer: whose keys; its region chooses the STS to ask, unless the credential is of another partition.
        refused: whether the endpoint refused them; if not, what only a region says of their partition is wrong.
        timeout_s: seconds that the answer may take.

    Returns:
        `whoami_arn` and `whoami_account`; or `whoami_failed` with `whoami_problem`, half a sentence. The user id that
        STS gives too is left out. Nothing is raised for a failure.
    """
    known = signer.resolved.facts
    partition = known.get("credential_partition") if refused or known.get("partition_certain") else None
    host, region = provenance.sts_host(signer.region, str(partition) if partition else None)
    url, transcript = f"https://{host}/", Transcript()
    secrets = signer.resolved.secrets

    async def at_once(_: bool) -> float:
        return 0.0

    proxy = network.proxy_for(url)
    transport = RecordingTransport(network, transcript, at_once, secrets=secrets, single=True, proxy=proxy)
    headers = {
        "content-type": "application/x-www-form-urlencoded; charset=utf-8",
        "user-agent": f"mcpdoctor/{__version__}",
        "accept-encoding": ACCEPT_ENCODING,
    }
    headers |= replace(signer, service="sts", region=region).sign("POST", url, BODY)
    with evidence(secrets) as outcome, anyio.fail_after(timeout_s):
        if proxy is None:
            await way.look_up(network, host, 443)
        async with (
            httpx.AsyncClient(transport=transport, timeout=None) as client,  # noqa: S113  # it has its deadline
            client.stream("POST", url, content=BODY, headers=headers) as response,
        ):
            await read_answer(response, None)
    with suppress(Exception), anyio.move_on_after(_RELEASE_S, shield=True):
        await transport.aclose()
    facts: dict[str, Fact] = {"whoami_host": host, "whoami_failed": True}
    last = transcript.exchanges[-1] if transcript.exchanges else None
    if last is None or last.status is None or outcome.failures:
        root = outcome.failures[0][-1] if outcome.failures else None
        problem = outcome.reason or (f"{root.type}: {root.message}".rstrip(": ") if root else "no answer")
        return {**facts, "whoami_problem": clean(problem, limit=300, secrets=secrets)}
    text = transcript.last_body.decode("utf-8", errors="replace")
    arn, account = _ARN.search(text), _ACCOUNT.search(text)
    if last.status != httpx.codes.OK or arn is None or account is None:
        said = read(last)
        words = ": ".join(filter(None, (said.error_type, said.message)))
        return {**facts, "whoami_problem": f"HTTP {last.status} {words}".rstrip()}
    return {
        **facts,
        "whoami_failed": False,
        "whoami_arn": clean(arn[1], limit=400, secrets=secrets),
        "whoami_account": account[1],
    }
