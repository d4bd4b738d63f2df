"""Rank a collection by generated queries and print the retrieval table: chance, teacher, GDR.

python eval_retrieval.py                                                            # the demo
python eval_retrieval.py --task song_describer --model_name NAME --model_step 50000
"""

from pathlib import Path

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from tqdm import tqdm

from diffgar import checkpoints, cli
from diffgar.evaluation.control_report import control_figure, control_table
from diffgar.evaluation.figures import recall_figure
from diffgar.evaluation.queries import generated_queries, index_of
from diffgar.evaluation.results import Result, read_result, write_result
from diffgar.evaluation.retrieval import RetrievalOptions, evaluate_retrieval, make_queries
from diffgar.evaluation.setting import Evaluation, open_evaluation
from diffgar.evaluation.tables import Table, render, retrieval_table


def evaluate(cfg: DictConfig) -> Path:
    """Evaluate one step of one model on one task; returns the path of the JSON it wrote."""
    setting = open_evaluation(cfg, instantiate)
    index = index_of(setting.audio, setting.task)
    options = RetrievalOptions(**instantiate(cfg.evaluation.retrieval))
    report = evaluate_retrieval(make_rows(cfg, setting), index, setting.task, options)
    result = make_result("retrieval", cfg, setting, report, extra={"paired": report["paired"]})
    path = write_result(cfg.paths.results, result, report["queries"])
    recall_figure(path.with_suffix(""), report["queries"], result.protocol["pool_size"])
    show(retrieval_table([read_result(path)]), path)
    return path


def known(cfg: DictConfig) -> Path | None:
    """The result of this very config, if there is one."""
    folder = checkpoints.folder_of(cfg.paths.checkpoints, cfg.model_name)
    step = checkpoints.choose_step(folder, cfg.model_step)
    protocol, config = {"name": cfg.task.protocol}, OmegaConf.to_container(cfg, resolve=True)
    wanted = Result("retrieval", cfg.model_name, cfg.task.name, step, protocol, {}, cfg.evaluation.variant)
    path = wanted.path(cfg.paths.results)
    return path if path.is_file() and read_result(path).config == config else None


def control(cfg: DictConfig) -> Path:
    """Measure how queries can be steered, by `control=negative` or another; returns the path of the JSON."""
    setting, method = open_evaluation(cfg, instantiate), instantiate(cfg.control)
    with tqdm(desc="queries", unit="caption") as bar:
        report = method(setting, instantiate(setting.pair.text_encoder), cfg.evaluation.seeds, bar.update)
    result = make_result("control", cfg, setting, report, extra={"pairs": report["pairs"]})
    path = write_result(cfg.paths.results, result)
    control_figure(path.with_suffix(""), result)
    show(control_table(result), path)
    return path


def make_result(kind: str, cfg: DictConfig, setting: Evaluation, report: dict, extra: dict) -> Result:
    protocol = setting.task.describe() | report["protocol"] | {"sampler": setting.sampler.describe()}
    config = OmegaConf.to_container(cfg, resolve=True)
    variant = cfg.evaluation.variant
    return Result(kind, cfg.model_name, cfg.task.name, setting.step, protocol, report["rows"], variant, config, extra)


def make_rows(cfg: DictConfig, setting: Evaluation) -> dict:
    """The queries of each row of the table: (S, Q, D) or (S, Q, M, D)."""
    rows, seeds = {}, cfg.evaluation.seeds
    if setting.text.embeddings is not None:
        rows["teacher"] = setting.text.embeddings[setting.rows][None]

    def to_queries(latents):
        return make_queries(latents, samples=cfg.evaluation.samples, pooling=cfg.evaluation.pooling)

    with tqdm(total=len(setting.rows) * len(seeds), desc="queries", unit="caption") as bar:
        rows["gdr"] = generated_queries(
            setting.model,
            setting.sampler,
            setting.text,
            setting.rows,
            setting.num_frames,
            seeds,
            to_queries,
            progress=bar.update,
        )
    return rows


def show(table: Table, path: Path) -> None:
    """Print a table and where its parts lie."""
    print(f"\n{render(table)}\nJSON    {path}\nfigure  {path.with_suffix('.png')}")


@cli.main("eval_retrieval", flags=("task", "model_name", "model_step"))
def main(cfg: DictConfig) -> None:
    control(cfg) if cfg.control else evaluate(cfg)


if __name__ == "__main__":
    main()
