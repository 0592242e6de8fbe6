//! The suite catches what it is made for: wrong providers, each failed by the check that names its fault.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::string_slice,
    reason = "tests state what they expect by panicking"
)]

#[path = "../examples/map_provider/provider.rs"]
mod provider;

mod faulty;

use std::time::Duration;

use faulty::{Fault, Faulty};
use storage_core::conformance::{CHECKS, Suite};

fn suite(fault: Fault) -> Suite {
    Suite::new(move |setup| async move { Faulty::new(fault, setup.clock()) })
        .deadline(Duration::from_secs(20))
}

/// Without a fault, the wrapper itself is right.
mod without_fault {
    use super::{Fault, Faulty};

    storage_core::conformance_suite!(|setup| async move { Faulty::new(Fault::None, setup.clock()) });
}

/// Asserts that each of `checks` passes on the right provider and fails on the one with `fault`.
fn assert_caught(fault: Fault, checks: &[&str]) {
    for wanted in checks {
        let check = CHECKS.iter().find(|check| format!("{check:?}") == *wanted);
        let check = check.unwrap_or_else(|| panic!("there is no check {wanted}"));
        assert_eq!(suite(Fault::None).try_run(check), Ok(()), "the right provider fails {wanted}");
        let report = suite(fault).try_run(check).err();
        let report = report.unwrap_or_else(|| panic!("{fault:?} is not caught by {wanted}"));
        assert!(report.contains(wanted), "the report does not name the check: {report}");
    }
}

macro_rules! caught {
    ($($test:ident: $fault:ident by $($check:literal),+;)+) => {
        $(#[test]
        fn $test() {
            assert_caught(Fault::$fault, &[$($check),+]);
        })+
    };
}

