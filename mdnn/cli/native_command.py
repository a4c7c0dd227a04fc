"""`mdnn build-native`: compiles the native libraries, which are faster than Keras."""

import json

from mdnn.cli.shared_options import add_json
from mdnn.errors import MdnnError
from mdnn.runtime import quiet_import


def add_build_native(commands):
    """Adds the command to the parser of all commands."""
    build = commands.add_parser(
        "build-native",
        help="compile the libraries that continue texts and run layers faster than Keras",
        description="Compiles two native libraries with the C compiler at hand (cc, gcc or clang; "
        "CC names another one) into the user's cache. The first then continues texts, of the "
        "networks that it runs; the second computes multidimensional layers with separate "
        "kernels in training. mdnn inspect RUN says what is used.",
    )
    add_json(build)
    build.set_defaults(run_command=run_build_native)


def run_build_native(options):
    """Compiles the libraries and says where they are."""
    from mdnn.native.native_build import build_native

    path = build_native()
    axes = build_native(library="axes")
    quiet_import()
    from mdnn.kernels.native_library import native_library
    from mdnn.native.axis_library import axis_library_facts

    library, layers = native_library(), axis_library_facts()
    if library is None:
        raise MdnnError(f"build-native: {path} was built, but cannot be loaded")
    if layers["instructions"] is None:
        raise MdnnError(f"build-native: {axes} was built, but cannot be loaded")
    facts = {"library": str(path), "instructions": library.mdnn_instruction_set().decode()}
    if options.json:
        print(json.dumps(facts | {"layers": layers}))
        return
    print(f"{path}\n{axes}\ninstructions: {facts['instructions']}")
    if layers["why_not"]:
        print(f"layers do not use it: {layers['why_not']}")


def format_layers(facts):
    """Returns the line of `mdnn inspect` about `layer_facts`."""
    if facts["why_not"]:
        return f"layers with separate kernels are run by Keras: {facts['why_not']}"
    return (
        f"layers with separate kernels are trained by the native library ({facts['instructions']})"
    )


def format_engine(facts):
    """Returns the line of `mdnn inspect` about `engine_facts`."""
    if facts["engine"] == "native":
        return f"texts are continued by the native library ({facts['instructions']})"
    return f"texts are continued by Keras: {facts['why_not_native']}"
