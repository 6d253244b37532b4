/**
 * The command line that dockerd passes to a proxy, a Go program's. dockerd cannot be configured to add arguments, so
 * hawser's own have environment variables too.
 */
import { isIP, isIPv4 } from 'node:net';
import { type GoFlags, parseGoFlags } from '../drop-ins/go-flags.ts';

export type Protocol = 'tcp' | 'udp';
/** Whether the guest itself listens as well, as Docker's own proxy does. */
export type LocalMode = 'best-effort' | 'always' | 'never';
export type SourceAddress = 'preserve' | 'gateway';

export interface ProxyRequest {
  readonly protocol: Protocol;
  readonly hostAddress: string;
  readonly hostPort: number;
  readonly containerAddress: string;
  readonly containerPort: number;
  /** The guest's listening (TCP) or bound (UDP) socket, which dockerd has made. */
  readonly listenFd: number | undefined;
  readonly control: string | undefined;
  readonly controlTokenFile: string | undefined;
  readonly local: LocalMode;
  readonly sourceAddress: SourceAddress;
}

export type ParsedArguments =
  | { readonly kind: 'serve'; readonly request: ProxyRequest }
  | { readonly kind: 'help' }
  | { readonly kind: 'version' }
  | { readonly kind: 'bad'; readonly problem: string };

/** Name of the option, then of the variable that stands for it. */
const TEXT_OPTIONS: Readonly<Record<string, string | undefined>> = {
  proto: undefined,
  'host-ip': undefined,
  'host-port': undefined,
  'container-ip': undefined,
  'container-port': undefined,
  control: 'HAWSER_CONTROL',
  'control-token-file': 'HAWSER_CONTROL_TOKEN_FILE',
  local: 'HAWSER_LOCAL',
  'source-address': 'HAWSER_SOURCE_ADDRESS',
};
const BOOLEANS = ['use-listen-fd', 'v', 'version', 'h', 'help'];
const FLAGS: GoFlags = Object.fromEntries([
  ...Object.keys(TEXT_OPTIONS).map((name) => [name, { kind: 'text', usage: '' }] as const),
  ...BOOLEANS.map((name) => [name, { kind: 'boolean', usage: '' }] as const),
]);
const MAX_PORT = 65_535;
/** Where dockerd puts the socket of `-use-listen-fd`. */
export const LISTEN_FD = 4;

class BadArguments extends Error {}

export function parseArguments(
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): ParsedArguments {
  try {
    const parsed = parseGoFlags(argv, FLAGS);
    if (parsed.kind !== 'values') return parsed;
    const { values, rest } = parsed;
    const [word] = rest;
    if (word !== undefined) throw new BadArguments(`"${word}" is not expected: see -help`);
    if (values.isTrue('h') || values.isTrue('help')) return { kind: 'help' };
    if (values.isTrue('v') || values.isTrue('version')) return { kind: 'version' };
    const text = (name: string): string | undefined => {
      const variable = TEXT_OPTIONS[name];
      const byVariable = variable === undefined ? undefined : env[variable];
      const value = values.has(name) ? values.text(name) : byVariable;
      return value === '' ? undefined : value;
    };
    return {
      kind: 'serve',
      request: checked(text, values.isTrue('use-listen-fd') ? LISTEN_FD : undefined),
    };
  } catch (error) {
    if (error instanceof BadArguments) return { kind: 'bad', problem: error.message };
    throw error;
  }
}

function checked(
  text: (name: string) => string | undefined,
  listenFd: number | undefined,
): ProxyRequest {
  const containerAddress = addressOf(text('container-ip'), 'container-ip');
  const isV4 = isIPv4(containerAddress);
  return {
    protocol: protocolOf(text('proto') ?? 'tcp'),
    // As Docker's: no address is every address of the container's family.
    hostAddress: addressOf(text('host-ip') ?? (isV4 ? '0.0.0.0' : '::'), 'host-ip'),
    hostPort: portOf(text('host-port'), 'host-port'),
    containerAddress,
    containerPort: portOf(text('container-port'), 'container-port'),
    listenFd,
    control: text('control'),
    controlTokenFile: text('control-token-file'),
    local: oneOf(text('local') ?? 'best-effort', 'local', ['best-effort', 'always', 'never']),
    sourceAddress: oneOf(text('source-address') ?? 'preserve', 'source-address', [
      'preserve',
      'gateway',
    ]),
  };
}

function protocolOf(text: string): Protocol {
  if (text === 'sctp') {
    throw new BadArguments('SCTP ports cannot be published by hawser: publish tcp or udp');
  }
  return oneOf(text, 'proto', ['tcp', 'udp']);
}

function addressOf(text: string | undefined, name: string): string {
  if (text !== undefined && isIP(text) !== 0) return text;
  throw new BadArguments(
    text === undefined ? `-${name} is missing` : `-${name} ${text}: must be an IP address`,
  );
}

function portOf(text: string | undefined, name: string): number {
  const port = /^\d{1,5}$/.test(text ?? '') ? Number(text) : 0;
  if (port >= 1 && port <= MAX_PORT) return port;
  throw new BadArguments(
    text === undefined
      ? `-${name} is missing`
      : `-${name} ${text}: must be a port from 1 to ${MAX_PORT}`,
  );
}

function oneOf<T extends string>(text: string, name: string, allowed: readonly T[]): T {
  const found = allowed.find((value) => value === text);
  if (found !== undefined) return found;
  throw new BadArguments(`-${name} ${text}: must be one of ${allowed.join(', ')}`);
}
