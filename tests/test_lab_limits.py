"""Limits of the lab over HTTP: what takes a place and for how long, how a refusal looks, and who is one caller."""

import json
import socket
import ssl
import time

import anyio
import httpx
import pytest
from mcp import ClientSession, McpError
from mcp.client.streamable_http import streamable_http_client
from test_lab import (
    ACCEPT,
    HELLO,
    INITIALIZE,
    LIST,
    US,
    Signing,
    call,
    client,
    close,
    opened,
    path_of,
    post,
    rpc,
    statuses,
    together,
)

from mcpdoctor.lab import Lab, Options, app, doors

EKS = "eks-mcp/us-east-1"
SIGNED_FOR_EKS = {"service": "eks-mcp"}
NOTIFICATION = {"jsonrpc": "2.0", "method": "notifications/initialized"}
SEARCH = call("aws___search_documentation", search_phrase="s3")
TOO_MANY = {"code": -32004, "message": "Too many requests. Please try again later."}


def within(seconds, check):
    """Whether something becomes true soon enough."""
    deadline = time.monotonic() + seconds
    while not check():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.01)
    return True


# How a limiter says no


def test_a_limiter_can_refuse_as_nginx_does():
    with Lab(Options(limits=("sessions:1",), refusal="503")) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        refused = post(lab, url, INITIALIZE)
        assert (refused.status_code, refused.headers["server"]) == (503, "nginx")
        assert refused.headers["content-type"].startswith("text/html")
        assert "<title>503 Service Temporarily Unavailable</title>" in refused.text
        assert "retry-after" not in refused.headers
        assert close(lab, url, session).status_code == 200
        assert statuses(lab, url, times=2) == [200, 503]


def test_a_limiter_can_refuse_in_json_rpc():
    with Lab(Options(limits=("sessions:1",), refusal="rpc")) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        refused = post(lab, url, rpc("initialize", HELLO, ident="mine"))
        assert refused.status_code == 200
        assert "mcp-session-id" not in refused.headers
        assert refused.json() == {"jsonrpc": "2.0", "id": "mine", "error": TOO_MANY}
        assert close(lab, url, session).status_code == 200
        assert "result" in post(lab, url, INITIALIZE).json()


def test_who_refuses_in_json_rpc_counts_only_what_it_can_refuse():
    with Lab(Options(limits=("window:2/1000s",), refusal="rpc")) as lab:
        url = path_of(lab, EKS)
        session = opened(lab, url, lab.env, **SIGNED_FOR_EKS)
        with client(lab, lab.env, **SIGNED_FOR_EKS) as http:
            http.headers["mcp-session-id"] = session
            for _ in range(3):
                assert http.post(url, json=NOTIFICATION).status_code == 202
            with http.stream("GET", url) as stream:
                assert stream.status_code == 200
            assert "tools" in http.post(url, json=LIST).text
            assert http.post(url, json=LIST).json()["error"] == TOO_MANY
            assert http.post(url, json=NOTIFICATION).status_code == 202
            assert http.delete(url).status_code == 200


def test_a_limiter_can_refuse_as_the_result_of_a_tool():
    with Lab(Options(limits=("window:1/1000s",), refusal="tool")) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        for _ in range(3):
            assert "tools" in post(lab, url, LIST, session=session).json()["result"]
        assert post(lab, url, SEARCH, session=session).json()["result"]["isError"] is False
        refused = post(lab, url, SEARCH, session=session)
        assert refused.status_code == 200
        assert refused.json() == {
            "jsonrpc": "2.0",
            "id": 1,
            "result": {
                "content": [{"type": "text", "text": "Too many requests. Please try again later. (HTTP 429)"}],
                "isError": True,
            },
        }
        assert "result" in post(lab, url, LIST, session=session).json()
        assert close(lab, url, session).status_code == 200


def test_a_tool_that_refuses_counts_calls_in_flight():
    with Lab(Options(limits=("in-flight:2",), refusal="tool", latency_s=0.5)) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        answers = anyio.run(at_once, url, session, SEARCH, 5)
        assert sorted(answer.json()["result"]["isError"] for answer in answers) == [False] * 2 + [True] * 3
        assert anyio.run(together, lab, url, 4) == [200] * 4


