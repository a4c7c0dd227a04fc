"""What is served, where and to whom: checked before anything is opened."""

import collections.abc
import dataclasses
import os
import time
from importlib.util import find_spec
from pathlib import Path

from mdnn.errors import MdnnError
from mdnn.file_systems import as_path
from mdnn.generation.options import ENGINE_NAMES
from mdnn.keras_settings import KERAS_FILE
from mdnn.serving.requests.request_limits import RequestLimits
from mdnn.tensorflow_graphs import forgetting_gradients

SILENT = 3.0
"""Seconds of compiling after which people are told how far it is."""

KEY_VARIABLE = "MDNN_API_KEY"
"""Environment variable of the key that requests must have."""


@dataclasses.dataclass
class ServeSettings:
    """Settings of a server.

    Args:
        networks: dict from names in addresses to run folders, SavedModels, `.keras` files, opened
            runs or networks; the first is the one that the page shows at first.
        density, identities, member: of the first network, see
            `mdnn.serving.server.served_models.open_served_model`.
        engine: one of `mdnn.generation.options.ENGINE_NAMES`.
        host: str, the address to listen at.
        hosts: further names that the header Host of a request may have.
        origins: origins of other pages that may ask.
        api_key: str, the key that requests must have; `None`: what the environment variable
            `MDNN_API_KEY` says.
        limits: `RequestLimits`.

    Raises:
        MdnnError: a name that no address can hold, nothing at a path, an identity at a density,
            packages that are missing, a host, an origin or a key that no header can hold.
    """

    networks: dict
    density: object = None
    identities: dict = dataclasses.field(default_factory=dict)
    member: int = None
    engine: str = "auto"
    host: str = "127.0.0.1"
    hosts: tuple = ()
    origins: tuple = ()
    api_key: str = None
    limits: RequestLimits = dataclasses.field(default_factory=RequestLimits)

    def __post_init__(self):
        self.api_key = checked_key(self.api_key)
        if self.engine not in ENGINE_NAMES:
            raise MdnnError(
                f"engine: expected one of {', '.join(ENGINE_NAMES)}, received {self.engine!r}"
            )
        if self.identities and self.density not in (None, 1):
            raise MdnnError(
                f"identity: belongs to the whole network; received density {self.density!r}"
            )
        for name in _named(self.identities, "identity"):
            check_name(name, "identity")
        self.identities = {name: _file_of(name, file) for name, file in self.identities.items()}
        for name in self.networks:
            check_name(name)
        if missing := [name for name in ("starlette", "uvicorn") if find_spec(name) is None]:
            raise MdnnError(f"serve needs {' and '.join(missing)}: pip install 'mdnn[serve]'")
        # imported late: starlette is an extra
        from mdnn.serving.server.guard import checked_host, checked_origin

        self.hosts = tuple(checked_host(host) for host in _listed(self.hosts, "allow-host"))
        self.origins = tuple(
            checked_origin(origin) for origin in _listed(self.origins, "allow-origin")
        )
        self.networks = {name: _existing(network) for name, network in self.networks.items()}

    @forgetting_gradients()
    def open(self, tell):
        """Opens the networks and compiles what texts need.

        Args:
            tell: function of a line for people.

        Returns:
            dict from names to `mdnn.serving.server.served_model.ServedModel`.

        Raises:
            MdnnError: see `mdnn.serving.server.served_models.open_served_model`.
        """
        # imported late: TensorFlow takes seconds
        from mdnn.serving.server.served_models import open_served_model

        opened, own = {}, (self.member, self.density, self.identities)
        for name, network in self.networks.items():
            opened[name] = open_served_model(network, self.engine, *(() if opened else own))
        for name, network in self.networks.items():
            which = network if isinstance(network, Path) else f"the network {name!r}"
            tell(f"mdnn: {which} is read; getting ready")
            said = time.monotonic()
            for rows in opened[name].warm_up():
                if rows >= self.limits.rows:
                    break
                if time.monotonic() - said > SILENT:
                    tell(f"mdnn: compiled for {rows} texts at once, of {self.limits.rows}")
        return opened

    def server(self, opened, toolbox=None):
        """Returns the `StoppableServer` of opened networks and of tools."""
        # imported late: uvicorn is an extra
        from mdnn.serving.server.uvicorn_server import StoppableServer

        return StoppableServer(
            opened, self.limits, self.host, self.hosts, self.origins, self.api_key, toolbox
        )


def checked_key(key):
    """Returns the key that requests must have; `None` without one.

    Args:
        key: str, or `None` for the environment variable.

    Raises:
        MdnnError: a key that a header cannot hold as it is.
    """
    where = "API key"
    if key is None:
        key, where = os.environ.get(KEY_VARIABLE) or None, KEY_VARIABLE
    if key is None:
        return None
    text = isinstance(key, str)
    if not (text and key.isascii() and key.isprintable() and " " not in key and key):
        raise MdnnError(f"{where}: expected visible ASCII characters without spaces")
    return key


def check_name(name, what="name"):
    """Refuses a name of a model or an identity that an address cannot hold as it is."""
    text = isinstance(name, str) and name
    if not text or not all(c.isascii() and (c.isalnum() or c in "._-") for c in name):
        raise MdnnError(
            f"{what}: expected letters, digits, '.', '_' and '-', received {name!r:.80}"
        )


def _named(table, name):
    if not isinstance(table, collections.abc.Mapping):
        raise MdnnError(f"{name}: expected a dict from names to paths, received {table!r:.80}")
    return table


def _listed(values, name):
    """Returns a list of strings; wraps a single string in a list."""
    values = [values] if isinstance(values, str) else values
    listed = isinstance(values, (list, tuple, set, frozenset))
    if not listed or not all(isinstance(value, str) for value in values):
        raise MdnnError(f"{name}: expected strings, received {values!r:.80}")
    return values


def _file_of(name, file):
    file = as_path(file, f"identity {name!r}")
    if not file.is_file():
        raise MdnnError(f"identity: no such file: {file}")
    return file


def _existing(network):
    """Returns a path as one; opened runs and networks as they are."""
    if not isinstance(network, (str, os.PathLike)):
        return network
    path = as_path(network, "run")
    if not (path.is_dir() or (path.suffix == KERAS_FILE and path.is_file())):
        what = "a file" if path.exists() else "nothing"
        raise MdnnError(f"{path} is not a run folder or SavedModel: there is {what} there")
    return path
