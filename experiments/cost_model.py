"""What a step of a classifier of many classes costs, on paper: `python experiments/cost_model.py`.

Prints the tables of cost_model.md. Nothing is measured here; tests/test_cost_model.py compares the
bytes with those of compiled programs.
"""

import dataclasses

GB = 1e9


@dataclasses.dataclass(frozen=True)
class Step:
    """One step of features `[B, N]`, a head `[N, K]` and top-k labels, on data x classes chips."""

    batch: int
    num_features: int
    num_classes: int
    kept: int = 32
    data: int = 1
    classes: int = 1
    backbone_parameters: int = 25_000_000

    @property
    def flops(self) -> float:
        """Of the head on each chip: logits, logits again on the way back, and two gradients."""
        products = 4 * 2 * self.batch * self.num_features * self.num_classes
        return products / self.data / self.classes

    @property
    def memory_bytes(self) -> float:
        """Held by each chip: kernel, its gradient, momentum, and the rows of the table."""
        head = 3 * 4 * self.num_features * self.num_classes
        table = 8 * self.kept * self.num_classes
        return (head + table) / self.classes

    @property
    def class_bytes(self) -> float:
        """Sent over the classes axis: four numbers an example, and the gradient in its features."""
        if self.classes == 1:
            return 0
        return 4 * (self.batch / self.data) * (4 + self.num_features)

    @property
    def data_bytes(self) -> float:
        """Sent over the data axis: gradients of the backbone and of the chip's classes."""
        if self.data == 1:
            return 0
        return 4 * (self.backbone_parameters + self.num_features * self.num_classes / self.classes)


def main() -> None:
    """Prints a table for each number of classes."""
    for num_classes in (1000, 100_000, 1_000_000, 10_000_000):
        print(f"\nK = {num_classes:,}, N = 1024, 256 examples a chip\n")
        print("| chips | data x classes | head, TFLOP | memory, GB | classes, MB | data, GB |")
        print("| --- | --- | --- | --- | --- | --- |")
        for chips in (1, 8, 64, 512, 4096):
            for classes in sorted({1, min(chips, 64), chips}):
                data = chips // classes
                step = Step(256 * chips, 1024, num_classes, data=data, classes=classes)
                print(
                    f"| {chips} | {data} x {classes} | {step.flops / 1e12:.3g} "
                    f"| {step.memory_bytes / GB:.3g} | {step.class_bytes / 1e6:.3g} "
                    f"| {step.data_bytes / GB:.3g} |"
                )


if __name__ == "__main__":
    main()
