/**
 * Commands of a page of documentation, as a shell script. Each section (from one heading to the next) is a
 * script of its own: its `sh` blocks in their order, each command as it stands.
 *
 * What a person leaves running in a terminal (`hawser run`, QEMU, an agent) goes to the background, and
 * the script waits for what it is there for. A section that asks a daemon without starting one gets a default one.
 */

export interface DocSection {
  readonly title: string;
  readonly commands: readonly string[];
}

/** Block kinds that are no commands; anything else without a test is refused. */
const TEXT: ReadonlySet<string> = new Set(['text', 'yaml', 'json', 'console']);

export interface DocPage {
  readonly sections: readonly DocSection[];
  readonly yaml: readonly string[];
  /** TypeScript, each with the example that it is a part of. */
  readonly typescript: readonly { readonly example: string; readonly code: string }[];
}

/** @throws Error when a block has a language that no test looks at */
export function parsePage(text: string): DocPage {
  const sections: { title: string; commands: string[] }[] = [{ title: 'top', commands: [] }];
  const yaml: string[] = [];
  const typescript: { example: string; code: string }[] = [];
  for (const [, heading, info = '', body = ''] of text.matchAll(
    /^#+ (.*)$|^```([^\n]*)\n([\s\S]*?)^```$/gm,
  )) {
    if (heading !== undefined) {
      sections.push({ title: heading, commands: [] });
      continue;
    }
    const [language = '', argument = ''] = info.split(' ');
    if (language === 'sh') sections.at(-1)?.commands.push(...commandsOf(body));
    else if (language === 'yaml') yaml.push(body);
    else if (language === 'ts') typescript.push({ example: argument, code: body });
    else if (!TEXT.has(language) && language !== 'hex') {
      throw new Error(`a block of "${info}", which no test looks at`);
    }
  }
  return { sections: sections.filter(({ commands }) => commands.length > 0), yaml, typescript };
}

/** Lines joined where they end in a backslash; comments and empty lines left out. */
function commandsOf(body: string): readonly string[] {
  return body
    .replace(/\\\n\s*/g, '')
    .split('\n')
    .map((line) => line.replace(/(^|\s)#\s.*$/, '').trim())
    .filter((line) => line !== '');
}

const STAYS =
  /^(?:\S+=\S+ )*(?:ip netns exec \S+ )?hawser (?:run|agent|demo)\b(?!.*--(?:print-config|help|once))/;
const DROP_IN = /^hawser(?: usernet|-gvproxy|-slirp4netns|-vpnkit) /;
const QEMU = /^(?:ip netns exec \S+ )?qemu-system-x86_64 /;
const ASKS = /^hawser (?:status|flows|leases|ports|expose|unexpose|stop)\b/;

/** @returns the script's lines behind its prelude */
export function scriptOf({ commands }: DocSection): readonly string[] {
  const lines: string[] = [];
  let running = false;
  for (const command of commands) {
    if (!running && ASKS.test(command)) {
      lines.push(...stays('hawser run'));
      running = true;
    }
    lines.push(`at ${quote(command)}`);
    if (QEMU.test(command)) lines.push('rm -f console', `${command} &`, 'await_vm');
    else if (DROP_IN.test(command)) {
      lines.push(`${command} &`, `await_sockets $! ${socketsOf(command).join(' ')}`);
      running = true;
    } else if (STAYS.test(command)) {
      lines.push(...stays(command));
      running = true;
    } else lines.push(command);
  }
  return lines;
}

const stays = (command: string): readonly string[] => [
  `${command} &`,
  command.includes('hawser run') ? `await_daemon $! ${nameOf(command)}` : 'await_line',
];

const nameOf = (command: string): string => / --name (\S+)/.exec(command)?.[1] ?? 'default';

/** As launchers wait for them: by the files of their sockets. */
const socketsOf = (command: string): readonly string[] =>
  [...command.matchAll(/[^\s=:]*\/[^\s=:]*\.sock/g)].map(([path]) => path.replace(/^\/\//, ''));

const quote = (text: string): string => `'${text.replaceAll("'", `'\\''`)}'`;
