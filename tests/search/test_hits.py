"""Hits as a playlist: one path per line."""

import pytest
import torch

from diffgar.search.errors import SearchError
from diffgar.search.hits import Hit, Hits


def hits_of(path: str) -> Hits:
    return Hits((Hit(1, 100.0, "a", path, 0.0, "two\u2028lines", 1.0, 1.0, 0),), torch.zeros(2), {})


@pytest.mark.parametrize("path", ["a\nb.mp3", "a\rb/c.mp3", "c.mp3\n"])
def test_a_file_name_with_a_line_break_is_refused_for_a_playlist_in_a_sentence(path):
    with pytest.raises(SearchError, match="has a line break, and a playlist has one path per line; rename the file"):
        hits_of(path).to_m3u()


def test_a_title_of_several_lines_is_one_line():
    assert hits_of("/a b.mp3").to_m3u().splitlines() == ["#EXTM3U", "#EXTINF:-1,two lines", "/a b.mp3"]


def test_a_playlist_of_audio_inside_a_parquet_is_refused():
    with pytest.raises(SearchError, match=r"x\.parquet#audio:1 lies inside another file, .*; unpack it"):
        hits_of("x.parquet#audio:1").to_m3u()
