"""Each client's file is told by its path or shape, and its entries become servers with places."""

from __future__ import annotations

import json
import re
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcpdoctor.catalogue import locate
from mcpdoctor.clients import ClientFile, Reach, find, known, reach, read_client_file
from mcpdoctor.clients.entries import read_entries
from mcpdoctor.clients.finding import By, by_path
from mcpdoctor.clients.jsonc import read_json
from mcpdoctor.clients.known import OTHER, Format, Surroundings, Transport
from mcpdoctor.clients.known import load as load_known
from mcpdoctor.clients.source import Source
from mcpdoctor.model import Unusable

URL = "https://eks-mcp.eu-west-1.api.aws/mcp"
KNOWN = known()


def file_of(tmp_path: Path, name: str, text: str, environ: dict[str, str] | None = None) -> ClientFile:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    read = read_client_file(path, KNOWN, environ=environ)
    assert read is not None
    return read


def reaches(file: ClientFile, environ: dict[str, str] | None = None) -> dict[str, Reach]:
    return {one.name: reach(one, KNOWN, environ=environ) for one in file.entries.servers}


def kinds(file: ClientFile) -> list[str]:
    found = [*file.problems, *(problem for one in reaches(file).values() for problem in one.problems)]
    return [f"{one.kind} {one.place.line}:{one.place.column}" for one in found]


JSON_STDIO = f'{{"command": "uvx", "args": ["mcp-proxy-for-aws@1.6.4", "{URL}"], "env": {{"AWS_PROFILE": "dev"}}}}'

# Each client's own way to write the same two servers: the proxy with profile dev, and one that is reached by URL.
SHAPES = {
    "claude-code": (".mcp.json", '{"mcpServers": {"a": %s, "b": {"type": "http", "url": "https://b/mcp"}}}'),
    "cursor": (".cursor/mcp.json", '{"mcpServers": {"a": %s, "b": {"url": "https://b/mcp"}}}'),
    "vscode": (
        ".vscode/mcp.json",
        '{// c\n"inputs": [], "servers": {"a": %s, "b": {"type": "http", "url": "https://b/mcp"},}}',
    ),
    "kiro": (".kiro/settings/mcp.json", '{"mcpServers": {"a": %s, "b": {"url": "https://b/mcp"}}}'),
    "amazon-q": (".aws/amazonq/mcp.json", '{"mcpServers": {"a": %s, "b": {"type": "http", "url": "https://b/mcp"}}}'),
    "windsurf": (".codeium/windsurf/mcp_config.json", '{"mcpServers": {"a": %s, "b": {"serverUrl": "https://b/mcp"}}}'),
    "cline": (
        "Code/User/globalStorage/saoudrizwan.claude-dev/settings/cline_mcp_settings.json",
        '{"mcpServers": {"a": %s, "b": {"type": "streamableHttp", "url": "https://b/mcp"}}}',
    ),
    "roo-code": (
        ".roo/mcp.json",
        '{"mcpServers": {"a": %s, "b": {"type": "streamable-http", "url": "https://b/mcp"}}}',
    ),
    "zed": (".zed/settings.json", '{"theme": "x", "context_servers": {"a": %s, "b": {"url": "https://b/mcp"},}} // c'),
    "gemini-cli": (".gemini/settings.json", '{"mcpServers": {"a": %s, "b": {"httpUrl": "https://b/mcp"}}}'),
    "codex": (
        ".codex/config.toml",
        f'[mcp_servers.a]\ncommand = "uvx"\nargs = ["mcp-proxy-for-aws@1.6.4", "{URL}"]\n[mcp_servers.a.env]\n'
        'AWS_PROFILE = "dev"\n[mcp_servers.b]\nurl = "https://b/mcp"\n',
    ),
    "goose": (
        "goose/config.yaml",
        f"extensions:\n  a:\n    type: stdio\n    cmd: uvx\n    args:\n      - mcp-proxy-for-aws@1.6.4\n      - {URL}\n"
        "    envs: {AWS_PROFILE: dev}\n  b: {type: streamable_http, uri: https://b/mcp}\n",
    ),
    "opencode": (
        "opencode.json",
        f'{{"mcp": {{"a": {{"type": "local", "command": ["uvx", "mcp-proxy-for-aws@1.6.4", "{URL}"],'
        '"environment": {"AWS_PROFILE": "dev"}}, "b": {"type": "remote", "url": "https://b/mcp"}}}',
    ),
    "junie": (".junie/mcp/mcp.json", '{"mcpServers": {"a": %s, "b": {"url": "https://b/mcp"}}}'),
    "copilot-cli": (
        ".copilot/mcp-config.json",
        '{"mcpServers": {"a": %s, "b": {"type": "http", "url": "https://b/mcp"}}}',
    ),
    "lm-studio": (".lmstudio/mcp.json", '{"mcpServers": {"a": %s, "b": {"url": "https://b/mcp"}}}'),
    "warp": (".warp/.mcp.json", '{"a": %s, "b": {"url": "https://b/mcp"}}'),
    "amp": (".config/amp/settings.json", '{"amp.mcpServers": {"a": %s, "b": {"url": "https://b/mcp"}}}'),
    "continue": (
        ".continue/config.yaml",
        f"mcpServers:\n  - name: a\n    command: uvx\n    args: [mcp-proxy-for-aws@1.6.4, '{URL}']\n"
        "    env: {AWS_PROFILE: dev}\n  - name: b\n    type: streamable-http\n    url: https://b/mcp\n",
    ),
    "antigravity": (".gemini/config/mcp_config.json", '{"mcpServers": {"a": %s, "b": {"serverUrl": "https://b/mcp"}}}'),
    "claude-desktop": ("Claude/claude_desktop_config.json", '{"mcpServers": {"a": %s, "b": {"command": "b"}}}'),
    OTHER: ("some.json", '{"mcpServers": {"a": %s, "b": {"url": "https://b/mcp"}}}'),
}


