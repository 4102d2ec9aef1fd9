"""Plan what the entries of client files stand for: configurations to try, and commands to start."""

from mcpdoctor.from_files.entries import STDIO, Lab, Machine
from mcpdoctor.from_files.planning import AUTO, Planned, planned

__all__ = ["AUTO", "STDIO", "Lab", "Machine", "Planned", "planned"]
