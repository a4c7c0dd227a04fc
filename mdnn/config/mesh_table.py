"""Config table of a mesh: how training divides a batch, an axis, or members among devices."""

import dataclasses
import math

from mdnn.errors import MdnnError, did_you_mean

BATCH, MEMBERS = "batch", "members"
"""Keys of the shares of a batch and of members in tandem; the other keys are names of axes."""


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Shares of a batch and of the slowest axis of the grid or of members in tandem.

    In TOML a table `[mesh]` such as `batch = 2` and `row = 4`, for 8 devices. Training alone reads
    it, on the JAX backend. The results are those of one device.
    """

    # Pairs of a key and a number of shares.
    shares: tuple[tuple[str, int], ...] = ()

    @classmethod
    def from_table(cls, table, where):
        """Returns the mesh of a table; see `mdnn.config.schema.parse`."""
        for key, value in table.items():
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise MdnnError(f"{where}.{key}: expected a number of shares, received {value!r}")
        return cls(tuple(table.items()))

    def to_lines(self):
        """Returns the keys of the table as lines of TOML."""
        return [f"{key} = {value}" for key, value in self.shares]

    @property
    def batch(self):
        """int, the number of shares of a batch."""
        return dict(self.shares).get(BATCH, 1)

    @property
    def axis(self):
        """str, the name of the divided axis; `None` if no axis is divided."""
        known = (BATCH, MEMBERS)
        return next((key for key, value in self.shares if key not in known and value > 1), None)

    @property
    def axis_shares(self):
        """int, the number of shares of the divided axis."""
        return dict(self.shares).get(self.axis, 1)

    @property
    def members(self):
        """int, the number of shares of the members in tandem."""
        return dict(self.shares).get(MEMBERS, 1)

    @property
    def devices(self):
        """int, the number of devices."""
        return math.prod(value for _, value in self.shares)

    def __str__(self):
        return ", ".join(f"{key} = {value}" for key, value in self.shares)


def parse_mesh(text):
    """Returns the `Mesh` of words such as `batch=8,row=128`.

    Raises:
        MdnnError: other words.
    """
    table = {}
    for word in text.split(","):
        key, equals, value = (piece.strip() for piece in word.partition("="))
        if not key or not equals or not value.isdecimal() or key in table:
            raise MdnnError(f"mesh: expected shares as batch=8,row=128; received {text!r}")
        table[key] = int(value)
    return Mesh.from_table(table, "mesh")


def check_mesh(config):
    """Refuses a mesh that does not fit the rest of a config.

    Args:
        config: `mdnn.Config`.

    Raises:
        MdnnError: an unknown axis, a batch, an axis or members that the shares do not divide, or a
            key that a mesh does not support.
    """
    mesh, context = config.mesh, config.context
    names = context.axis_names
    for key, value in mesh.shares:
        known = (BATCH, *names, *((MEMBERS,) if config.tandem.members else ()))
        if key not in known:
            raise MdnnError(
                f"mesh.{key}: unknown axis {key!r}{did_you_mean(key, known)}; known: "
                f"{', '.join(known)}"
            )
        if key == BATCH:
            size, of = config.train.batch_size, "train.batch_size"
        elif key == MEMBERS:
            size, of = config.tandem.members, "tandem.members"
        else:
            size, of = context.grid[names.index(key)], f"the axis {key!r} of context.grid"
        if size % value:
            raise MdnnError(f"mesh.{key}: expected a divisor of {of} = {size}, received {value}")
    if mesh.axis is not None:
        _check_axis(config, names)
    if mesh.axis is not None and mesh.members > 1:
        raise MdnnError(f"mesh.{mesh.axis}: expected no shares of an axis with mesh.members")
    if mesh.devices > 1:
        _check_support(config)


def _check_axis(config, names):
    mesh = config.mesh
    if mesh.axis != names[0]:
        raise MdnnError(
            f"mesh.{mesh.axis}: expected shares of the slowest axis, {names[0]!r}, whose positions "
            f"are neighbors in a context; received {mesh.axis_shares} of {mesh.axis!r}"
        )
    if config.tokens.candidates:
        raise MdnnError(f"mesh.{mesh.axis}: expected tokens.candidates = 0 with shares of an axis")


def _check_support(config):
    """Refuses options that training on a mesh does not support."""
    train = config.train
    for key, value, expected in (
        ("train.stage", list(train.stage), []),
        ("train.density", list(train.density), []),
        ("train.partial.select", train.partial.select, "all"),
        ("train.method", train.method, "gradient"),
        ("distill.teacher", config.distill.teacher, ""),
    ):
        if value != expected:
            raise MdnnError(f"{key}: expected {expected!r} with a mesh of several devices")
