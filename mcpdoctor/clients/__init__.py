"""Read the configuration files of MCP clients: every value with its place, every entry as what it would really do.

The way of one file: `source` (bytes to text) → `jsonc`, `tomls` or `yamls` (text to `values`) → `finding` (whose file
it is) → `entries` (servers) → `launch` (what a command really starts) → `arguments` and `proxies` (what the proxy
would send). Programs go through `python`, and what they start through `python.servers` to the same `launch`. `walking`
finds files in a tree. Facts about clients, runners and the proxy stand in `checks/`; what their mistakes mean, too.
"""

from mcpdoctor.clients.entries import Entries, Server, Timeout
from mcpdoctor.clients.files import ClientFile, read_client_file
from mcpdoctor.clients.finding import By, Found, Kind, find
from mcpdoctor.clients.known import Client, Format, Known, Transport, known
from mcpdoctor.clients.launch import Launch
from mcpdoctor.clients.proxies import How, Proxy, Setting
from mcpdoctor.clients.reach import Reach, reach
from mcpdoctor.clients.source import Place, Trouble, Unreadable
from mcpdoctor.clients.surroundings import inherited
from mcpdoctor.clients.values import Value
from mcpdoctor.clients.words import Problem, Word

__all__ = [
    "By",
    "Client",
    "ClientFile",
    "Entries",
    "Format",
    "Found",
    "How",
    "Kind",
    "Known",
    "Launch",
    "Place",
    "Problem",
    "Proxy",
    "Reach",
    "Server",
    "Setting",
    "Timeout",
    "Transport",
    "Trouble",
    "Unreadable",
    "Value",
    "Word",
    "find",
    "inherited",
    "known",
    "reach",
    "read_client_file",
]
