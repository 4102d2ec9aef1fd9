"""The same search over real worker processes of dask: whom a limit counts, and what is left behind (nothing)."""

import asyncio
import importlib.metadata
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from dataclasses import replace
from functools import partial

import anyio
import pytest
from conftest import network_of

from mcpdoctor import matrix, measuring
from mcpdoctor.ceiling import Settings, budget, cross, ladder, run
from mcpdoctor.ceiling import distributed as several
from mcpdoctor.cli.machines import Machines, measured
from mcpdoctor.lab import Lab, Options, accounts
from mcpdoctor.lab.exchange import Exchange
from mcpdoctor.model import Unusable
from mcpdoctor.samples import Kind, Operation, Outcome, Stop

pytest.importorskip("distributed", reason='needs pip install "mcpdoctor[distributed]"')

from mcpdoctor.ceiling.distributed import crew as crews

ADDRESSES = ("127.0.0.2", "127.0.0.3")


def has_addresses():
    try:
        for address in ADDRESSES:
            with socket.socket() as probe:
                probe.bind((address, 0))
    except OSError:
        return False
    return True


pytestmark = [
    pytest.mark.skipif(not has_addresses(), reason="this system has one loopback address only"),
    # What dask leaves to the garbage collector when a client of it ends is its own affair.
    pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"),
]

SWIFT = Settings(most=6, unreleased_s=0.3, gap_s=0.01)


@pytest.fixture(autouse=True)
def _hurry(monkeypatch):
    """The lab needs no time to heal."""
    for module in (budget, run):
        monkeypatch.setattr(module, "HEALING_S", (0.2, 0.2, 0.2))
    for module in (cross, ladder):
        monkeypatch.setattr(module, "RETRY_S", 0.2)


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    """Two workers; in their environment is the lab's second key, for the reference `env`."""
    from distributed import LocalCluster

    with LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        dashboard_address=None,
        memory_limit=0,
        silence_logs=logging.CRITICAL,
        local_directory=str(tmp_path_factory.mktemp("dask")),
        env={**accounts.environment(accounts.SESSION), "AWS_EC2_METADATA_DISABLED": "true"},
    ) as running:
        yield running


@pytest.fixture
def cluster(workers):
    """The same, complete: a worker that a test has killed is started again by its nanny."""
    from distributed import Client

    with Client(workers.scheduler_address, set_as_default=False) as client:
        client.wait_for_workers(2, timeout=30)
    return workers


SEARCH = matrix.Call(tool="aws___search_documentation", arguments={"search_phrase": "s3"})


def measure(catalogue, lab, machines, *, credentials=("none",), search=SWIFT, call=None):
    url = f"{lab.http}/aws-mcp/us-east-1/mcp"
    axes = matrix.Axes(services=("aws-mcp",), regions=("us-east-1",), credentials=credentials)
    return anyio.run(
        partial(
            measured,
            matrix.expand([url], axes, catalogue, call=call),
            catalogue,
            network_of(lab),
            measuring.Settings(search=search, standby=lab.env, timeout_s=10),
            machines=machines,
            authority=None,
            observer=None,
        )
    )


def open_sessions(lab):
    opened = sum(one.rpc_method == "initialize" and one.status == 200 for one in lab.requests)
    return opened - sum(one.method == "DELETE" and one.status == 200 for one in lab.requests)


@pytest.mark.parametrize(
    ("per", "credential", "answer"),
    [
        ("address", "none", "address"),
        ("address", "default", "address"),
        ("identity", "none", "address"),  # who has no identity is counted by address
        ("identity", "default", "identity"),
    ],
)
def test_it_is_found_out_whom_a_limit_on_sessions_counts(catalogue, cluster, per, credential, answer):
    machines = Machines(scheduler=cluster.scheduler_address, addresses=ADDRESSES)
    with Lab(Options(limits=("sessions:4",), per=per)) as lab:
        report = measure(catalogue, lab, machines, credentials=(credential,), search=replace(SWIFT, quick=True))
        assert (open_sessions(lab), len(report.ceilings[0].samples)) == (0, len(lab.requests))
    [one] = report.ceilings
    assert (one.limiter, one.highest_clean, one.lowest_refused, one.per) == (Kind.SESSIONS, 4, 5, answer)
    theirs = [each for each in one.samples if each.leg == 1]
    opened = [each for each in theirs if each.operation is Operation.OPEN and each.outcome is Outcome.ACCEPTED]
    assert len(opened) == (1 if answer == "identity" else 4)  # shared: let in once a place was given back
    refused = sum(each.outcome is Outcome.REFUSED for each in one.samples if each.cross)
    assert refused == (2 if answer == "identity" else 3)
    assert "127.0.0.2" in one.facts["compared"]
    assert (one.requests <= 70, one.refused <= 6, report.exit_code) == (True, True, 0)


