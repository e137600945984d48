//! Templates compiled with a check behind each step that makes a value.

use minijinja::machinery::{
    CodeGenerator, Instruction, Instructions, Vm, WhitespaceConfig, make_string_output, parse,
};
use minijinja::syntax::SyntaxConfig;
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};
use std::collections::BTreeMap;

use super::rewrite::rewritten;

/// The filter that checks what a step has made. No template can spell it.
pub(super) const MADE: &str = "~";

/// The filter that checks what becomes part of a namespace.
pub(super) const ASSIGNED: &str = "=";

/// The filters in the place of operators that Python has otherwise, or without a limit.
pub(super) const PRODUCT: &str = "*";
pub(super) const REMAINDER: &str = "%";
pub(super) const FLOOR: &str = "//";
pub(super) const QUOTIENT: &str = "/";
pub(super) const CONCATENATION: &str = "~~";
pub(super) const SLICE: &str = ":";

/// The filter that checks the time after a step that looks at values.
pub(super) const LOOKED: &str = "?";

/// Longest template, in bytes. What the compiler takes of the stack grows with it; published
/// templates have up to 30,000.
const MAX_LEN: usize = 1 << 17;

/// As Hugging Face configures Jinja.
pub(super) const WHITESPACE: WhitespaceConfig =
    WhitespaceConfig { keep_trailing_newline: false, lstrip_blocks: true, trim_blocks: true };

/// A template ready to run.
pub(super) struct Checked<'a> {
    instructions: Instructions<'a>,
    blocks: BTreeMap<&'a str, Instructions<'a>>,
}

impl<'a> Checked<'a> {
    /// Compiles a template that is in the engine's [spelling](spelled).
    pub(super) fn compile(source: &'a str) -> Result<Checked<'a>, Error> {
        let tree = parse(source, "template", SyntaxConfig, WHITESPACE)?;
        let mut generator = CodeGenerator::new("template", source);
        generator.compile_stmt(&tree);
        let (instructions, blocks) = generator.finish();
        Ok(Checked {
            instructions: checked(&instructions),
            blocks: blocks.iter().map(|(name, block)| (*name, checked(block))).collect(),
        })
    }

    /// Runs it. The environment has the filters that are named here, and a formatter that checks what
    /// is written.
    pub(super) fn run(&self, environment: &Environment<'a>, seen: Value) -> Result<String, Error> {
        let mut text = String::new();
        let mut output = make_string_output(&mut text);
        let vm = Vm::new(environment);
        vm.eval(&self.instructions, seen, &self.blocks, &mut output, AutoEscape::None)?;
        Ok(text)
    }
}

/// A template in the engine's spelling, unless it is longer than templates are.
pub(super) fn spelled(source: &str) -> Result<String, Error> {
    if source.len() > MAX_LEN {
        let detail = format!("it has {} bytes; templates have up to {MAX_LEN}", source.len());
        return Err(Error::new(ErrorKind::SyntaxError, detail));
    }
    rewritten(source)
}

/// The instructions with checks between them.
fn checked<'a>(plain: &Instructions<'a>) -> Instructions<'a> {
    let each = || (0..).map_while(|idx| Some((idx, plain.get(idx)?)));
    let mut places = vec![0];
    for (idx, instruction) in each() {
        places.push(places[idx as usize] + with_checks(instruction).len() as u32);
    }
    let mut checked = Instructions::new(plain.name(), plain.source());
    for (idx, instruction) in each() {
        let line = plain.get_line(idx).and_then(|line| u16::try_from(line).ok());
        for mut instruction in with_checks(instruction) {
            if let Some(target) = jump_target(&mut instruction) {
                *target = places[*target as usize];
            }
            checked.add_with_line(instruction, line.unwrap_or(u16::MAX));
        }
    }
    checked
}

/// What an instruction becomes.
fn with_checks<'a>(instruction: &Instruction<'a>) -> Vec<Instruction<'a>> {
    let check = |filter| Instruction::ApplyFilter(filter, Some(1), u8::MAX);
    let operator =
        |filter, n_args| vec![Instruction::ApplyFilter(filter, Some(n_args), u8::MAX), check(MADE)];
    match instruction {
        // Written as a value, of which the formatter takes notice.
        Instruction::EmitRaw(text) => {
            let text = Value::from_safe_string((*text).to_owned());
            vec![Instruction::LoadConst(text), Instruction::Emit]
        }
        // The namespace lies on the stack above the value.
        Instruction::SetAttr(_) => {
            vec![Instruction::Swap, check(ASSIGNED), Instruction::Swap, instruction.clone()]
        }
        Instruction::Mul => operator(PRODUCT, 2),
        Instruction::Rem => operator(REMAINDER, 2),
        Instruction::IntDiv => operator(FLOOR, 2),
        Instruction::Div => operator(QUOTIENT, 2),
        Instruction::StringConcat => operator(CONCATENATION, 2),
        Instruction::Slice => operator(SLICE, 4),
        Instruction::Eq
        | Instruction::Ne
        | Instruction::Gt
        | Instruction::Gte
        | Instruction::Lt
        | Instruction::Lte
        | Instruction::In
        | Instruction::GetItem
        | Instruction::PerformTest(..) => vec![instruction.clone(), check(LOOKED)],
        Instruction::Add
        | Instruction::BuildList(_)
        | Instruction::BuildMap(_)
        | Instruction::EndCapture
        | Instruction::ApplyFilter(..)
        | Instruction::CallFunction(..)
        | Instruction::CallMethod(..)
        | Instruction::CallObject(_) => vec![instruction.clone(), check(MADE)],
        _ => vec![instruction.clone()],
    }
}

fn jump_target<'b>(instruction: &'b mut Instruction) -> Option<&'b mut u32> {
    match instruction {
        Instruction::Iterate(target)
        | Instruction::Jump(target)
        | Instruction::JumpIfFalse(target)
        | Instruction::JumpIfFalseOrPop(target)
        | Instruction::JumpIfTrueOrPop(target)
        | Instruction::BuildMacro(_, target, _) => Some(target),
        _ => None,
    }
}
