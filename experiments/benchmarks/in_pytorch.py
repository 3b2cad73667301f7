"""ResNet-18 and its training step in PyTorch, as PyTorch's users write them for speed."""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch  # pyright: ignore[reportMissingImports]

from simsmooth_jax.data.dataset import Dataset


def training_rounds(
    dataset: Dataset, table: Any, size: dict[str, Any], device: torch.device, mode: str | None
) -> Callable[[], float]:
    """A function that trains one epoch and says how many seconds it took.

    Args:
      dataset: images in memory, copied to the device.
      table: row y is the target of every image of class y.
      size: `width`, `batch` and `classes`.
      device: where to train.
      mode: of torch.compile; not compiled where it is None.
    """
    torch.backends.cudnn.benchmark = True  # XLA tries the convolutions of cuDNN as well
    train: Any = dataset.train
    images = torch.tensor(train.images, device=device).permute(0, 3, 1, 2)  # channels_last
    labels = torch.tensor(train.labels, device=device).long()
    rows = torch.tensor(np.asarray(table), device=device)
    mean, deviation = (
        torch.tensor(values, device=device)[:, None, None]
        for values in dataset.channel_statistics()
    )
    model = ResNet18(size["width"], size["classes"]).to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    kernels, others = [], []
    for weight in model.parameters():
        (kernels if weight.ndim > 1 else others).append(weight)
    decayed = [{"params": kernels, "weight_decay": 5e-4}, {"params": others, "weight_decay": 0}]
    fused = device.type == "cuda"
    optimizer = torch.optim.SGD(decayed, lr=1e-3, momentum=0.9, nesterov=True, fused=fused)

    def mean_loss(raw: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
        scaled = (raw.float() / 255 - mean) / deviation
        with torch.autocast(device.type, torch.bfloat16):
            logits = model(scaled)
        return torch.nn.functional.cross_entropy(logits.float(), rows[classes])

    loss_of: Any = torch.compile(mean_loss, mode=mode) if mode else mean_loss
    batch = size["batch"]

    def run() -> float:
        start = time.perf_counter()
        order = torch.randperm(len(labels), device=device)
        for first in range(0, len(labels), batch):
            indices = order[first : first + batch]
            loss_of(images[indices], labels[indices]).backward()
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        wait(device)
        return time.perf_counter() - start

    return run


def wait(device: torch.device) -> None:
    """Until the device has done all that it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize()


class ResNet18(torch.nn.Module):
    """The layers of ours: 3x3 convolution first, no pooling after it."""

    def __init__(self, width: int, num_classes: int) -> None:
        """`width` channels in the first stage."""
        super().__init__()
        layers: list[torch.nn.Module] = [_convolution(3, width, 3, 1), torch.nn.ReLU()]
        before = width
        for stage in range(4):
            for block in range(2):
                after, stride = width * 2**stage, 2 if stage > 0 and block == 0 else 1
                layers.append(_Block(before, after, stride))
                before = after
        self.body = torch.nn.Sequential(*layers)
        self.head = torch.nn.Linear(before, num_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of every image."""
        return self.head(self.body(images).mean(dim=(2, 3)))


class _Block(torch.nn.Module):
    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = _convolution(before, after, 3, stride)
        self.second = _convolution(after, after, 3, 1)
        same = before == after and stride == 1
        self.shortcut = torch.nn.Identity() if same else _convolution(before, after, 1, stride)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.second(torch.relu(self.first(x)))
        return torch.relu(y + self.shortcut(x))


def _convolution(before: int, after: int, size: int, stride: int) -> torch.nn.Module:
    layer = torch.nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)
    return torch.nn.Sequential(layer, torch.nn.BatchNorm2d(after))
