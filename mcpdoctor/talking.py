"""Sessions with the client that users run: what it shows of stages open, list and call."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio

from mcpdoctor import caller, probes, way
from mcpdoctor.matrix import Call, Cell
from mcpdoctor.model import Fact, Stage, Trace, Verdict
from mcpdoctor.outcomes import Outcome, evidence
from mcpdoctor.redaction import clean
from mcpdoctor.transcript import Transcript
from mcpdoctor.wire import RecordingTransport


@dataclass(slots=True, eq=False)
class Talk:
    """One session with the real client: what it showed so far, and what it sent."""

    traces: list[Trace] = field(default_factory=list)
    transcript: Transcript | None = None


class Conversation:
    """One session with the real client, stage by stage.

    The SDK reports a failed request by cancelling the task that waits for it, and raises the reason only where its
    context ends. So a stage that was under way when something came out of there is the one that failed.
    """

    def __init__(
        self,
        cell: Cell,
        signer: probes.Signer | None,
        transport: RecordingTransport,
        talk: Talk,
        *,
        timeout_s: float,
    ) -> None:
        self.cell, self.signer, self.transport, self.timeout_s = cell, signer, transport, timeout_s
        self.secrets = caller.secrets(cell, signer)
        self.transcript = transport.transcript
        self.keep = talk.traces.append
        self.under_way: Stage | None = None
        self.facts: dict[str, Fact] = {}
        self.seen = 0
        self.started = 0.0

    async def hold(self) -> None:
        """Open, list, call, close."""
        url, more = self.cell.configuration.endpoint, self.cell.headers
        with evidence(self.secrets) as outcome, anyio.CancelScope() as closing:
            async with probes.session(url, self.signer, self.transport, timeout_s=self.timeout_s, more=more) as one:
                async with self._stage(Stage.OPEN):
                    await probes.open_session(one, self.facts)
                async with self._stage(Stage.LIST):
                    endpoint = self.cell.endpoint
                    never_empty = endpoint is not None and endpoint.never_empty
                    await probes.list_tools(one, self.facts, never_empty=never_empty)
                tools = self.facts.get("tools", ())
                await self._call(one, tools if isinstance(tools, tuple) else ())
                closing.deadline = anyio.current_time() + self.timeout_s
        # Where every stage had ended, what breaks while the session is closed is noise.
        if self.under_way is not None and outcome.verdict is not Verdict.PASSED:
            if self.under_way is Stage.OPEN:
                # The last exchange may be the end of a session that the client did not want.
                self.facts |= probes.protocol_facts(probes.heard_first(self.transcript), self.transcript.first_body)
            self._keep(self.under_way, outcome)
        await self.transport.aclose()

    async def _call(self, one: Any, tools: tuple[str, ...]) -> None:
        endpoint, call = self.cell.endpoint, self.cell.call
        named = caller.named(self.cell)
        if call is not None:
            removed = endpoint.removed_tools if endpoint is not None else {}
            async with self._stage(Stage.CALL, listed=tools):
                await probes.call_tool(one, call, self.facts, removed=removed)
        elif named and endpoint is not None and endpoint.credential_probe:
            async with self._stage(Stage.CALL):
                await probes.probe_credential(one, endpoint, self.transcript, self.facts)
        elif not named and endpoint is not None and endpoint.anonymous_probe and not endpoint.strict:
            async with self._stage(Stage.CALL):
                await probes.call_tool(one, Call(tool=endpoint.anonymous_probe, arguments={}), self.facts)
        else:
            reason = "no tool was named; --tool NAME calls one"
            self.keep(Trace(stage=Stage.CALL, verdict=Verdict.SKIPPED, reason=reason))

    @asynccontextmanager
    async def _stage(self, stage: Stage, **facts: Fact) -> AsyncIterator[None]:
        self.under_way, self.facts, self.started = stage, dict(facts), time.perf_counter()
        self.transcript.waited_s = 0.0
        with anyio.fail_after(self.timeout_s) as self.transcript.scope:
            yield
        self.transcript.scope = None
        self.under_way = None
        self._keep(stage, Outcome())

    def _keep(self, stage: Stage, outcome: Outcome) -> None:
        exchanges = tuple(self.transcript.exchanges[self.seen :])
        self.seen = len(self.transcript.exchanges)
        self.facts |= way.http_fault(self.transcript, outcome.failures)
        if self.transcript.cut_s is not None:
            self.facts["stream_cut_s"], self.transcript.cut_s = self.transcript.cut_s, None
        all_of_them = self.transcript.exchanges
        self.facts["session"] = any("mcp-session-id" in one.headers for one in all_of_them)
        self.facts["initialized"] = any(one.rpc_method == "initialize" and one.status == 200 for one in all_of_them)
        if stage is Stage.OPEN:
            self.facts |= probes.answers_as(exchanges)
        elapsed_s = round(max(time.perf_counter() - self.started - self.transcript.waited_s, 0.0), 6)
        self.keep(outcome.trace(stage, elapsed_s=elapsed_s, facts=self._shown(), exchanges=exchanges))

    def _shown(self) -> dict[str, Fact]:
        """The facts of the stage, without what a server may have sent back of our keys."""

        def masked(value: Fact) -> Fact:
            if isinstance(value, str):
                return clean(value, secrets=self.secrets)
            return tuple(clean(one, secrets=self.secrets) for one in value) if isinstance(value, tuple) else value

        return {name: masked(value) for name, value in self.facts.items()}
