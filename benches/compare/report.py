"""The figures as people read them: tables in Markdown, and what was aimed at."""

MIB = 2**20


def markdown(run):
    """The whole run: conditions, tables, aims."""
    parts = [conditions(run)]
    if run["cells"]:
        parts.append(table(run, "CPU of the proxy, µs a request (requests a second)", cost))
        parts.append(table(run, "Time of an answer, p50 / p99 in µs", times))
        if any("instructions_user" in cell for cell in run["cells"].values()):
            parts.append(table(run, "Thousands of instructions a request, user + kernel", instructions))
    if run["memory"]:
        parts.append(memory(run))
    if rows := aims(run):
        parts.append("**Aims, in this run**\n\n" + grid(["aim", "bound", "measured", ""], rows))
    return "\n\n".join(parts) + "\n"


def conditions(run):
    how = run["conditions"]
    versions = ", ".join(dict.fromkeys(how["versions"].values()))
    lines = []
    if not run["valid"]:
        lines.append(f"**This run does not count**: {run['why_not']}. Compare within a row or column at most.\n")
    lines.append(
        f"{how['date']}, {how['cpu']}, {how['cores']} cores, Linux {how['kernel']}; {versions}. Load average before:"
        f" {how['load_before']:.2f}; taken by other guests of the host during the run: {run['stolen_seconds']:.0f} s."
        f" {how['rounds']} round(s), windows of {how['seconds']:g} s, medians."
    )
    return "\n".join(lines)


def table(run, title, show):
    heads = {one["name"]: one["head"] for one in run["workloads"]}
    rows = []
    for peer in run["peers"]:
        shown = [show(run["cells"].get(f"{peer['name']} {name}")) for name in heads]
        if any(text != "–" for text in shown):
            rows.append([peer["name"], peer["checks"], *shown])
    return f"**{title}**\n\n" + grid(["proxy", "checks", *heads.values()], rows)


def cost(cell):
    if not cell:
        return "–"
    if cell["errors"]:
        return f"failed: {cell['errors']:.0f} errors"
    return f"{cell['cpu_us']:.1f} ({rate(cell['per_second'])})"


def times(cell):
    if not cell or cell["errors"]:
        return "–"
    return f"{cell['p50_us']:.0f} / {cell['p99_us']:.0f}"


def instructions(cell):
    if not cell or cell["errors"] or "instructions_user" not in cell:
        return "–"
    return f"{cell['instructions_user']:.0f} + {cell['instructions_kernel']:.0f}"


def rate(per_second):
    return f"{per_second / 1000:.1f} k" if per_second >= 1000 else f"{per_second:.0f}"


def memory(run):
    rows = []
    count = max(one["connections"] for one in run["memory"].values())
    for name, one in run["memory"].items():
        loaded = run["cells"].get(f"{name} call-h1", {}).get("resident")
        lost = one["connections"] - one["alive"]
        rows.append([
            name,
            mib(one["idle"]),
            mib(loaded) if loaded else "–",
            mib(one["after_handshake"]),
            mib(one["after_request"]) + (f" ({lost} lost)" if lost else ""),
            f"{one['start_ms']:.0f}",
            mib(one["binary"]),
        ])  # fmt: skip
    heads = [
        "proxy", "RSS idle, MiB", "under load", f"{count} idle TLS connections",
        "the same after a request each", "start to first answer, ms", "stripped binary, MiB",
    ]  # fmt: skip
    return "**Memory, start, size**\n\n" + grid(heads, rows)


def aims(run):
    """What issue and product promise, each as a figure of this run. An aim whose figures are missing is left out."""
    rows = []
    ratio(rows, run, "small call, HTTP/1.1: CPU against nginx", 1.4, "sallygate call-h1", "nginx call-h1")
    ratio(rows, run, "small call, HTTP/2: CPU against nginx", 1.4, "sallygate call-h2", "nginx call-h2")
    ratio(rows, run, "small call, HTTP/1.1: CPU against Envoy", 0.3, "sallygate call-h1", "envoy call-h1")
    ratio(rows, run, "small call, HTTP/2: CPU against Envoy", 0.3, "sallygate call-h2", "envoy call-h2")
    ratio(rows, run, "filtered list: CPU against one that is shown whole", 1.3, "sallygate list", "sallygate-open list")
    ratio(rows, run, "filtered list: CPU against relaying as many bytes", 1.3, "sallygate list", "sallygate-open same")
    ratio(rows, run, "64 kB result: CPU against nginx", 1.0, "sallygate blob", "nginx blob")
    difference(rows, run, "one connection: p50 over nginx's, µs", 30, "sallygate single", "nginx single")
    own = run["memory"].get("sallygate")
    if own:
        bound(rows, "RSS idle, MiB", 16, own["idle"] / MIB)
        if own["connections"] >= 5000:
            bound(rows, "RSS with 5,000 idle TLS connections, MiB", 160, own["after_request"] / MIB)
        bound(rows, "start to first answer, ms", 50, own["start_ms"])
        bound(rows, "stripped binary, MiB", 25, own["binary"] / MIB)
    return rows


def ratio(rows, run, title, most, mine, theirs):
    pair = both(run, mine, theirs)
    if pair:
        bound(rows, title, most, pair[0]["cpu_us"] / pair[1]["cpu_us"])


def difference(rows, run, title, most, mine, theirs):
    pair = both(run, mine, theirs)
    if pair:
        bound(rows, title, most, pair[0]["p50_us"] - pair[1]["p50_us"])


def both(run, mine, theirs):
    pair = [run["cells"].get(name) for name in (mine, theirs)]
    sound = all(one and not one["errors"] and one["cpu_us"] > 0 for one in pair)
    return pair if sound else None


def bound(rows, title, most, measured):
    rows.append([title, f"≤ {most}", f"{measured:.2f}", "met" if measured <= most else "**missed**"])


def mib(number):
    return f"{number / MIB:.1f}"


def grid(heads, rows):
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
