"""When the device fails in service: the CPU takes over, and says so in every result."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock

from node.domain.ecg import ECGRecord, Finding, Subject
from node.domain.errors import BundleError, DeviceError
from node.domain.prediction import ModelIdentity, Prediction
from pipelines.contract import InputSpec, Pipeline, Watch, unwatched


class WithStandby:
    """A pipeline (pipelines.contract.Pipeline) with another that takes its place for good."""

    def __init__(
        self, first: Pipeline, standby: Callable[[], Pipeline], said: Callable[[str], None]
    ) -> None:
        """standby: loads the other pipeline, when it is needed. said: told that it was."""
        self._serving = first
        self._standby = standby
        self._said = said
        self._lock = Lock()

    @property
    def identity(self) -> ModelIdentity:
        return self._serving.identity

    @property
    def input_spec(self) -> InputSpec:
        return self._serving.input_spec

    def predict(
        self,
        record: ECGRecord,
        subject: Subject,
        *,
        source_digest: str,
        findings: tuple[Finding, ...] = (),
        watch: Watch = unwatched,
    ) -> Prediction:
        """As `Pipeline.predict`. Raises DeviceError where the standby cannot answer either."""

        def ask(pipeline: Pipeline) -> Prediction:
            return pipeline.predict(
                record, subject, source_digest=source_digest, findings=findings, watch=watch
            )

        asked = self._serving
        try:
            return ask(asked)
        except DeviceError as error:
            self._replace(asked, error)
        return ask(self._serving)

    def _replace(self, failed: Pipeline, error: DeviceError) -> None:
        with self._lock:
            if self._serving is failed:
                try:
                    self._serving = self._standby()
                except BundleError as fault:  # of the bundle on the disk, not of this ECG
                    raise DeviceError(
                        f"{error.message}; nor can the CPU answer: {fault.message} "
                        "(or start the node again, if another bundle was installed in its place)"
                    ) from fault
                self._said(
                    f"{failed.identity.runtime} failed ({error.message}); from now on "
                    f"{self._serving.identity.runtime} answers, until the node is started again"
                )
