"""The configuration file is changed by one at a time, whole or not at all; its comments stay."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import tomllib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from node.configuration import ConfigurationFile, difference
from node.domain.errors import ConfigurationError, NotPossible
from node.settings import default_text, read_settings
from tests.conftest import absent

TEXT = """\
# Of the hospital: keep this line.
dicom.port = 11112  # asked for by the PACS team

[destinations.PACS]  # the archive
kind = "dicom"
ae_title = "PACS"
host = "192.0.2.1"
port = 104

[[rules]]
name = "all"
destinations = ["PACS"]
"""


@pytest.fixture
def file(tmp_path: Path) -> ConfigurationFile:
    path = tmp_path / "node.toml"
    path.write_text(TEXT, encoding="utf-8")
    return ConfigurationFile(path=path)


def change(file: ConfigurationFile, *changes: str) -> str:
    revision = file.read()
    text = file.changed(revision, changes)
    file.replace(revision, text)
    return file.path.read_text(encoding="utf-8")


def test_a_key_is_changed_and_every_comment_stays(file: ConfigurationFile) -> None:
    text = change(file, "dicom.port=11913", "destinations.PACS.port=105")
    assert text == TEXT.replace("11112", "11913").replace("port = 104", "port = 105")
    assert read_settings(file.path).dicom.port == 11913


def test_keys_with_dots_in_several_places_are_changed_too(file: ConfigurationFile) -> None:
    file.path.write_text(
        "dicom.port = 104 # ours\nlog.level = 'error'\ndicom.tls_port = 2762\n[tls]\n"
        "certificate = 'a'\nkey = 'b'\nauthorities = 'c'\n"
    )
    text = change(file, "dicom.port=105", "dicom.maximum_associations=7", "dicom.tls_port=off")
    assert "dicom.port = 105 # ours" in text
    found = read_settings(file.path).dicom
    assert (found.port, found.tls_port, found.maximum_associations) == (105, None, 7)


def test_what_the_default_has_is_added_and_taken_out(file: ConfigurationFile) -> None:
    text = change(file, "storage.finished_days=30", "log.level=warning")
    assert read_settings(file.path).storage.finished_days == 30
    assert read_settings(file.path).log.level == "warning"
    assert all(line in text.splitlines() for line in TEXT.splitlines())
    assert (
        change(file, "storage.finished_days", "log.level", "hl7.port").count("finished_days") == 0
    )
    assert read_settings(file.path).storage.finished_days == 90


def test_a_destination_comes_and_goes_whole(file: ConfigurationFile) -> None:
    change(file, 'destinations.RIS={kind = "hl7", host = "192.0.2.2", port = 2575}')
    assert set(read_settings(file.path).destinations) == {"PACS", "RIS"}
    assert change(file, "destinations.RIS").rstrip() == TEXT.rstrip()


def test_one_more_of_a_list_is_added_as_the_list_is_written(file: ConfigurationFile) -> None:
    text = change(file, 'rules+={name = "late", destinations = ["PACS"]}')
    assert text.startswith(TEXT.rstrip())
    assert [rule.name for rule in read_settings(file.path).rules] == ["all", "late"]
    file.path.write_text(TEXT[: TEXT.index("[[rules]]")], encoding="utf-8")
    for name in ("one", "two"):
        change(file, f'rules+={{name = "{name}", destinations = ["PACS"]}}')
    change(file, 'destinations.RIS={kind = "hl7", host = "192.0.2.2", port = 2575}')
    text = file.arranged(file.read(), "rules", [1, 0])
    assert text.index('"two"') < text.index('"one"')
    file.path.write_text(TEXT, encoding="utf-8")
    text = change(file, "dicom.ae_titles+=RESEARCH")
    assert read_settings(file.path).dicom.ae_titles == ("CARDIONODE", "RESEARCH")
    assert all(line in text.splitlines() for line in TEXT.splitlines())


RULES = """
# About the archive.
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "192.0.2.1"
port = 104

# One: comes first.
[[rules]]
name = "one"  # says one
destinations = ["PACS"]
[rules.attributes]
PatientSex = "F"

# Two,
# in two lines.
[[ rules ]]
name = "two"
destinations = ["PACS"]

