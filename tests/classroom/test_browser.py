"""The page in a real browser, as teacher and students use it."""

import re
import time

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import expect

from scripts.screenshots import draw_trouser

LOSSES = ("loss-chart", "loss of the last batches")


#: Whether charts and pictures are there, so that nothing below them moves any more.
LOADED = """
document.querySelectorAll("#loss-chart .main-svg").length > 0
&& [...document.querySelectorAll("#weights, #images img, #gallery img")].every(
  (image) => image.complete && image.naturalWidth > 0)
"""


@pytest.fixture
def open_page(browser, server):
    """Open a page and hold it to make no request elsewhere and log no error."""
    contexts, faults = [], []

    def start(link=None, **options):
        context = browser.new_context(**options)
        context.set_default_timeout(120_000)
        contexts.append(context)
        page = context.new_page()
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((server.student, "data:", "blob:"))
                else faults.append(f"asked for {request.url}")
            ),
        )
        page.on(
            "console",
            lambda message: (
                faults.append(message.text) if message.type == "error" else None
            ),
        )
        page.on("pageerror", lambda error: faults.append(str(error)))
        page.goto(link or server.student)
        return page

    yield start
    for context in contexts:
        context.close()
    assert not faults


@pytest.fixture
def teacher(open_page, server):
    server.control("reset")
    page = open_page(server.teacher)
    expect(page.locator("#teacher")).to_be_visible()
    return page


def set_up(page, **settings):
    for name, value in settings.items():
        page.fill(f"#{name}", str(value))
    page.locator("#units input").first.fill("16")


def epoch(page):
    """Return the number of the epoch that the page shows last."""
    found = re.match(r"epoch (\d+)", page.inner_text("#last-epoch"))
    return int(found[1]) if found else 0


def curve(page, chart="accuracy-chart", name="test"):
    """Return the points that a curve of a chart is drawn with."""
    return page.evaluate(
        """([chart, name]) => {
          const { data } = document.getElementById(chart);
          const found = data?.find((trace) => trace.name === name);
          return found ? [Array.from(found.x), Array.from(found.y)] : null;
        }""",
        [chart, name],
    )


def drawn(page, count, chart="accuracy-chart", name="test"):
    """Wait until a curve has this many points; charts are drawn some times a second."""
    wait_until(page, lambda: len((curve(page, chart, name) or [[]])[0]) >= count)
    return curve(page, chart, name)


def wait_until(page, condition):
    """Wait for it; ``wait_for_function`` needs ``eval``, which the page forbids."""
    deadline = time.monotonic() + 120
    while not condition():
        assert time.monotonic() < deadline, "it has not come true"
        page.wait_for_timeout(50)


def test_a_run_from_start_to_stop(teacher, server):
    set_up(teacher, num_epochs=50, seconds_per_epoch=0.5)
    teacher.click("#start")
    expect(teacher.locator("#last-epoch")).to_contain_text("epoch 1,")
    few = len(drawn(teacher, 3, *LOSSES)[0])
    drawn(teacher, few + 3, *LOSSES)
    teacher.click("#pause")
    expect(teacher.locator("#status")).to_contain_text("paused")
    expect(teacher.locator("#pause")).to_have_text("Resume")
    events = server.events(until=lambda event: event.get("state") == "paused")
    last = [event["x"] for _, kind, event in events if kind == "batch"][-1]
    wait_until(teacher, lambda: curve(teacher, *LOSSES)[0][-1] == last)
    before = curve(teacher, *LOSSES)
    # And no more are drawn.
    teacher.wait_for_timeout(400)
    assert drawn(teacher, 1, *LOSSES) == before
    teacher.fill("#lr", "0.05")
    teacher.click("#apply-lr")
    expect(teacher.locator("#loss-chart")).to_contain_text("lr 0.05")
    last = epoch(teacher)
    teacher.click("#epoch")
    expect(teacher.locator("#last-epoch")).to_contain_text(f"epoch {last + 1},")
    expect(teacher.locator("#status")).to_contain_text("paused")
    teacher.click("#pause")
    expect(teacher.locator("#status")).to_contain_text("learning")
    expect(teacher.locator("#weights")).to_be_visible()
    expect(teacher.locator("#images li")).to_have_count(9)
    expect(teacher.locator("#gallery li")).to_have_count(12)
    assert teacher.locator("#confusion td").count() == 100
    teacher.click("#stop")
    expect(teacher.locator("#status")).to_contain_text("stopped")
    # A second run leaves the first one in pale.
    teacher.click("#start")
    expect(teacher.locator("#status")).to_contain_text("learning")
    expect(teacher.locator("#loss-chart")).to_contain_text("lr 0.5,")
    teacher.click("#reset")
    expect(teacher.locator("#last-epoch")).to_have_text("")
    expect(teacher.locator("#gallery li")).to_have_count(0)


