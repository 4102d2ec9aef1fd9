"""The Python reader: which calls it finds, what it makes of their arguments, and where it says that they stand."""

from __future__ import annotations

import ast
import json
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_layers import ACTS, PACKAGE, imported

from mcpdoctor import catalogue
from mcpdoctor.clients import python
from mcpdoctor.clients.python import Protocol, Reading, RegionSource, Role, Usage
from mcpdoctor.clients.python.values import Place
from mcpdoctor.model import Configuration, Unusable

KNOWN = python.load()
IAM = "from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as aws\n"
HTTP = "from mcp.client.streamable_http import streamable_http_client as http\n"
URL = "https://aws-mcp.us-east-1.api.aws/mcp"


def read(source: str | bytes) -> Reading:
    data = source.encode() if isinstance(source, str) else source
    return python.read(data, "agent.py", KNOWN)


def usages(source: str | bytes) -> tuple[Usage, ...]:
    reading = read(source)
    assert reading.notes == ()
    return reading.usages


def one(source: str | bytes) -> Usage:
    (usage,) = usages(source)
    return usage


def shown(source: str, place: Place) -> str:
    """The text at a place, by counting characters in lines."""
    lines = source.replace("\r\n", "\n").replace("\r", "\n").split("\n")[place.line - 1 : place.end_line]
    lines[-1] = lines[-1][: place.end_column - 1]
    lines[0] = lines[0][place.column - 1 :]
    return "\n".join(lines)


def endpoint(expression: str, before: str = "") -> tuple[object, bool, str | None, str | None]:
    """What is known of an expression: value, certain, variable, template."""
    found = usages(f"import os\n{IAM}{before}\naws(endpoint={expression}, aws_service='aws-mcp')\n")[-1].endpoint
    assert found is not None
    return found.value, found.certain, found.from_environment, found.template


# Names


@pytest.mark.parametrize(
    ("imports", "call"),
    [
        ("from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client", "aws_iam_streamablehttp_client"),
        ("from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as x", "x"),
        ("import mcp_proxy_for_aws.client", "mcp_proxy_for_aws.client.aws_iam_streamablehttp_client"),
        ("import mcp_proxy_for_aws.client as c", "c.aws_iam_streamablehttp_client"),
        ("import mcp_proxy_for_aws as p", "p.client.aws_iam_streamablehttp_client"),
        ("from mcp_proxy_for_aws import client", "client.aws_iam_streamablehttp_client"),
        ("from mcp_proxy_for_aws.client import *", "aws_iam_streamablehttp_client"),
        ("from mcp_proxy_for_aws import client\nf = client.aws_iam_streamablehttp_client", "f"),
        ("from mcp_proxy_for_aws import client\nc = client\ng = c.aws_iam_streamablehttp_client\nf = g", "f"),
        (
            "try:\n from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as f\n"
            "except ImportError:\n from fallback import f",
            "f",
        ),
        (
            "try:\n from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as f\n"
            "except ImportError:\n f = None",
            "f",
        ),
        (
            "try:\n from mcp_proxy_for_aws.client import nothing as f\n"
            "except ImportError:\n from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as f",
            "f",
        ),
        (
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from mcp_proxy_for_aws.client import aws_iam_streamablehttp_client as f",
            "f",
        ),
    ],
)
def test_a_function_is_known_under_every_name_that_imports_give_it(imports: str, call: str) -> None:
    usage = one(f"{imports}\n{call}('{URL}', 'aws-mcp', 'us-east-1')\n")
    assert usage.function == "mcp_proxy_for_aws.client.aws_iam_streamablehttp_client"
    assert usage.configuration == Configuration(
        endpoint=URL, service="aws-mcp", region="us-east-1", credential="default"
    )


def test_an_import_inside_a_function_counts_there_and_nowhere_else() -> None:
    source = f"def f():\n    {IAM}    aws('{URL}', 'aws-mcp')\n\ndef g():\n    aws('{URL}', 'aws-mcp')\n"
    assert [usage.place.line for usage in usages(source)] == [3]


@pytest.mark.parametrize(
    "before",
    [
        "def aws(*a): ...",
        "aws = make()",
        "class aws: ...",
        "for aws in range(3): ...",
        "with open('x') as aws: ...",
        "aws: int = 3",
        "def f():\n    global aws\n    aws = 1",
        "[aws := 1 for x in y]",
        "match x:\n    case aws: ...",
        "try: ...\nexcept E as aws: ...",
        "del aws",
    ],
)
def test_a_name_that_is_bound_again_is_not_the_function(before: str) -> None:
    assert usages(f"{IAM}{before}\naws('{URL}', 'aws-mcp')\n") == ()


@pytest.mark.parametrize(
    "source",
    [
        "from .client import aws_iam_streamablehttp_client as f\nf('https://x.api.aws/mcp', 's')",
        "from ours.client import aws_iam_streamablehttp_client as f\nf('https://x.api.aws/mcp', 's')",
        "import mcp\nserver.Client('https://x.api.aws/mcp')",
        "from httpx import Client  # mcp\nClient('https://x.api.aws/mcp')",
        "# mcp aws_iam_streamablehttp_client\n'aws_iam_streamablehttp_client(\"https://x\")'",
        "def f(aws_iam_streamablehttp_client, mcp): aws_iam_streamablehttp_client('https://x.api.aws/mcp', 's')",
        "from mcp.client.streamable_http import streamable_http_client as http\nhttp(url)",
        "from mcp.client.streamable_http import streamable_http_client as http\ndef f(url): http(url)",
        "from mcp.client.streamable_http import streamable_http_client as http\nhttp()",
        "from mcp import StdioServerParameters as S\nS(command=c, args=a)",
        "from strands.tools.mcp import MCPClient\nMCPClient(make)",
        "from fastmcp import Client, FastMCP\nClient(FastMCP('x'))",
        "from fastmcp import Client\nClient('server.py')",
        "from langchain_mcp_adapters.client import MultiServerMCPClient\nMultiServerMCPClient(json.load(f))",
    ],
)
def test_what_is_no_known_call_or_says_nothing_gives_no_record(source: str) -> None:
    assert read(source) == Reading()


