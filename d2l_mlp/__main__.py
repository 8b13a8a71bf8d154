"""Run the command line: ``python -m d2l_mlp``."""

import sys

try:
    from .cli import main
except ModuleNotFoundError as error:
    sys.exit(
        f"error: the package {error.name} is not installed for {sys.executable}. To "
        f"mend it: make clean setup, or {sys.executable} -m pip install -r "
        "requirements.txt; then run .venv/bin/python -m d2l_mlp"
    )

# Worker processes import this module too.
if __name__ == "__main__":
    main()
