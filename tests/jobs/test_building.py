"""What a config builds holds no config, and a value that is not given yet is told, not handed on."""

import functools

import pytest
from omegaconf import OmegaConf
from omegaconf.errors import MissingMandatoryValue

from diffgar.jobs.building import build, plain


def test_what_is_built_receives_plain_lists_and_dicts():
    part = {"_target_": "builtins.dict", "_partial_": True, "widths": [1, "${last}"], "names": {"a": [1]}}
    made = build(OmegaConf.create({"last": 2, "part": part}).part, more=[3])
    assert isinstance(made, functools.partial)
    assert made.keywords == {"widths": [1, 2], "names": {"a": [1]}, "more": [3]}
    assert {type(value) for value in made.keywords.values()} == {list, dict}


def test_a_part_of_a_config_is_plain_with_its_interpolations_resolved():
    config = OmegaConf.create({"seeds": [0, "${last}"], "last": 2, "where": {"mood": "calm"}, "given": "???"})
    assert plain(config.seeds) == [0, 2] and type(plain(config.seeds)) is list
    assert type(plain(config.where)) is dict and plain("calm") == "calm" and plain(None) is None
    with pytest.raises(MissingMandatoryValue):
        plain(config)