# Values


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("'https://a/' 'mcp'", "https://a/mcp"),
        ("'https://' + 'a' + '/mcp'", "https://a/mcp"),
        ("f'https://{HOST}/mcp'", "https://h/mcp"),
        ("f'https://{HOST!s}:{PORT}/mcp'", "https://h:8080/mcp"),
        ("'https://%s:%d/mcp%%' % (HOST, PORT)", "https://h:8080/mcp%"),
        ("'https://%s/mcp' % HOST", "https://h/mcp"),
        ("'https://%(h)s/mcp' % {'h': HOST}", "https://h/mcp"),
        ("'https://{}:{}/mcp'.format(HOST, PORT)", "https://h:8080/mcp"),
        ("'https://{1}:{0}/mcp{{}}'.format(PORT, HOST)", "https://h:8080/mcp{}"),
        ("'https://{h}/mcp'.format(h=HOST)", "https://h/mcp"),
        ("'/'.join(['https:', '', HOST, 'mcp'])", "https://h/mcp"),
        ("BASE.rstrip('/') + '/mcp'", "https://b/mcp"),
        ("BASE.replace('b', HOST).upper().lower()", "https://h//"),
        ("SERVERS['aws']['url']", "https://table/mcp"),
        ("SERVERS['aws'].get('url')", "https://table/mcp"),
        ("LIST[1]", "https://two/mcp"),
        ("LIST[-1]", "https://two/mcp"),
        ("Settings.URL", "https://class/mcp"),
        ("Color.URL.value", "https://enum/mcp"),
        ("Text.URL", "https://text/mcp"),
        ("SETTINGS.URL", "https://class/mcp"),
        ("DATA.url", "https://given/mcp"),
        ("url()", "https://function/mcp"),
        ("'' or BASE", "https://b//"),
        ("str(BASE)", "https://b//"),
        ("pydantic.AnyUrl(BASE)", "https://b//"),
        ("quote(HOST, safe='')", "h"),
        ("(lambda: BASE) and BASE", None),
        ("PARTS.split('|')[1]", "https://right/mcp"),
        ("A", "https://pair/mcp"),
        ("''.join(['https://x'] + list(('/', 'mcp')))", "https://x/mcp"),
        ("(SERVERS | {'b': 1})['aws'].copy()['url']", "https://table/mcp"),
        ("SERVERS.get('none')", None),
        ("LIST[7]", None),
        ("Color.URL", None),
        ("Settings.NONE", None),
        ("HOST - PORT", None),
        ("PORT + PORT", None),
        ("1 and BASE", None),
        ("quote(*LIST)", None),
        ("'%s/%s' % HOST", None),
        ("'%x' % PORT", None),
        ("'{'.format(HOST)", None),
        ("f'{HOST}'.format(PORT)", "h"),
        ("b'https://x/mcp'", None),
        ("BASE.split()[0].encode()", None),
        ("(W := 'https://walrus/mcp')", "https://walrus/mcp"),
    ],
)
def test_what_is_written_in_the_file_is_put_together(expression: str, value: str | None) -> None:
    before = """
import pydantic
from urllib.parse import quote
from dataclasses import dataclass
from enum import Enum, StrEnum
HOST = "h"
PORT: int = 8080
BASE = "https://b//"
PARTS = "left|https://right/mcp"
A, B = "https://pair/mcp", 2
SERVERS = {"aws": dict(url="https://table/mcp")}
LIST = ["https://one/mcp", "https://two/mcp"]
class Settings:
    URL = "https://class/mcp"
class Color(Enum):
    URL = "https://enum/mcp"
class Text(StrEnum):
    URL = "https://text/mcp"
SETTINGS = Settings()
@dataclass
class Data:
    url: str = "https://default/mcp"
DATA = Data(url="https://given/mcp")
def url() -> str:
    return "https://function/mcp"
"""
    assert endpoint(expression, before)[:2] == (value, value is not None)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("os.environ['U']", (None, False, "U", "{}")),
        ("os.getenv('U')", (None, False, "U", "{}")),
        ("os.getenv('U', 'https://d/mcp')", ("https://d/mcp", False, "U", "{}")),
        ("os.getenv(key='U')", None),
        ("os.environ.get('U', default='https://d/mcp')", ("https://d/mcp", False, "U", "{}")),
        ("os.environ.get('U') or 'https://d/mcp'", ("https://d/mcp", False, "U", None)),
        ("(os.getenv('A') or os.getenv('U', 'https://d/mcp')).rstrip('/')", ("https://d/mcp", False, "A", None)),
        ("f\"https://{os.environ['H']}/mcp\"", (None, False, "H", "https://{}/mcp")),
        ("f\"https://{os.environ.get('H', 'h')}/mcp\"", ("https://h/mcp", False, "H", "https://{}/mcp")),
        ("'https://' + host + '/mcp'", (None, False, None, "https://{}/mcp")),
        ("'https://%s.x/mcp' % host", (None, False, None, "https://{}.x/mcp")),
        ("'https://{}.x/mcp'.format(host)", (None, False, None, "https://{}.x/mcp")),
        ("'https://{h.name}/mcp'.format(h=host)", (None, False, None, "https://{}/mcp")),
        ("f'https://{port:>5}/mcp'", (None, False, None, "https://{}/mcp")),
        ("f'https://{host()}/mcp'", (None, False, None, "https://{}/mcp")),
        ("DEFAULT if x else 'https://b/mcp'", None),
        ("make()", None),
    ],
)
def test_what_is_not_in_the_file_is_a_hole(
    expression: str, expected: tuple[object, bool, str | None, str | None] | None
) -> None:
    found = endpoint(expression)
    if expected is None:
        assert found[:2] == (None, False)
    else:
        assert found == expected