async def at_once(url, session, message, times, auth=None):
    """Send a message several times at once, each with an id of its own, and gather the answers."""
    gathered = []
    headers = {**ACCEPT, "mcp-session-id": session}
    async with httpx.AsyncClient(headers=headers, auth=auth, timeout=5) as http, anyio.create_task_group() as group:

        async def one(ident):
            gathered.append(await http.post(url, json=message | {"id": ident}))

        for ident in range(times):
            group.start_soon(one, ident)
    return gathered


@pytest.mark.parametrize("refusal", ["rpc", "tool"])
def test_a_real_client_reads_a_refusal_behind_http(refusal):
    async def session(url, auth):
        async with (
            httpx.AsyncClient(auth=auth, timeout=5) as http,
            streamable_http_client(url, http_client=http) as (reading, writing, _),
            ClientSession(reading, writing) as talk,
        ):
            await talk.initialize()
            if refusal == "rpc":
                with pytest.raises(McpError) as told:
                    await talk.list_tools()
                assert (told.value.error.code, told.value.error.message) == tuple(TOO_MANY.values())
            else:
                await talk.list_tools()
                assert not (await talk.call_tool("list_k8s_resources", {"cluster_name": "x"})).isError
                assert (await talk.call_tool("list_k8s_resources", {"cluster_name": "x"})).isError

    with Lab(Options(limits=("window:1/1000s",), refusal=refusal)) as lab:
        anyio.run(session, path_of(lab, EKS), Signing(lab.env, "eks-mcp"))


@pytest.mark.parametrize(("refusal", "status"), [("429", 429), ("503", 503)])
def test_over_http_notifications_and_streams_are_refused_too_and_delete_never(refusal, status):
    with Lab(Options(limits=("window:1/1000s",), refusal=refusal)) as lab:
        url = path_of(lab, EKS)
        session = opened(lab, url, lab.env, **SIGNED_FOR_EKS)
        with client(lab, lab.env, **SIGNED_FOR_EKS) as http:
            http.headers["mcp-session-id"] = session
            assert http.post(url, json=NOTIFICATION).status_code == status
            assert http.get(url).status_code == status
            assert http.delete(url).status_code == 200


@pytest.mark.parametrize("refusal", ["429", "503", "rpc", "tool"])
def test_a_refusal_can_say_when_to_come_back(refusal):
    with Lab(Options(limits=("window:2/1000s",), refusal=refusal, retry_after_s=2.5)) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        answers = [post(lab, url, SEARCH, session=session) for _ in range(3)]
        assert [answer.headers.get("retry-after") for answer in answers] in ([None, "3", "3"], [None, None, "3"])
        assert answers[-1].status_code == {"429": 429, "503": 503}.get(refusal, 200)


# What the headers state


def stated(answer):
    return answer.headers.get("ratelimit-policy"), answer.headers.get("ratelimit")


def test_every_answer_can_state_the_rate():
    with Lab(Options(limits=("rate:0.01/s,burst:3",), rate_headers=True)) as lab:
        url = path_of(lab, US)
        opening = post(lab, url, INITIALIZE)
        session = opening.headers["mcp-session-id"]
        answers = [opening, *(post(lab, url, LIST, session=session) for _ in range(3)), close(lab, url, session)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 200]
        policies, states = zip(*map(stated, answers), strict=True)
        assert set(policies) == {'"lab";q=3;w=300'}
        # The time passes while the test runs, so the next token is due in a bit less than 100 seconds.
        left = [state.removeprefix('"lab";r=').split(";t=") for state in states]
        assert [remaining for remaining, _ in left] == ["2", "1", "0", "0", "0"]
        assert all(90 <= int(seconds) <= 100 for _, seconds in left)
        assert stated(post(lab, url, INITIALIZE, lab.env))[1].startswith('"lab";r=2;')


def test_several_rates_are_stated_by_name_and_places_are_not():
    limits = ("in-flight:9", "window:5/1000s", "sessions:9", "sliding:7/30s")
    with Lab(Options(limits=limits, rate_headers=True)) as lab:
        policy, state = stated(post(lab, path_of(lab, "knowledge"), INITIALIZE))
        assert policy == '"lab";q=5;w=1000, "lab-2";q=7;w=30'
        first, second = state.split(", ")
        assert first.startswith('"lab";r=4;t=')
        assert second == '"lab-2";r=6;t=30'


