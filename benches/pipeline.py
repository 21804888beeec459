"""Images per second from file to normalised batch: ours beside torchvision on Pillow, in one sitting.

    python benches/pipeline.py                  both kinds, both sides in turn; a Markdown table
    python benches/pipeline.py --libjpeg-turbo  the same with that feature, which needs CMake and NASM
    python benches/pipeline.py make FOLDER      only makes the pictures
    python benches/pipeline.py peer FOLDER      only the peer's side of one folder, as JSON

Needs torch, torchvision, pillow and numpy. Both sides read the same files with two workers in
batches of eight and bring them to 518 x 518 with CLIP's normalisation. The pictures are made from a
seed: noise whose spectrum falls as a photo's does, so that the files are as large as photos are.
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

SIZE, BATCH, WORKERS, PASSES = 518, 8, 2, 3
MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Kind:
    folder: str
    suffix: str
    width: int
    height: int
    copies: int


KINDS = (Kind("jpeg-1500x1000", "jpg", 1500, 1000, 256), Kind("png-512x512", "png", 512, 512, 512))


def smooth(rng: numpy.random.Generator, width: int, height: int, falling: float) -> numpy.ndarray:
    """Noise whose amplitude falls with this power of the frequency; mean 0, deviation 1."""
    frequency = numpy.hypot(
        numpy.fft.fftfreq(height)[:, None], numpy.fft.rfftfreq(width)[None, :]
    )
    frequency[0, 0] = numpy.inf
    real, imaginary = rng.normal(size=(2, *frequency.shape))
    field = numpy.fft.irfft2((real + 1j * imaginary) / frequency**falling, s=(height, width))
    return field / field.std()


def photo(kind: Kind) -> Image.Image:
    """Light and shade, softer colours, and a sensor's grain."""
    rng = numpy.random.default_rng(7)
    light = smooth(rng, kind.width, kind.height, 1.5)
    colours = [smooth(rng, kind.width, kind.height, 1.8) for _ in range(3)]
    planes = numpy.stack([light + 0.3 * colour for colour in colours], axis=-1)
    grain = rng.normal(size=(kind.height, kind.width, 1))
    return Image.fromarray((128 + 42 * planes + grain).clip(0, 255).astype(numpy.uint8))


def make(root: Path) -> None:
    for kind in KINDS:
        folder = root / kind.folder
        folder.mkdir(parents=True, exist_ok=True)
        first = folder / f"000.{kind.suffix}"
        photo(kind).save(first, **({"quality": 90} if kind.suffix == "jpg" else {}))
        for copy in range(1, kind.copies):
            (folder / f"{copy:03}.{kind.suffix}").write_bytes(first.read_bytes())


def peer(folder: Path) -> dict:
    """torch's DataLoader over torchvision's transforms, as the Python originals use them."""
    import torch
    from torchvision import transforms
    from torchvision.transforms import InterpolationMode

    transform = transforms.Compose(
        [
            transforms.Resize((SIZE, SIZE), InterpolationMode.BICUBIC),
            transforms.ToTensor(),
            transforms.Normalize(MEAN, STD),
        ]
    )

    class Pictures(torch.utils.data.Dataset):
        files = sorted(folder.iterdir())

        def __len__(self) -> int:
            return len(self.files)

        def __getitem__(self, index: int) -> torch.Tensor:
            return transform(Image.open(self.files[index]).convert("RGB"))

    loader = torch.utils.data.DataLoader(
        Pictures(), batch_size=BATCH, num_workers=WORKERS, persistent_workers=True
    )
    speeds = []
    for _ in range(PASSES + 1):
        start = time.perf_counter()
        for batch in loader:
            pass
        speeds.append(len(Pictures()) / (time.perf_counter() - start))
    return {"images_per_second": speeds[1:], "mean": batch.mean().item()}


def answer(*command: object) -> dict:
    done = subprocess.run([str(part) for part in command], cwd=ROOT, check=True, capture_output=True)
    return json.loads(done.stdout)


def compare(root: Path, rounds: int, features: list) -> None:
    package = ["--package", "moeclip-benches", "--bin", "pipeline", *features]
    cargo = ["cargo", "run", "--quiet", *package, "--"]
    sides = {
        "ours": lambda folder: answer(*cargo, folder, PASSES),
        "peer": lambda folder: answer(sys.executable, __file__, "peer", folder),
    }
    subprocess.run(["cargo", "build", *package], cwd=ROOT, check=True)
    print("| pictures | KB | ours, images/s | torchvision, images/s | ratio |")
    print("| --- | --- | --- | --- | --- |")
    for kind in KINDS:
        folder = root / kind.folder
        speeds = {side: [] for side in sides}
        for _ in range(rounds):
            means = []
            for side, run in sides.items():
                result = run(folder)
                speeds[side] += result["images_per_second"]
                means.append(result["mean"])
            if abs(means[0] - means[1]) > 0.002:
                raise SystemExit(f"{kind.folder}: the sides differ: their means are {means}")
        row(kind, (folder / f"000.{kind.suffix}").stat().st_size, speeds["ours"], speeds["peer"])


def row(kind: Kind, size: int, ours: list, peers: list) -> None:
    ratio = statistics.median(ours) / statistics.median(peers)
    spread = lambda speeds: f"{statistics.median(speeds):.1f} ({min(speeds):.1f}-{max(speeds):.1f})"
    print(f"| {kind.folder} | {size / 1000:.0f} | {spread(ours)} | {spread(peers)} | {ratio:.2f} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", nargs="?", choices=("make", "peer"))
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--libjpeg-turbo", action="store_true")
    arguments = parser.parse_args()
    if arguments.part and not arguments.folder:
        parser.error("make and peer need a folder")
    if arguments.part == "make":
        make(arguments.folder)
    elif arguments.part == "peer":
        print(json.dumps(peer(arguments.folder)))
    else:
        with tempfile.TemporaryDirectory() as root:
            make(Path(root))
            features = ["--features", "libjpeg-turbo"] if arguments.libjpeg_turbo else []
            compare(Path(root), arguments.rounds, features)


if __name__ == "__main__":
    main()
