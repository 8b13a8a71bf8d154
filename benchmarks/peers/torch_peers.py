"""PyTorch: nn.Sequential and optim.SGD, eager and compiled."""

import torch
from common import Peak, Work, serve
from torch import nn
from torch.nn import functional as F


class Torch:
    """The training step as its users write it; ``compiled``: by torch.compile."""

    def __init__(self, work: Work, compiled: bool = False) -> None:
        torch.manual_seed(work.seed)
        self.work = work
        X, y, test_X, test_y = work.data()
        self.X, self.y = torch.from_numpy(X), torch.from_numpy(y).long()
        self.test_X, self.test_y = torch.from_numpy(test_X), torch.from_numpy(test_y)
        layers, params = [], work.params()
        for W, b in zip(params[::2], params[1::2], strict=True):
            layer = nn.Linear(*W.shape)
            layer.weight.data = torch.from_numpy(W.T.copy())
            layer.bias.data = torch.from_numpy(b)
            layers += [layer, nn.ReLU()]
        self.net = nn.Sequential(*layers[:-1])
        self.optimizer = torch.optim.SGD(self.net.parameters(), lr=work.lr)
        self.forward = torch.compile(self._forward) if compiled else self._forward

    def _forward(self, X, y):
        scores = self.net(X)
        return F.cross_entropy(scores, y, reduction="sum"), scores

    def epoch(self) -> tuple[float, float]:
        losses, correct = torch.zeros(()), torch.zeros((), dtype=torch.long)
        for batch in torch.randperm(len(self.y)).split(self.work.batch_size):
            X, y = self.X[batch], self.y[batch]
            loss, scores = self.forward(X, y)
            self.optimizer.zero_grad()
            (loss / self.work.batch_size).backward()
            self.optimizer.step()
            with torch.no_grad():
                losses += loss
                correct += (scores.argmax(1) == y).sum()
        return losses.item() / len(self.y), correct.item() / len(self.y)

    def test(self) -> float:
        with torch.no_grad():
            hits = self.net(self.test_X).argmax(1) == self.test_y
        return hits.float().mean().item()


if __name__ == "__main__":
    serve(
        {
            "torch": Torch,
            "torch compiled": lambda work: Torch(work, compiled=True),
            "peak": lambda work: Peak(torch.from_numpy, torch.matmul),
        }
    )
