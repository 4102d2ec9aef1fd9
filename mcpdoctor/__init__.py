"""Find out why an MCP client cannot talk to AWS, and which configuration works.

import mcpdoctor

mcpdoctor.install()             # every unhandled failure is followed by its explanation
print(mcpdoctor.explain(exc))   # an exception, or the text of a traceback or log
mcpdoctor.connect.aws_knowledge()   # a transport for MCP clients, signed or not
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mcpdoctor.explanation import Explanation, explain
    from mcpdoctor.hooks import install

__version__ = "0.1.0"
__all__ = ["Explanation", "__version__", "explain", "install"]

_HOME = {"Explanation": "mcpdoctor.explanation", "explain": "mcpdoctor.explanation", "install": "mcpdoctor.hooks"}


def __getattr__(name: str) -> Any:
    """Import what is asked for only then: `mcpdoctor --version` needs none of it."""
    from importlib import import_module

    if name == "connect":
        return import_module("mcpdoctor.connect")
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOME[name]), name)
