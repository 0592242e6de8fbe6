//! The one list of all checks, and what is made of it: a table, and the tests of a caller's crate.

use super::{Check, Need, checks};

/// Hands the list of all checks to the macro `$callback`: `module { check [needs] ... }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ($callback:ident) => {
        $crate::$callback! {
            batches {
                save_many_answers_in_the_order_of_the_request
                load_many_answers_in_the_order_of_the_request
                delete_many_answers_in_the_order_of_the_request
                empty_batches_have_empty_answers
                two_saves_of_one_key_in_a_batch_are_one_after_the_other [metadata]
                a_batch_leaves_no_tags_of_what_it_replaced_itself [tags search]
                a_failure_in_a_batch_is_the_answer_of_its_item_alone [tags]
                a_payload_too_large_fails_alone_in_a_batch
                conditions_in_a_batch_see_what_came_before_them [conditions]
                a_batch_may_mix_content_types [metadata]
                a_large_batch_is_split_and_complete
                each_item_of_a_batch_has_its_own_deadline
            }
            cancellation {
                a_dropped_save_of_a_new_item_leaves_all_or_nothing [tags search]
                a_dropped_overwrite_leaves_the_old_or_the_new_item [tags search]
                a_dropped_conditional_save_leaves_the_old_or_the_new_item [conditions tags search]
                a_dropped_delete_leaves_all_or_nothing [tags search]
                a_dropped_touch_leaves_the_old_or_the_new_deadline [tags search]
                a_dropped_batch_of_saves_leaves_the_old_or_the_new_of_each [tags search]
                a_dropped_batch_of_deletes_leaves_each_whole_or_gone [tags search]
                a_dropped_cleanup_leaves_the_rest_to_the_next [tags search]
                dropped_reads_change_nothing [tags search]
                a_dropped_close_can_be_called_again [tags search]
                many_calls_dropped_at_random_leave_no_trace [tags search]
            }
            capabilities {
                the_name_is_short_and_holds_no_secret
                what_is_offered_does_not_change
                the_debug_text_holds_no_payload
            }
            cleanup {
                an_empty_store_has_nothing_to_clean_up
                the_report_counts_expired_items_and_bytes_exactly
                a_second_cleanup_finds_nothing
                live_items_are_untouched_by_cleanup
                nothing_is_left_after_cleanup [tags search]
                deleted_and_replaced_items_are_not_counted_as_expired
                an_item_saved_in_place_of_an_expired_one_is_not_swept
                a_swept_key_can_be_used_again
                every_content_type_is_swept_by_its_own_deadlines [metadata]
                large_payloads_are_swept
            }
            concurrency {
                of_a_hundred_concurrent_absent_saves_exactly_one_wins [conditions]
                of_concurrent_saves_under_one_version_exactly_one_wins [conditions]
                concurrent_increments_are_never_lost [conditions]
                of_concurrent_deletes_exactly_one_says_true
                between_a_save_and_a_delete_of_one_version_exactly_one_wins [conditions]
                concurrent_saves_of_different_keys_all_land
                the_highest_of_concurrent_versions_stays [metadata]
                readers_never_see_a_mix_of_two_saves [metadata]
                searchers_never_see_a_mix_of_two_saves [search metadata]
                a_search_by_tag_never_shows_another_tag [tags search]
                a_cleanup_beside_writers_never_removes_a_new_item
                concurrent_cleanups_count_each_item_once
                a_walk_beside_writers_sees_each_untouched_item_once [search metadata]
                touches_and_saves_at_once_take_turns [metadata]
                concurrent_batches_keep_their_own_order
                every_call_ends_in_time_under_load [search]
            }
            conditions {
                absent_creates_a_missing_item [conditions]
                absent_on_a_live_item_is_already_exists_and_changes_nothing [conditions]
                absent_takes_an_expired_item_as_absent [conditions]
                absent_holds_again_after_a_delete [conditions]
                absent_looks_at_this_content_type_alone [conditions]
                the_right_version_replaces_the_item [conditions]
                a_wrong_version_is_a_conflict_and_changes_nothing [conditions]
                a_version_of_a_missing_item_is_a_conflict_and_stores_nothing [conditions]
                a_version_of_an_expired_item_is_a_conflict_and_stores_nothing [conditions]
                a_version_from_before_a_delete_is_a_conflict [conditions]
                a_version_is_stale_after_a_save_of_the_same_data [conditions]
                a_version_is_stale_after_a_touch [conditions]
                a_save_under_a_condition_replaces_the_deadline_too [conditions]
                a_refused_save_is_found_by_none_of_its_tags [conditions tags search]
            }
            damage {
                one_flipped_bit_is_never_a_miss_or_a_wrong_value [metadata durable]
            }
            delete {
                deleting_a_live_item_says_true_and_removes_it
                deleting_a_missing_item_says_false
                deleting_twice_says_true_and_then_false
                deleting_an_expired_item_says_false
                a_delete_leaves_all_other_items_alone [metadata]
                a_deleted_item_is_gone_from_search_count_and_usage [search]
                the_tags_of_a_deleted_item_find_nothing [tags search]
                a_deleted_item_can_be_saved_again
                a_delete_under_the_right_version_removes_the_item [conditions]
                a_delete_under_a_wrong_version_is_a_conflict_and_removes_nothing [conditions]
                a_conditional_delete_of_a_missing_item_says_false [conditions]
                a_conditional_delete_of_an_expired_item_says_false [conditions]
                a_delete_conditional_on_absence_is_invalid [conditions]
            }
            differential {
                random_queries_answer_what_a_plain_model_answers [tags search]
                random_queries_over_few_items_answer_what_a_plain_model_answers [tags search]
                random_queries_over_ties_answer_what_a_plain_model_answers [tags search]
            }
            errors {
                the_error_of_a_save_names_provider_operation_and_item [tags]
                the_error_of_a_condition_names_provider_operation_and_item [conditions]
                the_error_of_a_large_payload_names_provider_operation_and_item
                the_error_of_a_touch_names_provider_and_item
                the_error_of_a_query_names_provider_and_operation [search]
                the_error_of_a_closed_provider_names_operation_and_item
                each_error_of_a_batch_names_its_own_item
                a_hostile_key_is_shown_escaped
            }
            expiry {
                an_item_lives_until_just_before_its_deadline
                an_item_is_gone_at_the_exact_instant_of_its_deadline
                an_expired_item_is_in_no_search [search metadata]
                an_expired_item_is_found_by_none_of_its_tags [tags search]
                an_expired_item_is_not_counted [search]
                an_expired_item_is_not_in_the_usage [search]
                an_expired_item_is_invisible_to_batches
                an_expired_item_cannot_be_touched
                an_expired_item_stays_gone
                a_deadline_in_the_past_is_invalid_and_stores_nothing
                a_deadline_of_now_is_invalid
                a_deadline_in_the_past_leaves_the_old_item
                the_nearest_deadline_in_the_future_is_taken [metadata]
                the_farthest_deadline_is_kept
                deadlines_are_kept_to_the_microsecond [metadata]
                a_resave_without_deadline_lives_for_ever
                a_resave_with_a_later_deadline_lives_until_that
                a_resave_with_an_earlier_deadline_ends_earlier
                an_item_saved_over_an_expired_one_survives_the_sweep
                an_item_saved_over_an_expired_one_is_found_by_its_new_tags_alone [tags search]
                the_expiry_of_one_item_leaves_the_others
                items_that_share_a_deadline_expire_together
                an_item_saved_after_a_delete_does_not_inherit_the_deadline
            }
            keys {
                every_key_of_a_hostile_corpus_has_an_item_of_its_own
                every_key_of_a_hostile_corpus_is_deleted_alone
                every_key_of_a_hostile_corpus_is_found_by_its_escaped_pattern [search]
                every_key_of_a_hostile_corpus_is_listed_in_the_order_of_bytes [search]
                every_key_of_a_hostile_corpus_is_loaded_by_a_batch
                keys_are_never_folded
                keys_are_never_normalised
                keys_are_never_trimmed
                keys_that_begin_with_each_other_are_distinct
                wildcards_in_keys_are_plain_characters
                keys_of_the_greatest_length_are_kept_whole
                what_is_no_key_is_refused_before_any_provider_sees_it
                one_key_under_two_content_types_names_two_items [metadata]
                every_content_type_within_the_limits_is_kept_apart [metadata]
                content_type_and_key_never_run_together [metadata]
            }
            lifecycle {
                close_is_idempotent
                writes_after_close_are_closed
                loads_after_close_are_closed
                searches_after_close_are_closed [search]
                batches_after_close_are_closed
                a_closed_provider_says_so_in_its_health
                an_open_provider_is_healthy
                saves_that_race_with_close_end_with_an_answer
                items_are_there_after_reopening_exactly_as_saved [durable]
                large_payloads_are_there_after_reopening [durable]
                deleted_items_stay_deleted_after_reopening [durable]
                the_last_write_holds_after_reopening [durable]
                searches_answer_after_reopening_as_before [tags search durable]
                what_expires_while_closed_is_gone_and_swept [durable]
                swept_items_stay_away_after_reopening [durable]
                no_version_is_used_again_after_reopening [metadata durable]
                a_walk_goes_on_after_reopening [search durable]
                acknowledged_saves_survive_a_drop_without_close [durable]
            }
            limits {
                an_empty_payload_is_kept
                every_byte_value_is_kept
                payloads_around_every_threshold_are_kept
                large_and_small_payloads_replace_each_other
                a_large_item_can_be_deleted_and_saved_again
                the_largest_payload_is_taken_and_one_byte_more_is_too_large
                a_search_returns_large_payloads_whole [search]
                the_largest_tags_are_kept_and_found [tags search]
                tags_outside_the_limits_are_invalid_and_store_nothing [tags]
                tags_are_compared_byte_for_byte [tags search]
                tag_name_and_value_never_run_together [tags search]
            }
            load {
                a_missing_item_is_none
                a_load_changes_nothing
                a_load_sees_every_save_at_once
                a_load_in_another_task_sees_the_save
            }
            machine {
                random_calls_answer_what_a_plain_model_answers [conditions tags search]
                random_calls_and_reopenings_answer_what_a_plain_model_answers [conditions tags search durable]
            }
            order {
                hits_come_by_key_and_content_type_unless_asked_otherwise [search metadata]
                keys_are_ordered_by_bytes [search]
                the_order_of_creation_breaks_ties_by_key_and_content_type [search metadata]
                the_order_of_updates_breaks_ties_by_key_and_content_type [search metadata]
                descending_is_the_exact_reverse_of_ascending [search metadata]
                filters_keep_the_order [search metadata]
                the_hits_of_a_tag_come_in_the_order_asked_for [tags search]
                a_resaved_item_moves_in_the_order_of_updates_alone [search metadata]
                an_item_made_anew_moves_in_the_order_of_creation [search metadata]
            }
            pages {
                pages_of_any_size_join_in_every_order [search metadata]
                pages_are_full_but_for_the_last [search metadata]
                a_page_holds_a_hundred_hits_by_default [search metadata]
                the_limit_bounds_the_whole_walk [search metadata]
                page_size_and_payloads_may_change_midway [search metadata]
                a_cursor_can_be_written_down_and_read_again [search metadata]
                a_damaged_cursor_is_an_invalid_query [search metadata]
                a_cursor_of_another_query_is_an_invalid_query [tags search]
                items_saved_during_a_walk_shift_no_others [search metadata]
                deleting_what_was_seen_does_not_disturb_the_walk [search metadata]
                items_that_expire_during_a_walk_leave_the_others [search]
                the_pages_of_a_tag_join_in_every_order [tags search]
                the_longest_names_fit_into_a_cursor [search metadata]
                a_stream_brings_every_hit_of_all_pages [search metadata]
            }
            save {
                a_load_after_a_save_returns_exactly_what_was_saved [metadata]
                a_save_answers_the_item_as_it_is_now_stored
                tags_come_back_as_they_were_saved [tags]
                a_plain_save_is_raw_untagged_and_without_deadline
                a_new_item_is_created_and_updated_at_the_time_of_its_save [metadata]
                a_save_replaces_the_data
                a_save_replaces_all_tags [tags]
                a_save_replaces_the_encoding [metadata]
                a_save_replaces_the_deadline
                a_save_keeps_the_id_and_the_creation_of_a_live_item
                every_save_moves_the_time_of_the_update [metadata]
                no_item_is_updated_before_it_was_created
                every_save_raises_the_version [metadata]
                versions_grow_without_the_help_of_the_clock [metadata]
                versions_grow_under_a_clock_that_steps_back [metadata]
                no_version_is_used_again_after_a_delete [metadata]
                no_version_is_used_again_after_expiry_and_cleanup [metadata]
                an_item_saved_after_its_delete_is_a_new_one [metadata]
                an_item_saved_over_an_expired_one_is_a_new_one [metadata]
                every_item_has_an_id_of_its_own [metadata]
                many_items_are_kept_apart
                the_size_is_the_number_of_bytes
                encodings_of_any_name_are_kept [metadata]
                a_refused_save_leaves_everything_as_it_was [tags]
                a_loaded_item_outlives_its_overwrite_and_delete
            }
            scale {
                a_walk_brings_all_of_ten_thousand_and_fifty_items [search metadata]
                count_and_usage_count_all_of_ten_thousand_and_fifty_items [search]
                a_tag_finds_all_of_ten_thousand_and_fifty_items [tags search]
                a_cleanup_sweeps_all_of_ten_thousand_and_fifty_items
            }
            search {
                an_empty_store_has_no_hits [search]
                no_match_is_an_empty_page [search metadata]
                a_search_without_filters_finds_every_item_whole [search]
                a_hit_scores_one_and_highlights_nothing [search]
                a_search_for_metadata_brings_no_data [search]
                the_content_type_filters_exactly [search metadata]
                a_star_matches_any_characters [search]
                a_question_mark_matches_one_character [search]
                a_set_matches_one_of_its_characters [search]
                an_escaped_wildcard_is_a_plain_character [search]
                patterns_are_compared_byte_for_byte [search]
                foreign_wildcards_are_plain_characters_in_patterns [search]
                a_hostile_pattern_ends_soon [search]
                the_longest_pattern_is_taken [search]
                a_tag_finds_exactly_its_value [tags search]
                several_tags_must_all_be_there [tags search]
                a_resaved_item_is_found_by_its_new_tags_alone [tags search]
                ranges_of_creation_hold_their_start_and_not_their_end [search metadata]
                ranges_of_updates_hold_their_start_and_not_their_end [search metadata]
                ranges_of_expiry_hold_their_start_and_not_their_end [search metadata]
                what_never_expires_is_in_no_range_of_expiry [search metadata]
                a_range_that_ends_before_it_begins_is_empty [search metadata]
                all_filters_must_hold_together [tags search]
                a_query_outside_the_limits_is_invalid [tags search]
                a_count_ignores_order_limit_page_and_cursor [search]
                the_usage_tells_items_and_bytes_by_content_type [search metadata]
                a_search_returns_what_a_load_returns [tags search]
            }
            touch {
                a_touch_sets_a_deadline
                a_touch_extends_a_deadline
                a_touch_removes_the_deadline
                a_touch_shortens_a_deadline
                a_touch_of_a_missing_item_is_none
                a_touch_raises_the_version_and_moves_the_update [metadata]
                a_touch_keeps_everything_but_the_deadline [metadata]
                a_touch_keeps_the_tags [tags search]
                a_touch_into_the_past_is_invalid_and_changes_nothing
                a_touch_never_updates_before_the_creation [metadata]
                a_touched_item_is_found_at_its_new_place [search metadata]
                a_touch_leaves_all_other_items_alone [metadata]
            }
        }
    };
}