# About the port.
[hl7]
port = 2576
[[rules]]
name = "three"
destinations = ["PACS"]
"""
ONE, TWO = RULES.index("# One"), RULES.index("# Two")
PORT, THREE = RULES.index("# About the port"), RULES.index('[[rules]]\nname = "three')


def test_a_list_is_arranged_and_each_goes_with_the_comment_above_it(
    file: ConfigurationFile,
) -> None:
    head, one, two, port = RULES[:ONE], RULES[ONE:TWO], RULES[TWO:PORT], RULES[PORT:THREE]
    three = RULES[THREE:]
    for order, expected in (
        ([0, 1, 2], RULES),
        ([1, 0, 2], head + two + one + port + three),
        ([0, 2, 1], head + one + three + port + two),
        ([1], head + two + port),
        ([], head + port),
    ):
        file.path.write_text(RULES, encoding="utf-8")
        text = file.arranged(file.read(), "rules", order)
        assert text == expected, order
        file.replace(file.read(), text)
        names = [rule.name for rule in read_settings(file.path).rules]
        assert names == [("one", "two", "three")[at] for at in order]


def test_what_is_added_to_a_file_without_an_end_of_line_goes_into_lines_of_its_own(
    file: ConfigurationFile,
) -> None:
    file.path.write_text(TEXT.rstrip(), encoding="utf-8")
    change(file, 'rules+={name = "late", destinations = ["PACS"]}')
    assert [rule.name for rule in read_settings(file.path).rules] == ["all", "late"]
    file.path.write_text(RULES.rstrip(), encoding="utf-8")
    text = file.arranged(file.read(), "rules", [2, 1, 0])
    assert sorted(text.splitlines()) == sorted(RULES.splitlines())


def test_what_is_no_list_of_tables_is_not_arranged(file: ConfigurationFile) -> None:
    for key, order in (("rules", [0, 1]), ("dicom", [0]), ("hl7", [])):
        with pytest.raises(ConfigurationError, match="cannot be arranged here"):
            file.arranged(file.read(), key, order)
    tables = file.path.read_text(encoding="utf-8")
    inline = 'rules = [{name = "all", destinations = ["PACS"]}]\n'
    file.path.write_text(inline + tables[: tables.index("[[rules]]")], encoding="utf-8")
    with pytest.raises(ConfigurationError, match="cannot be arranged here"):
        file.arranged(file.read(), "rules", [])
    locked = ConfigurationFile(path=file.path, overrides=["rules=[]"])
    with pytest.raises(ConfigurationError, match="set where the node is started"):
        locked.arranged(locked.read(), "rules", [])


@pytest.mark.parametrize(
    "wrong",
    [
        "dicom.port+=1",
        "destinations.PACS+={}",
        "dicom.port=99999",
        "dicom.prot=1",
        "destinations.PACS.port",
        "rules=[{name = 1}]",
        "dicom=3",
    ],
)
def test_what_a_node_would_refuse_is_not_written(file: ConfigurationFile, wrong: str) -> None:
    with pytest.raises(ConfigurationError):
        change(file, wrong)
    assert file.path.read_text(encoding="utf-8") == TEXT
    with pytest.raises(ConfigurationError):
        file.replace(file.read(), "dicom.port = 99999\n")
    assert file.path.read_text(encoding="utf-8") == TEXT
    assert sorted(each.name for each in file.path.parent.iterdir()) == ["node.toml"]


def test_a_file_that_is_not_toml_is_said_and_one_with_a_wrong_value_is_mended(
    file: ConfigurationFile,
) -> None:
    file.path.write_text("dicom.port = ", encoding="utf-8")
    with pytest.raises(ConfigurationError, match="is not TOML"):
        change(file, "dicom.port=11913")
    file.path.write_text("dicom.port = 99999\n", encoding="utf-8")
    assert change(file, "dicom.port=11913") == "dicom.port = 11913\n"


def test_who_has_seen_an_older_file_does_not_change_it(file: ConfigurationFile) -> None:
    seen = file.read()
    edited = TEXT + "# from an editor\n"
    file.path.write_text(edited, encoding="utf-8")
    with pytest.raises(NotPossible, match="changed by somebody else"):
        file.replace(seen, file.changed(seen, ["dicom.port=11913"]))
    assert file.path.read_text(encoding="utf-8") == edited


def test_of_many_who_write_at_once_none_undoes_another(file: ConfigurationFile) -> None:
    began = threading.Barrier(8)

    def write(number: int) -> None:
        began.wait()
        while True:
            revision = file.read()
            text = file.changed(revision, [f"destinations.PACS_{number}={PACS}"])
            try:
                file.replace(revision, text)
            except NotPossible:
                continue
            return

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(30)
    assert len(read_settings(file.path).destinations) == 9
    assert "# Of the hospital: keep this line." in file.path.read_text(encoding="utf-8")


PACS = '{kind = "dicom", ae_title = "X", host = "192.0.2.9", port = 104}'


def test_rights_and_links_stay(file: ConfigurationFile, tmp_path: Path) -> None:
    file.path.chmod(0o640)
    link = tmp_path / "link.toml"
    link.symlink_to(file.path)
    change(ConfigurationFile(path=link), "dicom.port=11913")
    assert link.is_symlink()
    assert file.path.stat().st_mode & 0o777 == 0o640
    assert "11913" in file.path.read_text(encoding="utf-8")


def test_what_is_said_at_the_start_is_locked(tmp_path: Path) -> None:
    file = ConfigurationFile(path=tmp_path / "node.toml", overrides=["dicom.port=11914"])
    with pytest.raises(ConfigurationError, match="set where the node is started"):
        change(file, "dicom.port=11913")
    change(file, "hl7.port=2576")
    assert file.path.read_text(encoding="utf-8").strip() != ""


READ_ONLY = """
mount --bind "$1" "$1"
mount -o remount,bind,ro "$1"
exec "$2" -c 'import sys; from pathlib import Path; from node.configuration import ConfigurationFile
print(ConfigurationFile(path=Path(sys.argv[1]) / "node.toml").read_only)' "$1"
"""


def test_a_folder_that_may_not_be_written_is_said(file: ConfigurationFile) -> None:
    assert file.read_only is None
    folder = file.path.parent
    if os.geteuid() == 0:  # whom no rights of a folder hold off
        words = ["unshare", "--mount", "sh", "-ec", READ_ONLY, "sh", str(folder), sys.executable]
        done = subprocess.run(words, capture_output=True, text=True, check=False)
        if done.returncode:
            absent(f"no right to mount a folder read-only: {done.stderr}")
        assert done.stdout == f"{folder} is mounted read-only\n"
    else:
        folder.chmod(0o500)
        assert file.read_only == f"this user may not write in {folder}"
        folder.chmod(0o700)


def test_the_annotated_default_can_be_changed(tmp_path: Path) -> None:
    path = tmp_path / "node.toml"
    path.write_text(default_text(), encoding="utf-8")
    file = ConfigurationFile(path=path)
    text = change(
        file, "dicom.port=11913", "web.console.idle_minutes=5", "identity.missing=process"
    )
    told = difference(default_text(), text)
    assert sum(line.startswith("+") for line in told) == 3
    assert sum(line.startswith("-") for line in told) == 3


@settings(max_examples=60, deadline=None)
@given(
    port=st.integers(1, 65535),
    name=st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ_0123456789", min_size=1, max_size=12),
    comment=st.text(st.characters(blacklist_categories=("Cc", "Cs")), max_size=30),
    is_dotted=st.booleans(),
)
def test_whatever_way_it_is_written_only_the_key_changes(
    tmp_path_factory: pytest.TempPathFactory, port: int, name: str, comment: str, is_dotted: bool
) -> None:
    head = f"# {comment}\n"
    body = f"dicom.port = 1 # {comment}\n" if is_dotted else f"[dicom] # {comment}\nport = 1\n"
    path = tmp_path_factory.mktemp("written") / "node.toml"
    path.write_text(head + body, encoding="utf-8")
    file = ConfigurationFile(path=path)
    text = change(file, f"dicom.port={port}", f'dicom.ae_titles=["{name}"]')
    assert text.startswith(head)
    assert tomllib.loads(text) == {"dicom": {"port": port, "ae_titles": [name]}}
