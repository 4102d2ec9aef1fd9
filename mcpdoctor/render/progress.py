"""Live progress on a terminal, on standard error."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from mcpdoctor.ceiling import Action, Wait
from mcpdoctor.matrix import Cell
from mcpdoctor.model import Trace
from mcpdoctor.samples import Operation, Outcome, Sample, refused


class Progress:
    """An observer of the engine that draws one bar, and the stage that ended last.

    Args:
        cells: how many configurations there are.
    """

    def __init__(self, cells: int) -> None:
        self._bar = Bar(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._bar.add_task("starting", total=cells)

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the bar."""
        self._bar.stop()

    def stage(self, cell: Cell, trace: Trace) -> None:
        """Show the stage that ended."""
        self._bar.update(self._task, description=f"{cell.target[:50]} {trace.stage.value} {trace.verdict.value}")

    def finished(self, cell: Cell) -> None:  # noqa: ARG002  # the bar counts; it does not name
        """Count one configuration."""
        self._bar.advance(self._task)


class Searching:
    """An observer of a search for a ceiling that draws one line: what is held, sent and refused so far."""

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("starting")

    def __enter__(self) -> Self:
        """Begin to draw."""
        self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Remove the line."""
        self._status.stop()

    def begins(self, cell: Cell, action: Action, log: Sequence[Sample]) -> None:
        """Show how far the search of a cell is."""
        opened, closed = (
            {one.session for one in log if one.operation is operation and one.outcome is Outcome.ACCEPTED}
            for operation in (Operation.OPEN, Operation.CLOSE)
        )
        caller = cell.configuration.credential if cell.configuration.signed else "unsigned"
        waiting = ", waiting" if isinstance(action, Wait) else ""
        self._status.update(
            escape(
                f"{cell.target[:50]} ({caller}): {len(opened - closed)} sessions held, {len(log)} requests, "
                f"{refused(log)} refused{waiting}"
            )
        )
