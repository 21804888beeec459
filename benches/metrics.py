"""Seconds and memory for pixel metrics: ours beside scikit-learn's, on the same made-up maps.

    python benches/metrics.py                          1,725 maps of ours beside 172 of the peer's
    python benches/metrics.py --maps 200 --peer-maps 20 --memory 16
    python benches/metrics.py peer MAPS                only the peer's side, as JSON

Needs numpy and scikit-learn. Ours: AUROC, AP, F1-max, IoU and both AUPROs of maps that come one at a
time. Theirs: roc_auc_score and average_precision_score of all pixels at once, on a tenth of the maps,
for they take about 200 bytes a pixel; compared per pixel. Both sides make the maps from a counter, and
the time of that does not count. Every map is 518 x 518 with 2 % anomalous pixels.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy

SIDE, SQUARE, LIFT = 518, 52, 0.2
PIXELS = SIDE * SIDE
ROOT = Path(__file__).resolve().parent.parent


def mixed(counter: numpy.ndarray) -> numpy.ndarray:
    """SplitMix64's output for counters."""
    bits = counter * numpy.uint64(0x9E3779B97F4A7C15)
    bits = (bits ^ bits >> numpy.uint64(30)) * numpy.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ bits >> numpy.uint64(27)) * numpy.uint64(0x94D049BB133111EB)
    return bits ^ bits >> numpy.uint64(31)


def mask(number: int) -> numpy.ndarray:
    marked, half = numpy.zeros((SIDE, SIDE), bool), SIDE // 2
    drawn = mixed(numpy.arange(2, dtype=numpy.uint64) + numpy.uint64(2 * number))
    for square, bits in enumerate(map(int, drawn)):
        left = bits % (SIDE - SQUARE)
        top = half * square + (bits >> 16) % (half - SQUARE)
        marked[top : top + SQUARE, left : left + SQUARE] = True
    return marked.ravel()


def values(number: int, marked: numpy.ndarray) -> numpy.ndarray:
    drawn = mixed(numpy.arange(PIXELS, dtype=numpy.uint64) + numpy.uint64((number + 1) << 32))
    low = numpy.uint64(0xFFFFFF)
    total = (drawn & low) + (drawn >> numpy.uint64(24) & low)
    return (total.astype(float) / 2**25 + numpy.where(marked, LIFT, 0.0)).astype(numpy.float32)


def peer(maps: int) -> dict:
    from sklearn.metrics import average_precision_score, roc_auc_score

    masks = numpy.empty((maps, PIXELS), bool)
    scores = numpy.empty((maps, PIXELS), numpy.float32)
    for number in range(maps):
        masks[number] = mask(number)
        scores[number] = values(number, masks[number])
    start = time.perf_counter()
    auroc = roc_auc_score(masks.ravel(), scores.ravel())
    ap = average_precision_score(masks.ravel(), scores.ravel())
    seconds = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10
    return {"seconds": seconds, "peak_bytes": peak, "metrics": {"auroc": auroc, "ap": ap}}


def answer(*command: object) -> dict:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True)
    return json.loads(done.stdout)


def compare(maps: int, peer_maps: int, memory: int) -> None:
    build = ["cargo", "build", "--package", "moeclip-benches", "--bin", "metrics"]
    subprocess.run(build, cwd=ROOT, check=True)
    cargo = ["cargo", "run", "--quiet", "--package", "moeclip-benches", "--bin", "metrics", "--"]
    theirs = answer(sys.executable, __file__, "peer", peer_maps)
    same = answer(*cargo, peer_maps, memory)
    for name, value in theirs["metrics"].items():
        if abs(value - same["metrics"][name]) > 1e-9:
            raise SystemExit(f"{name}: {same['metrics'][name]} here, {value} there")
    ours = answer(*cargo, maps, memory)
    print("| | maps | seconds | ns a pixel | peak, MiB |")
    print("| --- | --- | --- | --- | --- |")
    ours_each = row(f"ours, every pixel metric, limit {memory} MiB", maps, ours)
    theirs_each = row("scikit-learn, AUROC and AP", peer_maps, theirs)
    print(f"\nratio a pixel: {theirs_each / ours_each:.1f}; AUROC and AP of {peer_maps} maps equal to 1e-9")


def row(name: str, maps: int, side: dict) -> float:
    each = 1e9 * side["seconds"] / (maps * PIXELS)
    print(f"| {name} | {maps} | {side['seconds']:.2f} | {each:.1f} | {side['peak_bytes'] / 2**20:.0f} |")
    return each


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("peer",))
    parser.add_argument("count", nargs="?", type=int)
    parser.add_argument("--maps", type=int, default=1725)
    parser.add_argument("--peer-maps", type=int, default=172)
    parser.add_argument("--memory", type=int, default=256, help="our limit, MiB")
    arguments = parser.parse_args()
    if arguments.part and not arguments.count:
        parser.error("peer needs a number of maps")
    if arguments.part:
        print(json.dumps(peer(arguments.count)))
    else:
        compare(arguments.maps, arguments.peer_maps, arguments.memory)


if __name__ == "__main__":
    main()