def test_who_comes_late_or_reloads_ends_with_the_same_curve(teacher, open_page):
    set_up(teacher, num_epochs=4, seconds_per_epoch=0.5)
    early = open_page()
    teacher.click("#start")
    expect(early.locator("#last-epoch")).to_contain_text("epoch 2,")
    late = open_page()
    teacher.reload()
    expect(teacher.locator("#teacher")).to_be_visible()
    pages = (early, late, teacher)
    for page in pages:
        expect(page.locator("#status")).to_contain_text("done")
    for chart, name, count in (
        ("accuracy-chart", "test", 4),
        ("accuracy-chart", "train", 4),
        ("loss-chart", "loss of the epoch", 4),
    ):
        curves = [drawn(page, count, chart, name) for page in pages]
        assert curves[0] == curves[1] == curves[2]
    assert curve(late, "loss-chart", "the book")[1][0] == 0.8394
    late.uncheck("#show-book")
    assert curve(late, "loss-chart", "the book") is None


def test_a_student_has_no_controls(open_page, server):
    page = open_page()
    expect(page.locator("#status")).not_to_have_text("connecting…")
    expect(page.locator("#teacher")).to_be_hidden()


def test_a_wrong_token_gives_no_controls(browser, server):
    page = browser.new_page()
    page.goto(server.student + "#token=wrong")
    expect(page).not_to_have_url(re.compile("token"))
    # Forgotten once the server has refused it.
    token = "sessionStorage.getItem('token')"
    wait_until(page, lambda: page.evaluate(token) is None)
    expect(page.locator("#teacher")).to_be_hidden()
    page.close()


def test_a_drawing_gets_probabilities(teacher, open_page):
    set_up(teacher, num_epochs=4, seconds_per_epoch=0)
    # Fewer units would take it for a shirt.
    teacher.locator("#units input").first.fill("256")
    teacher.click("#start")
    expect(teacher.locator("#status")).to_contain_text("done")
    page = open_page(viewport={"width": 390, "height": 844})
    # What comes before it on the page is there, and moves it no more.
    expect(page.locator("#gallery li")).to_have_count(12)
    expect(page.locator("#weights")).to_be_visible()
    wait_until(page, lambda: page.evaluate(LOADED))
    draw_trouser(page)
    expect(page.locator("#try-message")).to_contain_text("trouser")
    expect(page.locator("#bars li.first")).to_contain_text("trouser")
    expect(page.locator("#seen")).to_be_visible()


def test_a_link_holds_the_setting(teacher, open_page, server):
    link = "hiddens=64,32&lr=0.1&batch_size=128&num_epochs=5&seed=7"
    student = open_page(f"{server.student}#{link}")
    expect(student.locator("#exercise")).to_contain_text(
        "784-64-32-10, lr 0.1, batch 128, 5 epochs, seed 7"
    )
    again = open_page(f"{server.teacher}&{link}")
    expect(again.locator("#teacher")).to_be_visible()
    assert again.input_value("#layers") == "2"
    assert [i.input_value() for i in again.locator("#units input").all()] == [
        "64",
        "32",
    ]
    assert again.input_value("#lr") == "0.1"
    assert "token" not in again.url
    again.click("#copy")
    expect(again.locator("#message")).to_contain_text("hiddens=64%2C32&lr=0.1")
    assert server.token not in again.inner_text("#message")
    expect(again.locator("details img")).to_have_attribute("src", "/qr.svg")


def test_what_is_out_of_bounds_starts_nothing(teacher, server):
    before = server.state()["run"]
    teacher.fill("#lr", "100")
    teacher.click("#start")
    teacher.wait_for_timeout(300)
    assert server.state()["run"] == before


def test_the_keyboard_reaches_every_control(teacher):
    reached = set()
    for _ in range(60):
        teacher.keyboard.press("Tab")
        reached.add(teacher.evaluate("document.activeElement.id"))
    assert {"layers", "lr", "start", "epoch", "reset", "copy"} <= reached
    assert {"show-book", "ask", "clear", "file", "theme"} <= reached


def test_a_file_that_is_no_picture_is_refused_in_words(browser, finished_run, tmp_path):
    wrong = tmp_path / "wrong.png"
    wrong.write_text("<b>nothing</b>")
    page = browser.new_page()
    page.goto(finished_run.student)
    page.set_input_files("#file", wrong)
    expect(page.locator("#try-message")).to_contain_text("of another format, expected")
    page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("who", ["teacher", "student"])
def test_everyone_can_use_it(open_page, finished_run, scheme, who):
    """By axe, with a run's pictures on the page."""
    page = open_page(getattr(finished_run, who), color_scheme=scheme)
    expect(page.locator("#gallery li")).to_have_count(12)
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


@pytest.mark.parametrize("size", [(1024, 768), (390, 844)])
def test_nothing_is_cut_off_sideways(open_page, finished_run, size):
    page = open_page(viewport={"width": size[0], "height": size[1]})
    expect(page.locator("#gallery li")).to_have_count(12)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= size[0]
