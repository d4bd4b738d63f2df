"""The general pair: the same towers as the demo's, trained on the general collection.

It stands for a large public model that does not know the collection that one searches: other instruments, captions of
other things and mostly in other words. Trained by
`train_ldm.py --config config/train_ldm/model/encoder_pair/general/train_general_encoder.yaml`, then its text tower by
`…/train_general_text.yaml`. The audio tower of the shipped weights was trained before the captions had any plain words
in common with the demo's ("slow", "piano"); the text tower learned those in the second stage.
"""

from diffgar.demo.encoder import DemoAudioEncoder, DemoTextEncoder


class GeneralAudioEncoder(DemoAudioEncoder):
    """As `DemoAudioEncoder`, of the general pair's weights."""

    name, pair = "general_audio", "general"


class GeneralTextEncoder(DemoTextEncoder):
    """As `DemoTextEncoder`, of the general pair's weights."""

    name, pair = "general_text", "general"
