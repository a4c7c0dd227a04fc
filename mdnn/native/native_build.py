"""Builds the native libraries on the user's machine with the C compiler at hand."""

import functools
import hashlib
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from mdnn.errors import MdnnError

SOURCE = Path(__file__).parent / "source"
MAIN = {"decoder": "decoder.c", "axes": "axis_products.c"}
"""By library, the file that is compiled; it includes the others.

The library `decoder` continues texts (`mdnn.kernels`), `axes` multiplies along axes
(`mdnn.native.axis_library`).
"""

SHARED = ("instruction_sets.h", "threads.h")
"""Files that both libraries include."""

FLAGS = ("-O2", "-fPIC", "-shared", "-fvisibility=hidden", "-Wno-psabi", "-pthread")
SECONDS = 300
"""Longest time that the compiler may take."""


def sources_of(library):
    """Returns the sorted paths of the sources of a library, included ones among them."""
    paths = sorted(SOURCE.glob("*.[ch]"))
    if library == "axes":
        return [p for p in paths if p.name.startswith("axis_") or p.name in SHARED]
    return [p for p in paths if not p.name.startswith("axis_")]


@functools.cache
def sources_number(library="decoder"):
    """Returns a number that identifies the sources of a library, an int of 63 bits.

    A library holds the number that it was built with: another one is not loaded. The sources are
    read once: a library is requested again for each matrix that is packed.
    """
    digest = hashlib.blake2b(digest_size=8)
    for path in sources_of(library):
        digest.update(path.name.encode() + path.read_bytes().replace(b"\r\n", b"\n"))
    return int.from_bytes(digest.digest(), "little") >> 1


def cache_folder():
    """Returns the user's folder for built libraries; it need not exist."""
    if os.environ.get("MDNN_CACHE"):
        return Path(os.environ["MDNN_CACHE"])
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "mdnn"
    if os.environ.get("XDG_CACHE_HOME"):
        return Path(os.environ["XDG_CACHE_HOME"]) / "mdnn"
    return Path.home() / ".cache" / "mdnn"


def library_path(library="decoder"):
    """Returns the path of a library in the user's cache, built or not."""
    machine = platform.machine() or "any"
    return cache_folder() / f"{library}-{machine}-{sources_number(library):016x}.so"


def packaged_libraries():
    """Returns the paths of decoders beside this package, built when it was installed."""
    return sorted(Path(__file__).parent.glob("_decoder*.so"))


def packaged_axis_libraries():
    """Returns the paths of the libraries `axes` beside this package."""
    return sorted(Path(__file__).parent.glob("_axes*.so"))


def compiler():
    """Returns the command of the C compiler as a list of words, or `None` without one.

    `CC` in the environment names another one than `cc`, `gcc` or `clang`.
    """
    words = shlex.split(os.environ.get("CC", ""))
    for command in [words] if words else [["cc"], ["gcc"], ["clang"]]:
        if shutil.which(command[0]):
            return command
    return None


def build_native(out=None, flags=(), library="decoder"):
    """Compiles a library.

    Args:
        out: the file to make; `None` for `library_path(library)`.
        flags: further flags of the compiler.
        library: a key of `MAIN`.

    Returns:
        `Path` of the library.

    Raises:
        MdnnError: there is no compiler, it fails, or the folder cannot be written.

    Example:

    >>> build_native()
    PosixPath('/home/me/.cache/mdnn/decoder-x86_64-0123456789abcdef.so')
    """
    out = library_path(library) if out is None else Path(out)
    command = compiler()
    if command is None:
        raise MdnnError(
            "build-native: found no C compiler (cc, gcc or clang; CC names another one); networks "
            "run through Keras as before"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise MdnnError(f"build-native: {out.parent} cannot be made: {error.strerror}") from None
    part = out.with_name(f"{out.name}.{os.getpid()}.part")
    words = [*command, *FLAGS, f"-DMDNN_SOURCES={sources_number(library)}ULL", *flags]
    words.append(str(SOURCE / MAIN[library]))
    try:
        done = subprocess.run(
            [*words, "-o", str(part), "-lm", "-ldl"],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
        if done.returncode:
            lines = [line for line in done.stderr.splitlines() if "error" in line]
            why = (lines or done.stderr.splitlines() or ["no message"])[0]
            raise MdnnError(f"build-native: {command[0]} failed: {why}")
        # Another process may load the old file: replace it, never change it.
        os.replace(part, out)
    except OSError as error:
        raise MdnnError(f"build-native: {error.strerror}: {error.filename}") from None
    except subprocess.TimeoutExpired:
        raise MdnnError(f"build-native: {command[0]} took longer than {SECONDS} s") from None
    finally:
        part.unlink(missing_ok=True)
    return out
