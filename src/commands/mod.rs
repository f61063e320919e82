//! A file a command.

mod approve;
mod backup;
mod cancel;
mod check;
mod completions;
mod doctor;
mod drive;
mod eval;
mod graph;
mod logs;
mod model;
mod model_add;
pub(crate) mod model_host;
mod model_pull;
mod model_rm;
mod plan;
#[cfg(feature = "plugins")]
mod plugin;
mod prune;
mod resume;
mod run;
mod runs;
mod schedule;
mod schema;
mod serve;
mod show;
mod task;
mod token;

use crate::cli::{Cli, Command, Model, Task, Token};
use crate::report::{CommandError, Exit};

/// Carries a command out.
pub(crate) async fn dispatch(cli: Cli) -> Result<Exit, CommandError> {
    let global = cli.global;
    match cli.command {
        Command::Run(args) => run::run(&global, args).await,
        Command::Check(args) => check::run(&global, &args),
        Command::Plan(args) => plan::run(&global, &args).await,
        Command::Graph(args) => graph::run(&args),
        Command::Runs(args) => runs::run(&global, args).await,
        Command::Show(args) => show::run(&global, &args).await,
        Command::Logs(args) => logs::run(&global, &args).await,
        Command::Resume(args) => resume::run(&global, args).await,
        Command::Cancel(args) => cancel::run(&global, &args).await,
        Command::Approve(args) => approve::run(&global, args).await,
        Command::Prune(args) => prune::run(&global, args).await,
        Command::Schedule(command) => schedule::run(&global, command).await,
        Command::Backup { to } => backup::backup(&global, &to).await,
        Command::Restore { from } => backup::restore(&global, &from).await,
        Command::Serve(args) => serve::run(&global, args).await,
        Command::Token(Token::New(args)) => token::new(&global, &args).await,
        Command::Token(Token::Ls) => token::list(&global).await,
        Command::Token(Token::Rm { name }) => token::remove(&global, &name).await,
        Command::Eval(args) => eval::run(&global, args).await,
        Command::Schema => Ok(schema::run()),
        Command::Doctor => doctor::run(&global).await,
        Command::Model(Model::Ls(args)) => model::list(&global, &args).await,
        Command::Model(Model::Pull(args)) => model_pull::run(&global, args).await,
        Command::Model(Model::Add(args)) => model_add::run(&global, args).await,
        Command::Model(Model::Rm { name }) => model_rm::run(&global, &name),
        // It has no runtime, and is taken care of before there is one.
        Command::ModelHost(_) => Ok(Exit::Done),
        Command::Task(Task::Ls) => Ok(task::list(&global)),
        Command::Task(Task::Show { name }) => task::show(&global, &name),
        #[cfg(feature = "plugins")]
        Command::Plugin(command) => plugin::dispatch(&global, command).await,
        Command::Completions { shell } => Ok(completions::run(shell)),
    }
}
