/** Manual pages (man(7) macros) of the program and each of its commands, from their help. */
import type { Command } from 'commander';

/** @returns pages by file name: `hawser.1`, `hawser-run.1` */
export function manPages(program: Command, version: string): ReadonlyMap<string, string> {
  const pages = new Map<string, string>();
  for (const command of [program, ...program.commands]) {
    const name = command === program ? 'hawser' : `hawser-${command.name()}`;
    pages.set(`${name}.1`, page(name, command, program, version));
  }
  return pages;
}

function page(name: string, command: Command, program: Command, version: string): string {
  const help = command.createHelp();
  const isProgram = command === program;
  const usage = isProgram
    ? help.commandUsage(command)
    : `hawser ${command.name()} ${command.usage()}`;
  const lines = [
    `.TH ${name.toUpperCase().replaceAll('-', '\\-')} 1 "" "hawser ${version}" "User Commands"`,
    '.SH NAME',
    `${text(name)} \\- ${text(command.description())}`,
    '.SH SYNOPSIS',
    text(usage),
  ];
  if (isProgram) {
    lines.push('.SH COMMANDS');
    for (const one of command.commands) {
      lines.push('.TP', `.BR hawser\\-${one.name()} (1)`, text(one.description()));
    }
  }
  lines.push('.SH OPTIONS');
  for (const option of help.visibleOptions(command)) {
    lines.push('.TP', `.B ${text(option.flags)}`, text(option.description));
  }
  lines.push(
    '.SH EXIT STATUS',
    '0 after SIGTERM, SIGINT or a wanted end; 1 when it failed; 2 for bad usage.',
  );
  const others = isProgram ? command.commands.map((one) => `hawser-${one.name()}`) : ['hawser'];
  lines.push('.SH SEE ALSO', others.map((other) => `${text(other)}(1)`).join(', '));
  return `${lines.join('\n')}\n`;
}

/** A line that begins with a dot or an apostrophe would be a request. */
const text = (plain: string): string =>
  plain.replaceAll('\\', '\\e').replaceAll('-', '\\-').replace(/^[.']/gm, '\\&$&');
