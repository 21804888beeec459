"""Seconds of ViT-L/14-336 at 518 px: ours beside PyTorch, OpenVINO and ONNX Runtime, in turn, in one sitting.

    python make_checkpoint.py vit.safetensors                       (the reference's; once)
    python benches/speed.py REFERENCE vit.safetensors               encoder and whole model, f32 and bf16
    python benches/speed.py REFERENCE vit.safetensors --train       training steps too
    python benches/speed.py REFERENCE vit.safetensors --batches 1,2,4,8 --threads 1,2    ours alone

REFERENCE is the folder of bench_reference.py. Needs torch, safetensors, numpy and pillow; peers that are not
installed (openvino, onnxruntime with onnx, a C++ compiler for torch.compile) are named and left out. Every
round asks each side once; what is printed is the median over all runs of all rounds with the lowest and the
highest, and its ratio to OpenVINO's encoder of the same precision. Peak memory is the process's.
"""

import argparse
import importlib.util
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import train_step

ROOT = Path(__file__).resolve().parent.parent
TOKENS, WIDTH, HEADS, HIDDEN, LAYERS, SIZE, PATCH = 1370, 1024, 16, 4096, 24, 518, 14


@dataclass
class Answer:
    """What a side says of a few runs."""

    seconds: list[float]
    peak_gb: float = 0.0
    note: str = ""


@dataclass
class Side:
    name: str
    precision: str
    ask: Callable[[], Answer]
    seconds: list[float] = field(default_factory=list)
    peak_gb: float = 0.0
    note: str = ""

    def run(self) -> None:
        answer = self.ask()
        self.seconds += answer.seconds
        self.peak_gb = max(self.peak_gb, answer.peak_gb)
        self.note = answer.note or self.note

    def row(self, peer: float | None) -> str:
        if not self.seconds:
            return f"| {self.name} | {self.precision} | | | | {self.note} |"
        median = statistics.median(self.seconds)
        ratio = f"{median / peer:.2f}" if peer else ""
        spread = f"{median:.2f} ({min(self.seconds):.2f}-{max(self.seconds):.2f})"
        return f"| {self.name} | {self.precision} | {spread} | {ratio} | {self.peak_gb:.2f} | {self.note} |"


