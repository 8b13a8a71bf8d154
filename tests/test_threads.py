"""Two Python threads at once: everything ends, with the right result.

Each case runs in a process of its own, which is ended where it hangs.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: Seconds; each takes some 2, of which most is the import.
AT_MOST = 60

HEAD = """
import os, sys, threading, warnings
import d2l_mlp as gb
import d2l_mlp as training
from d2l_mlp.chapter import model as models
from d2l_mlp.dataset import fashion_mnist as data, photo
from d2l_mlp.static_graph import compiled, graph, hybrid
import numpy as np
from mxnet import autograd, gluon, nd

loss = gluon.loss.SoftmaxCrossEntropyLoss()
splits = data.load_fashion_mnist()
images, labels = splits.train_images[:2100], splits.train_labels[:2100]

def at_once(*functions):
    "Run all at once; return what they return, or raise what one raised."
    results, problems = [None] * len(functions), []
    def go(i):
        try:
            results[i] = functions[i]()
        except BaseException as problem:
            problems.append(problem)
    threads = [threading.Thread(target=go, args=(i,)) for i in range(len(functions))]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    if problems: raise problems[0]
    return results

def train(num_hiddens=(256,), hybridize=False, seed=0, params=None):
    "Return the bits of what two epochs end with; the order is the images' own."
    rng = np.random.default_rng(seed)
    if params is None:
        sizes = (784, *num_hiddens, 10)
        params = []
        for inputs, outputs in zip(sizes, sizes[1:]):
            W = rng.normal(0, 0.01, (inputs, outputs))
            params += [nd.array(W), nd.zeros(outputs)]
        for param in params: param.attach_grad()
    loader = data.BatchLoader(images, labels, 256)
    lines = [str(r) for r in training.train_epochs(
        models.make_net(params), loader, loader, loss, 2, 256, params, 0.5,
        hybridize=hybridize)]
    return lines, [param.asnumpy().tobytes() for param in params]
"""

CASES = {
    "products": """
a, b = nd.array(np.random.randn(256, 784)), nd.array(np.random.randn(784, 16))
expected = nd.dot(a, b).asnumpy()
def multiply():
    for _ in range(300): found = nd.dot(a, b)
    return found.asnumpy()
for found in at_once(multiply, multiply): assert (found == expected).all()
""",
    "plain training": """
alone = train()
assert all(found == alone for found in at_once(*[train] * 3))
""",
    "graphs": """
kinds = [lambda: train(hybridize=True), lambda: train((400, 64), True, 1)]
alone = [kind() for kind in kinds]
assert at_once(*kinds, *kinds) == alone * 2
""",
    "a graph beside plain training and a test pass": """
params = models.init_params(512); net = models.make_net(params)
loader = data.BatchLoader(images, labels, 100)
def evaluate(): return gb.evaluate_accuracy(loader, net)
kinds = [lambda: train(hybridize=True), train, evaluate]
alone = [kind() for kind in kinds]
assert at_once(*kinds) == alone
""",
    "predictions": """
rng = np.random.default_rng(0)
for units in (400, 512):
    params = [rng.normal(0, .1, s).astype("float32")
              for s in ((784, units), (units,), (units, 10), (10,))]
    image = splits.test_images[0, :, :, 0]
    def ask(): return [models.predict(image, params).tobytes() for _ in range(100)]
    assert len({bits for found in at_once(*[ask] * 6) for bits in found}) == 1
""",
    "tracing": """
before = nd.NDArray.asnumpy
def trace():
    params = models.init_params(16); net = models.make_net(params)
    X, y = nd.ones((4, 1, 28, 28)), nd.zeros(4)
    for _ in range(60):
        graph.trace(net, loss, params, X, y)
        assert nd.NDArray.asnumpy is before
def read():
    array = nd.ones(3)
    for _ in range(3000): array.asnumpy()
def refuse():
    params = models.init_params(16); net = models.make_net(params)
    for _ in range(60):
        try:
            graph.trace(lambda X: net(X) if X.sum().asscalar() else X, loss, params,
                        nd.ones((4, 1, 28, 28)), nd.zeros(4))
        except graph.NotTraceable: pass
        else: raise AssertionError("traced")
at_once(trace, trace, read, refuse)
assert nd.NDArray.asnumpy is before and sys.getprofile() is None
""",
    "forks beside training": """
import multiprocessing
context = multiprocessing.get_context("fork")
def compute():
    product = nd.dot(nd.ones((64, 784)), nd.ones((784, 16)))
    os._exit(0 if (product == 784).min().asscalar() else 3)
def fork():
    for _ in range(20):
        child = context.Process(target=compute); child.start(); child.join(20)
        assert child.exitcode == 0, child.exitcode
alone = train(hybridize=True), train()
assert at_once(lambda: train(hybridize=True), train, fork)[:2] == list(alone)
""",
    "a loader's pool of threads": """
W = nd.array(np.random.randn(784, 400))
class Products(gluon.data.Dataset):
    def __len__(self): return 400
    def __getitem__(self, i):
        return nd.dot(nd.array(images[i:i + 20].reshape(20, 784)), W)
loader = gluon.data.DataLoader(Products(), 8, num_workers=4, thread_pool=True)
assert sum(len(batch) for batch in loader) == 400
""",
    "a search with two jobs": """
import optuna
optuna.logging.set_verbosity(optuna.logging.ERROR)
study = optuna.create_study()
def objective(trial):
    units = trial.suggest_int("units", 250, 260)
    return -len(train((units,), trial.number % 2 == 0)[0])
study.optimize(objective, n_trials=6, n_jobs=2)
assert [trial.value for trial in study.trials] == [-2] * 6
""",
    "a graph that another thread goes on with": """
params = models.init_params(256)
first = train(hybridize=True, params=params)
(second,) = at_once(lambda: train(hybridize=True, params=params))
assert first != second
""",
}


@pytest.mark.parametrize("threads", ["default", "a team of two"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_threads_end_with_the_right_result(case, threads):
    names = ("OMP_NUM_THREADS", "D2L_MLP_NUM_THREADS", "MXNET_ENGINE_TYPE")
    env = {k: v for k, v in os.environ.items() if k not in names}
    if threads != "default":
        if "fork" in case:
            pytest.skip("MXNet's threaded engine loses operations, as the page says")
        env["OMP_NUM_THREADS"] = "2"
    done = subprocess.run(
        [sys.executable, "-c", HEAD + case],
        env=env, cwd=ROOT, capture_output=True, text=True, timeout=AT_MOST,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