@pytest.mark.parametrize(
    "options",
    [
        {"limits": ("window:5/1000s",)},
        {"limits": ("sessions:5", "in-flight:5"), "rate_headers": True},
        {"rate_headers": True},
        {"limits": ("none",), "rate_headers": True},
    ],
)
def test_without_a_rate_or_the_option_nothing_is_stated(options):
    with Lab(Options(**options)) as lab:
        assert stated(post(lab, path_of(lab, US), INITIALIZE)) == (None, None)


def test_who_is_turned_away_is_told_no_rate():
    with Lab(Options(limits=("window:5/1000s",), rate_headers=True)) as lab:
        url = path_of(lab, EKS)
        assert stated(post(lab, url, INITIALIZE)) == (None, None)
        assert stated(post(lab, url, INITIALIZE, lab.env, **SIGNED_FOR_EKS))[0] == '"lab";q=5;w=1000'


# What takes a place, and for how long


FAILING = {
    "not acceptable": ({"json": INITIALIZE, "headers": {"accept": "text/html"}}, 406),
    "an error in JSON-RPC": ({"json": rpc("initialize", {"protocolVersion": 7})}, 200),
    "a session that is not": ({"json": INITIALIZE, "headers": {"mcp-session-id": "unheard-of"}}, 404),
    "no JSON": ({"content": b'{"method":"initialize"'}, 400),
    "no id": ({"json": {"jsonrpc": "2.0", "method": "initialize", "params": HELLO}}, 400),
}


@pytest.mark.parametrize(("request_", "status"), FAILING.values(), ids=FAILING)
@pytest.mark.parametrize("name", [US, EKS])
def test_an_initialize_that_fails_takes_no_place(name, request_, status):
    with Lab(Options(limits=("sessions:1",))) as lab:
        url, scope = path_of(lab, name), {"service": name.partition("/")[0]}
        with client(lab, lab.env, **scope) as http:
            for _ in range(3):
                assert http.post(url, **request_).status_code == status
            assert [http.post(url, json=INITIALIZE).status_code for _ in range(2)] == [200, 429]


def test_what_the_sdk_calls_a_session_after_a_failed_initialize_is_none():
    with Lab(Options(limits=("none",))) as lab:
        failed = post(lab, path_of(lab, US), rpc("initialize", {"protocolVersion": 7}))
        assert "error" in failed.json()
        session = failed.headers.get("mcp-session-id", "none")
        assert post(lab, path_of(lab, US), LIST, session=session).status_code == 404


def test_a_refused_initialize_takes_no_place():
    with Lab(Options(limits=("sessions:2",))) as lab:
        url = path_of(lab, US)
        for _ in range(3):
            sessions = [opened(lab, url) for _ in range(2)]
            assert statuses(lab, url, times=4) == [429] * 4
            assert [close(lab, url, session).status_code for session in sessions] == [200, 200]


def test_a_place_is_given_back_once():
    with Lab(Options(limits=("sessions:1",))) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        assert [close(lab, url, session).status_code for _ in range(3)] == [200, 404, 404]
        assert statuses(lab, url, times=2) == [200, 429]


def test_a_second_initialize_in_a_session_takes_no_second_place():
    with Lab(Options(limits=("sessions:2",))) as lab:
        url = path_of(lab, US)
        session = opened(lab, url)
        assert post(lab, url, INITIALIZE, session=session).status_code == 200
        assert close(lab, url, session).status_code == 200
        assert statuses(lab, url, times=3) == [200, 200, 429]


def test_sessions_that_are_being_opened_count():
    with Lab(Options(limits=("sessions:3",), latency_s=0.5)) as lab:
        url = path_of(lab, "knowledge")
        assert anyio.run(together, lab, url, 8) == [200] * 3 + [429] * 5


def test_what_another_limit_refuses_takes_no_place():
    with Lab(Options(limits=("sessions:3", "in-flight:2"), latency_s=0.5)) as lab:
        url = path_of(lab, "knowledge")
        assert anyio.run(together, lab, url, 4) == [200] * 2 + [429] * 2
        assert statuses(lab, url, times=2) == [200, 429]


