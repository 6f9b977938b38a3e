"""Writes the cases of Houlsby's bottleneck adapters, which PEFT does not have.

    pip install torch==2.9.1 transformers==4.57.6 adapters==1.3.0 safetensors==0.8.0
    python bottleneck.py

in an environment of its own, after generate.py has written the bases. AdapterHub knows Llama,
Mistral and GPT-2; for Qwen2 and Qwen3, which it does not, hooks on the sublayers' outputs compute
the same formula, which is first checked against AdapterHub on Llama.
"""

import json
import shutil

import adapters
import torch
import transformers
from adapters import DoubleSeqBnConfig
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

import common
from common import HERE
from hooked import CASES, NAME, Hooked, randomise
from hooked import save as save_hooked

# 4.57 spells positions otherwise than the configuration files of the bases, which 5 wrote.
VERSIONS = {"adapters": (adapters, "1.3.0"), "transformers": (transformers, "4.57.6")}


def load(base):
    directory = HERE / "model" / base
    config = transformers.AutoConfig.from_pretrained(directory)
    rope = json.loads((directory / "config.json").read_text()).get("rope_parameters")
    if rope:
        assert rope["rope_type"] == "default"
        config.rope_theta = rope["rope_theta"]
    return AutoModelForCausalLM.from_pretrained(
        directory, config=config, dtype=torch.float32, attn_implementation="eager").eval()


def attach(model, size, scaling, activation, directory, seed):
    """The trained tensors by name, and the adapter saved as AdapterHub writes it."""
    config = DoubleSeqBnConfig(reduction_factor=model.config.hidden_size / (size + 0.5),
                               scaling=scaling, non_linearity=activation)
    if model.config.model_type in ("qwen2", "qwen3"):
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        parameters = Hooked(model, size, scaling, activation).parameters
        randomise(parameters, seed)
        save_hooked(model, parameters, config.to_dict(), directory)
        return parameters
    adapters.init(model)
    model.add_adapter(NAME, config=config)
    model.train_adapter(NAME)
    model.eval()
    parameters = {n: p for n, p in model.named_parameters() if p.requires_grad}
    randomise(parameters, seed)
    model.save_adapter(str(directory), NAME, use_safetensors=True, with_head=False)
    # The model's name is its path: only its end is the same on every machine.
    description = directory / "adapter_config.json"
    description.write_text(description.read_text().replace(f"{HERE.resolve()}/", ""))
    saved = load_file(directory / "adapter.safetensors")
    assert saved.keys() == parameters.keys(), saved.keys() ^ parameters.keys()
    return parameters


def check_hooks():
    """The hooked formula gives AdapterHub's own logits on a base that AdapterHub knows."""
    scratch = HERE / "peft" / "scratch"
    known, hooked = load("llama"), load("llama")
    attach(known, 5, 1.5, "swish", scratch, 1)
    parameters = Hooked(hooked, 5, 1.5, "swish").parameters
    randomise(parameters, 1)
    tokens = common.TOKENS[0]
    difference = common.sequence_logits(known, tokens) - common.sequence_logits(hooked, tokens)
    assert difference.abs().max() < 1e-5, difference.abs().max()
    shutil.rmtree(scratch)


def main():
    common.require(VERSIONS)
    common.make_deterministic()
    check_hooks()
    for name, (base, size, scaling, activation, training) in CASES.items():
        directory = common.empty_directory(HERE / "peft" / name)
        model = load(base)
        seed = common.seed_of(name)
        parameters = attach(model, size, scaling, activation, directory / "adapter", seed)
        for extra in ["README.md", "head_config.json"]:
            (directory / "adapter" / extra).unlink(missing_ok=True)
        case = dict(base=base, method="bottleneck", training=training)
        common.record(model, case, parameters, directory)
        print(name)


if __name__ == "__main__":
    main()
