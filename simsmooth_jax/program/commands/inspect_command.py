"""`simsmooth inspect`: what a checkpoint holds, and which kernel would be taken."""

from rich import box
from rich.filesize import decimal
from rich.text import Text

from simsmooth_jax.config.commands import InspectConfig
from simsmooth_jax.errors import InputError
from simsmooth_jax.formats.head import find_head
from simsmooth_jax.formats.kernels import StoredKernel, of_optimizer
from simsmooth_jax.formats.stores.arrays import Name, StoredArrays
from simsmooth_jax.formats.stores.opening import open_stored
from simsmooth_jax.machine.terminal import tell
from simsmooth_jax.program import report
from simsmooth_jax.program.wording import as_options

AT_EACH_END = 20  # arrays of a long list that are shown, and the kernel wherever it is


def inspect(config: InspectConfig) -> None:
    """Prints the format, the arrays and the kernel; that there is none is no error here."""
    stored = open_stored(config.checkpoint)
    try:
        kernel = find_head(stored, config.head, config.num_classes, config.layout)
        answer = _sentence(kernel)
    except InputError as error:
        kernel, answer = None, f"none, because {as_options(str(error))}"
    total = decimal(sum(info.nbytes for info in stored.arrays.values()))
    tell(f"{stored.path}: {stored.format}, {len(stored.arrays)} arrays, {total}")
    report.console().print(arrays_table(stored, kernel))
    tell(f"kernel that would be taken: {answer}")


def arrays_table(stored: StoredArrays, kernel: StoredKernel | None) -> report.Table:
    """A row for each array but the optimizer's; of a long list its ends and the kernel.

    Args:
      stored: the listing of a checkpoint.
      kernel: the one that would be taken, which is always shown with its bias, and marked.

    Returns:
      The table, in which a row that starts with `…` says how many arrays it stands for.
    """
    table = report.Table(box=box.SIMPLE)
    table.add_column("array", overflow="fold")
    for column in ("shape", "dtype", "size"):
        table.add_column(column, justify="right")
    names = [name for name in stored.arrays if not of_optimizer(stored, name)]
    taken = () if kernel is None else (kernel.name, kernel.bias)
    left_out = 0
    for index, name in enumerate(names):
        if min(index, len(names) - 1 - index) >= AT_EACH_END and name not in taken:
            left_out += 1
            continue
        _say_left_out(table, left_out, "more")
        left_out = 0
        _add_row(table, stored, name, name in taken)
    _say_left_out(table, len(stored.arrays) - len(names), "of an optimizer's state")
    return table


def _say_left_out(table: report.Table, count: int, which: str) -> None:
    if count:
        table.add_row(Text(f"… {count} {which}", style="dim"))


def _add_row(table: report.Table, stored: StoredArrays, name: Name, is_taken: bool) -> None:
    info = stored.arrays[name]
    table.add_row(
        Text("/".join(name), style="bold" if is_taken else ""),
        Text(str(list(info.shape))),
        info.dtype,
        decimal(info.nbytes),
    )


def _sentence(kernel: StoredKernel) -> str:
    parts = [f"{'/'.join(kernel.name)} {list(kernel.shape)} (features x classes)"]
    if kernel.layout == "classes-features":
        parts.append("transposed")
    if kernel.copies is not None:
        parts.append(f"the first of {kernel.copies} copies")
    parts.append("no bias" if kernel.bias is None else f"bias {'/'.join(kernel.bias)}")
    parts += [kernel.because] if kernel.because else []
    return ", ".join(parts)
