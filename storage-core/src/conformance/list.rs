//! The one list of all checks, and what is made of it: a table, and the tests of a caller's crate.

use super::{Check, Need, checks};

/// Hands the list of all checks to the macro `$callback`: `module { check [needs] ... }`.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_list {
    ($callback:ident) => {
        $crate::$callback! {
            capabilities {
                the_name_is_short_and_holds_no_secret
                what_is_offered_does_not_change
                the_debug_text_holds_no_payload
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
            delete {
                deleting_a_live_item_says_true_and_removes_it
                deleting_a_missing_item_says_false
                deleting_twice_says_true_and_then_false
                deleting_an_expired_item_says_false
                a_delete_leaves_all_other_items_alone
                a_deleted_item_is_gone_from_search_count_and_usage [search]
                the_tags_of_a_deleted_item_find_nothing [tags search]
                a_deleted_item_can_be_saved_again
                a_delete_under_the_right_version_removes_the_item [conditions]
                a_delete_under_a_wrong_version_is_a_conflict_and_removes_nothing [conditions]
                a_conditional_delete_of_a_missing_item_says_false [conditions]
                a_conditional_delete_of_an_expired_item_says_false [conditions]
                a_delete_conditional_on_absence_is_invalid [conditions]
            }
            expiry {
                an_item_lives_until_just_before_its_deadline
                an_item_is_gone_at_the_exact_instant_of_its_deadline
                an_expired_item_is_in_no_search [search]
                an_expired_item_is_found_by_none_of_its_tags [tags search]
                an_expired_item_is_not_counted [search]
                an_expired_item_is_not_in_the_usage [search]
                an_expired_item_is_invisible_to_batches
                an_expired_item_cannot_be_touched
                an_expired_item_stays_gone
                a_deadline_in_the_past_is_invalid_and_stores_nothing
                a_deadline_of_now_is_invalid
                a_deadline_in_the_past_leaves_the_old_item
                the_nearest_deadline_in_the_future_is_taken
                the_farthest_deadline_is_kept
                deadlines_are_kept_to_the_microsecond
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
                one_key_under_two_content_types_names_two_items
                every_content_type_within_the_limits_is_kept_apart
                content_type_and_key_never_run_together
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
                no_version_is_used_again_after_reopening [durable]
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
            save {
                a_load_after_a_save_returns_exactly_what_was_saved
                a_save_answers_the_item_as_it_is_now_stored
                tags_come_back_as_they_were_saved [tags]
                a_plain_save_is_raw_untagged_and_without_deadline
                a_new_item_is_created_and_updated_at_the_time_of_its_save
                a_save_replaces_the_data
                a_save_replaces_all_tags [tags]
                a_save_replaces_the_encoding
                a_save_replaces_the_deadline
                a_save_keeps_the_id_and_the_creation_of_a_live_item
                every_save_moves_the_time_of_the_update
                no_item_is_updated_before_it_was_created
                every_save_raises_the_version
                versions_grow_without_the_help_of_the_clock
                versions_grow_under_a_clock_that_steps_back
                no_version_is_used_again_after_a_delete
                no_version_is_used_again_after_expiry_and_cleanup
                an_item_saved_after_its_delete_is_a_new_one
                an_item_saved_over_an_expired_one_is_a_new_one
                every_item_has_an_id_of_its_own
                many_items_are_kept_apart
                the_size_is_the_number_of_bytes
                encodings_of_any_name_are_kept
                a_refused_save_leaves_everything_as_it_was [tags]
                a_loaded_item_outlives_its_overwrite_and_delete
            }
            touch {
                a_touch_sets_a_deadline
                a_touch_extends_a_deadline
                a_touch_removes_the_deadline
                a_touch_shortens_a_deadline
                a_touch_of_a_missing_item_is_none
                a_touch_raises_the_version_and_moves_the_update
                a_touch_keeps_everything_but_the_deadline
                a_touch_keeps_the_tags [tags search]
                a_touch_into_the_past_is_invalid_and_changes_nothing
                a_touch_never_updates_before_the_creation
                a_touched_item_is_found_at_its_new_place [search]
                a_touch_leaves_all_other_items_alone
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
///
/// ```ignore
/// storage_core::conformance_suite!(|setup| async move { MyProvider::open(setup.directory(), setup.clock()).await });
/// ```
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