@pytest.fixture
def slow_tools(monkeypatch):
    """Tools of the lab take a while; everything else, refusals too, is answered at once."""
    forward = Exchange.forward

    async def slow(self, *arguments, **given):
        if self.request.rpc_method == "tools/call":
            await asyncio.sleep(0.08)
        await forward(self, *arguments, **given)

    monkeypatch.setattr(Exchange, "forward", slow)


@pytest.mark.parametrize("per", ["address", "identity"])
@pytest.mark.usefixtures("slow_tools")
def test_it_is_found_out_whom_a_limit_on_requests_in_flight_counts(catalogue, cluster, per):
    machines = Machines(scheduler=cluster.scheduler_address, addresses=ADDRESSES)
    with Lab(Options(limits=("in-flight:4",), per=per)) as lab:
        for _ in range(3):  # on a machine that has too much to do, requests miss each other
            [one] = measure(catalogue, lab, machines, credentials=("default",), call=SEARCH).ceilings
            assert one.per in {per, "unknown"}
            if one.per == per:
                break
        assert open_sessions(lab) == 0
    assert (one.limiter, one.highest_clean, one.per) == (Kind.IN_FLIGHT, 4, per)


def test_two_keys_at_one_address_show_whether_identities_count(catalogue, cluster):
    machines, search = Machines(scheduler=cluster.scheduler_address, workers=1), replace(SWIFT, most=3, quick=True)
    with Lab(Options(limits=("sessions:2",), per="identity")) as lab:
        report = measure(catalogue, lab, machines, credentials=("default", "env"), search=search)
        assert open_sessions(lab) == 0
    assert [(one.configuration.credential, one.per) for one in report.ceilings] == [
        ("default", "identity"),
        ("env", "identity"),
    ], report  # of one that is missing, the results say why


def test_alike_legs_share_the_work_of_one_search(catalogue, cluster):
    with Lab(Options(limits=("none",))) as lab:
        report = measure(catalogue, lab, Machines(scheduler=cluster.scheduler_address))
    [one] = report.ceilings
    assert (one.limiter, one.highest_clean, one.per, one.stopped) == (Kind.NONE, 6, "unknown", Stop.RESOLVED)
    opened = [each.leg for each in one.samples if each.operation is Operation.OPEN]
    assert opened == [0, 1, 0, 1, 0, 1]
    assert one.facts["compared"] == "Nothing was compared: there was one caller."
    assert one.facts["clock_error_s"] == 0
    assert len(one.facts["legs"]) == 2


def test_why_no_session_opens_is_found_out_on_the_leg(catalogue, cluster):
    with Lab(Options()) as lab:
        machines = Machines(scheduler=cluster.scheduler_address, workers=1)
        report = measure(catalogue, lab, machines, credentials=("profile:nobody",))
    assert (report.ceilings, report.exit_code) == ((), 1)
    assert [one.cause for one in report.results] == ["profile-not-found"]


# refusals -------------------------------------------------------------------------------------------------------------


def test_addresses_that_no_worker_has_are_refused(catalogue, cluster):
    with Lab(Options()) as lab:
        for addresses, words in (
            (("192.0.2.1",), "has none of the addresses of --from-address"),
            (("127.0.0.2", "127.0.0.3", "127.0.0.4"), "No worker is left for --from-address 127.0.0.4"),
        ):
            machines = Machines(scheduler=cluster.scheduler_address, workers=2, addresses=addresses)
            with pytest.raises(Unusable, match=words):
                measure(catalogue, lab, machines)
        assert lab.requests == []


def test_a_scheduler_that_does_not_answer_is_refused(catalogue, lab, monkeypatch):
    monkeypatch.setattr(crews, "CONNECTING_S", 0.5)
    with pytest.raises(Unusable, match=r"No dask scheduler answers at tcp://127.0.0.1:1; start one with"):
        measure(catalogue, lab, Machines(scheduler="tcp://127.0.0.1:1"))


