"""A first suite file from what a project already uses: `mcpdoctor init`.

The way: `looking` (client files and programs, read once) → `lines` (what each of them comes to: a target, or why it is
left out) → `writing` (the text of the file) → `appending` (the same inside of a pyproject.toml).
"""

from mcpdoctor.proposing.appending import appended
from mcpdoctor.proposing.lines import LeftOut, Line, Proposal, propose
from mcpdoctor.proposing.looking import Looked, look
from mcpdoctor.proposing.writing import written

__all__ = ["LeftOut", "Line", "Looked", "Proposal", "appended", "look", "propose", "written"]
