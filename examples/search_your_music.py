"""Search a folder of your own music, by words and by a track.

python -m examples.search_your_music ~/music "a calm piano piece"
"""

import sys

from diffgar import Retriever


def main(folder: str, caption: str, model: str = "checkpoints/demo") -> None:
    retriever = Retriever.from_pretrained(model)
    library = retriever.index(folder)  # encodes what is new or changed, forgets what is gone
    print(library)

    hits = library.search(caption, negative="drums", k=5)
    for hit in hits:
        print(f"{hit.rank}  {hit.percentile:5.1f}  {hit.track_id}, best from {hit.seconds:.0f} s")

    similarity = library.timeline(hits[0], hits)  # one value per second of the best track
    print(f"{hits[0].track_id} fits between {similarity.min():.2f} and {similarity.max():.2f}")

    print(f"like {hits[0].track_id}, but with strings:")
    for hit in library.search(like=hits[0], edit="the same with strings", k=5):
        print(f"{hit.rank}  {hit.percentile:5.1f}  {hit.track_id}")


if __name__ == "__main__":
    main(*sys.argv[1:])
