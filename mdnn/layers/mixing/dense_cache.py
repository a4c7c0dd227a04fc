"""The decoding cache of `MultidimDense`, for any axes, sharing and execution."""

from keras import ops

from mdnn.layers.axis_product import axis_product
from mdnn.layers.mixing.linear_mix_cache import LinearMixCache, split_diagonal
from mdnn.layers.wiring import toeplitz


class DenseCache(LinearMixCache):
    """Caches a `MultidimDense`, or one stage of it in sequential execution.

    Args:
        layer: `MultidimDense`.
        kernels: int, number of channel groups, an axis of the layer's input.
        grid, width, columns: As in `DecodingCache`.
        stage: int, the stage; `None` for parallel execution.
    """

    def __init__(self, layer, kernels, grid, width, columns, stage):
        self.layer, self.kernels, plan = layer, kernels, layer.plan
        # Numbers of the layer's axes of columns and of channels (or channel groups).
        self.fast, channel = (len(grid), len(grid) + 1) if columns else (None, len(grid))
        self.terms = list(range(len(plan.order))) if stage is None else [stage]
        terms = [plan.terms[plan.order[number]] for number in self.terms]
        over = {axis for term in terms for step in term for axis in step.over}
        by_row = any(term[-1].axis == self.fast for term in terms)
        # Kernels between rows may differ from column to column.
        self.block_columns = [
            grid[-1] if any(self.fast in s.over for s in term if s.axis != self.fast) else 1
            for term in terms
            if term[-1].axis != self.fast
        ]
        super().__init__(
            grid,
            width,
            columns,
            (kernels if kernels > 1 else width) if channel in over else 1,
            blocks=self.block_columns,
            by_row=by_row,
            shift=by_row and "shift" in layer.wiring.split("+"),
            residual=stage is not None and plan.residual[plan.order[stage]],
        )

    def matrices(self):
        terms = self.layer.causal_kernels()
        result = {"blocks": []}
        for term in (terms[number] for number in self.terms):
            step, kernel = term[-1]
            if step.axis == self.fast:
                result["row"] = kernel if self.shift else ops.swapaxes(kernel, -1, -2)
                result["row"] = self._by_rows(result["row"], step)
                continue
            term = [(s, self._matrix(kernel)) for s, kernel in term]
            inside = [
                self._by_rows(ops.swapaxes(k, -1, -2), s) for s, k in term if s.axis == self.fast
            ]
            slower = [(s, k) for s, k in term if s.axis != self.fast]
            between = self._between(slower, self.block_columns[len(result["blocks"])])
            if step.part == "lower":
                between, result["diagonal"] = split_diagonal(between)
            result["blocks"].append((inside[0] if inside else None, between))
        return result

    def _matrix(self, kernel):
        return toeplitz(kernel) if "shift" in self.layer.wiring.split("+") else kernel

    def _by_rows(self, kernel, step):
        """Reshapes a kernel along the fastest axis to `[1 or R, G, ...]`."""
        sizes = kernel.shape[len(step.over) :]
        rows = self.num_rows if any(axis < self.fast for axis in step.over) else 1
        return ops.reshape(kernel, (rows, -1, *sizes))

    def _between(self, steps, columns):
        """Computes the matrices between rows, `[J, G, R, R]` (out, in), from one-hot inputs."""
        rows, slower = self.num_rows, self.grid[:-1]
        ends = (columns, self.groups) if self.fast else (self.groups,)
        one_hot = ops.eye(rows, dtype=self.layer.compute_dtype)
        one_hot = ops.reshape(one_hot, (rows, *slower, *[1] * len(ends)))
        one_hot = ops.tile(one_hot, (1, *[1] * len(slower), *ends))
        for step, kernel in steps:
            one_hot = axis_product(one_hot, kernel, step.axis, step.over)
        one_hot = ops.reshape(one_hot, (rows, rows, columns, self.groups))
        return ops.transpose(one_hot, (2, 3, 1, 0))