@pytest.mark.parametrize(
    "before",
    [
        "U = 'https://a/mcp'\nU = 'https://b/mcp'",
        "U = 'https://a/mcp'\nif x:\n    U = 'https://b/mcp'",
        "U = 'https://a/mcp'\nU += '/more'",
        "U = 'https://a/mcp'\ndef f():\n    global U\n    U = 'https://b/mcp'",
        "for U in ['https://a/mcp']: ...",
        "U, *V = 'https://a/mcp', 1",
        "from config import U",
        "U = U",
        "U = V\nV = U",
        "class U: ...",
    ],
)
def test_a_name_that_may_be_something_else_is_not_known(before: str) -> None:
    assert endpoint("U", before)[:2] == (None, False)


def test_names_are_looked_up_where_python_does() -> None:
    source = f"""{IAM}
U = 'https://module/mcp'
class C:
    U = 'https://class/mcp'
    aws(U, 's')
    def f(self):
        aws(U, 's')
def g():
    U = 'https://function/mcp'
    return lambda: aws(U, 's')
def h(U):
    aws(U, 's')
def i(U='https://default/mcp'):
    aws(U, 's')
[aws(U, 's') for U in x]
def j():
    def k():
        nonlocal U
        U = 'https://other/mcp'
    U = 'https://outer/mcp'
    aws(U, 's')
"""
    known = [(usage.endpoint.value, usage.endpoint.certain) for usage in usages(source) if usage.endpoint]
    assert known == [
        ("https://class/mcp", True),
        ("https://module/mcp", True),
        ("https://function/mcp", True),
        (None, False),
        ("https://default/mcp", False),
        (None, False),
        (None, False),
    ]


def test_an_attribute_of_self_is_known_where_the_class_sets_it_once() -> None:
    source = f"""{IAM}
class Agent:
    def __init__(self):
        self.url = '{URL}'
        self.other = 'https://a/mcp'
        self.client = lambda: aws(self.url, 's')
        self.clients = lambda: aws(self.other, 's')
    def change(self):
        self.other = 'https://b/mcp'
"""
    assert [usage.endpoint.text for usage in usages(source) if usage.endpoint] == [URL, None]


def test_an_attribute_that_is_set_from_outside_is_not_known() -> None:
    assert endpoint("S.URL", "class S:\n    URL = 'https://a/mcp'\nS.URL = 'https://b/mcp'")[:2] == (None, False)


def test_a_field_that_a_base_class_may_fill_is_a_default() -> None:
    before = "class S(BaseSettings):\n    url: str = 'https://a/mcp'\nS_ = S()"
    assert endpoint("S_.url", before)[:2] == ("https://a/mcp", False)


def test_a_container_that_is_altered_is_known_in_part() -> None:
    source = f"{IAM}h = {{'a': '1'}}\nh['Authorization'] = token\naws('{URL}', 's', headers=h)\n"
    headers = one(source).given(Role.HEADERS)
    assert headers is not None
    assert (headers.certain, {key: value.certain for key, value in headers.table.items()}) == (False, {"a": False})


def test_an_unknown_part_of_a_table_may_overwrite_what_comes_before_it() -> None:
    source = f"{IAM}aws('{URL}', 's', headers={{'a': '1', **more, 'b': '2'}})\n"
    headers = one(source).given(Role.HEADERS)
    assert headers is not None
    assert {key: value.certain for key, value in headers.table.items()} == {"a": False, "b": True}
    assert not headers.certain


def test_a_value_says_where_it_is_used_and_where_it_is_written() -> None:
    source = f"{IAM}U = '{URL}'\nV = U\naws(endpoint=V, aws_service='s')\n"
    value = one(source).endpoint
    assert value is not None
    assert value.origin is not None
    assert (str(value.place), str(value.origin)) == ("agent.py:4:14", "agent.py:2:5")
    assert shown(source, value.origin) == f"'{URL}'"


# Arguments


def test_arguments_are_known_by_position_and_by_name() -> None:
    usage = one(f"{IAM}aws('{URL}', 'aws-mcp', 'us-east-1', 'dev', None, {{'x': 'y'}}, metadata={{'A': 'b'}})\n")
    assert [(argument.name, argument.role) for argument in usage.arguments] == [
        ("endpoint", Role.ENDPOINT),
        ("aws_service", Role.SERVICE),
        ("aws_region", Role.REGION),
        ("aws_profile", Role.PROFILE),
        ("credentials", Role.CREDENTIALS),
        ("headers", Role.HEADERS),
        ("metadata", Role.METADATA),
    ]
    assert usage.complete
    assert usage.configuration == Configuration(
        endpoint=URL, service="aws-mcp", region="us-east-1", credential="profile:dev"
    )


def test_a_position_that_differs_between_versions_has_no_name() -> None:
    usage = one(f"{IAM}aws('{URL}', 's', 'r', 'p', None, None, 30)\n")
    assert usage.arguments[-1].role is None
    assert not usage.complete


@pytest.mark.parametrize(
    ("arguments", "complete", "region"),
    [
        ("*['https://a/mcp', 's', 'r']", True, "r"),
        ("*rest, aws_region='r'", False, "r"),
        ("'https://a/mcp', 's', **{'aws_region': 'r'}", True, "r"),
        ("'https://a/mcp', 's', **KW", True, "r"),
        ("'https://a/mcp', 's', **dict(KW, aws_profile='p')", True, "r"),
        ("'https://a/mcp', 's', **{**KW, 'aws_profile': 'p'}", True, "r"),
        ("'https://a/mcp', 's', **(KW | {'aws_profile': 'p'})", True, "r"),
        ("'https://a/mcp', 's', **kwargs", False, None),
    ],
)
def test_spread_arguments_are_known_where_what_is_spread_is(arguments: str, complete: bool, region: str | None) -> None:
    usage = one(f"{IAM}KW = {{'aws_region': 'r'}}\naws({arguments})\n")
    given_ = usage.given(Role.REGION)
    assert (usage.complete, given_.text if given_ else None) == (complete, region)


