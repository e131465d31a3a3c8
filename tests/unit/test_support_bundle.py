"""What a support bundle leaves out."""

from __future__ import annotations

import json

import pytest

from node.settings import parse_settings
from node.support_bundle import configuration, told_checks, told_log
from node.workflow.connection_test import Check

SECRETS = """
[storage]
database_url = "postgresql://cardionode:hunter2@db.example.org/cardionode"
[storage.s3]
endpoint_url = "https://key:hunter2@minio.example.org:9000"
[destinations.PACS]
kind = "dicomweb"
url = "https://pacs.example.org/dicom-web"
user = "node"
password = "file:/etc/cardionode/pacs-password"
"""


def test_a_configuration_is_packed_without_passwords() -> None:
    text = configuration(parse_settings(SECRETS, "node.toml"))
    assert "hunter2" not in text
    told = json.loads(text)
    assert told["storage"]["database_url"] == "postgresql://db.example.org/cardionode"
    assert told["storage"]["s3"]["endpoint_url"] == "https://minio.example.org:9000"
    assert told["destinations"]["PACS"]["url"] == "https://pacs.example.org/dicom-web"


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://cn:hunt/er2@db/x", "postgresql://cn:p@hunter2@db/x",
        "postgresql://db/x?user=cn&password=hunter2", "postgresql://cn:hunter2@/x?host=/run",
    ],
)  # fmt: skip
def test_a_password_is_left_out_however_it_is_written(url: str) -> None:
    settings = parse_settings(f'storage.database_url = "{url}"', "node.toml")
    text = configuration(settings)
    text += told_checks([Check(subject="database", problem=f"no connection to {url}")])
    text += told_log([f"12:00:00.000 ERROR   failed reason=no connection to {url}"])
    for secret in ("hunter2", "hunt/er2", "er2"):
        assert secret not in text


def test_of_a_log_only_our_lines_are_told_without_what_leads_to_a_person() -> None:
    lines = [
        '{"at": "2026-01-01", "message": "stored", "sop_instance_uid": "1.2.3.4", "job_id": 7}',
        '{"at": "2026-01-01", "message": "signed in", "user": "curie", "port": 1}',
        '{"Doe^Jane": ',
        '{"message": "x", "PatientName": "Doe^Jane"}',
        "12:00:00.000 INFO    stored sop_instance_uid=1.2.3.4 job_id=7 user=curie",
        "12:00:00.000 ERROR   failed message_control_id=A 1 Doe^Jane reason=no disk",
        "StorageError:",
        "  /opt/node/app.py:12 start",
        "UserWarning: Invalid value for VR PN: 'Doe^Jane'",
        "systemd[1]: Started cardionode.service",
    ]
    text = told_log(lines)
    for secret in ("Doe", "curie", "1.2.3.4", "systemd"):
        assert secret not in text
    assert text.splitlines()[0] == "(3 lines that are not of the node are left out)"
    assert "12:00:00.000 INFO    stored job_id=7" in text
    assert "12:00:00.000 ERROR   failed reason=no disk" in text
    assert "StorageError:\n  /opt/node/app.py:12 start" in text


def test_of_a_long_log_the_end_is_told() -> None:
    lines = [f"12:00:00.000 INFO    line count={number}" for number in range(6000)]
    told = told_log(lines).splitlines()
    assert len(told) == 5000
    assert told[-1].endswith("count=5999")
