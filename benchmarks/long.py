"""What a long context costs: seconds and memory against the number of positions.

Takes a training step (loss and gradients, one context) and a forward pass of configs/long.toml on
grids of more and more axes, and, in a process of its own, reads a prompt that fills the context but
for the characters that it writes after it; beside it the transformer of configs/transformer.toml
at the same width and depth, and torch's fused attention where torch is installed, as far as they
go; longer ones are extrapolated from the last two and marked. Prints tables and the exponent of
the time, and draws time and memory, what is extrapolated dashed:

    python benchmarks/long.py --text pepys.txt --json long.json --plot long.png

A run that was stopped goes on with what its JSON file has.
"""

import argparse
import json
import resource
import sys
import time

from benchmark_runs import CONFIGS, KeptRows, ProcessError, benchmark_parser, in_own_process, timed
from long_report import draw, memory, show

GRIDS = {1024: "[32,32]", 10240: "[10,32,32]", 98304: "[3,32,32,32]", 1048576: "[32,32,32,32]"}
ATTENTION = (1024, 4096, 10240)
FUSED = (1024, 10240, 32768)
WIDTH, DEPTH = 64, 4


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "text")
    parser.add_argument("--lengths", type=int, nargs="+", default=list(GRIDS), choices=list(GRIDS))
    parser.add_argument("--write", type=int, default=64, help="characters written (64)")
    parser.add_argument(
        "--only", choices=("forward", "step", "read"), help="measure this alone (all)"
    )
    parser.add_argument("--width", type=int, default=WIDTH, help="of the networks (64)")
    parser.add_argument(
        "--kinds", nargs="+", default=list(WORKERS), choices=list(WORKERS), help="networks (all)"
    )
    parser.add_argument(
        "--longest", type=int, help="length to extrapolate to (the longest of --lengths)"
    )
    parser.add_argument(
        "--memory-limit",
        type=float,
        default=0,
        help="gigabytes of a process, above which a case is left out (none)",
    )
    parser.add_argument("--json", help="a file for all figures, read when a run goes on")
    parser.add_argument("--plot", help="a PNG of time and memory against length")
    parser.add_argument("--worker", nargs=2, metavar=("KIND", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        kind, length = options.worker[0], int(options.worker[1])
        print(json.dumps(WORKERS[kind](length, options)))
        return 0
    rows = KeptRows(options.json)
    lengths = {"grid": options.lengths, "attention": ATTENTION, "fused": FUSED}
    cases = [(kind, n) for kind in options.kinds for n in lengths[kind]]
    # Short ones first: what a run that is stopped leaves is a table already.
    cases.sort(key=lambda case: case[1])
    for number, (kind, length) in enumerate(cases, 1):
        if rows.has({"kind": kind, "length": length}):
            continue
        print(f"{number} of {len(cases)}: {kind}, {length:,} positions", file=sys.stderr)
        row = measured(kind, length, options, options.only)
        if row is not None:
            if kind == "grid" and options.write and options.only is None:
                row |= measured(kind, length, options, "read") or {}
            rows.add({"kind": kind, "length": length, **row})
    rows.sort(key=lambda row: (row["kind"], row["length"]))
    longest = options.longest or max(options.lengths)
    show(rows, longest, WORKERS)
    if options.plot:
        draw(rows, options.plot, longest, WORKERS)
    return 0


def measured(kind, length, options, only):
    """Runs a case in a process of its own; returns its figures, `None` if it cannot run."""
    words = ["--worker", kind, length, "--text", options.text, "--write", options.write]
    words += ["--width", options.width, *(["--only", only] if only else [])]
    try:
        return in_own_process(__file__, *words, prepare=lambda: limit_memory(options.memory_limit))
    except ProcessError as error:
        print(f"{kind}, {length:,}: left out: {error}", file=sys.stderr)
        return None


def limit_memory(gigabytes):
    """Limits the address space of this process; 0 does not."""
    if gigabytes:
        size = int(gigabytes * 1e9)
        resource.setrlimit(resource.RLIMIT_AS, (size, size))


def network_worker(length, options, config, settings):
    """Measures one network of mdnn; returns a dict of figures."""
    from mdnn.runtime import quiet_import

    quiet_import()
    import tensorflow as tf

    import mdnn
    from mdnn.models.loss import loss_for
    from mdnn.models.loss_model import LossModel

    config = mdnn.load_config(CONFIGS / config, settings)
    splits = mdnn.open_text(options.text)
    batches = mdnn.TextBatches(splits.train, splits.tokenizer, length, batch_size=1, seed=1)
    network = mdnn.build(config)
    loss_model = LossModel(network, loss_for(config))
    weights = [variable.value for variable in network.trainable_variables]
    batch = {name: tf.constant(values) for name, values in batches.at(0).items()}

    @tf.function(autograph=False)
    def forward():
        return loss_model(batch, training=False)

    @tf.function(autograph=False)
    def step():
        with tf.GradientTape() as tape:
            loss = loss_model(batch, training=True)
        return loss, tf.linalg.global_norm(tape.gradient(loss, weights))

    before = memory("VmRSS")
    row = {"parameters": int(network.count_params())}
    for name, function in (("forward", forward), ("step", step)):
        if options.only not in (None, name):
            continue
        started = time.perf_counter()
        function = function.get_concrete_function()
        row[f"{name}_tracing_seconds"] = time.perf_counter() - started
        row[f"{name}_seconds"] = seconds_of(lambda run=function: float(tf.nest.flatten(run())[0]))
        row[f"{name}_bytes"] = memory("VmHWM") - before
    if options.only == "read":
        row |= read_and_written(network, splits, length, options.write)
    return row


def read_and_written(network, splits, length, count):
    """Reads a prompt that fills a context but for `count` characters, and writes these."""
    import mdnn
    from mdnn.generation import engines

    before = memory("VmRSS")
    prompt = splits.tokenizer.text(splits.train[: length - count - 1])
    row, took = {"read_positions": len(prompt)}, {}
    # XLA compiles for the first text, not once a thousand characters are written.
    engines.SHORT = 0
    mdnn.generate(network, prompt, length=1)
    for characters in (1, 1 + count):
        started = time.perf_counter()
        mdnn.generate(network, prompt, length=characters)
        took[characters] = time.perf_counter() - started
    row["read_seconds"] = took[1]
    row["written_per_second"] = count / max(1e-9, took[1 + count] - took[1])
    row["read_bytes"] = memory("VmHWM") - before
    text = splits.tokenizer.text(splits.train[: length + 1])
    # The first call traces.
    for _ in range(2):
        started = time.perf_counter()
        mdnn.evaluate(network, text, sliding=False)
        row["evaluate_seconds"] = time.perf_counter() - started
    return row


def grid_worker(length, options):
    """A network of configs/long.toml."""
    settings = [f"context.grid={GRIDS[length]}", "train.precision=float32"]
    settings.append(f"backbone.width={options.width}")
    return network_worker(length, options, "long.toml", settings)


def attention_worker(length, options):
    """The transformer of configs/transformer.toml, as wide and deep."""
    settings = [f"context.grid=[{length}]", f"backbone.width={options.width}"]
    settings.append(f"backbone.depth={DEPTH}")
    return network_worker(length, options, "transformer.toml", settings)


def fused_worker(length, options):
    """Blocks of torch's fused causal attention and a SwiGLU, as wide and deep."""
    import torch
    from torch import nn
    from torch.nn.functional import scaled_dot_product_attention, silu

    torch.manual_seed(1)
    heads, width = 4, options.width

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(width), nn.RMSNorm(width)
            self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(2 * width, width)

        def forward(self, x):
            q, k, v = (
                part.view(1, length, heads, -1).transpose(1, 2)
                for part in self.qkv(self.first(x)).chunk(3, -1)
            )
            y = scaled_dot_product_attention(q, k, v, is_causal=True)
            x = x + self.out(y.transpose(1, 2).reshape(1, length, width))
            gate, up = self.up(self.second(x)).chunk(2, -1)
            return x + self.down(silu(gate) * up)

    network = nn.Sequential(*(Block() for _ in range(DEPTH)), nn.Linear(width, 256))
    x, answers = torch.randn(1, length, width), torch.randint(0, 256, (length,))

    def loss():
        return nn.functional.cross_entropy(network(x)[0], answers)

    def forward():
        with torch.no_grad():
            loss().item()

    def step():
        network.zero_grad()
        loss().backward()

    before = memory("VmRSS")
    row = {"parameters": sum(weight.numel() for weight in network.parameters())}
    for name, function in (("forward", forward), ("step", step)):
        if options.only in (None, name):
            row[f"{name}_seconds"] = seconds_of(function)
            row[f"{name}_bytes"] = memory("VmHWM") - before
    return row


WORKERS = {"grid": grid_worker, "attention": attention_worker, "fused": fused_worker}


def seconds_of(function, least=3.0, long=60.0):
    """Median seconds of a call after the first, repeated for `least` seconds.

    A first call of more than `long` seconds is the measurement.
    """
    started = time.perf_counter()
    function()
    first = time.perf_counter() - started
    if first > long:
        return first
    times = []
    while not times or (sum(times) < least and len(times) < 50):
        started = time.perf_counter()
        function()
        times.append(time.perf_counter() - started)
    return sorted(times)[len(times) // 2]


if __name__ == "__main__":
    sys.exit(main() if "--worker" in sys.argv else timed(main))
