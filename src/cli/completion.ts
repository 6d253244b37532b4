/** Scripts that complete `hawser` in a shell, from the commands and options that the program has. */
import type { Command, Option } from 'commander';

export const SHELLS = ['bash', 'zsh', 'fish'] as const;
export type Shell = (typeof SHELLS)[number];

interface Words {
  readonly name: string;
  readonly description: string;
  readonly options: readonly Option[];
}

const wordsOf = (program: Command): Words[] =>
  program.commands.map((command) => ({
    name: command.name(),
    description: command.description(),
    options: command.createHelp().visibleOptions(command),
  }));

const flagsOf = ({ short, long }: Option): string[] => [short, long].flatMap((flag) => flag ?? []);
/** Of an option that takes a file, by the name of its value. */
const isFile = (option: Option): boolean => /<(file|dir)>/.test(option.flags);
const takesValue = (option: Option): boolean => option.required || option.optional;

export function completionScript(shell: Shell, program: Command): string {
  const words = wordsOf(program);
  switch (shell) {
    case 'bash':
      return bash(words);
    case 'zsh':
      return zsh(words);
    case 'fish':
      return fish(words);
  }
}

function bash(commands: readonly Words[]): string {
  const cases = commands.map(({ name, options }) => {
    const files = options.filter(isFile).flatMap(flagsOf);
    const others = options.filter((one) => takesValue(one) && !isFile(one)).flatMap(flagsOf);
    return `    ${name})
      flags='${options.flatMap(flagsOf).join(' ')}' files=' ${files.join(' ')} ' values=' ${others.join(' ')} ' ;;`;
  });
  return `# bash completion for hawser: eval "$(hawser completion bash)"
_hawser() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} flags='' files=' ' values=' '
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W '${commands.map(({ name }) => name).join(' ')} --help --version' -- "$word"))
    return
  fi
  case \${COMP_WORDS[1]} in
${cases.join('\n')}
  esac
  case "$files" in *" $before "*) compopt -o filenames; COMPREPLY=($(compgen -f -- "$word")); return ;; esac
  case "$values" in *" $before "*) return ;; esac
  COMPREPLY=($(compgen -W "$flags" -- "$word"))
}
complete -F _hawser hawser
`;
}

/** Within single quotes, and in zsh's specifications within brackets too. */
const quoted = (text: string): string => text.replaceAll("'", `'\\''`);
const bracketed = (text: string): string => quoted(text.replace(/[[\]:\\]/g, '\\$&'));

function zsh(commands: readonly Words[]): string {
  const cases = commands.map(({ name, options }) => {
    const specs = options.flatMap((option) =>
      flagsOf(option).map((flag) => {
        const value = takesValue(option) ? `:value:${isFile(option) ? '_files' : ''}` : '';
        return `'*${flag}[${bracketed(option.description)}]${value}'`;
      }),
    );
    return `    ${name}) _arguments ${[...specs, `'*:argument:_files'`].join(' ')} ;;`;
  });
  const names = commands.map(({ name, description }) => `'${name}:${quoted(description)}'`);
  return `#compdef hawser
# zsh completion for hawser: hawser completion zsh > "\${fpath[1]}/_hawser"
_hawser() {
  if (( CURRENT == 2 )); then
    local -a commands=(${names.join(' ')})
    _describe command commands
    return
  fi
  local command=\${words[2]}
  shift words
  (( CURRENT-- ))
  case $command in
${cases.join('\n')}
  esac
}
if [ "$funcstack[1]" = _hawser ]; then _hawser "$@"; else compdef _hawser hawser; fi
`;
}

function fish(commands: readonly Words[]): string {
  const lines = [
    '# fish completion for hawser: hawser completion fish | source',
    'complete -c hawser -f',
  ];
  for (const { name, description, options } of commands) {
    lines.push(
      `complete -c hawser -n __fish_use_subcommand -a ${name} -d '${quoted(description)}'`,
    );
    for (const option of options) {
      const short = option.short === undefined ? '' : ` -s ${option.short.slice(1)}`;
      const long = option.long === undefined ? '' : ` -l ${option.long.slice(2)}`;
      const value = isFile(option) ? ' -r -F' : takesValue(option) ? ' -x' : '';
      const when = `-n '__fish_seen_subcommand_from ${name}'`;
      lines.push(
        `complete -c hawser ${when}${short}${long}${value} -d '${quoted(option.description)}'`,
      );
    }
  }
  return `${lines.join('\n')}\n`;
}
