"""Give the readers of files hundreds of thousands of damaged ones, made by hypothesis.

python scripts/fuzz.py                     200,000 files, some minutes of one processor
python scripts/fuzz.py --inputs 5000 --seed 7 --reader params

What must not be is printed, kept in tests/fuzz/corpus, and ends in exit code 1.
"""

import argparse
import faulthandler
import hashlib
import resource
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "fuzz"))

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from readers import BUSY, CORPUS, LENGTH, MOST_SECONDS, READERS, mutate, try_file

#: Files of one example of hypothesis, which costs more than they do.
FILES = 50
#: Hypothesis remembers its examples, and would grow slow.
CHUNK = 10_000
#: What this process may take beside what it has: libraries in C count as well.
MOST_BYTES = 256 * 2**20


def main():
    """Try the files of each reader in turn."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--inputs", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--reader", choices=READERS, help="this one alone")
    arguments = parser.parse_args()
    names = [arguments.reader] if arguments.reader else list(READERS)
    limit_memory()
    tracemalloc.start()
    each = -(-arguments.inputs // len(names))
    start = time.monotonic()
    failed = False
    for name in names:
        reader = READERS[name]
        counts = {"files": 0, "whole": 0}
        failure = None
        while counts["files"] < each and failure is None:
            chunk = min(CHUNK, each - counts["files"])
            first = arguments.seed + counts["files"]
            failure = fuzz(reader, chunk, first, counts)
        seconds = time.monotonic() - start
        print(
            f"{name}: {counts['files']} files, {counts['whole']} of them whole, "
            f"{counts['files'] - counts['whole']} refused; {seconds:.0f} s so far",
            flush=True,
        )
        if failure is not None:
            failed = True
            keep(name, *failure)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(
        f"{time.monotonic() - start:.0f} seconds, {time.process_time():.0f} of them of "
        f"one processor; at most {peak} MB of memory"
    )
    sys.exit(failed)


def limit_memory():
    """Have a library in C that takes too much fail, and so end this process."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MOST_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (most, resource.RLIM_INFINITY))


def fuzz(reader, num_inputs, first_seed, counts):
    """Try files; return one that must not be, as small as it comes, and its error."""
    last = []
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        path = Path(folder, "file")

        @seed(first_seed)
        @settings(
            max_examples=-(-num_inputs // FILES),
            database=None,
            deadline=None,
            phases=[Phase.generate, Phase.shrink],
            suppress_health_check=list(HealthCheck),
        )
        @given(st.binary(min_size=LENGTH * FILES, max_size=LENGTH * FILES))
        def check(programs):
            # Should a library in C hang, which no signal ends.
            faulthandler.dump_traceback_later(2 * BUSY * MOST_SECONDS, exit=True)
            for start in range(0, len(programs), LENGTH):
                content = mutate(reader, programs[start : start + LENGTH])
                last[:] = [content]
                counts["files"] += 1
                counts["whole"] += try_file(reader, content, path)

        try:
            check()
        except BaseException as error:
            if isinstance(error, KeyboardInterrupt):
                raise
            return last[0], error
    return None


def keep(name, content, error):
    """Say what went wrong, and keep the file for the tests."""
    path = CORPUS / name.partition("-")[0]
    number = hashlib.sha256(content).hexdigest()[:8]
    path /= f"{name.partition('-')[2] or 'found'}-{number}.bin"
    path.write_bytes(content)
    print(f"{name}: {type(error).__name__}: {error}\nkept as {path}", flush=True)


if __name__ == "__main__":
    main()
