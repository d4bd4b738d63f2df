"""Generated queries per second of the base U-Net, from captions' token states to latents. Prints JSON.

    python -m benchmarks.sampling                    # 256 captions, 50 and 4 steps of DDIM, guidance 3
    python -m benchmarks.sampling --quick            # only to see that it runs

The weights are random, which changes no time. As in evaluation, each query has its own generator, and the network runs
in float32; --autocast runs it in bfloat16 instead. `queries_per_second` is of the median of `--repeats` passes after
one that warms up; `memory_mb` the peak beyond the weights.
"""

import contextlib
import functools
import statistics

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor

from benchmarks.base_unet import LATENT_DIM, NUM_FRAMES, SMALL, TEXT_DIM, Sizes, make_inputs
from benchmarks.machine import Peak, parser_of, publish, seconds
from diffgar.models.diffusion.objective import Objective
from diffgar.models.diffusion.sampling import Sampler
from diffgar.models.ldm import LatentDiffusion

SOLVER = functools.partial(DDIMScheduler.from_config, timestep_spacing="trailing", set_alpha_to_one=True)


def make_model(sizes: Sizes, device: torch.device) -> LatentDiffusion:
    """The model as config/train_ldm.yaml builds it, untrained, on latents that are normalised already."""
    torch.manual_seed(0)
    statistics_of_latents = {"latent_mean": torch.zeros(LATENT_DIM), "latent_std": torch.ones(LATENT_DIM)}
    schedule = DDPMScheduler(beta_schedule="scaled_linear", prediction_type="sample", clip_sample=False)
    null_text = torch.zeros(2, TEXT_DIM)
    model = LatentDiffusion(
        sizes.build(), schedule, Objective(), **statistics_of_latents, null_text=null_text, num_frames=NUM_FRAMES
    )
    return model.to(device).eval()


def main() -> None:
    """Sample the same captions with each number of steps, and print the report."""
    parser = parser_of(__doc__)
    parser.add_argument("--captions", type=int, default=256, help="per pass, all in one batch")
    parser.add_argument("--num_steps", type=int, nargs="*", default=[50, 4])
    parser.add_argument("--guidance", type=float, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--autocast", action="store_true", help="bfloat16, half the time where a GPU has it")
    parser.add_argument("--quick", action="store_true", help="a small U-Net: its times mean nothing")
    arguments = parser.parse_args()
    device, model = arguments.device, make_model(SMALL if arguments.quick else Sizes(), arguments.device)
    text = make_inputs(arguments.captions, device).batch.text
    bfloat16 = torch.autocast(device.type, torch.bfloat16) if arguments.autocast else contextlib.nullcontext()

    def queries(num_steps: int) -> Tensor:
        sampler = Sampler(SOLVER, num_steps=num_steps, guidance_scale=arguments.guidance)
        generators = [torch.Generator().manual_seed(caption) for caption in range(arguments.captions)]
        with bfloat16:
            return model.generate(sampler, text, generators).mean(dim=1).cpu()  # (Q, D)

    rates = {}
    with Peak(device) as peak:
        for num_steps in arguments.num_steps:
            queries(num_steps)
            times = [seconds(functools.partial(queries, num_steps), device) for _ in range(arguments.repeats)]
            rates[num_steps] = round(arguments.captions / statistics.median(times), 1)
    settings = {name: getattr(arguments, name) for name in ("captions", "guidance", "repeats", "quick")}
    precision = "bfloat16 autocast" if arguments.autocast else "float32"
    name = "sampling-bf16" if arguments.autocast else "sampling"
    found = {"precision": precision, "queries_per_second": rates, "memory_mb": peak.mb}
    publish(name, settings | {"num_frames": NUM_FRAMES, "solver": "DDIM"} | found, arguments)


if __name__ == "__main__":
    main()
