"""Find the calls in Python code that reach an MCP server, and what they are given. Pure: nothing is run or imported."""

from mcpdoctor.clients.python.known import Call, Known, Protocol, Role, load
from mcpdoctor.clients.python.reader import NEEDLES, Note, Reading, read, read_notebook
from mcpdoctor.clients.python.usages import Argument, Holder, RegionSource, Usage

__all__ = [
    "NEEDLES",
    "Argument",
    "Call",
    "Holder",
    "Known",
    "Note",
    "Protocol",
    "Reading",
    "RegionSource",
    "Role",
    "Usage",
    "load",
    "read",
    "read_notebook",
]
