"""What other users of the machine can read: nothing of an installation."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import SettingsError
from core.files import make_tree_private
from core.settings import Settings
from tests.helpers.command import run_tocsin
from tests.helpers.servers import ROOT
from tocsin import wiring


@pytest.fixture(autouse=True)
def open_umask():
    """The umask of most systems, under which new files are readable by everybody."""
    before = os.umask(0o022)
    yield
    os.umask(before)


def exposed(folder: Path) -> list[str]:
    """Files and folders that group or others may use."""
    everything = (folder, *folder.rglob("*"))
    return sorted(str(path.relative_to(folder)) for path in everything if not path.is_symlink() and path.stat().st_mode & 0o077)


def test_commands_create_the_data_folder_and_everything_in_it_for_their_user_only(tmp_path: Path):
    assert run_tocsin("migrate", folder=tmp_path).returncode == 0
    assert list((tmp_path / "data").rglob("*"))
    assert exposed(tmp_path / "data") == []


def test_every_entry_point_sets_the_umask_first():
    programs = [path for path in (ROOT / "tocsin").rglob("*.py") if re.search(r'^if __name__ == "__main__":', path.read_text(), re.M)]
    assert len(programs) >= 3
    for path in (*programs, ROOT / "tocsin/cli/main.py"):
        text = path.read_text()
        assert "use_private_umask()" in text or "from tocsin.cli import main" in text, path


def test_the_process_of_the_worker_creates_private_files(tmp_path: Path):
    code = "import os, tocsin.runtime.worker_process as w\ntry:\n    w.main()\nfinally:\n    print(oct(os.umask(0)))"
    done = subprocess.run(
        [sys.executable, "-c", code], check=False, input="no plan\n", capture_output=True, text=True, cwd=ROOT, timeout=120
    )
    assert done.stdout.strip() == "0o77", done.stderr


def test_an_open_data_folder_of_an_earlier_version_is_closed_when_it_is_used(tmp_path: Path):
    folder = tmp_path / "data"
    folder.mkdir(mode=0o755)
    assert wiring.data_dir(Settings(data_dir=str(folder))).stat().st_mode & 0o777 == 0o700


def test_doctor_closes_what_others_could_read_and_reports_it(tmp_path: Path):
    folder = tmp_path / "data"
    (folder / "store" / "表").mkdir(parents=True)
    (folder / "store" / "表" / "accounts.bin").write_text("hash")
    (folder / "worker.log").write_text("")
    (folder / "program").write_text("")
    (folder / "program").chmod(0o755)
    assert len(exposed(folder)) == 6
    done = run_tocsin("doctor", "--json", folder=tmp_path, TOCSIN_MODEL="keyword", TOCSIN_DASHBOARD_PORT="0")
    finding = next(row for row in json.loads(done.stdout) if row["what"] == "data folder")
    assert finding["state"] == "note"
    assert "6 files and folders" in finding["detail"]
    assert exposed(folder) == []
    assert (folder / "program").stat().st_mode & 0o777 == 0o700


def test_a_link_out_of_the_data_folder_changes_nothing_there(tmp_path: Path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "file").write_text("")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "link").symlink_to(outside)
    (tmp_path / "data" / "other").symlink_to(outside / "file")
    assert make_tree_private(tmp_path / "data") == (1, [])
    assert exposed(outside) == [".", "file"]


@pytest.mark.parametrize("shared", ["/", "~", "sticky"])
def test_a_folder_that_others_use_too_is_refused_and_not_closed(shared: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    if shared == "sticky":
        (tmp_path / "sticky").mkdir()
        (tmp_path / "sticky").chmod(0o1777)
        shared = str(tmp_path / "sticky")
    before = Path(shared).expanduser().stat().st_mode
    with pytest.raises(SettingsError, match="is not a folder of its own"):
        wiring.data_dir(Settings(data_dir=shared))
    assert Path(shared).expanduser().stat().st_mode == before