def test_every_client_has_an_example() -> None:
    assert set(SHAPES) == set(KNOWN.clients)


@pytest.mark.parametrize("client", SHAPES)
def test_the_same_servers_are_read_from_each_clients_file(client: str, tmp_path: Path) -> None:
    name, text = SHAPES[client]
    file = file_of(tmp_path, name, text.replace("%s", JSON_STDIO))
    assert file.kind.client.name == client
    assert kinds(file) == []
    found = reaches(file)
    proxy = found["a"].proxy
    assert proxy is not None
    assert found["a"].configuration is not None
    assert found["a"].configuration.endpoint == URL
    assert found["a"].configuration.credential == "profile:dev"
    assert (proxy.version, proxy.service.value, proxy.region.value) == ((1, 6, 4), "eks-mcp", "eu-west-1")
    assert proxy.endpoint is not None
    assert proxy.endpoint.at.raw.strip("\"'") == URL
    if client != "claude-desktop":
        assert found["b"].configuration is not None
        assert found["b"].configuration.endpoint == "https://b/mcp"


@pytest.mark.parametrize("client", sorted(set(SHAPES) - {"warp", "claude-desktop", "antigravity"}))
def test_where_the_path_tells_nothing_the_shape_does_or_says_so(client: str, tmp_path: Path) -> None:
    name, text = SHAPES[client]
    file = file_of(tmp_path, "x" + PurePosixPath(name).suffix, text.replace("%s", JSON_STDIO))
    own_shape = {"vscode", "zed", "codex", "goose", "opencode", "amp", "continue", "gemini-cli"}
    assert file.kind.by is By.SHAPE
    assert file.kind.client.name == (client if client in own_shape else OTHER)
    assert set(reaches(file)) == {"a", "b"}


def test_claude_code_keeps_servers_of_the_user_and_of_each_project_in_one_file(tmp_path: Path) -> None:
    text = '{"history": [], "mcpServers": {"a": %s}, "projects": {"/x": {"mcpServers": {"a": %s}}, "/y": {}}}'
    file = file_of(tmp_path, ".claude.json", text.replace("%s", JSON_STDIO))
    assert [one.path for one in file.entries.servers] == [
        ("mcpServers", "a"),
        ("projects", "/x", "mcpServers", "a"),
    ]


