"""`mdnn inspect`: prints what a network, an identity or a SavedModel is made of."""

import json

from mdnn.cli.commands import quiet_config
from mdnn.cli.native_command import format_engine, format_layers
from mdnn.cli.shared_options import chosen
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.keras_settings import KERAS_FILE
from mdnn.runtime import quiet_import


def run_inspect(options):
    """Prints facts about a network."""
    from mdnn.config.load import check_keys

    path = as_path(options.what, "inspect")
    folder, file = path.is_dir(), path.suffix in (".safetensors", KERAS_FILE)
    if (folder or file) and options.set:
        raise MdnnError("--set changes a config; everything else is inspected as it is")
    if options.text is not None and not folder:
        raise MdnnError("--text: expected a run folder, whose network cuts the text")
    if folder or file:
        quiet_import()
        what = path
    else:
        check_keys(options.what, options.set)
        what = quiet_config(options.what, options.set)
    from mdnn.runs.run_files import is_exported
    from mdnn.runs.run_folder import open_run
    from mdnn.tasks.facts.inspect import inspect

    if folder and not is_exported(path):
        what = chosen(open_run(path), options)
        if options.text is not None:
            from mdnn.cli.chunk_view import print_chunks

            print_chunks(what, options.text, options.json)
            return
    facts = inspect(what)
    if options.json:
        print(json.dumps(facts))
    elif "arrays" in facts:
        _print_identity(facts)
    elif "signatures" in facts:
        from mdnn.safety.saved_model_ops import saved_model_lines

        print("\n".join(saved_model_lines(facts)))
    else:
        _print_network(facts)


def _print_network(facts):
    row = "{:<24} {:<20} {:<16} {:>12} {:>16}".format
    print(row("layer", "kind", "shape", "parameters", "operations"))
    for layer in facts["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        counts = f"{layer['parameters']:,}", f"{layer['operations']:,}"
        print(row(layer["name"], layer["kind"], shape, *counts))
    grid = " x ".join(map(str, facts["grid"]))
    print(
        f"\n{facts['parameters']:,} parameters; a context of {facts['positions']:,} positions "
        f"({grid}), run {facts['steps']} time{'s' if facts['steps'] > 1 else ''}\n"
        f"{facts['operations_per_position']:,} multiply-adds and {facts['bytes_per_position']:,} "
        "bytes per position\n"
        f"receptive field: the last position's answer depends on {facts['receptive_field']:,} of "
        f"{facts['positions']:,} positions"
    )
    if facts.get("origin"):
        from mdnn.runs.origin import format_origin

        print(format_origin(facts["origin"]))
    if facts.get("texts"):
        print(format_engine(facts["texts"]))
    if facts.get("native_layers"):
        print(format_layers(facts["native_layers"]))


def _print_identity(facts):
    slots = f", {facts['slots']} learned slots" if facts["slots"] else ""
    for name, shape in facts["arrays"].items():
        print(f"{name:<40} {' x '.join(map(str, shape))}")
    print(
        f"\nan identity ({facts['kind']}{slots}) of {facts['numbers']:,} numbers for the network "
        f"{facts['network'][:8]}; learned from {facts.get('source')} in {facts.get('steps')} steps"
    )
    if "loss" in facts and "loss_before" in facts:
        print(f"{facts['loss_before']:.4f} nats without it, {facts['loss']:.4f} with it")
