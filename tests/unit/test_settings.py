"""The configuration: the default runs as it is, and every problem of a file is said at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from node.domain.caller import Permission
from node.domain.delivery import Priority
from node.domain.errors import ConfigurationError
from node.domain.form import (
    DEFAULT_FORM,
    CharacterSet,
    CineForm,
    Compression,
    ReportForm,
    ResultForm,
    StudyForm,
)
from node.secret import Secret
from node.settings import (
    DicomDestinationSettings,
    DicomWebDestinationSettings,
    FhirDestinationSettings,
    Hl7DestinationSettings,
    read_settings,
)


def test_the_annotated_default_runs_as_it_is_on_loopback() -> None:
    settings = read_settings()
    assert settings.dicom.ae_titles == ("CARDIONODE",)
    assert (settings.dicom.port, settings.hl7.port, settings.web.port) == (11112, 2575, 8080)
    assert {settings.dicom.host, settings.hl7.host, settings.web.host} == {"127.0.0.1"}


def test_a_file_changes_only_the_keys_it_names(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("dicom.port = 104\n")
    settings = read_settings(file)
    assert settings.dicom.port == 104
    assert settings.dicom.maximum_associations == read_settings().dicom.maximum_associations


def test_a_peer_that_says_no_more_may_ask_everything_of_every_ae_title(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[[dicom.peers]]\nae_title = "CART"\nnetworks = ["192.0.2.7/32"]\n')
    (peer,) = read_settings(file).dicom.peers
    assert (peer.called_ae, peer.may) == ("*", tuple(Permission))


def test_a_permission_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[[dicom.peers]]\nae_title = "C"\nnetworks = ["::1"]\nmay = ["find"]\n')
    with pytest.raises(ConfigurationError, match=r"peers\.0\.may\.0: .*'store'.*'echo'"):
        read_settings(file)


def test_set_overrides_the_file(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text("dicom.port = 104\n")
    assert read_settings(file, ["dicom.port=11912"]).dicom.port == 11912
    assert read_settings(file, ["model.bundle=mine"]).model.bundle == "mine"


def test_every_problem_is_said_at_once_with_its_key_path(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        """
dicom.port = 99999
dicom.ae_titles = ["MUCH_TOO_LONG_AN_AE_TITLE"]
hl7.prot = 1
[destinations.PACS]
kind = "dicom"
host = "192.0.2.1"
"""
    )
    with pytest.raises(ConfigurationError) as problem:
        read_settings(file)
    for path in ("dicom.port", "dicom.ae_titles.0", "hl7.prot", "destinations.PACS"):
        assert path in problem.value.message


def test_a_rule_that_names_no_destination_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('[[rules]]\nname = "ED"\ndestinations = ["PACS"]\n')
    with pytest.raises(ConfigurationError, match=r"\[destinations.PACS\]"):
        read_settings(file)


PACS = '[destinations.PACS]\nkind = "dicom"\nae_title = "PACS"\nhost = "192.0.2.1"\nport = 104\n'
RIS = '[destinations.RIS]\nkind = "hl7"\nhost = "192.0.2.2"\nport = 2575\n'


@pytest.mark.parametrize(
    ("text", "after"),
    [(PACS, "PACS"), (PACS + "commitment = true\n", "PACKS"), (PACS, "RIS")],
    ids=["not asked to commit itself", "not there", "not DICOM"],
)
def test_a_message_waits_only_for_a_destination_that_commits_itself(
    tmp_path: Path, text: str, after: str
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f'{text}{RIS}after_committed = "{after}"\n')
    with pytest.raises(ConfigurationError, match=f"RIS.after_committed names '{after}'"):
        read_settings(file)
    file.write_text(f'{PACS}commitment = true\n{RIS}after_committed = "PACS"\n')
    assert set(read_settings(file).destinations) == {"PACS", "RIS"}


RULE = """
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "192.0.2.1"
port = 104
[[rules]]
name = "ED"
destinations = ["PACS"]
"""


def test_a_rule_names_attributes_with_or_without_quotes(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        RULE
        + """
