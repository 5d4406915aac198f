"""A first network for MNIST, written the way an introduction to PyTorch writes it: `python mnist_mlp.py FOLDER`."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision import datasets, transforms


class Net(nn.Module):
    def __init__(self, softmax: bool) -> None:
        super().__init__()
        self.hidden = nn.Linear(28 * 28, 128)
        self.dropout = nn.Dropout(0.2)
        self.out = nn.Linear(128, 10)
        self.softmax = softmax

    def forward(self, x):
        x = x.view(x.shape[0], -1)
        x = self.out(self.dropout(torch.relu(self.hidden(x))))
        return torch.softmax(x, 1) if self.softmax else x


def fit(folder: str, seed: int, *, softmax: bool = True, epochs: int = 5) -> tuple[Net, int]:
    """The trained network, and the steps it took."""
    torch.manual_seed(seed)
    train = datasets.MNIST(folder, train=True, transform=transforms.ToTensor())
    net, loss_of = Net(softmax), nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    steps = 0
    net.train()
    for _ in range(epochs):
        for images, labels in DataLoader(train, batch_size=32, shuffle=True):
            optimizer.zero_grad()
            loss_of(net(images), labels).backward()
            optimizer.step()
            steps += 1
    return net, steps


def learn(folder: str, seed: int, *, softmax: bool = True, epochs: int = 5) -> tuple[float, float]:
    """Test loss and accuracy at the end."""
    (net, _), loss_of = fit(folder, seed, softmax=softmax, epochs=epochs), nn.CrossEntropyLoss()
    test = datasets.MNIST(folder, train=False, transform=transforms.ToTensor())
    net.eval()
    loss = right = 0.0
    with torch.no_grad():
        for images, labels in DataLoader(test, batch_size=32):
            outputs = net(images)
            loss += loss_of(outputs, labels).item() * len(labels)
            right += (outputs.argmax(1) == labels).sum().item()
    return loss / len(test), right / len(test)


if __name__ == "__main__":
    print("loss {:.4f}  accuracy {:.4f}".format(*learn(sys.argv[1], 0)))
