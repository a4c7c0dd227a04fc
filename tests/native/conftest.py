"""The native library of products along axes, built once from the sources as they are."""

import pytest

from mdnn.native import axis_library, native_build


@pytest.fixture(scope="session")
def built_axes(request, tmp_path_factory):
    """The path of the library; it is compiled again only when its sources change."""
    if native_build.compiler() is None:
        pytest.skip("no C compiler (cc, gcc or clang) to build the native library with")
    # Without pytest's cache (`-p no:cacheprovider`) it is compiled in each session.
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("native") if cache else tmp_path_factory.mktemp("native")
    path = folder / native_build.library_path("axes").name
    return path if path.is_file() else native_build.build_native(path, library="axes")


@pytest.fixture
def axes(built_axes, monkeypatch):
    """The loaded library, which layers then use."""
    monkeypatch.setenv("MDNN_CACHE", str(built_axes.parent))
    monkeypatch.setattr(native_build, "packaged_axis_libraries", list)
    assert axis_library.axis_library_path() == built_axes
    library = axis_library.loaded_library()
    assert library is not None
    yield library
    # As it was chosen for this machine.
    any(library.mdnn_axis_use_set(name) for name in (b"avx512", b"avx2", b"plain"))
