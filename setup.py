"""Compiles the native libraries where a C compiler is; everything else stands in setup.cfg."""

import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).resolve().parent))

from mdnn.native.native_build import FLAGS, MAIN, SOURCE, sources_number, sources_of

ROOT = Path(__file__).resolve().parent


def extension(library):
    """Returns the extension of a library; an installation without a compiler succeeds."""
    sources = [str(path.relative_to(ROOT)) for path in sources_of(library)]
    return Extension(
        f"mdnn.native._{library}",
        [str((SOURCE / MAIN[library]).relative_to(ROOT))],
        depends=sources,
        define_macros=[
            ("MDNN_SOURCES", f"{sources_number(library)}ULL"),
            ("MDNN_PYTHON_MODULE", "1"),
        ],
        extra_compile_args=[flag for flag in FLAGS if flag != "-shared"],
        optional=True,
    )


setup(ext_modules=[extension(library) for library in MAIN])
