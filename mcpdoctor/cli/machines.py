"""Measure from here, or from several machines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mcpdoctor.catalogue import Catalogue
    from mcpdoctor.matrix import Plan
    from mcpdoctor.measuring import Observer, Settings
    from mcpdoctor.model import Report
    from mcpdoctor.network import Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Machines:
    """From where to measure.

    Attributes:
        scheduler: the value of `--scheduler`.
        workers: that of `--workers`.
        addresses: those of `--from-address`.
    """

    scheduler: str | None = None
    workers: int | None = None
    addresses: tuple[str, ...] = ()

    @property
    def several(self) -> bool:
        """Whether dask is needed."""
        return self.scheduler is not None or self.workers is not None or bool(self.addresses)

    def __str__(self) -> str:
        from mcpdoctor.limits import plural

        if self.scheduler is not None:
            some = plural(self.workers, "worker") if self.workers else "the workers"
            where = f"From {some} of the dask cluster at {self.scheduler}"
        elif self.several:
            where = f"From {plural(self.workers or len(self.addresses), 'process')} on this machine"
        else:
            return ""
        by = f", connecting from {', '.join(self.addresses)}" if self.addresses else ""
        return f"{where}{by}; what each configuration gets is for all of them together."


async def measured(
    plan: Plan,
    catalogue: Catalogue,
    network: Network,
    settings: Settings,
    *,
    machines: Machines,
    authority: str | None,
    observer: Observer | None,
) -> Report:
    """Measure a plan.

    Args:
        plan: what to measure.
        catalogue: the checks.
        network: the way to the servers.
        settings: how to measure.
        machines: from where.
        authority: certificates (PEM) that other machines have to trust besides the usual ones.
        observer: is told how it is going.

    Raises:
        Unusable: the other machines cannot be used.
    """
    from mcpdoctor import measuring

    if not machines.several:
        return await measuring.run(plan, catalogue, network, settings, observer=observer)
    from mcpdoctor.ceiling.distributed.crew import Terms, crew_of

    terms = Terms(
        catalogue=catalogue,
        network=network,
        authority=authority,
        timeout_s=settings.timeout_s,
        standby=settings.standby,
    )
    async with crew_of(
        terms, scheduler=machines.scheduler, workers=machines.workers, addresses=machines.addresses
    ) as crew:
        return await measuring.run(plan, catalogue, network, settings, observer=observer, crew=crew)