def test_gemini_means_sse_by_url_and_http_by_http_url(tmp_path: Path) -> None:
    text = '{"mcpServers": {"a": {"url": "https://a/sse"}, "b": {"httpUrl": "https://b/mcp"}}}'
    found = reaches(file_of(tmp_path, ".gemini/settings.json", text))
    assert [one.server.transport for one in found.values()] == [Transport.SSE, Transport.HTTP]
    assert found["a"].configuration is None  # SSE is not what mcpdoctor sends


def test_older_settings_of_zed_hold_the_command_as_a_table(tmp_path: Path) -> None:
    command = f'{{"path": "uvx", "args": ["mcp-proxy-for-aws", "{URL}"], "env": {{"X": "1"}}}}'
    text = f'{{"context_servers": {{"a": {{"command": {command}}}}}}}'
    found = reaches(file_of(tmp_path, ".zed/settings.json", text))["a"]
    assert found.endpoint is not None
    assert found.endpoint.text == URL
    assert found.server.env["X"].text == "1"


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        (".vscode/mcp.json", '{"mcpServers": {"a": {"command": "x"}}}', ["top-level-of-another-client 1:2"]),
        (".cursor/mcp.json", '{"servers": {"a": {"command": "x"}}}', ["top-level-of-another-client 1:2"]),
        (".cursor/mcp.json", '{"mcp_servers": {"a": {"command": "x"}}}', ["top-level-of-another-client 1:2"]),
        (".cursor/mcp.json", '{"a": {"command": "x"}}', ["top-level-missing 1:1"]),
        (".cursor/mcp.json", "[]", ["file-not-a-table 1:1"]),
        (".cursor/mcp.json", '{"mcpServers": []}', ["servers-of-wrong-type 1:16"]),
        (".cursor/mcp.json", '{"mcpServers": {}}', []),
        (".zed/settings.json", '{"context_servers": {"a": {"settings": {}}, "b": {"source": "extension"}}}', []),
        (".zed/settings.json", '{"amp.mcpServers": {"a": {"command": "x"}}}', []),
        ("opencode.json", '{"mcp": {"a": {"enabled": true}}}', []),
        (".kiro/settings/mcp.json", '{"mcpServers": {"a": {"disabled": true}}}', []),
        ("some.json", '{"mcpServers": {"a": {"type": "grpc", "url": "https://x"}}}', []),
        (".zed/settings.json", '{"theme": {"a": 1}}', []),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"comand": "x"}}}', ["key-misspelt 1:23"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"cmd": "x"}}}', ["key-of-another-client 1:23"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"httpUrl": "x"}}}', ["key-of-another-client 1:23"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"name": "x"}}}', ["nothing-to-reach 1:23"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {}}}', ["nothing-to-reach 1:22"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"command": "x", "url": "y"}}}', ["command-and-url 1:46"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"command": "uvx a b"}}}', ["command-with-arguments 1:34"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"command": "C:\\\\Program Files\\\\x.exe"}}}', []),
        (".mcp.json", '{"mcpServers": {"a": {"url": "https://x"}}}', ["type-missing 1:30"]),
        (".mcp.json", '{"mcpServers": {"a": {"type": "htpp", "url": "x"}}}', ["type-unknown 1:31"]),
        (".mcp.json", '{"mcpServers": {"a": {"type": "stdio", "url": "x"}}}', ["command-missing 1:47"]),
        (".mcp.json", '{"mcpServers": {"a": {"type": "http", "command": "x"}}}', ["url-missing 1:50"]),
        (".mcp.json", '{"mcpServers": {"a": {"command": "x",}}}', ["trailing-comma 1:37"]),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"command": "x",}}}', []),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"command": "x"}, "a": {"command": "y"}}}', ["duplicate-key 1:40"]),
        ("claude_desktop_config.json", '{"mcpServers": {"a": {"url": "https://x"}}}', ["remote-not-read 1:30"]),
        (
            ".cursor/mcp.json",
            '{"mcpServers": {"a": {"command": "x", "args": ["${input:k}"]}}}',
            ["variable-not-expanded 1:48"],
        ),
        (".cursor/mcp.json", '{"mcpServers": {"a": {"command": "x", "args": ["${env:K}"]}}}', []),
        ("opencode.json", '{"mcp": {"a": {"type": "local", "command": "x"}}}', ["value-of-wrong-type 1:44"]),
    ],
)
def test_a_mistake_of_shape_has_a_kind_and_a_place(name: str, text: str, wanted: list[str], tmp_path: Path) -> None:
    parent = "Claude/" if name.startswith("claude") else ""
    assert kinds(file_of(tmp_path, parent + name, text)) == wanted


