"""A Llama block in PyTorch on the same text for the same seconds: what a peer learns here.

RMSNorm, rotary positions, SwiGLU and PyTorch's fused attention, without biases; AdamW, its rate
falling to zero with the time that has passed: the architecture of configs/transformer.toml in
PyTorch's own words, so that the comparison can be repeated without mdnn. Prints validation
nats per character on all of the last tenth of the text, in consecutive windows, as
benchmarks/language.py does. Needs torch, nothing else. Run it on a machine that does nothing else:

    python benchmarks/torch_llama.py shakespeare.txt --minutes 2.5 --seeds 1 2 3
    python benchmarks/torch_llama.py shakespeare.txt --minutes 0.5 --rates 3e-3 6e-3 1.2e-2
"""

import math
import os
import sys
import time
from pathlib import Path

from benchmark_runs import benchmark_parser, print_heading, timed


def main():
    """Prints a row for each rate and seed; returns the exit status."""
    parser = benchmark_parser(__doc__, "seeds", minutes=2.5)
    parser.add_argument("source", help="a text file, UTF-8; the last tenth validates")
    parser.add_argument("--rates", type=float, nargs="+", default=[6e-3], help="a run for each")
    parser.add_argument("--context", type=int, default=64, help="characters (64)")
    parser.add_argument("--width", type=int, default=128)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument("--heads", type=int, default=4)
    parser.add_argument("--hidden", type=int, default=256, help="of SwiGLU (256)")
    parser.add_argument("--batch", type=int, default=24)
    parser.add_argument("--dropout", type=float, default=0.05)
    parser.add_argument("--bfloat16", action="store_true", help="products in bfloat16")
    options = parser.parse_args()
    try:
        import torch
    except ImportError:
        print("benchmarks/torch_llama.py: error: install torch first", file=sys.stderr)
        return 2
    try:
        text = Path(options.source).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"benchmarks/torch_llama.py: error: {options.source}: {error}", file=sys.stderr)
        return 2
    torch.set_num_threads(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 2)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads\n")
    print_heading("rate | seed | nats | bits per character | parameters | characters/s | steps")
    for rate in options.rates:
        for seed in options.seeds:
            learn(torch, text, rate, seed, options)
    return 0


def learn(torch, text, rate, seed, options):
    """Trains one network and prints its row."""
    torch.manual_seed(seed)
    letters = sorted(set(text))
    number = {letter: k for k, letter in enumerate(letters)}
    data = torch.tensor([number[letter] for letter in text])
    cut = int(0.9 * len(data))
    training, validation = data[:cut], data[cut:]
    model = network(torch, len(letters), options)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    others = [p for p in model.parameters() if p.dim() <= 1]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": others, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99))
    seconds, steps, offsets = 60 * options.minutes, 0, torch.arange(options.context + 1)
    begun = time.perf_counter()
    while (passed := time.perf_counter() - begun) < seconds:
        now = rate * min(1.0, (steps + 1) / 100) * (1 - passed / seconds)
        for group in optimizer.param_groups:
            group["lr"] = now
        starts = torch.randint(len(training) - options.context, (options.batch, 1))
        window = training[starts + offsets]
        with torch.autocast("cpu", torch.bfloat16, enabled=options.bfloat16):
            loss = model(window[:, :-1], window[:, 1:])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        steps += 1
    spent = time.perf_counter() - begun
    nats = evaluate(torch, model, validation, options)
    count = sum(p.numel() for p in model.parameters())
    speed = steps * options.batch * options.context / spent
    print(
        f"| {rate:g} | {seed} | {nats:.3f} | {nats / math.log(2):.3f} | {count:,} | {speed:,.0f} | "
        f"{steps:,} |",
        flush=True,
    )


def evaluate(torch, model, data, options):
    """Returns the nats per character of a text in consecutive windows, strictly causal."""
    n = options.context
    windows = (len(data) - 1) // n
    inputs = data[: windows * n].view(windows, n)
    targets = data[1 : windows * n + 1].view(windows, n)
    model.eval()
    total = 0.0
    with torch.no_grad():
        for k in range(0, windows, 64):
            some = inputs[k : k + 64]
            total += model(some, targets[k : k + 64]).item() * some.numel()
    model.train()
    return total / (windows * n)


def network(torch, letters, options):
    """Returns a module from characters and next characters to the mean loss."""
    nn, functional = torch.nn, torch.nn.functional
    width, heads = options.width, options.heads
    per_head = width // heads
    angles = torch.outer(
        torch.arange(options.context).float(),
        10_000.0 ** (-torch.arange(0, per_head, 2).float() / per_head),
    )
    cosines, sines = angles.cos(), angles.sin()

    def rotated(x):
        one, two = x.chunk(2, -1)
        n = x.shape[-2]
        return torch.cat(
            [one * cosines[:n] - two * sines[:n], one * sines[:n] + two * cosines[:n]], -1
        )

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.RMSNorm(width), nn.RMSNorm(width)
            self.qkv = nn.Linear(width, 3 * width, bias=False)
            self.out = nn.Linear(width, width, bias=False)
            self.up = nn.Linear(width, 2 * options.hidden, bias=False)
            self.down = nn.Linear(options.hidden, width, bias=False)
            self.dropout = nn.Dropout(options.dropout)

        def forward(self, x):
            batch, n, _ = x.shape
            qkv = self.qkv(self.first(x)).view(batch, n, 3, heads, per_head)
            q, k, v = qkv.permute(2, 0, 3, 1, 4)
            mixed = functional.scaled_dot_product_attention(
                rotated(q), rotated(k), v, is_causal=True
            )
            x = x + self.dropout(self.out(mixed.transpose(1, 2).reshape(batch, n, width)))
            gate, value = self.up(self.second(x)).chunk(2, -1)
            return x + self.dropout(self.down(functional.silu(gate) * value))

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(letters, width)
            self.blocks = nn.ModuleList(Block() for _ in range(options.depth))
            self.norm, self.head = nn.RMSNorm(width), nn.Linear(width, letters, bias=False)
            for module in self.modules():
                if isinstance(module, nn.Linear | nn.Embedding):
                    nn.init.normal_(module.weight, std=0.02)
            for block in self.blocks:
                for last in (block.out, block.down):
                    nn.init.normal_(last.weight, std=0.02 / math.sqrt(2 * options.depth))

        def forward(self, inputs, targets):
            x = self.embedding(inputs)
            for block in self.blocks:
                x = block(x)
            scores = self.head(self.norm(x)).float()
            return functional.cross_entropy(scores.flatten(0, 1), targets.flatten())

    return Network()


if __name__ == "__main__":
    sys.exit(timed(main))
