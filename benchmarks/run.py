"""Time this project and its peers on the same work, in turns, in one run.

    make bench
    .venv/bin/python benchmarks/run.py --rounds 15 --only speed

Writes docs/benchmarks/results.json and figures, and the tables into
docs/benchmarks.md; report.py makes them of the results.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from common import Work
from report import write_report
from rich.progress import track

HERE = Path(__file__).parent
OURS, PEERS = HERE.parent / ".venv/bin/python", HERE.parent / ".venv-bench/bin/python"
#: Name -> the interpreter and the file that serve it.
PROGRAMS = {
    "gluonbook": (OURS, "gluonbook_peer.py"),
    "plain, with test pass": (OURS, "mxnet_peers.py"),
    "plain": (OURS, "mxnet_peers.py"),
    "hybridized": (OURS, "mxnet_peers.py"),
    "gluon": (OURS, "mxnet_peers.py"),
    "torch": (PEERS, "torch_peers.py"),
    "torch compiled": (PEERS, "torch_peers.py"),
    "jax": (PEERS, "jax_peers.py"),
    "jax scan": (PEERS, "jax_peers.py"),
    "numpy": (PEERS, "numpy_peers.py"),
    "scikit-learn": (PEERS, "numpy_peers.py"),
}
#: What the machine's peak is measured with: the fastest of their products counts.
PEAKS = {
    "oneDNN in MXNet": (OURS, "mxnet_peers.py"),
    "torch": (PEERS, "torch_peers.py"),
    "jax": (PEERS, "jax_peers.py"),
    "numpy": (PEERS, "numpy_peers.py"),
}
#: Two of OpenMP's threads for each of MXNet's operations, as a user may choose.
TEAM = {"OMP_NUM_THREADS": "2"}
#: What is timed beside other work -> its program, and what is added to its environment.
BESIDE = {
    "hybridized": ("hybridized", {}),
    "hybridized, a team of two": ("hybridized", TEAM),
    "jax scan": ("jax scan", {}),
    "torch": ("torch", {}),
    "numpy": ("numpy", {}),
    "plain": ("plain", {}),
    "plain, a team of two": ("plain", TEAM),
}
#: How many processes that only compute run beside, one case after the other.
BUSY = (0, 1, 2)
SCALED = ("hybridized", "torch", "jax scan")
SCALES = {
    "hidden units": [Work(num_hiddens=(units,)) for units in (64, 256, 1024, 4096)],
    "batch size": [Work(batch_size=size) for size in (32, 128, 512, 4096)],
    "hidden layers": [Work(num_hiddens=(256,) * depth) for depth in range(5)],
    "images": [Work(num_images=n) for n in (7_500, 15_000, 30_000, 60_000)],
}


class Running:
    """A peer's process."""

    def __init__(
        self, name: str, program: tuple[Path, str], env: dict[str, str] | None = None
    ) -> None:
        python, file = program
        self.process = subprocess.Popen(
            [python, HERE / "peers" / file, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE)} | (env or {}),
        )
        self.name = name

    def ask(self, line: str) -> dict:
        """Send a line and return the answer; a peer that fails ends the benchmark."""
        print(line, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{self.name}: its process ended, run its file by hand")
        return json.loads(answer)

    def stop(self) -> None:
        """End the process."""
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()


def speed(rounds: int) -> dict:
    """Time an epoch of each peer, A B C A B C …, after a warm-up of each."""
    running = {name: Running(name, program) for name, program in PROGRAMS.items()}
    epochs: dict[str, list[dict]] = {name: [] for name in running}
    for peer in running.values():
        peer.ask(Work().dumps())
    for turn in track(range(rounds + 1), "peers in turns"):
        for name, peer in running.items():
            answer = peer.ask("epoch")
            epochs[name].append(answer)
            # Its threads may spin for a while before they sleep.
            time.sleep(0.2 if turn else 1)
    results = {}
    for name, peer in running.items():
        timed = [answer["seconds"] for answer in epochs[name][1:]]
        results[name] = epochs[name][-1] | {"seconds": timed} | peer.ask("test")
        peer.stop()
    return results | {"peak": peak()}


def peak() -> dict:
    """Return the GFLOP/s of each library's product, with all processors: its best."""
    found = {}
    for name, program in PEAKS.items():
        threads = {"OMP_NUM_THREADS": str(os.cpu_count())}
        running = Running("peak", program, threads if program[0] == OURS else {})
        running.ask(Work().dumps())
        found[name] = max(running.ask("epoch")["loss"] for _ in range(5))
        running.stop()
    return found


def beside(rounds: int) -> dict:
    """Time an epoch of each peer, in turns, alone and beside processes that compute."""
    running = {
        label: Running(name, PROGRAMS[name], env)
        for label, (name, env) in BESIDE.items()
    }
    for peer in running.values():
        peer.ask(Work().dumps())
        peer.ask("epoch")
    results = {name: {} for name in running}
    for busy in BUSY:
        loops = [
            subprocess.Popen([sys.executable, "-c", "while True: sum(range(10**4))"])
            for _ in range(busy)
        ]
        try:
            seconds = {name: [] for name in running}
            for _ in track(range(rounds), f"beside {busy} busy processes"):
                for name, peer in running.items():
                    seconds[name].append(peer.ask("epoch")["seconds"])
                    time.sleep(0.2)
        finally:
            for loop in loops:
                loop.kill()
                loop.wait()
        for name, row in seconds.items():
            results[name][str(busy)] = row
    for peer in running.values():
        peer.stop()
    return results


def scaling(epochs: int) -> list[dict]:
    """Time epochs over sizes, the peers in turns at each."""
    running = [Running(name, PROGRAMS[name]) for name in SCALED]
    results = []
    for scale, works in SCALES.items():
        for work in track(works, scale):
            for peer in running:
                peer.ask(work.dumps())
                peer.ask("epoch")
            turns = {peer.name: [] for peer in running}
            for _ in range(epochs):
                for peer in running:
                    turns[peer.name].append(peer.ask("epoch")["seconds"])
                    time.sleep(0.2)
            for name, seconds in turns.items():
                row = {"scale": scale, "peer": name, "seconds": seconds}
                results.append(row | {"work": json.loads(work.dumps())})
    for peer in running:
        peer.stop()
    return results


def start_up(rounds: int) -> dict:
    """Time ``book`` from its start to its first epoch's line, and its peak memory."""
    results = {}
    for options in ((), ("--fast",)):
        seconds = []
        for _ in range(rounds):
            with tempfile.TemporaryDirectory() as folder:
                start = time.perf_counter()
                command = [OURS, "-m", "d2l_mlp", "book", "--num-epochs", "2"]
                process = subprocess.Popen(
                    [*command, *options, "--output", folder],
                    stdout=subprocess.PIPE,
                    text=True,
                )
                for line in process.stdout:
                    if line.startswith("epoch 1,"):
                        seconds.append(time.perf_counter() - start)
                process.wait()
        name = " ".join(["book", *options])
        results[name] = {"seconds": seconds, "megabytes": _peak_memory(options)}
    return results


def _peak_memory(options: tuple[str, ...]) -> float:
    """Return the peak of a whole run, pictures included, in MB."""
    script = (
        "import resource, subprocess, sys\n"
        "subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True)\n"
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    with tempfile.TemporaryDirectory() as folder:
        command = [OURS, "-m", "d2l_mlp", "book", "--num-epochs", "2", *options]
        done = subprocess.run(
            [sys.executable, "-c", script, *command, "--output", folder],
            capture_output=True,
            text=True,
            check=True,
        )
    return int(done.stdout) / 1024


def machine() -> dict:
    """Say what the figures were taken on."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    # Of a rented machine the name alone says little.
    found = dict(re.findall(r"^(model|model name)\s*: (.*)$", cpuinfo, re.MULTILINE))
    processor = f"{found['model name']}, model {found['model']}"
    peers = subprocess.run(
        [PEERS, "-m", "pip", "list", "--format", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    versions = {entry["name"]: entry["version"] for entry in json.loads(peers.stdout)}
    names = ("torch", "jax", "numpy", "scikit-learn")
    return {
        "date": datetime.date.today().isoformat(),
        "processor": f"{processor}, {os.cpu_count()} cores",
        "python": platform.python_version(),
        "mxnet": metadata.version("mxnet"),
        "versions": {name: versions[name] for name in names},
    }


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of all peers.")] = 15,
    epochs: Annotated[int, typer.Option(min=1, help="Epochs of a size.")] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option(help="speed, beside, scaling or start-up; all else kept."),
    ] = None,
    output: Annotated[
        Path, typer.Option(help="Folder for results and figures.")
    ] = Path("docs/benchmarks"),
) -> None:
    """Run the benchmarks and write the report."""
    parts = {
        "speed": lambda: speed(rounds),
        "beside": lambda: beside(max(rounds // 2, 1)),
        "scaling": lambda: scaling(epochs),
        "start-up": lambda: start_up(3),
    }
    output.mkdir(parents=True, exist_ok=True)
    path = output / "results.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    for name in only or parts:
        results[name] = parts[name]()
        results["machine"] = machine()
        path.write_text(json.dumps(results, indent=1) + "\n")
    write_report(results, output)


if __name__ == "__main__":
    typer.run(main)
