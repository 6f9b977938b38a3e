"""The cases of the methods beside LoRA that PEFT has: see cases.py for what a case is."""

import torch
from peft import (
    AdaLoraConfig, AdaptionPromptConfig, IA3Config, MissConfig, PrefixTuningConfig, PromptEncoderConfig,
    PromptTuningConfig)

FAMILIES = ["llama", "mistral", "qwen2", "qwen3", "gpt2"]


def gaussian(deviation, around=0.0):
    def start(name, parameter, generator):
        parameter.copy_(around + deviation * torch.randn(parameter.shape, generator=generator))
    return start


def start_adalora(name, parameter, generator):
    gaussian(0.5 if "lora_E" in name else 0.3)(name, parameter, generator)


def start_adalora_weak(name, parameter, generator):
    """One module so weak that the allocator takes all its triplets."""
    start_adalora(name, parameter, generator)
    if "layers.0.self_attn.k_proj" in name:
        parameter.mul_(0.02)


def start_adaption(name, parameter, generator):
    gaussian(0.3, around=0.6)(name, parameter, generator) if "gate" in name else gaussian(0.5)(
        name, parameter, generator)


def make(method, base, config, start, training=None, **rest):
    return dict(base=base, method=method, config=config, start=start, training=training or {}, **rest)


def ia3(base, **fields):
    return make("ia3", base, lambda: IA3Config(**fields), gaussian(0.3, around=1.0))


def prompt(base, **fields):
    return make("prompt-tuning", base,
                lambda: PromptTuningConfig(num_virtual_tokens=3, **fields), gaussian(0.5))


def prefix(base, **fields):
    return make("prefix-tuning", base,
                lambda: PrefixTuningConfig(num_virtual_tokens=3, **fields), gaussian(0.5))


def p_tuning(base, kind, **fields):
    fields = dict(encoder_hidden_size=12) | fields
    return make("p-tuning", base, lambda: PromptEncoderConfig(
        num_virtual_tokens=3, encoder_reparameterization_type=kind, **fields), gaussian(0.4))


def adaption(base, layers):
    return make("llama-adapter", base, lambda: AdaptionPromptConfig(
        adapter_len=3, adapter_layers=layers), start_adaption)


def regulariser(model):
    """gamma/n times the sum of ||A A' - I|| and ||B' B - I|| over all A and B."""
    weight = model.peft_config["default"].orth_reg_weight
    terms = []
    for name, parameter in model.named_parameters():
        if "lora_A" in name or "lora_B" in name:
            square = parameter @ parameter.T if "lora_A" in name else parameter.T @ parameter
            terms.append(torch.norm(square - torch.eye(len(square)), p="fro"))
    return weight * sum(terms) / len(terms)


def allocate(model, step):
    """PEFT's allocator, after update `step`; what it decided."""
    allocator = model.base_model.rankallocator
    budget, _ = allocator.budget_schedule(step)
    thresholds = []
    kth_value = torch.kthvalue

    def recording(*arguments, **named):
        result = kth_value(*arguments, **named)
        thresholds.append(float(result[0]))
        return result

    torch.kthvalue = recording
    try:
        model.base_model.update_and_allocate(step)
    finally:
        torch.kthvalue = kth_value
    trace = dict(step=step, budget=int(budget), masked=bool(thresholds))
    if thresholds:
        pattern = model.peft_config["default"].rank_pattern
        named = {name.replace(".default", ""): kept for name, kept in (pattern or {}).items()}
        values = {name.removeprefix("base_model.model.").replace(".default", ""): p
                  for name, p in model.named_parameters() if "lora_E" in name}
        kept = {name: [bool(v) for v in (p != 0).flatten()] for name, p in values.items()}
        trace |= dict(threshold=thresholds[-1], kept=kept)
        if named:
            trace["rank_pattern"] = {n: [bool(v) for v in k] for n, k in sorted(named.items())}
    return trace


def adalora(base, training=None, start=start_adalora, **fields):
    fields = dict(init_r=6, target_r=3, tinit=2, tfinal=3, deltaT=2, total_step=12,
                  lora_alpha=9) | fields
    return make("adalora", base, lambda: AdaLoraConfig(**fields), start, training, steps=12,
                regulariser=regulariser, after_step=allocate, save_final=True)


