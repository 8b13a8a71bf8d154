"""Fetch Fashion-MNIST; what is not verified never gets the name of a data file.

By pooch and portalocker: GluonCV's ``download`` writes straight to the final name,
waits without end on a silent server and knows neither retries nor other processes.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from .releases import (
    FILES,
    URLS,
    DataError,
    DataFile,
    is_whole,
    read_file,
    read_folder,
    release_ids,
)

# Seconds to connect and between two pieces of a file; further tries a file.
TIMEOUT = 30.0
RETRIES = 2
# Seconds to wait for another process that fetches into the same folder.
LOCK_TIMEOUT = 600.0
# MXNet's mirror below MXNET_GLUON_REPO, whose default Gluon keeps to itself.
MXNET_REPO = URLS["2017-08-26"].removesuffix("gluon/dataset/fashion-mnist/")


def mirrors(release: str | None = None) -> list[str]:
    """Return the servers to ask, in order: MXNet's or yours, then Zalando's.

    ``MXNET_GLUON_REPO`` replaces the first, as it does for Gluon. Each has its own
    release; if one is asked for, the other's server is left out.
    """
    repo = os.environ.get("MXNET_GLUON_REPO") or MXNET_REPO
    servers = {
        "2017-08-26": f"{repo.rstrip('/')}/gluon/dataset/fashion-mnist/",
        "2017-08-31": URLS["2017-08-31"],
    }
    return list(servers.values()) if release is None else [servers[release]]


def fetch(root: Path, release: str | None = None) -> dict[str, DataFile]:
    """Download into ``root`` what it lacks and return the four verified files.

    Processes that share ``root`` fetch one after the other; a killed one leaves no
    file under a data file's name. With a ``release`` no other one will do.

    Raises:
        DataError: no server gave one whole release; lists what each answered.
    """
    problems = []
    try:
        with _alone(root):
            # Another process may have fetched it while this one waited.
            found, _ = read_folder(root)
            if is_whole(found) and release in (None, *release_ids(found)):
                return found
            for base_url in mirrors(release):
                try:
                    return _fetch_from(base_url, root, found, release)
                # A server's answer can also fail to parse, with a plain ValueError.
                except (ValueError, OSError) as error:
                    problems.append(f"{base_url}: {_cause(error)}")
    except OSError as error:
        problems.append(f"cannot write to {root}: {error}")
    raise DataError("\n  ".join(problems))


def _fetch_from(
    base_url: str, root: Path, found: dict[str, DataFile], release: str | None
) -> dict[str, DataFile]:
    """Complete ``found`` from one server, or fetch all where the releases differ."""
    with tempfile.TemporaryDirectory(prefix="partial-", dir=root) as folder:
        lacking = [name for name in FILES if name not in found]
        fetched = {name: _download(base_url, Path(folder), name) for name in lacking}
        if not is_whole(found | fetched):
            for name in found:
                fetched[name] = _download(base_url, Path(folder), name)
        whole = found | fetched
        if not is_whole(whole) or release not in (None, *release_ids(whole)):
            several = " and ".join(release_ids(whole))
            raise DataError(
                f"found files of {several}, expected {release or 'one release'}"
            )
        for file in fetched.values():
            # The temporary file was for this user alone; a cache may be shared.
            file.path.chmod(0o666 & ~_umask())
            os.replace(file.path, root / file.path.name)
    return {
        name: replace(file, path=root / file.path.name) for name, file in whole.items()
    }


def _download(base_url: str, folder: Path, name: str) -> DataFile:
    import pooch

    get = pooch.HTTPDownloader(progressbar=True, chunk_size=2**16, timeout=TIMEOUT)
    verified = []

    def get_verified(url: str, output_file: str, cache: pooch.Pooch) -> None:
        get(url, output_file, cache)
        # A DataError is a ValueError, on which pooch tries again.
        verified.append(read_file(Path(output_file), name, source=url))

    pooch.get_logger().setLevel("WARNING")
    cache = pooch.create(
        path=folder,
        base_url=base_url,
        registry={f"{name}.gz": None},
        retry_if_failed=RETRIES,
    )
    path = Path(cache.fetch(f"{name}.gz", downloader=get_verified))
    return replace(verified[-1], path=path)


def _cause(error: Exception) -> str:
    """Say what failed; requests' own texts for this run over several lines."""
    import requests

    if isinstance(error, requests.Timeout):
        return f"gave no answer within {TIMEOUT:g} seconds"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached, or broke off"
    return str(error)


def _umask() -> int:
    # There is no way to read it but to set it.
    umask = os.umask(0)
    os.umask(umask)
    return umask


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Hold the folder's lock; sweep away what a killed download left behind."""
    import portalocker

    root.mkdir(parents=True, exist_ok=True)
    try:
        with portalocker.Lock(root / ".lock", timeout=LOCK_TIMEOUT):
            for stale in root.glob("partial-*"):
                shutil.rmtree(stale, ignore_errors=True)
            yield
    except portalocker.LockException as error:
        raise OSError(f"its lock is held by another process ({error})") from None
