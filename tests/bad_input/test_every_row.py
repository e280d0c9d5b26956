"""Every row of the bad-input list has a test that says its number."""

import ast
import re
from pathlib import Path

ROWS = 54


def numbers_of(name):
    """Read ``test_11_12_ids_…`` as rows 11 and 12."""
    found = re.match(r"test_((?:\d\d_)+)", name)
    return [int(number) for number in found[1].split("_")[:-1]] if found else []


def test_every_row_of_the_list_has_a_test():
    assert numbers_of("test_11_12_ids") == [11, 12]
    assert numbers_of("test_ids") == []
    covered = {
        number
        for path in Path(__file__).parent.glob("test_*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef)
        for number in numbers_of(node.name)
    }
    assert covered == set(range(1, ROWS + 1))
