//! Whatever a client sends, the model answers; equal inputs get equal answers.

use bytes::Bytes;
use http::Request;
use lease_sim::api_server::{Answer, ApiServer, ApiServerConfig, Rights, UnixMicros};
use proptest::prelude::*;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/default/leases";

fn server() -> ApiServer {
    ApiServer::new(ApiServerConfig { anonymous: Rights::All, ..ApiServerConfig::default() })
}

/// JSON that is often nearly a Lease.
fn body() -> impl Strategy<Value = Vec<u8>> {
    let word = prop_oneof![
        Just("null".to_owned()),
        Just("{}".to_owned()),
        Just("[]".to_owned()),
        Just("1e999".to_owned()),
        any::<i64>().prop_map(|number| number.to_string()),
        "\"[0-9TZ:.+,-]{0,30}\"",
        "\"2026-01-01T00:00:00.000000[0-9Z:+-]{0,7}\"",
        "\"\\PC{0,9}\"",
    ];
    let key = proptest::sample::select(vec![
        "name",
        "uid",
        "resourceVersion",
        "finalizers",
        "labels",
        "creationTimestamp",
        "generateName",
        "renewTime",
        "leaseDurationSeconds",
        "holderIdentity",
        "preconditions",
        "ownerReferences",
    ]);
    let fields = proptest::collection::vec((key, word), 0..6).prop_map(|fields| {
        let list: Vec<String> = fields.iter().map(|(key, value)| format!("\"{key}\":{value}")).collect();
        list.join(",")
    });
    prop_oneof![
        4 => (fields.clone(), fields).prop_map(|(meta, spec)| {
            let text = format!("{{\"metadata\":{{\"name\":\"a\",{meta}}},\"spec\":{{{spec}}}}}");
            text.replace(",}", "}").into_bytes()
        }),
        1 => proptest::collection::vec(any::<u8>(), 0..80),
    ]
}

fn request() -> impl Strategy<Value = Request<Bytes>> {
    let method = proptest::sample::select(vec!["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "X"]);
    let path = prop_oneof![
        4 => Just(format!("{LEASES}/a")),
        3 => Just(LEASES.to_owned()),
        1 => "/[a-z0-9/%.]{0,40}".prop_map(|path| path),
        1 => "[a-zA-Z=&%,0-9.!]{0,30}".prop_map(|query| format!("{LEASES}?watch=1&{query}")),
        1 => "[a-z0-9]{0,9}".prop_map(|name| format!("/api/v1/namespaces/{name}")),
    ];
    let kind = proptest::sample::select(vec![
        "application/json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "text/plain",
    ]);
    (method, path, kind, body()).prop_filter_map("a valid URI", |(method, path, kind, body)| {
        Request::builder().method(method).uri(path).header("content-type", kind).body(Bytes::from(body)).ok()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]
    #[test]
    fn any_requests_are_answered_and_equally_so(requests in proptest::collection::vec(request(), 1..12)) {
        let (mut one, mut other) = (server(), server());
        for (second, request) in (1_800_000_000..).zip(&requests) {
            let now = UnixMicros::from_seconds(second);
            let answers = [one.handle(now, request), other.handle(now, request)];
            prop_assert_eq!(format!("{:?}", answers[0]), format!("{:?}", answers[1]));
            if let Answer::Watch { id, .. } = answers[0] {
                while one.poll_watch(id).is_some() {}
            }
            if let Answer::Watch { id, .. } = answers[1] {
                while other.poll_watch(id).is_some() {}
            }
        }
        prop_assert_eq!(one.resource_version(), other.resource_version());
    }
}
