"""Who signs: credential references resolved once in a run, and the signers made of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import anyio

from mcpdoctor import credentials, defects, probes, provenance
from mcpdoctor.credentials import Resolved
from mcpdoctor.failures import unwrap
from mcpdoctor.installed import version
from mcpdoctor.model import Configuration, Fact, Stage, Trace, Verdict
from mcpdoctor.outcomes import Once, Outcome, evidence
from mcpdoctor.redaction import clean
from mcpdoctor.threads import in_thread

_PROCESS_SHARE = 0.8
"""Part of the deadline that a credential process may take, so that what it did can still be told."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """A credential reference that was resolved, or why it could not be.

    Attributes:
        error: what was raised where it could not be; None where the time was up.
    """

    resolved: Resolved | None
    outcome: Outcome
    facts: Mapping[str, Fact]
    elapsed_s: float
    error: Exception | None = None


class Identities:
    """Resolves each credential reference once, and makes signers.

    Args:
        configurations: all that will be asked for: some need to know the region of their profile.
        environ: environment variables of the user.
        standby: environment variables with the keys of the lab; None against real servers.
        timeout_s: seconds that one resolution may take.
        renewing: whether credentials renew themselves, for a program that goes on for hours; not where evidence is
            taken. A credential process has no deadline of its own then, since it will be started again.
    """

    def __init__(
        self,
        configurations: Iterable[Configuration],
        *,
        environ: Mapping[str, str],
        standby: Mapping[str, str] | None,
        timeout_s: float,
        renewing: bool = False,
    ) -> None:
        self._environ, self._standby, self._timeout_s = environ, standby, timeout_s
        self._renewing = renewing
        self._with_region = {one.credential for one in configurations if one.region is None}
        self._once = Once()

    async def facts(
        self, configuration: Configuration, signer: probes.Signer | None, given: Mapping[str, str] | None = None
    ) -> dict[str, Fact]:
        """Where the keys of a configuration come from, and what they sign for."""
        facts = dict((await self.resolved(configuration.credential, given)).facts)
        if signer is not None:
            facts |= {**signer.resolved.facts, "signing_region": signer.region}
            facts["region_from_chain"] = configuration.region is None
            there = provenance.partition_of_url(configuration.endpoint, configuration.region)
            facts["endpoint_partition"] = there
            mine = facts.get("credential_partition")
            facts["partition_matches"] = None if there is None or mine is None else there == mine
            if given is None:  # of another program, the file says which proxy it is
                installed = version("mcp-proxy-for-aws")
                facts |= defects.proxy_facts(installed) if installed else {}
        return facts

    async def signer(
        self, configuration: Configuration, given: Mapping[str, str] | None = None
    ) -> tuple[probes.Signer | None, Trace | None]:
        """What signs for a configuration, or the trace that says why nothing can.

        Args:
            configuration: what is to be signed for.
            given: environment of another program, whose credential it is.
        """
        identity = await self.resolved(configuration.credential, given)
        if identity.resolved is None:
            return None, identity.outcome.trace(Stage.AUTH, facts=identity.facts, elapsed_s=identity.elapsed_s)
        region = configuration.region or identity.resolved.region
        if region is None:
            from botocore.exceptions import NoRegionError

            return None, Trace(
                stage=Stage.AUTH, verdict=Verdict.FAILED, failures=unwrap(NoRegionError()), facts=identity.facts
            )
        service = configuration.service or ""
        return probes.Signer(resolved=identity.resolved, region=region, service=service), None

    async def resolved(self, reference: str, given: Mapping[str, str] | None = None) -> Identity:
        """A reference resolved; the first who asks does the work."""
        key = (reference, None if given is None else frozenset(given.items()))
        found: Identity = await self._once(key, lambda: self._resolve(reference, given))
        return found

    async def _resolve(self, reference: str, given: Mapping[str, str] | None) -> Identity:
        started = time.perf_counter()
        facts: dict[str, Fact] = {}
        resolved: Resolved | None = None
        errors: list[Exception] = []

        def work() -> Resolved:
            facts.update(credentials.surroundings(reference, self._environ, given))
            try:
                found = credentials.resolve(
                    reference,
                    environ=self._environ,
                    standby=self._standby,
                    with_region=reference in self._with_region,
                    given=given,
                    deadline_s=None if self._renewing else self._timeout_s * _PROCESS_SHARE,
                )
                return found if self._renewing else _frozen(found)
            except Exception as error:
                errors.append(error)
                facts.update(credentials.circumstances(reference, self._environ, given))
                facts["words"] = clean(str(error), limit=1000)
                raise

        with evidence() as outcome, anyio.fail_after(self._timeout_s):
            resolved = await in_thread(work)
        facts["credential_resolved"] = resolved is not None
        timed_out = any(link.type == "TimeoutError" for chain in outcome.failures for link in chain)
        facts["in_time"] = f" within {self._timeout_s:g} s" if timed_out else ""
        return Identity(
            resolved=resolved,
            outcome=outcome,
            facts=facts,
            elapsed_s=time.perf_counter() - started,
            error=errors[0] if errors else None,
        )


def _frozen(resolved: Resolved) -> Resolved:
    """The same keys, which no longer renew themselves: that would be a call in the middle of a stage."""
    from botocore.credentials import Credentials

    keys = resolved.credentials.get_frozen_credentials()
    fixed = Credentials(keys.access_key, keys.secret_key, keys.token, method=resolved.credentials.method)
    return replace(resolved, credentials=fixed)
