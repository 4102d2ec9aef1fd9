"""What must be different about the machine or the network for each check of the way to show."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import anyio


def as_it_is(_: Any) -> None:
    """The lab's fault shows by itself."""


def resolving(*addresses: str) -> Callable[..., Any]:
    """A resolver that gives these addresses for every name."""
    real = socket.getaddrinfo

    def found(host: Any, port: Any, *given: Any, **more: Any) -> Any:
        if host is None or host in addresses or host == "127.0.0.1":
            return real(host, port, *given, **more)
        families = [(socket.AF_INET6 if ":" in one else socket.AF_INET, one) for one in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", (one, port)) for family, one in families]

    return found


def open_way(scene: Any) -> None:
    """Names are looked up for real, and nothing is routed."""
    scene.sealed, scene.routes = False, ()


def through(proxy: str, **more: str) -> Callable[[Any], None]:
    """HTTPS_PROXY names one of the lab's proxies."""

    def arrange(scene: Any) -> None:
        open_way(scene)
        scene.environ = {"HTTPS_PROXY": scene.lab.proxies[proxy], **more}

    return arrange


def proxy_that_is_no_url(scene: Any) -> None:
    open_way(scene)
    scene.environ = {"HTTPS_PROXY": "http//127.0.0.1:8080"}


def private_address(scene: Any) -> None:
    # Port 1: nobody listens there, whatever else this machine does.
    open_way(scene)
    scene.url = scene.url.replace(".aws/", ".aws:1/")
    scene.monkeypatch.setattr(socket, "getaddrinfo", resolving("127.0.0.1"))


def silent_ipv6(scene: Any) -> None:
    """An IPv6 address that takes no connection, and IPv4; a machine without IPv6 would refuse at once."""
    open_way(scene)
    scene.url = scene.url.replace("lab.test/", f"lab.test:{scene.lab.https_port}/")
    scene.monkeypatch.setattr(socket, "getaddrinfo", resolving("2001:db8::1", "127.0.0.1"))
    real = anyio.connect_tcp

    async def connect(remote_host: str, *given: Any, **more: Any) -> Any:
        if ":" in remote_host:
            await anyio.sleep(30)
        return await real(remote_host, *given, **more)

    scene.monkeypatch.setattr(anyio, "connect_tcp", connect)  # httpcore takes it from there


def no_ca_file(scene: Any) -> None:
    missing = str(scene.directory / "no-such.pem")
    scene.monkeypatch.setenv("SSL_CERT_FILE", missing)
    scene.environ = {"SSL_CERT_FILE": missing, "AWS_CA_BUNDLE": missing}


PROVOCATIONS: dict[str, Callable[[Any], None]] = {
    "dns-private-address": private_address,
    "tcp-ipv6-silent": silent_ipv6,
    "tcp-proxy-settings": proxy_that_is_no_url,
    "tcp-proxy-auth": through("asking"),
    "tcp-proxy-refused": through("blocking"),
    "tcp-proxy-garbled": through("garbled"),
    "tls-ca-variable": no_ca_file,
    "tls-intercepted": through("inspecting"),
    "tls-trailing-dot": as_it_is,
    "tls-not-yet-valid": as_it_is,
    "tls-self-signed": as_it_is,
    "tls-incomplete-chain": as_it_is,
    "http-not-http": as_it_is,
    "http-malformed": as_it_is,
    "http-stream-cut": as_it_is,
    "auth-body-altered": through("rewriting-body"),
}

VARIANTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "tcp/proxy-failing": ("tcp-proxy-refused", through("failing")),
    "tls/reset": ("tls-connection-lost", as_it_is),
    "http/smtp": ("http-not-http", as_it_is),
    "http/huge-headers": ("http-malformed", as_it_is),
    "http/bad-chunks": ("http-malformed", as_it_is),
    "http/bad-coding": ("http-malformed", as_it_is),
    "http/short-body": ("http-connection-lost", as_it_is),
    "http/reset-in-body": ("http-connection-lost", as_it_is),
    "http/stream-cut": ("http-stream-cut", as_it_is),
    "http/redirect-slash": ("http-redirected", as_it_is),
    "list/stream-idle": ("http-stream-cut", through("idle-timeout")),
}
