"""Products of the native library against numpy, for every storage and instruction set."""

import ctypes

import numpy as np
import pytest

from mdnn.kernels import panel_packing
from mdnn.kernels import structures as c
from mdnn.kernels.matrices import Arrays, Codes
from mdnn.kernels.native_library import floats

SETS = (b"plain", b"avx2", b"avx512", b"avx512vnni")


@pytest.fixture(params=SETS, ids=lambda name: name.decode())
def instruction_set(native, request):
    """The library with one instruction set; those that this machine lacks are passed over."""
    if not native.mdnn_use_set(request.param):
        pytest.skip(f"this machine has no {request.param.decode()}")
    return native


def product(library, matrix, x, threads=2):
    y = np.zeros((len(x), matrix.n_out), "float32")
    x = np.ascontiguousarray(x, "float32")
    library.mdnn_product(ctypes.byref(matrix), floats(x), len(x), floats(y), threads)
    return y


def check(library, matrix, weight, rounding=None):
    """The product of 1, 3, 8 and 13 vectors: right, and each as if it were alone."""
    rng = np.random.default_rng(1)
    for count in (1, 3, 8, 13):
        x = rng.normal(size=(count, weight.shape[0])).astype("float32")
        y = product(library, matrix, x)
        expected = (rounding(x) if rounding else x) @ weight.astype("float64")
        np.testing.assert_allclose(y, expected, atol=1e-5 * np.abs(expected).max())
        alone = [product(library, matrix, x[t : t + 1], 1)[0] for t in range(count)]
        np.testing.assert_array_equal(y, alone)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_floats(instruction_set, dtype):
    rng = np.random.default_rng(0)
    for n_in, n_out in ((7, 5), (64, 17), (130, 272)):
        arrays, weight = Arrays(), rng.normal(size=(n_in, n_out)).astype(dtype)
        check(instruction_set, arrays.matrix(weight), weight)


@pytest.mark.parametrize(
    ("turned", "minima"), [(False, False), (True, False), (True, True)], ids=str
)
@pytest.mark.parametrize("bits", [8, 4])
def test_codes(instruction_set, bits, turned, minima):
    """No format has minima of groups of outputs."""
    rng = np.random.default_rng(0)
    low, high, dtype = (0, 16, "uint8") if bits == 4 else (-128, 128, "int8")
    for outer, inner, group in ((48, 64, 32), (96, 192, 64), (7, 32, 32)):
        codes = rng.integers(low, high, size=(outer, inner)).astype(dtype)
        scales, least = rng.normal(size=(2, outer, inner // group)).astype("float16")
        codes = Codes(codes, scales, bits, 8.0 * (bits == 4), least if minima else None, turned)
        arrays = Arrays()
        matrix = arrays.matrix(codes)
        assert matrix.kind == (c.INT4 if bits == 4 else c.INT8)
        check(instruction_set, matrix, codes.values())


def rounded(x, group):
    """Inputs as codes of 8 bits give them back, groups of them with a common step."""
    groups = x.reshape(len(x), -1, group)
    top = np.abs(groups).max(-1, keepdims=True)
    codes = np.rint(groups * (np.float32(127) / np.maximum(top, np.float32(1e-30))))
    return (codes * (top.astype("float64") / 127)).reshape(x.shape)


@pytest.mark.parametrize("minima", [False, True])
@pytest.mark.parametrize("bits", [8, 4])
def test_inputs_of_8_bits(instruction_set, bits, minima):
    """Sums of whole numbers are exact: all instruction sets are held to one reference."""
    rng = np.random.default_rng(0)
    low, high, dtype = (0, 16, "uint8") if bits == 4 else (-128, 128, "int8")
    for outer, inner, group in ((48, 64, 32), (160, 192, 64), (7, 48, 16)):
        codes = rng.integers(low, high, size=(outer, inner)).astype(dtype)
        scales, least = rng.normal(size=(2, outer, inner // group)).astype("float16")
        codes = Codes(codes, scales, bits, 8.0 * (bits == 4), least if minima else None, True)
        arrays = Arrays(rounded=True)
        matrix = arrays.matrix(codes)
        assert arrays.roundings == matrix.rounded == 1
        check(instruction_set, matrix, codes.values(), lambda x, group=group: rounded(x, group))
    zeros = product(instruction_set, matrix, np.zeros((2, inner)))
    np.testing.assert_array_equal(zeros, 0)


def test_other_matrices_do_not_round():
    arrays = Arrays(rounded=True)
    arrays.matrix(np.ones((32, 16), "float32"))
    arrays.matrix(Codes(np.ones((32, 32), "int8"), np.ones((32, 1), "float16"), 8))
    assert arrays.roundings == 0


def test_groups_that_fit_no_panel_are_expanded():
    codes = Codes(np.ones((4, 24), "int8"), np.ones((4, 3), "float16"), 8, turned=True)
    arrays = Arrays()
    assert arrays.matrix(codes).kind == c.FLOAT32


PACKINGS = {
    "int4": (panel_packing.pack_int4, (21, 85), "uint8", 16, ()),
    "halves": (panel_packing.pack_halves, (85, 48), "uint8", 256, (32,)),
    "wide halves": (panel_packing.pack_halves, (16, 64), "uint8", 256, (64,)),
    "int8": (
        lambda codes: panel_packing.pack_int8(codes.view("int8").T),
        (85, 44),
        "uint8",
        256,
        (),
    ),
    "uneven int8": (
        lambda codes: panel_packing.pack_int8(codes.view("int8").T),
        (9, 21),
        "uint8",
        256,
        (),
    ),
    "scales": (panel_packing.bundled_rows, (85, 70), "uint16", 1 << 16, ()),
    "wide scales": (panel_packing.bundled_rows, (150, 3), "uint32", 1 << 32, ()),
}


@pytest.mark.parametrize("packing", PACKINGS)
def test_codes_are_packed_alike_without_the_library(native, monkeypatch, packing):
    pack, shape, dtype, high, more = PACKINGS[packing]
    codes = np.random.default_rng(0).integers(0, high, size=shape, dtype=dtype)
    # Divided among threads.
    monkeypatch.setattr(panel_packing, "LARGE", 0)
    monkeypatch.setattr(panel_packing, "cores", lambda: 3)
    found = []
    for library in (native, None):
        monkeypatch.setattr(panel_packing, "native_library", lambda own=library: own)
        found.append(pack(codes, *more))
    np.testing.assert_array_equal(*found)
    assert found[0].any()


def test_codes_of_a_file_are_those_of_bytes(native):
    """Codes two a byte, as files hold them, make the matrix that codes one a byte make."""
    rng = np.random.default_rng(0)
    pairs = rng.integers(0, 256, size=(20, 48), dtype="uint8")
    scales = rng.normal(size=(20, 3)).astype("float16")
    paired = Codes(pairs, scales, 4, 8.0, turned=True, paired=True)
    single = Codes(panel_packing.single_codes(pairs, 32), scales, 4, 8.0, turned=True)
    assert (paired.shape, paired.group) == (single.shape, single.group) == ((96, 20), 32)
    np.testing.assert_array_equal(paired.values(), single.values())
    # The first half of a group is in the low bits of its bytes.
    np.testing.assert_array_equal(single.codes[:, :16], pairs[:, :16] & 15)
    np.testing.assert_array_equal(single.codes[:, 16:32], pairs[:, :16] >> 4)
    arrays = Arrays()
    found = [product(native, arrays.matrix(each), np.eye(96)) for each in (paired, single)]
    np.testing.assert_array_equal(*found)
