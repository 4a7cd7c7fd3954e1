"""The commands, each a function: its signature defines the options, its docstring is the text of `--help`.

`sclgan.__main__` lists them. A command imports what it needs when it runs, because help must not wait for torch.
"""
