//! `flow resume`: takes a run up again.

use flow_core::engine::{Backend, Resume as Taken};

use crate::cassette::Cassette;
use crate::cli::{Global, Resume};
use crate::commands::drive;
use crate::report::{CommandError, Exit};
use crate::{progress, world};

pub(crate) async fn run(global: &Global, args: Resume) -> Result<Exit, CommandError> {
    let store = world::existing_store(global).await?;
    let run = world::run_named(&store, &args.run).await?;
    let cassette = Cassette::of(args.cassette)?;
    let machine = world::taped_machine(args.secrets.as_deref(), cassette.tape())?;
    let (file, instead) = (args.from_file.as_deref(), args.instead.into());
    let program = world::resumed_program(&store, &run, &machine, file, instead).await?;
    let engine = world::taped_engine(store, machine.actions, !args.no_cache, &cassette);
    let resume = Taken { id: run.id, program: program.clone(), observer: progress::watcher() };
    let handle = engine.resume(resume).await?;
    let exit = drive::to_the_end(global, &engine, &machine.services, &program, handle).await;
    cassette.say();
    exit
}
