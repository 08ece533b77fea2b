"""Loads what this module wrote with diffusers and PEFT, and compares what they compute with it.

    check_diffusers.py MODEL --inputs IN.safetensors --output OUT.safetensors
    check_diffusers.py MODEL --adapter ADAPTER --inputs IN.safetensors --output OUT.safetensors
    check_diffusers.py MODEL --adapter ADAPTER --pipeline --inputs ... --output ...

MODEL is a folder with transformer/ in it. With --pipeline it is loaded as a whole pipeline, and the
adapter by load_lora_weights instead of PEFT. IN holds hidden_states, encoder_hidden_states,
pooled_projections and timestep; OUT holds output, which is compared with the Python model's, run in
float64. A missing, unexpected or misshapen tensor of the transformer is an error, and so is a missing
or unexpected one of an adapter that PEFT loads; of one that goes through --pipeline only the output is
checked. Prints one JSON object and exits with 1 on such an error or when the largest difference exceeds
--tolerance times the largest output.

`FLOWGRPO_LONG=1 go test ./policy -run DiffusersReadsOurFolders` runs it on folders of its own;
goldens/requirements.txt lists what it needs.
"""

import argparse
import json
import pathlib
import sys

import torch
from diffusers import SD3Transformer2DModel, StableDiffusion3Pipeline
from peft import PeftModel, get_peft_model_state_dict
from safetensors.torch import load_file


def main():
    args = arguments()
    model, report = load_model(args.model)
    if args.pipeline:
        model = load_pipeline(args.model, args.adapter)
    elif args.adapter:
        model, differences = load_adapter(model, args.adapter)
        report.update(differences)
    report["ok"] = not any(report.values())
    if report["ok"]:
        want = compute(model.double().eval(), load_file(args.inputs))
        got = load_file(args.output)["output"].double()
        error = relative_error(got, want)
        report.update(max_relative_error=error, ok=error <= args.tolerance)
    print(json.dumps(report))
    sys.exit(0 if report["ok"] else 1)


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=pathlib.Path, help="folder with transformer/ in it")
    parser.add_argument("--adapter", type=pathlib.Path, help="PEFT folder to put on the model")
    parser.add_argument("--pipeline", action="store_true", help="load MODEL as a pipeline")
    parser.add_argument("--inputs", type=pathlib.Path, required=True)
    parser.add_argument("--output", type=pathlib.Path, required=True)
    parser.add_argument("--tolerance", type=float, default=1e-4)
    return parser.parse_args()


def load_model(folder):
    """The transformer, and every key on which folder and class disagree."""
    model, info = SD3Transformer2DModel.from_pretrained(
        folder, subfolder="transformer", output_loading_info=True, local_files_only=True
    )
    return model, {name: sorted(map(str, info[name])) for name in info}


def load_adapter(model, folder):
    """The model with its adapter. PEFT only warns of keys it cannot place, so they are compared here."""
    model = PeftModel.from_pretrained(model, folder)
    wanted = set(get_peft_model_state_dict(model))
    stored = set(load_file(folder / "adapter_model.safetensors"))
    return model, {
        "adapter_missing_keys": sorted(wanted - stored),
        "adapter_unexpected_keys": sorted(stored - wanted),
    }


def load_pipeline(folder, adapter):
    """The transformer of the pipeline, with the adapter if there is one. The parts it lacks are None."""
    parts = ("vae", "text_encoder", "text_encoder_2", "text_encoder_3", "tokenizer", "tokenizer_2", "tokenizer_3")
    pipeline = StableDiffusion3Pipeline.from_pretrained(
        folder, local_files_only=True, **dict.fromkeys(parts)
    )
    if adapter:
        pipeline.load_lora_weights(adapter)
    return pipeline.transformer


@torch.no_grad()
def compute(model, given):
    names = ("hidden_states", "encoder_hidden_states", "pooled_projections")
    arguments = {name: given[name].double() for name in names}
    return model(timestep=given["timestep"].float(), return_dict=False, **arguments)[0]


def relative_error(got, want):
    """Largest difference over largest value; infinite for a wrong shape or anything not finite."""
    if got.shape != want.shape or not got.isfinite().all():
        return float("inf")
    return ((got - want).abs().max() / want.abs().max()).item()


if __name__ == "__main__":
    main()
