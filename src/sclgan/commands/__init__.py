"""The commands, each a function: its signature is what the command line takes, its docstring what `--help` says.

`sclgan.__main__` lists them. A command imports what it needs when it runs: help must not wait for torch.
"""
