"""Compares one block of each family, at a published size, with transformers and PEFT in f32.

    python blocks.py --program .build/release/swift-peft-train [--only NAME …]

Makes a model of one block with random weights and a small vocabulary, and a LoRA adapter on every
projection that starts away from zero; trains one step of SGD at rate 1 with the program, whose change
is the gradient; and compares loss and every gradient with PEFT's. Prints a line a family; exit status 1
where a loss is off by more than 1e-5 or a gradient by more than 1e-4 of its norm.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import h5py
import numpy
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForCausalLM

LENGTH, VOCABULARY = 300, 512
LONG = dict(rope_type="longrope", short_factor=[1 + i / 48 for i in range(48)],
            long_factor=[1 + i / 4 for i in range(48)])
BLOCKS = {
    "smollm3": dict(  # SmolLM3-3B
        hidden_size=2048, intermediate_size=11008, num_attention_heads=16, num_key_value_heads=4,
        rope_theta=5e6),
    "olmo2": dict(  # OLMo-2-1124-7B
        hidden_size=4096, intermediate_size=11008, num_attention_heads=32, rope_theta=5e5,
        rms_norm_eps=1e-6),
    "granite": dict(  # granite-3.1-8b
        hidden_size=4096, intermediate_size=12800, num_attention_heads=32, num_key_value_heads=8,
        rope_theta=1e7, attention_multiplier=0.0078125, embedding_multiplier=12.0,
        logits_scaling=16.0, residual_multiplier=0.22),
    "phi3": dict(  # Phi-4-mini
        hidden_size=3072, intermediate_size=8192, num_attention_heads=24, num_key_value_heads=8,
        partial_rotary_factor=0.75, max_position_embeddings=131072,
        original_max_position_embeddings=4096, rope_scaling=LONG, sliding_window=262144),
    "gpt_neox": dict(  # pythia-6.9b
        hidden_size=4096, intermediate_size=16384, num_attention_heads=32, rotary_pct=0.25),
    "gemma2": dict(  # gemma-2-9b
        hidden_size=3584, intermediate_size=14336, num_attention_heads=16, num_key_value_heads=8,
        head_dim=256, query_pre_attn_scalar=256, sliding_window=128),
    "gemma3_text": dict(  # gemma-3-1b
        hidden_size=1152, intermediate_size=6912, num_attention_heads=4, num_key_value_heads=1,
        head_dim=256, query_pre_attn_scalar=256, sliding_window=128),
    "starcoder2": dict(  # starcoder2-7b
        hidden_size=4608, intermediate_size=18432, num_attention_heads=36, num_key_value_heads=4,
        rope_theta=1e6, sliding_window=4096),
    "stablelm": dict(  # stablelm-3b-4e1t
        hidden_size=2560, intermediate_size=6912, num_attention_heads=32, num_key_value_heads=32),
    "arcee": dict(  # AFM-4.5B
        hidden_size=2560, intermediate_size=18432, num_attention_heads=20, num_key_value_heads=4,
        rope_theta=10000.0),
    "qwen3_moe": dict(  # Qwen3-30B-A3B
        hidden_size=2048, intermediate_size=6144, num_attention_heads=32, num_key_value_heads=4,
        head_dim=128, rope_theta=1e6, num_experts=128, num_experts_per_tok=8,
        moe_intermediate_size=768, norm_topk_prob=True),
}


def make(name, directory):
    """A block's model and adapter, written, and the reference's loss and gradients."""
    torch.manual_seed(0)
    config = AutoConfig.for_model(name, **(dict(
        vocab_size=VOCABULARY, num_hidden_layers=1, bos_token_id=1, eos_token_id=2, pad_token_id=0,
        tie_word_embeddings=False) | BLOCKS[name]))
    model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn(parameter.shape))
    model.save_pretrained(directory / "base")
    adapted = get_peft_model(model, LoraConfig(
        r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM")).eval()
    trained = {n: p for n, p in adapted.named_parameters() if p.requires_grad}
    with torch.no_grad():
        for name_, parameter in trained.items():
            parameter.copy_(0.02 * torch.randn(parameter.shape))
    adapted.save_pretrained(directory / "start")
    tokens = torch.randint(0, VOCABULARY, (1, LENGTH))
    logits = adapted(input_ids=tokens).logits[0]
    loss = torch.nn.functional.cross_entropy(logits[:-1], tokens[0, 1:])
    loss.backward()
    with h5py.File(directory / "data.h5", "w") as file:
        file.attrs.update(format="swift-peft-dataset", version=1, vocab_size=VOCABULARY)
        file["train/tokens"] = tokens[0].numpy().astype("uint32")
        file["train/loss_mask"] = numpy.ones(LENGTH, "uint8")
        file["train/offsets"] = numpy.array([0, LENGTH], "uint64")
    zero = {n: torch.zeros_like(p) for n, p in trained.items() if p.grad is None}
    return float(loss.detach()), {
        n.replace(".default", ""): zero.get(n, p.grad) for n, p in trained.items()}


def compare(name, program, directory):
    loss, gradients = make(name, directory)
    output = directory / "out"
    subprocess.run([
        program, "train", "--model", directory / "base", "--data", directory / "data.h5",
        "--method", "lora", "--adapter", directory / "start", "--output-dir", output,
        "--optimizer", "sgd", "--learning-rate", "1", "--weight-decay", "0", "--max-grad-norm", "0",
        "--warmup-steps", "0", "--lr-scheduler-type", "constant", "--max-steps", "1",
        "--global-batch-size", "1", "--logging-steps", "1", "--precision", "f32"],
        check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    events = [json.loads(line) for line in (output / "metrics.jsonl").read_text().splitlines()]
    found = next(event["loss"] for event in events if event["event"] == "step")
    start = load_file(directory / "start" / "adapter_model.safetensors")
    end = load_file(output / "adapter" / "adapter_model.safetensors")
    errors = {n: float(torch.linalg.norm((start[n] - end[n]).double() - g.double())
                       / torch.linalg.norm(g.double())) for n, g in gradients.items()}
    worst = max(errors, key=errors.get)
    off = abs(found - loss) / loss
    print(f"{name}: loss {found:.6f}, off by {off:.1e}; {len(errors)} gradients, the worst off by "
          f"{errors[worst]:.1e} ({worst.split('layers.0.')[-1]})", flush=True)
    return off <= 1e-5 and errors[worst] <= 1e-4


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--program", required=True)
    parser.add_argument("--only", nargs="+", default=list(BLOCKS))
    arguments = parser.parse_args()
    right = True
    for name in arguments.only:
        with tempfile.TemporaryDirectory() as directory:
            right = compare(name, arguments.program, pathlib.Path(directory)) and right
    sys.exit(not right)


if __name__ == "__main__":
    main()
