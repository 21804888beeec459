"""One training step of ViT-L/14-336 at 518 px, batch 1, f32: ours beside the PyTorch reference's, in one sitting.

    python make_checkpoint.py vit.safetensors                                  (the reference's; once)
    python benches/train_step.py REFERENCE vit.safetensors [--runs 3] [-- OPTIONS OF cargo xtask train]

REFERENCE is the folder of bench_reference.py. Needs numpy and pillow, and what the reference needs: torch and
safetensors. Prints a Markdown table: median seconds (lowest to highest) and peak resident memory of each side, one
side after the other. Ours is the time from one step's line of JSON to the next, with decoding and augmentation in it;
the first step of each side is left out. The reference encodes the prompts at every step, ours once.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SIZE = 518


@dataclass(frozen=True)
class Side:
    name: str
    seconds: float
    lowest: float
    highest: float
    peak_gb: float

    def row(self) -> str:
        return (
            f"| {self.name} | {self.seconds:.1f} ({self.lowest:.1f}-{self.highest:.1f}) "
            f"| {self.peak_gb:.2f} |"
        )


def write_pictures(folder: Path, count: int) -> None:
    """A folder in MVTec layout with as many normal pictures as anomalous ones."""
    rng = numpy.random.default_rng(7)
    mask = numpy.zeros((SIZE, SIZE), numpy.uint8)
    mask[100:200, 150:300] = 255
    test, truth = folder / "noise/test", folder / "noise/ground_truth/square"
    for place in (test / "good", test / "square", truth):
        place.mkdir(parents=True)
    for index in range(count):
        pixels = rng.integers(0, 256, (SIZE, SIZE, 3), numpy.uint8)
        Image.fromarray(pixels).save(test / f"good/{index:03}.png")
        pixels[mask > 0] //= 2
        Image.fromarray(pixels).save(test / f"square/{index:03}.png")
        Image.fromarray(mask).save(truth / f"{index:03}_mask.png")


def ours(checkpoint: Path, runs: int, options: list[str]) -> Side:
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bin", "xtask"], cwd=ROOT, check=True)
    with tempfile.TemporaryDirectory() as place:
        write_pictures(Path(place) / "data", (runs + 2) // 2)
        command = ["cargo", "xtask", "train", "--json", "--clip", str(checkpoint.resolve())]
        command += ["--data", f"{place}/data", "--out", f"{place}/adapter.safetensors"]
        command += ["--batch", "1", "--steps", str(runs + 1), *options]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        lines = [(time.perf_counter(), json.loads(line)) for line in process.stdout]
        if process.wait() != 0:
            sys.exit("cargo xtask train failed; its error stands above")
    times = [when for when, line in lines if "losses" in line]
    seconds = [later - earlier for earlier, later in zip(times, times[1:])]
    peak = lines[-1][1]["peak_bytes"] / 1e9
    return Side("ours", statistics.median(seconds), min(seconds), max(seconds), peak)


def reference(folder: Path, checkpoint: Path, runs: int) -> Side:
    command = [sys.executable, str(folder / "bench_reference.py"), str(checkpoint), "train"]
    output = subprocess.run(
        [*command, "--runs", str(runs)], stdout=subprocess.PIPE, text=True, check=True
    ).stdout
    said = json.loads(output.splitlines()[-1])
    lowest, highest = said["spread"]
    return Side("PyTorch", said["seconds_per_image"], lowest, highest, said["peak_gb"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", type=Path)
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--side", choices=["both", "ours", "reference"], default="both")
    parser.add_argument("options", nargs="*", help="for cargo xtask train, behind --")
    given = parser.parse_args()
    print("| training step, ViT-L/14-336, 518 px, batch 1, f32 | seconds | peak memory, GB |")
    print("| --- | --- | --- |")
    sides = []
    if given.side != "reference":
        sides.append(ours(given.checkpoint, given.runs, given.options))
        print(sides[-1].row(), flush=True)
    if given.side != "ours":
        sides.append(reference(given.reference, given.checkpoint, given.runs))
        print(sides[-1].row(), flush=True)
    if len(sides) == 2:
        mine, theirs = sides
        time_ratio, memory_ratio = mine.seconds / theirs.seconds, mine.peak_gb / theirs.peak_gb
        print(f"| ratio | {time_ratio:.2f} | {memory_ratio:.2f} |")


if __name__ == "__main__":
    main()