def test_partial_is_read_with_what_its_calls_add() -> None:
    source = (
        f"{IAM}from functools import partial\np = partial(aws, '{URL}', aws_region='a')\np('aws-mcp', aws_region='b')\n"
    )
    usage = one(source)
    assert usage.configuration == Configuration(endpoint=URL, service="aws-mcp", region="b", credential="default")
    assert usage.place.line == 4


def test_partial_alone_is_not_complete_unless_it_is_handed_on() -> None:
    prepared = (
        f"{IAM}from functools import partial\nfrom strands.tools.mcp import MCPClient\np = partial(aws, '{URL}', 's')\n"
    )
    assert not one(prepared).complete
    assert one(prepared + "MCPClient(p)\n").complete


def test_nothing_is_taken_for_the_absence_of_an_argument() -> None:
    usage = one(f"{IAM}aws('{URL}', 's', aws_region=None, credentials=None)\n")
    assert usage.given(Role.REGION) is None
    assert usage.region_source is RegionSource.SESSION


@pytest.mark.parametrize(
    ("arguments", "source"),
    [
        ("aws_region='us-east-1'", RegionSource.ARGUMENT),
        ("aws_region=os.getenv('R', 'us-east-1')", RegionSource.ARGUMENT),
        ("aws_region=os.getenv('R')", RegionSource.UNKNOWN),
        ("aws_profile='dev'", RegionSource.SESSION),
        ("", RegionSource.SESSION),
        ("**more", RegionSource.UNKNOWN),
        ("credentials=Session().get_credentials()", RegionSource.NONE),
        ("credentials=CREDS", RegionSource.NONE),
        ("credentials=creds", RegionSource.UNKNOWN),
        ("credentials=maybe or None", RegionSource.UNKNOWN),
    ],
)
def test_where_the_region_comes_from(arguments: str, source: RegionSource) -> None:
    text = f"{IAM}import os\nCREDS = Credentials('a', 'b')\ndef f(creds=None):\n    aws('{URL}', 's', {arguments})\n"
    assert one(text).region_source is source


@pytest.mark.parametrize(
    ("credentials", "reference"),
    [
        ("boto3.Session().get_credentials()", "default"),
        (
            "boto3.Session(profile_name='dev', region_name='r').get_credentials().get_frozen_credentials()",
            "profile:dev",
        ),
        ("CREDS", "profile:prod"),
        ("boto3.Session(aws_access_key_id='A').get_credentials()", None),
        ("Credentials('a', 'b')", None),
    ],
)
def test_credentials_of_a_session_are_known_by_their_profile(credentials: str, reference: str | None) -> None:
    before = "import boto3\nS = boto3.session.Session(profile_name='prod')\nCREDS = S.get_credentials()\n"
    assert one(f"{IAM}{before}aws('{URL}', 's', 'r', credentials={credentials})\n").credential == reference


@pytest.mark.parametrize(
    ("arguments", "signs", "configured"),
    [
        ("", False, True),
        (", headers={'X': 'y'}", False, True),
        (", headers={'Authorization': f'Bearer {t}'}", False, False),
        (", headers=headers", False, False),
        (", auth=SigV4Auth()", None, False),
        (", auth=None", False, True),
        (", **more", None, False),
    ],
)
def test_whether_a_plain_client_signs(arguments: str, signs: bool | None, configured: bool) -> None:
    usage = one(f"from mcp.client.streamable_http import streamablehttp_client as f\nf('{URL}'{arguments})\n")
    assert usage.signs is signs
    assert usage.configuration == (Configuration(endpoint=URL) if configured else None)


def test_the_facts_that_lint_needs_beside_the_iam_client() -> None:
    usage = one(
        f"{IAM}aws('{URL}', 's', metadata={{'AWS_REGION': 'r'}}, terminate_on_close=False,"
        " headers={'authorization': 'Bearer x'})\n"
    )
    metadata, terminate = usage.given(Role.METADATA), usage.given(Role.TERMINATE)
    assert metadata is not None
    assert metadata.table["AWS_REGION"].text == "r"
    assert terminate is not None
    assert (terminate.value, terminate.certain) == (False, True)
    assert usage.authorization is not None
    assert usage.authorization.text == "Bearer x"


def test_a_signing_call_is_recorded_without_its_url_for_what_else_is_certain() -> None:
    assert one(f"{IAM}def f(url): return aws(url, 'aws-mcp', metadata={{'a': 'b'}})\n").configuration is None
    assert usages(f"{IAM}def f(*a): return aws(*a)\n") == ()


# Libraries


