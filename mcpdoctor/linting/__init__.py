"""Judge at rest what clients and programs are told to do: no network, nothing is started.

The way of one file: `gathering` (which files, read once) → `subjects` (what each server would reach and how) →
`endpoints`, `proxies`, `entries`, `groups`, `secrets`, `policies` (what is odd: a `Problem` with facts, and edits where
they are certain) → `judging` (the checks about files say what it means) → `rewriting` (the edits, as a whole text).
"""

from mcpdoctor.linting.gathering import Gathered, Places, gather, profiles_of
from mcpdoctor.linting.judging import Linted, Rules, judge, worst
from mcpdoctor.linting.rewriting import difference, rewrite, save

__all__ = [
    "Gathered",
    "Linted",
    "Places",
    "Rules",
    "difference",
    "gather",
    "judge",
    "profiles_of",
    "rewrite",
    "save",
    "worst",
]
