"""kcompile doctor: what is installed, and whether it works."""

from __future__ import annotations

import json
import stat

import pytest
from click.testing import CliRunner

import kcompile
from kcompile.cli import doctor, main


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("KCOMPILE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_sound_installation(home):
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["passed"] and found["kcompile"] == kcompile.__version__
    assert set(found["checks"]) == set(doctor.CHECKS)
    assert found["packages"]["jax"][0].isdigit()
    assert found["settings"]["KCOMPILE_HOME"] == str(home)
    text = CliRunner().invoke(main, ["doctor"]).stdout
    assert str(home) in text and "apart" in text and "FAILED" not in text


def test_what_does_not_work_is_said(home):
    home.mkdir()
    home.chmod(home.stat().st_mode | stat.S_IWOTH)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert not found["passed"] and not found["checks"]["cache folder"]["passed"]
    assert "others may write" in found["checks"]["cache folder"]["found"]
    assert found["checks"]["export"]["passed"]
    assert "FAILED: PermissionError" in CliRunner().invoke(main, ["doctor"]).stdout


def test_other_numbers_are_noticed(home, monkeypatch):
    monkeypatch.setattr(doctor, "TOLERANCE", -1.0)
    result = CliRunner().invoke(main, ["doctor", "--json"])
    assert result.exit_code == 1
    assert "differ by" in json.loads(result.stdout)["checks"]["export"]["found"]


def test_missing_packages_are_named(monkeypatch):
    monkeypatch.setattr(doctor, "OPTIONAL", {"no-such-package": "nothing"})
    assert doctor._facts()["optional"] == {"no-such-package": "missing (for nothing)"}