@pytest.mark.parametrize(
    ("source", "function", "protocol"),
    [
        ("from mcp.client.streamable_http import streamablehttp_client as f\nf(URL)", None, "streamable-http"),
        ("from mcp.client.sse import sse_client as f\nf(url=URL)", None, "sse"),
        ("from mcp.client.session_group import StreamableHttpParameters as F\nF(url=URL)", None, "streamable-http"),
        ("from mcp import Client\nClient(URL)", "mcp.Client", "streamable-http"),
        ("from strands.tools.mcp import MCPClient\nMCPClient(url=URL)", None, "streamable-http"),
        (
            "from strands.tools.mcp import MCPClient\nMCPClient.load_servers({'a': {'url': URL}})",
            None,
            "streamable-http",
        ),
        ("from fastmcp import Client\nClient(URL)", "fastmcp.Client", "streamable-http"),
        ("from fastmcp import Client\nClient(URL + '/sse')", "fastmcp.Client", "sse"),
        (
            "from fastmcp import Client\nClient({'mcpServers': {'a': {'url': URL}}})",
            "fastmcp.Client",
            "streamable-http",
        ),
        ("from fastmcp import Client\nC = {'mcpServers': {'a': {'url': URL}}}\nClient(C)", None, "streamable-http"),
        ("from fastmcp.client.transports import StreamableHttpTransport as T\nT(URL)", None, "streamable-http"),
        ("from fastmcp.client.transports import SSETransport as T\nT(url=URL)", None, "sse"),
        (
            "from langchain_mcp_adapters.client import MultiServerMCPClient as M\n"
            "M({'a': {'transport': 'streamable_http', 'url': URL}})",
            None,
            "streamable-http",
        ),
        (
            "from langchain_mcp_adapters.client import MultiServerMCPClient as M\n"
            "M(connections={'a': {'transport': 'sse', 'url': URL}})",
            None,
            "sse",
        ),
        ("from agents.mcp import MCPServerStreamableHttp as M\nM(params={'url': URL})", None, "streamable-http"),
        ("from agents.mcp import MCPServerStreamableHttp as M\nM(dict(url=URL), name='x')", None, "streamable-http"),
        ("from agents.mcp import MCPServerSse as M\nM({'url': URL})", None, "sse"),
        ("from pydantic_ai.mcp import MCPServerStreamableHTTP as M\nM(URL)", None, "streamable-http"),
        ("from pydantic_ai.mcp import MCPToolset as M\nM(URL)", None, "streamable-http"),
        ("from llama_index.tools.mcp import BasicMCPClient as M\nM(URL)", None, "streamable-http"),
        (
            "from google.adk.tools.mcp_tool import StreamableHTTPConnectionParams as P\nP(url=URL)",
            None,
            "streamable-http",
        ),
        ("from autogen_ext.tools.mcp import StreamableHttpServerParams as P\nP(url=URL)", None, "streamable-http"),
        ("from agno.tools.mcp import MCPTools as M\nM(url=URL, transport='streamable-http')", None, "streamable-http"),
        ("from crewai_tools import MCPServerAdapter as M\nM({'url': URL, 'transport': 'sse'})", None, "sse"),
        (
            "from mcp_use import MCPClient\nMCPClient.from_dict({'mcpServers': {'a': {'url': URL}}})",
            None,
            "streamable-http",
        ),
    ],
)
def test_every_library_says_its_url_in_its_own_way(source: str, function: str | None, protocol: str) -> None:
    usage = one(f"URL = '{URL}'\n{source}\n")
    assert usage.endpoint is not None
    assert usage.endpoint.likely is not None
    assert usage.endpoint.likely.startswith(URL)
    assert usage.protocol == protocol
    assert function in (None, usage.function)
    assert usage.signs is False
    assert usage.server in (None, "a")


@pytest.mark.parametrize(
    "source",
    [
        "from mcp import StdioServerParameters as S\nS(command='uvx', args=ARGS, env=ENV)",
        "from mcp import StdioServerParameters as S, stdio_client as c\nc(S(command='uvx', args=[*ARGS], env=ENV))",
        "from mcp.client.stdio import StdioServerParameters as S\nS(**{'command': 'uvx', 'args': ARGS, 'env': ENV})",
        "from fastmcp.client.transports import StdioTransport as S\nS('uvx', ARGS, ENV)",
        "from fastmcp.client import UvxStdioTransport as S\nS('mcp-proxy-for-aws@latest', [URL], env_vars=ENV)",
        "from fastmcp import Client\nClient({'mcpServers': {'a': {'command': 'uvx', 'args': ARGS, 'env': ENV}}})",
        "from langchain_mcp_adapters.client import MultiServerMCPClient as M\n"
        "M({'a': {'transport': 'stdio', 'command': 'uvx', 'args': ARGS, 'env': ENV}})",
        "from agents.mcp import MCPServerStdio as M\nM(params={'command': 'uvx', 'args': ARGS, 'env': ENV})",
        "from pydantic_ai.mcp import MCPServerStdio as M\nM('uvx', ARGS, env=ENV)",
        "from llama_index.tools.mcp import BasicMCPClient as M\nM('uvx', ARGS, ENV)",
    ],
)
def test_every_library_says_its_command_in_its_own_way(source: str) -> None:
    usage = one(f"URL = '{URL}'\nARGS = ['mcp-proxy-for-aws@latest', URL]\nENV = {{'AWS_PROFILE': 'dev'}}\n{source}\n")
    command, args, env = usage.given(Role.COMMAND), usage.given(Role.ARGS), usage.given(Role.ENV)
    assert usage.protocol is Protocol.STDIO
    assert command is not None
    assert args is not None
    assert env is not None
    assert command.text == "uvx"
    assert [one_.text for one_ in args.items] == ["mcp-proxy-for-aws@latest", URL]
    assert env.table["AWS_PROFILE"].text == "dev"
    assert usage.configuration is None


def test_an_environment_that_is_handed_on_is_known_in_part() -> None:
    usage = one(
        "import os\nfrom mcp import StdioServerParameters as S\nS(command='uvx', env={**os.environ, 'A': 'b'})\n"
    )
    env = usage.given(Role.ENV)
    assert env is not None
    assert (env.certain, env.table["A"].text) == (False, "b")


@pytest.mark.parametrize(
    "given_",
    [
        "lambda: aws(URL, 's')",
        "make",
        "functools.partial(aws, URL, 's')",
        "made",
        "again",
    ],
)
def test_a_client_of_strands_holds_the_call_that_makes_its_transport(given_: str) -> None:
    source = f"""{IAM}
import functools
from strands.tools.mcp import MCPClient
URL = '{URL}'
client = MCPClient({given_})
"""
    extra = {
        "make": "def make():\n    return aws(URL, 's')\n",
        "made": "made = lambda: aws(URL, 's')\n",
        "again": "def inner(): return aws(URL, 's')\ndef again(): return inner()\n",
    }
    usage = one(source + extra.get(given_, ""))
    assert [holder.function for holder in usage.holders] == ["strands.tools.mcp.MCPClient"]
    assert shown(source, usage.holders[0].place) == f"MCPClient({given_})"