def test_a_scheduler_without_enough_workers_is_refused(catalogue, cluster, lab, monkeypatch):
    monkeypatch.setattr(crews, "CONNECTING_S", 1.0)
    with pytest.raises(Unusable, match=r"has 2 workers, and 3 or more are needed; run `dask worker tcp://"):
        measure(catalogue, lab, Machines(scheduler=cluster.scheduler_address, workers=3))


def test_workers_of_another_version_are_refused():
    ours = importlib.metadata.version("mcpdoctor")

    def versions(found):
        return {"workers": {"tcp://w": {"packages": {"mcpdoctor": found}}}}

    crews.check_versions(versions(ours), ["tcp://w"])
    with pytest.raises(Unusable, match=f"tcp://w has mcpdoctor 0.0.1, this is {ours}; install the same on both"):
        crews.check_versions(versions("0.0.1"), ["tcp://w"])
    with pytest.raises(Unusable, match=r'tcp://w has no mcpdoctor; run `pip install "mcpdoctor\[distributed\]'):
        crews.check_versions(versions(None), ["tcp://w"])
    with pytest.raises(Unusable, match="has no mcpdoctor"):
        crews.check_versions({"workers": {}}, ["tcp://w"])


def test_without_dask_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(Unusable, match=r'install it with pip install "mcpdoctor\[distributed\]"\.$'):
        several.require()


# processes ------------------------------------------------------------------------------------------------------------


@pytest.fixture
def limited():
    with Lab(Options(limits=("sessions:4",), per="address")) as lab:
        yield lab
        assert open_sessions(lab) == 0


def started(lab):
    """mcpdoctor in a process group of its own, and two workers with it."""
    url = f"{lab.http}/aws-mcp/us-east-1/mcp"
    addresses = [word for address in ADDRESSES for word in ("--from-address", address)]
    return subprocess.Popen(
        [sys.executable, "-m", "mcpdoctor", "ceiling", url, "-c", "none", *addresses, "--yes", "--format", "json"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=dict(os.environ),
    )


def ended(process):
    """What it printed, and whether all of its processes are gone."""
    out, error = process.communicate(timeout=60)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline and (left := alive(process.pid)):
        time.sleep(0.1)
    assert (error, left) == ("", [])
    return json.loads(out), process.returncode


def alive(group):
    """The processes of a group that run; those that ended and were not waited for are no more than names."""
    listed = subprocess.run(["ps", "-eo", "pgid,pid,stat"], capture_output=True, text=True, check=True).stdout
    rows = [line.split() for line in listed.splitlines()[1:]]
    return [int(pid) for pgid, pid, state in rows if int(pgid) == group and not state.startswith("Z")]


def until(condition, process):
    deadline = time.monotonic() + 40
    while not condition():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.skipif(sys.platform == "win32", reason="Ctrl-C of a process group is a matter of POSIX")
def test_ctrl_c_in_a_terminal_closes_the_sessions_of_all_processes(limited):
    process = started(limited)
    until(lambda: open_sessions(limited) >= 3, process)
    os.killpg(process.pid, signal.SIGINT)
    document, code = ended(process)
    assert (code, document["interrupted"]) == (1, "interrupted")
    [one] = document["ceilings"]
    assert (one["stopped"], one["highest_clean"] >= 2) == ("interrupted", True)
    assert one["facts"]["compared"] == "Nothing was compared: the search ended before."


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_a_worker_that_dies_is_in_the_report_and_what_is_known_stays(catalogue, cluster):
    from distributed import Client

    with Client(cluster.scheduler_address, set_as_default=False) as client:
        workers = client.run(os.getpid)
    with Lab(Options(limits=("none",), latency_s=0.02)) as lab:

        def kill():
            while open_sessions(lab) < 3:
                time.sleep(0.02)
            os.kill(workers[max(workers)], signal.SIGKILL)

        killing = threading.Thread(target=kill, daemon=True)
        killing.start()
        report = measure(catalogue, lab, Machines(scheduler=cluster.scheduler_address), search=replace(SWIFT, most=30))
        killing.join(10)
        closed = sum(one.method == "DELETE" and one.status == 200 for one in lab.requests)
    [one] = report.ceilings
    assert (one.stopped, one.facts["leg_lost"], report.exit_code) == (Stop.INTERRUPTED, True, 1)
    assert (one.highest_clean >= 2, closed >= 1) == (True, True)
    assert max(workers) in str(one.facts["lost_legs"])
    assert "ceiling-leg-lost" in {finding.check for finding in report.findings}
