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
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

import common
from common import HERE

# 4.57 spells positions otherwise than the configuration files of the bases, which 5 wrote.
VERSIONS = {"adapters": (adapters, "1.3.0"), "transformers": (transformers, "4.57.6")}
NAME = "bottleneck"
ACTIVATIONS = {"swish": torch.nn.functional.silu, "relu": torch.relu}


def load(base):
    directory = HERE / "model" / base
    config = transformers.AutoConfig.from_pretrained(directory)
    rope = json.loads((directory / "config.json").read_text()).get("rope_parameters")
    if rope:
        assert rope["rope_type"] == "default"
        config.rope_theta = rope["rope_theta"]
    return AutoModelForCausalLM.from_pretrained(
        directory, config=config, dtype=torch.float32, attn_implementation="eager").eval()


class Hooked:
    """The adapters of a model that AdapterHub does not know, with AdapterHub's tensor names."""

    def __init__(self, model, size, scaling, activation):
        self.parameters = {}
        hidden = model.config.hidden_size
        for index, block in enumerate(model.model.layers):
            for site, module in [("attention_adapters", block.self_attn.o_proj),
                                 ("output_adapters", block.mlp.down_proj)]:
                prefix = f"model.layers.{index}.{site}.adapters.{NAME}."
                shapes = {"adapter_down.0.weight": (size, hidden), "adapter_down.0.bias": (size,),
                          "adapter_up.weight": (hidden, size), "adapter_up.bias": (hidden,)}
                own = {key: torch.nn.Parameter(torch.zeros(shape)) for key, shape in shapes.items()}
                self.parameters |= {prefix + key: value for key, value in own.items()}
                module.register_forward_hook(self.hook(own, scaling, ACTIVATIONS[activation]))

    @staticmethod
    def hook(own, scaling, activation):
        def add(module, inputs, h):
            down = activation(h @ own["adapter_down.0.weight"].T + own["adapter_down.0.bias"])
            return h + scaling * (down @ own["adapter_up.weight"].T + own["adapter_up.bias"])
        return add


def randomise(parameters, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name in sorted(parameters):
            parameters[name].copy_(0.3 * torch.randn(parameters[name].shape, generator=generator))


def attach(model, size, scaling, activation, directory, seed):
    """The trained tensors by name, and the adapter saved as AdapterHub writes it."""
    config = DoubleSeqBnConfig(reduction_factor=model.config.hidden_size / (size + 0.5),
                               scaling=scaling, non_linearity=activation)
    if model.config.model_type in ("qwen2", "qwen3"):
        for parameter in model.parameters():
            parameter.requires_grad_(False)
        parameters = Hooked(model, size, scaling, activation).parameters
        randomise(parameters, seed)
        directory.mkdir()
        save_file({n: p.detach().clone() for n, p in parameters.items()},
                  directory / "adapter.safetensors", metadata={"format": "pt"})
        common.write_json(directory / "adapter_config.json", dict(
            config=config.to_dict(), hidden_size=model.config.hidden_size, name=NAME,
            model_type=model.config.model_type, model_class=type(model).__name__,
            version="adapters.1.3.0"))
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


CASES = {f"bottleneck-{base}": (base, 5, 1.0, "swish", {})
         for base in ["llama", "mistral", "qwen2", "qwen3", "gpt2"]}
CASES["bottleneck-llama-relu"] = ("llama", 4, 2.5, "relu", dict(max_grad_norm=1.0, weight_decay=0.01))


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
