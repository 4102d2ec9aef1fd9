"""The lab as AWS was at a date: who may come in, and the quotas that were documented then.

`current` is what users saw lately, whatever is documented: about seven signed sessions at a time, and four without a
signature. The rates are documented as sustained; how much may come at once is not, and assumed here to be what two
seconds of the newer rate allow: a client sends four requests at once to open a session and list tools.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

CURRENT = "current"
MARCH_2026 = "2026-03"
SEPTEMBER_2026 = "2026-09"
MODES = (CURRENT, MARCH_2026, SEPTEMBER_2026)


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """What the documentation of a date allows.

    Attributes:
        limits: of each account, as `parse_limit` reads them.
        anonymous_limits: of each address, without a signature.
    """

    limits: tuple[str, ...]
    anonymous_limits: tuple[str, ...] = ("none",)


QUOTAS: Mapping[str, Mapping[str, Quotas]] = {
    # Connections are counted as requests that are being answered: an idle connection asks for nothing.
    MARCH_2026: {"aws-mcp": Quotas(limits=("rate:3/s,burst:10", "in-flight:27"))},
    SEPTEMBER_2026: {
        "aws-mcp": Quotas(
            limits=("rate:10/s,burst:20", "in-flight:100", "sessions:180"),
            anonymous_limits=("rate:5/s,burst:10",),
        )
    },
}
"""By mode and family of servers; a server that is not here keeps its own limits."""
