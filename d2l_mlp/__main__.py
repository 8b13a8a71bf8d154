"""Run the command line: ``python -m d2l_mlp``."""

import sys

try:
    from .cli import main
except ModuleNotFoundError as error:
    from ._compat import PYTHONS

    if sys.version_info[:2] not in PYTHONS:
        sys.exit(
            f"error: found Python {'.'.join(map(str, sys.version_info[:3]))}, expected "
            "3.10 to 3.13. To mend it: make clean setup; then run .venv/bin/python -m "
            "d2l_mlp"
        )
    sys.exit(
        f"error: the package {error.name} is not installed for {sys.executable}. To "
        f"mend it: make clean setup, or {sys.executable} -m pip install -r "
        "requirements.txt; then run .venv/bin/python -m d2l_mlp"
    )

# Worker processes import this module too.
if __name__ == "__main__":
    main()
