//! What an adapter can do wrong, one thing at a time, and the cases that are there to notice.

use std::cell::Cell;

thread_local! {
    /// What the adapters that are made on this thread do wrong.
    static SIN: Cell<Option<Sin>> = const { Cell::new(None) };
}

/// The sin of the adapters that are made on this thread.
pub fn current() -> Option<Sin> {
    SIN.get()
}

/// Makes the adapters of this thread commit it.
pub fn commit(sin: Option<Sin>) {
    SIN.set(sin);
}

macro_rules! sins {
    ($($(#[$doc:meta])* $name:ident: $($case:ident)* $(+ $others:tt)?;)*) => {
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sin { $($(#[$doc])* $name,)* }

        impl Sin {
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The cases that fail by it.
            pub fn noticed_by(self) -> &'static [&'static str] {
                match self { $(Self::$name => &[$(stringify!($case)),*],)* }
            }

            /// Whether others fail, too: some things cannot be done wrong by themselves.
            pub fn and_others(self) -> bool {
                match self { $(Self::$name => ["", $(stringify!($others))?].len() > 1,)* }
            }
        }
    };
}

sins! {
    /// Sleeps last half as long.
    ShortSleeps:
        sleeps_are_not_short an_expired_token_is_replaced_when_asked
        a_server_that_hangs_is_an_error_and_not_a_no
        a_server_that_hangs_for_less_than_the_term_costs_nothing;
    /// Sleeps end only on threads that know the runtime.
    SleepsNeedTheRuntime: sleeps_end_on_any_executor a_handle_works_on_another_executor;
    /// A task runs when the one before it is done.
    TasksInTurn: tasks_run_beside_each_other;
    /// A task that a task spawns never runs.
    NoTasksOfTasks: tasks_outlive_whoever_spawned_them;
    /// There is one thread for blocking work.
    OneBlockingThread: blocking_work_blocks_nobody a_handler_that_blocks_delays_no_renewal;
    /// Blocking work is promised and never done.
    NoBlockingWork:
        blocking_work_blocks_nobody one_interface_stands_for_the_handle a_loss_is_told_once_to_every_handler
        a_handler_that_blocks_delays_no_renewal lost_misses_nothing a_deleted_lease_is_lost a_lease_that_was_taken_over_is_lost
        dropping_the_last_handle_does_not_release + others;

    /// Every request makes a connection.
    NeverKeepsAConnection:
        both_schemes_keep_their_connection an_expired_token_is_replaced_when_asked
        a_token_file_is_read_again_every_minute a_renewal_is_one_put;
    /// Bodies leave in chunks.
    SendsChunks: bodies_arrive_whole;
    /// What is percent-encoded in a path leaves decoded.
    TidiesPaths: paths_and_queries_arrive_as_they_are;
    /// Asks for compressed answers.
    AsksForCompression: only_what_is_needed_is_sent;
    /// The token is also in a header of its own.
    TokenTwice: only_what_is_needed_is_sent;
    /// Says something of itself where nothing is to be said.
    AlwaysSaysWho: without_credentials_no_authorization_is_sent client_certificates_are_shown;
    /// Goes where the call's address leads.
    GoesAnywhere: a_call_for_another_host_is_not_sent;
    /// The first who waits gets the first answer.
    FirstComeFirstServed:
        requests_at_the_same_time_get_their_own_answers a_request_that_was_given_up_takes_its_answer_along
        a_body_that_is_dropped_unread_reaches_nobody requests_given_up_all_at_once_leave_a_working_client
        a_connection_that_went_mute_is_not_used_again a_late_answer_is_nobodys + others;

    /// No certificate is refused.
    TrustsAnybody:
        a_server_of_another_authority_is_refused a_certificate_for_another_name_is_refused
        the_platforms_roots_do_not_vouch_for_a_made_ca a_rotated_ca_is_honoured
        a_ca_that_was_replaced_is_not_trusted_any_more;
    /// A certificate of the authority does, whatever its name.
    IgnoresNames: a_certificate_for_another_name_is_refused;
    /// Where TLS does not work it goes without.
    FallsBackToPlain:
        a_server_of_another_authority_is_refused a_certificate_for_another_name_is_refused
        the_platforms_roots_do_not_vouch_for_a_made_ca a_server_without_tls_gets_nothing
        a_rotated_ca_is_honoured a_ca_that_was_replaced_is_not_trusted_any_more;
    /// Says who it is before TLS begins, on a connection of its own.
    SaysHelloInTheClear: a_server_without_tls_gets_nothing the_token_is_never_in_the_clear;
    /// Has a client certificate and does not show it.
    ShowsNoCertificate: client_certificates_are_shown client_certificates_follow_their_files;
    /// Errors have no causes.
    TellsNoCause:
        a_server_of_another_authority_is_refused a_certificate_for_another_name_is_refused
        a_missing_client_certificate_is_named a_server_that_is_not_there_is_an_error_that_says_why;
    /// Offers HTTP/2 and cannot speak it.
    OffersHttp2: http_1_1_is_spoken;

    /// Refusals are errors.
    ErrorsForRefusals:
        every_status_is_handed_over a_missing_right_is_named a_wrong_token_is_an_error_that_says_so
        an_acquire_during_a_release_waits_for_it work_is_dropped_when_the_lease_is_given_back
        a_watch_that_is_refused_is_an_answer
        without_the_right_to_watch_polling_goes_on + others;
    /// Statuses without a name are errors.
    KnowsItsStatuses: odd_statuses_are_handed_over;
    /// Goes where redirects lead.
    FollowsRedirects: redirects_are_handed_back_and_not_followed strange_answers_are_survived;
    /// Waits for the body of a 304 that announces one.
    WaitsForBodiesThatAreNone: answers_without_a_body_end;
    /// The first head is the answer's.
    TakesTheFirstHead: informational_answers_are_not_the_answer;
    /// A header that is no text is a panic.
    PanicsOnOddHeaders: headers_that_are_not_ascii_do_no_harm;
    /// A head comes in one piece.
    ReadsHeadsAtOnce: informational_answers_are_not_the_answer an_answer_in_single_bytes_is_whole;
    /// The end of a chunked body comes in one piece.
    ReadsTheEndAtOnce: the_last_crlf_in_a_segment_of_its_own;
    /// There is no limit.
    IgnoresMaxBody: long_bodies_are_too_large;
    /// Nothing takes longer than three seconds.
    HasATimeout: an_answer_within_time_left_is_waited_for;
    /// Response headers are dropped.
    DropsHeaders:
        both_schemes_keep_their_connection every_status_is_handed_over
        redirects_are_handed_back_and_not_followed storms_of_errors_are_survived
        the_servers_date_is_looked_at;

    /// The end of the connection is the end of a sized body.
    TakesShortBodies: a_truncated_body_is_no_body strange_answers_are_survived;
    /// The end of the connection is the end of a chunked body.
    TakesCutChunks: a_body_cut_mid_chunk_is_no_body
        a_watch_that_breaks_off_ends_with_an_error;
    /// TLS that ends without a goodbye ends well.
    NeedsNoGoodbye: a_body_without_an_end_over_tls_is_no_body;
    /// Where there is no sense it makes some.
    TakesGarbage: garbage_instead_of_http_is_unknown;
    /// What failed was never sent.
    SaysNotSent:
        a_truncated_body_is_no_body a_body_cut_mid_chunk_is_no_body
        a_body_without_an_end_over_tls_is_no_body garbage_instead_of_http_is_unknown
        a_connection_that_closes_before_the_answer_is_unknown nothing_is_ever_sent_twice
        not_sent_is_only_said_where_nothing_arrived
        a_watch_that_does_not_begin_is_an_error;
    /// What failed may have been sent.
    SaysUnknown:
        a_server_of_another_authority_is_refused a_certificate_for_another_name_is_refused
        the_platforms_roots_do_not_vouch_for_a_made_ca a_server_without_tls_gets_nothing
        nothing_was_sent_where_nobody_listens nothing_was_sent_to_a_name_that_does_not_resolve
        a_restarted_server_is_found_again a_rotated_ca_is_honoured
        a_ca_that_was_replaced_is_not_trusted_any_more
        a_watch_that_does_not_begin_is_an_error;

    /// A request that is dropped goes on, and its answer is the next one's.
    HandsLateAnswersOn:
        a_request_that_was_given_up_takes_its_answer_along
        a_hung_request_is_given_up_and_its_connection_closed a_body_that_is_dropped_unread_reaches_nobody
        requests_given_up_all_at_once_leave_a_working_client a_connection_that_went_mute_is_not_used_again
        lost_replies_are_looked_up a_late_answer_is_nobodys;
    /// A request that is dropped keeps its connection open.
    LeavesHungConnections: a_hung_request_is_given_up_and_its_connection_closed
        a_watch_that_is_dropped_closes_its_connection
        a_term_is_renewed_beside_its_watch
        a_campaign_that_watches_hears_of_a_release a_term_that_is_watched_ends_when_it_is_taken;
    /// A connection whose answer was too long to read is used again.
    ReusesUnreadConnections: long_bodies_are_too_large;
    /// Begins before it is polled.
    SendsUnpolled: a_request_that_was_never_polled_is_not_sent;

    /// `Connection: close` is not for it.
    IgnoresConnectionClose: a_connection_that_the_server_will_close_is_not_used_again;
    /// A connection that failed is used again.
    KeepsBrokenConnections:
        dead_idle_connections_cost_one_request_at_most a_restarted_server_is_found_again
        a_restart_within_the_term_is_survived lost_replies_are_looked_up
        requests_given_up_all_at_once_leave_a_working_client + others;
    /// What failed is sent once more.
    TriesAgain:
        a_truncated_body_is_no_body a_body_cut_mid_chunk_is_no_body garbage_instead_of_http_is_unknown
        a_connection_that_closes_before_the_answer_is_unknown nothing_is_ever_sent_twice
        not_sent_is_only_said_where_nothing_arrived strange_answers_are_survived
        nothing_that_people_read_shows_the_token;
    /// Everything is sent twice, to be sure.
    SendsTwice:
        a_renewal_is_one_put attempts_that_overlap_are_one nothing_is_ever_sent_twice
        not_sent_is_only_said_where_nothing_arrived every_status_is_handed_over + others;

    /// What was read at first is used for ever.
    NeverReadsAgain:
        an_expired_token_is_replaced_when_asked a_token_file_is_read_again_every_minute
        a_file_that_is_missing_for_a_moment_changes_nothing a_rotated_ca_is_honoured
        a_ca_that_was_replaced_is_not_trusted_any_more client_certificates_follow_their_files
        a_token_that_expires_in_mid_term_costs_nothing a_ca_that_rotates_in_mid_term_costs_nothing
        everything_rotates_and_the_term_goes_on
        a_watch_shows_the_token_of_the_moment;
    /// A refresh is done at once, without a look.
    RefreshesNothing: an_expired_token_is_replaced_when_asked a_token_that_expires_in_mid_term_costs_nothing;
    /// A file that cannot be read leaves nothing to go on with.
    NeedsItsFiles: a_file_that_is_missing_for_a_moment_changes_nothing client_certificates_follow_their_files;
    /// A connection that failed is no reason to look at files.
    NeverDoubts:
        a_rotated_ca_is_honoured a_ca_that_rotates_in_mid_term_costs_nothing
        everything_rotates_and_the_term_goes_on;
    /// Connections outlive the credentials that they were made with.
    KeepsOldConnections:
        a_ca_that_was_replaced_is_not_trusted_any_more client_certificates_follow_their_files;
    /// There is no such place as a cluster.
    KnowsNoCluster: in_cluster_credentials_work;
    /// Files are waited for, for as long as they take.
    WaitsForFiles: files_that_hang_do_not_keep_requests_waiting;
    /// The token is in every error.
    TellsTheToken:
        a_server_of_another_authority_is_refused a_certificate_for_another_name_is_refused
        the_platforms_roots_do_not_vouch_for_a_made_ca a_server_without_tls_gets_nothing
        a_truncated_body_is_no_body a_body_cut_mid_chunk_is_no_body garbage_instead_of_http_is_unknown
        a_rotated_ca_is_honoured a_ca_that_was_replaced_is_not_trusted_any_more
        a_server_that_is_not_there_is_an_error_that_says_why nothing_that_people_read_shows_the_token
        a_watch_that_does_not_begin_is_an_error a_watch_that_breaks_off_ends_with_an_error;
    /// What a file holds is in the error about it.
    TellsWhatItRead: setup_errors_say_what_and_no_secrets;

    /// A proxy that was asked for is passed by.
    IgnoresProxies:
        a_proxy_before_plain_http_is_refused a_proxy_is_refused_or_used_and_never_ignored
        a_proxys_password_is_in_no_text;
    /// A proxy's address is in the error.
    TellsTheProxy: a_proxys_password_is_in_no_text;
    /// The environment says where to go.
    AsksTheEnvironment: the_environments_proxies_are_not_asked;

    /// A watch begins with its first event.
    WaitsForTheFirstEvent:
        the_head_of_a_watch_comes_before_any_event events_of_a_watch_come_as_they_happen
        a_watch_may_last_longer_than_its_time_left requests_go_on_beside_a_watch
        a_watch_that_is_dropped_closes_its_connection a_watch_shows_the_token_of_the_moment
        a_watch_that_breaks_off_ends_with_an_error + others;
    /// Events are handed over when the watch is over.
    HoardsEvents:
        events_of_a_watch_come_as_they_happen a_watch_that_is_dropped_closes_its_connection
        a_watch_shows_the_token_of_the_moment
        a_campaign_that_watches_hears_of_a_release a_term_that_is_watched_ends_when_it_is_taken
        a_watch_that_ended_is_opened_again;
    /// The end of a watch is an error, whatever it was.
    DoubtsEveryEnd: a_watch_that_ends_properly_just_ends
        events_of_a_watch_come_as_they_happen a_watch_that_is_refused_is_an_answer
        a_watch_may_last_longer_than_its_time_left without_the_right_to_watch_polling_goes_on;
    /// A watch is over when nothing has come for the time that its head had.
    EndsWatchesInTime: a_watch_may_last_longer_than_its_time_left;
    /// Whoever is being answered keeps all others waiting.
    OneConnectionForAll: requests_go_on_beside_a_watch
        a_term_is_renewed_beside_its_watch
        requests_given_up_all_at_once_leave_a_working_client events_of_a_watch_come_as_they_happen
        a_watch_that_breaks_off_ends_with_an_error a_watch_shows_the_token_of_the_moment
        a_campaign_that_watches_hears_of_a_release;

    /// A DELETE is answered without being sent.
    KeepsItsLeases:
        a_released_lease_is_free_at_once a_lease_is_acquired_renewed_and_released tokens_grow_with_every_term
        campaigns_take_turns_and_never_two_hold lost_replies_are_looked_up a_dropped_acquire_goes_on
        a_dropped_release_goes_on a_release_cancels_an_acquire a_shutdown_releases_and_leaves_nothing_behind
        + others;
    /// A renewal that nobody answers in time is answered all the same.
    RenewsByItself:
        a_server_that_hangs_costs_the_lease_in_time work_is_dropped_at_the_deadline
        a_server_that_hangs_for_less_than_the_term_costs_nothing a_restart_within_the_term_is_survived
        strange_answers_are_survived + others;
    /// Every holder has a server of its own.
    LivesAlone:
        contention_is_false_and_says_who a_dead_holder_is_taken_over_after_its_term
        campaigns_take_turns_and_never_two_hold a_missing_right_is_named + others;
    /// Connections stay when the transport has gone.
    LeaksConnections: a_shutdown_releases_and_leaves_nothing_behind
        a_term_is_renewed_beside_its_watch;
}
