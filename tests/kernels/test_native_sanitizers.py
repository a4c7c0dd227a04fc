"""The native library under AddressSanitizer and UndefinedBehaviorSanitizer, and on ARM (NEON)."""

import os
import pathlib
import shutil
import subprocess
import sys

import numpy as np
import pytest

from mdnn.native import native_build

HERE = pathlib.Path(__file__).parent
pytestmark = pytest.mark.long


def test_fuzzed_under_sanitizers(tmp_path):
    command = native_build.compiler()
    if command is None:
        pytest.skip("no C compiler")
    found, exceptions = (
        subprocess.run(
            [*command, f"-print-file-name={name}"], capture_output=True, text=True, check=True
        ).stdout.strip()
        for name in ("libasan.so", "libstdc++.so.6")
    )
    if not os.path.isabs(found):
        pytest.skip("the C compiler has no AddressSanitizer")
    environment = os.environ | {"MDNN_CACHE": str(tmp_path)}
    path = tmp_path / native_build.library_path().name
    # All instruction sets have one source; checks in unrolled code of three take minutes.
    flags = ("-O1", "-g", "-DMDNN_PLAIN", "-fsanitize=address,undefined")
    native_build.build_native(path, (*flags, "-fno-sanitize-recover=undefined"))
    environment |= {
        # Exceptions of C++ in packages that are imported need their library before ASan starts.
        "LD_PRELOAD": " ".join(path for path in (found, exceptions) if os.path.isabs(path)),
        # Python and TensorFlow free nothing at the end.
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONPATH": os.pathsep.join([str(HERE), str(HERE.parents[1])]),
    }
    words = [sys.executable, str(HERE / "native_fuzz.py"), "60", "0"]
    done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    # Beside other work a network takes up to 10 seconds, Keras' under the sanitizers among it.
    assert int(done.stdout.split()[-2]) > 3


def test_products_on_arm(tmp_path):
    """NEON under qemu gives what this machine's plain vectors give, to float32's rounding."""
    compiler, qemu = "aarch64-linux-gnu-gcc", shutil.which("qemu-aarch64")
    qemu = qemu or shutil.which("qemu-aarch64-static")
    if shutil.which(compiler) is None or qemu is None:
        pytest.skip(f"{compiler} or qemu-aarch64 is not installed")
    program, rng = tmp_path / "products", np.random.default_rng(0)
    source = str(native_build.SOURCE)
    words = [compiler, "-O2", "-static", "-Wno-psabi", "-pthread", f"-I{source}"]
    words += [str(HERE / "product_program.c"), "-o", str(program), "-lm"]
    subprocess.run(words, check=True)
    for n_in, n_out, count in ((7, 5, 1), (64, 33, 3), (128, 256, 8)):
        weight = rng.normal(size=(n_in, n_out)).astype("float32")
        x = rng.normal(size=(count, n_in)).astype("float32")
        header = np.int32([n_in, n_out, count]).tobytes()
        data = header + weight.tobytes() + x.tobytes()
        done = subprocess.run([qemu, str(program)], input=data, capture_output=True, check=True)
        y = np.frombuffer(done.stdout, "float32").reshape(2, count, n_out)
        expected = x @ weight
        np.testing.assert_allclose(y[0], expected, atol=1e-5 * np.abs(expected).max())
        rounded = x @ weight.astype("float16").astype("float32")
        np.testing.assert_allclose(y[1], rounded, atol=1e-5 * np.abs(rounded).max())
