"""What is claimed: a ratio to a named peer of the same run, and beside it what was aimed at."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from benchmarks.figures import Figures
from benchmarks.graphs import DEFAULT, GraphCost
from benchmarks.quality import LOSS
from benchmarks.timing import ratio

READY_S, ANSWER_S, PROCESS_S = 2.0, 0.5, 1.0
SERVING_MB = 600.0
OVER_PUBLISHED = 20.0
SIDE_BY_SIDE, OVER_TORCH, OF_PEAK = 1.5, 2.0, 0.6
IN_TORCH = "the same networks in torch eager fp32"


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """One line of the first table; figures as a person reads them."""

    what: str
    ours: str
    peer: str
    theirs: str
    ratio: float
    aim: str
    met: bool | None
    """None where nothing was aimed at."""


def claims(figures: Figures) -> tuple[Claim, ...]:
    return (
        *_of_starting(figures),
        *_of_answering(figures),
        _of_throughput(figures),
        _of_the_published(figures),
        *_of_graphs(figures),
        *_of_the_roof(figures),
    )


def _of_starting(figures: Figures) -> Iterator[Claim]:
    ours, theirs = (figures.whole.started[way] for way in ("onnx", "torch"))
    yield Claim(
        what="new process to a pipeline that has proved itself (median)",
        ours=_s(ours.ready.p50_s),
        peer=f"{IN_TORCH}, loaded from one file, no proof",
        theirs=_s(theirs.ready.p50_s),
        ratio=ratio(theirs.ready.p50_s, ours.ready.p50_s),
        aim=f"at most {READY_S:g} s",
        met=ours.ready.p50_s <= READY_S,
    )
    node = figures.whole.node
    yield Claim(
        what=(
            f"most memory of a node that serves ({node.answered} ECGs over DICOM), without the "
            f"{_mb(node.beside_mb)} of the processes beside it that compose results"
        ),
        ours=_mb(node.peak_mb),
        peer=f"a process that answers with {IN_TORCH}, and is no node",
        theirs=_mb(theirs.peak_mb),
        ratio=ratio(theirs.peak_mb, node.peak_mb),
        aim=f"at most {SERVING_MB:g} MB",
        met=node.peak_mb <= SERVING_MB,
    )


def _of_answering(figures: Figures) -> Iterator[Claim]:
    ours, theirs = (figures.whole.steps[way] for way in ("onnx", "torch"))
    for what, mine, peer, limit in (
        ("ECG to numbers and cine (median)", ours.predict, theirs.predict, None),
        ("with the DICOM objects: an answer (median)", ours.answer, theirs.answer, ANSWER_S),
        (
            "with all files and pictures: a further ECG of cardionode process (median)",
            ours.process,
            theirs.process,
            PROCESS_S,
        ),
    ):
        yield Claim(
            what=what,
            ours=_s(mine.p50_s),
            peer=IN_TORCH,
            theirs=_s(peer.p50_s),
            ratio=ratio(peer.p50_s, mine.p50_s),
            aim="" if limit is None else f"at most {limit:g} s",
            met=None if limit is None else mine.p50_s <= limit,
        )


def _of_throughput(figures: Figures) -> Claim:
    one, *others = figures.whole.throughput
    best = max(others, key=lambda each: each.ecgs_a_second)
    alike = all(each.digest == one.digest for each in others)
    faster = best.ecgs_a_second / one.ecgs_a_second
    return Claim(
        what="8 ECGs in a queue, answers " + ("bit-identical" if alike else "NOT IDENTICAL"),
        ours=f"{best.ecgs_a_second:.2f} ECGs/s ({best.name})",
        peer=f"one after the other ({one.name})",
        theirs=f"{one.ecgs_a_second:.2f} ECGs/s",
        ratio=faster,
        aim=f"at least {SIDE_BY_SIDE:g} times, bit-identical",
        met=alike and faster >= SIDE_BY_SIDE,
    )


def _of_the_published(figures: Figures) -> Claim:
    found, quality = figures.published, figures.quality
    faster = ratio(found.in_torch.p50_s, found.shipped.p50_s)
    what, aim, good = "COST ONLY, equal quality is not shown", "", None
    if quality is not None:
        good = quality.as_good
        what = "NOT AS GOOD" if good is None else f"as good by SSIM, PSNR, Frechet: {good.name}"
        aim = f"at least {OVER_PUBLISHED:g} times, as good within {LOSS:.0%}"
    return Claim(
        what=f"ECG to numbers and cine (median); {what}",
        ours=_s(found.shipped.p50_s),
        peer="published procedure of 16 x 100 steps in torch eager fp32 (below)",
        theirs=_s(found.in_torch.p50_s),
        ratio=faster,
        aim=aim,
        met=None if quality is None else good is not None and faster >= OVER_PUBLISHED,
    )


def _of_graphs(figures: Figures) -> Iterator[Claim]:
    """The graph that gains least, of each peer."""
    graphs = figures.graphs
    passed = {DEFAULT, *(each.name for each in figures.runtimes if each.serves)}
    best = {each.graph: each.fastest(passed) for each in graphs}
    default = {each.graph: DEFAULT for each in graphs}
    eager = {each.graph: each.eager_s for each in graphs}
    compiled = {each.graph: each.compiled_s for each in graphs if each.compiled_s is not None}
    aim = f"at least {OVER_TORCH:g} times"
    yield _least_gain(
        "in the precision that suits it best of those that pass the gates",
        graphs, best, eager, "torch eager fp32", aim,
    )  # fmt: skip
    yield _least_gain("in fp32, the default", graphs, default, eager, "torch eager fp32", aim)
    if compiled:
        yield _least_gain("in fp32, the default", graphs, default, compiled, "torch.compile, fp32")


def _least_gain(
    how: str,
    graphs: Sequence[GraphCost],
    runtimes: Mapping[str, str],
    peers: Mapping[str, float],
    peer: str,
    aim: str = "",
) -> Claim:
    """`runtimes` and `peers`: by graph."""
    ours = {each.graph: each.ours_s[runtimes[each.graph]] for each in graphs}
    least = min(peers, key=lambda name: ratio(peers[name], ours[name]))
    gained = ratio(peers[least], ours[least])
    return Claim(
        what=f"one thread, least CPU time, {how}: graph {least}, which gains least",
        ours=f"{_ms(ours[least])} ({runtimes[least]})",
        peer=peer,
        theirs=_ms(peers[least]),
        ratio=gained,
        aim=aim,
        met=gained >= OVER_TORCH if aim else None,
    )


def _of_the_roof(figures: Figures) -> Iterator[Claim]:
    roofline = figures.roofline
    bound = [each for each in roofline.graphs if roofline.is_compute_bound(each)]
    if not bound:
        return
    graph = min(bound, key=roofline.of_peak)
    reached = roofline.of_peak(graph)
    yield Claim(
        what=f"one thread: {graph.graph}, which uses the processor least of those it limits",
        ours=f"{graph.flop / graph.seconds / 1e9:.0f} GFLOP/s",
        peer="a large square matrix product in the same runtime",
        theirs=f"{roofline.peak_flop_s / 1e9:.0f} GFLOP/s",
        ratio=reached,
        aim=f"at least {OF_PEAK:g}",
        met=reached >= OF_PEAK,
    )


def _s(seconds: float) -> str:
    return f"{seconds:.2f} s"


def _ms(seconds: float) -> str:
    return f"{1000.0 * seconds:.2f} ms"


def _mb(mb: float) -> str:
    return f"{mb:.0f} MB"
