"""Tables and pictures of benchmarks/long.py, and the memory of a process."""

import math
from pathlib import Path


def memory(name):
    """A line of /proc/self/status in bytes: VmRSS, held now, or VmHWM, the most so far."""
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {name} in /proc/self/status")


def exponent(first, second, name="step_seconds"):
    """The power of the length with which a figure grows between two rows."""
    return math.log(second[name] / first[name]) / math.log(second["length"] / first["length"])


def show(rows, longest, kinds):
    """Prints the tables, with extrapolated lines for what was not measured to the end."""
    print(
        "\n| network | positions | forward, s | step, s | exponent | step, GB | bytes each |"
        "\n|---|---|---|---|---|---|---|"
    )
    for kind in kinds:
        of_kind = [row for row in rows if row["kind"] == kind and "step_seconds" in row]
        for k, row in enumerate(of_kind):
            power = f"{exponent(of_kind[k - 1], row):.2f}" if k else ""
            print(
                f"| {kind} | {row['length']:,} | {row.get('forward_seconds', 0):.3g} | "
                f"{row['step_seconds']:.3g} | {power} | {row['step_bytes'] / 1e9:.2f} | "
                f"{row['step_bytes'] / row['length']:,.0f} |"
            )
        if further := extrapolated(of_kind, longest, "step_seconds"):
            print(f"| {kind} | {longest:,} | | {further[1]:,.0f} (extrapolated) | | | |")
        if kind == "grid" and len(of_kind) > 1:
            whole = exponent(of_kind[0], of_kind[-1])
            print(f"\nexponent of the step's time over all lengths: {whole:.2f}\n")
    read = [row for row in rows if "read_seconds" in row]
    if read:
        print(
            "\n| positions | prompt read, s | memory of reading, GB | bytes per position "
            "| characters written per s | evaluated, s |\n|---|---|---|---|---|---|"
        )
    for row in read:
        print(
            f"| {row['length']:,} | {row['read_seconds']:.3g} | {row['read_bytes'] / 1e9:.2f} | "
            f"{row['read_bytes'] / row['length']:,.0f} | {row['written_per_second']:,.0f} | "
            f"{row['evaluate_seconds']:.3g} |"
        )


def extrapolated(rows, longest, name):
    """Returns the length and figure at `longest`, as the last two rows grow; `None` if measured."""
    if len(rows) < 2 or rows[-1]["length"] >= longest:
        return None
    first, last = rows[-2:]
    return longest, last[name] * (longest / last["length"]) ** exponent(first, last, name)


def draw(rows, path, longest, kinds):
    """Draws time and memory against length; what is extrapolated is dashed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    names = {"grid": "mdnn, grid", "attention": "attention", "fused": "fused attention (PyTorch)"}
    colours = {"grid": "#1f4e8c", "attention": "#b0603a", "fused": "#d9a441"}
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for kind in kinds:
        of_kind = [row for row in rows if row["kind"] == kind and "step_seconds" in row]
        if not of_kind:
            continue
        lengths, style = [row["length"] for row in of_kind], {"color": colours[kind]}
        for axes, name, unit in ((left, "step_seconds", 1), (right, "step_bytes", 1e9)):
            figures = [row[name] / unit for row in of_kind]
            axes.loglog(lengths, figures, "o-", label=names[kind], **style)
            if further := extrapolated(of_kind, longest, name):
                ends = [lengths[-1], further[0]], [figures[-1], further[1] / unit]
                axes.loglog(*ends, "--", linewidth=1, **style)
    left.set(xlabel="positions", ylabel="seconds per training step")
    right.set(xlabel="positions", ylabel="gigabytes of a training step")
    left.plot([], [], "k--", linewidth=1, label="extrapolated")
    left.legend(frameon=False, fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.25)
    figure.savefig(path, dpi=110)
