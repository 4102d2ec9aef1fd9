"""IAM policies that rely on actions which no longer have any effect."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase

from mcpdoctor.catalogue import Catalogue
from mcpdoctor.clients.values import Items, Scalar, Table, Value
from mcpdoctor.clients.words import Problem
from mcpdoctor.model import Fact

_MOST = 200_000


def inert(catalogue: Catalogue) -> dict[str, str]:
    """Every inert action, in lower case, with the title of the endpoint that it was for."""
    return {action.lower(): one.title for one in catalogue.endpoints.values() for action in one.inert_actions}


def problems(root: Value, catalogue: Catalogue) -> Iterator[Problem]:
    """Each statement of a policy that names such actions, wherever policies stand in a document."""
    patterns = inert(catalogue)
    pending, seen = [root], 0
    while pending and seen < _MOST:
        value = pending.pop()
        seen += 1
        if isinstance(value, Items):
            pending.extend(reversed(value.items))
        elif isinstance(value, Table):
            effect = value.get("Effect")
            for name in ("Action", "NotAction"):
                actions = value.get(name)
                if actions is not None and isinstance(effect, Scalar) and name == "Action":
                    yield from _statement(actions, effect, patterns)
            pending.extend(one.value for one in reversed(value.members))


def _statement(actions: Value, effect: Scalar, patterns: dict[str, str]) -> Iterator[Problem]:
    given = actions.items if isinstance(actions, Items) else (actions,)
    texts = [one for one in given if isinstance(one, Scalar) and one.text]
    for one in texts:
        action = (one.text or "").lower()
        title = next((title for pattern, title in patterns.items() if fnmatchcase(action, pattern)), None)
        if title is not None:
            facts: dict[str, Fact] = {"action": one.text, "title": title, "effect": str(effect.data)}
            facts["alone"] = len(texts) == 1
            yield Problem(kind="action-inert", at=one, facts=facts)
