"""Builds Keras optimizers from a config."""

import keras

from mdnn.training import fused_optimizers


def make_optimizer(spec, variables, ema=0.0, precision="float32"):
    """Builds the Keras optimizer of `[train.optimizer]`.

    Args:
        spec: `mdnn.config.training_tables.Optimizer`.
        variables: the model's trainable variables. Weight decay applies only to matrices (kernels
            and tables), not to biases and the scales of norms.
        ema: float, decay of the moving averages of the weights; 0: no averages.
        precision: compute dtype of the steps. With `"bfloat16"` Muon also multiplies its matrices
            in bfloat16; with `"float16"` the optimizer scales the loss.

    Returns:
        A built `keras.optimizers.Optimizer`.
    """
    common = {
        # Checkpoints store variable names, and Keras' default names count the optimizers.
        "name": spec.name,
        "learning_rate": spec.learning_rate,
        "global_clipnorm": spec.clip_norm or None,
        "weight_decay": spec.weight_decay or None,
        "use_ema": ema > 0,
        "ema_momentum": ema,
    }
    betas = {"beta_1": spec.beta_1, "beta_2": spec.beta_2}
    makers = {
        "adamw": lambda: fused_optimizers.AdamW(
            **{**common, "weight_decay": spec.weight_decay}, **betas, epsilon=1e-8
        ),
        "adam": lambda: keras.optimizers.Adam(**common, **betas, epsilon=1e-8),
        "lion": lambda: keras.optimizers.Lion(**common, **betas),
        "muon": lambda: fused_optimizers.Muon(
            **{**common, "weight_decay": spec.weight_decay},
            adam_beta_1=spec.beta_1,
            adam_beta_2=spec.beta_2,
            adam_weight_decay=spec.weight_decay,
            # Orthogonalizing makes no sense for table rows and head classes: these are not
            # directions of one vector space.
            exclude_layers=["heads"],
            products="bfloat16" if precision == "bfloat16" else None,
        ),
        "sgd": lambda: keras.optimizers.SGD(**common, momentum=spec.beta_1),
    }
    optimizer = makers[spec.name]()
    if spec.weight_decay:
        optimizer.exclude_from_weight_decay(var_list=[v for v in variables if _rank(v) < 2])
    if precision == "float16":
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="scaled")
    optimizer.build(variables)
    return optimizer


def _rank(variable):
    """Returns the number of axes of a weight, without the axis of members in tandem."""
    return len(variable.shape) - getattr(variable, "stacked_axes", 0)
