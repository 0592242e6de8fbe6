//! Every example of the guides runs.

use crate::support::{Host, finish};

const ENGLISH: &str = include_str!("../../../docs/lua.md");
const PORTUGUESE: &str = include_str!("../../../docs/lua.pt.md");

#[tokio::test]
async fn every_example_of_the_guides_runs() {
    for guide in [ENGLISH, PORTUGUESE] {
        for example in examples(guide) {
            let host = Host::new();
            host.stores.register_routed("default").unwrap();
            let is_key_value = example.contains("require(\"store\")");
            let vm = if is_key_value { host.key_value() } else { host.agent(Some("guide")) };
            finish(vm, example).await;
        }
    }
}

#[test]
fn both_guides_show_the_same() {
    let shape = |guide: &'static str| {
        let headings = guide.lines().filter(|line| line.starts_with("## ")).count();
        let rows = guide.lines().filter(|line| line.starts_with('|')).count();
        let points = guide.lines().filter(|line| line.starts_with("- ")).count();
        let lines: Vec<_> = examples(guide).map(|example| example.lines().count()).collect();
        (headings, rows, points, lines)
    };
    assert_eq!(shape(ENGLISH), shape(PORTUGUESE));
    assert!(examples(ENGLISH).count() >= 10);
}

fn examples(guide: &'static str) -> impl Iterator<Item = &'static str> {
    guide.split("```lua\n").skip(1).map(|rest| rest.split_once("```").unwrap().0)
}