def program(*command: object) -> Callable[[], Answer]:
    """A side that is asked by a command and answers in a line of JSON."""

    def ask() -> Answer:
        done = subprocess.run([str(part) for part in command], cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            return Answer([], note="failed: " + (done.stderr.strip().splitlines() or ["without a word"])[-1])
        said = json.loads(done.stdout.splitlines()[-1])
        if "spread" in said:
            return Answer([said["seconds_per_image"], *said["spread"]], said["peak_gb"])
        return Answer(said["seconds"], (said["peak_bytes"] or 0) / 1e9, said.get("kernels", ""))

    return ask


def training(checkpoint: Path, runs: int, precision: str) -> Callable[[], Answer]:
    """Our training step, by the command that people use."""

    def ask() -> Answer:
        side = train_step.ours(checkpoint, runs, ["--precision", precision])
        return Answer([side.seconds, side.lowest, side.highest], side.peak_gb)

    return ask


def peer_encoder(kind: str, precision: str, runs: int) -> dict:
    """A frozen tower of ViT-L's size with drawn weights, by another library."""
    import time

    import torch
    from torch import nn
    from torch.nn import functional

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm_attention, self.norm_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
            self.qkv, self.out = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
            self.mlp_in, self.mlp_out = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)

        def forward(self, stream):
            heads = self.qkv(self.norm_attention(stream)).reshape(1, TOKENS, 3, HEADS, WIDTH // HEADS)
            query, key, value = heads.permute(2, 0, 3, 1, 4).unbind(0)
            mixed = functional.scaled_dot_product_attention(query, key, value)
            stream = stream + self.out(mixed.transpose(1, 2).reshape(1, TOKENS, WIDTH))
            hidden = self.mlp_in(self.norm_mlp(stream))
            return stream + self.mlp_out(hidden * torch.sigmoid(1.702 * hidden))

    class Encoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH, bias=False)
            self.first = nn.Parameter(torch.randn(1, 1, WIDTH))
            self.blocks = nn.Sequential(*(Block() for _ in range(LAYERS)))

        def forward(self, images):
            patches = self.patches(images).flatten(2).transpose(1, 2)
            return self.blocks(torch.cat([self.first, patches], 1))

    torch.manual_seed(1)
    torch.set_num_threads(2)
    model, images = Encoder().eval(), torch.randn(1, 3, SIZE, SIZE)
    with torch.no_grad():
        if kind == "openvino":
            import openvino

            hints = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": 2}
            hints |= {"PERFORMANCE_HINT": "LATENCY", "NUM_STREAMS": 1}
            converted = openvino.convert_model(model, example_input=images)
            request = openvino.Core().compile_model(converted, "CPU", hints).create_infer_request()
            step = lambda: request.infer({0: images.numpy()})
        elif kind == "onnxruntime":
            import onnxruntime

            with tempfile.TemporaryDirectory() as place:
                file = f"{place}/encoder.onnx"
                torch.onnx.export(model, (images,), file, input_names=["images"], dynamo=False)
                options = onnxruntime.SessionOptions()
                options.intra_op_num_threads = 2
                session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
            step = lambda: session.run(None, {"images": images.numpy()})
        else:
            if precision == "bf16":
                model, images = model.bfloat16(), images.bfloat16()
            if kind == "compiled":
                import torch._inductor.config as inductor

                inductor.freezing = True
                model = torch.compile(model)
            step = lambda: model(images)
        step(), step()
        seconds = []
        for _ in range(runs):
            start = time.perf_counter()
            step()
            seconds.append(time.perf_counter() - start)
    import resource

    return {"seconds": seconds, "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10}


def build() -> Path:
    subprocess.run(["cargo", "build", "--quiet", "--workspace", "--bin", "speed", "--bin", "xtask"], cwd=ROOT, check=True)
    target = os.environ.get("CARGO_TARGET_DIR", "target")
    return (ROOT / target / "debug/speed").resolve()


def peers(runs: int) -> list[Side]:
    sides = []
    for kind, module, precisions in (
        ("openvino", "openvino", ("f32", "bf16")),
        ("onnxruntime", "onnxruntime", ("f32",)),
        ("eager", "torch", ("f32", "bf16")),
        ("compiled", "torch", ("f32", "bf16")),
    ):
        if importlib.util.find_spec(module) is None:
            print(f"{kind} is left out: there is no {module}", file=sys.stderr)
        elif kind == "compiled" and shutil.which("g++") is None:
            print("torch.compile is left out: there is no g++", file=sys.stderr)
        else:
            for precision in precisions:
                ask = program(sys.executable, __file__, "peer", kind, precision, "--runs", runs)
                sides.append(Side(f"{kind}, encoder", precision, ask))
    return sides


def compare(sides: list[Side], rounds: int) -> None:
    for _ in range(rounds):
        for side in sides:
            side.run()
    print("| | precision | seconds an image | of OpenVINO's encoder | peak memory, GB | |")
    print("| --- | --- | --- | --- | --- | --- |")
    for side in sides:
        bar = next((s for s in sides if s.name.startswith("openvino") and s.precision == side.precision), None)
        print(side.row(statistics.median(bar.seconds) if bar and bar.seconds else None), flush=True)


def throughput(ours: Path, checkpoint: Path, batches: list[int], threads: list[int], runs: int) -> None:
    print("| whole model | threads | batch | seconds an image |")
    print("| --- | --- | --- | --- |")
    for precision in ("f32", "bf16"):
        for count in threads:
            for batch in batches:
                environment = os.environ | {"RAYON_NUM_THREADS": str(count)}
                command = [str(part) for part in (ours, "whole", precision, batch, runs, checkpoint)]
                done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
                seconds = json.loads(done.stdout)["seconds"]
                print(f"| {precision} | {count} | {batch} | {statistics.median(seconds):.2f} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("reference", help="the reference's folder; or the word peer")
    parser.add_argument("checkpoint")
    parser.add_argument("precision", nargs="?")
    parser.add_argument("--runs", type=int, default=3, help="of a side in a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--train", action="store_true", help="training steps too")
    parser.add_argument("--batches", help="throughput of ours over these, such as 1,2,4,8")
    parser.add_argument("--threads", default="1,2")
    given = parser.parse_args()
    if given.reference == "peer":
        print(json.dumps(peer_encoder(given.checkpoint, given.precision, given.runs)))
        return
    ours, checkpoint = build(), Path(given.checkpoint).resolve()
    if given.batches:
        numbers = lambda text: [int(number) for number in text.split(",")]
        throughput(ours, checkpoint, numbers(given.batches), numbers(given.threads), given.runs)
        return
    reference = Path(given.reference).resolve() / "bench_reference.py"
    sides = []
    for precision in ("f32", "bf16"):
        for part in ("encoder", "whole"):
            ask = program(ours, part, precision, 1, given.runs, checkpoint)
            sides.append(Side(f"ours, {part}", precision, ask))
        asked = (sys.executable, reference, checkpoint)
        options = ("--precision", precision, "--runs", given.runs)
        sides.append(Side("PyTorch reference, whole", precision, program(*asked, "infer", *options)))
        if given.train:
            sides.append(Side("ours, training step", precision, training(checkpoint, given.runs, precision)))
            sides.append(Side("PyTorch reference, training step", precision, program(*asked, "train", *options)))
    compare(sides + peers(given.runs), given.rounds)


if __name__ == "__main__":
    main()
