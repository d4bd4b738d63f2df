# %% [markdown]
# # Steer a search
# A query that is generated can be pushed away from an attribute, or edited. Run `python train_ldm.py` first, then this,
# from the repository's folder: `python -m examples.steer`, or `examples/steer.ipynb` as a notebook.

# %%
from diffgar import Retriever

library = Retriever.from_pretrained("checkpoints/demo").trained_library()
caption = "a fast piece with an electric bass"
plain = library.search(caption, k=10)
steered = library.search(caption, negative="drums", k=10)

# %% [markdown]
# A short negative is spelt out by what the collection's captions and tags call it. The demo knows of every track
# whether it has drums, so one can count.

# %%
print("avoided:", steered.asked["negatives"][0]["phrasings"][0])
drums = library.tracks.set_index("row_id")["drums"]
for name, hits in (("plain", plain), ("steered", steered)):
    print(f"{name:8}", sum(drums[hit.track_id] != "none" for hit in hits), "of 10 have drums")

# %% [markdown]
# Several negatives have weights. An edit has a strength, from 0 (the track as it is) to 1 (the edit alone).

# %%
print([hit.caption for hit in library.search(caption, negative={"drums": 1, "choir": 0.5}, k=3)])
for strength in (0.2, 0.5, 0.8):
    hits = library.search(like=steered[0], edit="the same with strings", edit_strength=strength, k=3)
    print(strength, [hit.caption for hit in hits])
