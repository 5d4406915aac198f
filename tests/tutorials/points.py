"""A line through noisy points, and the classification of two clusters, written as in an introduction to PyTorch.

`python points.py` draws its own points.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Line(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(0.1))

    def forward(self, x):
        return self.weight * x


def fit_line(x: torch.Tensor, y: torch.Tensor, seed: int, *, epochs: int = 20) -> float:
    """The weight at the end. x, y: [N, 1]."""
    torch.manual_seed(seed)
    model, loss_of = Line(), nn.MSELoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(epochs):
        for some_x, some_y in DataLoader(TensorDataset(x, y), batch_size=100, shuffle=True):
            optimizer.zero_grad()
            loss_of(model(some_x), some_y).backward()
            optimizer.step()
    return model.weight.item()


def tell_clusters_apart(
    train: TensorDataset, test: TensorDataset, seed: int, *, optimizer: str = "rmsprop", epochs: int = 20
) -> tuple[float, float]:
    """Test loss and accuracy at the end. Points [N, 2], labels 0 and 1."""
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Linear(2, 10), nn.BatchNorm1d(10), nn.ReLU(), nn.Linear(10, 2), nn.Softmax(dim=1))
    loss_of = nn.CrossEntropyLoss()
    kind = {"rmsprop": torch.optim.RMSprop, "sgd": torch.optim.SGD}[optimizer]
    steps = kind(net.parameters(), lr=0.01)
    for _ in range(epochs):
        net.train()
        for points, labels in DataLoader(train, batch_size=32, shuffle=True):
            steps.zero_grad()
            loss_of(net(points), labels).backward()
            steps.step()
    net.eval()
    points, labels = test.tensors
    with torch.no_grad():
        outputs = net(points)
        return loss_of(outputs, labels).item(), (outputs.argmax(1) == labels).float().mean().item()


if __name__ == "__main__":
    x = np.arange(0, 1, 0.001)
    y = 2 * x + np.random.normal(0, 0.3, len(x))
    print("weight", fit_line(*(torch.from_numpy(v.astype(np.float32))[:, None] for v in (x, y)), seed=0))
