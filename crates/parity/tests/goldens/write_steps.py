"""Writes twenty-steps.json: the losses of twenty training steps of the PyTorch reference, for tests/parity.rs.

    python write_steps.py REFERENCE CONFIG GOLDEN... > twenty-steps.json

REFERENCE is the folder of moeclip_ref.py, CONFIG a run's description (configs/train-visa-release.toml), each GOLDEN a
file of make_goldens.py. Needs torch and safetensors. Only numbers come from the reference; none of its code is here.

The model is the golden's; learning rate and loss weights are the description's; Adam is torch's own, with the betas
of the paper. Step t (from 0) sees the golden's images and masks rolled by 5 t columns, so that no two batches are alike.
"""
import json
import os
import sys
import tomllib

import torch
from safetensors import safe_open
from safetensors.torch import load_file

STEPS, SHIFT = 20, 5


def part(tensors, prefix):
    return {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}


def losses(reference, golden, training):
    with safe_open(golden, "pt") as file:
        config = json.loads(file.metadata()["config"])
    config.pop("pretrain_grid")
    cfg = reference.Config(**config)
    tensors = load_file(golden)
    clip, adapter, given = (part(tensors, prefix) for prefix in ("clip.", "adapter.", "in."))
    for name, tensor in adapter.items():
        tensor.requires_grad_("lora_A" not in name)
    parameters = [tensor for tensor in adapter.values() if tensor.requires_grad]
    adam = torch.optim.Adam(parameters, lr=training["learning-rate"]["initial"], betas=(0.5, 0.999))
    weights = training["losses"]
    steps = []
    for step in range(STEPS):
        images, mask = (given[name].roll(SHIFT * step, -1) for name in ("images", "mask"))
        out = reference.forward(cfg, clip, adapter, images)
        text = reference.text_features(cfg, clip, adapter, given["tokens_normal"], given["tokens_abnormal"])
        terms = reference.total_loss(cfg, out, text.expand(len(images), -1, -1), mask, given["label"],
                                     lambda_etf=weights["etf"], lambda_bal=weights["balance"])
        names = {"total": "total", "image": "ac", "etf": "etf", "balance": "balance"}
        steps.append({ours: terms[its].item() for ours, its in names.items()})
        adam.zero_grad()
        terms["total"].backward()
        adam.step()
    return steps


if __name__ == "__main__":
    folder, description, *goldens = sys.argv[1:]
    sys.path.insert(0, folder)
    import moeclip_ref
    with open(description, "rb") as file:
        training = tomllib.load(file)["training"]
    torch.set_num_threads(1)
    runs = {os.path.basename(golden).removesuffix(".safetensors"): losses(moeclip_ref, golden, training) for golden in goldens}
    print("{")
    for index, (name, steps) in enumerate(runs.items()):
        print(f' "{name}": [')
        print(",\n".join("  " + json.dumps(step) for step in steps))
        print(" ]" + ("," if index + 1 < len(runs) else ""))
    print("}")
