"""Houlsby's bottleneck adapters by hooks, for models that AdapterHub does not know, and their cases.

The formula is AdapterHub's, against which bottleneck.py checks it on Llama.
"""

import common
import torch
from safetensors.torch import save_file

NAME = "bottleneck"
ACTIVATIONS = {"swish": torch.nn.functional.silu, "relu": torch.relu}

# AdapterHub's own are made with its package by bottleneck.py; so are Qwen's, by these hooks.
CASES = {f"bottleneck-{base}": (base, 5, 1.0, "swish", {})
         for base in ["llama", "mistral", "qwen2", "qwen3", "gpt2"]}
CASES["bottleneck-llama-relu"] = ("llama", 4, 2.5, "relu", dict(max_grad_norm=1.0, weight_decay=0.01))


class Hooked:
    """The adapters of a model that AdapterHub does not know, with AdapterHub's tensor names.

    `modules` are those of a block whose results the adapters change: what attention and feed-forward
    add to the residual stream, behind a norm of it where there is one.
    """

    def __init__(self, model, size, scaling, activation, blocks="model.layers",
                 modules=("self_attn.o_proj", "mlp.down_proj")):
        self.parameters = {}
        hidden = model.config.hidden_size
        for index, block in enumerate(model.get_submodule(blocks)):
            for site, module in zip(["attention_adapters", "output_adapters"], modules):
                prefix = f"{blocks}.{index}.{site}.adapters.{NAME}."
                shapes = {"adapter_down.0.weight": (size, hidden), "adapter_down.0.bias": (size,),
                          "adapter_up.weight": (hidden, size), "adapter_up.bias": (hidden,)}
                own = {key: torch.nn.Parameter(torch.zeros(shape)) for key, shape in shapes.items()}
                self.parameters |= {prefix + key: value for key, value in own.items()}
                block.get_submodule(module).register_forward_hook(
                    self.hook(own, scaling, ACTIVATIONS[activation]))

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


# What AdapterHub's configuration says besides, of layers that are not used.
UNUSED = dict(
    factorized_phm_W=True, factorized_phm_rule=False, hypercomplex_nonlinearity="glorot-uniform",
    init_weights_seed=None, learn_phm=True, phm_bias=True, phm_c_init="normal", phm_dim=4,
    phm_init_range=0.0001, phm_rank=1, shared_W_phm=False, shared_phm_rule=True, stochastic_depth=0.0)


def save(model, parameters, config, directory):
    directory.mkdir()
    save_file({n: p.detach().clone() for n, p in parameters.items()},
              directory / "adapter.safetensors", metadata={"format": "pt"})
    common.write_json(directory / "adapter_config.json", dict(
        config={**UNUSED, **config}, hidden_size=model.config.hidden_size, name=NAME,
        model_type=model.config.model_type, model_class=type(model).__name__,
        version="adapters.1.3.0"))