caught! {
    ignored_expiry_is_caught: IgnoresExpiry by
        "expiry::an_item_is_gone_at_the_exact_instant_of_its_deadline";
    expiry_an_instant_late_is_caught: ExpiresAnInstantLate by
        "expiry::an_item_is_gone_at_the_exact_instant_of_its_deadline";
    an_index_of_expired_items_is_caught: SearchesExpired by
        "expiry::an_expired_item_is_in_no_search",
        "expiry::an_expired_item_is_found_by_none_of_its_tags";
    an_index_of_deleted_items_is_caught: SearchesDeleted by
        "delete::a_deleted_item_is_gone_from_search_count_and_usage",
        "delete::the_tags_of_a_deleted_item_find_nothing";
    an_index_written_in_a_second_step_is_caught: IndexesInASecondStep by
        "cancellation::a_dropped_save_of_a_new_item_leaves_all_or_nothing",
        "cancellation::a_dropped_overwrite_leaves_the_old_or_the_new_item",
        "cancellation::many_calls_dropped_at_random_leave_no_trace";
    counted_expired_items_are_caught: CountsExpired by
        "expiry::an_expired_item_is_not_counted";
    an_accepted_past_deadline_is_caught: AcceptsPastDeadlines by
        "expiry::a_deadline_in_the_past_is_invalid_and_stores_nothing",
        "expiry::a_deadline_of_now_is_invalid";
    a_kept_deadline_is_caught: KeepsTheOldDeadline by
        "expiry::a_resave_without_deadline_lives_for_ever",
        "save::a_save_replaces_the_deadline",
        "machine::random_calls_answer_what_a_plain_model_answers";
    a_sweep_by_old_notes_is_caught: SweepsByOldNotes by
        "expiry::a_resave_without_deadline_lives_for_ever",
        "expiry::an_item_saved_over_an_expired_one_survives_the_sweep",
        "concurrency::a_cleanup_beside_writers_never_removes_a_new_item";
    a_swallowed_cleanup_is_caught: SwallowsCleanup by
        "cleanup::the_report_counts_expired_items_and_bytes_exactly";
    a_silent_cleanup_is_caught: ReportsNothingCleaned by
        "cleanup::a_second_cleanup_finds_nothing";
    lost_tags_are_caught: LosesTags by
        "save::tags_come_back_as_they_were_saved",
        "search::a_tag_finds_exactly_its_value";
    merged_tags_are_caught: MergesTags by
        "save::a_save_replaces_all_tags",
        "search::a_resaved_item_is_found_by_its_new_tags_alone",
        "machine::random_calls_answer_what_a_plain_model_answers";
    folded_tags_are_caught: FoldsTags by
        "limits::tags_are_compared_byte_for_byte";
    a_forgotten_encoding_is_caught: ForgetsEncoding by
        "save::encodings_of_any_name_are_kept";
    folded_keys_are_caught: FoldsKeys by
        "keys::keys_are_never_folded",
        "keys::every_key_of_a_hostile_corpus_has_an_item_of_its_own";
    trimmed_keys_are_caught: TrimsKeys by
        "keys::keys_are_never_trimmed";
    normalised_keys_are_caught: NormalisesKeys by
        "keys::keys_are_never_normalised";
    cut_keys_are_caught: CutsKeys by
        "keys::keys_of_the_greatest_length_are_kept_whole";
    ignored_content_types_are_caught: IgnoresContentTypes by
        "keys::one_key_under_two_content_types_names_two_items";
    joined_content_types_and_keys_are_caught: JoinsTypeAndKey by
        "keys::content_type_and_key_never_run_together";
    forgotten_conditions_are_caught: ForgetsConditions by
        "conditions::absent_on_a_live_item_is_already_exists_and_changes_nothing",
        "conditions::a_wrong_version_is_a_conflict_and_changes_nothing";
    forgotten_conditions_of_deletes_are_caught: ForgetsConditionsOfDeletes by
        "delete::a_delete_under_a_wrong_version_is_a_conflict_and_removes_nothing";
    a_condition_checked_before_the_save_is_caught: ChecksThenSaves by
        "concurrency::of_a_hundred_concurrent_absent_saves_exactly_one_wins",
        "concurrency::concurrent_increments_are_never_lost";
    a_read_in_two_steps_is_caught: ReadsInTwoSteps by
        "concurrency::readers_never_see_a_mix_of_two_saves";
    an_overwrite_in_two_steps_is_caught: OverwritesInTwoSteps by
        "cancellation::a_dropped_overwrite_leaves_the_old_or_the_new_item",
        "concurrency::readers_never_see_a_mix_of_two_saves";
    a_call_that_blocks_others_when_dropped_is_caught: StaysBusyWhenDropped by
        "cancellation::a_dropped_save_of_a_new_item_leaves_all_or_nothing";
    a_reset_creation_is_caught: ResetsCreation by
        "save::a_save_keeps_the_id_and_the_creation_of_a_live_item";
    reused_versions_are_caught: ReusesVersions by
        "save::no_version_is_used_again_after_a_delete";
    versions_of_the_clock_alone_are_caught: TakesVersionsFromTheClock by
        "save::versions_grow_without_the_help_of_the_clock",
        "save::versions_grow_under_a_clock_that_steps_back";
    forgotten_updates_are_caught: ForgetsUpdates by
        "save::every_save_moves_the_time_of_the_update";
    a_delete_that_always_says_true_is_caught: AlwaysDeleted by
        "delete::deleting_a_missing_item_says_false",
        "delete::deleting_an_expired_item_says_false",
        "machine::random_calls_answer_what_a_plain_model_answers";
    a_touch_without_effect_is_caught: TouchesNothing by
        "touch::a_touch_sets_a_deadline",
        "touch::a_touch_removes_the_deadline";
    a_touch_without_version_is_caught: TouchesWithoutVersion by
        "touch::a_touch_raises_the_version_and_moves_the_update";
    cut_payloads_are_caught: CutsPayloads by
        "limits::the_largest_payload_is_taken_and_one_byte_more_is_too_large";
    a_capped_search_is_caught: CapsSearch by
        "scale::a_walk_brings_all_of_ten_thousand_and_fifty_items";
    a_capped_count_is_caught: CapsCount by
        "scale::count_and_usage_count_all_of_ten_thousand_and_fifty_items";
    ignored_cursors_are_caught: IgnoresCursors by
        "pages::pages_of_any_size_join_in_every_order",
        "pages::a_damaged_cursor_is_an_invalid_query";
    forgiven_cursors_are_caught: ForgivesDamagedCursors by
        "pages::a_damaged_cursor_is_an_invalid_query",
        "pages::a_cursor_of_another_query_is_an_invalid_query";
    a_limit_on_each_page_is_caught: LimitsEachPage by
        "pages::the_limit_bounds_the_whole_walk";
    ties_broken_one_way_are_caught: BreaksTiesOneWay by
        "order::descending_is_the_exact_reverse_of_ascending",
        "differential::random_queries_over_ties_answer_what_a_plain_model_answers";
    a_range_with_its_end_is_caught: IncludesTheEnd by
        "search::ranges_of_creation_hold_their_start_and_not_their_end",
        "differential::random_queries_answer_what_a_plain_model_answers";
    data_nobody_asked_for_is_caught: BringsData by
        "search::a_search_for_metadata_brings_no_data";
    swallowed_query_errors_are_caught: SwallowsQueryErrors by
        "search::a_query_outside_the_limits_is_invalid",
        "lifecycle::searches_after_close_are_closed";
    sorted_batches_are_caught: SortsBatches by
        "batches::load_many_answers_in_the_order_of_the_request";
    stopped_batches_are_caught: StopsBatches by
        "batches::a_failure_in_a_batch_is_the_answer_of_its_item_alone";
    a_close_without_effect_is_caught: NeverCloses by
        "lifecycle::loads_after_close_are_closed",
        "lifecycle::writes_after_close_are_closed";
    a_second_close_that_fails_is_caught: ClosesOnce by
        "lifecycle::close_is_idempotent";
    a_miss_after_close_is_caught: MissesWhenClosed by
        "lifecycle::loads_after_close_are_closed";
    constant_health_is_caught: AlwaysHealthy by
        "lifecycle::a_closed_provider_says_so_in_its_health";
    a_claim_of_durability_is_caught: ClaimsDurability by
        "lifecycle::items_are_there_after_reopening_exactly_as_saved";
    a_denied_search_is_caught: DeniesItsSearch by
        "search::no_match_is_an_empty_page";
    bare_errors_are_caught: BareErrors by
        "errors::the_error_of_a_condition_names_provider_operation_and_item";
    quoted_payloads_are_caught: QuotesPayloads by
        "errors::the_error_of_a_condition_names_provider_operation_and_item";
}

