"""The one door for what callers pass: arrays and numbers as the compiled programs can take them.

JAX reads an array of another byte order as it lies in memory, and cuts 64 bits to 32 before anybody
can look. Both are settled here, on the host; native 32 bits and JAX's own arrays pass untouched: no
copy, no transfer, no other sharding.
"""

from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from simsmooth_jax.errors import InputError, first_line
from simsmooth_jax.method.arrays.checks import SMALLEST, is_traced

Operand: TypeAlias = jax.Array | np.ndarray
Number: TypeAlias = float | np.floating | Float[jax.Array | np.ndarray, ""]  # may be traced


def real(function: str, argument: str, value: Any) -> Operand:
    """An array of real numbers of at most 32 bits; one of JAX's own as it is."""
    array = as_array(function, argument, value)
    if not _is_real(array.dtype):
        raise InputError(
            f"{function}: {argument}",
            "hold real numbers",
            f"dtype {array.dtype}",
            "Pass the array itself, as float32, bfloat16 or float16.",
        )
    return array if isinstance(array, jax.Array) else _narrow(function, argument, array)


def as_array(function: str, argument: str, value: Any) -> Operand:
    """What a box, a list, or another library's array holds, in the machine's byte order."""
    if isinstance(value, jax.Array):
        return value
    if hasattr(value, "__jax_array__"):  # flax.nnx.Param and other variables
        return as_array(function, argument, value.__jax_array__())
    if hasattr(value, "unbox"):  # flax.linen.Partitioned, whose `unbox` would move the array
        return as_array(function, argument, value.value)
    if isinstance(value, np.ma.MaskedArray):
        raise InputError(
            f"{function}: {argument}",
            "be an array without a mask",
            "a masked array",
            "Fill it, or pass the part that counts.",
        )
    try:
        array = np.asarray(value)
    except Exception as error:  # whatever another library's array, or a ragged list, raises
        raise InputError(
            f"{function}: {argument}",
            "be an array",
            f"{type(value).__name__} ({first_line(error)})",
            "Use jax.numpy.asarray.",
        ) from None
    if array.dtype == object and not isinstance(value, np.ndarray):
        raise InputError(
            f"{function}: {argument}",
            "be an array",
            type(value).__name__,
            "Use jax.numpy.asarray.",
        )
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _is_real(dtype: Any) -> bool:
    kinds = (jnp.floating, jnp.integer)
    wide = dtype.itemsize > 8  # longdouble, which JAX does not know
    return not wide and any(jnp.issubdtype(dtype, kind) for kind in kinds)


