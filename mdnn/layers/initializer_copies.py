"""One initializer for several kernels."""

import keras


def initializer_copy(initializer, index):
    """Returns an initializer like the given one for the `index`-th kernel that it fills.

    One initializer object gives the same numbers at every call, so that kernels which share it
    start equal.

    Args:
        initializer: `keras.initializers.Initializer` or callable.
        index: Integer from 0.

    Returns:
        A new initializer, with `index` added to an integer seed. A plain callable is handed
        back, and so is an initializer with a `SeedGenerator`, which moves on by itself.
    """
    if not isinstance(initializer, keras.initializers.Initializer):
        return initializer
    config = initializer.get_config()
    if isinstance(config.get("seed"), dict):
        return initializer
    if isinstance(config.get("seed"), int):
        config["seed"] += index
    return initializer.__class__.from_config(config)
