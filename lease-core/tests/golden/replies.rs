//! What scripts let the API server say.

use bytes::Bytes;
use http::Response;
use serde_json::{Value, json};

use crate::support::{Sent, absent, conflict, deleted, lease_of, status, stored};
use crate::times::{EPOCH_MICROS, offset, rfc3339};

/// The words behind `reply`.
#[derive(Debug, Default)]
pub(crate) struct Reply<'a> {
    code: u16,
    /// What the body is.
    what: &'a str,
    /// `key=value`, `key:=JSON` and bare words behind it.
    words: Vec<&'a str>,
}

impl<'a> Reply<'a> {
    pub(crate) fn parse(words: &[&'a str]) -> Result<Self, String> {
        let first = words.iter().position(|word| !word.starts_with("to=")).ok_or("reply what?")?;
        let code = words[first].parse().map_err(|_| format!("{} is no status code", words[first]))?;
        let rest = &words[first + 1..];
        let what = match rest.first() {
            Some(word) if word.starts_with("written=") => "written",
            Some(word) if !word.contains('=') => word,
            _ => "",
        };
        // `written=#3` stays among the options: it says which.
        let words = rest[usize::from(rest.first() == Some(&what))..].to_vec();
        Ok(Self { code, what, words })
    }

    pub(crate) fn option(&self, key: &str) -> Option<&'a str> {
        self.words
            .iter()
            .find_map(|word| word.split_once('=').filter(|(name, _)| *name == key))
            .map(|it| it.1)
    }

    /// The whole response; `written` is the request that a `written` record comes from.
    pub(crate) fn response(&self, written: Option<&Sent>, nonce: &str) -> Result<Response<Bytes>, String> {
        let body = match self.what {
            "lease" => Some(self.edited(lease_of("b", &rfc3339(EPOCH_MICROS), 1), nonce)?),
            "written" => {
                let write = written.ok_or("nothing was written yet")?;
                Some(self.edited(stored(write, 1), nonce)?)
            }
            "absent" => Some(absent()),
            "conflict" => Some(conflict()),
            "deleted" => Some(deleted()),
            "namespace" => Some(status(404, "NotFound", json!({"name": "default", "kind": "namespaces"}))),
            "namespace-terminating" => {
                let cause = json!([{"reason": "NamespaceTerminating", "field": "metadata.namespace"}]);
                Some(status(403, "Forbidden", json!({"name": "job", "kind": "leases", "causes": cause})))
            }
            "bare" => None,
            "" => Some(status(self.code, reason(self.code), json!({}))),
            other => return Err(format!("{other} is no body that is known here")),
        };
        let body =
            body.map_or_else(|| Bytes::from_static(b"<html>a proxy</html>"), |body| body.to_string().into());
        let mut response = Response::builder().status(self.code);
        if let Some(pause) = self.option("retry-after") {
            response = response.header("Retry-After", pause);
        }
        response.body(body).map_err(|error| error.to_string())
    }

    fn edited(&self, mut object: Value, nonce: &str) -> Result<Value, String> {
        for word in &self.words {
            edit(&mut object, word, nonce)?;
        }
        if self.what == "lease" && self.option("acquire").is_none() && object["spec"].is_object() {
            object["spec"]["acquireTime"] = object["spec"]["renewTime"].clone();
        }
        Ok(object)
    }
}

/// `11111111-1111-4111-8111-111111111111` for `1`.
pub(crate) fn uid(digit: char) -> String {
    let of = |length| digit.to_string().repeat(length);
    format!("{}-{}-4{}-8{}-{}", of(8), of(4), of(3), of(3), of(12))
}

fn edit(object: &mut Value, word: &str, nonce: &str) -> Result<(), String> {
    const NONCE: &str = "lease-core.rs/nonce";
    let holder = object["spec"]["holderIdentity"].as_str().unwrap_or("").to_owned();
    let metadata = &mut object["metadata"];
    if let Some((key, raw)) = word.split_once(":=") {
        let value = serde_json::from_str(raw).map_err(|error| format!("{raw}: {error}"))?;
        match field(key) {
            Some(name) => object["spec"][name] = value,
            None if key == "spec" => object["spec"] = value,
            None => metadata[key] = value,
        }
        return Ok(());
    }
    let (key, value) = word.split_once('=').unwrap_or((word, ""));
    let time =
        || offset(value).map(|micros| rfc3339(EPOCH_MICROS + micros)).ok_or(format!("{value}: no time"));
    match key {
        "rv" => metadata["resourceVersion"] = json!(value),
        "uid" => metadata["uid"] = json!(value.chars().next().map(uid)),
        "label" => metadata["labels"] = json!({"edited": "yes"}),
        "terminating" => {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            metadata["finalizers"] = json!(["example.com/hold"]);
        }
        "quarantine" => metadata["annotations"]["lease-core.rs/quarantine"] = json!("true"),
        "nonce" if value == "none" => {
            if let Some(annotations) = metadata["annotations"].as_object_mut() {
                annotations.remove(NONCE);
            }
        }
        "nonce" if value == "own" => metadata["annotations"][NONCE] = json!(format!("{nonce} {holder}")),
        "nonce" => {
            let (number, of) = value.split_once('/').unwrap_or((value, &holder));
            metadata["annotations"][NONCE] = json!(format!("{number:0>32} {of}"));
        }
        "no-uid" => metadata["uid"] = Value::Null,
        "holder" => object["spec"]["holderIdentity"] = json!(value),
        "renew" => object["spec"]["renewTime"] = json!(time()?),
        "acquire" => object["spec"]["acquireTime"] = json!(time()?),
        "duration" | "transitions" => {
            let number: i64 = value.parse().map_err(|_| format!("{value} is no number"))?;
            object["spec"][field(key).unwrap_or(key)] = json!(number);
        }
        "written" | "to" | "retry-after" => {}
        other => return Err(format!("{other} is no edit that is known here")),
    }
    Ok(())
}

fn field(key: &str) -> Option<&'static str> {
    Some(match key {
        "holder" => "holderIdentity",
        "renew" => "renewTime",
        "acquire" => "acquireTime",
        "duration" => "leaseDurationSeconds",
        "transitions" => "leaseTransitions",
        _ => return None,
    })
}

fn reason(code: u16) -> &'static str {
    match code {
        400 => "BadRequest",
        401 => "Unauthorized",
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        422 => "Invalid",
        429 => "TooManyRequests",
        _ => "InternalError",
    }
}