def leave(lab, url, message):
    """Send a request, and go away before its answer."""
    body, before = json.dumps(message).encode(), len(lab.requests)
    head = f"POST {httpx.URL(url).path} HTTP/1.1\r\nhost: lab.test\r\ncontent-length: {len(body)}\r\n"
    head += "".join(f"{name}: {value}\r\n" for name, value in ACCEPT.items())
    with socket.create_connection(("127.0.0.1", httpx.URL(url).port)) as hasty:
        hasty.sendall(head.encode() + b"\r\n" + body)
        assert within(5, lambda: len(lab.requests) > before)


def test_who_leaves_before_the_answer_keeps_no_place_in_flight():
    with Lab(Options(limits=("in-flight:1",), latency_s=0.3)) as lab:
        url = path_of(lab, US)
        leave(lab, url, INITIALIZE)
        assert statuses(lab, url, times=1) == [429]
        assert within(5, lambda: statuses(lab, url, times=1) == [200])


def test_a_session_whose_id_nobody_read_ends_when_it_was_silent(monkeypatch):
    monkeypatch.setattr(doors, "IDLE_S", 0.5)
    monkeypatch.setattr(app, "SWEEP_S", 0.02)
    with Lab(Options(limits=("sessions:1",))) as lab:
        url = path_of(lab, US)
        leave(lab, url, INITIALIZE)
        assert statuses(lab, url, times=1) == [429]
        assert within(5, lambda: statuses(lab, url, times=1) == [200])


def test_an_open_stream_can_take_a_place_in_flight():
    with Lab(Options(limits=("in-flight:2",), streams=True)) as lab, client(lab, lab.env, **SIGNED_FOR_EKS) as http:
        url = path_of(lab, EKS)
        sessions = [opened(lab, url, lab.env, **SIGNED_FOR_EKS) for _ in range(2)]
        first, second = ({"mcp-session-id": session} for session in sessions)
        with http.stream("GET", url, headers=first) as stream:
            pieces = stream.iter_raw()
            next(pieces)
            assert http.post(url, json=LIST, headers=first).status_code == 200
            with http.stream("GET", url, headers=second) as other:
                held = other.iter_raw()  # without a name it would be closed, and the connection with it
                next(held)
                assert http.post(url, json=LIST, headers=first).status_code == 429
                assert http.get(url, headers=first).status_code == 429
                assert http.delete(url, headers=first).status_code == 200
                assert http.post(url, json=LIST, headers=second).status_code == 200
                assert list(pieces) == []


def test_the_place_of_a_stream_is_free_when_its_client_is_gone():
    with Lab(Options(limits=("in-flight:1",), streams=True)) as lab, client(lab, lab.env, **SIGNED_FOR_EKS) as http:
        url = path_of(lab, EKS)
        of_session = {"mcp-session-id": opened(lab, url, lab.env, **SIGNED_FOR_EKS)}
        with http.stream("GET", url, headers=of_session):
            assert http.post(url, json=LIST, headers=of_session).status_code == 429
        assert within(5, lambda: http.post(url, json=LIST, headers=of_session).status_code == 200)


def test_the_place_of_a_stream_is_free_when_delete_is_answered():
    with Lab(Options(limits=("in-flight:1",), streams=True)) as lab, client(lab, lab.env, **SIGNED_FOR_EKS) as http:
        url = path_of(lab, EKS)
        for _ in range(20):
            opening = http.post(url, json=INITIALIZE)
            assert opening.status_code == 200
            of_session = {"mcp-session-id": opening.headers["mcp-session-id"]}
            with http.stream("GET", url, headers=of_session) as stream:
                assert stream.status_code == 200
                assert http.delete(url, headers=of_session).status_code == 200
                assert http.post(url, json=INITIALIZE, headers={"mcp-session-id": "none"}).status_code == 404


def test_a_stream_that_does_not_count_is_not_refused():
    with Lab(Options(limits=("in-flight:1",), latency_s=0.3)) as lab, client(lab, lab.env, **SIGNED_FOR_EKS) as http:
        url = path_of(lab, EKS)
        of_session = {"mcp-session-id": opened(lab, url, lab.env, **SIGNED_FOR_EKS)}
        for _ in range(2):
            with http.stream("GET", url, headers=of_session) as stream:
                assert stream.status_code == 200