CASES = {f"ia3-{base}": ia3(base) for base in FAMILIES}
CASES["ia3-llama-tied-head"] = ia3(
    "llama-tied", target_modules=["lm_head", "v_proj"], feedforward_modules=[])
CASES["ia3-gpt2-head-input"] = ia3(
    "gpt2", target_modules=["c_attn", "lm_head"], feedforward_modules=["lm_head"])
CASES["ia3-llama-feedforward"] = ia3(
    "llama", target_modules=["k_proj", "v_proj", "up_proj", "down_proj"],
    feedforward_modules=["up_proj"])
CASES["ia3-llama-biases"] = ia3("llama-biases")
CASES |= {f"prompt-tuning-{base}": prompt(base) for base in FAMILIES}
CASES |= {f"prefix-tuning-{base}": prefix(base) for base in FAMILIES}
# Virtual tokens lengthen a sequence, by which these positions are stretched.
CASES |= {"prompt-tuning-llama-dynamic": prompt("llama-dynamic"),
          "prefix-tuning-llama-dynamic": prefix("llama-dynamic")}
CASES |= {f"prefix-tuning-{base}-projection": prefix(
    base, prefix_projection=True, encoder_hidden_size=12) for base in ["llama", "qwen3", "gpt2"]}
CASES |= {f"p-tuning-{base}-mlp": p_tuning(base, "MLP") for base in FAMILIES}
CASES |= {f"p-tuning-{base}-lstm": p_tuning(base, "LSTM", encoder_num_layers=1)
          for base in FAMILIES}
CASES["p-tuning-llama-lstm-2"] = p_tuning(
    "llama", "LSTM", encoder_num_layers=2, encoder_hidden_size=6)
CASES |= {"llama-adapter-llama": adaption("llama", 1), "llama-adapter-llama-all": adaption("llama", 2),
          "llama-adapter-llama-output-bias": adaption("llama-output-bias", 1),
          "llama-adapter-mistral": adaption("mistral", 2), "llama-adapter-gpt2": adaption("gpt2", 2)}
CASES |= {f"adalora-{base}": adalora(base) for base in ["llama", "qwen2", "qwen3", "gpt2"]}
CASES["adalora-mistral"] = adalora("mistral", target_modules=["q_proj", "down_proj"])
CASES["adalora-llama-clip"] = adalora(
    "llama", dict(max_grad_norm=1.0, weight_decay=0.01), target_modules=["q_proj", "k_proj"],
    orth_reg_weight=0.1, beta1=0.7, beta2=0.6)
CASES["adalora-llama-tied-head"] = adalora("llama-tied", target_modules=["q_proj", "lm_head"])
CASES["adalora-llama-tied-tokens"] = adalora(
    "llama-tied", target_modules=["q_proj", "k_proj"], trainable_token_indices=[8, 3, 50])
CASES["adalora-llama-empty-module"] = adalora(
    "llama", start=start_adalora_weak, target_modules=["q_proj", "k_proj"], target_r=2)


def miss(base, scale=0.3, **fields):
    fields = dict(r=4) | fields
    return make("miss", base, lambda: MissConfig(**fields), gaussian(scale))


CASES |= {f"miss-{base}": miss(base) for base in ["llama", "mistral", "qwen2", "qwen3"]}
CASES |= {
    # 5 divides neither 32 nor 48: the last shard is filled up.
    "miss-llama-all-linear": miss("llama", scale=0.05, r=5, target_modules="all-linear"),
    "miss-qwen2-mini": miss("qwen2", init_weights="mini", mini_r=8, r=6,
                            target_modules=["q_proj", "v_proj", "down_proj"]),
    "miss-llama-tied-head": miss("llama-tied", target_modules=["lm_head", "q_proj"]),
    "miss-llama-bat": miss("llama", init_weights="bat", target_modules=["q_proj", "v_proj", "up_proj"]),
    "miss-llama-biases": miss("llama-biases", bias="MiSS_only", r=8,
                              target_modules=["q_proj", "down_proj"]),
}
