"""Loads what the program wrote into transformers and PEFT, and prints the loss they find.

    python check_adapter.py --model DIR [--adapter DIR] --data FILE.h5 [--split validation]

`--model` is a model directory (a base, or what `merge` or `--method full` wrote), `--adapter` a PEFT
adapter directory for it. A missing or unexpected tensor is an error. The loss is the program's own:
summed cross-entropy of the counted tokens over their number, each example alone and unpadded, in
f32. The result is one JSON object, to be compared with `swift-peft-train evaluate --json`.
"""

import argparse
import json
import math

import h5py
import torch
from peft import PeftConfig, PeftModel, get_peft_model
from peft.utils import load_peft_weights, set_peft_model_state_dict
from transformers import AutoModelForCausalLM


def load_model(directory):
    model, report = AutoModelForCausalLM.from_pretrained(
        directory, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"):
        if report[kind]:
            raise SystemExit(f"{directory}: {kind}: {sorted(report[kind])}")
    if hasattr(model.config, "num_experts"):  # the grouped product wants larger rows
        model.set_experts_implementation("eager")
    return model


def load_adapter(model, directory):
    config = PeftConfig.from_pretrained(directory)
    if config.is_prompt_learning:  # PEFT loads these for inference alone
        names = set(load_peft_weights(directory, device="cpu"))
        if names != {"prompt_embeddings"}:
            raise SystemExit(f"{directory}: has {sorted(names)}, wanted prompt_embeddings alone")
        return PeftModel.from_pretrained(model, directory)
    config.inference_mode = False  # so that what the adapter trains can be told from the base
    peft_model = get_peft_model(model, config)
    trained = {name for name, p in peft_model.named_parameters() if p.requires_grad}
    weights = load_peft_weights(directory, device="cpu")
    report = set_peft_model_state_dict(peft_model, weights)
    missing = sorted(trained & set(report.missing_keys))
    if missing or report.unexpected_keys:
        raise SystemExit(f"{directory}: missing {missing}, unexpected {report.unexpected_keys}")
    return peft_model


def examples(path, split):
    with h5py.File(path) as file:
        tokens, mask, offsets = (file[split][key][:] for key in ("tokens", "loss_mask", "offsets"))
    for begin, end in zip(offsets[:-1], offsets[1:]):
        yield tokens[begin:end].astype("int64"), mask[begin:end]


@torch.no_grad()
def evaluate(model, path, split):
    total, counted, number = 0.0, 0, 0
    for tokens, mask in examples(path, split):
        logits = model(input_ids=torch.tensor(tokens[None])).logits[0]
        logits = logits[len(logits) - len(tokens):]
        targets = torch.tensor([int(t) if m else -100 for t, m in zip(tokens, mask)][1:])
        total += float(torch.nn.functional.cross_entropy(
            logits[:-1], targets, reduction="none").double().sum())
        counted += int((targets >= 0).sum())
        number += 1
    loss = total / counted
    return dict(loss=loss, perplexity=math.exp(loss), tokens=counted, examples=number)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--adapter")
    parser.add_argument("--data", required=True)
    parser.add_argument("--split", default="validation")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    model = load_model(arguments.model)
    if arguments.adapter:
        model = load_adapter(model, arguments.adapter)
    print(json.dumps(evaluate(model.eval(), arguments.data, arguments.split)))


if __name__ == "__main__":
    main()
