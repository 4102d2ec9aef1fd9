"""What a user is told: the exception, the warning, and how evidence becomes their words."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from mcpdoctor.failures import unwrap
from mcpdoctor.model import Cause, Fact, Result, Stage, Trace, Verdict
from mcpdoctor.redaction import clean

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.connect.wanted import Choice
    from mcpdoctor.explanation import Explanation
    from mcpdoctor.matrix import Cell
    from mcpdoctor.recording import Recorded


class ConnectionFailed(Exception):
    """A connection failed; the message is the explanation, `__cause__` what went wrong.

    Attributes:
        explanation: cause, findings with their remedies, HTTP status, request id.
    """

    __module__ = "mcpdoctor.connect"  # where users know it from

    def __init__(self, explanation: Explanation) -> None:
        super().__init__(str(explanation))
        self.explanation = explanation

    @property
    def cause(self) -> Cause:
        """The cause, for a program to branch on; `unexplained` where several remain (`explanation.causes`)."""
        return self.explanation.cause if len(self.explanation.causes) == 1 else Cause.UNEXPLAINED


class FallbackWarning(UserWarning):
    """The credential does not work, and an unauthenticated endpoint is used in place of the signed one."""

    __module__ = "mcpdoctor.connect"


OF_CREDENTIALS = frozenset(
    {
        Cause.UNSIGNED,
        Cause.NO_CREDENTIALS,
        Cause.PROFILE_NOT_FOUND,
        Cause.NO_REGION,
        Cause.EXPIRED_CREDENTIALS,
        Cause.BAD_CREDENTIALS,
        Cause.WRONG_PARTITION,
        Cause.CLOCK_SKEW,
        Cause.WRONG_SERVICE,
        Cause.WRONG_REGION,
        Cause.SIGNATURE_ALTERED,
        Cause.WRONG_AUTH_METHOD,
        Cause.ACCESS_DENIED,
    }
)
"""Causes that a caller without a signature does not have: what a fallback helps with."""


def beforehand(cell: Cell, catalogue: Catalogue) -> Explanation | None:
    """What is wrong with the URL, or with the authorities that httpx is told to trust; None where nothing is."""
    from mcpdoctor import certificates, probes

    trace = probes.parse(cell, catalogue, deadline_s=0.0)
    if trace.verdict is not Verdict.PASSED:
        return of_trace(trace, cell, catalogue)
    problem = certificates.fatal(os.environ)
    if problem is None:
        return None
    facts: dict[str, Fact] = {**certificates.variables(os.environ), "ca_problem": problem, "ca_broken": True}
    return of_trace(Trace(stage=Stage.TLS, verdict=Verdict.FAILED, facts=facts), cell, catalogue)


def of_trace(trace: Trace, cell: Cell, catalogue: Catalogue) -> Explanation:
    """Explain a stage that failed, as `mcpdoctor check` would.

    Args:
        trace: of a stage before anything was sent.
        cell: what was to be connected to.
        catalogue: the checks.
    """
    from mcpdoctor.diagnosis import judge
    from mcpdoctor.explanation import Explanation

    configuration = cell.configuration
    evidence = Result(target=cell.target, configuration=configuration, works=False, stage=trace.stage, stages=(trace,))
    [result] = judge((evidence,), catalogue)
    return Explanation(
        cause=result.cause or Cause.UNEXPLAINED,
        causes=(result.cause,) if result.cause else (),
        url=configuration.endpoint,
        chains=trace.failures,
        findings=result.findings,
    )


def of_signing(error: Exception) -> bool:
    """Whether an error says that there are no keys to sign with."""
    from botocore.exceptions import BotoCoreError, ClientError

    from mcpdoctor.chain import CredentialProcessError, MfaWanted

    return isinstance(error, BotoCoreError | ClientError | CredentialProcessError | MfaWanted)


def of_credential(error: Exception, choice: Choice) -> Explanation:
    """Explain a credential that gave keys once and does not any more."""
    from mcpdoctor.credentials import circumstances, surroundings
    from mcpdoctor.explanation import explain

    told = explain(error, catalogue=choice.catalogue)
    if told.explained:
        return replace(told, url=choice.cell.configuration.endpoint)
    reference = choice.cell.configuration.credential
    facts = {
        **surroundings(reference, os.environ),
        **circumstances(reference, os.environ),
        "words": clean(str(error), limit=1000),
    }
    trace = Trace(stage=Stage.AUTH, verdict=Verdict.FAILED, failures=unwrap(error), facts=facts)
    return of_trace(trace, choice.cell, choice.catalogue)


_STAGES = {"initialize": Stage.OPEN, "tools/list": Stage.LIST}


def of_exchange(seen: Recorded, cell: Cell, catalogue: Catalogue, facts: Mapping[str, Fact]) -> Explanation:
    """Explain an exchange that failed.

    Args:
        seen: what was sent and answered.
        cell: the endpoint.
        catalogue: the checks.
        facts: what only who read the answer can know; they decide where the exchange itself does not tell.
    """
    from mcpdoctor.explanation import explain_recording
    from mcpdoctor.recording import Recording

    told = explain_recording(Recording(exchanges=(seen,), python=True), catalogue)
    if told.explained or not facts:
        return told
    trace = Trace(
        stage=_STAGES.get(seen.exchange.rpc_method or "", Stage.CALL),
        verdict=Verdict.FAILED,
        facts=facts,
        exchanges=(seen.exchange,),
        failures=seen.failures,
    )
    return replace(of_trace(trace, cell, catalogue), http_status=seen.exchange.status)


def falls_back(explanation: Explanation) -> bool:
    """Whether an unauthenticated endpoint helps: whatever the cause may be, it is one of the credential."""
    return bool(explanation.causes) and OF_CREDENTIALS.issuperset(explanation.causes)


def warned(explanation: Explanation, choice: Choice) -> bool:
    """Whether to fall back; it has been said then. A program that makes errors of warnings does not want to."""
    if choice.stand_in is None or not falls_back(explanation):
        return False
    try:
        warnings.warn(_warning(explanation, choice), FallbackWarning, stacklevel=2)
    except FallbackWarning:
        return False
    return True


def _warning(explanation: Explanation, choice: Choice) -> str:
    """What to say of a fallback: that it is used, why, what is lost, what to do."""
    assert choice.stand_in is not None  # noqa: S101  # nothing falls back to nothing
    signed, there = choice.cell.configuration, choice.stand_in.configuration
    finding = explanation.findings[0]
    causes = " or ".join(one.value for one in explanation.causes)
    asked = f" (request id {explanation.request_id})" if explanation.request_id else ""
    lost = f" It does not have {', '.join(choice.lost)}." if choice.lost else ""
    return (
        f"{choice.title} cannot be used with the credential {signed.credential}, so {choice.stand_in_title} is used "
        f"instead ({there.endpoint}). {causes}: {finding.text}{asked} Fix: {finding.remedy}{lost} "
        "fallback=False makes this an error."
    )
