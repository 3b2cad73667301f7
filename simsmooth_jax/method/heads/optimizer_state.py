"""Which leaves of a tree are an optimizer's, by the names on the way to them."""

# Where optax's state is kept beside the parameters, and what its states hold their copies in under
# names that no layer has.
CONTAINERS = {"opt_state", "optimizer", "optimizer_state", "optim", "opt", "inner_opt_state"}
CONTAINERS |= {"inner_state", "inner_states", "acc_grads", "v_row", "v_col", "sum_of_squares"}
CONTAINERS |= {"nu_max", "exp_avg", "exp_avg_sq", "grad_sum", "diff_params_memory"}
CONTAINERS |= {"diff_updates_memory", "prev_updates", "step_sizes", "init_particles"}
# Where an older Flax, and NNX, keep the parameters themselves.
MODELS = {("optimizer", "target"), ("optimizer", "model")}
# Fields that a layer may be called as well: they count behind their place in a chain of states.
FIELDS = {"mu", "nu", "trace", "v", "m", "n", "g", "z", "m1", "m2", "e_g", "e_x", "ema", "updates"}
FIELDS |= {"params0", "init_params", "cache"}


def is_optimizer_state(path: tuple[str, ...]) -> bool:
    """Whether a leaf belongs to an optimizer, by the names on the way to it.

    Args:
      path: the leaf's path, its last part the leaf.

    Returns:
      False also for layers with such a name, which stand below `params` or hold the leaf itself.
    """
    pairs = list(zip(("", *path), path, strict=False))
    for place, (before, part) in enumerate(pairs[:-2]):
        if part in CONTAINERS and (part, path[place + 1]) not in MODELS:
            return True
        if part in FIELDS and before.isdigit():
            return True
        if part == "params":
            return False
    return False
