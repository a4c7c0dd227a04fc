"""`mdnn inspect`: prints what a network, an identity or a SavedModel is made of."""

import json

from mdnn.cli.commands import quiet_config
from mdnn.cli.shared_options import chosen
from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.runtime import quiet_import


def run_inspect(options):
    """Prints what a network is made of."""
    from mdnn.config.load import check_keys
    from mdnn.safety.saved_model_ops import is_saved_model

    path = as_path(options.what, "inspect")
    if path.suffix == ".safetensors":
        _inspect_identity(path, options.json)
        return
    folder = path.is_dir()
    if folder and options.set:
        raise MdnnError("--set changes a config; a run folder is inspected as it is")
    if options.text is not None and not folder:
        raise MdnnError("--text: expected a run folder, whose network cuts the text")
    if folder:
        quiet_import()
    else:
        check_keys(options.what, options.set)
        config = quiet_config(options.what, options.set)
    if folder and not (path / "config.toml").exists() and is_saved_model(path):
        _inspect_saved_model(options)
        return
    from mdnn.cli.native_command import engine_facts, format_engine, format_layers, layer_facts
    from mdnn.runs.inspection import inspect
    from mdnn.runs.origin import format_origin, read_origin
    from mdnn.runs.run_folder import open_run

    if folder:
        run = chosen(open_run(path), options)
        if options.text is not None:
            from mdnn.cli.chunk_view import print_chunks

            print_chunks(run, options.text, options.json)
            return
        facts = inspect(run.config, run.words, run.model)
        facts |= {"origin": read_origin(path), "texts": engine_facts(run)}
        facts["native_layers"] = layer_facts(run)
    else:
        facts = inspect(config)
    if options.json:
        print(json.dumps(facts))
        return
    row = "{:<24} {:<20} {:<16} {:>12} {:>16}".format
    print(row("layer", "kind", "shape", "parameters", "operations"))
    for layer in facts["layers"]:
        shape = " x ".join(map(str, layer["shape"]))
        counts = f"{layer['parameters']:,}", f"{layer['operations']:,}"
        print(row(layer["name"], layer["kind"], shape, *counts))
    grid = " x ".join(map(str, facts["grid"]))
    print(
        f"\n{facts['parameters']:,} parameters; a context of {facts['positions']:,} positions "
        f"({grid}), "
        f"run {facts['steps']} time{'s' if facts['steps'] > 1 else ''}\n"
        f"{facts['operations_per_position']:,} multiply-adds and {facts['bytes_per_position']:,} "
        "bytes "
        f"per position\nreach: the last position's answer depends on {facts['receptive_field']:,} "
        "of "
        f"{facts['positions']:,} positions"
    )
    if facts.get("origin"):
        print(format_origin(facts["origin"]))
    if facts.get("texts"):
        print(format_engine(facts["texts"]))
    if facts.get("native_layers"):
        print(format_layers(facts["native_layers"]))


def _inspect_identity(path, as_json):
    quiet_import()
    from mdnn.identity.identity_file import identity_facts

    facts = identity_facts(path)
    slots = f", {facts['slots']} learned slots" if facts["slots"] else ""
    if as_json:
        print(json.dumps(facts))
        return
    for name, shape in facts.pop("arrays").items():
        print(f"{name:<40} {' x '.join(map(str, shape))}")
    print(
        f"\nan identity ({facts['kind']}{slots}) of {facts['numbers']:,} numbers for the network "
        f"{facts['network'][:8]}; learned from {facts.get('source')} in {facts.get('steps')} steps"
    )
    if "loss" in facts and "loss_before" in facts:
        print(f"{facts['loss_before']:.4f} nats without it, {facts['loss']:.4f} with it")


def _inspect_saved_model(options):
    from mdnn.safety.saved_model_ops import inspect_saved_model, saved_model_lines

    facts = inspect_saved_model(as_path(options.what, "inspect"))
    print(json.dumps(facts) if options.json else "\n".join(saved_model_lines(facts)))
