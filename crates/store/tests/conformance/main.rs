//! What every store must do, tried on each adapter.

#[path = "../redis/authority.rs"]
mod authority;
mod cases;
#[path = "../redis/guard.rs"]
#[expect(dead_code, reason = "no case needs users")]
mod guard;
#[path = "../redis/server.rs"]
#[expect(dead_code, reason = "no case kills its server")]
mod server;
mod world;

use std::sync::Arc;

use pixel_canvas::Epoch;
use pixel_store::embedded::{Embedded, Options as EmbeddedOptions};
use pixel_store::redis::{Options as RedisOptions, Redis};
use server::Server;
use world::{Clock, Setup, Stores, World};

/// Every case, as a test of its own, on one adapter.
macro_rules! conformance {
    ($adapter:ident on $stores:ident: $($theme:ident { $($case:ident)* })*) => {
        mod $adapter {
            $(mod $theme {
                $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
                async fn $case() {
                    crate::cases::$theme::$case(&crate::$stores).await;
                })*
            })*
        }
    };
}

/// The embedded adapter on folders that vanish.
struct EmbeddedStores;

#[async_trait::async_trait]
impl Stores for EmbeddedStores {
    async fn open(&self, setup: Setup) -> World {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let clock = Clock::default();
        let now = clock.clone();
        let epochs = Clock::default();
        let store = Embedded::open(
            folder.path(),
            EmbeddedOptions {
                retention_bytes: setup.log_bytes,
                // Small, so that trimming, which stays below checkpoints, is seen at once.
                checkpoint_bytes: 4_096,
                // Small, so that tails read from the file too.
                journal_bytes: 16_384,
                tail_bytes: 2_048,
                epochs: Arc::new(move || Epoch(epochs.advance(1).0)),
                ..EmbeddedOptions::new(setup.limits, Arc::new(move || now.now()))
            },
        )
        .expect("an empty folder opens");
        World { store: Arc::new(store), clock, keep: Box::new(folder) }
    }
}

/// The Redis adapter, each on a server of its own.
struct RedisStores;

#[async_trait::async_trait]
impl Stores for RedisStores {
    async fn open(&self, setup: Setup) -> World {
        let server = Server::start(&[]);
        let clock = Clock::default();
        let now = clock.clone();
        let epochs = Clock::default();
        let options = RedisOptions {
            retention_bytes: setup.log_bytes,
            epochs: Arc::new(move || Epoch(epochs.advance(1).0)),
            test_clock: Some(Arc::new(move || now.now())),
            ..RedisOptions::new(setup.limits)
        };
        let store = Redis::open(server.address(), options).await.expect("the server is up");
        World { store: Arc::new(store), clock, keep: Box::new(server) }
    }
}

macro_rules! every_case {
    ($adapter:ident on $stores:ident) => {
        conformance! { $adapter on $stores:
            order {
                concurrent_callers_share_one_dense_order
                a_snapshot_and_the_entries_after_it_make_the_later_snapshot
                a_snapshot_and_the_entries_after_it_make_the_later_snapshot_of_a_palette
                what_was_acknowledged_is_read
                a_call_is_answered_in_its_order
                what_is_refused_takes_no_sequence
            }
            retry {
                the_same_key_gets_the_same_answer
                a_retry_in_the_same_call_is_placed_once
                concurrent_retries_are_placed_once
                another_payload_under_a_key_is_refused
                a_key_belongs_to_an_identity
                a_key_belongs_to_a_canvas
                a_retry_costs_nothing
                a_refused_submission_leaves_no_record
                a_clients_key_is_known_for_ten_minutes
                a_gateways_key_is_known_for_a_minute
                ten_thousand_keys_and_then_busy
                limits_speak_before_busy
                a_retry_is_answered_though_the_canvas_was_frozen
                a_retry_after_a_reset_is_answered_from_before
            }
            undo {
                what_is_taken_back_shows_what_was_before
                an_undo_in_the_log_is_what_it_painted
                the_newest_are_taken_back_first
                what_was_taken_back_is_repeated
                one_pixel_is_walked_back_and_forth
                a_placement_ends_what_could_be_repeated
                somebody_elses_paint_is_left_alone
                nothing_to_take_back_is_refused
                a_palette_is_walked_over_the_edges_of_chunks
                a_thousand_steps_are_remembered
                a_history_is_remembered_for_an_hour
                a_reset_ends_what_could_be_taken_back
                another_canvas_has_another_history
                an_undo_pays_for_what_it_paints
                a_refused_undo_leaves_the_history
                what_a_refused_undo_passed_is_forgotten
                steps_that_are_passed_leave_those_around_them
                a_frozen_canvas_is_not_walked
                a_retried_undo_is_done_once
                concurrent_retries_of_an_undo_are_done_once
                racing_undos_take_each_step_once
                one_call_places_and_takes_back
            }
            limits {
                a_rate_allows_its_burst_and_then_one_an_interval
                an_address_shares_its_rate
                a_cooldown_is_waited_for_exactly
                charges_are_saved_up
                a_new_guest_starts_cooling
                guests_of_one_address_share_a_cooldown
                who_has_no_address_shares_nothing
                a_submission_is_accepted_whole_or_not_at_all
                more_than_a_limit_ever_allows_is_never_enough
                racers_get_exactly_what_is_allowed
                a_clock_that_goes_back_frees_nobody
                an_amended_cooldown_holds_from_then_on
                nobody_waits_out_a_cooldown_that_was_changed
                no_cooldown_stands_without_a_limit
                limits_are_kept_for_each_canvas
            }
            placing {
                a_place_outside_is_refused
                a_colour_outside_the_palette_is_refused
                nothing_and_too_much_are_refused
                a_frozen_canvas_takes_nothing
                an_unknown_canvas_takes_nothing
            }
            host {
                canvases_are_made_once_and_listed_by_id
                an_amendment_is_seen_by_all
                a_wrong_amendment_changes_nothing
                a_deleted_canvas_is_gone_and_its_name_free
                a_reset_puts_everything_back
                a_reset_lists_exactly_what_it_changed
                a_reset_of_a_blank_canvas_takes_one_sequence
                a_reset_of_very_much_lists_nothing
                painting_goes_on_after_a_reset
            }
            tail {
                a_tail_reads_from_every_position
                a_tail_waits_and_wakes
                a_tail_may_be_cancelled_at_any_time
                a_tail_inside_an_entry_begins_with_it
                a_tail_is_led_through_a_reset
                a_tail_of_another_epoch_is_lost
                a_tail_beyond_the_end_is_lost
                a_tail_below_the_log_is_lost
                the_host_is_heard_on_the_tail
                deletion_ends_a_tail
                a_start_reaches_back_as_far_as_asked
                a_start_stays_in_its_epoch
            }
            reads {
                chunks_at_the_edge_are_smaller
                a_palette_stores_one_byte_a_pixel
                a_huge_canvas_holds_what_was_painted
                a_pixel_knows_who_painted_it_and_when
                chunks_are_viewed_together_in_the_order_asked
                the_overview_names_painted_chunks
                a_canvas_that_is_not_there_is_none
            }
        }
    };
}

every_case!(embedded on EmbeddedStores);
every_case!(redis on RedisStores);
