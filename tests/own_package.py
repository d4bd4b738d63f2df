"""A package of a publisher's own, which a reader of the model has to allow."""

from diffgar.models.backbones.unet import UNet


class Own(UNet):
    """A backbone that is not in the house."""
