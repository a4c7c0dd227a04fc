"""`mdnn build-native`: compiles the library that continues texts faster than Keras."""

import json

from mdnn.cli.shared_options import add_json
from mdnn.errors import MdnnError


def add_build_native(commands):
    """Adds the command to the parser of all commands."""
    build = commands.add_parser(
        "build-native",
        help="compile the library that continues texts faster than Keras",
        description="Compiles the native library with the C compiler at hand (cc, gcc or clang; CC "
        "names another one) into the user's cache. Text networks are then continued by it where it "
        "runs them; mdnn inspect RUN says whether it does.",
    )
    add_json(build)
    build.set_defaults(run_command=run_build_native)


def run_build_native(options):
    """Compiles the library and says where it is."""
    from mdnn.kernels.native_build import build_native
    from mdnn.kernels.native_library import native_library

    path = build_native()
    library = native_library()
    if library is None:
        raise MdnnError(f"build-native: {path} was built, but cannot be loaded")
    facts = {"library": str(path), "instructions": library.mdnn_instruction_set().decode()}
    print(json.dumps(facts) if options.json else f"{path}\ninstructions: {facts['instructions']}")


def engine_facts(run):
    """Returns what continues the texts of a run by default.

    Args:
        run: `mdnn.runs.run_folder.Run`.

    Returns:
        dict with `engine` (`"native"` or `"keras"`), `instructions` (of the library, or `None`) and
        `why_not_native`; `None` for networks that do not continue texts.
    """
    from mdnn.generation.engines import why_not_native
    from mdnn.kernels.native_library import native_library
    from mdnn.tasks import task_for

    if not task_for(run.config, run.words).streams_text:
        return None
    if not run.config.train.objectives.autoregressive:
        return None
    why, library = why_not_native(run), native_library()
    return {
        "engine": "keras" if why else "native",
        "instructions": None if library is None else library.mdnn_instruction_set().decode(),
        "why_not_native": why,
    }


def format_engine(facts):
    """Returns the line of `mdnn inspect` about `engine_facts`."""
    if facts["engine"] == "native":
        return f"texts are continued by the native library ({facts['instructions']})"
    return f"texts are continued by Keras: {facts['why_not_native']}"
