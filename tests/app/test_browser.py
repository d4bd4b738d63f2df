"""The app in a real browser: type, subtract, play, edit, go back; one caption of the library is markup."""

from urllib.parse import urlsplit

import pytest

CALM = "a calm piano piece"
DROP = """([name, bytes]) => {
  const carried = new DataTransfer();
  carried.items.add(new File([new Uint8Array(bytes)], name));
  document.dispatchEvent(new DragEvent("drop", { dataTransfer: carried, bubbles: true, cancelable: true }));
}"""
PLAYER = "() => { const it = document.querySelector('.player audio'); return [it.src, it.currentTime, it.paused]; }"


@pytest.fixture
def page(browser, address):
    """The page of a new person. It must load from this machine alone, and throw nothing."""
    context = browser.new_context(viewport={"width": 1280, "height": 900})
    page, hosts, thrown = context.new_page(), set(), []
    page.set_default_timeout(120_000)
    page.on("request", lambda request: hosts.add(urlsplit(request.url).hostname))
    page.on("pageerror", lambda error: thrown.append(error))
    opened(page, address)
    yield page
    context.close()
    assert hosts - {None} == {"127.0.0.1"} and not thrown


def opened(page, address):
    page.goto(address)
    page.wait_for_selector(".gdr.open")


def asked(page, act):
    """Do something that asks the library, and wait for its answer: the titles of the hits."""
    before = page.get_attribute(".gdr", "data-answered")
    act()
    page.wait_for_selector(f'.gdr:not([data-answered="{before}"])')
    return page.locator(".hit .about span:first-child").all_text_contents()


def search(page, caption=CALM):
    page.fill(".bar .caption", caption)
    return asked(page, lambda: page.keyboard.press("Enter"))


def subtract(page, typed="drums"):
    page.fill(".add input", typed)
    return asked(page, lambda: page.keyboard.press("Enter"))


def sentence(page):
    page.wait_for_selector(".sentence:not([hidden])")
    return page.text_content(".sentence")


def trail(page):
    return page.locator(".trail .step").all_text_contents()


def test_type_subtract_move_the_strength_and_go_back(page, library):
    plain = search(page)
    assert plain == [hit.track_id for hit in library.search(CALM, k=20)]
    steered = subtract(page)
    assert steered == [hit.track_id for hit in library.search(CALM, negative="drums", k=20)]
    assert page.locator(".chip").count() == 1 and page.locator(".hit .move:not(:empty)").count() == 20
    slider = page.locator(".chip input")
    weaker = asked(page, lambda: slider.evaluate("it => { it.value = 0.2; it.dispatchEvent(new Event('change')); }"))
    assert weaker == [hit.track_id for hit in library.search(CALM, negative={"drums": 0.2}, k=20)]
    assert trail(page) == [CALM, f"{CALM} − drums"]
    assert asked(page, lambda: page.click(".trail .step >> nth=0")) == plain
    assert page.locator(".chip").count() == 0 and page.input_value(".bar .caption") == CALM
    assert asked(page, lambda: page.click(".trail .step >> nth=1")) == weaker
    assert page.text_content(".chip output") == "0.2"


def test_more_like_this_but(page, library):
    third = search(page)[2]
    page.click(".hit:nth-child(3) .more")
    page.keyboard.type("with strings, without drums")
    found = asked(page, lambda: page.keyboard.press("Enter"))
    assert found == [hit.track_id for hit in library.search(like=third, edit="with strings, without drums", k=20)]
    assert page.input_value(".start .edit") == "with strings, without drums"
    assert "but with strings" in trail(page)[1]
    assert asked(page, lambda: page.click(".trail .step >> nth=0"))[2] == third


def test_a_hit_plays_from_its_best_moment_and_a_click_on_its_timeline_moves_there(page, library):
    search(page)
    hit = library.search(CALM, k=20)[1]
    page.click(".hit:nth-child(2) .play")
    page.wait_for_function("() => !document.querySelector('.player audio').paused")
    source, seconds, _ = page.evaluate(PLAYER)
    assert source.endswith(f"/audio/{hit.position}") and hit.seconds <= seconds < hit.seconds + 20
    assert page.text_content(".hit:nth-child(2) .moment") == f"best at 0:{int(hit.seconds):02d}"
    page.click(".hit:nth-child(2) .play")
    page.wait_for_function("() => document.querySelector('.player audio').paused")
    box = page.locator(".hit:nth-child(2) canvas").bounding_box()
    page.mouse.click(box["x"] + 1, box["y"] + 5)
    page.wait_for_function("() => !document.querySelector('.player audio').paused")
    assert page.evaluate(PLAYER)[1] < 15


