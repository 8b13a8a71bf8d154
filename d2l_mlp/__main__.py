"""Run the command line as ``python -m d2l_mlp``."""

from .cli import main

main()
