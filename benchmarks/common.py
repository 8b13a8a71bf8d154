"""What every peer is given, and how the runner talks to it; needs numpy alone.

A peer is a process. It reads a line of JSON, a ``Work``, and from then on runs an
epoch for each line ``epoch``, answering with its seconds, loss and accuracy; ``test``
asks for its accuracy on the test images.
"""

from __future__ import annotations

import gzip
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Work:
    """The work that all peers do; the defaults are the chapter's.

    Attributes:
        num_hiddens: units of each hidden layer.
        batch_size: images a batch; the smaller last one is kept.
        lr: learning rate, on the mean of a batch.
        num_images: how many of the 60,000.
        seed: of the initial weights and of the order.
        folder: of the data files.
    """

    num_hiddens: tuple[int, ...] = (256,)
    batch_size: int = 256
    lr: float = 0.5
    num_images: int = 60_000
    seed: int = 0
    folder: str = "/usr/share/datasets/fashion-mnist"

    def data(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """Return float32 images ``(n, 784)`` in [0, 1] and int32 labels, twice."""
        parts = []
        for split, count in (("train", self.num_images), ("t10k", 10_000)):
            images = self._read(f"{split}-images-idx3-ubyte.gz", 16).reshape(-1, 784)
            labels = self._read(f"{split}-labels-idx1-ubyte.gz", 8)
            parts += [images[:count] / np.float32(255), labels[:count].astype(np.int32)]
        return tuple(parts)

    def _read(self, name: str, header: int) -> np.ndarray:
        with gzip.open(Path(self.folder, name)) as file:
            return np.frombuffer(file.read(), np.uint8, offset=header)

    def params(self) -> list[np.ndarray]:
        """Return the initial ``[W1, b1, ...]``, alike for all; W is (inputs, units)."""
        rng = np.random.default_rng(self.seed)
        sizes = (784, *self.num_hiddens, 10)
        params = []
        for inputs, outputs in zip(sizes, sizes[1:], strict=False):
            params.append(rng.normal(0, 0.01, (inputs, outputs)).astype(np.float32))
            params.append(np.zeros(outputs, np.float32))
        return params

    def dumps(self) -> str:
        """Return it as a line."""
        return json.dumps(asdict(self))


class Peer(Protocol):
    """A net in training."""

    def epoch(self) -> tuple[float, float]:
        """Train for an epoch, in a new order; return mean loss and accuracy over it."""

    def test(self) -> float:
        """Return the accuracy on the test images."""


class Peak:
    """The fastest of some large matrix products; its loss is GFLOP/s.

    Args:
        array: makes the library's own of a NumPy array.
        multiply: returns the product of two of these, once it is there.
    """

    SIDE = 2048

    def __init__(self, array: Callable, multiply: Callable) -> None:
        shape = self.SIDE, self.SIDE
        rng = np.random.default_rng(0)
        self.factors = [array(rng.random(shape, np.float32)) for _ in range(2)]
        self.multiply = multiply

    def epoch(self) -> tuple[float, float]:
        """Multiply; nothing is learned, so the accuracy is none."""
        best = float("inf")
        for _ in range(8):
            start = time.perf_counter()
            self.multiply(*self.factors)
            best = min(best, time.perf_counter() - start)
        return 2 * self.SIDE**3 / best / 1e9, 0.0

    def test(self) -> float:
        """Return nothing."""
        return 0.0


def serve(peers: dict[str, Callable[[Work], Peer]]) -> None:
    """Be the peer that the command line names, until the input ends."""
    answers = sys.stdout
    sys.stdout = sys.stderr
    peer: Peer | None = None
    for line in sys.stdin:
        if line.startswith("{"):
            work = json.loads(line)
            work["num_hiddens"] = tuple(work["num_hiddens"])
            peer = peers[sys.argv[1]](Work(**work))
            answer: dict[str, float] = {}
        elif line.strip() == "epoch" and peer is not None:
            start = time.perf_counter()
            loss, accuracy = peer.epoch()
            seconds = time.perf_counter() - start
            answer = {"seconds": seconds, "loss": loss, "accuracy": accuracy}
        elif peer is not None:
            answer = {"test_accuracy": peer.test()}
        print(json.dumps(answer), file=answers, flush=True)
