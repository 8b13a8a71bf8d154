"""The chapter's namespace: the multilayer perceptron from scratch, on Fashion-MNIST.

>>> import d2l_mlp as gb
>>> train_iter, test_iter = gb.load_data_fashion_mnist(256)

Every ``gb.`` call of the chapter is served here. A name's module loads when the name is
first used, so that importing the package costs no more than importing MXNet.

Raises:
    d2l_mlp._unavailable.MXNetUnavailable: on import, where MXNet cannot be loaded;
        an ``ImportError`` that names the cause and what mends it.
"""

import contextlib
import sys

if sys.version_info < (3, 10):  # noqa: UP036  # a checkout meets them; pip refuses
    refusal = (
        f"found Python {'.'.join(map(str, sys.version_info[:3]))}, expected 3.10 to "
        "3.13. To mend it: make clean setup; then run .venv/bin/python"
    )
    # `python -m` would show an ImportError with runpy's frames.
    if sys.argv[:1] == ["-m"]:
        sys.exit(f"error: {refusal}")
    raise ImportError(refusal)

from . import _compat, _stop

__version__ = "0.1.0"

# A command tells of a broken MXNet in its own words, and `doctor` runs without it.
if _compat.run_as_command():
    _stop.end_at_interrupt()
    with contextlib.suppress(_compat.MXNetUnavailable):
        _compat.prepare()
else:
    _compat.load_mxnet()

try:
    import lazy_loader
except ModuleNotFoundError:
    if not _compat.run_as_command():
        raise
else:
    __getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
