"""Limiters that are not ours, before an MCP server that is not ours: nginx, and the `limits` package as oracle.

`python -m tests.benchmarks.foreign` measures many more of them, several times over.
"""

import pytest
from benchmarks.foreign.running import NGINX, endpoint, measured

STATELESS = ("--stateless",)
CONNECTIONS = "limit_conn_zone $binary_remote_addr zone=held:1m;"
SLOW = ("--tool", "work", "--arguments", '{"seconds": 0.3}')

nginx = pytest.mark.skipif(NGINX is None, reason="nginx is not installed")


@nginx
def test_a_proxy_without_limits_raises_no_alarm(tmp_path):
    with endpoint(tmp_path, zone="") as url:
        found = measured(url)
    assert (found["limiter"], found["refused"], found["highest_clean"]) == ("none-seen", 0, 16)


@nginx
@pytest.mark.parametrize(
    ("most", "rule", "server"),
    [
        (7, "limit_conn held 7; limit_conn_status 429;", ()),
        (3, "limit_conn held 3;", ()),  # 503, unless told otherwise
        (5, "limit_conn held 5;", STATELESS),
    ],
)
def test_connections_that_nginx_limits_are_counted(tmp_path, most, rule, server):
    with endpoint(tmp_path, zone=CONNECTIONS, rule=rule, server=server) as url:
        found = measured(url, *(SLOW if server else ()))
    assert found["limiter"] == "in-flight"
    assert (found["highest_clean"], found["lowest_refused"]) == (most, most + 1)
    # The session of a worker has a stream, which nginx counts as well; without sessions there are no streams.
    assert found["streams"] is (not server)
    assert found["recommended_workers"] == (3 if server else max(1, 3 * (most // 2) // 4))


@nginx
@pytest.mark.parametrize(("per_s", "burst", "status"), [(5, 10, 429), (2, 5, 503)])
def test_the_rate_that_nginx_limits_is_measured(tmp_path, per_s, burst, status):
    zone = f"limit_req_zone $binary_remote_addr zone=asked:1m rate={per_s}r/s;"
    rule = f"limit_req zone=asked burst={burst} nodelay; limit_req_status {status};"
    with endpoint(tmp_path, zone=zone, rule=rule, server=STATELESS if status == 503 else ()) as url:
        found = measured(url)
    assert found["limiter"] == "rate"
    assert found["rate_per_s"] == pytest.approx(per_s, rel=0.2)
    assert found["burst"] == pytest.approx(burst + 1, abs=1)  # nginx lets `burst` more than one through at once


@pytest.mark.parametrize("strategy", ["moving", "fixed"])
def test_a_strategy_of_the_limits_package_is_measured(tmp_path, strategy):
    with endpoint(tmp_path, server=("--strategy", strategy, "--rate", "10/5 seconds")) as url:
        found = measured(url, "--budget", "150,12,60")
    assert found["limiter"] == "rate"
    assert found["rate_per_s"] == pytest.approx(2, rel=0.2)
    assert found["burst"] == pytest.approx(10, abs=1)
