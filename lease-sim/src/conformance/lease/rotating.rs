//! Credentials that change in mid-term.

use lease_core::credentials::Piece;
use lease_core::driver::{Adapter, Lease};

use super::{Scene, holders_rights, patient};
use crate::conformance::bench::{Bench, Folder, TOKEN, ca, explicit, token, token_file};
use crate::conformance::engine::{Case, cases};
use crate::conformance::watch::Losses;

pub(super) fn cases<A: Adapter>() -> Vec<Case<A>> {
    cases![A, "lease",
        a_token_that_expires_in_mid_term_costs_nothing => "401, the file is read afresh, the term goes on",
        a_ca_that_rotates_in_mid_term_costs_nothing => "connections break, the file is read afresh, the term goes on",
        everything_rotates_and_the_term_goes_on => "token and CA at once",
    ]
}

/// What changes at the server, and in the folder.
async fn rotates<A: Adapter>(bench: Bench<A>, new_token: bool, new_ca: bool) {
    let scene = Scene::new(bench.clone());
    let folder = Folder::new("mid-term");
    let (token_path, ca_path) =
        (folder.write("token", TOKEN), folder.write("ca.crt", &scene.server.ca_pem().unwrap()));
    let authority = if new_ca { Some(Piece::File(ca_path)) } else { ca(&scene.server) };
    let how = if new_token { token_file(token_path) } else { token() };
    let lease = Lease::<A>::builder(patient("a").build().unwrap());
    let lease = lease.credentials(explicit(&scene.server.url(), authority, how)).spawn().unwrap();
    let losses = Losses::of(&lease);
    let held = scene.acquired(&lease).await;
    for round in 0..2 {
        if new_token {
            let (old, new) = if round == 0 {
                (TOKEN.to_owned(), "two".to_owned())
            } else {
                ("two".to_owned(), "three".to_owned())
            };
            scene.server.set_token(&new, "holder", holders_rights());
            scene.server.remove_token(&old);
            folder.write("token", &new);
        }
        if new_ca {
            scene.server.rotate_ca().unwrap();
            folder.write("ca.crt", &scene.server.ca_pem().unwrap());
            scene.server.close_connections();
        }
        let mut events = lease.events();
        for _ in 0..3 {
            bench.renewed(&mut events).await;
        }
        assert_eq!(lease.held().map(|held| held.token), Some(held), "still the same term");
    }
    assert_eq!(losses.all(), []);
    bench.soon("the release", lease.release()).await.unwrap();
    assert_eq!(scene.holder(), None);
}

async fn a_token_that_expires_in_mid_term_costs_nothing<A: Adapter>(bench: Bench<A>) {
    rotates(bench, true, false).await;
}

async fn a_ca_that_rotates_in_mid_term_costs_nothing<A: Adapter>(bench: Bench<A>) {
    rotates(bench, false, true).await;
}

async fn everything_rotates_and_the_term_goes_on<A: Adapter>(bench: Bench<A>) {
    rotates(bench, true, true).await;
}
