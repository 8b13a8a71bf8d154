"""The commands that README and docs show, as a reader would type them."""

import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(ROOT.glob("docs/*.md"))]

#: What a line of code starts with, where it is a command.
PROGRAMS = (
    "(sudo|apt-get|git|make|docker|sh|python3?|pip|optuna-dashboard|d2l-mlp|unshare|tar"
    r"|\.venv/bin/[\w-]+|[A-Z][A-Z_]+=\S+)"
)


def blocks(text):
    """Yield each block of code in Markdown, fenced or indented."""
    fenced = re.compile(r"^```.*?\n(.*?)^```", re.MULTILINE | re.DOTALL)
    for match in fenced.finditer(text):
        yield match[1]
    for match in re.finditer(r"(?:^ {4}.*\n)+", fenced.sub("", text), re.MULTILINE):
        yield re.sub("^    ", "", match[0], flags=re.MULTILINE)


def programs(page):
    """Return the Python programs of a page, in their order."""
    text = page.read_text()
    return re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(page):
    """Return the commands of a page, in their order, without their comments."""
    found = []
    for block in blocks(page.read_text()):
        for line in block.replace("\\\n", " ").splitlines():
            line = re.sub(r"\s+#.*", "", line).strip()
            if re.match(rf"{PROGRAMS}(\s|$)", line):
                found.append(line)
    return list(dict.fromkeys(found))


def inline(page):
    """Return the commands within a page's sentences."""
    text = re.sub(r"^(```.*?^```| {4}.*?$)", "", page.read_text(), flags=re.M | re.S)
    spans = (" ".join(span.split()) for span in re.findall(r"`([^`]+)`", text))
    return [span for span in spans if re.match(rf"{PROGRAMS} ", span)]
