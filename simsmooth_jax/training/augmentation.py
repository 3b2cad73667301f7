"""Random changes of a batch of images inside the training step, a pure function of the key."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from simsmooth_jax.config.training import AugmentationConfig

Images = Float[Array, "batch height width channels"]
Features = Float[Array, "batch features"]


Targets = list[tuple[float | Float[Array, ""], Any]]


def augment(
    config: AugmentationConfig, key: Array, images: Images | Features, labels: Any
) -> tuple[Images | Features, Targets]:
    """Crops, mirrors and blanks each image on its own, then mixes pairs, as far as it is asked for.

    Args:
      config: which changes.
      key: decides all random numbers.
      images: the batch; features can be mixed by mixup alone.
      labels: `[batch]`, or any tree of such arrays, which belong to the images.

    Returns:
      The images, and the labels that they are trained on with the share of each: one, or two where
      pairs are mixed. A blank is 0, the mean colour of normalised images.
    """
    crop_key, flip_key, cutout_key, mix_key = jax.random.split(key, 4)
    if config.crop:
        images = _crop(crop_key, images, config.crop)
    if config.flip:
        mirrored = jax.random.bernoulli(flip_key, shape=(len(images), 1, 1, 1))
        images = jnp.where(mirrored, images[:, :, ::-1], images)
    if config.cutout:
        images = _cutout(cutout_key, images, config.cutout)
    if not (config.mixup or config.cutmix):
        return images, [(1.0, labels)]
    images, share = mix(config, mix_key, images)
    partners = jax.tree.map(lambda leaf: leaf[::-1], labels)
    return images, [(share, labels), (1 - share, partners)]


def mix(
    config: AugmentationConfig, key: Array, images: Images | Features
) -> tuple[Images | Features, Float[Array, ""]]:
    """Mixes each image with its partner, that of the reversed batch: mixup or CutMix.

    `x' = M x + (1 - M) x[::-1]` with a mask M that is one number under mixup (Zhang et al. 2018)
    and a box of zeros under CutMix (Yun et al. 2019); where both are asked for, each batch draws
    one of the two.

    Args:
      config: which of the two, and the parameter of its Beta distribution.
      key: decides all random numbers.
      images: the batch, of which the reversal is the partner.

    Returns:
      The mixed images, and the weight of the own label against the partner's: the mean of M.
    """
    choice_key, blend_key, box_key = jax.random.split(key, 3)
    size = images.shape[1:-1]  # height and width, nothing of features
    masks = []
    if config.mixup:
        weight = jax.random.beta(blend_key, config.mixup, config.mixup)
        masks.append(jnp.full(size, weight))
    if config.cutmix:
        masks.append(_all_but_a_box(box_key, config.cutmix, *size))
    mask = jnp.stack(masks)[jax.random.randint(choice_key, (), 0, len(masks))]
    spread = mask[None, ..., None]
    return spread * images + (1 - spread) * images[::-1], mask.mean()


def _crop(key: Array, images: Images, padding: int) -> Images:
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))
    corners = jax.random.randint(key, (len(images), 2), 0, 2 * padding + 1)

    def cut(image: Array, corner: Array) -> Array:
        return jax.lax.dynamic_slice(image, (corner[0], corner[1], 0), images.shape[1:])

    return jax.vmap(cut)(padded, corners)


def _cutout(key: Array, images: Images, size: int) -> Images:
    """Blanks a square around a random pixel (DeVries and Taylor 2017); it may stick out."""
    count, height, width, _ = images.shape
    row_key, column_key = jax.random.split(key)
    rows = _interval(jax.random.randint(row_key, (count, 1), 0, height), size, height)
    columns = _interval(jax.random.randint(column_key, (count, 1), 0, width), size, width)
    blank = rows[:, :, None] & columns[:, None, :]
    return jnp.where(blank[..., None], 0, images)


def _interval(centre: Array, size: Array | int, length: int) -> Array:
    """Which of `length` pixels are among the `size` around a centre."""
    start = centre - size // 2
    pixels = jnp.arange(length)
    return (start <= pixels) & (pixels < start + size)


def _all_but_a_box(key: Array, parameter: float, height: int, width: int) -> Array:
    """Ones, but for a box of the image's proportions around a random pixel."""
    area_key, row_key, column_key = jax.random.split(key, 3)
    side = jnp.sqrt(1 - jax.random.beta(area_key, parameter, parameter))
    rows, columns = (
        _interval(jax.random.randint(k, (1,), 0, n), jnp.round(side * n).astype(jnp.int32), n)
        for k, n in ((row_key, height), (column_key, width))
    )
    return 1.0 - (rows[:, None] & columns[None, :])
