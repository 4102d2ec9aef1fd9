"""Find out why an MCP client cannot talk to AWS, and which configuration works."""

__version__ = "0.1.0"
