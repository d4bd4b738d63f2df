"""A generation: the rows that a store lacked when a job began to write it, and the shards that hold their latents.

<folder>/writing/<generation>/plan.json    the positions in the table of the rows to encode, in order
<folder>/writing/<generation>/000000.npz   a shard, committed by a rename
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from diffgar.dataloading.store.card import write_atomically
from diffgar.dataloading.store.held import Shard
from diffgar.dataloading.store.keys import key_of


@dataclass(frozen=True)
class Generation:
    """The rows `todo` of a table, positions in it, in shards of `shard_size` rows that lie in the folder `path`."""

    path: Path
    todo: list[int]
    shard_size: int

    @classmethod
    def new(cls, writing: Path, table: str, missing: Iterable[int], shard_size: int) -> "Generation":
        """The generation of a table that encodes its `missing` rows. Its name has both hashes.

        So no other job's shards can be taken for its own.
        """
        todo = sorted(missing)
        return cls(writing / f"{table}-{key_of(todo)}", todo, shard_size)

    @classmethod
    def begun(cls, writing: Path, table: str, shard_size: int) -> list["Generation"]:
        """Those of a table that earlier jobs have begun."""
        plans = sorted(path / "plan.json" for path in writing.glob(f"{table}-*"))
        return [
            cls(plan.parent, json.loads(plan.read_text(encoding="utf-8"))["todo"], shard_size)
            for plan in plans
            if plan.is_file()
        ]

    def write_plan(self) -> None:
        """Make its folder, and write down what it encodes."""
        self.path.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "plan.json", json.dumps({"todo": self.todo}).encode())

    @property
    def num_shards(self) -> int:
        """How many shards hold its rows; the last may be short."""
        return -(-len(self.todo) // self.shard_size)

    def rows_of(self, shard: int) -> list[int]:
        """The positions in the table of the rows that a shard holds."""
        return self.todo[shard * self.shard_size : (shard + 1) * self.shard_size]

    def path_of(self, shard: int) -> Path:
        """The file of a shard, whether it is written yet or not."""
        return self.path / f"{shard:06d}.npz"

    def shards(self) -> list[Shard]:
        """Those that are written, in order. Raises StoreError for a damaged one."""
        return [Shard(path) for path in map(self.path_of, range(self.num_shards)) if path.is_file()]
