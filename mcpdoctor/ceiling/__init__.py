"""How much an endpoint allows: the search, and what its log tells of the limit. Pure: nothing here sends or waits."""

from mcpdoctor.ceiling.actions import Action, Burst, Call, Close, Loop, Open, Wait
from mcpdoctor.ceiling.budget import Budget, Costs
from mcpdoctor.ceiling.inference import Belief, Explanation, infer
from mcpdoctor.ceiling.result import conclude
from mcpdoctor.ceiling.run import Interrupted, Settings
from mcpdoctor.ceiling.search import Search, search
from mcpdoctor.ceiling.stated import retry_after, stated
from mcpdoctor.ceiling.workers import workers_for_places, workers_for_rate

__all__ = [
    "Action",
    "Belief",
    "Budget",
    "Burst",
    "Call",
    "Close",
    "Costs",
    "Explanation",
    "Interrupted",
    "Loop",
    "Open",
    "Search",
    "Settings",
    "Wait",
    "conclude",
    "infer",
    "retry_after",
    "search",
    "stated",
    "workers_for_places",
    "workers_for_rate",
]
