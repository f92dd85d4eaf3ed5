//! Translation alone: from scratch, and after one change.

use outrigger::translate::{Input, Options, Translator};

use crate::mesh::{Change, Mesh};
use crate::meter::Meter;

/// A translator that has seen all of its input.
pub(crate) struct Translated {
    pub(crate) input: Input,
    pub(crate) translator: Translator,
}

fn from_scratch(input: Input) -> Translator {
    let mut translator = Translator::new(Options::default());
    translator.apply(input);
    translator
}

pub(crate) fn run(mesh: Mesh, meter: &mut Meter) -> Translated {
    let input = mesh.input();
    let translator = meter.build("from scratch", &input, from_scratch);
    let mut state = Translated { input, translator };
    // The first change after the start drops the list of all problems that were new with it.
    state.translator.apply(state.input.clone());
    for change in Change::of(mesh.shape) {
        meter.change(
            change.names(),
            &mut state,
            |state, forth| {
                change.edit(mesh, &mut state.input, forth);
                state.input.clone()
            },
            |state, input| {
                let touched = state.translator.apply(input);
                assert!(!touched.is_empty(), "the change reaches a sidecar");
                touched
            },
        );
    }
    state
}
