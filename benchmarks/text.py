"""How much each network learns in the same time: the README's table.

Trains configs one after another on the same text, machine and seconds, and prints validation
nats per character (whole validation part, consecutive windows), parameters, speed, and the
ratio of each network's speed to the first one's. Run it on a machine that does nothing else:

    python benchmarks/text.py
    python benchmarks/text.py --source shakespeare.txt --minutes 2.5 configs/text.toml
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path

from mdnn.quiet import quiet_import

CONFIGS = ("text", "text-grid", "transformer", "mixer", "paper")


def main():
    """Prints the table; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    folder = Path(__file__).parents[1] / "configs"
    parser.add_argument(
        "configs", nargs="*", help="config files", default=[folder / f"{c}.toml" for c in CONFIGS]
    )
    parser.add_argument("--source", default="python-docs", help="the text (default python-docs)")
    parser.add_argument("--minutes", type=float, default=3.0, help="for each run (default 3)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1], help="a run for each")
    parser.add_argument("--json", help="a file for all figures")
    options = parser.parse_args()
    quiet_import()
    from mdnn import MdnnError, load_config, train

    rows = []
    try:
        for path in options.configs:
            for seed in options.seeds:
                changes = [
                    f"seed={seed}",
                    f"train.minutes={options.minutes}",
                    f"data.source={json.dumps(options.source)}",
                    "train.sample=0",
                ]
                config = load_config(path, changes)
                print(f"{Path(path).name}, seed {seed}", file=sys.stderr)
                with tempfile.TemporaryDirectory() as scratch:
                    result = train(config, Path(scratch) / "run")
                result.pop("run")
                rows.append({"config": Path(path).name, "seed": seed, **result})
    except MdnnError as error:
        print(f"benchmarks/text.py: error: {error}", file=sys.stderr)
        return 2
    print(f"\n{options.source}, {options.minutes:g} minutes each\n")
    print(
        "| config | seed | nats | bits per character | parameters | characters/s | speed |\n"
        "|---|---|---|---|---|---|---|"
    )
    for row in rows:
        speed = row["characters_per_second"] / rows[0]["characters_per_second"]
        print(
            f"| {row['config']} | {row['seed']} | {row['nats']:.3f} | "
            f"{row['bits_per_character']:.3f} | {row['parameters']:,} | "
            f"{row['characters_per_second']:,} | {speed:.2f} |"
        )
    if options.json:
        Path(options.json).write_text(json.dumps(rows, indent=1), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
