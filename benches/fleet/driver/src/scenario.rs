//! What is done to each server: a mesh, a number of sidecars, and what happens to them.

use crate::mesh::Mesh;
use anyhow::Result;
use clap::ValueEnum;

/// The variant of the protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Mode {
    Sotw,
    Delta,
}

impl Mode {
    pub(crate) const ALL: [Mode; 2] = [Mode::Sotw, Mode::Delta];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Mode::Sotw => "sotw",
            Mode::Delta => "delta",
        }
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Mode::Sotw => "SotW",
            Mode::Delta => "delta",
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Scenario {
    /// 1,000 sidecars with 20 backends: connect, narrow changes, wide changes
    Thousand,
    /// 5,000 sidecars with 20 backends: connect, wide changes, all come back
    FiveThousand,
    /// 200 sidecars with 1,000 backends: connect, wide changes
    FullMesh,
    /// 1,000 sidecars, 1,000 changes a second for a minute
    Rate,
}

/// The sizes of a whole run or of a quick one.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scale {
    pub(crate) is_quick: bool,
}

impl Scenario {
    pub(crate) const ALL: [Scenario; 4] = [
        Scenario::Thousand,
        Scenario::FiveThousand,
        Scenario::FullMesh,
        Scenario::Rate,
    ];

    pub(crate) fn key(self) -> &'static str {
        match self {
            Scenario::Thousand => "thousand",
            Scenario::FiveThousand => "five-thousand",
            Scenario::FullMesh => "full-mesh",
            Scenario::Rate => "rate",
        }
    }

    pub(crate) fn mesh(self, scale: Scale) -> Result<Mesh> {
        match (self, scale.is_quick) {
            (Scenario::FullMesh, false) => Mesh::new(1000, 1000),
            (Scenario::FullMesh, true) => Mesh::new(200, 200),
            (_, false) => Mesh::new(1000, 20),
            (_, true) => Mesh::new(200, 20),
        }
    }

    pub(crate) fn streams(self, scale: Scale) -> usize {
        match (self, scale.is_quick) {
            (Scenario::FiveThousand, false) => 5000,
            (Scenario::FiveThousand, true) => 500,
            (Scenario::FullMesh, false) => 200,
            (Scenario::FullMesh, true) => 40,
            (Scenario::Thousand | Scenario::Rate, false) => 1000,
            (Scenario::Thousand | Scenario::Rate, true) => 100,
        }
    }

    /// The load client's options beside who and where.
    pub(crate) fn options(self, scale: Scale) -> Vec<&'static str> {
        let mut options = match (self, scale.is_quick) {
            (Scenario::Thousand, false) => {
                vec!["--phase", "narrow:50-999:50", "--phase", "wide:0:20"]
            }
            (Scenario::Thousand, true) => {
                vec!["--phase", "narrow:10-199:10", "--phase", "wide:0:5"]
            }
            (Scenario::FiveThousand, false) => vec!["--phase", "wide:0:20", "--reconnect", "1"],
            (Scenario::FiveThousand, true) => vec!["--phase", "wide:0:5", "--reconnect", "1"],
            (Scenario::FullMesh, false) => vec!["--phase", "wide:0:20"],
            (Scenario::FullMesh, true) => vec!["--phase", "wide:0:5"],
            (Scenario::Rate, false) => {
                vec!["--rate", "1000", "--for", "60", "--rate-services", "0-999"]
            }
            (Scenario::Rate, true) => {
                vec!["--rate", "200", "--for", "2", "--rate-services", "0-199"]
            }
        };
        if scale.is_quick {
            options.extend([
                "--settle-ms",
                "400",
                "--quiet-ms",
                "300",
                "--interval-ms",
                "30",
            ]);
        }
        options
    }

    /// A minute is long enough to be measured once.
    pub(crate) fn runs(self, runs: usize) -> usize {
        match self {
            Scenario::Rate => 1,
            _ => runs,
        }
    }

    /// In a minute the floor's queues, which are not bounded, say nothing; so one form of it is enough.
    pub(crate) fn is_for(self, kind: crate::server::Kind) -> bool {
        !(self == Scenario::Rate && kind == crate::server::Kind::ZeroCopy)
    }

    /// Seconds that one server takes in one variant; as measured, on two cores.
    pub(crate) fn seconds(self, scale: Scale) -> u64 {
        match (self, scale.is_quick) {
            (Scenario::Thousand, false) => 14,
            (Scenario::FiveThousand, false) => 30,
            (Scenario::FullMesh, false) => 18,
            (Scenario::Rate, false) => 70,
            (Scenario::Rate, true) => 4,
            (_, true) => 2,
        }
    }
}