def test_what_holds_a_call_may_be_held_itself() -> None:
    usage = one(
        "from strands.tools.mcp import MCPClient\nfrom mcp import stdio_client, StdioServerParameters\n"
        "server = StdioServerParameters(command='uvx', args=['x'])\nMCPClient(lambda: stdio_client(server))\n"
    )
    assert [holder.function for holder in usage.holders] == ["mcp.stdio_client", "strands.tools.mcp.MCPClient"]


def test_a_method_makes_the_transport() -> None:
    source = f"""{IAM}
from strands.tools.mcp import MCPClient
class A:
    def transport(self):
        return aws('{URL}', 's')
    def client(self):
        return MCPClient(self.transport)
"""
    assert len(one(source).holders) == 1


def test_an_attribute_holds_what_makes_the_transport() -> None:
    source = f"""{IAM}
from strands.tools.mcp import MCPClient
class A:
    def __init__(self):
        self.make = lambda: aws('{URL}', 's')
        self.client = MCPClient(self.make)
"""
    assert len(one(source).holders) == 1


@pytest.mark.parametrize(
    ("timeout", "seconds"),
    [
        ("timedelta(minutes=2, seconds=5)", 125.0),
        ("timedelta(seconds=n)", None),
        ("timedelta(1)", None),
        ("-3", -3),
        ("-x", None),
    ],
)
def test_a_time_is_known_in_seconds(timeout: str, seconds: float | None) -> None:
    found = one(f"{IAM}from datetime import timedelta\naws('{URL}', 's', timeout={timeout})\n").given(Role.TIMEOUT)
    assert found is not None
    assert found.value == seconds


def test_fastmcp_and_google_hold_their_parameters() -> None:
    source = f"""
from fastmcp import Client
from fastmcp.client.transports import StreamableHttpTransport
from google.adk.tools.mcp_tool import McpToolset, StreamableHTTPConnectionParams
t = StreamableHttpTransport('{URL}')
Client(t)
McpToolset(connection_params=StreamableHTTPConnectionParams(url='{URL}'))
"""
    assert [usage.holders[0].function for usage in usages(source)] == [
        "fastmcp.Client",
        "google.adk.tools.mcp_tool.McpToolset",
    ]


# Sessions

STRANDS = f"""{IAM}
from strands import Agent
from strands.tools.mcp import MCPClient
c = MCPClient(lambda: aws('{URL}', 's'))
"""


@pytest.mark.parametrize(
    ("after", "idle", "late"),
    [
        ("tools = c.list_tools_sync()\n", ["c.list_tools_sync()"], []),
        ("with c:\n    pass\nc.call_tool_sync('1', 't', {})\n", ["c.call_tool_sync('1', 't', {})"], []),
        ("with c:\n    t = c.list_tools_sync()\nagent = Agent(tools=t)\nagent('x')\n", [], ["agent('x')"]),
        ("with c:\n    a = Agent(tools=c.list_tools_sync())\na('x')\n", [], ["a('x')"]),
        ("with c:\n    t = c.list_tools_sync()\n    a = Agent(tools=[*t, f])\na('x')\n", [], ["a('x')"]),
        ("with c:\n    t = c.list_tools_sync()\n    a = Agent(tools=t)\n    a('x')\n", [], []),
        ("with c, d:\n    c.list_tools_sync()\n", [], []),
        ("with d, c as e:\n    c.list_tools_sync()\n", [], []),
        ("c.start()\nc.list_tools_sync()\n", [], []),
        ("Agent(tools=[c])\nc.list_tools_sync()\n", [], []),
        ("stack.enter_context(c)\nc.list_tools_sync()\n", [], []),
        ("d = c\nc.list_tools_sync()\n", [], []),
        ("def f():\n    return c.list_tools_sync()\nwith c:\n    f()\n", [], []),
        ("def life():\n    with c:\n        yield\nwith life():\n    c.list_tools_sync()\n", [], []),
        ("c = 3\nc.list_tools_sync()\n", [], []),
        ("with pytest.raises(E):\n    c.list_tools_sync()\n", [], []),
        ("with c:\n    t = c.list_tools_sync()\nprint(len(t))\n", [], []),
        ("with c:\n    t = c.list_tools_sync()\nt = []\nagent = Agent(tools=t)\nagent('x')\n", [], []),
        ("agent = Agent(tools=[])\nwith c:\n    t = c.list_tools_sync()\nagent('x')\n", [], []),
    ],
)
def test_a_session_that_is_not_open_is_told_where_it_is_certain(after: str, idle: list[str], late: list[str]) -> None:
    source = STRANDS + after
    (holder,) = one(source).holders
    assert [shown(source, place) for place in holder.idle] == idle
    assert [shown(source, place) for place in holder.late] == late


def test_a_session_inside_a_function_is_judged_there() -> None:
    source = f"""{IAM}
from strands.tools.mcp import MCPClient
def main():
    c = MCPClient(lambda: aws('{URL}', 's'))
    return c.list_tools_sync()
"""
    assert [place.line for place in one(source).holders[0].idle] == [6]


# Places


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize(
    "before",
    [
        "",
        "# é\n",
        "\ufeff",
        "\f\n",
        "x = '''é\n\t'''; ",
        "\u00e4\u00f6 = 1; \U0001d4b3 = '🎉'; ",
        "if 1:\n\tpass\n",
        "x = 'a\u2028b\x0b\x1c'\n",
    ],
)
def test_columns_are_counted_in_characters_on_lines_as_python_has_them(before: str, end: str) -> None:
    call = f"aws('{URL}', aws_service='ünï', aws_region='r')"
    source = f"{before}{call}\n{IAM}".replace("\n", end)
    usage = one(source)
    text = source.removeprefix("\ufeff")
    assert shown(text, usage.place) == call
    assert [shown(text, argument.value.place) for argument in usage.arguments] == [f"'{URL}'", "'ünï'", "'r'"]


