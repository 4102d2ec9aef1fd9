"""The conformance suite of the MCP project, run against mcpdoctor and its lab: `make conformance`."""
