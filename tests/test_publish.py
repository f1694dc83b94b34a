"""What nightly publishes: reports and the last archive on a branch of one commit, in a real repository."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PUBLISH = Path(__file__).parents[1] / ".github" / "publish"


def git(folder, *arguments):
    return subprocess.run(["git", "-C", folder, *arguments], check=True, capture_output=True, text=True).stdout


def report(folder, written):
    folder.mkdir(parents=True, exist_ok=True)
    body = {"schema": 7, "profile": "quick", "purpose": "p", "written": written, "claims": []}
    body |= {"elapsed": 1.0, "family_alpha": 0.05, "runs": {}}
    body["looks"] = {"first": 3, "last": 14, "needed": 180.0}
    (folder / "claims-quick.json").write_text(json.dumps(body))
    (folder / "claims-quick.html").write_text(written)
    return folder


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "bare")
    git(tmp_path, "clone", "-q", "bare", "work")
    return tmp_path / "work"


def publish(repository, tonight, nights=30, path="/usr/bin:/bin:/usr/local/bin"):
    return subprocess.run(
        [PUBLISH, tonight], cwd=repository, capture_output=True, text=True, check=False,
        env={"PATH": path, "PYTHON": sys.executable, "NIGHTS": str(nights)},
    )  # fmt: skip


def published(repository):
    git(repository, "fetch", "-q", "origin", "gh-pages")
    return git(repository, "ls-tree", "-r", "--name-only", "FETCH_HEAD").split()


def test_earlier_nights_stay_and_the_oldest_go(repository, tmp_path):
    site = tmp_path / "site"
    for night in ("2020-01-01", "2020-01-02"):
        report(site / night, night)
    git(tmp_path, "init", "-q", "-b", "gh-pages", "site")
    git(site, "add", "--all")
    git(site, "-c", "user.name=n", "-c", "user.email=n@n", "commit", "-qm", "before")
    git(site, "push", "-q", str(tmp_path / "bare"), "gh-pages")
    done = publish(repository, report(tmp_path / "tonight", "tonight"), nights=2)
    assert done.returncode == 0, done.stderr
    folders = {Path(name).parent.name for name in published(repository)}
    assert "2020-01-02" in folders
    assert "2020-01-01" not in folders
    assert len(folders) == 3  # the top, the night before and tonight
    front = git(repository, "show", "FETCH_HEAD:index.html")
    assert "2020-01-02" in front
    assert "tonight" in front
    assert git(repository, "rev-list", "--count", "FETCH_HEAD").strip() == "1"
    assert git(repository, "status", "--short") == ""


def test_the_first_night_starts_the_page(repository, tmp_path):
    assert publish(repository, report(tmp_path / "tonight", "tonight")).returncode == 0
    assert {"index.html", ".nojekyll"} < set(published(repository))


def test_what_cannot_be_read_is_not_replaced(repository, tmp_path):
    git(repository, "remote", "set-url", "--push", "origin", str(tmp_path / "bare"))
    git(repository, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    assert publish(repository, report(tmp_path / "tonight", "tonight")).returncode != 0
    assert git(tmp_path / "bare", "branch") == ""


def test_a_night_without_a_report_publishes_nothing(repository, tmp_path):
    (tmp_path / "tonight").mkdir()
    assert publish(repository, tmp_path / "tonight").returncode != 0
    assert git(repository, "ls-remote", "origin") == ""


@pytest.mark.parametrize("command", ["fetch", "archive"])
def test_nights_that_could_not_be_read_stay_published(repository, tmp_path, command):
    assert publish(repository, report(tmp_path / "tonight", "tonight")).returncode == 0
    before = git(repository, "ls-remote", "origin", "gh-pages")
    broken = tmp_path / "bin" / "git"
    broken.parent.mkdir()
    broken.write_text(f'#!/bin/sh\n[ "$1" = {command} ] && exit 128\nexec /usr/bin/git "$@"\n')
    broken.chmod(0o755)
    report(tmp_path / "tonight", "another")
    done = publish(repository, tmp_path / "tonight", path=f"{broken.parent}:/usr/bin:/bin:/usr/local/bin")
    assert done.returncode != 0
    assert git(repository, "ls-remote", "origin", "gh-pages") == before


def archives(repository, folder):
    folder.mkdir()
    done = subprocess.run(
        [PUBLISH.with_name("archives"), folder], cwd=repository, capture_output=True, text=True, check=False
    )
    return done.returncode, {path.name: path.read_bytes() for path in folder.iterdir()}


def test_the_next_night_finds_the_last_archive(repository, tmp_path):
    """Also after a night that made none. Each replaces the one before it, and is no night of its own."""
    assert archives(repository, tmp_path / "first") == (0, {})
    tonight = report(tmp_path / "tonight", "tonight")
    assert publish(repository, tonight).returncode == 0
    assert archives(repository, tmp_path / "without") == (0, {})
    for content in (b"PK\5\6\r\n\0older", b"PK\5\6\r\n\0newer"):
        (tonight / "claims-nightly.zip").write_bytes(content)
        assert publish(repository, tonight, nights=1).returncode == 0
        assert archives(repository, tmp_path / content[-5:].decode()) == (0, {"claims-nightly.zip": content})
    (tonight / "claims-nightly.zip").unlink()
    assert publish(repository, tonight).returncode == 0
    assert archives(repository, tmp_path / "after") == (0, {"claims-nightly.zip": content})
    assert "claims-nightly.zip" in published(repository)


def test_a_night_does_not_begin_anew_because_the_archive_cannot_be_fetched(repository, tmp_path):
    git(repository, "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    status, files = archives(repository, tmp_path / "fetched")
    assert (status != 0, files) == (True, {})
