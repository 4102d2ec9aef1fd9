"""Where mcpdoctor meets the tools that people already use."""
