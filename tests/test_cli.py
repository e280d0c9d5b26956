"""The command line: exit codes, messages, never a traceback."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

ROOT = Path(__file__).resolve().parents[1]


def cxpredict(*arguments, cwd=None):
    command = [sys.executable, "-W", "ignore", "-m", "cxpredict.cli", *map(str, arguments)]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        command, capture_output=True, text=True, cwd=cwd, env=environment, check=False
    )


def config(folder, **changes):
    text = f"""
name: shop
sources:
  sales:
    path: sales.csv
    table: transactions
    timezone: UTC
    columns: {{customer_id: id, occurred_at: at, amount: amount, kind: {{value: purchase}}}}
problems: {{churn: {{inactive: purchase, horizon_days: 30}}}}
split: {{test_at: 2024-06-01, every_days: 30}}
bands: {{churn: {{medium: 0.1, high: 0.3}}}}
random_state: 7
max_reject_share: {changes.get("limit", 0.01)}
artifacts: artifacts
"""
    path = folder / "shop.yaml"
    path.write_text(text)
    return path


def sales(folder, text):
    (folder / "sales.csv").write_text(text)


GOOD = "id,at,amount\na,2024-01-31,1\nb,2024-02-01,2\n"


def test_check_counts_what_it_read(tmp_path):
    sales(tmp_path, GOOD)
    done = cxpredict("check", config(tmp_path))
    assert done.returncode == 0
    assert "sales" in done.stdout


@pytest.mark.parametrize(
    ("content", "exit_code", "says"),
    [
        ("", 7, "empty"),
        ("id,at,amount,amount\n", 3, "twice"),
        ("id;at;amount\na;2024-01-31;1\n", 3, "delimiter"),
        ("id,at,amount\na,2024-01-31,1,2\n", 3, "row 1 has 4 values"),
        ("id,at,amount\nsecret,soon,1\n", 8, "is not a time"),
        ("id,at,total\na,2024-01-31,1\n", 2, "no column 'amount'"),
    ],
)
def test_bad_files_end_with_a_message_and_their_exit_code(tmp_path, content, exit_code, says):
    sales(tmp_path, content)
    done = cxpredict("check", config(tmp_path))
    assert done.returncode == exit_code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr


def test_a_bad_configuration_lists_all_its_problems(tmp_path):
    path = config(tmp_path)
    path.write_text(path.read_text().replace("horizon_days", "horizon").replace("high", "hihg"))
    done = cxpredict("train", path)
    assert done.returncode == 2
    assert "did you mean 'horizon_days'" in done.stderr
    assert "did you mean 'high'" in done.stderr


def test_a_training_set_without_rows_is_refused(tmp_path):
    sales(tmp_path, "id,at,amount\n")
    done = cxpredict("train", config(tmp_path))
    assert done.returncode in (3, 7)
    assert "Traceback" not in done.stderr


def test_wrong_words_on_the_command_line_show_the_usage(tmp_path):
    done = cxpredict("score", "--config", config(tmp_path))
    assert done.returncode == 2
    assert "--model" in done.stderr


def test_an_absent_configuration_is_named(tmp_path):
    done = cxpredict("train", tmp_path / "absent.yaml")
    assert done.returncode == 2
    assert "absent.yaml" in done.stderr


def test_scoring_writes_files_and_says_where(run, demo_config, tmp_path):
    arguments = ["--config", demo_config, "--model", "models:/demo-churn@champion"]
    done = cxpredict("score", *arguments, "--as-of", "2026-01-01", "--out", tmp_path)
    assert done.returncode == 0, done.stderr  # no drift: the company is as it was
    folder = tmp_path / "as_of=2026-01-01"
    scores = pd.read_parquet(folder / "scores.parquet")
    assert len(scores) == len(run.models[0].at_risk)
    again = cxpredict("score", *arguments, "--as-of", "2026-01-01", "--out", tmp_path, "--json")
    assert again.returncode == done.returncode
    told = json.loads(again.stdout)  # results only: nothing else is on the standard output
    assert (told["state"], told["rows"]["scored"]) == ("unchanged", len(scores))
    page = cxpredict("report", folder, "--top", "3")
    assert page.returncode == 0, page.stderr
    assert (tmp_path / "_reports" / "as_of=2026-01-01" / "scores.html").is_file()