/// One `#[test]` for each check. The caller's `conformance_suite_under_test` makes the suite.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($($module:ident { $($check:ident $([$($need:ident)*])?)* })*) => {
        $(mod $module {
            $(#[test]
            fn $check() {
                super::conformance_suite_under_test().run(stringify!($module), stringify!($check));
            })*
        })*
    };
}

#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_table {
    ($($module:ident { $($check:ident $([$($need:ident)*])?)* })*) => {
        &[$($(Check {
            module: stringify!($module),
            name: stringify!($check),
            needs: &[$($(Need::$need),*)?],
            run: |fixture| Box::pin(checks::$module::$check(fixture)),
        },)*)*]
    };
}

/// Every check of the suite.
pub static CHECKS: &[Check] = __conformance_list!(__conformance_table);

/// Holds a provider to every promise of the contract: one `#[test]` for each check of the
/// [`conformance`](crate::conformance) suite.
///
/// The argument is the factory: a closure from a [`Setup`](crate::conformance::Setup) to a future of a provider, or of a
/// `Result` of one. With `real_clock` before it, the suite waits for deadlines on the wall clock instead of moving a
/// manual one. To run two suites in one file, put each into a module.
#[macro_export]
macro_rules! conformance_suite {
    (real_clock, $factory:expr $(,)?) => {
        $crate::conformance_suite!(@ $crate::conformance::Suite::new($factory).real_clock());
    };
    (@ $suite:expr) => {
        fn conformance_suite_under_test() -> &'static $crate::conformance::Suite {
            static SUITE: ::std::sync::OnceLock<$crate::conformance::Suite> = ::std::sync::OnceLock::new();
            SUITE.get_or_init(|| $suite)
        }
        $crate::__conformance_list!(__conformance_tests);
    };
    ($factory:expr $(,)?) => {
        $crate::conformance_suite!(@ $crate::conformance::Suite::new($factory));
    };
}
