"""Names that the array functions and the program share."""

from typing import Literal

Rule = Literal["literal", "clip", "shift", "softmax"]
Layout = Literal["features-classes", "classes-features"]  # [N, K] as Flax, [K, N] as PyTorch