/// A provider that hangs is failed by name, and the run goes on.
#[test]
fn a_call_that_never_ends_is_caught() {
    let check = CHECKS.iter().find(|check| check.name == "a_missing_item_is_none").unwrap();
    let report = suite(Fault::Hangs).deadline(Duration::from_millis(200)).try_run(check).unwrap_err();
    assert!(report.contains("a_missing_item_is_none") && report.contains("hangs"), "{report}");
}

/// The seed of a report replays the same run, and an environment variable carries it.
#[test]
fn a_seed_replays_the_same_failure() {
    const NAME: &str = "a_seed_replays_the_same_failure";
    let check = CHECKS.iter().find(|check| check.name == "random_queries_answer_what_a_plain_model_answers");
    if std::env::var_os("CONFORMANCE_SEED").is_some() {
        let report = suite(Fault::IncludesTheEnd).try_run(check.unwrap()).unwrap_err();
        // What follows holds random ids.
        println!("\nREPORT {}", report.split("left:").next().unwrap().replace('\n', " "));
        assert!(report.contains("CONFORMANCE_SEED=42"), "{report}");
        return;
    }
    let replay = || {
        let this = std::env::current_exe().unwrap();
        let run = std::process::Command::new(this)
            .args(["--exact", NAME, "--nocapture"])
            .env("CONFORMANCE_SEED", "42")
            .output()
            .unwrap();
        let text = String::from_utf8(run.stdout).unwrap();
        assert!(run.status.success(), "{text}");
        text.lines().find(|line| line.starts_with("REPORT")).unwrap().to_owned()
    };
    assert_eq!(replay(), replay());
}