def test_switched_off_servers_and_timeouts_are_read_as_the_client_counts(tmp_path: Path) -> None:
    text = '{"mcpServers": {"a": {"command": "x", "timeout": 60, "disabled": true}}}'
    seconds = {}
    for name in (".kiro/settings/mcp.json", "settings/cline_mcp_settings.json"):
        file = file_of(tmp_path, name if "kiro" in name else f".cline/data/{name}", text)
        (server,) = file.entries.servers
        assert not server.enabled
        seconds[file.kind.client.name] = [one.seconds for one in server.timeouts]
    assert seconds == {"kiro": [0.06], "cline": [60.0]}


def test_variables_are_replaced_where_their_value_is_known(tmp_path: Path) -> None:
    text = '{"mcpServers": {"a": {"command": "uvx", "args": ["mcp-proxy-for-aws", "https://aws-mcp.${R:-us-east-1}.api.aws/mcp"]}}}'
    unknown = reaches(file_of(tmp_path, ".mcp.json", text))["a"]
    assert (unknown.configuration, unknown.problems) == (None, ())
    known_ = reaches(file_of(tmp_path, ".mcp.json", text, environ={"R": "eu-west-1"}))["a"]
    assert known_.configuration is not None
    assert known_.configuration.region == "eu-west-1"


def test_a_file_that_is_none_of_a_client_is_left_alone(tmp_path: Path) -> None:
    for name, text in (("package.json", '{"scripts": {"a": {"b": 1}}}'), ("x.yaml", "a: 1"), ("x.py", "x = 1")):
        (tmp_path / name).write_text(text)
        assert read_client_file(tmp_path / name, KNOWN) is None


JSON_VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-9, 9), st.sampled_from(["uvx", URL, "mcp-proxy-for-aws", "-e", ""])
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.sampled_from(sorted({key for one in KNOWN.clients.values() for key in one.keys})), inner),
    ),
    max_leaves=12,
)


@given(client=st.sampled_from(sorted(KNOWN.clients)), entry=JSON_VALUES, whole=st.booleans())
def test_no_shape_makes_reading_fail(client: str, entry: Any, whole: bool) -> None:
    described = KNOWN.clients[client]
    root: Any = entry if whole else {described.at[0][0]: [entry] if described.named else {"a": entry}}
    document = read_json(Source("f", json.dumps(root)))
    entries = read_entries(document, described, KNOWN.clients)
    places = [one.place for one in entries.problems]
    for server in entries.servers:
        places += [one.place for one in reach(server, KNOWN).problems]
    assert all(place.line == 1 for place in places)


# what is known --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", KNOWN.clients.values(), ids=lambda one: one.name)
def test_a_client_is_described_in_full(client: Any) -> None:
    assert client.at
    assert client.source.startswith("https://")
    assert re.fullmatch(r"20\d\d-\d\d", client.as_of)
    assert client.files or client.name == OTHER
    paths = [path for one in client.files for path in (*one.any, *one.linux, *one.macos, *one.windows, *one.project)]
    for path in paths:
        formats = {Format.JSON: ".json", Format.JSONC: ".json", Format.TOML: ".toml", Format.YAML: ".yaml"}
        assert formats[client.format] in path
        assert set(re.findall(r"\{(\w+)\}", path)) <= {"home", "config", "appdata", *client.defaults}


