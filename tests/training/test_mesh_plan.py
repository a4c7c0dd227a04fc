"""The counted cost of a step on many devices against that of compiled programs."""

import keras
import pytest
import tiny

import mdnn
from mdnn.cli.parser import main
from mdnn.config.mesh_table import Mesh
from mdnn.errors import MdnnError
from mdnn.training.mesh.collectives import exchanged_bytes
from mdnn.training.mesh.counted_cost import CountedCost

PROGRAM = """
HloModule step, is_scheduled=true
  %a = f32[4,8]{1,0} parameter(0)
  %b = f32[4,8]{1,0} all-reduce(%a), channel_id=1
  %c = (bf16[2,8]{1,0}, bf16[2,8]{1,0}) all-to-all(%d, %e), replica_groups={{0,1}}
  %f = f32[] all-reduce-start(%g), to_apply=%all-reduce.clone
  %h = pred[3]{0} all-gather(%i), dimensions={0}
  ROOT %tuple = (f32[4,8]{1,0}) tuple(%all-reduce.3)
"""


def test_exchanges_of_a_program_are_counted():
    assert exchanged_bytes(PROGRAM) == {
        "all-reduce": 4 * 32 + 4,
        "all-to-all": 2 * 2 * 16,
        "all-gather": 3,
    }


@pytest.fixture(scope="module")
def counted():
    """The cost of a network on a grid of 8 x 4 x 4, in batches of 8 contexts."""
    settings = ["context.grid=[8, 4, 4]", "train.batch_size=8", "backbone.width=16"]
    settings += ["backbone.remat=false", "train.precision=float32"]
    config = mdnn.load_config("long", settings)
    return config, CountedCost(config)


def mesh(batch, plane):
    return Mesh((("batch", batch), ("plane", plane)))


def test_devices_share_the_work(counted):
    _, cost = counted
    one, eight, both = (cost.step(mesh(*shares)) for shares in ((1, 1), (8, 1), (2, 4)))
    assert one["operations"] == 8 * eight["operations"] == 8 * both["operations"]
    assert one["exchanged"] == 0
    assert eight["exchanged"] == 4 * cost.parameters
    # Of each of four blocks one tensor of an eighth of the batch, four times.
    tensor = 8 * 8 * 4 * 4 * 16 * 4 // 8
    assert both["exchanged"] == 2 * 4 * cost.parameters + 4 * 4 * tensor
    assert eight["bytes"] == both["bytes"] < one["bytes"]


def test_writing_divides_the_caches(counted):
    _, cost = counted
    one, four = cost.writing(mesh(1, 1)), cost.writing(mesh(1, 4))
    caches = 4 * 4 * 8 * 4 * 4 * 16
    assert one["bytes"] - four["bytes"] == caches * 3 // 4
    assert (one["exchanged"], four["exchanged"]) == (0, 4 * 4 * 16)


def test_smallest_mesh_that_fits(counted):
    config, cost = counted
    sizes = {shares: cost.step(mesh(*shares))["bytes"] for shares in ((1, 1), (2, 1), (8, 8))}

    def smallest(memory):
        return mdnn.plan(config, memory=memory / 1e9, compile_step=False)["smallest"]

    assert smallest(sizes[1, 1]) == {"batch": 1, "plane": 1}
    assert smallest(sizes[1, 1] - 1) == {"batch": 2, "plane": 1}
    assert smallest(sizes[8, 8]) == {"batch": 8, "plane": 8}
    assert smallest(sizes[8, 8] - 1) is None


def test_members_in_tandem():
    """Four members cost four times as much as one, and are divided among the devices."""
    settings = ["train.batch_size=2", "context.grid=[4, 8]", "backbone.depth=1"]
    one = CountedCost(mdnn.load_config("text-grid", settings))
    alone = one.step(Mesh())
    counted = {}
    for words in ((), ("tandem.exchange=1",), ("tandem.exchange=1", "tandem.stale=10")):
        config = mdnn.load_config("text-grid", [*settings, "tandem.members=4", *words])
        cost = CountedCost(config)
        counted[words] = cost.step(Mesh((("members", 2),)))
        assert cost.parameters == 4 * one.parameters
        assert cost.step(Mesh((("members", 4),)))["bytes"] < counted[words]["bytes"]
    alone_in_tandem, exact, stale = counted.values()
    assert alone_in_tandem["operations"] == exact["operations"] == 2 * alone["operations"]
    # A step is three forward passes of each of two members; each device adds one of all four.
    assert stale["operations"] == 2 * alone["operations"] + 4 * alone["operations"] // 3
    assert alone_in_tandem["exchanged"] == 0
    assert exact["exchanged"] == 4 * one.classes * 2 * 32
    assert stale["exchanged"] == round(4 * 4 * one.parameters / 10)
    plan = mdnn.plan(config, memory=stale["bytes"] / 1e9, compile_step=False)
    assert plan["smallest"] == {"batch": 1, "members": 2}


def test_command(tmp_path, capsys):
    path = str(tiny.write_config(tmp_path))
    words = ["plan", path, "--no-compile", "--mesh", "batch=2,row=2", "--set", "context.grid=[4,4]"]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "8 contexts of 16 positions (4 x 4)" in out
    assert "the step fits into 80 GB of each device" in out
    assert "smallest mesh that fits, as counted: batch=1,row=1" in out
    assert main([*words, "--memory", "0.000001"]) == 0
    assert "no mesh of this batch and grid fits" in capsys.readouterr().out
    words[4] = "batch=2,row=3"
    assert main(words) == 2
    assert "mesh.row: expected a divisor" in capsys.readouterr().err
    with pytest.raises(
        MdnnError, match=r"memory: expected gigabytes \(10\^9 bytes\) above 0, received -1"
    ):
        mdnn.plan(path, memory=-1)


OF_MEMBERS = ("context.grid=[16,16]", "train.batch_size=4", "tandem.members=4")


@pytest.mark.long
@pytest.mark.parametrize(
    "settings",
    [
        ("context.grid=[16,16]", "train.batch_size=4", "mesh.row=8"),
        ("context.grid=[16,16]", "train.batch_size=4", "mesh.batch=2", "mesh.row=4"),
        ("context.grid=[8,8,8]", "train.batch_size=2", "mesh.batch=2", "mesh.plane=4"),
        (*OF_MEMBERS, "mesh.members=4", "tandem.exchange=1", "tandem.stale=10"),
        (*OF_MEMBERS, "mesh.members=2", "mesh.batch=2", "tandem.exchange=1"),
        (*OF_MEMBERS, "mesh.members=4"),
    ],
)
def test_counted_is_near_compiled(settings):
    pytest.importorskip("jax", reason="the extra [jax] is not installed")
    if keras.backend.backend() != "jax":
        pytest.skip("one backend is enough")
    small = ("backbone.width=32", "backbone.depth=2", "backbone.remat=false")
    config = mdnn.load_config("long", [*small, *settings])
    plan = mdnn.plan(config, seconds=200)
    assert plan["fits"]
    assert "reason" not in plan["compiled"], plan["compiled"]
    factors = {"operations": 1.25, "exchanged": 2, "bytes": 2}
    if "mesh.members=4" in settings:
        # Members' weights are gathered outside the step; members alone tell each other nothing.
        factors.pop("exchanged")
        assert plan["compiled"]["exchanged"] < 10_000
    for key, factor in factors.items():
        ratio = plan["compiled"][key] / plan["step"][key]
        assert 1 / factor < ratio < factor, (key, ratio)
