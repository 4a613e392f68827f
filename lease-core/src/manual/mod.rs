//! The manual: pages to read, without any code of their own.
//!
//! | page | what it answers |
//! | --- | --- |
//! | [`safety`] | what is promised, under which assumptions, why it follows, and what no lease can promise |
//! | [`time_and_suspend`] | which clock decides what; what happens when one steps, drifts or stops |
//! | [`fencing`] | what to do with the token, and what to do where a resource cannot check it |
//! | [`protocol`] | the states, what leads from one to the other, and every request that is ever sent |
//! | [`embedding`] | how to drive the machine from an event loop of one's own |
//! | [`testing`] | how to test code that holds a lease |

#[doc = include_str!("embedding.md")]
pub mod embedding {}

#[doc = include_str!("fencing.md")]
pub mod fencing {}

#[doc = include_str!("protocol.md")]
#[doc = ""]
#[doc = include_str!("transitions.md")]
pub mod protocol {}

#[doc = include_str!("safety.md")]
pub mod safety {}

#[doc = include_str!("testing.md")]
pub mod testing {}

#[doc = include_str!("time_and_suspend.md")]
pub mod time_and_suspend {}
