"""Take the pictures of docs/classroom.md from a run of the page.

    python scripts/screenshots.py

Needs chromium: apt-get install chromium.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from playwright.sync_api import Browser, expect, sync_playwright

IMAGES = Path(__file__).parents[1] / "docs" / "images"
SECONDS = 60_000


def run(page, lr: str) -> None:
    """Run the chapter's net for 10 epochs at a learning rate."""
    page.fill("#lr", lr)
    page.fill("#seconds_per_epoch", "0")
    page.click("#start")
    expect(page.locator("#last-epoch")).to_contain_text("epoch 1,", timeout=SECONDS)
    expect(page.locator("#status")).to_contain_text("done", timeout=SECONDS)


def draw_trouser(page) -> None:
    """Draw it and ask the net."""
    canvas = page.locator("#canvas")
    canvas.scroll_into_view_if_needed()
    box = canvas.bounding_box()
    for x0, y0, x1, y1 in ((95, 40, 185, 40), (105, 50, 98, 250), (172, 50, 182, 250)):
        page.mouse.move(box["x"] + x0, box["y"] + y0)
        page.mouse.down()
        page.mouse.move(box["x"] + x1, box["y"] + y1, steps=8)
        page.mouse.up()
    page.click("#ask")
    expect(page.locator("#bars li")).to_have_count(10)


def take(browser: Browser, teacher: str, student: str) -> None:
    """Take the teacher's page after two runs, and a student's on a phone."""
    page = browser.new_page(viewport={"width": 1280, "height": 1450})
    page.goto(teacher)
    expect(page.locator("#teacher")).to_be_visible()
    run(page, "0.1")
    run(page, "0.5")
    page.wait_for_timeout(1500)
    page.screenshot(path=IMAGES / "classroom.png")
    phone = browser.new_page(
        viewport={"width": 412, "height": 1000}, color_scheme="dark"
    )
    phone.goto(student)
    expect(phone.locator("#gallery li")).to_have_count(12)
    phone.wait_for_timeout(1500)
    draw_trouser(phone)
    phone.locator("#try-title").scroll_into_view_if_needed()
    phone.screenshot(path=IMAGES / "classroom-phone.png")


def main() -> None:
    """Start the page, take the pictures, end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", "d2l_mlp", "demo", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        teacher, student = (
            re.search(r"http\S+", process.stdout.readline())[0] for _ in range(2)
        )
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            take(browser, teacher, student)
    finally:
        process.terminate()
        process.wait()


if __name__ == "__main__":
    main()
