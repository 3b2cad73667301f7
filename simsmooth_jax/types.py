"""Names that the array functions and the program share."""

from typing import Literal

Rule = Literal["literal", "clip", "shift", "softmax"]