@pytest.mark.parametrize("client", KNOWN.clients.values(), ids=lambda one: one.name)
def test_the_path_of_a_client_tells_the_client(client: Any) -> None:
    for one in client.files:
        for template in (*one.any, *one.linux, *one.macos, *one.windows, *one.project):
            path = re.sub(r"\{(\w+)\}", lambda found: client.defaults.get(found[1], "/h"), template).replace("*", "x")
            kind = by_path(PurePosixPath(path.replace("{home}", "/h")), KNOWN.clients)
            assert kind is not None
            assert kind.client.name == client.name, template


def test_a_typing_error_in_what_is_known_is_refused(tmp_path: Path) -> None:
    for name in ("clients.toml", "runners.toml", "proxy.toml"):
        (tmp_path / name).write_text((locate() / name).read_text(encoding="utf-8"), encoding="utf-8")
    assert set(load_known(tmp_path).clients) == set(KNOWN.clients)
    text = (tmp_path / "clients.toml").read_text(encoding="utf-8")
    (tmp_path / "clients.toml").write_text(
        text.replace('forward = "env_vars"', 'foward = "env_vars"'), encoding="utf-8"
    )
    with pytest.raises(Unusable, match=r"\[codex\]: unknown key foward; did you mean forward"):
        load_known(tmp_path)


def test_codex_gives_its_servers_few_variables() -> None:
    assert KNOWN.clients["codex"].environment is Surroundings.MINIMAL


# finding --------------------------------------------------------------------------------------------------------------


DESKTOP = "Claude/claude_desktop_config.json"


def lay(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("{}")


@pytest.mark.parametrize(
    ("platform", "wanted"),
    [
        ("linux", [".claude.json", ".config/Code/User/mcp.json", ".cursor/mcp.json"]),
        (
            "darwin",
            [".claude.json", ".cursor/mcp.json", "Library/Application Support/Claude/claude_desktop_config.json"],
        ),
        ("win32", [".claude.json", ".cursor/mcp.json", "AppData/Roaming/Claude/claude_desktop_config.json"]),
    ],
)
def test_the_files_of_a_user_are_found_by_operating_system(platform: str, wanted: list[str], tmp_path: Path) -> None:
    lay(
        tmp_path,
        ".claude.json",
        ".cursor/mcp.json",
        ".config/Code/User/mcp.json",
        f"Library/Application Support/{DESKTOP}",
        f"AppData/Roaming/{DESKTOP}",
        "other.json",
    )
    found = find(KNOWN.clients, home=tmp_path, project=None, environ={}, platform=platform)
    assert sorted(one.path.relative_to(tmp_path).as_posix() for one in found) == wanted


def test_environment_variables_move_directories_and_a_file_is_listed_once(tmp_path: Path) -> None:
    lay(tmp_path, "x/config.toml", "y/zed/settings.json", ".cursor/mcp.json", ".kiro/agents/a.json")
    environ = {"CODEX_HOME": str(tmp_path / "x"), "XDG_CONFIG_HOME": str(tmp_path / "y")}
    found = find(KNOWN.clients, home=tmp_path, project=tmp_path, environ=environ, platform="linux")
    assert sorted((one.client.name, one.path.name, one.project) for one in found) == [
        ("codex", "config.toml", False),
        ("cursor", "mcp.json", False),
        ("kiro", "a.json", False),
        ("zed", "settings.json", False),
    ]


def test_links_in_circles_are_listed_and_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".cursor").mkdir()
    (tmp_path / ".cursor" / "mcp.json").symlink_to(tmp_path / ".cursor" / "mcp.json")
    (tmp_path / ".kiro").mkdir()
    (tmp_path / ".kiro" / "agents").symlink_to(tmp_path / ".kiro")
    (tmp_path / ".claude" / "plugins" / "cache" / "a").mkdir(parents=True)
    (tmp_path / ".claude" / "plugins" / "cache" / "a" / "b").symlink_to(tmp_path / ".claude" / "plugins" / "cache")
    found = find(KNOWN.clients, home=tmp_path, project=tmp_path, environ={}, platform="linux")
    assert [one.path.relative_to(tmp_path).as_posix() for one in found] == [".cursor/mcp.json"]
