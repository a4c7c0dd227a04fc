"""The native library, built once from the sources as they are."""

import pytest

from mdnn.kernels import native_library
from mdnn.native import native_build


@pytest.fixture(scope="session")
def built_library(request, tmp_path_factory):
    """The path of the library; it is compiled again only when its sources change."""
    if native_build.compiler() is None:
        pytest.skip("no C compiler (cc, gcc or clang) to build the native library with")
    # Without pytest's cache (`-p no:cacheprovider`) it is compiled in each session.
    cache = getattr(request.config, "cache", None)
    folder = cache.mkdir("native") if cache else tmp_path_factory.mktemp("native")
    path = folder / native_build.library_path().name
    return path if path.is_file() else native_build.build_native(path)


@pytest.fixture
def native(built_library, monkeypatch):
    """The loaded library, which the engine `auto` then takes."""
    monkeypatch.setenv("MDNN_CACHE", str(built_library.parent))
    monkeypatch.setattr(native_build, "packaged_libraries", list)
    library = native_library.native_library()
    assert library is not None
    yield library
    # As it was chosen for this machine.
    for name in (b"avx512vnni", b"avx512", b"avx2", b"plain"):
        if library.mdnn_use_set(name):
            break
