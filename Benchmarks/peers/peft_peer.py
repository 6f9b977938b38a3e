#!/usr/bin/env python3
"""Hugging Face PEFT on one job: the peer that the benchmarks compare with.

Trains an adapter on a random-weight base and prints one JSON object: real tokens a second (the
median of the timed steps), the mean loss, and the process's peak memory. A batch is padded to its
longest sequence, as the usual collator does; padding is not counted as tokens.
"""
import argparse
import json
import os
import resource
import statistics
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True, help="Hugging Face model directory")
    parser.add_argument("--data", required=True, help="HDF5 dataset")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--batch", type=int, default=4, help="sequences in a step")
    parser.add_argument("--steps", type=int, default=4, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1, help="steps before them")
    parser.add_argument("--r", type=int, default=16)
    return parser.parse_args()


def configuration(method, r, layers):
    import peft

    task = peft.TaskType.CAUSAL_LM
    if method in ("lora", "dora"):
        return peft.LoraConfig(
            task_type=task, r=r, lora_alpha=r, target_modules="all-linear",
            use_dora=method == "dora")
    if method == "adalora":
        return peft.AdaLoraConfig(
            task_type=task, target_modules="all-linear", init_r=12, target_r=8, total_step=1000)
    if method == "ia3":
        return peft.IA3Config(task_type=task)
    if method == "prompt-tuning":
        return peft.PromptTuningConfig(task_type=task, num_virtual_tokens=20)
    if method == "prefix-tuning":
        return peft.PrefixTuningConfig(task_type=task, num_virtual_tokens=20)
    if method == "p-tuning":
        return peft.PromptEncoderConfig(
            task_type=task, num_virtual_tokens=20, encoder_reparameterization_type="LSTM")
    if method == "llama-adapter":
        return peft.AdaptionPromptConfig(
            task_type=task, adapter_len=10, adapter_layers=max(1, layers - 2))
    raise SystemExit(f"no peer for {method}")


def main():
    options = arguments()
    import h5py
    import numpy
    import torch

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with h5py.File(options.data) as file:
        tokens = file["train/tokens"][:].astype("int64")
        mask = file["train/loss_mask"][:]
        offsets = file["train/offsets"][:].astype("int64")
    dtype = torch.bfloat16 if options.precision == "bf16" else torch.float32
    base = AutoModelForCausalLM.from_pretrained(options.model, dtype=dtype)
    if options.method == "full":
        model = base
    else:
        model = get_peft_model(
            base, configuration(options.method, options.r, base.config.num_hidden_layers))
    model.train()
    model.config.use_cache = False
    trainable = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=1e-4, weight_decay=0.0)

    speeds, losses = [], []
    for step in range(options.warmup + options.steps):
        first = step * options.batch
        examples = [
            (tokens[offsets[i]:offsets[i + 1]], mask[offsets[i]:offsets[i + 1]])
            for i in range(first, first + options.batch)]
        longest = max(len(t) for t, _ in examples)
        ids = numpy.zeros((options.batch, longest), "int64")
        labels = numpy.full((options.batch, longest), -100, "int64")
        attention = numpy.zeros((options.batch, longest), "int64")
        for row, (t, m) in enumerate(examples):
            ids[row, :len(t)] = t
            labels[row, :len(t)] = numpy.where(m == 1, t, -100)
            attention[row, :len(t)] = 1
        began = time.perf_counter()
        output = model(
            input_ids=torch.from_numpy(ids), attention_mask=torch.from_numpy(attention),
            labels=torch.from_numpy(labels))
        output.loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        if hasattr(getattr(model, "base_model", None), "update_and_allocate"):
            model.base_model.update_and_allocate(step + 1)
        optimizer.zero_grad()
        seconds = time.perf_counter() - began
        losses.append(float(output.loss.detach()))
        if step >= options.warmup:
            speeds.append(sum(len(t) for t, _ in examples) / seconds)
    print(json.dumps({
        "tokens_per_second": statistics.median(speeds), "loss": statistics.mean(losses),
        "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "trainable_parameters": sum(p.numel() for p in trainable)}))


if __name__ == "__main__":
    main()
