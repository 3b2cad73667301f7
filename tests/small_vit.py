"""A user's own module: a small vision transformer with dropout and BatchNorm."""

import jax
from flax import linen as nn


class Block(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = nn.LayerNorm()(x)
        x = x + nn.MultiHeadDotProductAttention(num_heads=1)(y)
        y = nn.gelu(nn.Dense(8)(nn.LayerNorm()(x)))
        return x + nn.Dropout(0.5, deterministic=not train)(nn.Dense(4)(y))


class ViT(nn.Module):
    num_classes: int

    @nn.compact
    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        x = nn.Conv(4, (4, 4), strides=(4, 4), use_bias=False)(images)
        x = nn.BatchNorm(use_running_average=not train, momentum=0.9)(x)
        x = x.reshape(len(x), -1, 4)
        x = x + self.param("positions", nn.initializers.normal(0.02), x.shape[1:])
        x = Block()(x, train).mean(axis=1)
        return nn.Dense(self.num_classes, name="head")(x)


def vit(num_classes: int) -> nn.Module:
    return ViT(num_classes)