def test_the_keyboard_searches_moves_and_plays(page, library):
    search(page)
    for key, chosen in (("ArrowDown", 1), ("ArrowDown", 2), ("ArrowUp", 1), ("ArrowUp", 0), ("ArrowUp", 0)):
        page.keyboard.press(key)
        assert page.locator(".hit.chosen .rank").text_content() == str(chosen + 1)
    page.keyboard.press("Space")
    page.wait_for_function("() => !document.querySelector('.player audio').paused")
    assert page.evaluate(PLAYER)[0].endswith(f"/audio/{library.search(CALM, k=1)[0].position}")
    page.keyboard.press("Space")
    page.wait_for_function("() => document.querySelector('.player audio').paused")
    page.keyboard.press("/")
    page.keyboard.type(" x")
    assert page.input_value(".bar .caption") == f"{CALM} x"


def test_compare_shows_both_lists_and_a_line_for_each_track_of_both(page):
    plain = search(page)
    page.click("[data-to=compare]")
    assert "nothing to compare" in page.text_content(".compare")
    page.fill(".add input", "drums")
    page.keyboard.press("Enter")
    page.wait_for_selector(".compare .lines")
    rows = [page.locator(f".col:nth-child({column}) .row").count() for column in (1, 3)]
    page.click("[data-to=list]")
    steered = page.locator(".hit .about span:first-child").all_text_contents()
    assert rows == [20, 20]
    assert page.locator(".lines path").count() == len(set(plain) & set(steered))
    assert page.locator(".col:nth-child(1) .move.down").count() == len(set(plain) - set(steered))


def test_a_click_on_the_map_plays_the_track_that_lies_there(page, library):
    search(page)
    hit = library.search(CALM, k=1)[0]
    box = page.locator(".plot canvas").bounding_box()
    x, y = page.evaluate("() => JSON.parse(document.querySelector('.plot canvas').dataset.first)")
    page.mouse.move(box["x"] + x, box["y"] + y)
    page.wait_for_selector(".tip:not([hidden])")
    page.mouse.click(box["x"] + x, box["y"] + y)
    page.wait_for_selector(".player:not([hidden])")
    assert page.evaluate(PLAYER)[0].endswith(f"/audio/{hit.position}")


def test_markup_in_captions_and_in_what_is_typed_is_text(page, library):
    markup = library.caption_of(library.tracks["row_id"].iloc[0])
    content = list(library.path_of(0).read_bytes())
    asked(page, lambda: page.evaluate(DROP, [f"{markup}.flac".replace("/", ":"), content]))
    assert page.locator(".caption-of").first.text_content() == markup
    page.click(".hit .play")
    subtract(page, markup)
    page.click("[data-to=compare]")
    page.click("[data-to=list]")
    asked(page, lambda: page.click(".start .x") or search(page, markup))
    assert markup in trail(page)[-1]
    assert page.evaluate("() => window.hacked") is None and page.locator("img").count() == 1  # the sign of the app


def test_a_dropped_file_finds_the_track_that_it_is(page, library):
    found = asked(page, lambda: page.evaluate(DROP, ["mine.flac", list(library.path_of(9).read_bytes())]))
    assert found[0] == library.tracks["row_id"].iloc[9] and trail(page) == ["♪ mine.flac"]


def test_a_broken_file_a_huge_one_and_a_text_of_100_000_characters_get_a_sentence(page):
    page.evaluate(DROP, ["broken.mp3", [1, 2, 3, 4]])
    assert sentence(page).startswith("broken.mp3: ") and "Traceback" not in sentence(page)
    page.evaluate(DROP, ["huge.wav", 200_000_000])
    page.wait_for_function("() => document.querySelector('.sentence').textContent.startsWith('huge.wav')")
    assert "larger than 100 MB" in sentence(page)
    asked(page, lambda: page.click(".start .x") or search(page, "x" * 100_000))
    assert "100,000 characters" in sentence(page)
    assert search(page) and page.locator(".sentence").is_hidden()


def test_two_people_do_not_see_each_others_trail(page, browser, address):
    search(page)
    other = browser.new_context().new_page()
    other.set_default_timeout(120_000)
    opened(other, address)
    search(other, "fast rock")
    assert trail(other) == ["fast rock"]
    subtract(page)
    assert trail(page) == [CALM, f"{CALM} − drums"]
    other.context.close()


def test_the_list_is_exported(page, library):
    search(page)
    hits = library.search(CALM, k=20)
    for kind, content in (("m3u", hits.to_m3u()), ("csv", hits.to_pandas().to_csv(index=False))):
        with page.expect_download() as download:
            page.click(f"[data-save={kind}]")
        assert download.value.suggested_filename == f"hits.{kind}"
        assert download.value.path().read_text(encoding="utf-8") == content


def test_dark_and_light_are_chosen_and_kept(page, address):
    def theme():
        return page.evaluate("() => document.documentElement.dataset.theme")

    assert theme() == "light"
    page.click(".theme")
    assert theme() == "dark"
    opened(page, address)
    assert theme() == "dark"
