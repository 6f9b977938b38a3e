#!/usr/bin/env python3
"""A run of swift-peft-train again with Hugging Face PEFT, loss by loss.

    swift-peft-train --model M --data D --output-dir start --max-steps 1 --learning-rate 0 [--r 16 …]
    swift-peft-train --model M --data D --output-dir ours --adapter start/adapter --no-shuffle \\
        --lr-scheduler-type constant --logging-steps 1 --max-steps 10 [--global-batch-size 16 …]
    python peft_losses.py --model M --data D --run ours

The first line makes a start for both: with a rate of 0 the adapter stays as it was drawn. The batches
are the file's examples in their order. Learning rate, batch size, clipping, weight decay and AdamW's
constants are read from the run's `config.yaml`. Prints a line a step: the loss of both before that step's
update, and how far they are apart; the last line is the largest distance.
"""
import argparse
import json
import os


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--model", required=True, help="Hugging Face model directory")
    parser.add_argument("--data", required=True, help="HDF5 dataset")
    parser.add_argument("--run", required=True, help="output directory of the run")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    options = parser.parse_args()

    import h5py
    import torch
    import yaml
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    with open(f"{options.run}/config.yaml") as file:
        settings = yaml.safe_load(file)
    expected = {"no_shuffle": True, "lr_scheduler_type": "constant", "precision": "f32"}
    for key, value in expected.items():
        if settings.get(key) != value:
            raise SystemExit(f"{options.run} was trained with {key} {settings.get(key)}, not {value}")
    with open(f"{options.run}/metrics.jsonl") as file:
        events = [json.loads(line) for line in file]
    ours = [event["loss"] for event in events if event["event"] == "step"]

    torch.set_num_threads(options.threads)
    base = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model = PeftModel.from_pretrained(base, settings["adapter"], is_trainable=True)
    model.train()
    trainable = [p for p in model.parameters() if p.requires_grad]
    # PyYAML takes the 1e-08 of older files for a text.
    rate, beta1, beta2, epsilon, decay, limit = (
        float(settings[key]) for key in (
            "learning_rate", "adam_beta1", "adam_beta2", "adam_epsilon", "weight_decay",
            "max_grad_norm"))
    optimizer = torch.optim.AdamW(
        trainable, lr=rate, betas=(beta1, beta2), eps=epsilon, weight_decay=decay)

    file = h5py.File(options.data)
    tokens, mask, offsets = (file[f"train/{name}"][:] for name in ("tokens", "loss_mask", "offsets"))
    size = settings["global_batch_size"]
    largest = 0.0
    print("step  swift-peft-train  Hugging Face PEFT  apart")
    for step, own in enumerate(ours):
        rows = [i % (len(offsets) - 1) for i in range(step * size, (step + 1) * size)]
        spans = [slice(int(offsets[i]), int(offsets[i + 1])) for i in rows]
        counted = sum(int(mask[span][1:].sum()) for span in spans)
        total = 0.0
        # A sequence at a time: padding is then nobody's business.
        for span in spans:
            ids = torch.from_numpy(tokens[span].astype("int64"))[None]
            labels = torch.where(torch.from_numpy(mask[span] == 1)[None], ids, -100)
            logits = model(input_ids=ids).logits[0, :-1]
            loss = torch.nn.functional.cross_entropy(
                logits, labels[0, 1:], ignore_index=-100, reduction="sum") / counted
            loss.backward()
            total += float(loss.detach())
        if limit > 0:
            torch.nn.utils.clip_grad_norm_(trainable, limit)
        optimizer.step()
        optimizer.zero_grad()
        largest = max(largest, abs(own - total))
        print(f"{step + 1:4}  {own:16.6f}  {total:17.6f}  {abs(own - total):.1e}", flush=True)
    print(f"largest distance {largest:.1e}")


if __name__ == "__main__":
    main()
