"""Few network calls against 50 steps of DDIM: R@10, its paired difference, and queries per second, in one run.

python -m benchmarks.samplers                     # a trained demo, its student, ten sampling seeds
python -m benchmarks.samplers --samples 5 --seeds 3
"""

import argparse
import json
import time
from functools import partial

from tqdm import tqdm

from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.queries import generated_queries, index_of
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval, make_queries
from diffgar.jobs.building import composed
from diffgar.jobs.experiment import open_experiment

REFERENCE = "ddim 50"
WAYS = [REFERENCE, "ddim 8", "ddim 4", "ddim 2", "dpm_solver 8", "dpm_solver 4", "unipc 8", "unipc 4"]


def main() -> None:
    """Sample queries in every way, rank them together, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model_name", default="demo")
    parser.add_argument("--students", nargs="*", default=["demo_student"])
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--samples", type=int, default=1, help="per caption, averaged")
    parser.add_argument("--guidance", type=float, default=3)
    parser.add_argument("overrides", nargs="*", help="of config/eval_retrieval.yaml, such as paths.checkpoints=…")
    asked = parser.parse_args()
    rows, seconds, calls = {}, {}, {}
    for way in [*WAYS, *asked.students]:
        experiment = open_way(asked, way)
        calls[way] = experiment.sampler.num_steps
        rows[way], seconds[way] = sampled(experiment, way, range(asked.seeds))
    report = evaluate_retrieval(
        rows, index_of(experiment.audio, experiment.task, experiment.model.centre), experiment.task, RetrievalOptions()
    )
    print(json.dumps(table(asked, report, seconds, calls), indent=1))


def open_way(asked, way: str) -> Experiment:
    """The model or a student of it, with the sampler that `way` names: a solver and its number of steps."""
    solver, _, steps = way.partition(" ")
    words = [f"model_name={asked.model_name}", f"sampler={solver}", f"sampler.num_steps={steps}"]
    words = [*words, f"sampler.guidance_scale={asked.guidance}"] if steps else [f"model_name={way}"]
    words.append(f"sampler.num_samples={asked.samples}")
    cfg = composed("eval_retrieval", [*words, *asked.overrides])
    return open_experiment(cfg, cfg.model_name)


def sampled(experiment: Experiment, way: str, seeds: range):
    """Queries (S, Q, D) and the seconds they took."""
    model, sampler, text = experiment.model, experiment.sampler, experiment.text
    to_queries = partial(make_queries, centre=model.centre)
    ask = partial(generated_queries, model, sampler, text, num_frames=model.num_frames, to_queries=to_queries)
    ask(experiment.rows[:64], seeds=seeds[:1])  # the first call on a GPU loads what all others use
    start = time.perf_counter()
    with tqdm(total=len(experiment.rows) * len(seeds), desc=way, unit="query") as bar:
        queries = ask(experiment.rows, seeds=seeds, progress=bar.update)
    return queries, time.perf_counter() - start


def table(asked, report: dict, seconds: dict[str, float], calls: dict[str, int]) -> dict:
    """For each way its R@10, the difference from the reference with its interval, and queries a second."""
    ways = {}
    for way, metrics in report["rows"].items():
        if way not in seconds:
            continue  # chance
        queries_a_second = asked.seeds * report["protocol"]["num_queries"] / seconds[way]
        ways[way] = {"calls": calls[way], "R@10": metrics["R@10"], "queries_a_second": round(queries_a_second, 1)}
        if way != REFERENCE:
            ways[way]["reference - this"] = report["paired"][f"{REFERENCE} - {way}"]["R@10"]
    about = {"samples": asked.samples, "seeds": asked.seeds, "guidance": asked.guidance, "reference": REFERENCE}
    return about | {"ways": ways}


if __name__ == "__main__":
    main()
