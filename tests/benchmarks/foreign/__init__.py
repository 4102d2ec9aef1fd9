"""Limiters that are not ours in front of an MCP server that is not ours."""
