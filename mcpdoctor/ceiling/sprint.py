"""First stage: cheap requests one at a time, which no limit on sessions or on requests in flight can refuse.

What refuses them is a rate, and without this stage a small rate passes for a limit on requests in flight.
"""

from __future__ import annotations

from mcpdoctor.ceiling.run import Asking, Run
from mcpdoctor.samples import Kind

REQUESTS = 20
REFUSALS = 3


def sprint(run: Run) -> Asking:
    """Send up to 20 requests back to back, and stop at three refusals.

    The first one opens a session, which is then the first of the ladder. The time between two requests is one round
    trip, a retry after a refusal included: only a rate refuses again at once, a stray refusal does not. Where the
    server asks to wait, that comes first.

    Where no call at all passes, the stream of the session may be what takes the only place: go on without it.
    """
    refusals, passed = 0, False
    for _ in range(REFUSALS):
        if (yield from run.open()):
            break
        refusals += 1
    for _ in range(REQUESTS - 1):
        if refusals >= REFUSALS or (refusals >= REFUSALS - 1 and run.belief().sure(Kind.RATE, run.settings.sure)):
            return
        if (yield from run.call()):
            passed = True
            continue
        refusals += 1
        if run.streaming and not passed and refusals > 1:
            yield from run.close()
