"""Make something to paste of a configuration: an entry of a client's file, or a Python program.

`choosing` finds the configuration; `entries` and `code` write it, `making` asks the right one of them; `places` tells
where it goes, and `mistakes` what people get wrong. What clients want stands in `checks/clients.toml`, the programs in
`checks/snippets.toml`. No credential is ever written: profile names only. Nothing is imported here: a report shows a
program, and does without the clients.
"""
