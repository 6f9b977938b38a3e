#!/usr/bin/env python3
"""Hugging Face PEFT on one job: the peer that the benchmarks compare with.

Trains an adapter (or, with `--method full`, all weights) and prints one JSON object as its last
line: the tokens and the seconds of each timed step, the first step's loss, and the largest
process's peak of resident memory. A batch is padded to its longest sequence, as the usual collator
does; padding is not counted as tokens.

With `--processes N` each of N processes trains on its share of every batch and gradients are
averaged by one all-reduce over gloo: what DistributedDataParallel does, in a single bucket.
"""
import argparse
import json
import os
import socket
import sys
import time


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--versions", action="store_true", help="print the packages' versions")
    parser.add_argument("--model", help="Hugging Face model directory")
    parser.add_argument("--data", help="HDF5 dataset")
    parser.add_argument("--method", default="lora")
    parser.add_argument("--precision", choices=["f32", "bf16"], default="f32")
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of each process")
    parser.add_argument("--batch", type=int, default=4, help="sequences in a step")
    parser.add_argument("--steps", type=int, default=4, help="timed steps")
    parser.add_argument("--warmup", type=int, default=1, help="steps before them")
    parser.add_argument("--r", type=int, default=16)
    options = parser.parse_args()
    if not options.versions and not (options.model and options.data):
        parser.error("--model and --data are needed")
    if options.batch % options.processes:
        parser.error(f"{options.batch} sequences over {options.processes} processes")
    return options


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
    if method == "miss":
        return peft.MissConfig(task_type=task, r=r, target_modules="all-linear")
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
    raise SystemExit(f"PEFT has no method '{method}'")


def peak_memory():
    """The most memory that this process has had, as the kernel counts it.

    Not getrusage's figure, which a child inherits from the program that started it.
    """
    with open("/proc/self/status") as file:
        for line in file:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def batch(data, first, count):
    """`count` examples from `first` on, padded to the longest of them."""
    import numpy

    tokens, mask, offsets = data
    rows = [first + i for i in range(count)]
    examples = [
        (tokens[offsets[i]:offsets[i + 1]], mask[offsets[i]:offsets[i + 1]])
        for i in (row % (len(offsets) - 1) for row in rows)]
    longest = max(len(t) for t, _ in examples)
    ids = numpy.zeros((count, longest), "int64")
    labels = numpy.full((count, longest), -100, "int64")
    attention = numpy.zeros((count, longest), "int64")
    for row, (t, m) in enumerate(examples):
        ids[row, :len(t)] = t
        labels[row, :len(t)] = numpy.where(m == 1, t, -100)
        attention[row, :len(t)] = 1
    return ids, labels, attention


def train(rank, options, port):
    import h5py
    import torch
    import torch.distributed as dist

    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    world = options.processes
    if world > 1:
        dist.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world)
    from peft import get_peft_model
    from transformers import AutoModelForCausalLM

    with h5py.File(options.data) as file:
        data = (file["train/tokens"][:].astype("int64"), file["train/loss_mask"][:],
                file["train/offsets"][:].astype("int64"))
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

    offsets = data[2]
    examples = len(offsets) - 1
    share = options.batch // world
    step_tokens, step_seconds, first_loss = [], [], None
    for step in range(options.warmup + options.steps):
        start = step * options.batch
        ids, labels, attention = (
            torch.from_numpy(part) for part in batch(data, start + rank * share, share))
        if world > 1:
            dist.barrier()
        began = time.perf_counter()
        output = model(input_ids=ids, attention_mask=attention, labels=labels)
        output.loss.backward()
        if world > 1:
            gradients = [p.grad for p in trainable if p.grad is not None]
            flat = torch.cat([g.reshape(-1) for g in gradients])
            dist.all_reduce(flat)
            flat /= world
            for gradient, part in zip(gradients, flat.split([g.numel() for g in gradients])):
                gradient.copy_(part.view_as(gradient))
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        if hasattr(getattr(model, "base_model", None), "update_and_allocate"):
            model.base_model.update_and_allocate(step + 1)
        optimizer.zero_grad()
        if world > 1:
            dist.barrier()
        seconds = time.perf_counter() - began
        if first_loss is None:
            counted = int((labels[:, 1:] != -100).sum())
            sums = torch.tensor([float(output.loss.detach()) * counted, counted], dtype=torch.double)
            if world > 1:
                dist.all_reduce(sums)
            first_loss = float(sums[0] / sums[1])
        if step >= options.warmup:
            rows = [(start + i) % examples for i in range(options.batch)]
            step_tokens.append(sum(int(offsets[i + 1] - offsets[i]) for i in rows))
            step_seconds.append(seconds)
    memory = torch.tensor([peak_memory()], dtype=torch.int64)
    if world > 1:
        dist.all_reduce(memory, op=dist.ReduceOp.MAX)
    if rank == 0:
        print(json.dumps({
            "step_tokens": step_tokens, "step_seconds": step_seconds, "first_loss": first_loss,
            "peak_memory_bytes": int(memory[0]),
            "trainable_parameters": sum(p.numel() for p in trainable)}), flush=True)
    if world > 1:
        dist.destroy_process_group()


def main():
    options = arguments()
    if options.versions:
        from importlib.metadata import version

        names = ["torch", "transformers", "peft", "safetensors", "h5py", "numpy"]
        print(json.dumps({"python": sys.version.split()[0], **{n: version(n) for n in names}}))
        return
    if options.processes == 1:
        return train(0, options, None)
    import torch.multiprocessing as multiprocessing

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    multiprocessing.spawn(train, args=(options, port), nprocs=options.processes)


if __name__ == "__main__":
    main()
