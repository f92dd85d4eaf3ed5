//! What a person can try while the demo runs: every command works as it stands.

use std::fmt::Write;
use std::path::Path;

use super::folder::Folder;
use super::layout::{Instance, Network};

/// What the page tells about.
pub(super) struct Page<'a> {
    pub(super) network: Network,
    /// The mesh that this one feeds.
    pub(super) mirror: Option<Network>,
    pub(super) folder: &'a Folder,
    /// The `outrigger` binary.
    pub(super) outrigger: &'a Path,
    /// The process id of the replica that the page suggests to end.
    pub(super) replica: (Instance, Option<u32>),
}

impl Page<'_> {
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        self.heading(&mut text);
        for (what, command) in self.things_to_try() {
            // Writing to a string cannot fail.
            writeln!(text, "\n# {what}\n{command}").ok();
        }
        text.push_str("\nCtrl-C ends all of it.\n");
        text
    }

    fn heading(&self, text: &mut String) {
        text.push_str("\nThe mesh runs. Each service has its sidecar:\n\n");
        instances(self.network, text);
        if let Some(mirror) = self.mirror {
            text.push_str(
                "\nand a second time, for a control plane that only the first one feeds:\n\n",
            );
            instances(mirror, text);
        }
        text.push_str("\nThings to try, in another terminal:\n");
    }

    fn things_to_try(&self) -> Vec<(String, String)> {
        let [a, ..] = self.network.instances();
        let outrigger = self.outrigger.display();
        let api = self.api_option();
        let call = format!("curl 'http://{}/call?to=service-b.local&n=10'", a.ingress());
        let mut things = vec![
            (
                "call service B by its name through service A's sidecar".to_owned(),
                format!("curl -x http://{} http://service-b.local:8080/", a.egress()),
            ),
            (
                "have service A call service B ten times: 80 of 100 calls reach the first version"
                    .to_owned(),
                call.clone(),
            ),
            (
                "send two calls of three to the second version (weights of 10 and 20), while all of it runs".to_owned(),
                format!("sed -i 's/weight: 80/weight: 10/' {}; sleep 1\n{call}", self.folder.weights().display()),
            ),
            (
                "who is connected, and what service A's sidecar gets".to_owned(),
                format!(
                    "{outrigger} status{api}\n{outrigger} config{api} {}",
                    a.node()
                ),
            ),
        ];
        if let (replica, Some(id)) = &self.replica {
            things.push((
                format!(
                    "end a replica of service B ({}): calls go on, to the others",
                    replica.application
                ),
                format!("kill -9 {id}\n{call}"),
            ));
        }
        things.extend(
            self.mirror
                .into_iter()
                .flat_map(|mirror| self.of_mirror(mirror)),
        );
        things.push((
            "metrics of the control plane and of a sidecar".to_owned(),
            format!(
                "curl http://{}/metrics\ncurl http://{}/stats/prometheus",
                self.network.admin(),
                a.admin()
            ),
        ));
        things.push((
            "what a sidecar logs".to_owned(),
            format!(
                "tail -f {}",
                self.folder
                    .path()
                    .join(format!("sidecar-{}.log", a.name()))
                    .display()
            ),
        ));
        things
    }

    /// What there is to see of the mirror.
    fn of_mirror(&self, mirror: Network) -> [(String, String); 2] {
        let outrigger = self.outrigger.display();
        let [a, ..] = mirror.instances();
        [
            (
                "what the second control plane has, and how it stands with the first".to_owned(),
                format!(
                    "{outrigger} get --api-url http://{}\n{outrigger} sync status{}",
                    mirror.api(),
                    self.api_option()
                ),
            ),
            (
                "call its service B: a change above is there as well".to_owned(),
                format!("curl 'http://{}/call?to=service-b.local&n=10'", a.ingress()),
            ),
        ]
    }

    /// Only where the API is not at its default address.
    fn api_option(&self) -> String {
        if self.network == Network::default() {
            String::new()
        } else {
            format!(" --api-url http://{}", self.network.api())
        }
    }
}

/// A line for each.
fn instances(network: Network, text: &mut String) {
    for instance in network.instances() {
        writeln!(
            text,
            "  {:<12}{:<4}sidecar {:<12} application {}",
            instance.service, instance.version, instance.sidecar, instance.application
        )
        .ok();
    }
}
