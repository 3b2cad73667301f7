"""Names that the array functions and the program share."""

from typing import Literal

Rule = Literal["literal", "clip", "shift", "softmax", "neighbours"]
LabelRule = Literal[Rule, "mean"]  # mean takes no similarity, but predictions themselves
Layout = Literal["features-classes", "classes-features"]  # [N, K] as Flax, [K, N] as PyTorch
