"""What ten networks in tandem take on disk and in memory, for `benchmarks/tandem.py --size`.

Each measurement is a process of its own, whose memory after all imports is taken off:

    python benchmarks/tandem_size.py train paper runs/size --source shakespeare.txt --steps 4
    python benchmarks/tandem_size.py generate runs/size

`train` prints the peak of a training, `generate` that of writing a text with all members; each a
line of JSON in bytes.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

from long_report import memory

import mdnn
from mdnn.config.shipped import shipped_configs
from mdnn.runtime import quiet_import

MEMBERS = 10
LENGTH = 200
TANDEM = [f"tandem.members={MEMBERS}", "tandem.exchange=1", "tandem.exchange_from=0"]


def main():
    """Prints the figures of one measurement; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="trains ten members of a shipped config")
    train.add_argument("config")
    train.add_argument("run")
    train.add_argument("--source", required=True)
    train.add_argument("--steps", type=int, default=4)
    train.add_argument("--set", action="append", default=[])
    generate = commands.add_parser("generate", help="writes a text with all members of a run")
    generate.add_argument("run")
    options = parser.parse_args()
    quiet_import(lambda: mdnn.configure_threads())
    before = warm_memory()
    try:
        if options.command == "train":
            result = mdnn.train(config_of(options), options.run)
            assert not result["stopped"]
        else:
            mdnn.generate(options.run, "The ", length=LENGTH)
    except mdnn.MdnnError as error:
        print(f"benchmarks/tandem_size.py: error: {error}", file=sys.stderr)
        return 2
    print(json.dumps({"peak": memory("VmHWM") - before}))
    return 0


def warm_memory():
    """Returns the bytes of a process that has imported everything and computed something."""
    # The names are imported when they are first used.
    import keras

    assert mdnn.train
    assert mdnn.generate
    keras.ops.convert_to_numpy(keras.ops.matmul(keras.ops.ones((64, 64)), keras.ops.ones((64, 64))))
    return memory("VmRSS")


def config_of(options):
    """Returns the config of the ten members that are trained."""
    steps = [f"train.steps={options.steps}", "train.sample=0", "train.final_evaluation=2000"]
    changes = [*TANDEM, *steps, f"data.source={json.dumps(options.source)}", *options.set]
    return mdnn.load_config(shipped_configs()[options.config], changes)


def largest():
    """Returns the name of the shipped text config with the most weights that ten may have."""
    sizes = {}
    for name, path in shipped_configs().items():
        if mdnn.load_config(path).context.layout != "stream":
            continue
        try:
            mdnn.load_config(path, TANDEM)
        except mdnn.MdnnError:
            # Refeeding, folds, stages: no networks in tandem.
            continue
        config = mdnn.load_config(path)
        if not config.tokens.subwords and not config.tokens.words:
            sizes[name] = mdnn.build(config).count_params()
    return max(sizes, key=sizes.get)


def print_sizes(source, runs, changes=(), steps=4):
    """Trains the largest config with ten members and prints what it takes, as a table."""
    name = largest()
    run = Path(runs) / f"size-{name}"
    small = run.with_name(f"{run.name}-int8")
    if not (run / "result.json").is_file():
        words = [word for change in changes for word in ("--set", change)]
        peak = measured("train", name, run, "--source", source, "--steps", steps, *words)
        (run / "result.json").write_text(json.dumps(peak), encoding="utf-8")
    peak = json.loads((run / "result.json").read_text(encoding="utf-8"))
    if not small.is_dir():
        mdnn.quantize(run, "int8", small)
    weights = mdnn.load(run).count_params()
    print(f"\nTen members of {name}.toml, {weights:,} weights; MB = 10^6 bytes\n")
    print("| weights | on disk | training state on disk | memory of training | of writing |")
    print("|---|---|---|---|---|")
    row = disk_bytes(run), checkpoint_bytes(run), peak, measured("generate", run)
    print(f"| float32 | {' | '.join(f'{n / 1e6:.0f} MB' for n in row)} |")
    row = disk_bytes(small), measured("generate", small)
    print(f"| int8 | {row[0] / 1e6:.0f} MB | | | {row[1] / 1e6:.0f} MB |")


def measured(*words):
    """Returns the peak memory in bytes of a measurement in a process of its own."""
    command = [sys.executable, __file__, *map(str, words)]
    done = subprocess.run(command, stdout=subprocess.PIPE, encoding="utf-8", check=False)
    if done.returncode:
        raise mdnn.MdnnError(f"{' '.join(command[1:])}: exit status {done.returncode}")
    return json.loads(done.stdout.splitlines()[-1])["peak"]


def checkpoint_bytes(run):
    """Returns the bytes of the checkpoints of a run folder."""
    return sum(file.stat().st_size for file in (run / "checkpoints").rglob("*") if file.is_file())


def disk_bytes(run):
    """Returns the bytes of a run folder without its checkpoints."""
    whole = sum(file.stat().st_size for file in run.rglob("*") if file.is_file())
    return whole - (checkpoint_bytes(run) if (run / "checkpoints").is_dir() else 0)


if __name__ == "__main__":
    sys.exit(main())
