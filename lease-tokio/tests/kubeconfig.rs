//! The cases of `kubeconfig/cases.rs` on tokio.
#![allow(clippy::unwrap_used, missing_docs)]

#[path = "kubeconfig/cases.rs"]
mod cases;

use lease_tokio::Tokio;

macro_rules! cases {
    ($($(#[$on:meta])* $name:ident)*) => {
        $($(#[$on])* #[tokio::test] async fn $name() { cases::$name::<Tokio>().await; })*
    };
}

cases! {
    a_token_and_a_token_file
    a_whole_lease
    a_client_certificate
    another_context
    #[cfg(target_os = "linux")] the_name_of_the_server
    verification_is_off_only_where_that_was_allowed
    a_proxy_is_not_passed_by
    #[cfg(unix)] a_plugin_is_asked_once_and_again_after_a_401
    #[cfg(unix)] a_plugin_can_give_a_certificate
    #[cfg(unix)] a_plugin_that_does_not_do_is_an_error_that_says_so
}
