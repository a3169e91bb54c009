"""The generated pages say what the code says now."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def run(*arguments):
    return subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120
    )


def test_the_generated_pages_are_up_to_date():
    finished = run("docs/build.py", "--check")
    assert finished.returncode == 0, finished.stderr


def test_every_picture_that_a_page_shows_exists():
    for page in [ROOT / "README.md", *(ROOT / "docs").glob("*.md")]:
        for line in page.read_text(encoding="utf-8").splitlines():
            if "](docs/images/" in line or "](images/" in line:
                picture = line.partition("](")[2].partition(")")[0]
                assert (page.parent / picture).is_file(), (page.name, picture)
