"""Download Fashion-MNIST: by pooch, from one mirror after the other.

GluonCV's ``download`` does less: it writes straight to the final name, waits without
end for a silent server, and knows neither retries nor other processes.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from .._files import write_whole
from .releases import FILES, URLS, DataError, DataFile, gz_sums, is_whole, read_folder

# Seconds to connect and between two pieces of a file; further attempts for each file.
TIMEOUT = 30.0
RETRIES = 2
# Seconds to wait for another process that downloads into the same folder.
LOCK_TIMEOUT = 600.0


def mirrors() -> dict[str, str]:
    """Return the address of each release's server: MXNet's or yours, then Zalando's.

    ``MXNET_GLUON_REPO`` replaces the first, as it does for Gluon.
    """
    repo = os.environ.get("MXNET_GLUON_REPO")
    yours = {"2017-08-26": f"{(repo or '').rstrip('/')}/gluon/dataset/fashion-mnist/"}
    return URLS | yours if repo else URLS


def fetch(root: Path, release: str | None = None) -> dict[str, DataFile]:
    """Download into ``root`` what it lacks and return the four verified files.

    A file appears in ``root`` only when it is whole and has the published checksum.
    Processes that share ``root`` take turns, so that only one of them downloads.

    Args:
        root: the folder; it is made.
        release: the release to download; by default the first that a server gives.

    Raises:
        DataError: no server gave a whole release; lists why for each.
    """
    import portalocker

    problems = []
    try:
        root.mkdir(parents=True, exist_ok=True)
        with portalocker.Lock(root / ".lock", timeout=LOCK_TIMEOUT):
            # Another process may have downloaded it in the meantime.
            found, _ = read_folder(root)
            if is_whole(found, release):
                return found
            for mirror, url in mirrors().items():
                if release not in (None, mirror):
                    continue
                lacking = [
                    name
                    for name in FILES
                    if name not in found or found[name].release != mirror
                ]
                try:
                    _download(url, gz_sums(mirror), lacking, root)
                    return read_folder(root)[0]
                except (ValueError, OSError) as error:
                    problems.append(f"{url}: {_cause(error)}")
    except portalocker.LockException:
        problems.append(f"{root}: another process has held its lock for too long")
    except OSError as error:
        problems.append(f"cannot write to {root}: {error}")
    raise DataError("\n  ".join(problems))


def _download(url: str, sums: dict[str, str], names: list[str], root: Path) -> None:
    """Download files; they get their place in ``root`` once all are verified.

    Those that a killed process has verified are not downloaded again.
    """
    import pooch

    pooch.get_logger().setLevel("WARNING")
    get = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=TIMEOUT)
    folder = root / ".partial"
    try:
        cache = pooch.create(folder, url, registry=sums, retry_if_failed=RETRIES)
        for path in [cache.fetch(f"{name}.gz", downloader=get) for name in names]:
            write_whole(root / Path(path).name, Path(path).read_bytes())
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _cause(error: Exception) -> str:
    """Say in one line what failed; requests' own messages run over several."""
    import requests

    if isinstance(error, requests.Timeout):
        return f"gave no answer within {TIMEOUT:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached, or broke off"
    # Of a wrong checksum, pooch also says what it did with the file.
    return str(error).partition(". ")[0]
