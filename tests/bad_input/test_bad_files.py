"""Rows 1 to 10: files that are not what they seem."""

import pytest
from bad_shop import accepted, refused

HEAD = "id,at,amount\n"
GOOD = HEAD + "canary-1,2024-01-31,9.5\n"


def test_01_a_byte_order_mark_is_accepted(tmp_path):
    accepted(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), kept=1)


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_02_03_another_encoding_names_the_option(tmp_path, encoding):
    content = (HEAD + "canary-é,2024-01-31,9.5\n").encode(encoding)
    refused(tmp_path, content, 3, "set encoding", encoding if encoding == "latin-1" else "utf-16")
    accepted(tmp_path, content, kept=1, encoding=encoding)


def test_03_one_byte_far_down_does_so_too(tmp_path):
    content = (
        GOOD.encode() * 1 + b"canary-1,2024-01-31,1\n" * 20_000 + b"canary-\xe9,2024-01-31,1\n"
    )
    refused(tmp_path, content, 3, "set encoding")


@pytest.mark.parametrize("delimiter", [";", "\t", "|"])
def test_04_another_delimiter_names_the_option(tmp_path, delimiter):
    content = GOOD.replace(",", delimiter)
    refused(tmp_path, content, 3, "set delimiter")
    accepted(tmp_path, content, kept=1, delimiter=delimiter)


def test_05_decimal_commas_name_the_option(tmp_path):
    content = "id;at;amount\ncanary-1;2024-01-31;9,50\n"
    refused(tmp_path, content, 3, "set decimal: ','", delimiter=";")
    accepted(tmp_path, content, kept=1, delimiter=";", decimal=",")


@pytest.mark.parametrize("good_rows", [0, 500])
def test_06_a_row_longer_than_the_header_is_an_error(tmp_path, good_rows):
    content = HEAD + "canary-1,2024-01-31,1\n" * good_rows + "canary-2,2024-01-31,1,2\n"
    refused(tmp_path, content, 3, "4")


def test_06_so_is_a_shorter_one(tmp_path):
    refused(tmp_path, GOOD + "canary-2,2024-01-31\n", 3, "row 2 has 2 values, the header 3")
    content = GOOD + "canary-1,2024-01-31,1\n" * 500 + "canary-2,2024-01-31\n"
    refused(tmp_path, content, 3, "expected 3 values, found 2")


def test_07_a_header_that_names_a_column_twice_is_an_error(tmp_path):
    refused(tmp_path, "id,at,amount,amount\ncanary-1,2024-01-31,1,2\n", 3, "twice: amount")


def test_08_an_empty_file_has_its_own_exit_code(tmp_path):
    for content in ("", " \n\n"):
        refused(tmp_path, content, 7, "sales.csv: the file is empty")


def test_09_a_header_without_rows_gives_typed_empty_tables(tmp_path):
    accepted(tmp_path, HEAD, kept=0)


def test_10_a_row_with_a_nul_byte_is_rejected(tmp_path):
    content = GOOD.encode() + b"canary\x00-2,2024-01-31,1\n"
    accepted(tmp_path, content, "customer_id: NUL byte", kept=1, rejected=1)
