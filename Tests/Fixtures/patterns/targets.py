"""Asks PEFT which modules of the tiny bases a selection adapts; writes targets.json.

    python targets.py          (peft 0.21, transformers 5.23)
"""

import json
import logging
import pathlib

import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import AutoModelForCausalLM

HERE = pathlib.Path(__file__).parent
LLAMA = [
    {"target_modules": p} for p in (
        r".*\bq_proj\b", r".*\.(q|v)_proj$", r"model\.layers\.\d\.self_attn\.[qk]_proj", r".*_proj\Z", r"(?i).*Q_PROJ", r".*(?<!gate)_proj",
        r".*\.layers\.(?P<n>0|1)\.mlp\.\w+_proj", r"(?!.*mlp).*proj", r".*\b1\b.*proj", r".*\bself\B.*proj", r".*[^_]proj", r".*\W[a-z]_proj", r"(?x) .* [qv] _proj", r".*layers.(?:1).*(?>gate|up)_proj",
    )
] + [
    {"target_modules": ["q_proj", "v_proj"], "exclude_modules": r".*\b0\b.*"}, {"target_modules": r".*_proj", "exclude_modules": r".*\.(gate|up|down)_proj$"},
    {"target_modules": ["q_proj", "mlp.up_proj"], "layers_to_transform": [1]}, {"target_modules": ["q_proj"], "layers_to_transform": 0, "layers_pattern": "layers"},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": r"\blayers\b"}, {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": ["blocks", "layers"]},
    {"target_modules": ["q_proj"], "layers_to_transform": [1], "layers_pattern": r"(?:model\.)?layers"}, {"target_modules": ["q_proj"], "layers_to_transform": [0], "layers_pattern": r"blocks|layers"},
    {"target_modules": ["q_proj", "k_proj"], "modules_to_save": ["k_proj"]}, {"target_modules": r".*[qkv]_proj", "modules_to_save": [r"layers\.0"]},
    {"target_modules": ["model.layers.1.self_attn.q_proj", "v_proj"], "layers_to_transform": [0]},
    {"target_modules": ["embed_tokens", "q_proj"]}, {"target_modules": ["lm_head"]}, {"target_modules": ["tokens", "head"]},
    {"target_modules": r".*(q_proj|lm_head)"}, {"target_modules": r".*embed.*|.*head"}, {"target_modules": r"lm_.*", "exclude_modules": ["lm_head"]},
    {"target_modules": ["embed_tokens", "lm_head", "q_proj"], "layers_to_transform": [1]}, {"target_modules": ["model.embed_tokens", "q_proj"], "layers_to_transform": [0]},
    {"target_modules": ["embed_tokens", "lm_head"], "exclude_modules": r".*tokens"}, {"target_modules": ["embed_tokens", "q_proj"], "modules_to_save": ["lm_head"]},
    {"target_modules": ["lm_head", "q_proj"], "modules_to_save": ["lm_head"]}, {"target_modules": "all-linear", "exclude_modules": ["down_proj"]},
]
GPT2 = [
    {"target_modules": p} for p in (r".*\bc_attn\b", r".*c_(attn|fc)$", r"transformer\.h\.\d+\.attn\.c_.*", r".*\.h\.0\..*(?<!mlp\.)c_proj", r".*mlp\b.c\w*", r".*\bc\b.*proj|.*c_fc")
] + [
    {"target_modules": ["wte"]}, {"target_modules": r".*wt.|lm_head"}, {"target_modules": ["transformer.wte", "lm_head"], "layers_to_transform": [1]},
    {"target_modules": ["c_attn", "c_proj"], "layers_to_transform": [1]}, {"target_modules": ["c_proj"], "exclude_modules": r".*attn.*"}, {"target_modules": ["attn.c_proj", "c_fc"], "layers_to_transform": [0], "layers_pattern": "h"},
]


def main():
    logging.disable(logging.WARNING)
    cases = []
    for base, selections in (("llama", LLAMA), ("gpt2", GPT2)):
        for selection in selections:
            model = AutoModelForCausalLM.from_pretrained(HERE.parent / "model" / base, dtype=torch.float32)
            try:
                adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", r=2, **selection))
            except ValueError:
                modules = None
            else:
                modules = [n.removeprefix("base_model.model.") for n, m in adapted.named_modules() if isinstance(m, BaseTunerLayer)]
            cases.append({"base": base, "selection": selection, "modules": modules})
    text = json.dumps(cases, separators=(",", ":"))
    (HERE / "targets.json").write_text(text.replace('},{"base"', '},\n{"base"') + "\n")
    print(len(cases), "cases,", sum(c["modules"] is None for c in cases), "without a module")


if __name__ == "__main__":
    main()