def _narrow(function: str, argument: str, array: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits as float32, refused where that would make them infinite."""
    if array.dtype.itemsize < 8:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32)
    too_large = np.isinf(narrow) & np.isfinite(array)
    if too_large.any():
        raise InputError(
            f"{function}: {argument}",
            "be within the range of float32, 3.4e38",
            f"{array[too_large].flat[0]:.4g}",
            "Scale it down.",
        )
    return narrow


def matrix(function: str, argument: str, value: Any, shape: str) -> Operand:
    """A matrix of real numbers with two columns or more."""
    array = real(function, argument, value)
    dims = array.shape
    if len(dims) != 2:
        hint = f"Pass one matrix {shape}."
        if len(dims) == 3:
            hint = (
                f"A leading axis of {dims[0]} looks like one copy per device: take {argument}[0]."
            )
        elif len(dims) == 4 and dims[:2] == (1, 1):
            hint = f"A 1x1 convolution is a Dense layer: take {argument}[0, 0]."
        raise InputError(f"{function}: {argument}", f"have shape {shape}", dims, hint)
    if dims[1] < 2 or dims[0] < 1:
        raise InputError(
            f"{function}: {argument}",
            f"have shape {shape} with K >= 2 classes",
            dims,
            "Relations need a second class; a kernel is [features, classes], not transposed.",
        )
    return array


def square(function: str, argument: str, value: Any) -> Operand:
    """A `[K, K]` matrix of real numbers with K >= 2."""
    array = matrix(function, argument, value, "[K, K]")
    rows, columns = array.shape
    if rows != columns:
        raise InputError(
            f"{function}: {argument}",
            "have shape [K, K]",
            f"({rows}, {columns})",
            "A kernel [N, K] goes to cosine_similarity or relation_labels_from_kernel.",
        )
    return array


def kernel(function: str, value: Any, center: bool) -> Operand:
    """A kernel `[N, K]`; one of 64 bits that is to be centred loses its mean column before bits."""
    if not isinstance(center, bool | np.bool_):
        raise InputError(
            f"{function}: center",
            "be True or False",
            f"{center!r}",
            "It is part of the program, not an array.",
        )
    array = as_array(function, "kernel", value)
    narrow = matrix(function, "kernel", array, "[N, K]")
    if center and isinstance(array, np.ndarray) and array.dtype.itemsize == 8:
        exact = array.astype(np.float64)
        with np.errstate(invalid="ignore"):  # infinity, which the program refuses by its class
            return (exact - exact.mean(axis=1, keepdims=True)).astype(np.float32)
    return narrow


def floats(function: str, argument: str, value: Any, shape: str, advice: str) -> Operand:
    """An array of floating point, whose shape the caller looks at."""
    array = as_array(function, argument, value)
    if not (_is_real(array.dtype) and jnp.issubdtype(array.dtype, jnp.floating)):
        must, got = f"be floating point {shape}", f"{array.dtype}{list(array.shape)}"
        raise InputError(f"{function}: {argument}", must, got, advice)
    return array if isinstance(array, jax.Array) else _narrow(function, argument, array)


def integers(function: str, argument: str, value: Any, advice: str) -> Operand:
    """An array of class indices, of any width."""
    array = as_array(function, argument, value)
    if not jnp.issubdtype(array.dtype, jnp.integer):
        must, got = "be integer class indices", f"dtype {array.dtype}"
        raise InputError(f"{function}: {argument}", must, got, advice)
    return array


def in_32_bits(indices: Operand, num_classes: int) -> Operand:
    """Class indices of 64 bits as int32, out of `[0, K)` where they were before."""
    if indices.dtype.itemsize < 8:
        return indices
    library = jnp if isinstance(indices, jax.Array) else np
    is_class = (indices >= 0) & (indices < num_classes)
    return library.where(is_class, indices, num_classes).astype(np.int32)


def mask(function: str, value: Any, shape: tuple[int, ...]) -> Operand:
    """A boolean array of a shape: which examples count."""
    where = as_array(function, "where", value)
    if where.dtype != bool or where.shape != shape:
        raise InputError(
            f"{function}: where",
            f"be boolean of shape {shape}",
            f"{where.dtype}{list(where.shape)}",
            "It masks whole examples.",
        )
    return where


def fraction(
    function: str,
    argument: str,
    value: Any,
    advice: str = "0 is the hard label, 1 the soft one alone.",
) -> Any:
    """A number in [0, 1] as float32; a traced one passes."""
    must = "be a number in [0, 1]"
    number = _number(function, argument, value, must, advice)
    if number.shape != ():
        several = "Map over several values with jax.vmap."
        raise InputError(f"{function}: {argument}", must, f"shape {number.shape}", several)
    if not is_traced(number) and not 0 <= float(number) <= 1:
        raise InputError(f"{function}: {argument}", "be in [0, 1]", f"{float(number):g}", advice)
    return number


def positive(
    function: str, argument: str, value: Any, advice: str = "Smaller is sharper; try 0.1."
) -> Any:
    """A finite number above 0 as float32; a traced one passes."""
    must = "be a finite number above 0"
    number = _number(function, argument, value, must, advice)
    sound = number.shape == () and (is_traced(number) or SMALLEST <= number < np.inf)
    if not sound:
        raise InputError(f"{function}: {argument}", must, value, advice)
    return number


def perplexity(function: str, value: Any, others: int) -> Any:
    """An effective number of so many other classes as float32; a traced one passes."""
    if others < 2:
        raise InputError(
            f"{function}: perplexity",
            "be over two other classes or more in a row",
            others,
            "Keep more classes.",
        )
    must = f"be a number from 1 to below {others} (the other classes in a row)"
    advice = "Smaller is sharper; try a fifth of them."
    number = _number(function, "perplexity", value, must, advice)
    if number.shape != () or not (is_traced(number) or 1 <= number < others):
        raise InputError(f"{function}: perplexity", must, value, advice)
    return number


def _number(function: str, argument: str, value: Any, must: str, advice: str) -> Any:
    if isinstance(value, str | bytes | None):
        raise InputError(f"{function}: {argument}", must, f"{value!r}", advice)
    number = as_array(function, argument, value)
    if not _is_real(number.dtype):
        raise InputError(f"{function}: {argument}", must, f"{value!r}", advice)
    return number if isinstance(number, jax.Array) else number.astype(np.float32)