priority = "stat"
results = ["ecg", "report"]
[rules.attributes]
InstitutionalDepartmentName = "ED*"
RequestAttributesSequence.ScheduledProcedureStepID = "S?"
"ReferencedStudySequence.ReferencedSOPInstanceUID" = "1.2.*"
"(0009,1001)" = "x"
"""
    )
    (rule,) = read_settings(file).rules
    assert rule.priority is Priority.STAT
    assert rule.attributes == {
        "InstitutionalDepartmentName": "ED*",
        "RequestAttributesSequence.ScheduledProcedureStepID": "S?",
        "ReferencedStudySequence.ReferencedSOPInstanceUID": "1.2.*",
        "(0009,1001)": "x",
    }


def test_attributes_that_are_none_are_refused_all_at_once_with_the_nearest(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(RULE + 'attributes = { Departement = "ED", Modalty = "ECG" }\n')
    with pytest.raises(ConfigurationError) as problem:
        read_settings(file)
    assert "rules.0.attributes" in problem.value.message
    assert "there is no attribute 'Departement'" in problem.value.message
    assert "the nearest is Modality" in problem.value.message


def test_a_pattern_is_text_and_a_priority_one_of_three(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(RULE + 'priority = "urgent"\nattributes = { InstanceNumber = 7 }\n')
    with pytest.raises(ConfigurationError) as problem:
        read_settings(file)
    for words in ("rules.0.priority", "'stat', 'routine' or 'low'", "attributes.InstanceNumber"):
        assert words in problem.value.message


def test_a_file_that_is_not_toml_or_not_there_is_said_so(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    with pytest.raises(ConfigurationError, match="cannot read"):
        read_settings(file)
    file.write_text("dicom = [")
    with pytest.raises(ConfigurationError, match="not TOML"):
        read_settings(file)


def test_a_dicomweb_destination_refers_to_its_secrets(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        """
[destinations.VNA]
kind = "dicomweb"
url = "https://vna.example/dicom-web"
token = "file:/etc/cardionode/vna.token"
"""
    )
    destination = read_settings(file).destinations["VNA"]
    assert isinstance(destination, DicomWebDestinationSettings)
    assert destination.token == Secret("file", "/etc/cardionode/vna.token")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('token = "hunter2"', "env:NAME or file:PATH"),
        ("token = 2718281828", "env:NAME or file:PATH"),
        ('user = "node"', "user and password go together"),
        ('user = "node"\npassword = "hunter2"', "env:NAME or file:PATH"),
        ('token = "env:A"\nuser = "node"\npassword = "env:B"', "either token, or user"),
        ('url = "https://node:hunter2@vna.example/"', "holds no user or password"),
        ('url = "https://vna.example/dicom-web/studies"', "ends before /studies"),
        ('url = "https://vna.example/a b"', "no space"),
        ('url = "vna.example"', "http or https"),
        ('url = "https://vna.example:port/"', "no URL"),
        ('key = "/etc/key.pem"', "key goes with certificate"),
        ('url = "http://vna.example"\nauthorities = "/etc/ca.pem"', "need an https url"),
    ],
)
def test_a_secret_in_the_configuration_is_refused_and_never_repeated(
    tmp_path: Path, keys: str, problem: str
) -> None:
    file = tmp_path / "node.toml"
    url = "" if "url" in keys else 'url = "https://vna.example/dicom-web"\n'
    file.write_text(f'[destinations.VNA]\nkind = "dicomweb"\n{url}{keys}\n')
    with pytest.raises(ConfigurationError, match=problem) as refused:
        read_settings(file)
    for secret in ("hunter2", "2718281828"):
        assert secret not in refused.value.message


FHIR = """
[destinations.EHR]
kind = "fhir"
"""


def test_a_fhir_destination_says_where_it_is_and_in_which_time(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        FHIR + 'url = "https://ehr.example/fhir"\ntime_zone = "Europe/Vienna"\ntoken = "env:EHR"\n'
    )
    destination = read_settings(file).destinations["EHR"]
    assert isinstance(destination, FhirDestinationSettings)
    assert destination.time_zone.key == "Europe/Vienna"
    assert destination.token == Secret("env", "EHR")
    assert (destination.pdf, destination.category) == (False, "RAD")


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ("", "destinations.EHR.fhir.time_zone: this key is needed"),
        ('time_zone = "Vienna"', "no time zone that this machine knows"),
        ('time_zone = "../../etc/passwd"', "no time zone that this machine knows"),
        ('token = "hunter2"', "env:NAME or file:PATH"),
        ('user = "node"', "user and password go together"),
        ('url = "https://node:hunter2@ehr.example/"', "holds no user or password"),
        ('url = "https://ehr.example/fhir/metadata"', "ends before /metadata"),
        ('url = "ehr.example"', "address of the FHIR services"),
        ('patient_system = "no uri"', "patient_system"),
        ('category = "cardiology"', "category"),
        ('patient = "found"', "needs patient_system"),
        ('after_committed = "PACS"', "not a DICOM destination with commitment"),
    ],
)
def test_what_a_fhir_destination_cannot_be_is_said(tmp_path: Path, keys: str, problem: str) -> None:
    file = tmp_path / "node.toml"
    url = "" if "url" in keys else 'url = "https://ehr.example/fhir"\n'
    zone = "" if not keys or "zone" in keys else 'time_zone = "Europe/Vienna"\n'
    file.write_text(f"{FHIR}{url}{zone}{keys}\n")
    with pytest.raises(ConfigurationError, match=problem) as refused:
        read_settings(file)
    assert "hunter2" not in refused.value.message


def test_a_fhir_server_may_wait_for_an_archive_to_commit_itself(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    pacs = '[destinations.PACS]\nkind = "dicom"\nae_title = "P"\nhost = "h"\nport = 1\n'
    keys = 'url = "https://ehr.example"\ntime_zone = "UTC"\nafter_committed = "PACS"\n'
    file.write_text(f"{pacs}commitment = true\n{FHIR}{keys}")
    assert read_settings(file).after_committed == {"EHR": "PACS"}


def test_a_secret_is_read_from_where_it_is_and_shown_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "token"
    file.write_text("hunter2\n")
    monkeypatch.setenv("VNA_TOKEN", "hunter2")
    for reference in (f"file:{file}", "env:VNA_TOKEN"):
        secret = Secret.parse(reference)
        assert secret.read() == "hunter2"
        assert "hunter2" not in repr(secret)


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines", b"hunter2\x07", "hünter2".encode()])
def test_a_secret_that_cannot_be_one_is_refused_without_its_words(
    tmp_path: Path, content: bytes
) -> None:
    file = tmp_path / "token"
    file.write_bytes(content)
    for reference in (f"file:{file}", f"file:{tmp_path / 'none'}", "env:CARDIONODE_NO_SUCH"):
        with pytest.raises(ConfigurationError) as refused:
            Secret.parse(reference).read()
        assert "nter2" not in refused.value.message


TLS = """
[tls]
certificate = "node.pem"
key = "node.key"
authorities = "ca.pem"
"""


def problem(file: Path, text: str) -> str:
    file.write_text(text)
    with pytest.raises(ConfigurationError) as raised:
        read_settings(file)
    return raised.value.message


def test_a_node_may_listen_with_tls_alone(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text('dicom.port = "off"\ndicom.tls_port = 2762\n' + TLS)
    settings = read_settings(file)
    assert (settings.dicom.port, settings.dicom.tls_port) == (None, 2762)
    assert settings.tls is not None
    assert settings.tls.minimum_version == "1.2"


def test_hl7_may_listen_and_send_with_tls_alone(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    ris = RIS + 'tls = true\nserver_name = "ris.example"\n'
    file.write_text('hl7.port = "off"\nhl7.tls_port = 2576\n' + ris + TLS)
    settings = read_settings(file)
    assert (settings.hl7.port, settings.hl7.tls_port) == (None, 2576)
    destination = settings.destinations["RIS"]
    assert isinstance(destination, Hl7DestinationSettings)
    assert (destination.tls, destination.server_name) == (True, "ris.example")


def test_hl7_listens_somewhere(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    assert 'both "off"' in problem(file, 'hl7.port = "off"')


def test_an_hl7_destination_says_how_long_it_is_waited_for(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(RIS)
    usual = read_settings(file).destinations["RIS"]
    file.write_text(RIS + "connect_timeout_s = 2.5\nanswer_timeout_s = 120\n")
    patient = read_settings(file).destinations["RIS"]
    assert isinstance(usual, Hl7DestinationSettings)
    assert isinstance(patient, Hl7DestinationSettings)
    assert (usual.connect_timeout_s, usual.answer_timeout_s) == (10.0, 30.0)
    assert (patient.connect_timeout_s, patient.answer_timeout_s) == (2.5, 120.0)


def test_tls_that_cannot_be_is_refused_with_what_is_missing(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    pacs = '[destinations.PACS]\nkind = "dicom"\nae_title = "P"\nhost = "h"\nport = 1\n'
    peer = '[{ ae_title = "*", networks = ["127.0.0.1/32"], certificate = "cart-*" }]'
    assert "table [tls]" in problem(file, "dicom.tls_port = 2762")
    assert "destinations.PACS.tls: TLS needs" in problem(file, pacs + "tls = true\n")
    assert "set tls = true too" in problem(file, pacs + 'server_name = "pacs.example"\n')
    assert "hl7.tls_port: TLS needs" in problem(file, "hl7.tls_port = 2576")
    assert "destinations.RIS.tls: TLS needs" in problem(file, RIS + "tls = true\n")
    assert "set tls = true too" in problem(file, RIS + 'server_name = "ris.example"\n')
    assert 'both "off"' in problem(file, 'dicom.port = "off"')
    assert "set tls_port" in problem(file, f"dicom.peers = {peer}")
    assert "tls.minimum_version" in problem(file, TLS + 'minimum_version = "1.1"\n')


ARCHIVE = """
[destinations.PACS]
kind = "dicom"
ae_title = "PACS"
host = "192.0.2.1"
port = 104
"""


def form_of(tmp_path: Path, text: str) -> tuple[ResultForm, Compression]:
    file = tmp_path / "node.toml"
    file.write_text(ARCHIVE + text)
    destination = read_settings(file).destinations["PACS"]
    assert isinstance(destination, DicomDestinationSettings)
    return destination.form, destination.compression


def test_a_destination_chooses_the_form_of_its_results(tmp_path: Path) -> None:
    assert form_of(tmp_path, "") == (DEFAULT_FORM, Compression.NONE)
    text = 'cine = "single-frames"\nreport = "none"\nstudy = "new"\ncharacter_set = "ISO_IR 100"\n'
    chosen = ResultForm(
        cine=CineForm.SINGLE_FRAMES,
        report=ReportForm.NONE,
        study=StudyForm.NEW,
        character_set=CharacterSet.LATIN_1,
    )
    assert form_of(tmp_path, text + 'compression = "jpeg-2000"') == (chosen, Compression.JPEG_2000)


def test_a_form_that_there_is_not_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"PACS.*cine: .*'true-color'.*it is 'colour'"):
        form_of(tmp_path, 'cine = "colour"')


def test_objects_may_be_in_a_bucket_and_encrypted(tmp_path: Path) -> None:
    file = tmp_path / "node.toml"
    file.write_text(
        'storage.objects = "s3://ecgs/node"\nstorage.keys = ["file:/etc/key", "env:OLD"]\n'
        '[storage.s3]\nendpoint_url = "https://s3.example:9000"\n'
        'access_key = "env:ACCESS"\nsecret_key = "env:SECRET"\n'
    )
    storage = read_settings(file).storage
    assert storage.is_bucket
    assert storage.keys == (Secret("file", "/etc/key"), Secret("env", "OLD"))
    assert storage.s3.secret_key == Secret("env", "SECRET")
    assert not read_settings().storage.is_bucket


@pytest.mark.parametrize(
    ("keys", "problem"),
    [
        ('objects = "gs://ecgs/node"', "a folder or s3://BUCKET/PREFIX"),
        ('objects = "s3:///node"', "a folder or s3://BUCKET/PREFIX"),
        ('keys = ["hunter2"]', "env:NAME or file:PATH"),
        ('s3.secret_key = "hunter2"\ns3.access_key = "env:A"', "env:NAME or file:PATH"),
        ('s3.access_key = "env:A"', "access_key and secret_key go together"),
        ('s3.endpoint_url = "s3.example"', "storage.s3.endpoint_url"),
    ],
)
def test_a_store_of_objects_that_there_is_not_is_refused(
    tmp_path: Path, keys: str, problem: str
) -> None:
    file = tmp_path / "node.toml"
    file.write_text(f"[storage]\n{keys}\n")
    with pytest.raises(ConfigurationError, match=problem) as refused:
        read_settings(file)
    assert "hunter2" not in refused.value.message
