"""Requests that are sent only after a refusal, where their answers can explain it, or when they were asked for."""

from __future__ import annotations

import time
from dataclasses import replace

from mcpdoctor import bearer, challenges, probes, whoami
from mcpdoctor.caller import caller, given
from mcpdoctor.catalogue import Catalogue
from mcpdoctor.diagnosis import deciding, depends_on, read, scope_facts, unexplained
from mcpdoctor.lanes import Lane
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Result, Stage, Trace, Verdict
from mcpdoctor.network import Network
from mcpdoctor.oauth import Discovery
from mcpdoctor.outcomes import Once


class FollowUps:
    """What can still be asked once stage auth has failed.

    Args:
        catalogue: says which failures are explained.
        network: the way to STS.
        once: the work that cells of this run share.
        timeout_s: seconds that one question may take.
        whoami: whether AWS STS is asked who each credential is.
    """

    def __init__(
        self, catalogue: Catalogue, network: Network, once: Once, *, timeout_s: float, whoami: bool = False
    ) -> None:
        self._catalogue, self._network, self._once = catalogue, network, once
        self._timeout_s, self._whoami = timeout_s, whoami
        self._discovery = Discovery(network, timeout_s)

    async def after(
        self, cell: Cell, lane: Lane, signer: probes.Signer | None, traces: list[Trace], auth: Trace
    ) -> Trace:
        """The trace of stage auth, with what the answers to follow-up requests tell.

        Args:
            cell: whose trace it is.
            lane: of its host.
            signer: what signed; None for an unsigned cell.
            traces: of the stages before.
            auth: as it ended.
        """
        if signer is not None and auth.verdict is Verdict.FAILED:
            auth = await self._scope(cell, lane, signer, traces, auth)
            auth = await self._without_body(cell, lane, signer, traces, auth)
        auth = await self._login(cell, lane, auth)
        return await self._who(cell, signer, auth) if signer is not None and self._whoami else auth

    async def _scope(self, cell: Cell, lane: Lane, signer: probes.Signer, traces: list[Trace], auth: Trace) -> Trace:
        """Where a refused signature is not explained, see whether the server names a scope that is wrong.

        One more request, with a service and a region that do not exist: if the server names those, it would have
        named ours, so ours are right and the secret key is not.
        """
        so_far = Result(
            target=cell.target,
            configuration=cell.configuration,
            works=False,
            stage=Stage.AUTH,
            stages=(*traces, auth),
        )
        if deciding(auth) is None or not unexplained(so_far, self._catalogue):
            return auth
        nowhere = replace(signer, service=probes.NOWHERE, region=probes.NOWHERE)
        key = ("scope", cell.configuration.endpoint, *caller(cell))
        attempt = await self._once(key, lambda: lane.post(cell, nowhere, probes.check_auth))
        asked = attempt.trace(Stage.AUTH, {})
        return replace(auth, facts={**auth.facts, **scope_facts(asked, cell.configuration, self._catalogue)})

    async def _without_body(
        self, cell: Cell, lane: Lane, signer: probes.Signer, traces: list[Trace], auth: Trace
    ) -> Trace:
        """Where the signature over a body is refused, see whether one over no body is refused in the same words.

        One more request, only where its answer changes the diagnosis: a body that something on the way changes looks
        like a wrong secret key.
        """
        stages = (*traces, auth)
        so_far = Result(
            target=cell.target, configuration=cell.configuration, works=False, stage=Stage.AUTH, stages=stages
        )
        if not depends_on(so_far, Stage.AUTH, {"bare_refused_alike": False}, self._catalogue):
            return auth
        refused = deciding(auth)
        bare = await self._bare(cell, lane, signer)
        if refused is None or bare is None:
            return auth
        alike = bare == (refused.status, read(refused).message)
        if not alike:
            # Without this, a server that reads the body before the signature would look like one that took it.
            nowhere = replace(signer, service=probes.NOWHERE, region=probes.NOWHERE)
            if await self._bare(cell, lane, nowhere) in (None, bare):
                return auth
        return replace(auth, facts={**auth.facts, "bare_status": bare[0], "bare_refused_alike": alike})

    async def _login(self, cell: Cell, lane: Lane, auth: Trace) -> Trace:
        """Where a refusal is about a login with OAuth, see what the server says of it.

        A few small GETs, and only where their answers can explain the refusal: not for a signature that AWS does take
        at this host, nor for a token that has run out.
        """
        exchange = deciding(auth)
        if auth.verdict is not Verdict.FAILED or exchange is None or exchange.status not in (401, 403):
            return auth
        sent = {**cell.facts, **bearer.sent_facts(cell.headers)}
        skew = auth.facts.get("clock_skew_s", 0)
        facts = bearer.validity(sent, time.time() - (skew if isinstance(skew, int) else 0))
        auth = replace(auth, facts={**auth.facts, **facts})
        asked = challenges.bearer(exchange.headers)
        token = bool(sent.get("bearer"))
        known = cell.endpoint
        elsewhere = known is not None and (
            (cell.configuration.signed and not known.yours) or (token and not known.takes_tokens)
        )
        if elsewhere or facts.get("token_expired") or not (asked or (token and exchange.status == 401)):
            return auth
        named = asked.parameters.get("resource_metadata") if asked else None
        found, exchanges = await self._discovery.facts(cell.configuration.endpoint, named, lambda: lane.pace(False))
        issuer = found.get("oauth_issuer")
        if token:
            resource = found.get("oauth_resource")
            issuers = (issuer,) if isinstance(issuer, str) else ()
            found |= bearer.elsewhere(sent, resource if isinstance(resource, str) else None, issuers)
        return replace(auth, facts={**auth.facts, **found}, exchanges=(*exchanges, *auth.exchanges))

    async def _who(self, cell: Cell, signer: probes.Signer, auth: Trace) -> Trace:
        """The trace with who the caller is; STS is asked once for each credential."""
        found = await self._once(
            ("whoami", cell.configuration.credential, given(cell)),
            lambda: whoami.ask(
                self._network, signer, refused=auth.verdict is Verdict.FAILED, timeout_s=self._timeout_s
            ),
        )
        return replace(auth, facts={**auth.facts, **found})

    async def _bare(self, cell: Cell, lane: Lane, signer: probes.Signer) -> tuple[int, str] | None:
        """Status and words for a signed POST without a body."""
        key = ("bare", cell.configuration.endpoint, signer.region, signer.service, *caller(cell))
        attempt = await self._once(key, lambda: lane.post(cell, signer, probes.check_auth, body=b""))
        exchange = deciding(attempt.trace(Stage.AUTH, {}))
        return (exchange.status, read(exchange).message) if exchange and exchange.status else None
