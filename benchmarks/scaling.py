"""Seconds per epoch, and bytes per step, of one process and of 1, 2 and 4 workers.

    python benchmarks/scaling.py

All on this machine, in turns. An epoch's seconds are those between its printed line and
the one before. Each run has a loopback of its own, if this user may make one
(`unshare`, as root): then every byte on it is the run's. Prints the table of
docs/scaling.md.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

PARAMS = {"784-256-10": 784 * 256 + 256 + 256 * 10 + 10, "784-10": 784 * 10 + 10}
#: An epoch's steps: 60,000 images in batches of 256.
STEPS = 235


@dataclass
class Case:
    """A way to train.

    Attributes:
        net: which, by its layers.
        num_workers: 0 for one process without a KVStore.
        seconds: of each measured epoch.
        sent: bytes of a step on the loopback, of each run.
    """

    net: str
    num_workers: int
    seconds: list[float] = field(default_factory=list)
    sent: list[float] = field(default_factory=list)

    def run(self, num_epochs: int) -> None:
        """Run once; the first epoch, which binds graphs, is not measured."""
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-m", "d2l_mlp"]
            if self.num_workers:
                command += ["launch", "--num-workers", str(self.num_workers), "--"]
            command += ["book", "--fast", "--num-epochs", str(num_epochs)]
            command += ["--output", folder]
            command += ["--linear"] * (self.net == "784-10")
            process = subprocess.Popen(
                apart() + command,
                stdout=subprocess.PIPE,
                text=True,
                env={k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"},
            )
            times, counts = [], []
            for line in process.stdout:
                if re.match(r"epoch \d", line) and len(times) < num_epochs:
                    times.append(time.perf_counter())
                    counts.append(count_bytes(process.pid))
            if process.wait() != 0:
                sys.exit(f"{self}: found exit code {process.returncode}, expected 0")
        self.seconds += [b - a for a, b in zip(times, times[1:], strict=False)]
        self.sent.append((counts[-1] - counts[0]) / STEPS / (num_epochs - 1))

    def row(self, alone: Case) -> str:
        """Return its line of the table."""
        median = statistics.median(self.seconds)
        ratio = median / statistics.median(alone.seconds)
        who = f"{self.num_workers} worker{'s' * (self.num_workers > 1)}"
        paper = 2 * 4 * PARAMS[self.net] * self.num_workers
        return (
            f"| {self.net} | {who if self.num_workers else 'one process'} | "
            f"{min(self.seconds):.2f} | {median:.2f} | {ratio:.2f} | "
            f"{paper / 1e6:.3f} | {statistics.median(self.sent) / 1e6:.3f} |"
        )


def apart() -> list[str]:
    """Return what gives a command a loopback of its own, if that may be."""
    start = ["unshare", "--net", "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
    if not (shutil.which("ip") and shutil.which("unshare")):
        return []
    return (
        []
        if subprocess.run([*start, "true"], capture_output=True).returncode
        else start
    )


def count_bytes(pid: int) -> int:
    """Return how many bytes the loopback of process ``pid`` has sent."""
    for line in Path(f"/proc/{pid}/net/dev").read_text().splitlines():
        name, _, counts = line.partition(":")
        if name.strip() == "lo":
            return int(counts.split()[8])
    raise LookupError("lo")


def describe_machine() -> str:
    """Return processor, cores and versions."""
    names = re.findall(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    cores = len(os.sched_getaffinity(0))
    return (
        f"{names[0]}, {cores} cores, Python {platform.python_version()}, mxnet 1.9.1; "
        f"load before: {os.getloadavg()[0]:.1f}"
    )


def main() -> None:
    """Measure in turns, and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    machine = describe_machine()
    # The small net shows what a step costs whatever its size.
    cases = [Case("784-256-10", n) for n in (0, 1, 2, 4)]
    cases += [Case("784-10", n) for n in (0, 2)]
    for _ in range(options.rounds):
        for case in cases:
            case.run(options.epochs)
    columns = ("net", "who", "min s", "median s", "of one process")
    print(f"| {' | '.join(columns)} | MB a step, on paper | measured |")
    print("|---|---|---|---|---|---|---|")
    for case in cases:
        alone = next(c for c in cases if c.net == case.net)
        print(case.row(alone))
    print(f"\n{options.rounds} rounds of {options.epochs} epochs; {machine}.")


if __name__ == "__main__":
    main()
