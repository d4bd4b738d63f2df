"""The honesty check: a demo model trained on shuffled captions must retrieve at chance.

python -m benchmarks.shuffled_captions [max_steps=500 …]
"""

import json
import subprocess
import sys
from pathlib import Path

NAME = "demo_shuffled"


def main() -> None:
    """Train on shuffled captions, and print the model's retrieval beside chance."""
    command = [sys.executable, "train_ldm.py", "datamodule.shuffle_captions=true", f"model_name={NAME}", *sys.argv[1:]]
    subprocess.run(command, check=True, stdout=sys.stderr)
    path = max(Path("results", NAME, "demo").glob("retrieval-*.json"), key=lambda path: path.stat().st_mtime)
    rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    report = {name: {metric: rows[name][metric] for metric in ("R@1", "R@10", "MedR")} for name in ("chance", "gdr")}
    low, high, chance = rows["gdr"]["R@10"]["low"], rows["gdr"]["R@10"]["high"], rows["chance"]["R@10"]["mean"]
    print(json.dumps(report | {"chance_within_interval_of_R@10": low <= chance <= high}, indent=1))


if __name__ == "__main__":
    main()
