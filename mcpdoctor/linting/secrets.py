"""Secrets of AWS that stand in a file. What they are is never a fact: only the name they stand under is."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mcpdoctor.clients.words import Problem, Word
from mcpdoctor.linting.subjects import Subject

_NAMES = re.compile(r"(?i)AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|AWS_SECURITY_TOKEN|AWS_BEARER_TOKEN\w*")
_ASSIGNED = re.compile(r"(?i)(AWS_SECRET_ACCESS_KEY|AWS_SESSION_TOKEN|AWS_SECURITY_TOKEN)=(.+)", re.DOTALL)
_BEARER = re.compile(r"(?i)bearer\s+(\S{8,})")
_HEADER = re.compile(r"(?i)authorization\s*[:=]\s*bearer\s+(\S{8,})")
_PLACEHOLDER = re.compile(
    r"(?i)[<\[{].*|.*(?:example(?:key)?|your|xxx|\.\.\.|placeholder|changeme|secret-?here).*|[x*]+", re.DOTALL
)
_SHORTEST = 16
_COMPLETE = re.compile(r"(?=.*[a-z])(?=.*[A-Z])(?=.*[0-9/+])[A-Za-z0-9/+]{40}")
"""A secret access key, be it that of an example: where one stands complete, the real one will stand too."""


def problems(subject: Subject, *, of_aws: bool) -> Iterator[Problem]:
    """Keys in variables and arguments of any server, and tokens for a server of AWS."""
    server, started = subject.server, subject.reach.launch
    variables = {**server.env, **(started.environment if started else {})}
    for name, word in variables.items():
        if _NAMES.fullmatch(name) and _is_secret(word, word.text):
            yield Problem(kind="secret", at=word.at, facts={"name": name})
    for word in server.args:
        found = _ASSIGNED.search(word.text)
        if found and word.at not in [one.at for one in variables.values()] and _is_secret(word, found[2]):
            yield Problem(kind="secret", at=word.at, facts={"name": found[1]})
        token = _HEADER.match(word.text) if of_aws else None
        if token and _is_secret(word, token[1]):
            yield Problem(kind="secret", at=word.at, facts={"name": "Authorization"})
    for name, word in server.headers.items() if of_aws else ():
        token = _BEARER.match(word.text)
        if name.casefold() == "authorization" and token and _is_secret(word, token[1]):
            yield Problem(kind="secret", at=word.at, facts={"name": name})


def _is_secret(word: Word, text: str) -> bool:
    if not word.certain or len(text) < _SHORTEST:
        return False
    return _COMPLETE.fullmatch(text) is not None or not _PLACEHOLDER.fullmatch(text)
