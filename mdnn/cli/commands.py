"""Implements the commands. Each command makes its heavy imports when it runs."""

import json
import signal
import sys
import time

from mdnn.cli.shared_options import chosen
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.files import check_new_folder
from mdnn.runtime import quiet_import
from mdnn.training.signals import exit_status

STARTED = time.perf_counter()
"""When the command line was imported, nearly when the process began."""


def run_train(options):
    """Trains a network; returns the exit status."""
    from mdnn.cli.process_options import run_in_processes

    return run_in_processes(options, _train)


def _train(options):
    from mdnn.config.load import check_keys

    check_keys(options.config, options.set)
    source = None
    if options.resume:
        source = _check_resumed(options.set)
    else:
        if not options.process_id:
            check_new_folder(as_path(options.out, "--out"), resumable=True)
    config = quiet_config(options.config, options.set, configure_training_threads)
    from mdnn.training.run_training import train

    result = train(
        config,
        options.out,
        resume=options.resume,
        init_from=options.init_from,
        init_optimizer=options.init_optimizer,
        source=source,
        num_processes=options.num_processes,
        process_id=options.process_id,
        coordinator=options.coordinator,
    )
    return finish_training(config, result, options.json)


def finish_training(config, result, as_json):
    """Prints the result of a training; returns the exit status.

    Args:
        config: `mdnn.Config`.
        result: dict as returned by `mdnn.train`.
        as_json: bool, whether to print JSON.
    """
    result["wall_seconds"] = round(time.perf_counter() - STARTED, 1)
    _print_training(config, result, as_json)
    if result["stopped"]:
        return exit_status(getattr(signal, result["signal"]))
    return 0


def _print_training(config, result, as_json):
    if as_json:
        print(json.dumps(result))
        return
    from mdnn.tasks import task_for

    if config.train.stage:
        # The context of the stage that was reached.
        from mdnn.runs.run_folder import open_run

        config = open_run(result["run"]).config
    print("\n".join(task_for(config).format_metrics(result)))
    if densities := result.get("densities"):
        each = ", ".join(f"{density}: {loss:.4f}" for density, loss in densities.items())
        print(f"nats at each density, on a sample: {each}")
    print(
        f"{result['parameters']:,} parameters, "
        f"{result['steps']:,} steps in {result['seconds']:.0f} s "
        f"({result['wall_seconds']:.0f} s since the command began); saved in {result['run']}"
    )


def quiet_config(path, changes, prepare=None):
    """Loads a config, for whose mixers Keras is imported, without the backend's messages.

    Args:
        path, changes: see `mdnn.config.load.load_config`.
        prepare: function of the config, called before TensorFlow computes anything.
    """
    from mdnn.config.load import load_config

    loaded = []

    def load():
        try:
            loaded.append(load_config(path, changes))
        except MdnnError as error:
            # Raised after the import, whose messages would be shown otherwise.
            loaded.append(error)
            return
        if prepare is not None:
            prepare(loaded[0])

    quiet_import(load)
    # Without TensorFlow there is nothing to prepare.
    config = loaded[0] if loaded else load_config(path, changes)
    if isinstance(config, MdnnError):
        raise config
    return config


def configure_training_threads(config):
    """Prepares TensorFlow for steps that compute groups of examples side by side."""
    from mdnn.tasks.registry import task_class
    from mdnn.training.microbatches import configure_threads

    # Carried states belong to the whole batch.
    carries = config.refeed.supervision_steps > 1
    if task_class(config).divisible and not config.train.xla and not carries:
        configure_threads(config.train.batch_size)


def _check_resumed(changes):
    """Refuses changes of config keys that are fixed when a run is resumed.

    Returns:
        The new `data.source`, or `None`.
    """
    source = None
    for change in changes:
        key, _, value = change.partition("=")
        if key.strip() == "data.source":
            source = value
        elif key.strip() not in ("train.minutes", "train.steps") and not key.startswith("mesh."):
            raise MdnnError(
                "--resume keeps the config of the run: only train.minutes, train.steps, mesh "
                f"and data.source can be set, received {change!r}"
            )
    return source


def run_configs(options):
    """Lists the shipped configs with their heads, or prints one of them."""
    from mdnn.config.shipped import config_head, find_config, shipped_configs

    if options.name is not None:
        sys.stdout.write(find_config(options.name).read_text(encoding="utf-8"))
        return
    heads = {name: config_head(path) for name, path in shipped_configs().items()}
    if options.json:
        print(json.dumps(heads))
        return
    for name, head in heads.items():
        print(f"{name}: {head.pop('about')}")
        for key, text in head.items():
            print(f"    {key + ':':<10}{text}")


def run_demo(options):
    """Runs a demonstration; returns the exit status."""
    if options.name == "digits":
        from mdnn.cli.demos.demo_digits import main
    elif options.name == "thinking":
        from mdnn.cli.demos.demo_thinking import main
    elif options.name == "llama":
        from mdnn.cli.demos.demo_llama import main
    else:
        from mdnn.cli.demos.demo_text import main
    return main()


def run_evaluate(options):
    """Evaluates a network and prints its metrics."""
    quiet_import()
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks import task_for
    from mdnn.tasks.conversations.for_chat import for_chat
    from mdnn.tasks.evaluate import evaluate
    from mdnn.tasks.positions.position_curve import check_curve_file, write_curve
    from mdnn.training.progress import Ticker

    steps = None if options.steps is None else _numbers("--steps", options.steps)
    if options.plot is not None:
        check_curve_file(options.plot)
        if steps is not None:
            raise MdnnError("--plot: expected no --steps with it, received both")
    run = chosen(open_run(options.run), options)
    if options.chat:
        run = for_chat(run)
    task = task_for(run.config, run.words)
    data = None if options.data is None else task.open_source(options.data)
    # Options that were not given are not passed on: they belong to some tasks only.
    given = {"num_starts": options.num_starts, "adaptive": options.adaptive or None}
    given["by_position"] = options.by_position or options.plot is not None or None
    given |= {"density": options.density, "identity": options.identity}
    given = {name: value for name, value in given.items() if value is not None}
    result = evaluate(run, data, steps, Ticker("evaluating"), **given)
    if options.plot is not None:
        if "by_position" not in result:
            raise MdnnError("--plot: expected a network trained for autoregressive decoding")
        write_curve(options.plot, {run.path.name: result["by_position"]})
    if options.json:
        print(json.dumps(result))
    elif "curve" in result:
        print("\n".join(task.format_curve(result["curve"])))
    else:
        print("\n".join(task.format_metrics(result)))


def _numbers(option, words):
    """Parses a list of whole numbers such as `1,2,4`."""
    try:
        return [int(word) for word in words.split(",")]
    except ValueError:
        raise MdnnError(f"{option}: expected numbers as 1,2,4; received {words!r}") from None


def run_export(options):
    """Makes a SavedModel."""
    quiet_import()
    from mdnn.runs.run_folder import open_run
    from mdnn.serving.export.saved_model import export

    run = chosen(open_run(options.run), options)
    used = {"density": options.density, "identity": options.identity}
    print(export(run, options.directory, xla=not options.no_xla, **used))


def run_quantize(options):
    """Makes a run with quantized weights."""
    quiet_import()
    from mdnn.cli.quantize_command import write_small

    write_small(options)