def test_tabs_count_as_one_character_and_calls_span_lines() -> None:
    source = f"{IAM}if True:\n\t\tc = aws(\n\t\t\t'{URL}',\n\t\t\t's',\n\t\t)\n"
    usage = one(source)
    assert (usage.place.line, usage.place.column, usage.place.end_line, usage.place.end_column) == (3, 7, 6, 4)
    assert usage.endpoint is not None
    assert str(usage.endpoint.place) == "agent.py:4:4"


def test_other_encodings_are_read_by_their_cookie() -> None:
    source = f"# -*- coding: latin-1 -*-\n{IAM}é = 1; aws('{URL}', 's')\n"
    assert one(source.encode("latin-1")).place.column == 8


# Notebooks


def notebook(*cells: object) -> bytes:
    return json.dumps({"cells": list(cells), "nbformat": 4}).encode()


def code(source: str | list[str]) -> dict[str, object]:
    return {"cell_type": "code", "source": source}


def test_a_notebook_is_one_program_whose_places_name_the_cell() -> None:
    data = notebook(
        {"cell_type": "markdown", "source": "# é"},
        code("!pip install mcp-proxy-for-aws\n%matplotlib inline\n" + IAM),
        code(["U = (\n", f"  '{URL}')\n", "files = !ls\n", "aws?\n"]),
        code("%%bash\nthis is no Python ("),
        code("this is no Python either ("),
        code("%%time\nx = 1\nawait aws(U, 's')"),
    )
    reading = python.read_notebook(data, "a.ipynb", KNOWN)
    (usage,) = reading.usages
    assert usage.endpoint is not None
    assert usage.endpoint.origin is not None
    assert (str(usage.place), str(usage.endpoint.origin)) == ("a.ipynb:cell 6:3:7", "a.ipynb:cell 3:2:3")
    assert [note.place.cell for note in reading.notes] == [5]


@pytest.mark.parametrize(
    "data",
    [
        b"MCPClient",
        b"[" * 100_000 + b'"MCPClient"',
        b'"MCPClient"',
        b'{"cells": "MCPClient"}',
        b'{"cells": ["MCPClient", {"cell_type": "code"}, {"cell_type": "code", "source": [1]}]}',
        b'\xff\xfe{"cells": ["MCPClient"]}',
    ],
)
def test_a_broken_notebook_is_no_error(data: bytes) -> None:
    assert python.read_notebook(data, "a.ipynb", KNOWN).usages == ()


# Hostile texts

TRIGGER = f"\n{IAM}aws('{URL}', 's')\n"


@pytest.mark.parametrize(
    "source",
    [
        "def (",
        "print 'Python 2'" + TRIGGER,
        "\0" + TRIGGER,
        "(" * 100_000 + TRIGGER,
        "x = " + "-" * 100_000 + "1" + TRIGGER,
        "x = " + "a." * 100_000 + "b" + TRIGGER,
        "x = " + "not " * 50_000 + "b" + TRIGGER,
        "x = " + "lambda: " * 5_000 + "b" + TRIGGER,
        "if a:\n pass\n" + "elif b:\n pass\n" * 10_000 + TRIGGER,
        "# coding: no-such-codec" + TRIGGER,
        "# coding: zlib" + TRIGGER,
        "# coding: utf-7" + TRIGGER,
        "x = " + "9" * 10_000 + TRIGGER,
        "\ud800 = 1".encode("utf-8", "surrogatepass").decode("latin-1") + TRIGGER,
        TRIGGER * 60_000,
    ],
    ids=range(15),
)
def test_a_text_that_does_not_parse_gives_a_note_at_most(source: str) -> None:
    reading = read(source.encode("utf-8", "surrogatepass"))
    assert reading.usages == () or reading.notes == ()
    assert len(reading.notes) <= 1


def test_other_bytes_than_text_give_a_note() -> None:
    assert [note.text for note in read(TRIGGER.encode("utf-16")).notes] == []
    assert [note.text for note in read(b"\xff\xfe" + TRIGGER.encode()).notes] == ["not readable as text: SyntaxError"]


@pytest.mark.parametrize(
    "source",
    [
        "a0 = 'x' * 9; a0 = 'xy'\n" + "".join(f"a{n + 1} = a{n} + a{n}\n" for n in range(60)) + "U = a60",
        "a0 = 'xy'\n" + "".join(f"a{n + 1} = f'{{a{n}}}{{a{n}}}'\n" for n in range(60)) + "U = a60",
        "a0 = ['x']\n" + "".join(f"a{n + 1} = [a{n}, a{n}]\n" for n in range(60)) + "U = a60",
        "a0 = {'x': 1}\n" + "".join(f"a{n + 1} = {{'a': a{n}, 'b': a{n}}}\n" for n in range(60)) + "U = a60",
        "a0 = 'xy'\n" + "".join(f"a{n + 1} = a{n}.replace('x', a{n})\n" for n in range(60)) + "U = a60",
        "U = " + "'x' + " * 900 + "'y'",
        "U = '%s' % ('x' * 10)",
        "U = '%99999999999d' % 1",
        "U = '{:99999999999}'.format(1)",
        "U = '{0.__class__.__mro__}'.format(1)",
        "U = '{999999999999}'.format(1)",
        "U = ''.join(['x'] * 10 ** 9)",
        "U = 'x'.replace('', 'y' * 10 ** 9)",
        "U = 'x'.split(None, 'y')",
        "U = timedelta(days=10 ** 400)",
        "U = U if U else U or U",
        "U = [U for U in U][U]",
        "U = {**U, **U}",
        "U = lambda U=U: U",
    ],
    ids=range(19),
)
def test_names_that_refer_to_each_other_take_no_time(source: str) -> None:
    started = time.process_time()
    usages(f"{IAM}{source}\naws(U, 's', headers=U, metadata={{'a': U}})\n")
    assert time.process_time() - started < 2


