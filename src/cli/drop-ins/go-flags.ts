/**
 * Command lines as Go's `flag` package reads them, whose programs we stand in for: `-x v`, `-x=v`, one dash or two; a
 * boolean is `-x` or `-x=1|0|t|f|T|F|true|false|TRUE|FALSE|True|False`; reading stops at the first argument that is no flag, and
 * after `--`.
 */

export interface GoFlag {
  /** `texts` may be given several times. */
  readonly kind: 'text' | 'texts' | 'integer' | 'boolean';
  readonly usage: string;
  /** Shown by the usage, and the value where the flag is not given. Default: the zero value, which is not shown. */
  readonly byDefault?: string | number | undefined;
}

/** By name, without dashes. */
export type GoFlags = Readonly<Record<string, GoFlag>>;

export type ParsedGoFlags =
  | { readonly kind: 'values'; readonly values: GoFlagValues; readonly rest: readonly string[] }
  | { readonly kind: 'help' }
  | { readonly kind: 'bad'; readonly problem: string };

/** Status of Go's programs for a command line that they cannot read. */
export const EXIT_GO_USAGE = 2;

/** The values that `strconv.ParseBool` accepts. */
const BOOLEANS: ReadonlyMap<string, boolean> = new Map([
  ...['1', 't', 'T', 'true', 'TRUE', 'True'].map((text) => [text, true] as const),
  ...['0', 'f', 'F', 'false', 'FALSE', 'False'].map((text) => [text, false] as const),
]);

export class GoFlagValues {
  private readonly flags: GoFlags;
  private readonly given = new Map<string, readonly string[]>();

  constructor(flags: GoFlags) {
    this.flags = flags;
  }

  add(name: string, value: string): void {
    const isList = this.flags[name]?.kind === 'texts';
    this.given.set(name, isList ? [...this.texts(name), value] : [value]);
  }

  /** Whether it was on the command line. */
  has(name: string): boolean {
    return this.given.has(name);
  }

  text(name: string): string {
    return this.given.get(name)?.[0] ?? String(this.flags[name]?.byDefault ?? '');
  }

  texts(name: string): readonly string[] {
    return this.given.get(name) ?? [];
  }

  integer(name: string): number {
    const integer = parseGoInteger(this.text(name));
    return typeof integer === 'number' ? integer : 0;
  }

  isTrue(name: string): boolean {
    return BOOLEANS.get(this.text(name)) ?? false;
  }
}

export function parseGoFlags(argv: readonly string[], flags: GoFlags): ParsedGoFlags {
  const values = new GoFlagValues(flags);
  const bad = (problem: string): ParsedGoFlags => ({ kind: 'bad', problem });
  let at = 0;
  while (at < argv.length) {
    const argument = argv[at] ?? '';
    if (!/^-./s.test(argument)) break;
    at++;
    if (argument === '--') break;
    const match = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(argument);
    if (match === null) return bad(`bad flag syntax: ${argument}`);
    const [, name = '', inline] = match;
    const flag = Object.hasOwn(flags, name) ? flags[name] : undefined;
    if (flag === undefined) {
      if (name === 'h' || name === 'help') return { kind: 'help' };
      return bad(`flag provided but not defined: -${name}`);
    }
    let value = inline ?? 'true';
    if (flag.kind !== 'boolean' && inline === undefined) {
      if (at === argv.length) return bad(`flag needs an argument: -${name}`);
      value = argv[at++] ?? '';
    }
    const quoted = JSON.stringify(value);
    if (flag.kind === 'boolean' && !BOOLEANS.has(value)) {
      return bad(`invalid boolean value ${quoted} for -${name}: parse error`);
    }
    const integer = flag.kind === 'integer' ? parseGoInteger(value) : 0;
    if (typeof integer === 'string') {
      return bad(`invalid value ${quoted} for flag -${name}: ${integer}`);
    }
    values.add(name, value);
  }
  return { kind: 'values', values, rest: argv.slice(at) };
}

/** `strconv.ParseInt` with base 0: `10`, `-1`, `0x1f`, `0o17` or `017`, `0b11`, `1_000`. @returns a text: why it is none */
export function parseGoInteger(text: string): number | 'parse error' | 'value out of range' {
  const match = /^([+-]?)(0[xX]_?[\da-fA-F_]+|0[bB]_?[01_]+|0[oO]?_?[0-7_]+|0|[1-9][\d_]*)$/.exec(
    text,
  );
  if (match === null || /__|_$/.test(text)) return 'parse error';
  const [, sign, digits = ''] = match;
  const plain = digits.replaceAll('_', '').toLowerCase();
  const isOldOctal = /^0[0-7]+$/.test(plain);
  const value = Number(isOldOctal ? `0o${plain.slice(1)}` : plain);
  if (!Number.isSafeInteger(value)) return 'value out of range';
  return sign === '-' ? -value : value;
}

const PLACEHOLDERS: Readonly<Record<GoFlag['kind'], string>> = {
  text: ' string',
  texts: ' value',
  integer: ' int',
  boolean: '',
};

/** What `flag.PrintDefaults` prints, under a first line. */
export function goUsage(program: string, flags: GoFlags): string {
  const lines = Object.entries(flags)
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([name, { kind, usage, byDefault }]) => {
      const shown = kind === 'text' ? `"${byDefault}"` : `${byDefault}`;
      const end = byDefault === undefined || byDefault === '' ? '' : ` (default ${shown})`;
      return `  -${name}${PLACEHOLDERS[kind]}\n    \t${usage}${end}\n`;
    });
  return `Usage of ${program}:\n${lines.join('')}`;
}
