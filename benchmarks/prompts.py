"""Many prompts in one call: seconds and memory against their number.

Answers 256, 1,024 and 4,096 prompts, pieces of a text, with one `mdnn.generate` call each, every
number in a process of its own, and prints the memory that the call takes beside the network and
its compiled decoder, in all and per prompt:

    python benchmarks/prompts.py --json prompts.json
"""

import argparse
import json
import sys
import time

from benchmark_runs import (
    CONFIGS,
    benchmark_parser,
    in_own_process,
    print_heading,
    timed,
    write_figures,
)
from long_report import memory

NUMBERS = (256, 1024, 4096)


def main():
    """Prints the table; returns the exit status."""
    parser = benchmark_parser(__doc__, "text", "json")
    parser.add_argument("--config", default="text-grid", help="a config of texts (text-grid)")
    parser.add_argument("--numbers", type=int, nargs="+", default=list(NUMBERS))
    parser.add_argument("--length", type=int, default=32, help="characters of an answer (32)")
    parser.add_argument("--batch", type=int, default=32, help="contexts in memory (32)")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(answered(options.worker, options)))
        return 0
    rows = []
    for number in options.numbers:
        print(f"{number:,} prompts", file=sys.stderr)
        rows.append(in_own_process(__file__, "--worker", number, *sys.argv[1:]))
    print_heading("prompts | seconds | characters/s | memory, MB | bytes per prompt")
    for row in rows:
        print(
            f"| {row['prompts']:,} | {row['seconds']:.1f} | {row['per_second']:,.0f} | "
            f"{row['bytes'] / 1e6:.1f} | {row['bytes'] / row['prompts']:,.0f} |"
        )
    write_figures(options.json, rows)
    return 0


def answered(number, options):
    """Answers so many prompts in one call; returns a dict of figures."""
    from mdnn.runtime import quiet_import

    quiet_import()
    import mdnn

    config = mdnn.load_config(CONFIGS / f"{options.config}.toml")
    splits, network = mdnn.open_text(options.text), mdnn.build(config)
    text = splits.tokenizer.text(splits.train)
    size = config.context.positions // 4
    prompts = [text[k * size % (len(text) - size) :][:size] for k in range(number)]
    more = {"length": options.length, "batch_size": options.batch}
    # Compiles everything that a batch needs.
    mdnn.generate(network, prompts[: options.batch], **more)
    before, started = memory("VmHWM"), time.perf_counter()
    answers = mdnn.generate(network, prompts, **more)
    seconds = time.perf_counter() - started
    if [len(answer) for answer in answers] != [options.length] * number:
        raise RuntimeError("an answer is missing")
    return {
        "prompts": number,
        "seconds": seconds,
        "per_second": number * options.length / seconds,
        "bytes": memory("VmHWM") - before,
        "whole_bytes": memory("VmHWM"),
    }


if __name__ == "__main__":
    sys.exit(main() if "--worker" in sys.argv else timed(main))
