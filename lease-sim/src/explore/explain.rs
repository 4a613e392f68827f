//! A schedule for people.

use super::Settings;
use super::server::{Call, Server};
use super::world::{Action, Exchange, World};

/// One line for every action, from the beginning on.
pub(super) fn explain(settings: &Settings, actions: &[Action]) -> Vec<String> {
    let mut world = World::start(settings);
    let mut lines = Vec::with_capacity(actions.len());
    for action in actions {
        let next = world.after(*action, settings);
        let what = what(&world, *action, &next, settings);
        let believers: Vec<&str> = (0..next.holders.len())
            .filter(|index| next.believes(*index, settings))
            .map(|index| identity(settings, index))
            .collect();
        let held = if believers.is_empty() {
            String::new()
        } else {
            format!("  [held by {}]", believers.join(" and "))
        };
        lines.push(format!("t={:<3} {what}{held}", next.time));
        world = next;
    }
    lines
}

fn identity(settings: &Settings, index: usize) -> &str {
    settings.holders[index].identity().as_str()
}

fn what(before: &World, action: Action, after: &World, settings: &Settings) -> String {
    let name = |index: u8| identity(settings, index.into());
    match action {
        Action::Time => "time passes".to_owned(),
        Action::Drift(index) => format!("{}: the clock gains a tick", name(index)),
        Action::Wake(index) => format!("{}: wakes, {}", name(index), doing(after, index)),
        Action::Arrive(index) => match &before.holders[usize::from(index)].exchange {
            Exchange::Under(_, call) => {
                let status = match &after.holders[usize::from(index)].exchange {
                    Exchange::Answered(_, answer) => answer.status,
                    Exchange::Under(..) | Exchange::Nothing => 0,
                };
                format!("{}: {} arrives: {status}, {}", name(index), about(call), stored(&after.server))
            }
            Exchange::Answered(..) | Exchange::Nothing => String::new(),
        },
        Action::Answer(index) => format!("{}: gets the answer, {}", name(index), doing(after, index)),
        Action::Break(index) => format!("{}: the connection breaks, {}", name(index), doing(after, index)),
        Action::Land(index) => {
            let call = &before.late[usize::from(index)];
            format!("an abandoned {} lands: {}", about(call), stored(&after.server))
        }
        Action::Crash(index) => format!("{}: crashes", name(index)),
        Action::Restart(index) => format!("{}: starts again, {}", name(index), doing(after, index)),
        Action::Delete => "an administrator deletes the object".to_owned(),
        Action::Remove => "an administrator deletes the object, to make it again".to_owned(),
        Action::Copy => format!("an administrator copies the object: {}", stored(&before.server)),
        Action::Make(copy) => {
            let how = if copy { "from the copy" } else { "blank" };
            format!("an administrator makes the object again, {how}: {}", stored(&after.server))
        }
        Action::Release(index) => format!("{}: gives the lease back, {}", name(index), doing(after, index)),
        Action::Campaign(index) => format!("{}: campaigns again, {}", name(index), doing(after, index)),
    }
}

fn doing(world: &World, index: u8) -> String {
    let holder = &world.holders[usize::from(index)];
    let status = holder.lease.as_ref().map(|lease| lease.status());
    let status = status.map_or_else(|| "down".to_owned(), |status| format!("{status:?}").to_lowercase());
    match &holder.exchange {
        Exchange::Under(_, call) => format!("now {status}, sends {}", about(call)),
        Exchange::Answered(..) | Exchange::Nothing => format!("now {status}"),
    }
}

fn about(call: &Call) -> String {
    let version = call.version.map_or_else(String::new, |version| format!(" over version {version}"));
    let holder = call.spec.as_ref().map(|spec| spec.holder.as_deref().unwrap_or("nobody"));
    let holder = holder.map_or_else(String::new, |holder| format!(" naming {holder}"));
    format!("{}{version}{holder}", call.method)
}

fn stored(server: &Server) -> String {
    server.object.as_ref().map_or_else(
        || "no object".to_owned(),
        |object| {
            let holder = object.spec.holder.as_deref().unwrap_or("nobody");
            format!("version {} names {holder}", object.version)
        },
    )
}
