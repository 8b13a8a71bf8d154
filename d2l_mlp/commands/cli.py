"""python -m d2l_mlp: parses, calls, prints.

python -m d2l_mlp book               the chapter's run beside its printed numbers
python -m d2l_mlp book --linear      softmax regression instead
python -m d2l_mlp compare            many seeds against the printed numbers
python -m d2l_mlp exercise 1|2|3|4  the chapter's exercises, answered by runs
python -m d2l_mlp demo               the classroom page
python -m d2l_mlp launch -- book     the chapter's run by several processes together
python -m d2l_mlp predict FILE       what a trained net makes of pictures
python -m d2l_mlp doctor             what this machine has and lacks
"""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

from .. import __version__, _stop
from .book import book
from .common import Root, console
from .compare import compare
from .demo import demo
from .exercise import app as exercise
from .launch import launch
from .predict import predict

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="The multilayer perceptron from scratch, running again.",
)
app.command()(book)
app.command()(compare)
app.command()(demo)
app.add_typer(exercise, name="exercise")
app.command()(launch)
app.command()(predict)


def main() -> None:
    """Run the command line; a failure ends in one message and exit code 1."""
    warnings.showwarning = _print_warning  # type: ignore[assignment]
    try:
        app()
    except MemoryError:
        sys.exit("error: the machine's memory is full: take fewer units or images")
    except (ValueError, ArithmeticError, ImportError, OSError) as error:
        sys.exit(f"error: {_describe(error)}")
    except RuntimeError as error:
        # MXNet's own errors bring the trace of its C++ code; the cause comes last.
        sys.exit(f"error: {str(error).strip().splitlines()[-1]}")
    finally:
        _stop.ignore()


def _describe(error: Exception) -> str:
    """Return the message; the system's own without its number."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return str(error)


def _print_warning(message: Warning | str, *_: object) -> None:
    print(f"warning: {message}", file=sys.stderr)


@app.callback(invoke_without_command=True)
def _common(
    version: Annotated[
        bool, typer.Option("--version", help="Print it and end.")
    ] = False,
) -> None:
    if version:
        console.print(__version__)
        raise typer.Exit


@app.command()
def doctor(root: Root = None) -> None:
    """Check Python, MXNet, its libraries and the data; say what mends each fault."""
    from .doctor import diagnose, report

    checks = diagnose(root)
    report(checks, console)
    raise typer.Exit(1 if any(check.mend for check in checks) else 0)
