"""How a piece of work ended: what it raised becomes evidence here, and nowhere else; work done once; interruptions."""

from __future__ import annotations

import signal
from collections.abc import Awaitable, Callable, Collection, Hashable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import anyio

from mcpdoctor.failures import Chain, unwrap
from mcpdoctor.model import Stage, Trace, Verdict

_OUR_MISTAKES = (TypeError, AttributeError, LookupError, NameError, AssertionError, NotImplementedError)


class Refused(Exception):  # not an error of ours: the answer was complete, and it was no
    """The server answered, and the answer means that this stage failed; the exchange says why."""


_REFUSED = f"{Refused.__module__}.{Refused.__qualname__}"


@dataclass(slots=True)
class Outcome:
    """How a piece of work ended: it passed, or what it raised says otherwise."""

    verdict: Verdict = Verdict.PASSED
    failures: tuple[Chain, ...] = ()
    reason: str | None = None

    def take(self, error: BaseException, secrets: Collection[str]) -> None:
        """Turn what was raised into a verdict and chains."""
        chains = unwrap(error, secrets=secrets)  # an exception may quote what the server sent back
        self.failures = tuple(chain for chain in chains if chain[-1].type != _REFUSED)
        mistake = _our_mistake(error)
        self.verdict = Verdict.FAILED if mistake is None else Verdict.BROKEN
        self.reason = None if mistake is None else f"a fault of mcpdoctor itself: {mistake}"

    def trace(self, stage: Stage, **rest: Any) -> Trace:
        """A trace with this outcome."""
        return Trace(stage=stage, verdict=self.verdict, reason=self.reason, failures=self.failures, **rest)


@contextmanager
def evidence(secrets: Collection[str] = ()) -> Iterator[Outcome]:
    """The one place where exceptions become evidence; what cancels the run passes through."""
    outcome = Outcome()
    try:
        yield outcome
    except Exception as error:  # noqa: BLE001  # whatever it is, the report must tell it
        outcome.take(error, secrets)


class Once:
    """Work that many cells need and one of them does."""

    def __init__(self) -> None:
        self._begun: dict[Hashable, anyio.Event] = {}
        self._results: dict[Hashable, Any] = {}
        self._errors: dict[Hashable, Exception] = {}

    async def __call__(self, key: Hashable, work: Callable[[], Awaitable[Any]]) -> Any:
        """The result of `work` for `key`; the first caller does it, the others wait and get what it got."""
        if key in self._begun:
            await self._begun[key].wait()
            if key in self._errors:
                raise self._errors[key]
            return self._results[key]
        self._begun[key] = anyio.Event()
        try:
            self._results[key] = await work()
        except Exception as error:
            self._errors[key] = error
            raise
        finally:
            self._begun[key].set()
        return self._results[key]


def _our_mistake(error: BaseException) -> str | None:
    """Where our own code made a programming mistake; None where it only passed on what others raised."""
    if isinstance(error, BaseExceptionGroup):
        return next(filter(None, map(_our_mistake, error.exceptions)), None)
    if not isinstance(error, _OUR_MISTAKES) or error.__traceback__ is None:
        return None
    last = error.__traceback__
    while last.tb_next is not None:
        last = last.tb_next
    module = str(last.tb_frame.f_globals.get("__name__", ""))
    return f"{type(error).__name__} in {module}:{last.tb_lineno}" if module.startswith("mcpdoctor.") else None


async def on_signal(act: Callable[[], None]) -> None:
    """Call `act` at the first SIGINT or SIGTERM, in place of what Python does then."""
    try:
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                act()
                return
    except (NotImplementedError, RuntimeError, ValueError):
        pass  # Windows, or not the main thread: the caller handles signals