# Who is one caller


def has_address(address):
    """Whether this machine can connect from an address: all of 127.0.0.0/8 is its own on Linux and on Windows."""
    with socket.socket() as probe:
        try:
            probe.bind((address, 0))
        except OSError:
            return False
    return True


needs_addresses = pytest.mark.skipif(not has_address("127.0.0.2"), reason="has one loopback address only")


def coming_from(address, env=None, context=True):
    transport = httpx.HTTPTransport(local_address=address, verify=context)
    return httpx.Client(transport=transport, headers=ACCEPT, auth=Signing(env) if env else None, timeout=5)


def statuses_from(address, url, env=None, *, times=2, context=True, **headers):
    with coming_from(address, env, context) as http:
        return [http.post(url, json=INITIALIZE, headers=headers).status_code for _ in range(times)]


@needs_addresses
@pytest.mark.parametrize("per", ["identity", "address"])
def test_callers_without_a_signature_count_by_the_address_they_come_from(per):
    with Lab(Options(limits=("sessions:1",), per=per)) as lab:
        url = path_of(lab, "knowledge")
        for address in ("127.0.0.1", "127.0.0.2", "127.0.0.3"):
            assert statuses_from(address, url) == [200, 429]


@needs_addresses
def test_by_default_too_each_address_has_sessions_of_its_own():
    with Lab() as lab:
        for address in ("127.0.0.1", "127.0.0.2"):
            for name in (US, "knowledge"):
                assert statuses_from(address, path_of(lab, name), times=5) == [200] * 4 + [429]


@needs_addresses
def test_over_tls_too_an_address_is_a_caller():
    with Lab(Options(limits=("sessions:1",))) as lab:
        url = f"https://127.0.0.1:{lab.https_port}/knowledge/mcp"
        context = ssl.create_default_context(cafile=lab.ca_bundle)
        for address in ("127.0.0.2", "127.0.0.3"):
            assert statuses_from(address, url, context=context) == [200, 429]


@needs_addresses
def test_who_signs_is_one_caller_wherever_they_come_from_unless_addresses_are_counted():
    with Lab(Options(limits=("sessions:1",))) as lab:
        url = path_of(lab, US)
        assert statuses_from("127.0.0.1", url, lab.env) == [200, 429]
        assert statuses_from("127.0.0.2", url, lab.env) == [429, 429]
        assert statuses_from("127.0.0.2", url, lab.identities["session"]) == [200, 429]
        assert statuses_from("127.0.0.2", url) == [200, 429]
    with Lab(Options(limits=("sessions:1",), per="address")) as lab:
        url = path_of(lab, US)
        assert statuses_from("127.0.0.1", url, lab.env) == [200, 429]
        assert statuses_from("127.0.0.2", url, lab.env) == [200, 429]
        assert statuses_from("127.0.0.2", url, lab.identities["session"]) == [429, 429]
        assert statuses_from("127.0.0.2", url) == [429, 429]


@needs_addresses
def test_a_session_without_a_signature_can_be_used_from_another_address_and_stays_with_its_own():
    with Lab(Options(limits=("sessions:1",))) as lab:
        url = path_of(lab, "knowledge")
        with coming_from("127.0.0.1") as one, coming_from("127.0.0.2") as two:
            of_session = {"mcp-session-id": one.post(url, json=INITIALIZE).headers["mcp-session-id"]}
            assert two.post(url, json=LIST, headers=of_session).status_code == 200
            assert two.delete(url, headers=of_session).status_code == 200
            assert [one.post(url, json=INITIALIZE).status_code for _ in range(2)] == [200, 429]
            assert two.post(url, json=INITIALIZE).status_code == 200


@pytest.mark.parametrize("per", ["identity", "address"])
def test_nobody_chooses_an_address_with_a_header(per):
    with Lab(Options(limits=("sessions:1",), per=per)) as lab:
        url = path_of(lab, "knowledge")
        assert statuses(lab, url, times=1) == [200]
        forwarded = {"x-forwarded-for": "203.0.113.7", "forwarded": "for=203.0.113.7"}
        assert statuses_from("127.0.0.1", url, **forwarded) == [429, 429]
