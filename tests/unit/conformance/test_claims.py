"""Nothing is claimed that no test shows: each claim of the statement's words, and what shows it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from node.conformance.prose import load_prose
from tests.statement_tables import default_statement

ROOT = Path(__file__).parents[2]
HERE = "unit/conformance/test_statement.py"
TABLES = "wire/dicom/test_conformance_statement.py"
NEGOTIATION, REQUESTS = "wire/dicom/test_negotiation.py", "wire/dicom/test_requests.py"
COMMITMENT, COMMIT = "wire/dicom/test_commitment.py", "unit/workflow/test_commit.py"
SIGN_OFF = "unit/workflow/test_sign_off.py"
WITHDRAW = "unit/workflow/test_withdraw.py"
REGISTRY = "unit/workflow/test_registry.py"
WORKLIST = "wire/dicom/test_worklist.py"
TLS, FORMS = "wire/dicom/test_tls.py", "unit/workflow/test_forms.py"

SHOWN_BY: dict[str, dict[str, tuple[str, ...]]] = {
    "functional_definition": {
        "end_to_end/test_real_ecgs.py": (),
        "end_to_end/test_kill.py": (
            "test_an_acknowledged_ecg_survives_kill_minus_nine_with_one_set_of_results",
        ),
        "unit/dicom/test_structured_report.py": (
            "test_a_report_without_result_gives_reasons_and_no_number",
        ),
        "unit/workflow/test_correct.py": (
            "test_each_report_names_the_one_of_its_form_that_it_replaces",
            "test_nothing_of_a_correction_has_an_identifier_of_what_it_replaces",
        ),
        "end_to_end/test_commands.py": ("test_what_was_sent_is_corrected_then_withdrawn",),
        SIGN_OFF: (
            "test_each_archive_gets_its_report_verified_with_the_same_content",
            "test_only_who_is_who_they_say_and_has_a_name_to_sign_by_can_sign",
        ),
        WITHDRAW: ("test_each_archive_is_told_of_all_it_has_in_all_revisions",),
    },
    "sequencing": {
        "end_to_end/test_outage.py": (
            "test_results_wait_for_a_pacs_and_a_ris_that_are_down_and_the_model_runs_once",
        ),
        COMMIT: (
            "test_all_results_of_a_job_go_into_one_request_once_all_are_stored",
            "test_a_report_commits_results_and_lets_the_message_go",
        ),
    },
    "number_acceptor": {
        NEGOTIATION: (
            "test_when_all_places_are_taken_one_more_is_asked_to_come_later",
            "test_a_silent_association_gives_way_to_an_address_that_has_fewer",
        ),
    },
    "number_initiator": {
        TABLES: ("test_senders_propose_what_the_statement_lists",),
        "end_to_end/test_conformance.py": (
            "test_a_slow_destination_has_no_more_associations_than_the_statement_says",
        ),
    },
    "asynchronous": {
        NEGOTIATION: ("test_identity_windows_and_unknown_items_are_passed_over",),
        TABLES: ("test_senders_propose_what_the_statement_lists",),
    },
    "implementation": {
        NEGOTIATION: ("test_an_acceptance_says_who_we_are_and_repeats_what_it_must",),
        TABLES: ("test_senders_propose_what_the_statement_lists",),
        HERE: ("test_files_name_the_implementation",),
    },
    "send_description": {
        "unit/dicom/test_cine.py": ("test_two_builds_are_the_same_bytes",),
        "unit/workflow/test_deliver.py": ("test_what_can_heal_is_tried_again_with_the_same_bytes",),
        FORMS: ("test_one_name_is_one_object_and_one_object_has_one_name",),
    },
    "send_contexts": {
        TABLES: (
            "test_senders_propose_what_the_statement_lists",
            "test_an_ecg_is_proposed_in_the_transfer_syntax_it_came_in",
        ),
        "wire/dicom/test_pass_on.py": ("test_a_pacs_gets_the_data_set_as_it_came",),
        "wire/dicom/test_compression.py": (
            "test_a_peer_that_takes_it_gets_the_same_object_compressed",
            "test_a_peer_that_does_not_take_it_gets_it_as_it_is_and_the_log_says_so",
        ),
    },
    "send_conformance": {
        TABLES: ("test_each_response_to_a_store_has_the_behaviour_of_its_row",),
        "unit/workflow/test_deliver.py": (
            "test_waits_double_up_to_the_longest",
            "test_a_refusal_stops_and_waits_for_a_person",
            "test_after_its_limit_a_delivery_is_exhausted_not_forgotten",
        ),
    },
    "send_failures": {
        TABLES: ("test_each_failure_of_communication_has_the_behaviour_of_its_row",),
        "unit/workflow/test_deliver.py": ("test_what_can_heal_is_tried_again_with_the_same_bytes",),
    },
    "commitment_description": {
        COMMITMENT: ("test_nobody_is_waited_for_longer_than_the_association_is_kept",),
        COMMIT: (
            "test_all_results_of_a_job_go_into_one_request_once_all_are_stored",
            "test_silence_is_asked_about_again_under_another_uid_and_then_shown",
            "test_a_late_report_to_any_request_counts",
        ),
        "end_to_end/test_commitment.py": (
            "test_results_are_committed_whatever_way_the_report_takes",
        ),
    },
    "commitment_conformance": {
        TABLES: (
            "test_each_response_to_a_request_for_commitment_has_the_behaviour_of_its_row",
            "test_each_failure_reason_of_a_report_has_the_behaviour_of_its_row",
        ),
        COMMIT: (
            "test_only_what_failed_is_sent_again_and_asked_for_anew",
            "test_what_cannot_be_committed_is_not_sent_again",
        ),
    },
    "worklist_description": {
        WORKLIST: (
            "test_one_key_is_asked_by_and_never_a_pattern",
            "test_who_has_nothing_to_ask_by_asks_nobody",
        ),
        "unit/workflow/test_orders.py": (
            "test_a_ris_that_does_not_answer_is_waited_for_then_done_without",
        ),
    },
    "worklist_conformance": {
        "unit/workflow/test_reconcile.py": (),
        "end_to_end/test_worklist.py": (),
        WORKLIST: ("test_a_ris_that_matches_by_nothing_is_told_of",),
    },
    "verify_description": {
        COMMITMENT: ("test_a_peer_that_offers_commitment_is_asked_for_nothing",),
        "end_to_end/test_commands.py": (
            "test_check_tries_what_the_file_names_and_says_what_is_wrong",
        ),
    },
    "receive_description": {
        "end_to_end/test_bad_input.py": (
            "test_the_same_instance_twice_is_one_job_and_another_content_is_kept_aside",
        ),
        "unit/workflow/test_intake.py": (
            "test_the_same_instance_again_changes_nothing_in_either_encoding",
        ),
        "unit/workflow/test_identity.py": (
            "test_an_ecg_without_a_patient_id_is_held_with_its_reason",
            "test_another_patient_in_a_known_study_is_held_without_naming_either",
            "test_a_site_may_have_both_processed",
        ),
        REQUESTS: ("test_dcmtk_stores_many_in_one_association",),
    },
    "receive_contexts": {
        TABLES: (
            "test_of_all_transfer_syntaxes_the_one_that_stands_first_is_chosen",
            "test_the_role_of_the_table_is_the_one_that_is_taken",
        ),
        NEGOTIATION: ("test_identity_windows_and_unknown_items_are_passed_over",),
    },
    "receive_conformance": {
        "wire/dicom/test_scp.py": ("test_the_bytes_handed_over_are_the_bytes_sent",),
        REQUESTS: ("test_success_comes_after_the_instance_was_kept_and_never_before",),
        "end_to_end/test_kill.py": (
            "test_an_acknowledged_ecg_survives_kill_minus_nine_with_one_set_of_results",
        ),
        TABLES: ("test_the_listener_accepts_what_the_statement_lists_and_nothing_else",),
    },
    "report_description": {
        COMMITMENT: ("test_reports_are_taken_whichever_way_the_role_is_selected",),
        "wire/dicom/test_scp.py": ("test_a_caller_that_no_peer_entry_admits_is_rejected",),
    },
    "report_contexts": {
        COMMITMENT: (
            "test_reports_are_taken_whichever_way_the_role_is_selected",
            "test_of_commitment_we_take_the_role_of_the_scu_alone",
        ),
    },
    "report_conformance": {
        COMMITMENT: ("test_success_comes_after_the_outcome_was_kept_and_never_before",),
        TABLES: ("test_every_status_of_a_report_can_be_provoked_and_no_other_is_listed",),
    },
    "verification_description": {
        REQUESTS: (
            "test_an_echo_is_answered_on_every_context",
            "test_an_operation_we_do_not_know_is_said_to_be_unrecognised",
        ),
        TABLES: ("test_every_status_of_verification_can_be_provoked",),
    },
    "association_rejections": {
        TABLES: ("test_every_rejection_of_the_statement_is_met_and_no_other",),
    },
    "context_refusals": {
        TABLES: ("test_every_result_of_a_refused_context_is_met_and_no_other",),
    },
    "stow_in": {
        "wire/web/test_stow.py": (
            "test_instances_are_kept_as_they_are_sent",
            "test_whoever_has_no_token_is_turned_away",
            "test_the_answer_is_json_or_none",
            "test_a_study_in_the_address_is_the_only_one_taken",
        ),
        "end_to_end/test_stow.py": (
            "test_a_success_of_stow_means_the_bytes_survive_kill_minus_nine",
        ),
        TABLES: ("test_every_failure_reason_of_stow_can_be_provoked_and_no_other_is_listed",),
    },
    "stow_out": {
        "wire/dicom/test_dicomweb.py": (
            "test_a_request_is_one_part_with_the_file_as_it_is",
            "test_a_failure_reason_says_whether_to_try_again",
            "test_a_status_without_a_data_set_says_what_to_do",
            "test_retry_after_is_told_on",
        ),
    },
    "ip_versions": {TABLES: ("test_callers_are_taken_by_either_version_of_ip",)},
    "character_sets_received": {
        "unit/dicom/test_study.py": ("test_names_are_decoded_by_the_objects_character_set",),
        "unit/dicom/test_cine.py": ("test_names_keep_their_letters_in_every_character_set",),
    },
    "character_sets_sent": {
        FORMS: (
            "test_names_are_written_in_the_character_set_that_was_chosen",
            "test_a_letter_that_the_character_set_does_not_have_is_refused_and_not_told",
        ),
        "unit/workflow/test_process.py": (
            "test_a_result_that_cannot_be_written_as_chosen_is_held_for_a_person",
        ),
    },
    "security_profiles": {
        TLS: (
            "test_an_ecg_arrives_over_tls",
            "test_a_caller_without_a_certificate_is_refused_and_told_of",
            "test_a_caller_with_an_old_version_is_refused_and_told_of",
            "test_tls_1_2_is_too_old_where_1_3_is_the_minimum",
            "test_a_cipher_suite_that_bcp_195_does_not_name_is_refused",
            "test_a_sender_says_why_there_is_no_tls_with_a_peer",
            "test_a_renewed_certificate_is_shown_without_a_restart_and_ends_nothing",
        ),
        NEGOTIATION: ("test_identity_windows_and_unknown_items_are_passed_over",),
        "wire/dicom/test_scp.py": ("test_the_bytes_handed_over_are_the_bytes_sent",),
    },
    "audit_profiles": {
        "unit/atna/test_audit_message.py": (
            "test_what_a_person_does_is_a_message",
            "test_events_have_the_codes_of_the_standard",
            "test_who_looks_at_a_study_is_told_with_study_and_patient_and_without_a_name",
            "test_a_transfer_has_its_two_ends",
            "test_whatever_a_field_holds_the_message_is_one",
        ),
        "unit/engine/test_audit_relay.py": (
            "test_instances_that_come_and_go_are_told_with_their_patient",
            "test_a_repository_that_is_away_gets_all_when_it_is_back",
        ),
        "end_to_end/test_audit_repository.py": (
            "test_a_repository_is_told_what_comes_and_goes_and_who_looks",
        ),
    },
    "association_security": {
        NEGOTIATION: (
            "test_a_rejection_says_why",
            "test_a_peer_gets_contexts_for_what_it_may_ask_alone",
            "test_what_a_peer_may_follows_from_all_entries_that_admit_it",
        ),
        TLS: ("test_a_caller_is_bound_to_a_name_in_its_certificate",),
        "end_to_end/test_attacks.py": ("test_a_friend_hardly_notices",),
    },
    "coercion": {
        "wire/dicom/test_scp.py": ("test_the_bytes_handed_over_are_the_bytes_sent",),
        "unit/dicom/test_study.py": (
            "test_an_unusable_study_uid_is_replaced_by_one_that_follows_from_the_instance",
        ),
    },
    "new_study": {FORMS: ("test_a_study_of_their_own_refers_to_that_of_the_ecg",)},
    "private_attributes": {HERE: ("test_no_object_has_a_private_attribute",)},
    "template_specifications": {
        "wire/dicom/test_forms.py": ("test_reports_follow_their_template",),
        "unit/dicom/test_structured_report.py": (
            "test_intervals_are_ranges_below_and_above_as_cid_225_has_them",
            "test_every_number_is_inferred_from_the_ecg",
        ),
    },
    "rejection_note": {
        WITHDRAW: (
            "test_a_note_is_what_the_standard_asks_for",
            "test_each_archive_is_told_of_all_it_has_in_all_revisions",
            "test_results_in_a_study_of_their_own_are_rejected_there",
            "test_what_only_may_be_there_has_a_note_of_its_own",
        ),
    },
    "private_codes": {HERE: ("test_private_codes_of_reports_are_listed",)},
    "grayscale": {
        HERE: ("test_every_attribute_of_an_object_is_in_its_table_with_its_presence_and_value",),
    },
    "extended": {HERE: ("test_only_single_frames_have_attributes_beside_their_iod",)},
    "private_syntaxes": {
        TABLES: (
            "test_the_listener_accepts_what_the_statement_lists_and_nothing_else",
            "test_senders_propose_what_the_statement_lists",
        ),
    },
    "hl7_outbound": {
        HERE: ("test_the_fields_of_a_message_are_those_of_the_table",),
        "unit/hl7/test_oru.py": (
            "test_python_hl7_reads_every_estimate_with_its_interval_unit_and_code",
            "test_the_references_describe_and_do_not_observe",
            "test_the_document_is_the_last_result_in_the_layout_the_site_knows",
            "test_a_link_leads_to_the_study_whatever_its_numbers_are_made_of",
            "test_segments_of_the_sites_own_stand_last_with_what_is_known",
            "test_a_correction_says_so_in_every_result_and_to_the_reader",
        ),
        SIGN_OFF: ("test_the_ris_gets_the_same_numbers_as_final_and_who_signed_them",),
        "unit/workflow/test_correct.py": (
            "test_the_ris_is_told_of_a_correction_under_the_same_filler_number",
            "test_a_ris_that_knows_the_result_by_another_number_hears_that_it_is_wrong_first",
        ),
        WITHDRAW: ("test_the_ris_hears_that_all_results_are_wrong_under_the_same_numbers",),
        "unit/cli/test_route_and_hl7.py": ("test_without_an_estimate_there_is_no_message",),
    },
    "hl7_acknowledgement": {
        "wire/hl7/test_sender.py": (
            "test_a_positive_answer_delivers",
            "test_a_negative_answer_names_the_code_and_never_the_text",
            "test_answers_to_other_messages_are_discarded",
        ),
    },
    "hl7_inbound": {
        "unit/hl7/test_acknowledgement.py": (
            "test_the_sender_gets_the_acknowledgements_it_asked_for",
            "test_what_is_not_taken_is_told_apart",
        ),
        "unit/workflow/test_acknowledgements.py": (),
        REGISTRY: (
            "test_a_message_is_kept_before_it_is_acknowledged_and_kept_once",
            "test_what_cannot_be_used_is_kept_refused_and_taken_when_it_can",
            "test_a_message_told_twice_is_noted_once",
        ),
    },
    "hl7_orders": {
        "unit/hl7/test_news.py": (
            "test_an_order_message_of_version_2_3_1_is_read_where_ihe_puts_things",
            "test_an_imaging_order_has_its_numbers_in_ipc",
            "test_an_order_control_says_whether_the_order_stands",
        ),
        REGISTRY: (
            "test_the_order_that_came_before_its_ecg_is_named_in_the_results",
            "test_an_ecg_that_waits_for_its_order_goes_on_when_it_comes",
            "test_an_order_that_comes_after_the_results_is_told_or_has_them_corrected",
            "test_a_changed_order_has_the_last_word",
            "test_a_cancelled_order_holds_the_ecg_and_a_new_one_lets_it_go",
        ),
    },
    "hl7_patients": {
        "end_to_end/test_orders_and_merges.py": (),
        "unit/store/test_patients.py": (
            "test_after_any_merges_everybody_is_who_the_last_ones_say",
        ),
        REGISTRY: (
            "test_a_merged_patient_is_the_one_who_stays_in_results_made_later",
            "test_a_merge_renews_what_is_not_sent_and_leaves_what_is",
            "test_an_ecg_under_the_number_of_somebody_else_is_held_until_that_is_put_right",
        ),
    },
}
"""Claim -> file -> tests in it; no test named: all of the file."""


def test_every_claim_is_shown_and_nothing_else_is_listed() -> None:
    assert set(SHOWN_BY) == set(load_prose().claim)
    assert all(SHOWN_BY.values())


@pytest.mark.parametrize("claim", SHOWN_BY)
def test_what_shows_a_claim_is_there(claim: str) -> None:
    for file, names in SHOWN_BY[claim].items():
        assert set(names) <= named_tests(file), (claim, file)
        assert named_tests(file)


@cache
def named_tests(file: str) -> frozenset[str]:
    def names() -> Iterator[str]:
        for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                yield node.name

    return frozenset(names())


def test_every_word_of_the_prose_is_said() -> None:
    """A claim that nothing writes would be one that nobody reads."""
    said = default_statement()
    for words in [*load_prose().claim.values(), *load_prose().introduction.values()]:
        assert words.partition("{")[0][:200] in said
