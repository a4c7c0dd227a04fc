"""Compiles the native library where a C compiler is; everything else stands in setup.cfg."""

import sys
from pathlib import Path

from setuptools import Extension, setup

sys.path.insert(0, str(Path(__file__).parent))

from mdnn.kernels.native_build import FLAGS, MAIN, sources_number

SOURCE = Path("mdnn/kernels/source")

setup(
    ext_modules=[
        Extension(
            "mdnn.kernels._decoder",
            [str(SOURCE / name) for name in MAIN],
            depends=[str(path) for path in sorted(SOURCE.glob("*.h"))],
            define_macros=[
                ("MDNN_SOURCES", f"{sources_number()}ULL"),
                ("MDNN_PYTHON_MODULE", "1"),
            ],
            extra_compile_args=[flag for flag in FLAGS if flag != "-shared"],
            # An installation without a compiler succeeds: networks run through Keras.
            optional=True,
        )
    ]
)
