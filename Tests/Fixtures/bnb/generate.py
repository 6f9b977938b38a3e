"""Writes tiny models as bitsandbytes 0.50.2 quantises them, and what they compute with its own numbers.

    pip install bitsandbytes==0.50.2 torch==2.9.1 transformers==5.23.0 safetensors
    python Tests/Fixtures/bnb/generate.py

NAME/ is a model directory as transformers saves it (the bases are ../model's); golden.safetensors has the
`logits` of the three sequences of inputs.json, end to end, in f32, of the model whose projections hold
dequantize_4bit's and int8_vectorwise_dequant's numbers, and these numbers of one projection.
"""

import json
import shutil
import sys
from pathlib import Path

import bitsandbytes.functional as bnb
import torch
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM
from transformers.pytorch_utils import Conv1D

sys.path.insert(0, str(Path(__file__).parent.parent))
import common  # noqa: E402

HERE = Path(__file__).parent
MODELS = HERE.parent / "model"


def config(path, name, **fields):
    value = json.loads((MODELS / path / "config.json").read_text())
    value["quantization_config"] = dict(quant_method="bitsandbytes", **fields)
    (HERE / name / "config.json").write_text(json.dumps(value, indent=2) + "\n")


def write(name, base, kind, dtype=torch.float32, nested=False, storage=torch.uint8):
    common.empty_directory(HERE / name)
    model = AutoModelForCausalLM.from_pretrained(
        MODELS / base, dtype=torch.float32, attn_implementation="eager").eval()
    tensors = {k: common.copy(v) for k, v in model.state_dict().items() if k != "lm_head.weight" or
               not model.config.tie_word_embeddings}
    golden = {}
    for path, module in model.named_modules():
        if path == "lm_head" or not isinstance(module, (torch.nn.Linear, Conv1D)):
            continue
        turned = isinstance(module, Conv1D)
        weight = (module.weight.T if turned else module.weight).detach().contiguous()
        key = path + ".weight"
        if kind == "int8":
            # The quantiser itself needs a processor's extension: rows by their largest number.
            scale = weight.abs().amax(1)
            tensors[key] = torch.round(weight * (127 / scale[:, None])).to(torch.int8)
            tensors[path + ".SCB"] = scale
            tensors[path + ".weight_format"] = torch.tensor(0, dtype=torch.uint8)
            numbers = bnb.int8_vectorwise_dequant(tensors[key], scale)
        else:
            packed, state = bnb.quantize_4bit(
                weight.to(dtype), quant_type=kind, compress_statistics=nested, quant_storage=storage)
            tensors[key] = packed
            for part, value in state.as_dict(packed=True).items():
                tensors[f"{key}.{part}"] = value
            numbers = bnb.dequantize_4bit(packed, state).float()
        golden.setdefault("first." + key, common.copy(numbers)) if not golden else None
        module.weight.data = (numbers.T if turned else numbers).contiguous()
    with torch.no_grad():
        golden["logits"] = torch.cat([common.sequence_logits(model, t) for t in common.TOKENS])
    save_file(tensors, HERE / name / "model.safetensors", metadata={"format": "pt"})
    save_file(golden, HERE / name / "golden.safetensors")
    four = kind != "int8"
    fields = dict(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=nested,
                  bnb_4bit_quant_storage=str(storage).removeprefix("torch.")) if four else dict(
                      load_in_8bit=True, load_in_4bit=False)
    config(base, name, **fields)


common.make_deterministic()
write("nf4", "llama", "nf4", torch.bfloat16)
write("nf4-nested", "qwen2", "nf4", torch.float16, nested=True)
write("fp4-stored-bf16", "llama", "fp4", torch.float32, storage=torch.bfloat16)
write("int8", "llama-biases", "int8")
write("nf4-gpt2", "gpt2", "nf4", torch.float32)
