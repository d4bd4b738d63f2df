"""Few network calls against 50 steps of DDIM: R@10, its paired difference, and queries per second, in one run.

python -m benchmarks.samplers                     # a trained demo, its student, ten sampling seeds
python -m benchmarks.samplers --samples 5 --seeds 3
"""

import argparse
import json
import time
from dataclasses import asdict

from tqdm import tqdm

from diffgar.evaluation.experiment import Experiment
from diffgar.evaluation.report import Report, System
from diffgar.evaluation.reports.json_form import summary_as_json
from diffgar.evaluation.retrieval import evaluate_retrieval
from diffgar.evaluation.systems import index_for, queries_of
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
    queries, seconds, calls = {}, {}, {}
    for way in [*WAYS, *asked.students]:
        experiment = open_way(asked, way)
        calls[way] = experiment.sampler.num_steps
        queries[System(way)], seconds[way] = sampled(experiment, way, range(asked.seeds))
    report = evaluate_retrieval(queries, index_for(experiment), experiment.task)
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
    captions = experiment.caption_positions
    queries_of(experiment, captions[:64], seeds[:1])  # the first call on a GPU loads what all others use
    start = time.perf_counter()
    with tqdm(total=len(captions) * len(seeds), desc=way, unit="query") as bar:
        queries = queries_of(experiment, captions, seeds, progress=bar.update)[0]
    return queries, time.perf_counter() - start


def table(asked, report: Report, seconds: dict[str, float], calls: dict[str, int]) -> dict:
    """For each way its R@10, the difference from the reference with its interval, and queries a second."""
    ways = {}
    for way, time_taken in seconds.items():
        recall = summary_as_json(report.rows[System(way)]["R@10"])
        queries_a_second = asked.seeds * report.protocol["num_queries"] / time_taken
        ways[way] = {"calls": calls[way], "R@10": recall, "queries_a_second": round(queries_a_second, 1)}
        if way != REFERENCE:
            ways[way]["reference - this"] = asdict(report.paired[System(REFERENCE), System(way)]["R@10"])
    about = {"samples": asked.samples, "seeds": asked.seeds, "guidance": asked.guidance, "reference": REFERENCE}
    return about | {"ways": ways}


if __name__ == "__main__":
    main()
