"""A small convolutional network for CIFAR-10, written the way an introduction to PyTorch writes it.

`python cifar10_convnet.py FOLDER` with the folder that holds `cifar-10-batches-py`.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

to_input = transforms.Compose([
    transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
])  # fmt: skip


class CifarBatches(Dataset):
    """torchvision's own would ask for the published files' checksums."""

    def __init__(self, files: list[Path]) -> None:
        parts = [pickle.loads(file.read_bytes(), encoding="latin1") for file in files]
        self.images = np.vstack([part["data"] for part in parts]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        self.labels = [label for part in parts for label in part["labels"]]

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index):
        return to_input(Image.fromarray(self.images[index])), self.labels[index]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = x.view(-1, 16 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)


def fit(folder: str, seed: int, *, epochs: int = 2, lr: float = 0.001, workers: int = 0) -> tuple[Net, int]:
    """The trained network, and the steps it took; `workers` changes how long that takes and nothing else."""
    torch.manual_seed(seed)
    train = CifarBatches(sorted(Path(folder, "cifar-10-batches-py").glob("data_batch_*")))
    net, loss_of = Net(), nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)
    steps = 0
    for _ in range(epochs):
        for images, labels in DataLoader(train, batch_size=4, shuffle=True, num_workers=workers):
            optimizer.zero_grad()
            loss_of(net(images), labels).backward()
            optimizer.step()
            steps += 1
    return net, steps


def learn(folder: str, seed: int, *, epochs: int = 2, lr: float = 0.001) -> tuple[float, float]:
    """Test loss and accuracy at the end."""
    (net, _), loss_of = fit(folder, seed, epochs=epochs, lr=lr), nn.CrossEntropyLoss()
    test = CifarBatches([Path(folder, "cifar-10-batches-py", "test_batch")])
    loss = right = 0.0
    with torch.no_grad():
        for images, labels in DataLoader(test, batch_size=4):
            outputs = net(images)
            loss += loss_of(outputs, labels).item() * len(labels)
            right += (outputs.argmax(1) == labels).sum().item()
    return loss / len(test), right / len(test)


if __name__ == "__main__":
    print("loss {:.4f}  accuracy {:.4f}".format(*learn(sys.argv[1], 0)))