def _busy_s(source: str) -> float:
    started = time.process_time()
    read(source)
    return time.process_time() - started


@pytest.mark.parametrize(
    "make",
    [
        lambda n: f"aws('{URL}', 's'); " * n,
        lambda n: f"é = aws('{URL}', 's'); " * n,
        lambda n: "T = {" + "'a': 1, " * n + "}\n" + f"aws('{URL}', 's', **T)\n" * n,
        lambda n: "T = [" + "'a', " * n + "]\n" + f"aws('{URL}', 's', headers=[*T])\n" * n,
        lambda n: "T = '" + "%s" * n + "'\n" + f"aws('{URL}', T % T)\n" * n,
        lambda n: "x = {" + "**x, 'a': 1, " * n + "}\n" + f"aws('{URL}', 's', headers=x)\n",
        lambda n: "".join(f"c{i} = MCPClient(lambda: aws('{URL}', 's'))\nc{i}.list_tools_sync()\n" for i in range(n)),
        lambda n: "".join(f"def f{i}(): return f{i + 1}()\n" for i in range(n)) + "MCPClient(f0)\n" * n,
    ],
    ids=range(8),
)
def test_time_is_linear_in_the_length_of_a_hostile_program(make: object) -> None:
    assert callable(make)
    took = []
    for n in (300, 1_200):
        source = f"from strands.tools.mcp import MCPClient\n{IAM}{make(n)}"
        took.append(min(_busy_s(source) for _ in range(2)))
    assert took[1] < 10 * took[0] + 0.2  # 4 where it is linear, 16 where it is not


@given(st.text() | st.binary())
@settings(max_examples=200)
def test_nothing_that_a_file_holds_raises(content: str | bytes) -> None:
    data = content.encode("utf-8", "surrogatepass") if isinstance(content, str) else content
    for text in (data, data + TRIGGER.encode(), b"mcp MCPClient " + data):
        python.read(text, "a.py", KNOWN)
        python.read_notebook(text, "a.ipynb", KNOWN)


ATOMS = st.sampled_from(
    [
        "U",
        "V",
        "'https://a/mcp'",
        "os.environ['X']",
        "os.getenv('X','d')",
        "1",
        "None",
        "f'{U}é'",
        "self.x",
        "C.x",
        "[U,*V]",
        "{'a':U,**V}",
        "f()",
        "U[0]",
        "U['a']",
        "'x'.format(U,a=V)",
        "''.join(U)",
        "(U:=V)",
        "U.strip()",
        "dict(U,a=V)",
        "U|V",
        "U.get('a')",
        "{}.x",
        "lambda:U",
    ]
)
OPERATORS = st.sampled_from([" + ", " % ", " or ", " | ", " and "])
EXPRESSIONS = st.lists(st.tuples(ATOMS, OPERATORS), min_size=1, max_size=4).map(
    lambda parts: "".join(f"({atom}){operator}" for atom, operator in parts) + "U"
)
STATEMENTS = st.one_of(
    st.builds("U = {}\n".format, EXPRESSIONS),
    st.builds("V = {}\n".format, EXPRESSIONS),
    st.builds("class C:\n    x = {}\n".format, EXPRESSIONS),
    st.builds("def f(U={}):\n    global V\n    V = U\n    return {}\n".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("é = 'ü'; aws({}, 's', **{{'aws_region': {}}})\n".format, EXPRESSIONS, EXPRESSIONS),
    st.builds("with U as V: aws(endpoint={})\n".format, EXPRESSIONS),
    st.builds("p = partial(aws, {})\np(U)\n".format, EXPRESSIONS),
    st.builds("c = MCPClient(lambda: aws({}, 's'))\n".format, EXPRESSIONS),
    st.just("c.list_tools_sync()\n"),
)


@given(st.lists(STATEMENTS, max_size=8))
@settings(max_examples=200)
def test_every_place_is_that_of_an_expression_of_the_program(statements: list[str]) -> None:
    source = "import os\nfrom functools import partial\nfrom strands.tools.mcp import MCPClient\n" + IAM
    source += "".join(statements)
    for usage in usages(source):
        assert isinstance(ast.parse(shown(source, usage.place), mode="eval").body, ast.Call)
        for argument in usage.arguments:
            ast.parse(f"({shown(source, argument.value.place)})", mode="eval")
            value = argument.value
            if value.origin and isinstance(value.value, str) and value.certain and "\\" not in value.value:
                assert shown(source, value.origin)


def test_the_calls_of_the_catalogue_name_their_parameters_once() -> None:
    for call in {call.name: call for call in KNOWN.values()}.values():
        assert len(set(call.positional)) == len(call.positional)
        assert call.roles
        assert all(name.isidentifier() for name in (*call.positional, *call.roles))
        assert all(name.replace(".", "a").isidentifier() for name in call.names)


def test_the_schema_knows_every_role_and_protocol() -> None:
    schema = json.loads((catalogue.locate() / "schema.json").read_text(encoding="utf-8"))
    properties = schema["$defs"]["call"]["properties"]
    assert properties["roles"]["additionalProperties"]["enum"] == list(Role)
    assert properties["protocol"]["enum"] == list(Protocol)


def test_a_name_in_two_entries_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "python.toml"
    path.write_text("[a]\nnames = ['x.f']\nas_of = '1'\n[b]\nnames = ['x.f']\nas_of = '1'\n")
    with pytest.raises(Unusable, match=r"x\.f is in \[a\] and in \[b\]"):
        python.load(path)


@pytest.mark.parametrize("module", sorted((PACKAGE / "clients").rglob("*.py")), ids=lambda module: module.stem)
def test_only_walking_acts(module: Path) -> None:
    assert bool({name.split(".")[0] for name in imported(module)} & ACTS) is (module.stem == "walking")
