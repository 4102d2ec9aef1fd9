"""Take an exception apart, down to the errno."""

from __future__ import annotations

from dataclasses import dataclass

@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One exception of a chain.

    Attributes:
        type: qualified name, such as `httpx.ConnectError`.
        message: its text, redacted and capped.
        errno: symbolic name where the exception carries one: `ECONNREFUSED`, `EAI_NONAME`.
    """

    type: str
    message: str = ""
    errno: str | None = None


Chain = tuple[Failure, ...]
"""One failure taken apart: outermost exception first, root cause last."""



def unwrap(exc: BaseException) -> tuple[Chain, ...]:
    """Take one exception apart into a chain for each leaf."""
    raise NotImplementedError
