"""Run the command line: ``python -m d2l_mlp``."""

import sys

try:
    from .commands.cli import main
except ModuleNotFoundError as error:
    from ._unavailable import explain

    cause, mend = explain(error)
    sys.exit(
        f"error: {cause}. To mend it: {mend}; then run .venv/bin/python -m d2l_mlp"
    )

# Worker processes import this module too.
if __name__ == "__main__":
    main()
